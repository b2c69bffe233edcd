//! A run of the tool that a test watches and signals while it goes on.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::world::Ran;

/// Killed when it is dropped: a test that fails leaves no tool behind.
pub struct Running(Option<Child>);

impl Running {
    /// Its output is piped: what it wrote is shown when it ends too soon.
    pub fn start(command: &mut Command) -> Self {
        Self(Some(command.spawn().unwrap()))
    }

    /// Waits for something that this run brings about. A run that ends without it fails the test at once.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut happened: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let ended = self.child().try_wait().unwrap().is_some();
            // Looked at after the end: it may have been the last that the run did.
            if happened() {
                return;
            }
            if ended {
                let ran = self.0.take().map(|child| Ran::from(child.wait_with_output().unwrap()));
                panic!("the tool ended before {what}: {ran:#?}");
            }
            assert!(Instant::now() < deadline, "{what}: it didn't happen in 60 s");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends the signal of this name, as `kill -s` takes it.
    pub fn signal(&mut self, signal: &str) {
        let id = self.child().id().to_string();
        #[expect(
            clippy::disallowed_methods,
            reason = "the rule is for the tool's children; here a person presses Ctrl-C"
        )]
        let status = Command::new("kill").args(["-s", signal, &id]).status().unwrap();
        assert!(status.success());
    }

    /// Until it ends by itself.
    pub fn wait(mut self) -> Ran {
        Ran::from(self.0.take().unwrap().wait_with_output().unwrap())
    }

    fn child(&mut self) -> &mut Child {
        self.0.as_mut().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
