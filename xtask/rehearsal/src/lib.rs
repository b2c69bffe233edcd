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
pub mod page;
pub mod process;
pub mod ready;
pub mod terminal;
pub mod world;

/// A new folder for temporary files that only this user may enter, under a name that nobody else knows.
///
/// # Errors
///
/// When it can't be made.
pub fn private_dir(name: &str) -> anyhow::Result<std::path::PathBuf> {
    use std::io::Read as _;
    use std::os::unix::fs::DirBuilderExt as _;

    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let dir = std::env::temp_dir().join(format!("{name}-{:016x}", u64::from_le_bytes(bytes)));
    std::fs::DirBuilder::new().mode(0o700).create(&dir)?;
    Ok(dir)
}
