//! Commands of the tool, each with what must hold of it alone: what its exit code means, that a plan is what is done, and
//! that the same command once more does nothing.

use std::collections::BTreeMap;
use std::fs;

use github_stand_in::Release;
use rehearsal::process::Ran;
use rehearsal::world::IMAGES;
use rehearsal::{form, page};
use serde_json::Value;

use super::maintainer::{Maintainer, number};

/// Success, failure, usage, something missing, another digest, rebuild, Ctrl-C.
const CODES: [i32; 7] = [0, 1, 2, 3, 4, 10, 130];

impl Maintainer {
    /// All that others see, without the lock.
    pub fn everything(&self) -> String {
        let refs = self.world.git(&["ls-remote", self.world.remote().to_str().unwrap()]).unwrap();
        let refs: Vec<&str> = refs.lines().filter(|line| !line.contains("refs/packer/")).collect();
        let state = self.world.published();
        let release = |it: &Release| {
            let assets: Vec<_> = it.assets.iter().map(|asset| (asset.id, &asset.name, &asset.digest)).collect();
            let face = (&it.tag_name, &it.name, &it.body, it.draft, it.prerelease);
            format!("{} {face:?} {assets:?}", it.id)
        };
        let releases: Vec<String> = state.releases.iter().map(release).collect();
        format!("{refs:?} {releases:?} {:?}", state.issues)
    }

    /// The files of the images here.
    fn here(&self) -> BTreeMap<String, Vec<u8>> {
        let files = IMAGES.iter().flat_map(|name| self.files(name));
        files.map(|file| (file.display().to_string(), fs::read(&file).unwrap())).collect()
    }

    pub fn run(&mut self, words: &[&str]) -> Ran {
        self.typed(format!("  $ {}", words.join(" ")), words, |it| it.world.tool(words))
    }

    /// A line as it was printed, in the folder where it was printed.
    fn line(&mut self, line: &str) -> Ran {
        let words: Vec<&str> = line.strip_prefix("cargo xtask packer ").unwrap_or_default().split(' ').collect();
        self.typed(format!("  $ {line}"), &words, |it| {
            let mut command = it.world.command("sh");
            let output = command.args(["-c", line]).output().unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
            if words != [""] {
                form::check(&words, output.status.code(), &stdout, &stderr);
            }
            Ran { command: line.to_owned(), code: output.status.code(), stdout, stderr }
        })
    }

    fn typed(&mut self, told: String, words: &[&str], run: impl FnOnce(&Self) -> Ran) -> Ran {
        self.life.commands += 1;
        self.life.told.push(told);
        let (before, here) = (self.everything(), self.here());
        let ran = run(self);
        if ran.code != Some(0) {
            self.life.told.push(format!("    ended with {:?}: {}", ran.code, ran.stderr.trim()));
        }
        if !ran.code.is_some_and(|code| CODES.contains(&code)) || ran.code == Some(2) {
            self.fails(&format!("that ended with {:?}: {}{}", ran.code, ran.stdout, ran.stderr));
        }
        if ran.code == Some(3) && (self.everything() != before || self.here() != here) {
            self.fails(&format!("that ended with 3 and changed something:\n{}", ran.stderr));
        }
        if words.contains(&"--json") {
            self.validates(words[0], &ran);
        }
        ran
    }

    fn validates(&self, verb: &str, ran: &Ran) {
        let object = ran.json();
        let mut faults = page::faults(verb, &object);
        if object["verb"] != verb || object["exit_code"].as_i64() != ran.code.map(i64::from) {
            faults.push(format!("{verb} ended with {:?}, and its object is of another run", ran.code));
        }
        if !faults.is_empty() {
            self.fails(&format!("{}\n{object:#}", faults.join("\n")));
        }
    }

    /// A command that only reads.
    pub fn asked(&mut self, words: &[&str]) -> Value {
        let words = [words, &["--json"]].concat();
        self.life.commands += 1;
        let ran = self.world.tool(&words);
        self.validates(words[0], &ran);
        ran.json()
    }

    pub fn publishes(&mut self, words: &[&str]) -> Ran {
        self.publishes_as(words, None)
    }

    /// First the plan alone, then the same with `--execute`, or as it was printed.
    fn publishes_as(&mut self, words: &[&str], line: Option<&str>) -> Ran {
        let all = self.everything();
        let plan: Vec<&str> = words.iter().copied().filter(|word| *word != "--execute").chain(["--json"]).collect();
        let planned = self.run(&plan);
        if self.everything() != all {
            self.fails("a plan changed something");
        }
        let (before, old) = (self.face(), self.live().map(|live| live.id));
        let sent = self.world.hub().requests().len();
        let ran = match line {
            Some(line) => self.line(line),
            None => self.run(words),
        };
        self.remembers(words);
        if planned.code == Some(0) && planned.json()["plan"][0]["do"] == "recover" {
            // What comes after a recovery is planned only then.
            self.went_live(before, old);
            if ran.code == Some(0) {
                self.again(words);
            }
            return ran;
        }
        if ran.code != planned.code {
            self.fails(&format!("the plan ended with {:?}, and the publish with {:?}", planned.code, ran.code));
        }
        if ran.code == Some(0) {
            self.plan_is_what_was_done(&planned.json(), sent);
            self.went_live(before, old);
            self.again(words);
        }
        ran
    }

    /// The bytes in the plan are the bytes that the stand-in received, and the images in it are live.
    fn plan_is_what_was_done(&self, plan: &Value, requests: usize) {
        let live = self.live().unwrap();
        for image in plan["images"].as_array().into_iter().flatten() {
            let file = format!("{}.qcow2", image["name"].as_str().unwrap());
            let there = live.assets.iter().find(|asset| asset.name == file).and_then(|asset| asset.digest.clone());
            let planned = image["sha256"].as_str().map(|digest| format!("sha256:{digest}"));
            if there.is_none() || there != planned {
                self.fails(&format!("the plan has {file} with {planned:?}, and {there:?} is live"));
            }
        }
        let mut received: BTreeMap<String, u64> = BTreeMap::new();
        for it in &self.world.hub().requests()[requests..] {
            let name = it.query.split('&').find_map(|field| field.strip_prefix("name="));
            let name = name.filter(|_| it.method == "POST" && it.path.ends_with("/assets"));
            received.extend(name.map(|name| (name.to_owned(), it.bytes_received)));
        }
        // What the tool itself writes is not in the plan.
        let own = ["packer-images.json", "SHA256SUMS", "SHA256SUMS.sig", "get-images.sh"];
        received.retain(|name, _| !own.contains(&name.as_str()));
        let steps = plan["plan"].as_array().into_iter().flatten();
        let sent = steps.filter(|step| ["send", "copy"].iter().any(|it| step["do"] == *it));
        let file = |step: &Value| Some((step["file"].as_str()?.to_owned(), step["bytes"].as_u64()?));
        let planned: BTreeMap<String, u64> = sent.filter_map(file).collect();
        let sum = plan["preview"]["bytes"]["send"].as_u64();
        if planned != received || sum.is_some_and(|sum| sum != received.values().sum::<u64>()) {
            self.fails(&format!("the plan sends {planned:?}, and {received:?} arrived\n{plan:#}"));
        }
    }

    /// The same command once more does nothing and sends nothing.
    fn again(&mut self, words: &[&str]) {
        let (before, here, sent) = (self.everything(), self.here(), self.world.hub().requests().len());
        let ran = self.run(words);
        let changing = |request: &&github_stand_in::Request| {
            request.method != "GET" && !request.path.contains("graphql") && !request.path.contains("git-receive-pack")
        };
        let requests = self.world.hub().requests();
        let sent: Vec<String> =
            requests[sent..].iter().filter(changing).map(|it| format!("{} {}", it.method, it.path)).collect();
        if ran.code != Some(0) || self.everything() != before || self.here() != here || !sent.is_empty() {
            let said = format!("{}{}", ran.stdout, ran.stderr);
            self.fails(&format!("`{}` a second time: {:?}, sent {sent:?}\n{said}", words.join(" "), ran.code));
        }
    }

    pub fn rolls_back(&mut self) {
        let (now, was, old) = (self.face(), self.life.before.clone(), self.live().map(|live| live.id));
        let (trusted, taken) = (!self.life.by_hand, now.as_ref().and_then(|now| now.label().map(str::to_owned)));
        let ran = self.run(&["rollback", "--execute"]);
        if ran.code != Some(0) {
            if was.is_some() && trusted {
                self.fails(&format!("there is a set to go back to, and rollback says:\n{}{}", ran.stdout, ran.stderr));
            }
            return;
        }
        if let Some(was) = was.filter(|_| trusted) {
            if self.face().as_ref() != Some(&was) {
                self.fails(&format!("rollback brought back {:#?}\nand before there was {was:#?}", self.face()));
            }
            let newer = number(taken.as_deref()) > number(was.label());
            self.went_live(now, old);
            self.life.taken = Some(taken.filter(|_| newer));
        } else {
            self.went_live(now, old);
            // What comes back may be what somebody changed.
            (self.life.by_hand, self.life.taken) = (true, None);
        }
    }

    pub fn documents(&mut self, words: &[&str]) {
        let ran = self.run(words);
        if ran.code == Some(0) {
            self.notes_are_true();
            self.again(words);
        }
    }

    /// `mends`: where the host would build something else, what the refusal prints is typed.
    pub fn builds_on_host(&mut self, words: &[&str], mends: bool) {
        let ran = self.run(words);
        self.was_built(words, &ran, mends);
    }

    fn was_built(&mut self, words: &[&str], ran: &Ran, mends: bool) {
        let source = words.iter().skip_while(|word| **word != "--source").nth(1).copied();
        let revision = source.unwrap_or("HEAD").to_owned();
        let wanted: Vec<&str> = IMAGES.into_iter().filter(|name| words.contains(name)).collect();
        let wanted = if wanted.is_empty() { IMAGES.to_vec() } else { wanted };
        match ran.code {
            Some(0) => {
                for name in &wanted {
                    let (key, image) = (self.key(&revision, name), self.key_here(name));
                    if image.as_ref() != Some(&key) {
                        self.fails(&format!("{name} is to be of {revision}, inputs {key}, and has {image:?}"));
                    }
                }
                if !words.contains(&"--force") {
                    self.again(words);
                }
            }
            Some(3) if ran.stderr.contains("nothing was built") => {
                if words.contains(&"--sync") || !wanted.iter().any(|name| self.host_differs(&revision, name)) {
                    self.fails("the host was refused, and has the files that are wanted");
                }
                if mends {
                    self.mends(words, ran);
                }
            }
            _ => self.fails(&format!("the build ended with {:?}:\n{}", ran.code, ran.stderr)),
        }
    }

    /// Types the printed fix, one of the two, and the same command again.
    fn mends(&mut self, words: &[&str], ran: &Ran) {
        let fix = ran.stderr.split("fix: ").nth(1).unwrap_or_default();
        let pull = fix.strip_prefix("`ssh ").and_then(|rest| rest.split('`').next());
        if let Some(pull) = pull.filter(|_| self.life.commands.is_multiple_of(2)) {
            let ran = self.line(&format!("ssh {pull}"));
            if ran.code != Some(0) {
                self.fails(&format!("the fix that was printed fails:\n{}", ran.stderr));
            }
            self.builds_on_host(words, false);
        } else {
            let words = [&words[..1], &["--sync"], &words[1..]].concat();
            self.builds_on_host(&words, false);
        }
    }

    pub fn types(&mut self, line: &str) {
        let words: Vec<&str> = line.strip_prefix("cargo xtask packer ").unwrap_or("other").split(' ').collect();
        match words[0] {
            "publish" => drop(self.publishes_as(&words, Some(line))),
            "build-and-fetch" => {
                let ran = self.line(line);
                self.was_built(&words, &ran, true);
            }
            "document" => {
                let ran = self.line(line);
                if ran.code == Some(0) {
                    self.notes_are_true();
                    self.again(&words);
                }
            }
            _ => drop(self.line(line)),
        }
        // A tag of the tool's own choice.
        let tags = self.world.git(&["tag", "--list", "v0.*"]).unwrap();
        let newest = tags.lines().filter_map(|tag| tag.strip_prefix("v0.")?.parse().ok()).max();
        self.life.version = newest.unwrap_or(self.life.version).max(self.life.version);
    }
}
