//! The older, flat layout, whose engine takes no copy of what it builds from.

use super::repo::Repo;

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
}

type Case = (&'static str, fn(&Repo), &'static [(&'static str, &'static [&'static str])]);

#[track_caller]
fn run(table: &str, cases: &[Case]) {
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
    }
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
            (
                "documents and publishing",
                |repo| {
                    repo.write("scripts/README.md", "more\n");
                    repo.append("publish.sh", "true\n");
                },
                &[],
            ),
            ("a new template", |repo| repo.write("templates/new.pkr.hcl", "build {}\n"), &[("new", &[])]),
        ],
    );
}

#[test]
fn between_the_layouts_everything_is_another() {
    let repo = flat("between");
    migrate(&repo);
    repo.commit("Move all");
    let verdict = repo.verdict();
    assert_eq!(verdict.rebuild.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["debian-12", "pve"]);
    assert!(verdict.rebuild[0].1.contains(&"templates/debian-12/template.pkr.hcl".to_owned()), "{verdict:?}");
}
