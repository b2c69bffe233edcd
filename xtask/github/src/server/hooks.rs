//! What GitHub refuses of a push, as a hook of the bare directory.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context, Result};

use crate::model::TokenKind;
use crate::server::hub::Hub;

/// git gives the words of this hook to the client as the reason of a refusal, as GitHub's own server does. Those of the other hooks it
/// doesn't. <https://git-scm.com/docs/githooks#proc-receive>
const HOOK: &str = "proc-receive";

impl Hub {
    /// From now on pushes to a repository are held to the rule for workflows, as those of a token of this kind without the permission; with
    /// none they are not. A push to the bare directory tells nobody's name, so this is for all who push. (actions/checkout#1421)
    ///
    /// # Errors
    /// When git or a file fails.
    pub fn refuse_workflow_pushes(&self, repository: &str, of: Option<TokenKind>) -> Result<()> {
        let store = self.shared.lock();
        let git = store.repositories[store.place(repository)?].git();
        let folder = git.0.join("hooks");
        let file = folder.join(HOOK);
        let installing = || format!("installing {}", file.display());
        let Some(kind) = of else {
            git.unset("receive.procReceiveRefs")?;
            return std::fs::remove_file(&file).with_context(installing);
        };
        let (who, what) = match kind {
            TokenKind::Classic => ("an OAuth App", "scope"),
            TokenKind::FineGrained => ("a Personal Access Token", "scope"),
            TokenKind::Actions => ("a GitHub App", "permission"),
        };
        let name = if kind == TokenKind::Actions { "workflows" } else { "workflow" };
        let script = include_str!("hooks/proc-receive.sh");
        let script = script.replace("@WHO@", who).replace("@NAME@", name).replace("@WHAT@", what);
        std::fs::create_dir_all(&folder).with_context(installing)?;
        std::fs::write(&file, script).with_context(installing)?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).with_context(installing)?;
        git.set("receive.procReceiveRefs", "refs/")
    }
}
