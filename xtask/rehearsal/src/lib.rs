//! What rehearsals and tests of the release tool stand on: the outside world, on this machine.
//!
//! ```no_run
//! use rehearsal::world::{Options, World};
//!
//! # fn main() -> anyhow::Result<()> {
//! let world = World::new("/tmp/world".as_ref(), Options::new("target/debug/xtask"))?;
//! world.build_all(1, Some("v0.45"))?;
//! let ran = world.tool(&["publish", "--source", "v0.45", "--execute", "--part-size", "1MiB"]);
//! ran.expect(0, &["latest"]);
//! assert!(world.published().published("latest").is_some());
//! # Ok(())
//! # }
//! ```

pub mod conformance;
pub mod form;
pub mod host;
pub mod image;
pub mod machine;
pub mod ready;
pub mod terminal;
pub mod world;
