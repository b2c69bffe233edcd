//! The requests of a run, told apart so that a fault finds its place in another run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use github_stand_in::Request;

use super::case::{Run, Scenario, Start};

/// A scenario with the requests of a run without a fault.
pub struct Recorded {
    pub start: Arc<Start>,
    pub keys: Vec<Key>,
}

/// A request, told from others of its run by what it asks and how often that was asked before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub what: String,
    pub nth: usize,
    pub upload: bool,
    pub changes: bool,
}

/// Tells requests apart across runs, in which ids differ.
pub struct Keys {
    /// Releases that are there at the start.
    known: HashMap<u64, String>,
    seen: Mutex<HashMap<String, usize>>,
}

impl Keys {
    pub fn new(run: &Run) -> Self {
        Self { known: run.kept.names(), seen: Mutex::default() }
    }

    /// To be called once for each request, in order.
    pub fn key(&self, request: &Request) -> Key {
        let id = |part: &str| match part.parse::<u64>() {
            Ok(id) => self.known.get(&id).cloned().unwrap_or_else(|| "ID".to_owned()),
            Err(_) => part.to_owned(),
        };
        // A signed address differs each time.
        let path = if request.host.starts_with("release-assets") {
            "BYTES".to_owned()
        } else {
            request.path.split('/').map(id).collect::<Vec<_>>().join("/")
        };
        let query = if path == "BYTES" { "" } else { &request.query };
        let what = format!("{} {path}?{query}", request.method);
        let mut seen = self.seen.lock().unwrap();
        let nth = seen.entry(what.clone()).and_modify(|count| *count += 1).or_insert(1);
        let upload = request.host.starts_with("uploads");
        Key { nth: *nth, upload, changes: request.method != "GET", what }
    }
}

/// Makes what a scenario starts from, and takes down the requests of a good run.
pub fn record(scenario: Scenario) -> Recorded {
    let start = Start::new(scenario);
    let run = Run::new(&start);
    let ran = run.tool();
    run.finished(&ran).unwrap_or_else(|error| panic!("a run of {scenario:?} without a fault: {error}"));
    assert!(run.world.hub().unexpected().is_empty(), "{:?}", run.world.hub().unexpected());
    let keys = Keys::new(&run);
    let keys = run.requests().iter().map(|request| keys.key(request)).collect();
    Recorded { start: Arc::new(start), keys }
}
