//! Repositories of every kind that a packer directory can be in.

use std::fs;

use super::repo::{Repo, Verdict, check_in, folder, git};

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
fn what_no_build_would_find_is_said() {
    let repo = Repo::in_folder("outside", "packer");
    repo.write("extras/pve.sh", "one\n");
    repo.write("../site/key.sh", "one\n");
    repo.append(
        "templates/pve/template.pkr.hcl",
        "a = \"${path.root}/../../extras/pve.sh\"\nb = \"${path.root}/../../../site/key.sh\"\nc = \"${path.root}/../../images\"\n",
    );
    repo.link("shared/common", "../../site");
    repo.link("shared/inside", "scripts/update.sh");
    repo.commit("Name files outside");
    repo.git(&["tag", "--force", "v0.1"]);
    repo.write("../site/key.sh", "two\n");
    let json = repo.check(&["--base", "v0.1", "--json"]).expect(0, &[]).json();
    assert_eq!(json["decision"], "skip");
    let notes: Vec<&str> = json["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap()).collect();
    for says in [
        "pve can't be built: templates/pve/template.pkr.hcl names extras/pve.sh, which is not an input",
        "pve can't be built: templates/pve/template.pkr.hcl names ../site/key.sh, which is not an input",
        "pve can't be built: shared/common is a symlink that leads out",
        "debian-12 can't be built: shared/common is a symlink that leads out",
    ] {
        assert!(notes.iter().any(|note| note.starts_with(says)), "no `{says}` in {notes:#?}");
    }
    assert_eq!(notes.len(), 4, "{notes:#?}");
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
fn a_repository_with_sha_256_ids_is_refused() {
    let top = folder("sha-256");
    git(&top, &["init", "--quiet", "--initial-branch=main", "--object-format=sha256"]);
    let repo = Repo { packer: top.clone(), top };
    repo.fill();
    repo.commit("Add all");
    let says = ["this clone uses SHA-256 object ids, which GitHub does not have\nfix: make a new clone"];
    check_in(&repo.packer, &["--base", "HEAD"]).expect(3, &says);
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
    check_in(&packer, &["--base", "HEAD"]).expect(3, &["git tracks no template in"]);
    check_in(&outer.top.join("missing"), &[]).expect(3, &["no packer directory", "--packer-dir"]);
    let outside = std::env::temp_dir().join(format!("check-outside-{}", std::process::id()));
    fs::create_dir_all(&outside).unwrap();
    let ran = check_in(&outside, &[]);
    fs::remove_dir_all(&outside).unwrap();
    ran.expect(3, &["is not in a git work tree"]);
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
fn a_submodule_among_the_inputs_is_in_no_commit() {
    let shared = Repo::new("submodule-shared");
    let repo = Repo::new("submodule-in-inputs");
    repo.git(&["submodule", "--quiet", "add", shared.top.to_str().unwrap(), "shared/vendor"]);
    repo.commit("Add a submodule");
    repo.git(&["tag", "--force", "v0.1"]);
    // Its files reach a build, and nobody can tell what they were.
    let rebuild = repo.verdict().rebuild;
    assert!(rebuild[0].1.contains(&"shared/vendor".to_owned()), "{rebuild:?}");
    assert!(rebuild[0].1.contains(&"shared/vendor/build.sh".to_owned()), "{rebuild:?}");
    assert!(!rebuild[0].1.contains(&"shared/vendor/.git".to_owned()), "{rebuild:?}");
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
fn without_a_login_nothing_is_decided() {
    let repo = Repo::empty("no-commit");
    repo.fill();
    repo.check(&["--json"]).expect(3, &["could not ask", "gh auth login", "--base REV"]);
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
fn work_that_takes_a_change_back_takes_it_back() {
    let repo = Repo::new("taken-back");
    let before = repo.read("templates/pve/cleanup.sh");
    repo.append("templates/pve/cleanup.sh", "true\n");
    repo.commit("Change");
    repo.write("templates/pve/cleanup.sh", before);
    assert_eq!(repo.verdict().decision, "skip");
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
fn the_bytes_and_modes_on_disk_count_whatever_git_makes_of_them() {
    type Edit = fn(&Repo);
    let cases: [(&str, Edit, &str); 6] = [
        ("autocrlf", |repo| drop(repo.git(&["config", "core.autocrlf", "true"])), ""),
        ("eol", |repo| repo.write(".gitattributes", "*.sh text eol=lf\n"), ""),
        ("ident", |repo| repo.write(".gitattributes", "*.sh ident\n"), "echo '$Id$'\n"),
        (
            "filter",
            |repo| {
                repo.write(".gitattributes", "cleanup.sh filter=same\n");
                repo.git(&["config", "filter.same.clean", "tr -d '\\r'"]);
            },
            "",
        ),
        ("export", |repo| repo.write(".gitattributes", "*.sh export-ignore export-subst\n"), ""),
        ("ignored", |repo| repo.write(".gitignore", "*.sh\n"), ""),
    ];
    for (what, configure, end) in cases {
        let repo = Repo::new(&format!("disk-{what}"));
        repo.append("templates/pve/cleanup.sh", end);
        configure(&repo);
        repo.git(&["add", "--all", "--force"]);
        repo.commit("Configure");
        repo.git(&["tag", "--force", "v0.1"]);
        assert_eq!(repo.verdict().decision, "skip", "{what}");
        match what {
            "ident" => repo.replace("templates/pve/cleanup.sh", "$Id$", "$Id: 0123 $"),
            "ignored" => repo.write("templates/pve/more.sh", "true\n"),
            _ => repo.replace("templates/pve/cleanup.sh", "\n", "\r\n"),
        }
        let file = if what == "ignored" { "more.sh" } else { "cleanup.sh" };
        assert_eq!(repo.verdict().rebuild, [("pve".to_owned(), vec![format!("templates/pve/{file}")])], "{what}");
    }
    let repo = Repo::new("disk-mode");
    repo.git(&["config", "core.fileMode", "false"]);
    repo.executable("shared/scripts/update.sh");
    assert_eq!(repo.verdict().rebuild.len(), 2);
}

#[test]
fn variables_of_another_repository_lead_nowhere() {
    let repo = Repo::new("variables");
    let other = Repo::new("variables-other");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_xtask-it"));
    command.args(["packer", "check", "--base", "v0.1", "--packer-dir"]).arg(&repo.packer);
    command.env("GIT_DIR", other.top.join(".git")).env("GIT_WORK_TREE", &other.top).env("GIT_INDEX_FILE", "/x");
    repo.append("templates/pve/cleanup.sh", "true\n");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("rebuild: 1 of 2 images"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
