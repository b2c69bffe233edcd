//! `doctor`: every tool, login, permission and host that a release needs, each failure with its cure.

use std::thread;

use serde_json::{Value, json};
use xshell::cmd;

use super::{Common, Outcome, common};
use crate::console::{Console, count};
use crate::gh::{Gh, Tries};
use crate::git::Git;
use crate::host::{doctor, stale};
use crate::image::templates;
use crate::latest::doors::Doors;
use crate::latest::files::{self, Signed};
use crate::latest::github::GitHub;
use crate::latest::lock;
use crate::latest::look::{self, Live, Look};
use crate::latest::{TAG, heal, naming, preflight, previous};
use crate::packer::Address;
use crate::process::{self, joined};
use crate::signing::ALLOWED;
use crate::ssh::{Host, RemoteDir, Ssh};
use crate::typed;

/// Check every tool, login, permission and host that a release needs
///
/// All that is wrong is said at once, each with its cure. Exit code 3 if a release would fail.
#[derive(clap::Args)]
pub struct Doctor {
    /// Build host to look at as well, as ssh takes it; give it again for several
    #[arg(long = "host", value_name = "HOST", allow_hyphen_values = true)]
    hosts: Vec<String>,
    /// The packer directory on the host
    #[arg(long, value_name = "DIR", default_value = "/usr/local/lib/homestak/packer", allow_hyphen_values = true)]
    remote_dir: String,
    /// For builds with --sync, which need no packer directory on the host
    #[arg(long)]
    sync: bool,
    #[command(flatten)]
    pub common: common::OfPublished,
}

const TRIES: Tries = Tries { stall_timeout: 30, answer_timeout: 30, attempts: 2 };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    /// A release may go through all the same.
    Warn,
    Fail,
}

/// One thing looked at.
struct Finding {
    what: String,
    state: State,
    said: String,
}

impl Finding {
    fn new(what: impl Into<String>, state: State, said: impl Into<String>) -> Self {
        Self { what: what.into(), state, said: said.into() }
    }

    fn of(what: impl Into<String>, found: anyhow::Result<String>) -> Self {
        match found {
            Ok(said) => Self::new(what, State::Good, said),
            Err(error) => Self::new(what, State::Fail, format!("{error:#}")),
        }
    }
}

impl Doctor {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        let hosts = self.hosts.iter().map(|host| host.parse()).collect::<anyhow::Result<Vec<Host>>>()?;
        let dir: RemoteDir = if self.sync { stale::SYNCED } else { self.remote_dir.as_str() }.parse()?;
        let gh = common.repo().map(|repo| Gh::new(repo, TRIES, console));
        let (dir, sync) = (&dir, self.sync);
        let findings = thread::scope(|scope| {
            let tools = scope.spawn(tools);
            let github = scope.spawn(|| github(gh, common, console));
            let hosts: Vec<_> =
                hosts.into_iter().map(|host| scope.spawn(move || build_host(host, dir, sync))).collect();
            let mut findings = joined(tools);
            findings.push(packer_directory(common));
            findings.extend(joined(github));
            findings.extend(hosts.into_iter().flat_map(joined));
            findings
        });
        show(&findings, console);
        let bad = findings.iter().filter(|finding| finding.state == State::Fail).count();
        let fields =
            json!({ "healthy": bad == 0, "findings": findings.iter().map(Finding::to_json).collect::<Vec<_>>() });
        if bad == 0 {
            console.line("A release can go ahead.");
            return Ok(Outcome::done(fields));
        }
        console.line(format_args!("{bad} to mend before a release."));
        Ok(Outcome::exit(3, fields))
    }
}

fn tools() -> Vec<Finding> {
    let version = |found: anyhow::Result<process::Finished>, line: fn(&process::Finished) -> String| {
        found.and_then(|finished| if line(&finished).is_empty() { Err(finished.error()) } else { Ok(line(&finished)) })
    };
    let stdout = |finished: &process::Finished| finished.text().lines().next().unwrap_or_default().to_owned();
    let stderr = |finished: &process::Finished| finished.stderr.lines().next().unwrap_or_default().to_owned();
    let run = |tool: &str| -> anyhow::Result<process::Finished> {
        let sh = process::shell()?;
        process::output(match tool {
            "ssh" => cmd!(sh, "ssh -V"),
            // It has no option for its version; without arguments it says how it is used.
            "scp" => cmd!(sh, "scp"),
            tool => cmd!(sh, "{tool} --version"),
        })
    };
    vec![
        Finding::of("git", version(run("git"), stdout)),
        Finding::of("gh", version(run("gh"), stdout)),
        Finding::of("ssh", version(run("ssh"), stderr)),
        Finding::of("scp", version(run("scp"), |_| "installed".to_owned())),
    ]
}

fn packer_directory(common: &Common) -> Finding {
    let dir = common.packer_dir();
    let names = templates::names(&dir).map(|names| {
        let names: Vec<String> = names.into_iter().collect();
        format!("{}: {}", dir.display(), names.join(", "))
    });
    Finding::of("templates", names)
}

/// The login, what it may do, and the state of `latest`.
fn github(gh: anyhow::Result<Gh>, common: &Common, console: &Console) -> Vec<Finding> {
    let gh = match gh {
        Ok(gh) => gh,
        Err(error) => return vec![Finding::of("repository", Err(error))],
    };
    let git = Git::at(&common.packer_dir());
    let mut findings = Vec::new();
    match preflight::examine(&gh) {
        Err(error) => return vec![Finding::of("login", Err(error)), remote(&git, common)],
        Ok(examined) => {
            let who = gh.login().ok().flatten().unwrap_or_else(|| "an app".to_owned());
            let scopes = match &examined.scopes {
                Some(scopes) => format!("{who} on {}, scopes: {}", gh.repo().host, scopes.join(", ")),
                None => format!("{who} on {}, with a token of its own permissions", gh.repo().host),
            };
            findings.push(Finding::new("login", State::Good, scopes));
            if examined.scopes.as_ref().is_some_and(|scopes| scopes.iter().all(|scope| scope != "workflow")) {
                let said = "without the scope `workflow` a source with other workflows than the default branch can't be \
                            published; `gh auth refresh --scopes workflow` adds it";
                findings.push(Finding::new("login", State::Warn, said));
            }
            let repo = gh.repo().to_string();
            if examined.problems.is_empty() {
                findings.push(Finding::new("repository", State::Good, format!("{repo}, {who} may write")));
            }
            let wrong = |error: &anyhow::Error| Finding::new("repository", State::Fail, format!("{error:#}"));
            findings.extend(examined.problems.iter().map(wrong));
            findings.extend(examined.warnings.into_iter().map(|said| Finding::new("repository", State::Warn, said)));
        }
    }
    findings.push(remote(&git, common));
    let differs = common.remote_differs(gh.repo());
    findings.extend(differs.map(|said| Finding::new("remote", State::Warn, said)));
    let address = common.address(gh.repo());
    let outside = GitHub::new(&gh, &git, address.clone(), console);
    findings.push(push(&gh, &outside, &address));
    findings.extend(latest(Doors::new(&outside), common));
    findings
}

fn remote(git: &Git, common: &Common) -> Finding {
    let tags = git.remote_tags(&common.remote, &[TAG]).map(|mut tags| match tags.pop().flatten() {
        Some(tag) => format!("{} answers, {TAG} is at {}", common.remote, crate::decide::short(&tag.commit)),
        None => format!("{} answers, it has no tag {TAG} yet", common.remote),
    });
    Finding::of("remote", tags)
}

/// Where the tag lives, with whose login it is pushed, and whether that may write.
fn push(gh: &Gh, outside: &GitHub, address: &Address) -> Finding {
    let login = if address.is_given() { "with git's own login" } else { "with gh's login" };
    let let_in = format!(
        "tag and lock go to {} {login}; a push is let in there (what rules and workflows forbid shows only at the real one)",
        address.shown()
    );
    Finding::of("push", preflight::may_push(gh, outside.publisher()).map(|()| let_in))
}

/// Whether release, tag and manifest belong together, and nothing was left half-way.
fn latest(doors: Doors<'_>, common: &Common) -> Vec<Finding> {
    let look = match look::look(doors) {
        Ok(look) => look,
        Err(error) => return vec![Finding::of(TAG, Err(error))],
    };
    let mut findings = vec![state(doors, &look, common)];
    findings.extend(look.live.as_ref().and_then(|live| signature(doors, live, common)));
    let held = lock::holder(doors, look.lock.as_deref());
    findings.push(match held {
        Some(holder) => Finding::new("lock", State::Warn, holder.to_string()),
        None => Finding::new("lock", State::Good, "nobody publishes now"),
    });
    findings.extend(look.incoming.iter().map(|draft| {
        let begun = match &draft.marker {
            Some(marker) => format!(
                "a publish of {} was begun; {} goes on with it",
                marker.set.describe(),
                typed::line(format_args!("publish --source {}", marker.set.source))
            ),
            None => format!(
                "the draft {} is not this tool's and blocks a publish; delete it, or publish with --discard-incoming",
                draft.release.id
            ),
        };
        Finding::new("incoming", State::Warn, begun)
    }));
    findings.extend(look.previous.iter().filter_map(|draft| {
        let staged = previous::staged_on(draft)?;
        let said = format!(
            "a publish ended early and left {staged} (draft {}); {} goes on with it, and {} brings the old set all the same",
            draft.release.id,
            typed::line("publish --source TAG --execute"),
            typed::line("rollback --execute")
        );
        Some(Finding::new("previous", State::Warn, said))
    }));
    if let Some(live) = look.live.as_ref().filter(|live| naming::spare(&live.assets).next().is_some()) {
        let left = naming::spare(&live.assets).count();
        let said = format!("{} that nobody needs on the release; the next publish deletes them", count(left, "file"));
        findings.push(Finding::new("leftovers", State::Warn, said));
    }
    findings
}

/// Who signed what is live; `None` where nothing is signed and nothing says that it should be.
fn signature(doors: Doors<'_>, live: &Live, common: &Common) -> Option<Finding> {
    let allowed = common.allowed_signers();
    let signed = files::signed(allowed.as_ref(), &live.assets, live.manifest.as_ref(), |asset| doors.read_asset(asset));
    let again = "publish again with --sign KEY";
    Some(match (signed, allowed) {
        (Err(error), _) => Finding::new("signature", State::Fail, format!("{error:#}")),
        (Ok(Signed::By(who, _)), _) => Finding::new("signature", State::Good, format!("{TAG} is signed by {who}")),
        (Ok(Signed::Unknown), _) => {
            let said = format!(
                "{TAG} is signed, and {} doesn't say who may sign",
                common.packer_dir().join(ALLOWED).display()
            );
            Finding::new("signature", State::Warn, said)
        }
        (Ok(Signed::Not), Some(allowed)) => {
            let said = format!("{TAG} is not signed, and {} names who signs; {again}", allowed.path().display());
            Finding::new("signature", State::Fail, said)
        }
        (Ok(Signed::Not), None) => return None,
    })
}

fn state(doors: Doors<'_>, look: &Look, common: &Common) -> Finding {
    match heal::plan(doors, look) {
        Err(error) => return Finding::of(TAG, Err(error)),
        Ok(Some(heal)) => {
            let (publish, back) = (typed::line("publish --source TAG --execute"), typed::line("rollback --execute"));
            return Finding::new(TAG, State::Fail, format!("{heal}; {publish}, or {back}, begins with that"));
        }
        Ok(None) => {}
    }
    let Some(live) = &look.live else {
        return Finding::new(TAG, State::Good, "not published yet: the first publish makes it");
    };
    match (&live.manifest, &look.tag) {
        (_, None) => Finding::new(
            TAG,
            State::Warn,
            format!("the release has no tag on {}; the next publish makes it", common.remote),
        ),
        (None, _) => Finding::new(TAG, State::Warn, "made by hand: nothing tells what its images were built from"),
        (Some(manifest), Some(tag)) if manifest.commit != tag.commit => Finding::new(
            TAG,
            State::Warn,
            format!(
                "the tag is at {} and the manifest is for {}; {} says more, a publish mends it",
                crate::decide::short(&tag.commit),
                manifest.source,
                typed::line("verify")
            ),
        ),
        (Some(manifest), Some(_)) => {
            Finding::new(TAG, State::Good, format!("{}, {}", manifest.source, count(manifest.images.len(), "image")))
        }
    }
}

fn build_host(host: Host, dir: &RemoteDir, sync: bool) -> Vec<Finding> {
    let name = host.to_string();
    match doctor::ask(&Ssh { host, stall: std::time::Duration::from_secs(60) }, dir) {
        Err(fault) => vec![Finding::of(format!("host {name}"), Err(fault.error))],
        Ok(needs) => {
            let finding = |need: doctor::Need| {
                let (state, said) = match need.found {
                    Ok(said) => (State::Good, said),
                    Err(said) if need.optional => (State::Warn, said),
                    Err(said) => (State::Fail, said),
                };
                Finding::new(format!("host {name}: {}", need.what), state, said)
            };
            let needs = needs.into_iter().filter(|need| !sync || need.what != doctor::FOLDER);
            needs.map(finding).collect()
        }
    }
}

fn show(findings: &[Finding], console: &Console) {
    let width = findings.iter().map(|finding| finding.what.chars().count()).max().unwrap_or(0);
    for finding in findings {
        let mark = match finding.state {
            State::Good => console.green("ok   "),
            State::Warn => console.yellow("warn "),
            State::Fail => console.red("fail "),
        };
        let said = finding.said.replace('\n', &format!("\n{}", " ".repeat(width + 9)));
        console.line(format_args!("{mark}  {:width$}  {said}", finding.what));
    }
}

impl Finding {
    fn to_json(&self) -> Value {
        let state = match self.state {
            State::Good => "ok",
            State::Warn => "warn",
            State::Fail => "fail",
        };
        json!({ "what": self.what, "state": state, "said": self.said })
    }
}
