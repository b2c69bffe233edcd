//! `release`: the guided walk through the phase. It looks where one is, says what comes next, and runs the verb that does it;
//! each verb asks as it does by itself, and leaves the same trace.

use serde_json::{Value, json};

use super::{Common, Outcome, Verb};
use crate::Task;
use crate::console::{Console, count};
use crate::failure;
use crate::text;
use clap::Parser as _;

/// Walk through the phase: doctor, check, build-and-fetch, publish, verify, document
///
/// Shows what is done, what is next and what comes later, and does the next step after asking. Ended anywhere, it is
/// started again with the same command. Without a terminal, or with --json, it says where one is and the next command.
#[derive(clap::Args)]
pub struct Release {
    /// The version tag of the release
    #[arg(value_name = "VERSION")]
    version: String,
    /// Build host, as ssh takes it; give it again for several
    #[arg(long = "host", value_name = "HOST", allow_hyphen_values = true)]
    hosts: Vec<String>,
    /// The release issue that gets a comment
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    issue: Option<u64>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Done,
    Next,
    Later,
}

/// One step of the phase.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    verb: &'static str,
    state: State,
    said: String,
    /// What to type for it, behind `cargo xtask packer`.
    words: Vec<String>,
}

/// What was looked at: the objects that the verbs give with `--json`.
struct Seen {
    doctor: Value,
    status: Value,
    /// Where `latest` stands for the release.
    verify: Option<Value>,
    /// A plan; or why there is none.
    document: Result<Value, String>,
}

impl Release {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        if !crate::version::is_one(&self.version) {
            return Err(failure::usage(format!(
                "`{}` is no release; expected a version tag such as v0.46",
                text::line(&self.version)
            )));
        }
        let mut before: Option<Vec<Step>> = None;
        loop {
            let steps = self.steps(&self.look(common)?);
            self.show(&steps, common, console)?;
            let Some(next) = steps.iter().find(|step| step.state == State::Next) else {
                console.line("All of it is done.");
                return Ok(self.outcome(&steps, common));
            };
            if before.as_ref() == Some(&steps) {
                return Err(failure::failed(format!(
                    "{} left everything as it was; look with `{}`",
                    next.verb,
                    common.again("status")
                )));
            }
            if next.verb == "doctor" {
                return Ok(Outcome::exit(3, self.fields(&steps, common)));
            }
            if next.words.iter().any(|word| word == "HOST") {
                console.line(format_args!("Name the build host: {}", common.again(&format!("release {} --host HOST", self.version))));
                return Ok(self.outcome(&steps, common));
            }
            let command = common.again(&shown(&next.words));
            match console.ask(&format!("{}: {}. Go on?", next.verb, next.said))? {
                Some(true) => {}
                answer => {
                    if answer.is_none() {
                        console.line(format_args!("next: {command}"));
                    }
                    return Ok(self.outcome(&steps, common));
                }
            }
            console.line(format_args!("$ {command}"));
            let ran = verb(&next.words)?.run(common, console)?.to_json();
            // Its own question was answered with no.
            if ran["executed"] == false {
                return Ok(self.outcome(&steps, common));
            }
            before = Some(steps);
        }
    }

    fn look(&self, common: &Common) -> anyhow::Result<Seen> {
        let ask = |words: &[String]| -> anyhow::Result<Value> {
            Ok(verb(words)?.run(common, &Console::silent())?.to_json())
        };
        let doctor = ask(&self.with_hosts("doctor"))?;
        let status = ask(&["status".to_owned()])?;
        let live = status["release"]["source"] == *self.version;
        let verify = if live { Some(ask(&["verify".to_owned(), "--no-local".to_owned()])?) } else { None };
        let mut document = self.document();
        document.push("--dry-run".to_owned());
        Ok(Seen { doctor, status, verify, document: ask(&document).map_err(|error| format!("{error:#}")) })
    }

    fn with_hosts(&self, verb: &str) -> Vec<String> {
        let hosts = self.hosts.iter().flat_map(|host| ["--host".to_owned(), host.clone()]);
        std::iter::once(verb.to_owned()).chain(hosts).collect()
    }

    fn document(&self) -> Vec<String> {
        let mut words = vec!["document".to_owned(), "--release".to_owned(), self.version.clone()];
        words.extend(self.issue.iter().flat_map(|issue| ["--issue".to_owned(), issue.to_string()]));
        words
    }

    /// From what was seen to where one is: the first that isn't done is next.
    fn steps(&self, seen: &Seen) -> Vec<Step> {
        let images = seen.status["images"].as_array().cloned().unwrap_or_default();
        let of_template: Vec<&Value> = images.iter().filter(|image| image["template"] == true).collect();
        // An image here that isn't the published one is what is to be published.
        let is_news = |image: &Value| image["local"]["sha256"].is_string() && image["agreement"] != "same";
        let is_due = |image: &Value| image["decision"] == "rebuild" || image["published"].is_null();
        let named = |wanted: &dyn Fn(&Value) -> bool| -> Vec<String> {
            of_template.iter().filter(|image| wanted(image)).filter_map(|image| image["name"].as_str().map(str::to_owned)).collect()
        };
        let due = named(&is_due);
        let to_build = named(&|image| is_due(image) && !is_news(image));
        let news = named(&is_news);
        let live = seen.status["release"]["source"] == *self.version;
        let healthy = seen.doctor["healthy"] == true;
        let asked = seen.status["unasked"].as_array().is_none_or(Vec::is_empty);
        let broken = seen.status["heal"].as_str();
        let verified = seen.verify.as_ref().is_none_or(|verify| verify["status"] == "success");

        let mut steps = Vec::new();
        let mut add = |verb, done: bool, said: String, words: Vec<String>| {
            let open = steps.iter().any(|step: &Step| step.state != State::Done);
            let state = match (done, open) {
                (true, false) => State::Done,
                (false, false) => State::Next,
                (_, true) => State::Later,
            };
            steps.push(Step { verb, state, said, words });
        };
        let failing = seen.doctor["findings"].as_array().into_iter().flatten().filter(|it| it["state"] == "fail");
        let failing: Vec<String> = failing.map(|it| format!("{}: {}", word(&it["what"]), word(&it["said"]))).collect();
        let said = if healthy { "all that a release needs is here".to_owned() } else { failing.join("; ") };
        add("doctor", healthy, said, self.with_hosts("doctor"));

        let said = match due.as_slice() {
            [] => "no image needs a rebuild".to_owned(),
            due => format!("to be rebuilt: {}", due.join(", ")),
        };
        add("check", asked, said, vec!["check".to_owned()]);

        let mut words = self.with_hosts("build-and-fetch");
        if self.hosts.is_empty() {
            words.extend(["--host".to_owned(), "HOST".to_owned()]);
        }
        words.extend(to_build.iter().cloned());
        let said = match (to_build.as_slice(), due.is_empty()) {
            ([], true) => "nothing to build".to_owned(),
            ([], false) => "built".to_owned(),
            (some, _) => format!("build {}: {}", count(some.len(), "image"), some.join(", ")),
        };
        add("build-and-fetch", to_build.is_empty(), said, words);

        let needless = due.is_empty() && news.is_empty() && !live;
        let said = match (broken, live && news.is_empty(), needless) {
            (Some(heal), _, _) => heal.to_owned(),
            (None, true, _) => format!("`latest` is {}", self.version),
            (None, _, true) => "not needed: `latest` keeps its images".to_owned(),
            (None, false, false) => format!("make `latest` the set of {}", self.version),
        };
        let done = broken.is_none() && (needless || (live && news.is_empty()));
        add("publish", done, said, vec!["publish".to_owned(), "--source".to_owned(), self.version.clone()]);

        let differs = seen.verify.iter().flat_map(|verify| verify["differences"].as_array().into_iter().flatten());
        let differs: Vec<String> = differs.map(word).collect();
        let said = if verified { "`latest` is what it should be".to_owned() } else { differs.join("; ") };
        add("verify", verified, said, vec!["verify".to_owned(), "--no-local".to_owned()]);

        let (done, said) = match &seen.document {
            Ok(plan) => {
                let written = |field: &str| plan[field].is_null() || plan[field] == "unchanged";
                (written("notes") && written("comment"), word(&plan["line"]))
            }
            Err(why) => (false, why.clone()),
        };
        add("document", done, said, self.document());
        steps
    }

    fn show(&self, steps: &[Step], common: &Common, console: &Console) -> anyhow::Result<()> {
        console.line(console.bold(&format!("Release {} of {}", self.version, common.repo()?)));
        for step in steps {
            let mark = match step.state {
                State::Done => console.green("done "),
                State::Next => console.yellow("next "),
                State::Later => "later".to_owned(),
            };
            let said = if step.state == State::Later { "" } else { &step.said };
            console.line(format!("  {mark}  {:15}  {said}", step.verb).trim_end());
        }
        Ok(())
    }

    fn outcome(&self, steps: &[Step], common: &Common) -> Outcome {
        Outcome::done(self.fields(steps, common))
    }

    fn fields(&self, steps: &[Step], common: &Common) -> Value {
        let next = steps.iter().find(|step| step.state == State::Next);
        json!({
            "release": self.version,
            "steps": steps.iter().map(|step| json!({
                "verb": step.verb,
                "state": match step.state { State::Done => "done", State::Next => "next", State::Later => "later" },
                "said": step.said,
            })).collect::<Vec<_>>(),
            "next": next.map(|step| common.again(&shown(&step.words))),
        })
    }
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn shown(words: &[String]) -> String {
    words.iter().map(|word| text::word(&text::line(word))).collect::<Vec<_>>().join(" ")
}

/// The verb that these words are.
fn verb(words: &[String]) -> anyhow::Result<Verb> {
    let words = ["xtask", "packer"].into_iter().chain(words.iter().map(String::as_str));
    let cli = crate::Cli::try_parse_from(words).map_err(|error| failure::usage(error.to_string()))?;
    let Task::Packer { verb } = cli.task;
    Ok(verb)
}
