//! The older, flat layout, and the way from it to the layout of today.

use crate::repo::{Repo, Verdict};

fn flat(test: &str) -> Repo {
    let repo = Repo::empty(test);
    repo.fill_flat();
    repo.commit("Add all");
    repo.tag("v0.1");
    repo
}

/// Moves everything from the flat layout to today's, as a person would: with the names in the templates.
fn migrate(repo: &Repo) {
    repo.rename("cloud-init", "shared/cloud-init");
    repo.rename("scripts/update.sh", "shared/scripts/update.sh");
    repo.rename("scripts/publish-images.sh", "publish-images.sh");
    repo.rename("scripts/test-templates.sh", "tests/test-templates.sh");
    for name in ["debian-12", "pve"] {
        let template = format!("templates/{name}/template.pkr.hcl");
        repo.rename(&format!("templates/{name}.pkr.hcl"), &template);
        repo.rename(&format!("scripts/cleanup-{name}.sh"), &format!("templates/{name}/cleanup.sh"));
        repo.replace(&template, &format!("${{path.root}}/../scripts/cleanup-{name}.sh"), "${path.root}/cleanup.sh");
        repo.replace(&template, "${path.root}/../scripts", "${path.root}/../../shared/scripts");
        repo.replace(&template, "${path.root}/../cloud-init", "${path.root}/../../shared/cloud-init");
        repo.replace(&template, "${path.root}/../images", "${path.root}/../../images");
    }
    repo.replace("templates/pve/template.pkr.hcl", "${path.root}/../extras", "${path.root}/../../extras");
}

type Case = (&'static str, fn(&Repo), &'static [(&'static str, &'static [&'static str])]);

#[track_caller]
fn run(table: &str, cases: &[Case]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for (what, edit, rebuild) in cases {
        let repo = flat(&format!("{table}-{what}"));
        edit(&repo);
        repo.commit(what);
        repo.tag("v0.2");
        let verdict = repo.verdict();
        let expected: Vec<(String, Vec<String>)> = rebuild
            .iter()
            .map(|(name, files)| ((*name).to_owned(), files.iter().map(|file| (*file).to_owned()).collect()))
            .collect();
        assert_eq!(verdict.rebuild, expected, "{what}: {verdict:?}");
        assert_eq!(verdict.decision, if expected.is_empty() { "skip" } else { "rebuild" }, "{what}");
        verdicts.push(verdict);
    }
    verdicts
}

#[test]
fn in_the_flat_layout_scripts_and_cloud_init_belong_to_every_image() {
    run(
        "flat",
        &[
            ("nothing", |_| {}, &[]),
            (
                "a template",
                |repo| repo.append("templates/pve.pkr.hcl", "variable \"x\" {}\n"),
                &[("pve", &["templates/pve.pkr.hcl"])],
            ),
            (
                "variables of a template",
                |repo| repo.write("templates/pve.pkrvars.hcl", "x = 1\n"),
                &[("pve", &["templates/pve.pkrvars.hcl"])],
            ),
            (
                "a script",
                |repo| repo.append("scripts/update.sh", "true\n"),
                &[("debian-12", &["scripts/update.sh"]), ("pve", &["scripts/update.sh"])],
            ),
            (
                "cloud-init",
                |repo| repo.append("cloud-init/user-data", "# more\n"),
                &[("debian-12", &["cloud-init/user-data"]), ("pve", &["cloud-init/user-data"])],
            ),
            ("a named file elsewhere", |repo| repo.append("extras/pve.sh", "true\n"), &[("pve", &["extras/pve.sh"])]),
            (
                "publishing and tests",
                |repo| {
                    repo.append("scripts/publish-images.sh", "true\n");
                    repo.append("scripts/test-templates.sh", "true\n");
                    repo.write("scripts/README.md", "more\n");
                    repo.append("publish.sh", "true\n");
                },
                &[],
            ),
            ("a build script among them", |repo| repo.write("scripts/build-all.sh", "true\n"), &[]),
            (
                "variables beside the templates",
                |repo| repo.write("templates/variables.pkr.hcl", "variable \"x\" {}\n"),
                &[("debian-12", &["templates/variables.pkr.hcl"]), ("pve", &["templates/variables.pkr.hcl"])],
            ),
            ("a new template", |repo| repo.write("templates/new.pkr.hcl", "build {}\n"), &[("new", &[])]),
        ],
    );
}

#[test]
fn between_layouts_contents_are_compared() {
    let verdicts = run(
        "between",
        &[
            ("all moves", migrate, &[]),
            (
                "a template changes as well",
                |repo| {
                    migrate(repo);
                    repo.append("templates/pve/template.pkr.hcl", "variable \"x\" {}\n");
                },
                &[("pve", &["templates/pve/template.pkr.hcl"])],
            ),
            (
                "comments change as well",
                |repo| {
                    migrate(repo);
                    repo.replace("templates/pve/template.pkr.hcl", "# The", "# Now the");
                    repo.append("shared/scripts/update.sh", "# This file moved.\n");
                },
                &[],
            ),
            (
                "a shared script changes as well",
                |repo| {
                    migrate(repo);
                    repo.append("shared/scripts/update.sh", "true\n");
                },
                &[("debian-12", &["shared/scripts/update.sh"]), ("pve", &["shared/scripts/update.sh"])],
            ),
            (
                "one image's own script changes as well",
                |repo| {
                    migrate(repo);
                    repo.append("templates/pve/cleanup.sh", "true\n");
                },
                &[("pve", &["templates/pve/cleanup.sh"])],
            ),
            (
                "user data changes as well",
                |repo| {
                    migrate(repo);
                    repo.append("shared/cloud-init/user-data", "ssh_pwauth: false\n");
                },
                &[("debian-12", &["shared/cloud-init/user-data"]), ("pve", &["shared/cloud-init/user-data"])],
            ),
            (
                "a name in a template is left behind",
                |repo| {
                    migrate(repo);
                    repo.replace("templates/pve/template.pkr.hcl", "${path.root}/cleanup.sh", "${path.root}/gone.sh");
                },
                &[("pve", &["scripts/cleanup-pve.sh", "templates/pve/template.pkr.hcl"])],
            ),
            (
                "a script is added",
                |repo| {
                    migrate(repo);
                    repo.write("shared/scripts/more.sh", "true\n");
                },
                &[("debian-12", &["shared/scripts/more.sh"]), ("pve", &["shared/scripts/more.sh"])],
            ),
            (
                "only the templates move",
                |repo| {
                    for name in ["debian-12", "pve"] {
                        let template = format!("templates/{name}/template.pkr.hcl");
                        repo.rename(&format!("templates/{name}.pkr.hcl"), &template);
                        repo.replace(&template, "${path.root}/..", "${path.root}/../..");
                    }
                },
                &[],
            ),
            (
                "one template moves",
                |repo| {
                    repo.rename("templates/pve.pkr.hcl", "templates/pve/template.pkr.hcl");
                    repo.replace("templates/pve/template.pkr.hcl", "${path.root}/..", "${path.root}/../..");
                },
                &[],
            ),
            (
                "one cleanup for all is copied to each",
                |repo| {
                    repo.write("scripts/cleanup.sh", "echo all\n");
                    for name in ["debian-12", "pve"] {
                        repo.replace(&format!("templates/{name}.pkr.hcl"), &format!("cleanup-{name}.sh"), "cleanup.sh");
                        repo.remove(&format!("scripts/cleanup-{name}.sh"));
                    }
                    repo.commit("One cleanup");
                    repo.git(&["tag", "--force", "v0.1"]);
                    for name in ["debian-12", "pve"] {
                        repo.write(&format!("scripts/cleanup-{name}.sh"), repo.read("scripts/cleanup.sh"));
                        repo.replace(&format!("templates/{name}.pkr.hcl"), "cleanup.sh", &format!("cleanup-{name}.sh"));
                    }
                    repo.remove("scripts/cleanup.sh");
                    migrate(repo);
                },
                &[],
            ),
        ],
    );
    let comments = &verdicts[2].comments;
    assert_eq!(comments, &["shared/scripts/update.sh", "templates/pve/template.pkr.hcl"]);
}

#[test]
fn back_to_the_flat_layout_works_as_well() {
    let repo = flat("back");
    repo.commit("start");
    migrate(&repo);
    repo.commit("Move all");
    repo.git(&["tag", "--force", "v0.1"]);
    repo.git(&["revert", "--no-edit", "HEAD"]);
    assert_eq!(repo.verdict().rebuild, []);
}
