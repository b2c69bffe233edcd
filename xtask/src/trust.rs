//! Which published sets are trusted: rules without a process or a request of their own.
//!
//! A release is text from outside. Where `allowed_signers` names somebody, a set is trusted that one of them signed: the signature
//! covers `SHA256SUMS`, which lists the manifest, which describes all else. Publish, rollback and recovery ask [`Policy::check`]
//! before a set becomes live, and downloads before they take an image.

use std::collections::BTreeMap;

use anyhow::Context as _;

use crate::claim;
use crate::digest::Digest;
use crate::failure::{self, Advice as _, Failure, Kind};
use crate::image::name;
use crate::manifest;
use crate::signing::Allowed;

/// The digests of a set, and their signature.
pub const SUMS: &str = "SHA256SUMS";
pub const SIGNATURE: &str = "SHA256SUMS.sig";

/// What `SHA256SUMS` says: one digest a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums(BTreeMap<String, Digest>);

impl Sums {
    /// Lines `<64 hex>  <file>`.
    ///
    /// # Errors
    ///
    /// Exit code 4: any other line, a file that leads elsewhere, or the same file with two digests.
    pub fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|_| failure::digest(format!("{SUMS} is not a text file")))?;
        let mut files = BTreeMap::new();
        for line in text.lines() {
            let entry = line.split_once("  ").and_then(|(hex, file)| Some((hex.parse().ok()?, file)));
            let entry = entry.filter(|(_, file)| name::check_file(file).is_ok());
            let Some((digest, file)) = entry else {
                return Err(failure::digest(format!("{SUMS} has the invalid line {}", claim::shown(line))));
            };
            if files.insert(file.to_owned(), digest).is_some_and(|other| other != digest) {
                return Err(failure::digest(format!("{SUMS} has two digests of {file}")));
            }
        }
        Ok(Self(files))
    }

    pub fn has(&self, file: &str, digest: Digest) -> bool {
        self.0.get(file) == Some(&digest)
    }
}

/// What a release's signature proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    SignedBy(Signed),
    NotSigned,
    /// No file says who may sign.
    NobodyNamed,
}

/// Who signed a set, and the digests that were signed: with the manifest's among them, so source, commit and date are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    pub who: String,
    pub sums: Sums,
}

/// Checks the signature of a release. `read` gives an asset's bytes by its name, `None` where the release has no such asset.
///
/// # Errors
///
/// Exit code 4: no allowed signer signed it, or other digests were signed, or another manifest. Or what `read` says.
pub fn verdict(
    allowed: Option<&Allowed>,
    mut read: impl FnMut(&str) -> anyhow::Result<Option<Vec<u8>>>,
) -> anyhow::Result<Verdict> {
    let Some(allowed) = allowed else { return Ok(Verdict::NobodyNamed) };
    let Some(signature) = read(SIGNATURE)? else { return Ok(Verdict::NotSigned) };
    let sums = read(SUMS)?.ok_or_else(|| failure::digest(format!("{SIGNATURE} is there without {SUMS}")))?;
    let who = allowed.who_signed(&sums, &signature)?;
    let (sums, file) = (Sums::parse(&sums)?, manifest::FILE);
    let why = match (sums.0.get(file), read(file)?) {
        (Some(signed), Some(bytes)) if *signed == Digest::of(&bytes) => {
            return Ok(Verdict::SignedBy(Signed { who, sums }));
        }
        (Some(_), Some(_)) => format!("{file} is not what {who} signed: somebody changed it"),
        (Some(_), None) => format!("{file}, which {who} signed, is missing: somebody removed it"),
        (None, _) => {
            let why = format!("{file} is not among the files that {who} signed, as with version 0.2 of this tool");
            return Err(failure::digest(why).fix("build the images, and publish them with --sign"));
        }
    };
    Err(failure::digest(why))
}

/// What a run demands of a set.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// `None` where no signer is named.
    pub allowed: Option<Allowed>,
    /// A set without the signature of an allowed signer may become live, and images of an unsigned release may be taken; with
    /// a warning.
    pub allow_unsigned: bool,
}

impl Policy {
    /// Whether the set `what` may become live: the signature where somebody is named who signs, and a warning.
    ///
    /// # Errors
    ///
    /// Exit code 4: somebody is named, and none of them signed it. Or what `read` says.
    pub fn check(
        &self,
        what: &str,
        read: impl FnMut(&str) -> anyhow::Result<Option<Vec<u8>>>,
    ) -> anyhow::Result<(Option<Signed>, Option<String>)> {
        self.judge(what, read, true)
    }

    /// Whether images of the release `what` may be taken. A wrong signature is never accepted: what is taken may be signed
    /// again, with the maintainer's own key.
    ///
    /// # Errors
    ///
    /// As [`Self::check`].
    pub fn check_taken(
        &self,
        what: &str,
        read: impl FnMut(&str) -> anyhow::Result<Option<Vec<u8>>>,
    ) -> anyhow::Result<(Option<Signed>, Option<String>)> {
        self.judge(what, read, false)
    }

    fn judge(
        &self,
        what: &str,
        read: impl FnMut(&str) -> anyhow::Result<Option<Vec<u8>>>,
        overrides_wrong: bool,
    ) -> anyhow::Result<(Option<Signed>, Option<String>)> {
        let (error, may_override) = match (verdict(self.allowed.as_ref(), read), &self.allowed) {
            (Ok(Verdict::SignedBy(signed)), _) => return Ok((Some(signed), None)),
            (Ok(Verdict::NotSigned), Some(allowed)) => (failure::digest(allowed.unsigned()), true),
            (Ok(_), _) => return Ok((None, None)),
            (Err(error), _) if failure::kind(&error) == Kind::Digest => (error, overrides_wrong),
            (Err(error), _) => return Err(error).with_context(|| format!("reading the signature of {what}")),
        };
        let failure = Failure::of(&error);
        let what = format!("{what} can't be trusted");
        if may_override && self.allow_unsigned {
            return Ok((None, Some(format!("{what}: {}; accepted with --allow-unsigned", failure.message))));
        }
        let error = error.context(what);
        Err(match (failure.fix.is_some(), may_override) {
            (true, _) => error,
            (false, true) => error.fix("find out who changed it; --allow-unsigned accepts it anyway"),
            (false, false) => error.fix("find out who changed it"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::git::Git;
    use crate::process;
    use crate::scratch::Scratch;
    use crate::signing::Signer;
    use xshell::cmd;

    /// Two keys, of which `allowed_signers` in the folder names the first.
    fn keys() -> (Scratch, Allowed, [Signer; 2]) {
        let scratch = Scratch::new().unwrap();
        let git = Git::at(scratch.path());
        let signer = |name: &str| {
            let (sh, key) = (process::shell().unwrap(), scratch.path().join(name));
            process::read(cmd!(sh, "ssh-keygen -q -t ed25519 -N '' -C '' -f {key}")).unwrap();
            Signer::choose(key.to_str(), &git).unwrap().unwrap()
        };
        let signers = [signer("ours"), signer("theirs")];
        let public = fs::read_to_string(scratch.path().join("ours.pub")).unwrap();
        scratch.write("allowed_signers", format!("me@example.org {public}").as_bytes()).unwrap();
        let allowed = Allowed::in_dir(scratch.path()).unwrap().unwrap();
        (scratch, allowed, signers)
    }

    fn sums(manifest: Option<&[u8]>) -> Vec<u8> {
        let image = format!("{}  a.qcow2\n", Digest::of(b"a"));
        let manifest = manifest.map(|bytes| format!("{}  {}\n", Digest::of(bytes), manifest::FILE));
        (image + &manifest.unwrap_or_default()).into_bytes()
    }

    #[test]
    fn a_set_is_what_somebody_who_may_signed() {
        let (_scratch, allowed, [ours, theirs]) = keys();
        let (new, old) = (sums(Some(b"manifest")), sums(None));
        let sign = |signer: &Signer, bytes: &[u8]| Some(signer.sign(bytes).unwrap());
        let manifest = |text: &str| Some(text.as_bytes().to_vec());
        // What is on the release, what is found, and whether it may become live.
        for (what, sums, signature, manifest, said, live) in [
            ("signed", Some(&new), sign(&ours, &new), manifest("manifest"), "signed", true),
            (
                "signed before manifests were",
                Some(&old),
                sign(&ours, &old),
                manifest("x"),
                "not among the files",
                false,
            ),
            ("unsigned", Some(&new), None, manifest("manifest"), "not signed", false),
            ("bare", None, None, None, "not signed", false),
            ("another's", Some(&new), sign(&theirs, &new), manifest("manifest"), "doesn't name", false),
            ("other digests", Some(&old), sign(&ours, &new), manifest("manifest"), "not what me@example.org", false),
            ("a newer manifest", Some(&new), sign(&ours, &new), manifest("newer"), "is not what me@", false),
            ("no manifest", Some(&new), sign(&ours, &new), None, "is missing", false),
            ("no digests", None, sign(&ours, &new), manifest("manifest"), "without SHA256SUMS", false),
            ("no signature", Some(&new), Some(b"x".to_vec()), manifest("manifest"), "is not a signature", false),
        ] {
            let read = |name: &str| {
                Ok(match name {
                    SUMS => sums.cloned(),
                    SIGNATURE => signature.clone(),
                    _ => manifest.clone(),
                })
            };
            let found = match verdict(Some(&allowed), read) {
                Ok(Verdict::SignedBy(_)) => "signed".to_owned(),
                Ok(Verdict::NotSigned) => "not signed".to_owned(),
                Ok(Verdict::NobodyNamed) => "nobody named".to_owned(),
                Err(error) => format!("{error:#}"),
            };
            assert!(found.contains(said), "{what}: {found}");
            let policy = Policy { allowed: Some(allowed.clone()), allow_unsigned: false };
            let judged = policy.check("images-v1", read);
            assert_eq!(judged.is_ok(), live, "{what}: {judged:?}");
            if let Err(error) = judged {
                assert_eq!(failure::kind(&error), Kind::Digest, "{what}");
            }
            let (_, warning) = Policy { allow_unsigned: true, ..policy }.check("images-v1", read).unwrap();
            assert_eq!(warning.is_none(), live, "{what}: {warning:?}");
        }
    }

    #[test]
    fn where_nobody_is_named_nothing_is_asked_and_what_cannot_be_read_is_no_answer() {
        let nobody = Policy::default();
        assert_eq!(nobody.check("x", |name| panic!("{name} was read")).unwrap(), (None, None));
        let (_scratch, allowed, _) = keys();
        let loose = Policy { allowed: Some(allowed), allow_unsigned: true };
        let error = loose.check("x", |_| Err(failure::missing("no route"))).unwrap_err();
        assert_eq!(failure::kind(&error), Kind::Missing);
    }

    #[test]
    fn digests_are_one_a_file_and_lead_nowhere() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        assert!(Sums::parse(format!("{a}  x\n{b}  y\n{a}  x\n").as_bytes()).unwrap().has("y", b));
        for text in [
            format!("{a}  x\n{b}  x\n"),
            format!("{a}  ../x\n"),
            format!("{a}  /etc/passwd\n"),
            format!("{a}  -x\n"),
            format!("{a}  x\u{1b}[2J\n"),
            format!("{a} x\n"),
            format!("{a}  $(x)\n"),
            "0  x\n".to_owned(),
        ] {
            let error = Sums::parse(text.as_bytes()).unwrap_err();
            assert!(!format!("{error:#}").contains('\u{1b}') && failure::kind(&error) == Kind::Digest, "{text}");
        }
        assert!(Sums::parse(b"\xff").is_err());
    }

    #[test]
    fn hostile_digests() {
        crate::hostile::try_with(&[&sums(Some(b"x"))], |bytes| {
            if let Ok(sums) = Sums::parse(bytes) {
                assert!(sums.0.keys().all(|file| crate::text::shell_word(file) == *file && !file.contains('/')));
            }
        });
    }
}
