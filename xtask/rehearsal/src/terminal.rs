//! A terminal with a program on it, made by `script`, and a person who reads and types.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

pub struct Terminal {
    child: Child,
    shown: String,
}

impl Terminal {
    /// `script` is the program `script` with the environment that is wanted; `line` is what a shell runs on the terminal.
    ///
    /// # Panics
    ///
    /// When it can't be started; a test ends there.
    pub fn start(mut script: Command, line: &str) -> Self {
        script.args(["-qec", line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self { child: script.spawn().expect("starting script"), shown: String::new() }
    }

    /// Reads on until it says this, and gives what came.
    ///
    /// # Panics
    ///
    /// When the program ends before.
    #[track_caller]
    pub fn until(&mut self, says: &str) -> String {
        let mut came = Vec::new();
        let mut byte = [0];
        while !came.ends_with(says.as_bytes()) {
            let stdout = self.child.stdout.as_mut().expect("it was started with a pipe");
            let read = stdout.read(&mut byte).expect("reading what it shows");
            assert_eq!(read, 1, "it ended before `{says}`: {}{}", self.shown, String::from_utf8_lossy(&came));
            came.push(byte[0]);
        }
        let came = String::from_utf8_lossy(&came).into_owned();
        self.shown.push_str(&came);
        came
    }

    /// # Panics
    ///
    /// When nobody takes it any more.
    pub fn types(&mut self, text: &str) {
        self.child.stdin.as_mut().expect("it was started with a pipe").write_all(text.as_bytes()).expect("typing");
    }

    /// The exit code, and all that it showed.
    ///
    /// # Panics
    ///
    /// When it can't be waited for.
    pub fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        let stdout = self.child.stdout.as_mut().expect("it was started with a pipe");
        stdout.read_to_string(&mut rest).expect("reading what it shows");
        let code = self.child.wait().expect("waiting for script").code();
        (code, self.shown + &rest)
    }
}
