//! Images as files: their names, parts, checksum files, build records, and where they lie. No process is started here.

pub mod checksum;
pub mod digest;
pub mod local;
pub mod name;
pub mod parts;
pub mod qcow2;
pub mod record;
pub mod templates;
