//! What counts for which image, in the layout of today.

use super::case::{Case, NOTHING, run};
use super::repo::Repo;

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
                what: "a file that no build can see",
                edit: |repo| repo.write("extras/pve.sh", "true\n"),
                ..NOTHING
            },
            Case {
                what: "documents, tests, limits, CI and publishing",
                edit: |repo| {
                    repo.append("README.md", "more\n");
                    repo.append("CHANGELOG.md", "more\n");
                    repo.append("tests/build.bats", "more\n");
                    repo.append(".github/workflows/ci.yml", "more: 1\n");
                    repo.append("publish.sh", "more\n");
                    repo.write("docs/a.md", "more\n");
                    repo.write("shared/README.md", "more\n");
                    repo.write("templates/pve/README.md", "more\n");
                    repo.write("templates/pve/tests/boots.sh", "true\n");
                    repo.write("templates/pve/limits", "max_size = 1G\n");
                    repo.write("scripts/anything.sh", "more\n");
                },
                ..NOTHING
            },
            Case {
                what: "build scripts",
                edit: |repo| {
                    repo.append("build.sh", "true\n");
                    repo.append("lib/log.sh", "true\n");
                    repo.write("build", "#!/bin/sh\n");
                },
                review: &["build", "build.sh", "lib/log.sh"],
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
            Case {
                what: "a file that moves",
                edit: |repo| repo.rename("templates/pve/cleanup.sh", "templates/pve/other.sh"),
                rebuild: &[("pve", &["templates/pve/cleanup.sh", "templates/pve/other.sh"])],
                ..NOTHING
            },
            Case {
                what: "a link in place of a file",
                edit: |repo| {
                    repo.rename("templates/pve/cleanup.sh", "templates/pve/real.sh");
                    repo.link("templates/pve/cleanup.sh", "real.sh");
                },
                rebuild: &[("pve", &["templates/pve/cleanup.sh", "templates/pve/real.sh"])],
                ..NOTHING
            },
            Case {
                what: "another text of a link",
                edit: |repo| {
                    repo.write("templates/pve/b", "x\n");
                    repo.link("templates/pve/a", "b");
                    repo.link("templates/pve/circle", "circle");
                    repo.commit("Link");
                    repo.git(&["tag", "--force", "v0.1"]);
                    repo.link("templates/pve/a", "./b");
                },
                rebuild: &[("pve", &["templates/pve/a"])],
                ..NOTHING
            },
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
