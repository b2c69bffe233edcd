//! Files that move, links, and the many ways in which a template names files.

use crate::case::{Case, NOTHING, run};
use crate::repo::Repo;

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
                what: "a script moves and its name in the template stays",
                edit: |repo| repo.rename("extras/pve.sh", "templates/pve/extra.sh"),
                rebuild: &[("pve", &["extras/pve.sh"])],
                ..NOTHING
            },
            Case {
                what: "a script gets a name in capitals and the template does not",
                edit: |repo| repo.rename("templates/pve/cleanup.sh", "templates/pve/Cleanup.sh"),
                rebuild: &[("pve", &["templates/pve/cleanup.sh"])],
                ..NOTHING
            },
            Case {
                what: "two scripts change places",
                edit: |repo| {
                    repo.rename("templates/pve/cleanup.sh", "templates/pve/other.sh");
                    repo.rename("shared/scripts/update.sh", "templates/pve/cleanup.sh");
                    repo.rename("templates/pve/other.sh", "shared/scripts/update.sh");
                },
                rebuild: &[
                    ("debian-12", &["shared/scripts/update.sh"]),
                    ("pve", &["shared/scripts/update.sh", "templates/pve/cleanup.sh"]),
                ],
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
