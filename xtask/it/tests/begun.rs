//! Worlds in which something was published already. A state is brought about once, and each test that begins with it gets a twin:
//! a publish starts gh some seventy times.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use rehearsal::world::World;

static WORLDS: LazyLock<Mutex<BTreeMap<String, Arc<OnceLock<World>>>>> = LazyLock::new(Mutex::default);

/// A twin, in `dir`, of the world that `build` makes in a folder which it is given. The same `state` is the same world.
pub fn twin(state: &str, dir: &Path, build: impl FnOnce(&Path) -> World) -> World {
    let world = Arc::clone(WORLDS.lock().unwrap().entry(state.to_owned()).or_default());
    let first = Path::new(env!("CARGO_TARGET_TMPDIR")).join("begun").join(state);
    world.get_or_init(|| build(&first).close()).twin(dir).unwrap()
}
