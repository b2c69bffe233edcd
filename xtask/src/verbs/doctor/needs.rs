//! Every tool, login, permission and host that a release needs, each failure with its fix.
//!
//! It only reads, and asks GitHub, the remote and the hosts side by side. `doctor` shows all findings, `release` starts with them.

use std::path::Path;
use std::thread;

use xshell::cmd;

use crate::failure::Failure;
use crate::gh::Gh;
use crate::git::Git;
use crate::host::doctor;
use crate::host::folder::PackerDir;
use crate::latest::github::GitHub;
use crate::latest::{TAG, preflight};
use crate::phase::{Finding, Grade, Problem};
use crate::process::{self, joined};
use crate::repo::Address;
use crate::signing::ALLOWED;
use crate::sources::{History, templates};
use crate::ssh::{Host, Ssh};
use crate::verbs::Common;
use crate::verbs::common::Build;

fn found(what: impl Into<String>, found: anyhow::Result<String>) -> Finding {
    match found {
        Ok(said) => Finding::new(what, Grade::Ok, said),
        Err(error) => Finding::new(what, Grade::Fail, format!("{error:#}")),
    }
}

/// What stops a release: each failure, with its fix.
pub fn problem(findings: &[Finding]) -> Option<Problem> {
    let bad = findings.iter().filter(|finding| finding.grade == Grade::Fail && !REPAIRED.contains(&&*finding.what));
    let bad: Vec<String> = bad.map(|finding| format!("{}: {}", finding.what, finding.said)).collect();
    (!bad.is_empty()).then(|| Problem { why: bad.join("\n"), command: None })
}

/// What a publish itself repairs.
const REPAIRED: [&str; 2] = ["broken", "signature"];

/// Looks at everything, side by side.
///
/// # Errors
///
/// Exit code 2: ssh takes no host of such a name.
pub fn needs(
    common: &Common,
    history: Result<&History, &anyhow::Error>,
    gh: Result<&Gh, &anyhow::Error>,
    outside: Option<&GitHub>,
    build: &Build,
) -> anyhow::Result<Vec<Finding>> {
    let (hosts, folder, sync) = (build.hosts()?, &build.folder()?, build.sync);
    Ok(thread::scope(|scope| {
        let tools = scope.spawn(tools);
        let github = scope.spawn(|| github(gh, outside, common));
        let of_hosts: Vec<_> =
            hosts.into_iter().map(|host| scope.spawn(move || build_host(host, folder, sync))).collect();
        let mut findings = joined(tools);
        findings.push(packer_directory(&common.packer_dir(), history));
        findings.extend(common.allowed_signers().err().map(|error| found(ALLOWED, Err(error))));
        findings.extend(joined(github));
        findings.extend(of_hosts.into_iter().flat_map(joined));
        findings
    }))
}

fn tools() -> Vec<Finding> {
    // scp has no option for its version; without arguments it prints its usage.
    const TOOLS: [(&str, &[&str]); 4] =
        [("git", &["--version"]), ("gh", &["--version"]), ("ssh", &["-V"]), ("scp", &[])];
    let ask = |(tool, option): (&str, &[&str])| {
        let sh = process::shell()?;
        let ran = process::output(cmd!(sh, "{tool} {option...}"))?;
        if tool == "scp" {
            return Ok("installed".to_owned());
        }
        let ran = ran.success()?;
        Ok(ran.text().lines().chain(ran.stderr.lines()).next().unwrap_or_default().to_owned())
    };
    TOOLS.into_iter().map(|tool| found(tool.0, ask(tool))).collect()
}

fn packer_directory(dir: &Path, history: Result<&History, &anyhow::Error>) -> Finding {
    let names = templates::names(dir).and_then(|names| {
        history.map_err(Failure::of)?;
        Ok(format!("{}: {}", dir.display(), names.into_iter().collect::<Vec<_>>().join(", ")))
    });
    found("templates", names)
}

/// The login, and its permissions.
fn github(gh: Result<&Gh, &anyhow::Error>, outside: Option<&GitHub>, common: &Common) -> Vec<Finding> {
    let (gh, outside) = match (gh, outside) {
        (Ok(gh), Some(outside)) => (gh, outside),
        (Err(error), _) => return vec![Finding::new("repository", Grade::Fail, format!("{error:#}"))],
        (Ok(_), None) => return Vec::new(),
    };
    let git = Git::at(&common.packer_dir());
    let mut findings = Vec::new();
    match preflight::examine(gh) {
        Err(error) => return vec![found("login", Err(error)), remote(&git, common)],
        Ok(examined) => {
            let who = gh.login().ok().flatten().unwrap_or_else(|| "an app".to_owned());
            let scopes = match &examined.scopes {
                Some(scopes) => format!("{who} on {}, scopes: {}", gh.repo().host, scopes.join(", ")),
                None => format!("{who} on {}, with a fine-grained token", gh.repo().host),
            };
            findings.push(Finding::new("login", Grade::Ok, scopes));
            if examined.scopes.as_ref().is_some_and(|scopes| scopes.iter().all(|scope| scope != "workflow")) {
                let said = "the token lacks the scope `workflow`, which GitHub requires if the workflows of a source differ from \
                            those of the default branch\nfix: run `gh auth refresh --scopes workflow`";
                findings.push(Finding::new("login", Grade::Warn, said));
            }
            let repo = gh.repo().to_string();
            if examined.problems.is_empty() {
                findings.push(Finding::new("repository", Grade::Ok, format!("{repo}, {who} may write")));
            }
            let wrong = |error: &anyhow::Error| Finding::new("repository", Grade::Fail, format!("{error:#}"));
            findings.extend(examined.problems.iter().map(wrong));
            findings.extend(examined.warnings.into_iter().map(|said| Finding::new("repository", Grade::Warn, said)));
        }
    }
    findings.push(remote(&git, common));
    let differs = common.remote_differs(gh.repo());
    findings.extend(differs.map(|said| Finding::new("remote", Grade::Warn, said)));
    let address = common.address(gh.repo());
    findings.push(push(gh, outside, &address));
    findings
}

fn remote(git: &Git, common: &Common) -> Finding {
    let tag = git.remote_tag(&common.remote, TAG).map(|tag| match tag {
        Some(tag) => format!("{} answers, tag {TAG} is at {}", common.remote, crate::git::short(&tag.commit)),
        None => format!("{} answers, and has no tag {TAG} yet", common.remote),
    });
    found("remote", tag)
}

/// Where the tag is pushed, with which login, and whether that login may write.
fn push(gh: &Gh, outside: &GitHub, address: &Address) -> Finding {
    let login = if address.is_given() { "with git's own login" } else { "with gh's login" };
    let let_in = format!(
        "may push tag and lock to {} {login} (a dry run: branch rules apply only to the real push)",
        address.shown()
    );
    found("push", preflight::may_push(gh, outside.publisher()).map(|()| let_in))
}

fn build_host(host: Host, folder: &PackerDir, sync: bool) -> Vec<Finding> {
    let name = host.to_string();
    match doctor::ask(&Ssh { host, stall: std::time::Duration::from_secs(60) }, folder) {
        Err(fault) => vec![found(format!("host {name}"), Err(fault.error))],
        Ok(needs) => {
            let finding = |need: doctor::Need| {
                let (state, said) = match need.found {
                    Ok(said) => (Grade::Ok, said),
                    Err(said) if need.optional => (Grade::Warn, said),
                    Err(said) => (Grade::Fail, said),
                };
                Finding::new(format!("host {name}: {}", need.what), state, said)
            };
            let needs = needs.into_iter().filter(|need| !sync || need.what != doctor::FOLDER);
            needs.map(finding).collect()
        }
    }
}
