//! Repositories of every kind that a packer directory can be in.

use std::fs;

use crate::repo::{Repo, Verdict, check_in, folder, git};

#[test]
fn a_plain_folder_in_a_repository() {
    let repo = Repo::in_folder("plain-folder", "some/packer");
    fs::write(repo.top.join("other.txt"), "x").unwrap();
    repo.append("templates/pve/cleanup.sh", "true\n");
    assert_eq!(repo.verdict().rebuild, [("pve".to_owned(), vec!["templates/pve/cleanup.sh".to_owned()])]);
    repo.commit("Change one");
    let json = repo.check(&["--base", "v0.1", "--json"]).expect(0, &[]).json();
    assert_eq!(json["images"][1]["changes"][0]["last_commit"]["author"], "Ann Author");
    assert_eq!(json["images"][1]["changes"][0]["last_commit"]["subject"], "Change one");
}

#[test]
fn a_file_that_a_template_names_outside_of_the_packer_directory() {
    let repo = Repo::in_folder("outside", "packer");
    repo.append("templates/pve/template.pkr.hcl", "script = \"${path.root}/../../../site/key.sh\"\n");
    repo.write("../site/key.sh", "one\n");
    repo.write("../site/other.sh", "one\n");
    repo.commit("Name a file outside");
    repo.git(&["tag", "--force", "v0.1"]);
    repo.write("../site/other.sh", "two\n");
    repo.commit("Change another");
    assert_eq!(repo.verdict().rebuild, []);
    repo.write("../site/key.sh", "two\n");
    assert_eq!(repo.verdict().rebuild, [("pve".to_owned(), vec!["../site/key.sh".to_owned()])]);
}

#[test]
fn a_link_that_leads_outside_of_the_packer_directory() {
    let repo = Repo::in_folder("outside-link", "packer");
    repo.write("../common/a.sh", "one\n");
    repo.link("shared/common", "../../common");
    repo.link("README.link", "../nowhere");
    repo.commit("Link");
    repo.git(&["tag", "--force", "v0.1"]);
    assert_eq!(repo.verdict().decision, "skip");
    repo.write("../common/a.sh", "two\n");
    assert_eq!(repo.verdict().rebuild.len(), 2);
    repo.commit("Change");
    assert_eq!(repo.verdict().rebuild[0].1, ["shared/common/a.sh"]);
}

#[test]
fn paths_that_are_no_text() {
    use std::os::unix::ffi::OsStrExt as _;
    let repo = Repo::new("odd-bytes");
    let path = repo.top.join("shared").join(std::ffi::OsStr::from_bytes(b"caf\xe9 \n\t.sh"));
    fs::write(&path, "true\n").unwrap();
    assert_eq!(repo.verdict().rebuild[0].1, ["shared/caf\\xe9 \n\t.sh"]);
    repo.commit("Add");
    repo.git(&["tag", "--force", "v0.1"]);
    fs::write(&path, "# comment\ntrue\n").unwrap();
    assert_eq!(repo.verdict().comments, ["shared/caf\\xe9 \n\t.sh"]);
}

#[test]
fn configuration_of_a_person_changes_nothing() {
    let repo = Repo::in_folder("configured", "packer");
    repo.append("templates/pve/cleanup.sh", "true\n");
    repo.commit("Change");
    repo.write("shared/new", "x\n");
    let plain = repo.check(&["--base", "v0.1", "--json"]).expect(0, &[]).out;
    for (name, value) in [
        ("diff.relative", "true"),
        ("status.relativePaths", "true"),
        ("status.showUntrackedFiles", "no"),
        ("log.showSignature", "true"),
        ("log.follow", "true"),
        ("color.ui", "always"),
        ("core.quotePath", "true"),
        ("diff.renames", "copies"),
        ("status.short", "true"),
        ("status.branch", "true"),
    ] {
        repo.git(&["config", name, value]);
        assert_eq!(repo.check(&["--base", "v0.1", "--json"]).expect(0, &[]).out, plain, "{name}");
    }
}

#[test]
fn a_repository_of_its_own_inside_another() {
    let outer = Repo::empty("outer");
    fs::write(outer.top.join(".gitignore"), "/packer/\n").unwrap();
    outer.commit("Outer");
    let packer = outer.top.join("packer");
    fs::create_dir(&packer).unwrap();
    git(&packer, &["init", "--quiet", "--initial-branch=main"]);
    let repo = Repo { top: packer.clone(), packer };
    repo.fill();
    repo.commit("Inner");
    repo.tag("v0.1");
    assert_eq!(repo.verdict().rebuild, []);
    repo.append("shared/scripts/update.sh", "true\n");
    assert_eq!(repo.verdict().rebuild.len(), 2);
}

#[test]
fn a_folder_that_git_does_not_know() {
    let outer = Repo::empty("unknown-folder");
    fs::write(outer.top.join(".gitignore"), "/packer/\n").unwrap();
    outer.commit("Outer");
    let packer = outer.top.join("packer");
    Repo { top: outer.top.clone(), packer: packer.clone() }.fill();
    check_in(&packer, &["--base", "HEAD"]).expect(3, &["git knows no template in"]);
    check_in(&outer.top.join("missing"), &[]).expect(3, &["no packer directory", "--packer-dir"]);
    let outside = std::env::temp_dir().join(format!("check-outside-{}", std::process::id()));
    fs::create_dir_all(&outside).unwrap();
    let ran = check_in(&outside, &[]);
    fs::remove_dir_all(&outside).unwrap();
    ran.expect(3, &["is in no git work tree"]);
}

#[test]
fn a_worktree_and_a_detached_head() {
    let repo = Repo::new("worktree");
    repo.append("templates/pve/cleanup.sh", "true\n");
    repo.commit("Change");
    let there = folder("worktree-there");
    repo.git(&["worktree", "add", "--quiet", "--detach", there.to_str().unwrap(), "v0.1"]);
    let in_worktree = Verdict::of(&check_in(&there, &["--base", "v0.1", "--json"]).expect(0, &[]).json());
    assert_eq!(in_worktree.decision, "skip");
    assert_eq!(repo.verdict().rebuild.len(), 1);
    repo.git(&["checkout", "--quiet", "--detach", "v0.1"]);
    assert_eq!(repo.verdict().decision, "skip");
}

#[test]
fn a_submodule_and_one_that_is_not_checked_out() {
    let inner = Repo::new("submodule-inner");
    let outer = Repo::empty("submodule-outer");
    outer.git(&["submodule", "--quiet", "add", inner.top.to_str().unwrap(), "packer"]);
    outer.commit("Add packer");
    let packer = outer.top.join("packer");
    let repo = Repo { top: packer.clone(), packer: packer.clone() };
    assert_eq!(repo.verdict().decision, "skip");
    repo.append("templates/pve/cleanup.sh", "true\n");
    assert_eq!(repo.verdict().decision, "rebuild");
    outer.git(&["submodule", "--quiet", "deinit", "--force", "packer"]);
    check_in(&packer, &["--base", "HEAD"]).expect(3, &["no templates folder"]);
}

#[test]
fn a_submodule_among_the_inputs() {
    let shared = Repo::new("submodule-shared");
    let repo = Repo::new("submodule-in-inputs");
    repo.git(&["submodule", "--quiet", "add", shared.top.to_str().unwrap(), "shared/vendor"]);
    repo.commit("Add a submodule");
    repo.git(&["tag", "--force", "v0.1"]);
    assert_eq!(repo.verdict().decision, "skip");
    let vendor = repo.top.join("shared/vendor");
    git(&vendor, &["commit", "--quiet", "--allow-empty", "--message", "more"]);
    assert_eq!(repo.verdict().rebuild.len(), 2);
    repo.commit("Take the newer one");
    assert_eq!(repo.verdict().rebuild.len(), 2);
}

#[test]
fn a_merge_counts_as_what_it_brings() {
    let repo = Repo::new("merge");
    repo.git(&["checkout", "--quiet", "-b", "side"]);
    repo.append("templates/pve/cleanup.sh", "true\n");
    repo.commit("Change on the side");
    repo.git(&["checkout", "--quiet", "main"]);
    repo.append("README.md", "more\n");
    repo.commit("Change a document");
    repo.git(&["merge", "--quiet", "--no-edit", "side"]);
    let json = repo.check(&["--base", "v0.1", "--json"]).expect(0, &[]).json();
    assert_eq!(Verdict::of(&json).rebuild.len(), 1);
    assert_eq!(json["images"][1]["changes"][0]["last_commit"]["subject"], "Change on the side");
    // A change that only the merge itself makes has the merge as its last commit.
    repo.git(&["tag", "--force", "v0.1"]);
    repo.git(&["checkout", "--quiet", "-b", "other", "HEAD~1"]);
    repo.write("notes.txt", "x\n");
    repo.commit("Other");
    repo.git(&["checkout", "--quiet", "main"]);
    repo.git(&["merge", "--quiet", "--no-commit", "--no-ff", "other"]);
    repo.append("shared/scripts/update.sh", "true\n");
    repo.commit("Merge and change");
    let json = repo.check(&["--base", "v0.1", "--json"]).expect(0, &[]).json();
    assert_eq!(json["images"][0]["changes"][0]["last_commit"]["subject"], "Merge and change");
}

#[test]
fn before_the_first_commit_all_images_are_new() {
    let repo = Repo::empty("no-commit");
    repo.fill();
    let json = repo.check(&["--json"]).expect(0, &["could not ask for the release"]).json();
    let verdict = Verdict::of(&json);
    assert_eq!(verdict.rebuild.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["debian-12", "pve"]);
    assert!(json["images"][0]["reason"].as_str().unwrap().starts_with("new image"), "{json}");
}

#[test]
fn a_shallow_clone_says_what_brings_the_rest() {
    let repo = Repo::new("shallow-origin");
    repo.append("templates/pve/cleanup.sh", "true\n");
    repo.commit("Change");
    let base = repo.git(&["rev-parse", "v0.1"]);
    let clone = folder("shallow-clone");
    let url = format!("file://{}", repo.top.display());
    repo.git(&["clone", "--quiet", "--depth=1", &url, clone.to_str().unwrap()]);
    for revision in ["v0.1", base.as_str(), "HEAD~1"] {
        check_in(&clone, &["--base", revision]).expect(3, &["there is no revision", "fetch --unshallow"]);
    }
    git(&clone, &["fetch", "--quiet", "--unshallow", "--tags"]);
    let verdict = Verdict::of(&check_in(&clone, &["--base", "v0.1", "--json"]).expect(0, &[]).json());
    assert_eq!(verdict.rebuild.len(), 1);
}

#[test]
fn a_partial_clone_asks_no_network() {
    let repo = Repo::new("partial-origin");
    repo.git(&["config", "uploadpack.allowFilter", "true"]);
    repo.append("shared/scripts/update.sh", "# only a comment\n");
    repo.commit("Comment");
    let clone = folder("partial-clone");
    let url = format!("file://{}", repo.top.display());
    repo.git(&["clone", "--quiet", "--filter=blob:none", &url, clone.to_str().unwrap()]);
    fs::rename(&repo.top, repo.top.with_extension("away")).unwrap();
    // What the script said before isn't here, so nobody can tell that only a comment changed.
    let verdict = Verdict::of(&check_in(&clone, &["--base", "v0.1", "--json"]).expect(0, &[]).json());
    fs::rename(repo.top.with_extension("away"), &repo.top).unwrap();
    assert_eq!(verdict.rebuild.len(), 2);
}

#[test]
fn work_that_takes_a_change_back_still_counts() {
    let repo = Repo::new("taken-back");
    let before = repo.read("templates/pve/cleanup.sh");
    repo.append("templates/pve/cleanup.sh", "true\n");
    repo.commit("Change");
    repo.write("templates/pve/cleanup.sh", before);
    assert_eq!(repo.verdict().rebuild.len(), 1);
}

#[test]
fn a_change_that_was_taken_back_is_none() {
    let repo = Repo::new("reverted");
    repo.append("templates/pve/cleanup.sh", "true\n");
    repo.commit("Change");
    repo.git(&["revert", "--no-edit", "HEAD"]);
    assert_eq!(repo.verdict().decision, "skip");
}

#[test]
fn line_ends_that_git_converts_are_no_change() {
    let repo = Repo::new("autocrlf");
    repo.git(&["config", "core.autocrlf", "true"]);
    repo.replace("templates/pve/cleanup.sh", "\n", "\r\n");
    assert_eq!(repo.verdict().decision, "skip");
}

#[test]
fn variables_of_another_repository_lead_nowhere() {
    let repo = Repo::new("variables");
    let other = Repo::new("variables-other");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["packer", "check", "--base", "v0.1", "--packer-dir"]).arg(&repo.packer);
    command.env("GIT_DIR", other.top.join(".git")).env("GIT_WORK_TREE", &other.top).env("GIT_INDEX_FILE", "/x");
    repo.append("templates/pve/cleanup.sh", "true\n");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("rebuild: 1 of 2 images"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
