//! Why GitHub or git refused something, and what helps: from their words to a reason, and from a reason to a fix.
//!
//! A status alone is not a reason: GitHub answers 403 for a dozen reasons. Where the reason is unknown, the fix is GitHub's own link or
//! to ask an administrator. Used for gh's answers, git's pushes, and connections that break; [`call`] is how a request ended.

pub mod call;
mod date;

/// Why something was refused or not reached, as far as code or a fix depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The organization's single sign-on.
    SingleSignOn,
    /// The organization takes only tokens that expire soon.
    TokenLifetime,
    /// The token is wrong, revoked or expired.
    Token,
    NoLogin,
    /// The token of a workflow run lacks a permission.
    WorkflowToken,
    /// The token lacks a scope or a permission, which GitHub names.
    Scope,
    NoWriteAccess,
    /// An immutable release had this tag.
    BurntTag,
    /// A ref has the name of a folder of another ref.
    FolderInTheWay,
    Proxy,
    Certificate,
    /// git can't write objects on this machine.
    NotWritable,
    Unreached,
    NotFound,
    /// Another reason of the table below.
    Other,
    Unknown,
}

/// A reason, words for it in lower case, and the fix; empty where [`Refusal::fix`] makes it. More specific words come first.
struct Known(Reason, &'static [&'static str], &'static str);

const KNOWN: &[Known] = &[
    Known(Reason::SingleSignOn, &["saml", "single sign-on", "/sso?"], ""),
    Known(
        Reason::Other,
        &["ip allow list", "ip address is not permitted", "ip address is blocked"],
        "connect from an address that the organization allows, such as its VPN's",
    ),
    Known(Reason::TokenLifetime, &["token's lifetime"], ""),
    Known(
        Reason::Other,
        &["forbids access via a personal access token", "forbids access via a fine-grained"],
        "log in with a browser (`gh auth login`), or set GH_TOKEN to a kind of token that the organization accepts",
    ),
    Known(
        Reason::Other,
        &["oauth app access restrictions"],
        "ask an owner of the organization to approve the app, or set GH_TOKEN to a token of your own",
    ),
    Known(Reason::Other, &["two-factor"], "set up two-factor authentication: see https://github.com/settings/security"),
    Known(
        Reason::BurntTag,
        &["used by an immutable release"],
        "publish in another repository with --repo: GitHub never gives out this tag's name again",
    ),
    Known(
        Reason::Other,
        &["immutable release"],
        "publish in another repository with --repo: an immutable release can't change",
    ),
    Known(
        Reason::Other,
        &["`workflow` scope", "`workflows` permission", "without `workflow"],
        "publish with a login that may change workflows (`gh auth refresh --scopes workflow`): the source's workflows differ from the \
         default branch's; the token of a workflow run can't do this",
    ),
    Known(Reason::WorkflowToken, &["resource not accessible by integration"], ""),
    Known(Reason::Scope, &["resource not accessible by personal access token"], ""),
    Known(
        Reason::Other,
        &["issue is locked", "conversation is locked", "conversation has been locked"],
        "unlock the issue, or leave --issue out",
    ),
    Known(
        Reason::Other,
        &["issues are disabled", "issues has been disabled", "issues have been disabled"],
        "enable issues in the repository's settings, or name another repository with --issue-repo",
    ),
    Known(Reason::Other, &["issue was deleted"], "name another issue with --issue"),
    Known(
        Reason::Other,
        &["archived", "so it is read-only", "so is read-only"],
        "unarchive the repository in its settings",
    ),
    Known(
        Reason::Other,
        &[
            "account was suspended",
            "account is suspended",
            "account has been suspended",
            "repository access blocked",
            "repository has been disabled",
            "been disabled by",
        ],
        "ask https://support.github.com",
    ),
    Known(
        Reason::Other,
        &[
            "gh013",
            "gh006",
            "rule violations",
            "protected ref",
            "protected branch",
            "protected tag",
            "being restricted",
        ],
        "ask an administrator to let you bypass the rule (Settings, Rules)",
    ),
    Known(
        Reason::Other,
        &["mismatched algorithms", "hash algorithm", "object format", "object-format"],
        "make a new clone: this clone and the repository use different object formats (SHA-1, SHA-256)",
    ),
    Known(
        Reason::FolderInTheWay,
        &["' exists; cannot create", "directory file conflict", "directory/file conflict"],
        "delete or rename the ref that is in the way; `git ls-remote` lists them",
    ),
    Known(
        Reason::NotWritable,
        &["insufficient permission for adding an object", "read-only file system"],
        "let your login write there",
    ),
    Known(
        Reason::Proxy,
        &[
            "proxy authentication required",
            "from proxy after connect",
            "proxyconnect",
            "code 407",
            "error: 407",
            "resolve proxy",
            "connect tunnel failed",
        ],
        "check the proxy's name and login: https_proxy, and git's `http.proxy`",
    ),
    Known(
        Reason::Certificate,
        &["certificate", "x509:"],
        "name the CA that signs the connection's certificate, such as your company's: SSL_CERT_FILE for gh, and \
         `git config --global http.sslCAInfo FILE` for git",
    ),
    Known(
        Reason::Other,
        &["host key verification failed", "permission denied (publickey"],
        "make sure that `ssh -T` to that host works",
    ),
    Known(
        Reason::NoLogin,
        &["could not read username", "could not read password", "gh auth login", "requires authentication"],
        "run `gh auth login`, or set GH_TOKEN",
    ),
    Known(
        Reason::Token,
        &[
            "bad credentials",
            "authentication failed",
            "invalid username or",
            "invalid credentials",
            "password authentication",
        ],
        "run `gh auth login`, or set GH_TOKEN to a valid token",
    ),
    Known(
        Reason::NoWriteAccess,
        &["write access to repository not granted", "must have push access", "must have admin rights"],
        "ask an administrator of the repository for write access, and use a token with Contents: read and write (`repo` for a classic token)",
    ),
    Known(Reason::Unreached, UNREACHED, "check the network, then run the same command again"),
    Known(Reason::NotFound, &["not found"], "check --repo, and that the token may read it: `gh auth status`"),
];

/// No connection was made: in gh's, curl's, git's and ssh's words.
const UNREACHED: &[&str] = &[
    "error connecting to",
    "dial tcp",
    "dial unix",
    "no such host",
    "could not resolve",
    "temporary failure in name resolution",
    "network is unreachable",
    "failed to connect",
    "couldn't connect",
    "connection refused",
    "connection timed out",
    "operation timed out",
    "no route to host",
    "host is down",
];

/// A connection that broke, or a failure of the server: another attempt can succeed.
const BROKEN: &[&str] = &[
    "timed out",
    "connection re",
    "hung up",
    "early eof",
    "unexpected disconnect",
    "rpc failed",
    "temporary failure",
    "returned error: 5",
    "returned error: 429",
    "internal server error",
];

/// Whether a program says that it made no connection.
pub fn is_unreached(said: &str) -> bool {
    has(&said.to_lowercase(), UNREACHED)
}

/// Whether a program names trouble that passes by itself.
pub fn passes(said: &str) -> bool {
    match Refusal::of(said).reason {
        Reason::Unreached => true,
        Reason::Unknown => has(&said.to_lowercase(), BROKEN),
        _ => false,
    }
}

fn has(said: &str, words: &[&str]) -> bool {
    words.iter().any(|words| said.contains(words))
}

/// A reason, and what the answer gives along with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    /// The fix that the table has.
    known: &'static str,
    /// GitHub's page for the fix, else the page that explains the refusal.
    link: Option<String>,
    /// The scopes or permissions that GitHub names.
    needs: Option<String>,
}

impl Refusal {
    /// From words alone, such as git's.
    pub fn of(said: &str) -> Self {
        let small = said.to_lowercase();
        let denied = small.contains("permission to ") && small.contains(" denied to ");
        let fits = |known: &&Known| has(&small, known.1) || (denied && known.0 == Reason::NoWriteAccess);
        let (reason, known) = KNOWN.iter().find(fits).map_or((Reason::Unknown, ""), |known| (known.0, known.2));
        let of_reason = matches!(reason, Reason::SingleSignOn | Reason::TokenLifetime);
        Self { reason, known, link: links(said).next().filter(|_| of_reason), needs: None }
    }

    /// From an answer of GitHub: its words, its headers with names in lower case, and the page that explains it.
    pub fn of_answer(said: &str, headers: &[(String, String)], documentation: &str) -> Self {
        let header = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let mut refusal = Self::of(said);
        // <https://docs.github.com/rest/authentication/authenticating-to-the-rest-api#authenticating-with-a-token-for-an-organization-that-uses-saml-sso>
        if let Some(sso) = header("x-github-sso").filter(|sso| sso.starts_with("required")) {
            return Self { reason: Reason::SingleSignOn, known: "", link: links(sso).next(), needs: None };
        }
        refusal.needs = header("x-accepted-github-permissions").map(|needs| needs.replace('=', ": "));
        if let (Some(given), Some(accepted)) = (header("x-oauth-scopes"), header("x-accepted-oauth-scopes")) {
            let scopes = |names: &str| names.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>();
            let (given, accepted) = (scopes(given), scopes(accepted));
            let vague =
                matches!(refusal.reason, Reason::Unknown | Reason::NotFound | Reason::Scope | Reason::NoWriteAccess);
            // With an empty list every token is accepted.
            if vague && !accepted.iter().any(|scope| scope.is_empty() || given.contains(scope)) {
                return Self { reason: Reason::Scope, known: "", link: None, needs: accepted.into_iter().next() };
            }
        }
        if refusal.reason == Reason::Unknown {
            refusal.link = links(documentation).next();
        }
        refusal
    }

    /// What the person can do. `gh_login`: the login in use is gh's.
    pub fn fix(&self, gh_login: bool) -> String {
        let see =
            |otherwise: &str| self.link.as_ref().map_or_else(|| otherwise.to_owned(), |link| format!("see {link}"));
        let needs = self.needs.as_deref();
        match self.reason {
            Reason::SingleSignOn => {
                format!("authorize this login for the organization's single sign-on: {}", see("run `gh auth login`"))
            }
            Reason::TokenLifetime => {
                format!("give the token an earlier expiry date: {}", see("make a new token, and set GH_TOKEN to it"))
            }
            Reason::Token | Reason::NoLogin if !gh_login => {
                "fix git's own login for this address (`gh auth setup-git` gives git gh's login), or leave --git-url out".into()
            }
            Reason::WorkflowToken => {
                let needs = needs.map_or_else(|| "such as `contents: write`".into(), |needs| format!("`{needs}`"));
                format!("give the workflow's job `permissions:`, {needs}")
            }
            Reason::Scope => match needs {
                Some(scope) if !scope.contains(':') => {
                    format!("add the scope that the token lacks: `gh auth refresh --scopes {scope}`")
                }
                _ => format!(
                    "give the token the permission that it lacks, {}: see https://github.com/settings/personal-access-tokens",
                    needs.unwrap_or("such as Contents: read and write")
                ),
            },
            _ if self.reason == Reason::Unknown => see("ask an administrator of the repository what prevents it"),
            _ => self.known.to_owned(),
        }
    }
}

/// Addresses in a text, as far as they can be shown and clicked.
fn links(text: &str) -> impl Iterator<Item = String> + '_ {
    let ends = |c: char| c.is_whitespace() || c.is_control() || "\"'`<>;,".contains(c);
    text.match_indices("https://").map(move |(at, _)| {
        let link = &text[at..];
        link[..link.find(ends).unwrap_or(link.len())].trim_end_matches(['.', ')']).to_owned()
    })
}

#[cfg(test)]
mod tests;
