//! A tar archive in memory, of files and symlinks with the modes that git has for them.
//!
//! The bytes are those of the commit; `git archive` would drop and change files as `.gitattributes` says. `--sync` sends such
//! an archive ([`super::wanted`]).

use crate::sources::inputs::SYMLINK;

const BLOCK: usize = 512;

/// An archive that is being filled; in GNU's form, which takes names of any length.
#[derive(Default)]
pub struct Tar(Vec<u8>);

impl Tar {
    /// A symlink's bytes are its text.
    pub fn add(&mut self, path: &str, mode: u32, bytes: &[u8]) {
        let link: &[u8] = if mode == SYMLINK { bytes } else { &[] };
        let content: &[u8] = if mode == SYMLINK { &[] } else { bytes };
        for (kind, long) in [(b'L', path.as_bytes()), (b'K', link)] {
            if long.len() > 100 {
                let named = [long, &[0]].concat();
                self.entry(b"././@LongLink", 0o644, kind, &[], &named);
            }
        }
        let kind = if mode == SYMLINK { b'2' } else { b'0' };
        self.entry(path.as_bytes(), mode & 0o777, kind, link, content);
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK, 0);
        self.0
    }

    fn entry(&mut self, path: &[u8], mode: u32, kind: u8, link: &[u8], content: &[u8]) {
        let mut header = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &path[..path.len().min(100)]);
        put(100, format!("{mode:07o}\0").as_bytes());
        for at in [108, 116] {
            put(at, b"0000000\0");
        }
        put(124, format!("{:011o}\0", content.len()).as_bytes());
        put(136, b"00000000000\0");
        put(148, b"        ");
        put(156, &[kind]);
        put(157, &link[..link.len().min(100)]);
        put(257, b"ustar  \0");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&header);
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
    }
}
