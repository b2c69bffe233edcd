//! What counts for which image, in the layout of today.

use crate::repo::{Repo, Verdict};

/// One change between two releases and what it means.
struct Case {
    what: &'static str,
    edit: fn(&Repo),
    rebuild: &'static [(&'static str, &'static [&'static str])],
    comments: &'static [&'static str],
    review: &'static [&'static str],
    removed: &'static [&'static str],
}

const NOTHING: Case = Case { what: "", edit: |_| {}, rebuild: &[], comments: &[], review: &[], removed: &[] };

impl Case {
    fn expected(&self) -> Verdict {
        let strings = |texts: &[&str]| -> Vec<String> { texts.iter().map(|text| (*text).to_owned()).collect() };
        Verdict {
            decision: if self.rebuild.is_empty() { "skip" } else { "rebuild" }.to_owned(),
            rebuild: self.rebuild.iter().map(|(name, files)| ((*name).to_owned(), strings(files))).collect(),
            comments: strings(self.comments),
            review: strings(self.review),
            removed: strings(self.removed),
        }
    }
}

#[track_caller]
fn run(table: &str, start: fn(&str) -> Repo, cases: &[Case]) {
    for case in cases {
        let repo = start(&format!("{table}-{}", case.what));
        (case.edit)(&repo);
        // Before it is committed, and after: the same files count.
        if !repo.git(&["status", "--porcelain"]).is_empty() {
            let uncommitted = repo.verdict();
            assert_eq!(uncommitted, case.expected(), "{}, uncommitted", case.what);
        }
        repo.commit(case.what);
        repo.tag("v0.2");
        assert_eq!(repo.verdict(), case.expected(), "{}", case.what);
    }
}

#[test]
fn a_change_counts_for_the_images_that_it_reaches() {
    run(
        "inputs",
        Repo::new,
        &[
            Case { what: "nothing", ..NOTHING },
            Case {
                what: "a template",
                edit: |repo| repo.append("templates/pve/template.pkr.hcl", "variable \"x\" {}\n"),
                rebuild: &[("pve", &["templates/pve/template.pkr.hcl"])],
                ..NOTHING
            },
            Case {
                what: "another file of a template",
                edit: |repo| repo.append("templates/pve/cleanup.sh", "true\n"),
                rebuild: &[("pve", &["templates/pve/cleanup.sh"])],
                ..NOTHING
            },
            Case {
                what: "a file more in a template",
                edit: |repo| repo.write("templates/pve/files/motd", "hello\n"),
                rebuild: &[("pve", &["templates/pve/files/motd"])],
                ..NOTHING
            },
            Case {
                what: "a shared file",
                edit: |repo| repo.append("shared/cloud-init/user-data", "ssh_pwauth: false\n"),
                rebuild: &[("debian-12", &["shared/cloud-init/user-data"]), ("pve", &["shared/cloud-init/user-data"])],
                ..NOTHING
            },
            Case {
                what: "a shared file is gone",
                edit: |repo| repo.remove("shared/cloud-init/meta-data"),
                rebuild: &[("debian-12", &["shared/cloud-init/meta-data"]), ("pve", &["shared/cloud-init/meta-data"])],
                ..NOTHING
            },
            Case {
                what: "a file that a template names elsewhere",
                edit: |repo| repo.append("extras/pve.sh", "true\n"),
                rebuild: &[("pve", &["extras/pve.sh"])],
                ..NOTHING
            },
            Case {
                what: "a file that no template names elsewhere",
                edit: |repo| repo.write("extras/other.sh", "true\n"),
                ..NOTHING
            },
            Case {
                what: "documents, tests, CI and publishing",
                edit: |repo| {
                    repo.append("README.md", "more\n");
                    repo.append("CHANGELOG.md", "more\n");
                    repo.append("tests/build.bats", "more\n");
                    repo.append(".github/workflows/ci.yml", "more: 1\n");
                    repo.append("publish.sh", "more\n");
                    repo.write("docs/a.md", "more\n");
                    repo.write("shared/README.md", "more\n");
                    repo.write("templates/pve/README.md", "more\n");
                    repo.write("shared/tests/update.bats", "more\n");
                    repo.write("scripts/anything.sh", "more\n");
                },
                ..NOTHING
            },
            Case {
                what: "build scripts",
                edit: |repo| {
                    repo.append("build.sh", "true\n");
                    repo.append("lib/log.sh", "true\n");
                },
                review: &["build.sh", "lib/log.sh"],
                ..NOTHING
            },
            Case {
                what: "mode",
                edit: |repo| repo.executable("shared/scripts/update.sh"),
                rebuild: &[("debian-12", &["shared/scripts/update.sh"]), ("pve", &["shared/scripts/update.sh"])],
                ..NOTHING
            },
            Case {
                what: "line ends",
                edit: |repo| repo.replace("templates/pve/cleanup.sh", "\n", "\r\n"),
                rebuild: &[("pve", &["templates/pve/cleanup.sh"])],
                ..NOTHING
            },
            Case {
                what: "odd names",
                edit: |repo| repo.write("templates/pve/files/grüße \"a\\b\".txt", "x\n"),
                rebuild: &[("pve", &["templates/pve/files/grüße \"a\\b\".txt"])],
                ..NOTHING
            },
            Case { what: "ignored files", edit: |repo| repo.write("shared/scripts/a.log", "x\n"), ..NOTHING },
        ],
    );
}

#[test]
fn templates_come_and_go() {
    run(
        "templates",
        Repo::new,
        &[
            Case {
                what: "a new template",
                edit: |repo| repo.write("templates/debian-13/template.pkr.hcl", "build {}\n"),
                rebuild: &[("debian-13", &[])],
                ..NOTHING
            },
            Case {
                what: "a template is gone",
                edit: |repo| repo.remove("templates/pve"),
                removed: &["pve"],
                ..NOTHING
            },
            Case {
                what: "a template is gone and left a file",
                edit: |repo| repo.remove("templates/pve/template.pkr.hcl"),
                removed: &["pve"],
                ..NOTHING
            },
            Case {
                what: "a template has another name",
                edit: |repo| repo.rename("templates/pve", "templates/pve-9"),
                rebuild: &[("pve-9", &[])],
                removed: &["pve"],
                ..NOTHING
            },
            Case {
                what: "a folder without a template",
                edit: |repo| repo.write("templates/common/README.md", "x\n"),
                ..NOTHING
            },
        ],
    );
}

#[test]
fn comments_are_named_and_do_not_count() {
    run(
        "comments",
        Repo::new,
        &[
            Case {
                what: "in a script",
                edit: |repo| repo.replace("shared/scripts/update.sh", "# Updates.\n", "# Updates all.\n\n"),
                comments: &["shared/scripts/update.sh"],
                ..NOTHING
            },
            Case {
                what: "in a template",
                edit: |repo| repo.replace("templates/pve/template.pkr.hcl", "# The", "// This is the"),
                comments: &["templates/pve/template.pkr.hcl"],
                ..NOTHING
            },
            Case {
                what: "and code",
                edit: |repo| repo.append("shared/scripts/update.sh", "# more\ntrue\n"),
                rebuild: &[("debian-12", &["shared/scripts/update.sh"]), ("pve", &["shared/scripts/update.sh"])],
                ..NOTHING
            },
            Case {
                what: "in user data",
                edit: |repo| repo.append("shared/cloud-init/user-data", "# more\n"),
                rebuild: &[("debian-12", &["shared/cloud-init/user-data"]), ("pve", &["shared/cloud-init/user-data"])],
                ..NOTHING
            },
            Case {
                what: "beside a heredoc",
                edit: |repo| {
                    repo.append("templates/pve/cleanup.sh", "cat <<E\n# text\nE\n");
                    repo.commit("heredoc");
                    repo.git(&["tag", "--force", "v0.1"]);
                    repo.replace("templates/pve/cleanup.sh", "# text", "# other text");
                },
                rebuild: &[("pve", &["templates/pve/cleanup.sh"])],
                ..NOTHING
            },
            Case {
                what: "of the interpreter",
                edit: |repo| repo.replace("templates/pve/cleanup.sh", "#!/bin/sh", "#!/bin/bash"),
                rebuild: &[("pve", &["templates/pve/cleanup.sh"])],
                ..NOTHING
            },
        ],
    );
}

#[test]
fn files_move_and_are_named_in_many_ways() {
    run(
        "names",
        Repo::new,
        &[
            Case {
                what: "a script moves with its name in the template",
                edit: |repo| {
                    repo.rename("extras/pve.sh", "templates/pve/extra.sh");
                    repo.replace("templates/pve/template.pkr.hcl", "/../../extras/pve.sh", "/extra.sh");
                },
                ..NOTHING
            },
            Case {
                what: "a script moves and changes",
                edit: |repo| {
                    repo.rename("extras/pve.sh", "templates/pve/extra.sh");
                    repo.replace("templates/pve/template.pkr.hcl", "/../../extras/pve.sh", "/extra.sh");
                    repo.append("templates/pve/extra.sh", "true\n");
                },
                rebuild: &[("pve", &["templates/pve/extra.sh"])],
                ..NOTHING
            },
            Case {
                what: "a script moves and changes in comments",
                edit: |repo| {
                    repo.rename("extras/pve.sh", "templates/pve/extra.sh");
                    repo.replace("templates/pve/template.pkr.hcl", "/../../extras/pve.sh", "/extra.sh");
                    repo.append("templates/pve/extra.sh", "# Moved here.\n");
                },
                comments: &["templates/pve/extra.sh"],
                ..NOTHING
            },
            Case {
                what: "another script in its place",
                edit: |repo| {
                    repo.replace("templates/pve/template.pkr.hcl", "extras/pve.sh", "shared/scripts/update.sh");
                },
                rebuild: &[("pve", &["extras/pve.sh", "templates/pve/template.pkr.hcl"])],
                ..NOTHING
            },
            Case {
                what: "scripts in another order",
                edit: |repo| {
                    let template = "templates/pve/template.pkr.hcl";
                    repo.replace(template, "shared/scripts/update.sh", "SWAP");
                    repo.replace(template, "${path.root}/cleanup.sh", "${path.root}/../../shared/scripts/update.sh");
                    repo.replace(template, "${path.root}/../../SWAP", "${path.root}/cleanup.sh");
                },
                rebuild: &[("pve", &["templates/pve/template.pkr.hcl"])],
                ..NOTHING
            },
            Case {
                what: "another name on the CD",
                edit: |repo| {
                    repo.rename("shared/cloud-init/meta-data", "shared/cloud-init/meta.yml");
                    repo.replace("templates/pve/template.pkr.hcl", "meta-data", "meta.yml");
                    repo.replace("templates/debian-12/template.pkr.hcl", "meta-data", "meta.yml");
                },
                rebuild: &[
                    ("debian-12", &["templates/debian-12/template.pkr.hcl"]),
                    ("pve", &["templates/pve/template.pkr.hcl"]),
                ],
                ..NOTHING
            },
            Case {
                what: "a path of the output",
                edit: |repo| {
                    repo.replace("templates/pve/template.pkr.hcl", "${path.root}/../../images", "${path.cwd}/images");
                },
                ..NOTHING
            },
            Case {
                what: "functions",
                edit: |repo| {
                    for (file, call) in [
                        ("http/a.cfg", "file(\"${path.root}/../../http/a.cfg\")"),
                        ("http/b.tpl", "templatefile(\"http/b.tpl\", { x = \"1\" })"),
                        ("http/c/d", "1\n  source = \"${path.cwd}/http/c/\""),
                        ("http/e/f", "1\n  cd_files = [\"./http/e/*\"]"),
                    ] {
                        repo.write(file, "one\n");
                        repo.append("templates/pve/template.pkr.hcl", &format!("locals {{\n  x = {call}\n}}\n"));
                    }
                    repo.commit("Name more files");
                    repo.git(&["tag", "--force", "v0.1"]);
                    for file in ["http/a.cfg", "http/b.tpl", "http/c/d", "http/c/new/g", "http/e/f", "http/other"] {
                        repo.write(file, "two\n");
                    }
                },
                rebuild: &[("pve", &["http/a.cfg", "http/b.tpl", "http/c/d", "http/c/new/g", "http/e/f"])],
                ..NOTHING
            },
            Case {
                what: "a rename in a folder that is uploaded",
                edit: |repo| {
                    repo.append("templates/pve/template.pkr.hcl", "# upload\nsource = \"http/up/\"\n");
                    repo.write("http/up/a", "text\n");
                    repo.commit("Upload a folder");
                    repo.git(&["tag", "--force", "v0.1"]);
                    repo.rename("http/up/a", "http/up/b");
                },
                rebuild: &[("pve", &["http/up/a", "http/up/b"])],
                ..NOTHING
            },
            Case {
                what: "a folder that is uploaded moves",
                edit: |repo| {
                    repo.append("templates/pve/template.pkr.hcl", "# upload\nsource = \"http/up/\"\n");
                    repo.write("http/up/a", "text\n");
                    repo.commit("Upload a folder");
                    repo.git(&["tag", "--force", "v0.1"]);
                    repo.rename("http/up", "up");
                    repo.replace("templates/pve/template.pkr.hcl", "http/up/", "up/");
                },
                ..NOTHING
            },
            Case {
                what: "a rename where nobody can tell who reads it",
                edit: |repo| {
                    repo.append("templates/pve/template.pkr.hcl", "# upload\nsource = var.overlay\n");
                    repo.write("shared/overlay/etc/a", "text\n");
                    repo.commit("Upload a folder");
                    repo.git(&["tag", "--force", "v0.1"]);
                    repo.rename("shared/overlay/etc", "shared/overlay/usr");
                },
                rebuild: &[("pve", &["shared/overlay/etc/a", "shared/overlay/usr/a"])],
                ..NOTHING
            },
            Case {
                what: "a rename of what no template names",
                edit: |repo| {
                    let template = "templates/pve/template.pkr.hcl";
                    repo.append(template, "cd_files = [\"${var.seed}/user-data\"]\n");
                    repo.write("shared/a", "text\n");
                    repo.commit("Add a file");
                    repo.git(&["tag", "--force", "v0.1"]);
                    repo.rename("shared/a", "shared/b");
                },
                ..NOTHING
            },
            Case {
                what: "a document that is uploaded",
                edit: |repo| {
                    repo.append("templates/pve/template.pkr.hcl", "# upload\nsource = \"docs\"\n");
                    repo.write("docs/README.md", "text\n");
                    repo.commit("Upload a document");
                    repo.git(&["tag", "--force", "v0.1"]);
                    repo.append("docs/README.md", "more\n");
                },
                rebuild: &[("pve", &["docs/README.md"])],
                ..NOTHING
            },
            Case {
                what: "names that lead nowhere",
                edit: |repo| {
                    let template = "templates/pve/template.pkr.hcl";
                    repo.append(template, "source = \"https://example.org/a\"\nscript = \"made/while/building.sh\"\n");
                    repo.commit("Name nothing");
                    repo.git(&["tag", "--force", "v0.1"]);
                },
                ..NOTHING
            },
        ],
    );
}

#[test]
fn links_are_followed() {
    run(
        "links",
        Repo::new,
        &[
            Case {
                what: "to a file",
                edit: |repo| {
                    repo.write("other/motd", "one\n");
                    repo.link("templates/pve/motd", "../../other/motd");
                    repo.commit("Link");
                    repo.git(&["tag", "--force", "v0.1"]);
                    repo.write("other/motd", "two\n");
                },
                rebuild: &[("pve", &["templates/pve/motd"])],
                ..NOTHING
            },
            Case {
                what: "to a folder",
                edit: |repo| {
                    repo.write("other/a", "one\n");
                    repo.link("templates/pve/other", "../../other");
                    repo.commit("Link");
                    repo.git(&["tag", "--force", "v0.1"]);
                    repo.write("other/b", "two\n");
                },
                rebuild: &[("pve", &["templates/pve/other/b"])],
                ..NOTHING
            },
            Case {
                what: "to another file with the same content",
                edit: |repo| {
                    repo.write("other/a", "one\n");
                    repo.write("other/b", "one\n");
                    repo.link("templates/pve/x", "../../other/a");
                    repo.commit("Link");
                    repo.git(&["tag", "--force", "v0.1"]);
                    repo.link("templates/pve/x", "../../other/b");
                },
                ..NOTHING
            },
            Case {
                what: "in place of a file",
                edit: |repo| {
                    repo.rename("templates/pve/cleanup.sh", "templates/pve/real.sh");
                    repo.link("templates/pve/cleanup.sh", "real.sh");
                },
                rebuild: &[("pve", &["templates/pve/cleanup.sh", "templates/pve/real.sh"])],
                ..NOTHING
            },
            Case {
                what: "in circles and to nowhere",
                edit: |repo| {
                    repo.link("templates/pve/a", "b");
                    repo.link("templates/pve/b", "a");
                    repo.link("templates/pve/c", "nowhere");
                    repo.link("templates/pve/d", "..");
                    repo.commit("Link");
                    repo.git(&["tag", "--force", "v0.1"]);
                },
                ..NOTHING
            },
        ],
    );
}
