//! A tar archive in memory, of files and symlinks with the modes that git has for them. `git archive` is none of that: it
//! drops and changes what attributes say.

use crate::image::inputs::SYMLINK;

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

/// In lines of 76 characters, for a script's here-document.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len() / 3 * 4 + bytes.len() / 57 + 8);
    for line in bytes.chunks(57) {
        for three in line.chunks(3) {
            let number =
                three.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
            for place in 0..4 {
                let digit = (number >> (18 - 6 * place) & 63) as usize;
                text.push(if place > three.len() { '=' } else { char::from(ALPHABET[digit]) });
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_base64() {
        for (bytes, text) in [("", ""), ("f", "Zg==\n"), ("fo", "Zm8=\n"), ("foo", "Zm9v\n"), ("foob", "Zm9vYg==\n")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[255; 58]).lines().map(str::len).collect::<Vec<_>>(), [76, 4]);
    }
}
