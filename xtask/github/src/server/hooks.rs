//! What GitHub refuses of a push, as a hook of the bare directory.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result};

use crate::model::{Ruleset, TokenKind};
use crate::server::store::Repo;

/// git gives the words of this hook to the client as the reason of a refusal, as GitHub's own server does. Those of the other hooks it
/// doesn't. <https://git-scm.com/docs/githooks#proc-receive>
const HOOK: &str = "proc-receive";

/// Holds pushes to a repository to what is in force there now: its rulesets, and the rule for workflows.
pub(crate) fn install(repo: &mut Repo) -> Result<()> {
    let forbidden: Vec<String> = repo.config.rulesets.iter().filter_map(in_shell).collect();
    let needed = repo.pushers.is_some() || !forbidden.is_empty();
    if !needed && !repo.hooked {
        return Ok(());
    }
    let folder = repo.git().0.join("hooks");
    let file = folder.join(HOOK);
    let installing = || format!("installing {}", file.display());
    if !needed {
        repo.git().unset("receive.procReceiveRefs")?;
        repo.hooked = false;
        return std::fs::remove_file(&file).with_context(installing);
    }
    let (who, name, what) = match repo.pushers {
        Some(TokenKind::Classic) => ("an OAuth App", "workflow", "scope"),
        Some(TokenKind::FineGrained) => ("a Personal Access Token", "workflow", "scope"),
        Some(TokenKind::Actions) => ("a GitHub App", "workflows", "permission"),
        None => ("", "", ""),
    };
    let script = include_str!("hooks/proc-receive.sh").replace("@FORBIDDEN@", &forbidden.join("\n    "));
    let script = script.replace("@WHO@", who).replace("@NAME@", name).replace("@WHAT@", what);
    std::fs::create_dir_all(&folder).with_context(installing)?;
    std::fs::write(&file, script).with_context(installing)?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).with_context(installing)?;
    repo.hooked = true;
    repo.git().set("receive.procReceiveRefs", "refs/")
}

/// What a ruleset forbids, as a line of the hook; none where it isn't in force.
fn in_shell(ruleset: &Ruleset) -> Option<String> {
    let kind = if ruleset.target == "tag" { "refs/tags/" } else { "refs/heads/" };
    let quoted = |pattern: &String| -> String {
        let pattern = if pattern == "~ALL" { format!("{kind}*") } else { pattern.clone() };
        pattern
            .chars()
            .map(|it| if it.is_ascii_alphanumeric() || "/*?".contains(it) { it.to_string() } else { format!("\\{it}") })
            .collect()
    };
    let cases = |patterns: &[String]| -> String {
        let of_kind = patterns.iter().map(quoted).filter(|it| it.starts_with(kind));
        let each = of_kind.flat_map(|pattern| ruleset.rules.iter().map(move |rule| format!("{rule},{pattern}")));
        each.collect::<Vec<_>>().join("|")
    };
    let (included, excluded) = (cases(&ruleset.include), cases(&ruleset.exclude));
    if !ruleset.is_in_force() || included.is_empty() {
        return None;
    }
    let excluded = if excluded.is_empty() { excluded } else { format!("{excluded}) ;; ") };
    Some(format!("case $what in {excluded}{included}) return 0 ;; esac"))
}
