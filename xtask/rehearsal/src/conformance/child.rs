//! Runs the programs with which the checks reach GitHub, each to its end.

use std::io::{Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// GitHub ends a request of its own after 10 s; an upload of a few KB takes no longer either.
const ANSWER: Duration = Duration::from_secs(60);

pub(super) struct Ended {
    pub stdout: Vec<u8>,
    pub stderr: String,
    /// Whether it succeeded.
    pub done: bool,
}

/// Runs a command to its end. It is in a process group of its own: Ctrl-C ends no request half-way.
pub(super) fn finish(mut command: Command, input: Option<&[u8]>) -> Result<Ended, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.spawn().map_err(|error| format!("starting {name}: {error}; install it"))?;
    let stdout = child.stdout.take().map(|pipe| thread::spawn(move || read(pipe)));
    let stderr = child.stderr.take().map(|pipe| thread::spawn(move || read(pipe)));
    if let (Some(mut pipe), Some(bytes)) = (child.stdin.take(), input) {
        // Where the command ended first its output says why.
        let _ = pipe.write_all(bytes);
    }
    let until = Instant::now() + ANSWER;
    let waiting = |error: std::io::Error| format!("waiting for {name}: {error}");
    let done = loop {
        if let Some(status) = child.try_wait().map_err(waiting)? {
            break status.success();
        }
        if Instant::now() >= until {
            let _ = child.kill();
            let _ = child.wait();
            break false;
        }
        thread::sleep(Duration::from_millis(5));
    };
    let read = |thread: Option<thread::JoinHandle<Vec<u8>>>| thread.and_then(|it| it.join().ok()).unwrap_or_default();
    Ok(Ended { stdout: read(stdout), stderr: String::from_utf8_lossy(&read(stderr)).into_owned(), done })
}

fn read(mut pipe: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What came before an error is what there is.
    let _ = pipe.read_to_end(&mut bytes);
    bytes
}
