//! What build.sh on a host prints, and what is said about it in between: frames `NUL packer:NONCE:WORDS NUL`. The nonce is drawn for
//! each build and is never in an argument or the environment, so that no output of a build can look like a frame.

/// What the frames said about a build so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The host's shell took the script.
    pub began: bool,
    /// `PID COMMAND` of a build of the same image that was running already; nothing was begun then.
    pub running: Option<String>,
    /// The build's exit status.
    pub ended: Option<i32>,
    /// `PID COMMAND` of each process that it left behind.
    pub left: Vec<String>,
    /// No more will come.
    pub end: bool,
}

/// No frame is longer.
const LONGEST: usize = 8 * 1024;
/// The maximum number of left-over processes that is reported.
const MOST_LEFT: usize = 10;

/// Parts the two.
#[derive(Debug)]
pub struct Frames {
    pub told: Told,
    /// How a frame begins.
    open: Vec<u8>,
    rest: Vec<u8>,
}

impl Frames {
    pub fn new(nonce: &str) -> Self {
        Self { told: Told::default(), open: format!("\0packer:{nonce}:").into_bytes(), rest: Vec::new() }
    }

    /// Takes more bytes; gives on what is the build's own.
    pub fn push(&mut self, bytes: &[u8], mut out: impl FnMut(&[u8])) {
        self.rest.extend_from_slice(bytes);
        // What was given on or taken so far.
        let mut done = 0;
        while let Some(nul) = self.rest[done..].iter().position(|byte| *byte == 0) {
            if nul > 0 {
                out(&self.rest[done..done + nul]);
                done += nul;
            }
            let here = &self.rest[done..];
            let open = self.open.as_slice();
            if !here.starts_with(open) {
                if open.starts_with(here) {
                    break;
                }
                out(&here[..1]);
                done += 1;
                continue;
            }
            let within = &here[open.len()..here.len().min(LONGEST)];
            match within.iter().position(|byte| *byte == 0) {
                Some(close) => {
                    self.told.take(&String::from_utf8_lossy(&within[..close]));
                    done += open.len() + close + 1;
                }
                None if here.len() < LONGEST => break,
                None => {
                    out(&here[..open.len()]);
                    done += open.len();
                }
            }
        }
        if self.rest[done..].first() != Some(&0) && done < self.rest.len() {
            out(&self.rest[done..]);
            done = self.rest.len();
        }
        self.rest.drain(..done);
    }

    /// Nothing more comes: gives on what looked like the beginning of a frame.
    pub fn end(&mut self, out: impl FnOnce(&[u8])) {
        if !self.rest.is_empty() {
            out(&std::mem::take(&mut self.rest));
        }
    }
}

impl Told {
    fn take(&mut self, words: &str) {
        let (word, rest) = words.split_once(' ').unwrap_or((words, ""));
        match word {
            "began" => self.began = true,
            // The number of a process, then its command: the number is part of a line to copy.
            "running" if is_process(rest) => self.running = Some(rest.trim().to_owned()),
            "ended" => self.ended = rest.parse().ok(),
            "left" if self.left.len() < MOST_LEFT => self.left.push(rest.trim().to_owned()),
            "end" => self.end = true,
            _ => {}
        }
    }
}

fn is_process(words: &str) -> bool {
    let number = words.split(' ').next().unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parted(pieces: &[&[u8]]) -> (Vec<u8>, Told) {
        let (mut frames, mut text) = (Frames::new("7f"), Vec::new());
        for piece in pieces {
            frames.push(piece, |bytes| text.extend_from_slice(bytes));
        }
        frames.end(|bytes| text.extend_from_slice(bytes));
        (text, frames.told)
    }

    #[test]
    fn frames_are_told_from_text_however_they_arrive() {
        let stream =
            b"motd\n\0packer:7f:began\0one\ntwo\0three\0\0packer:7f:ended 7\0\0packer:7f:left 12 sleep 9 \0\0packer:7f:end\0";
        let told = Told { began: true, ended: Some(7), left: vec!["12 sleep 9".into()], end: true, running: None };
        for size in 1..stream.len() {
            let pieces: Vec<&[u8]> = stream.chunks(size).collect();
            let (text, found) = parted(&pieces);
            assert_eq!(
                (String::from_utf8(text).unwrap().as_str(), &found),
                ("motd\none\ntwo\0three\0", &told),
                "{size}"
            );
        }
    }

    #[test]
    fn what_only_looks_like_a_frame_is_text() {
        let endless = [&b"\0packer:7f:"[..], &[b'x'; 2 * LONGEST]].concat();
        // The last three are of a build that imitates one.
        for text in [
            &b"\0packer"[..],
            b"\0packer:7f:began",
            b"\0\0\0",
            &endless,
            b"\0packer:ended 0\0\0packer:end\0",
            b"\0packer:7e:ended 0\0",
            b"\0packer::ended 0\0\0packer:$nonce:end\0",
        ] {
            let (given, told) = parted(&[text]);
            assert_eq!((given.as_slice(), told), (text, Told::default()));
        }
    }

    #[test]
    fn what_runs_already_is_known_by_a_number() {
        for (words, running) in [("12 sh ./build.sh a", true), ("1;reboot x", false), ("$(reboot)", false), ("", false)]
        {
            let (_, told) = parted(&[format!("\0packer:7f:running {words}\0").as_bytes()]);
            assert_eq!(told.running.is_some(), running, "{words}");
        }
    }

    #[test]
    fn hostile_frames() {
        crate::hostile::try_with(
            &[b"a\0packer:7f:began\0b\0\0packer:7f:ended 7\0\0packer:7f:left 12 x\0\0packer:7f:end\0c"],
            |bytes| {
                let (text, told) = parted(&[bytes]);
                let (again, told_again) = parted(&bytes.chunks(7).collect::<Vec<_>>());
                assert_eq!((&text, &told), (&again, &told_again), "it depends on how the bytes arrive");
                assert!(text.len() <= bytes.len() && told.left.len() <= MOST_LEFT);
            },
        );
    }
}
