//! GitHub's and git's words, from recorded exchanges and public reports.

use super::*;

fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// As GitHub answers: recorded exchanges, and public reports.
#[test]
fn answers_become_a_reason_and_what_helps() {
    const SSO: &str = "https://github.com/orgs/o/sso?authorization_request=AZ";
    let sso = format!("required; url={SSO}");
    for (said, with, reason, helps) in [
        (
            "Resource protected by organization SAML enforcement. You must grant your OAuth token access to this organization.",
            &[("x-github-sso", sso.as_str())][..],
            Reason::SingleSignOn,
            SSO,
        ),
        ("Not Found", &[("x-github-sso", sso.as_str())], Reason::SingleSignOn, SSO),
        ("Not Found", &[("x-github-sso", "partial-results; organizations=1")], Reason::NotFound, "--repo"),
        (
            "Although you appear to have the correct authorization credentials, the `o` organization has an IP allow list enabled, and your IP address is not permitted to access this resource.",
            &[],
            Reason::Other,
            "VPN",
        ),
        (
            "`o` forbids access via a personal access token (classic). Please use a GitHub App, OAuth App, or a personal access token with fine-grained permissions.",
            &[],
            Reason::Other,
            "GH_TOKEN",
        ),
        (
            "The 'o' organization forbids access via a fine-grained personal access tokens if the token's lifetime is greater than 366 days. Please adjust your token's lifetime at the following URL: https://github.com/settings/personal-access-tokens/1",
            &[],
            Reason::TokenLifetime,
            "https://github.com/settings/personal-access-tokens/1",
        ),
        (
            "Although you appear to have the correct authorization credentials, the `o` organization has enabled OAuth App access restrictions",
            &[],
            Reason::Other,
            "approve",
        ),
        ("Bad credentials", &[], Reason::Token, "gh auth login"),
        ("Unable to create comment because issue is locked.", &[], Reason::Other, "unlock"),
        ("Issues are disabled for this repo", &[], Reason::Other, "--issue-repo"),
        ("Issues has been disabled in this repository.", &[], Reason::Other, "--issue-repo"),
        ("This issue was deleted", &[], Reason::Other, "--issue"),
        ("Repository was archived so is read-only.", &[], Reason::Other, "unarchive"),
        (
            "Validation Failed: pre_receive Repository rule violations found\n\nCannot create ref due to creations being restricted.\n\n; tag_name was used by an immutable release",
            &[],
            Reason::BurntTag,
            "another repository",
        ),
        ("Cannot upload assets to an immutable release.", &[], Reason::Other, "another repository"),
        (
            "Resource not accessible by integration",
            &[("x-accepted-github-permissions", "issues=write")],
            Reason::WorkflowToken,
            "issues: write",
        ),
        (
            "Resource not accessible by personal access token",
            &[("x-accepted-github-permissions", "contents=write")],
            Reason::Scope,
            "contents: write",
        ),
        (
            "Not Found",
            &[("x-oauth-scopes", "gist, read:org"), ("x-accepted-oauth-scopes", "repo")],
            Reason::Scope,
            "gh auth refresh --scopes repo",
        ),
        ("Not Found", &[("x-oauth-scopes", "repo"), ("x-accepted-oauth-scopes", "repo")], Reason::NotFound, "--repo"),
        ("Not Found", &[("x-oauth-scopes", "gist"), ("x-accepted-oauth-scopes", "")], Reason::NotFound, "--repo"),
        ("Sorry. Your account was suspended.", &[], Reason::Other, "support"),
    ] {
        let refusal = Refusal::of_answer(said, &headers(with), "https://docs.github.com/rest");
        assert_eq!(refusal.reason, reason, "{said}");
        let advice = refusal.fix(true);
        assert!(advice.contains(helps) && !advice.contains("again to continue"), "{advice}");
    }
}

/// As git says it of the other side, and of the way there.
#[test]
fn gits_words_become_a_reason() {
    for (said, reason) in [
        ("remote: Write access to repository not granted.", Reason::NoWriteAccess),
        ("remote: Permission to o/r.git denied to ana.", Reason::NoWriteAccess),
        (
            "remote: Invalid username or token. Password authentication is not supported for Git operations.",
            Reason::Token,
        ),
        ("fatal: Authentication failed for 'https://github.com/o/r/'", Reason::Token),
        ("fatal: could not read Username for 'https://github.com': terminal prompts disabled", Reason::NoLogin),
        ("remote: The `o' organization has enabled or enforced SAML SSO.", Reason::SingleSignOn),
        ("remote: This repository was archived so it is read-only.", Reason::Other),
        (
            "refusing to allow a Personal Access Token to create or update workflow `.github/workflows/x.yml` without `workflow` scope",
            Reason::Other,
        ),
        (
            "refusing to allow a GitHub App to create or update workflow `x` without `workflows` permission",
            Reason::Other,
        ),
        ("remote: error: GH013: Repository rule violations found for refs/tags/latest.", Reason::Other),
        ("remote: Repository not found.", Reason::NotFound),
        ("fatal: the receiving end does not support this repository's hash algorithm", Reason::Other),
        ("fatal: mismatched algorithms: client sha256; server sha1", Reason::Other),
        (
            "cannot lock ref 'refs/tags/latest': 'refs/tags/latest/x' exists; cannot create 'refs/tags/latest'",
            Reason::FolderInTheWay,
        ),
        ("! [remote rejected] latest -> latest (directory file conflict)", Reason::FolderInTheWay),
        ("SSL certificate problem: unable to get local issuer certificate", Reason::Certificate),
        ("server certificate verification failed. CAfile: none CRLfile: none", Reason::Certificate),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", Reason::Certificate),
        ("Received HTTP code 407 from proxy after CONNECT", Reason::Proxy),
        ("proxyconnect tcp: dial tcp 127.0.0.1:1: connect: connection refused", Reason::Proxy),
        ("Could not resolve host: github.com", Reason::Unreached),
        ("Failed to connect to github.com port 443 after 1 ms: Couldn't connect to server", Reason::Unreached),
        ("git@github.com: Permission denied (publickey).", Reason::Other),
        ("error: insufficient permission for adding an object to repository database ./objects", Reason::NotWritable),
        ("The requested URL returned error: 403", Reason::Unknown),
        ("pre-receive hook declined; no pushes on Fridays", Reason::Unknown),
    ] {
        assert_eq!(Refusal::of(said).reason, reason, "{said}");
    }
}

/// A status code alone does not show the reason of a refusal.
#[test]
fn no_advice_by_status_alone() {
    for said in ["HTTP 403", "Forbidden", "HTTP 422", "Validation Failed", "The requested URL returned error: 403"] {
        let advice = Refusal::of_answer(said, &[], "").fix(true);
        assert_eq!(advice, "ask an administrator of the repository what prevents it", "{said}");
        let advice = Refusal::of_answer(said, &[], "https://docs.github.com/rest#x").fix(true);
        assert_eq!(advice, "see https://docs.github.com/rest#x");
    }
}

#[test]
fn what_passes_is_told_from_what_stays() {
    for said in [
        "fatal: early EOF",
        "returned error: 502",
        "Connection reset by peer",
        "Could not resolve host: x",
        "RPC failed",
    ] {
        assert!(passes(said), "{said}");
    }
    for said in ["returned error: 403", "SSL certificate problem", "Repository not found", "hook declined", ""] {
        assert!(!passes(said), "{said}");
    }
}

#[test]
fn hostile_words() {
    crate::hostile::try_with(&[b"https://x`y SAML ' https://\x1b https://"], |bytes| {
        let said = String::from_utf8_lossy(bytes);
        let refusal = Refusal::of_answer(&said, &headers(&[("x-github-sso", &said)]), &said);
        assert!(!refusal.fix(true).contains(char::is_control) && links(&said).all(|link| !link.contains(['`', '\''])));
    });
}
