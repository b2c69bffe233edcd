//! A stranger who keeps downloading `latest` while all of it happens: a whole set that verifies, or an error to try again
//! after, and never anything else.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use github_stand_in::Request;
use rehearsal::world::REPOSITORY;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// What a reader asks for all bytes with. The tool asks for a range only to go on in the middle.
const FROM_THE_START: &str = "bytes=0-";

/// Whether a request is a reader's: the tool always says who it is, but to the store, where it never asks for this range.
pub fn is_readers(request: &Request) -> bool {
    let store = request.host.starts_with("release-assets");
    if store { request.range.as_deref() == Some(FROM_THE_START) } else { request.login.is_none() }
}

/// How many whole sets all readers got so far.
pub static SETS: AtomicUsize = AtomicUsize::new(0);

/// A reader at work until it is dropped.
pub struct Reader {
    hub: Hub,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    violation: Mutex<Option<String>>,
}

impl Reader {
    pub fn start(socket: &Path, images: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let hub = Hub { socket: socket.to_owned(), images };
        let (theirs_hub, theirs) = (hub.clone(), Arc::clone(&shared));
        let thread = thread::spawn(move || {
            while !theirs.stop.load(Ordering::Relaxed) {
                match theirs_hub.read_set() {
                    Some(Ok(())) => {
                        SETS.fetch_add(1, Ordering::Relaxed);
                    }
                    Some(Err(violation)) => *theirs.violation.lock().unwrap() = Some(violation),
                    // Nothing there, or gone half-way: a reader tries again.
                    None => {}
                }
                // A set is read and hashed in a moment, and all cases have such a reader.
                thread::sleep(Duration::from_millis(500));
            }
        });
        Self { hub, shared, thread: Some(thread) }
    }

    /// What a reader was given that is no set, up to now and by one more look.
    pub fn violation(&self) -> Option<String> {
        let last = self.hub.read_set().and_then(Result::err);
        self.shared.violation.lock().unwrap().clone().or(last)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Clone)]
struct Hub {
    socket: PathBuf,
    /// How many a set has.
    images: usize,
}

impl Hub {
    /// Lists by tag, downloads each image and checksum file by its id, joins, hashes. `None` when a request had no good
    /// answer.
    fn read_set(&self) -> Option<Result<(), String>> {
        let listing = self.get("api.github.com", &format!("/repos/{REPOSITORY}/releases/tags/latest"), "*/*")?;
        let release: Value = serde_json::from_slice(&listing).ok()?;
        let mut files = BTreeMap::new();
        for asset in release["assets"].as_array()? {
            let name = asset["name"].as_str()?.to_owned();
            let path = format!("/repos/{REPOSITORY}/releases/assets/{}", asset["id"]);
            files.insert(name, self.get("api.github.com", &path, "application/octet-stream")?);
        }
        Some(verify(&files, self.images))
    }

    fn get(&self, host: &str, path: &str, accept: &str) -> Option<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.socket).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\nUser-Agent: reader\r\nRange: {FROM_THE_START}\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let body = answer.split_off(end + 4);
        let header = |wanted: &str| {
            let mut headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
            headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.to_owned())
        };
        match head.split(' ').nth(1)? {
            "200" | "206" => (header("content-length")?.parse() == Ok(body.len())).then_some(body),
            "302" => {
                let location = header("location")?;
                let (host, path) = location.split_once("://")?.1.split_once('/')?;
                self.get(host, &format!("/{path}"), accept)
            }
            _ => None,
        }
    }
}

/// Each checksum file has its image, whole or in parts, and the image is what it says.
fn verify(files: &BTreeMap<String, Vec<u8>>, expected: usize) -> Result<(), String> {
    for (name, line) in files.iter().filter(|(name, _)| name.ends_with(".sha256")) {
        let image = name.trim_end_matches(".sha256");
        let mut hash = Sha256::new();
        // Sorted by name, as `cat` gets them from a shell.
        for (_, bytes) in files.iter().filter(|(file, _)| *file == image || file.starts_with(&format!("{image}.part")))
        {
            hash.update(bytes);
        }
        let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if !String::from_utf8_lossy(line).starts_with(&digest) {
            return Err(format!(
                "a reader got {image} with sha256 {digest}, its checksum file says {:?}",
                String::from_utf8_lossy(line)
            ));
        }
    }
    let images = files.keys().filter(|name| name.ends_with(".sha256")).count();
    if images == expected { Ok(()) } else { Err(format!("a reader got {images} images")) }
}
