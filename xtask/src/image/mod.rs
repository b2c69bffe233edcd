//! Images as files: their names, parts, checksum files, build records, and where they lie. No process is started here.

pub mod arriving;
pub mod checksum;
pub mod cut;
pub mod durable;
pub mod hash;
pub mod limits;
pub mod local;
pub mod name;
pub mod parts;
pub mod qcow2;
pub mod record;
pub mod seen;
pub mod selection;
pub mod stamp;
