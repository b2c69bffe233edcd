//! Real exchanges with GitHub, as octokit recorded them, played again against the stand-in.
//!
//! They are the npm package `@octokit/fixtures`, which `scripts/setup test` brings.

#[path = "it/described.rs"]
mod described;
#[expect(dead_code, reason = "the tests of each rule need more of it")]
#[path = "it/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use github_stand_in::{Access, Release, Repository, SeedRelease, Token};
use serde_json::Value;

use described::Description;
use world::{Got, OWNER, World, git};

/// Which exchanges are played again.
const SCENARIOS: [&str; 5] = ["release-assets", "release-assets-conflict", "git-refs", "rename-repository", "errors"];

/// Where the stand-in answers otherwise than was recorded, as the end of the place in an answer.
const EXCEPTIONS: &[&str] = &[
    // Named by GitHub after the page of the documentation, which moves from year to year.
    ".documentation_url",
    // Of an upload's refusal alone, and the same as a header which every answer has.
    ".request_id",
    // Numbers and dates of another repository and its people; what there is of them is described.
    ".node_id",
    ".avatar_url",
    ".size",
    ".type",
    "_count",
    "_at",
    ".forks",
    ".open_issues",
    ".watchers",
    // Of a repository's settings the stand-in has none that its clients don't ask for, and it belongs to no organisation.
    ".description",
    ".temp_clone_token",
    ".organization",
    ".allow_squash_merge",
    ".allow_merge_commit",
    ".allow_rebase_merge",
    ".allow_auto_merge",
    ".allow_update_branch",
    ".delete_branch_on_merge",
    ".use_squash_pr_title_as_default",
];

/// What is asked in the place of a recorded request: its end, another end, and another body.
const INSTEAD: &[(&str, &str, &str)] = &[
    // No client of the stand-in makes labels. A field that is wrong is refused alike everywhere.
    ("/errors/labels", "/errors/releases", r#"{ "tag_name": "t", "target_commitish": "nowhere" }"#),
];

/// What such a request tells of something else than the recorded one.
const OF_INSTEAD: [&str; 2] = [".resource", ".field"];

#[test]
fn what_was_recorded_is_answered_so_today() {
    let folder = described::folder().join("scenarios");
    let Some(description) = Description::get().filter(|_| folder.exists()) else {
        println!(
            "skipped: GitHub's description and recorded exchanges are not here; `scripts/setup test` brings them, with npm"
        );
        return;
    };
    let mut played = 0;
    for scenario in SCENARIOS {
        let text = std::fs::read(folder.join(scenario).join("normalized-fixture.json")).unwrap();
        let exchanges: Vec<Value> = serde_json::from_slice(&text).unwrap();
        let mut stage = Stage::new(scenario);
        let mut differences = Vec::new();
        for (number, exchange) in exchanges.iter().enumerate() {
            if scenario == "release-assets-conflict" && number == 1 {
                // An upload that isn't among the recorded ones came between these two.
                stage.upload(exchange["path"].as_str().unwrap());
            }
            let method = exchange["method"].as_str().unwrap().to_uppercase();
            let place = format!("{method} {}", exchange["path"].as_str().unwrap());
            played += 1;
            let found = stage.play(description, &method, exchange);
            differences.extend(found.into_iter().map(|it| format!("{scenario} {}, {place}{it}", number + 1)));
        }
        assert!(differences.is_empty(), "other than recorded:\n{}", differences.join("\n"));
    }
    // The tests of each rule ran before, in a program of their own.
    let validated = described::count_left_by("it") + described::VALIDATED.load(Ordering::Relaxed);
    println!("github description matrix: {validated} answers validated, {played} exchanges replayed");
}

/// A repository of the scenario's name, in the state in which its recording began.
struct Stage {
    world: World,
    /// What stands for a recorded id or commit: `releases/1000` and such, and hex digits.
    ours: BTreeMap<String, String>,
}

impl Stage {
    fn new(scenario: &str) -> Self {
        let world = World::new();
        let name = format!("octokit-fixture-org/{scenario}");
        let bare = world.path("scenario.git");
        git(&world.path(""), &["init", "-q", "--template=", "--bare", "-b", "main", "scenario.git"]);
        git(&world.path("work"), &["push", "-q", "../scenario.git", "main"]);
        world.hub.add_repository(&name, Repository::new(bare)).unwrap();
        world.hub.add_token("owner-secret", Token::classic("octokit-fixture-user-a").with(&name, Access::Admin));
        if scenario.starts_with("release-assets") {
            let mut seed = SeedRelease::published("v1.0.0");
            (seed.name, seed.body) = (Some("Version 1.0.0".to_owned()), Some("Initial release".to_owned()));
            let release = world.hub.seed_release(&name, seed).unwrap();
            let target = world.git(&["rev-parse", "main"]);
            let change = |it: &mut Release| {
                it.author = "octokit-fixture-user-a".to_owned();
                it.target_commitish = target;
            };
            world.hub.change_release(&name, release, change).unwrap();
        }
        let commit = |revision: &str| world.git(&["rev-parse", revision]);
        let ours = [(format!("{:040}", 1), commit("main")), (format!("{:040}", 2), commit("main~1"))];
        Self { world, ours: ours.into() }
    }

    fn upload(&self, path: &str) {
        let url = format!("http://uploads.github.com{}", self.translate(path));
        let kind = ["-H", "Content-Type: text/plain"];
        self.world.curl(OWNER, "POST", &url, &kind, Some(b"Hello, world!\n")).ok(201);
    }

    /// Sends a recorded request and says what in the answer is another.
    fn play(&mut self, description: &Description, method: &str, exchange: &Value) -> Vec<String> {
        let recorded = &exchange["response"];
        let host = exchange["scope"].as_str().unwrap().trim_end_matches(":443").replace("https", "http");
        let path = exchange["path"].as_str().unwrap();
        let instead = INSTEAD.iter().find(|(end, ..)| path.ends_with(end));
        let path = instead.map_or(path.to_owned(), |(end, other, _)| path.replace(end, other));
        let url = format!("{host}{}", self.translate(&path));
        let body = match &exchange["body"] {
            _ if instead.is_some() => instead.map(|(.., body)| (*body).to_owned()),
            Value::String(text) if text.is_empty() => None,
            Value::String(text) => Some(text.clone()),
            json => Some(self.translate(&json.to_string())),
        };
        let kind = exchange["reqheaders"]["content-type"].as_str().map(|it| format!("Content-Type: {it}"));
        let options: Vec<&str> = kind.iter().flat_map(|it| ["-H", it]).collect();
        let got = self.world.curl(OWNER, method, &url, &options, body.as_deref().map(str::as_bytes));

        let answer = got.json();
        self.learn(recorded, &answer);
        let mut differences = Vec::new();
        if exchange["status"] != got.status {
            differences.push(format!(": {} instead of {}", got.status, exchange["status"]));
        }
        if let Some(location) = exchange["headers"]["location"].as_str() {
            let ours = got.header("Location").unwrap_or_default().replace("http://", "https://");
            self.compare(&location.into(), &ours.into(), " Location", &mut differences);
        }
        let described = |key: &str| {
            // A recording is older than the description; a repository has no path of its own by its number there.
            description.describes(method, path.split('?').next().unwrap(), got.status, key)
        };
        if let Value::String(_) = recorded {
            self.same_text(&got, recorded, &mut differences);
        } else {
            self.compare(recorded, &answer, "", &mut differences);
            let new = new_keys(recorded, &answer).into_iter().filter(|key| !described(key));
            differences.extend(new.map(|key| format!(" .{key}: wasn't there and isn't described")));
        }
        differences.retain(|it| {
            let place = it.split(':').next().unwrap_or_default();
            let other = instead.is_some() && OF_INSTEAD.iter().any(|end| place.ends_with(end));
            !other && !EXCEPTIONS.iter().any(|end| place.ends_with(end))
        });
        differences
    }

    fn same_text(&self, got: &Got, recorded: &Value, differences: &mut Vec<String>) {
        let ours = String::from_utf8_lossy(&got.body);
        if recorded.as_str() != Some(&ours) {
            differences.push(format!(": {ours} instead of {recorded}"));
        }
    }

    /// Notes which of our ids stands for a recorded one.
    fn learn(&mut self, recorded: &Value, ours: &Value) {
        if let (Some(recorded), Some(ours)) = (recorded.as_array(), ours.as_array()) {
            recorded.iter().zip(ours).for_each(|(recorded, ours)| self.learn(recorded, ours));
        }
        let kinds = [("browser_download_url", "assets"), ("upload_url", "releases"), ("full_name", "repositories")];
        let kind = kinds.iter().find(|(key, _)| recorded.get(key).is_some());
        if let (Some((_, kind)), Some(id)) = (kind, ours.get("id")) {
            self.ours.insert(format!("{kind}/{}", recorded["id"]), format!("{kind}/{id}"));
        }
        // A request to a former name says the number before anything else does.
        if let (Some(recorded), Some(ours)) = (number(recorded), number(ours)) {
            self.ours.insert(recorded, ours);
        }
    }

    /// A recorded text with our ids and commits.
    fn translate(&self, text: &str) -> String {
        self.ours.iter().fold(text.to_owned(), |text, (recorded, ours)| text.replace(recorded, ours))
    }

    /// Holds each recorded value against ours.
    fn compare(&self, recorded: &Value, ours: &Value, at: &str, differences: &mut Vec<String>) {
        match (recorded, ours) {
            (Value::Object(recorded), Value::Object(_)) => {
                for (key, value) in recorded {
                    let at = format!("{at} .{key}").replace("  ", " ");
                    match ours.get(key) {
                        Some(ours) if key == "id" => {
                            if !ours.is_u64() {
                                differences.push(format!("{at}: {ours}"));
                            }
                        }
                        Some(ours) => self.compare(value, ours, &at, differences),
                        None => differences.push(format!("{at}: is missing")),
                    }
                }
            }
            (Value::Array(recorded), Value::Array(ours)) if recorded.len() == ours.len() => {
                for (recorded, ours) in recorded.iter().zip(ours) {
                    self.compare(recorded, ours, at, differences);
                }
            }
            (Value::String(recorded), Value::String(ours)) if self.translate(recorded) == *ours => {}
            _ if recorded == ours => {}
            _ => differences.push(format!("{at}: {ours} instead of {recorded}")),
        }
    }
}

/// `repositories/1000` of an address that leads there.
fn number(answer: &Value) -> Option<String> {
    let (_, rest) = answer["url"].as_str()?.split_once("/repositories/")?;
    Some(format!("repositories/{}", rest.split('/').next()?))
}

/// Keys that our answer has and the recorded one hasn't.
fn new_keys(recorded: &Value, ours: &Value) -> BTreeSet<String> {
    let first =
        |value: &Value| value.as_array().map_or_else(|| value.clone(), |it| it.first().cloned().unwrap_or_default());
    let keys = |value: Value| -> BTreeSet<String> {
        value.as_object().map(|it| it.keys().cloned().collect()).unwrap_or_default()
    };
    &keys(first(ours)) - &keys(first(recorded))
}
