//! What may be a draft, who finds it, and what a change leaves of it.

use serde_json::{Value, json};

use super::super::scratch::{Scratch, id, text};
use super::super::{Check, Seen, Told};
use super::{bytes, ensure, ensure_field, holds};

pub(super) const CHECKS: &[Check] = &[
    Check {
        assumption: "a draft may be made, or renamed, onto a tag whose name a published release holds",
        run: beside_published,
    },
    Check { assumption: "several drafts may share a tag name", run: shared_name },
    Check { assumption: "a draft makes no tag", run: no_tag },
    Check { assumption: "a listing shows drafts to whoever may push", run: listed },
    Check { assumption: "a lookup by tag finds no draft, a lookup by id does", run: looked_up },
    Check { assumption: "a draft that is changed with its tag_name sent keeps it", run: changed_with_tag },
    Check { assumption: "an HTML comment in a release's notes comes back byte for byte", run: comment },
    Check { assumption: "notes have room for 125,000 characters, and one more is 422", run: notes },
    Check { assumption: "a target_commitish that doesn't exist is 422, on a draft as well", run: wrong_target },
    Check { assumption: "an unchanged draft reads the same each time", run: stable },
    Check { assumption: "a listing of a release's assets ends with a page that isn't full", run: last_page },
    Check { assumption: "a draft that is changed without its tag_name", run: changed_without_tag },
];

/// The publish fills a draft while the old set is live. Reported for drafts of released tags in cli/cli#9004.
fn beside_published(scratch: &Scratch<'_>) -> Told {
    let tag = scratch.tag(&scratch.first)?;
    let live = scratch.published(&tag)?;
    let draft = scratch.create(&scratch.fields(&tag, true))?.expect(201)?.json();
    ensure_field(&draft, "draft", true)?;
    ensure_field(&draft, "tag_name", tag.as_str())?;
    scratch.listed(id(&draft))?;
    let other = scratch.draft(&scratch.name())?;
    let renamed = scratch.edit(&other, &scratch.fields(&tag, true))?.expect(200)?.json();
    ensure_field(&renamed, "tag_name", tag.as_str())?;
    scratch.shows(&tag, id(&live))?;
    holds()
}

/// Two publishers may each have made a `latest-incoming`; both must be seen.
fn shared_name(scratch: &Scratch<'_>) -> Told {
    let tag = scratch.name();
    let first = scratch.draft(&tag)?;
    let second = scratch.create(&scratch.fields(&tag, true))?.expect(201)?.json();
    ensure(id(&first) != id(&second), || "the second request gave the first draft again".to_owned())?;
    for draft in [first, second] {
        ensure_field(&scratch.listed(id(&draft))?, "tag_name", tag.as_str())?;
    }
    holds()
}

/// <https://docs.github.com/rest/releases/releases#create-a-release>: the tag is made when the release is published.
fn no_tag(scratch: &Scratch<'_>) -> Told {
    let tag = scratch.name();
    let draft = scratch.draft(&tag)?;
    scratch.listed(id(&draft))?;
    ensure(scratch.tag_object(&tag)?.is_none(), || format!("the tag {tag} is there"))?;
    holds()
}

/// <https://docs.github.com/rest/releases/releases#list-releases>
fn listed(scratch: &Scratch<'_>) -> Told {
    let tag = scratch.name();
    let draft = scratch.draft(&tag)?;
    let listed = scratch.listed(id(&draft))?;
    ensure_field(&listed, "draft", true)?;
    ensure_field(&listed, "tag_name", tag.as_str())?;
    ensure_field(&listed, "body", draft["body"].clone())?;
    holds()
}

/// <https://docs.github.com/rest/releases/releases#get-a-release-by-tag-name>: "published" releases.
fn looked_up(scratch: &Scratch<'_>) -> Told {
    // The tag exists: a draft isn't found for being a draft, not for want of a tag.
    let tag = scratch.tag(&scratch.first)?;
    let draft = scratch.draft(&tag)?;
    // First it must be known everywhere, or a 404 would say nothing.
    scratch.listed(id(&draft))?;
    scratch.client.get(&format!("releases/tags/{tag}"))?.expect(404)?;
    ensure_field(&scratch.read(&draft)?, "id", id(&draft))?;
    holds()
}

/// How a run takes a draft over: its own token goes into the notes. Without the tag's name it would be lost,
/// mongodb-js/mongosh#691.
fn changed_with_tag(scratch: &Scratch<'_>) -> Told {
    let tag = scratch.name();
    let draft = scratch.draft(&tag)?;
    let mut fields = scratch.fields(&tag, true);
    fields["body"] = "taken over".into();
    for release in [scratch.edit(&draft, &fields)?.expect(200)?.json(), scratch.read(&draft)?] {
        ensure_field(&release, "tag_name", tag.as_str())?;
        ensure_field(&release, "draft", true)?;
        ensure_field(&release, "body", "taken over")?;
    }
    holds()
}

/// The marks on the drafts are comments: JSON with quotes, backslashes and `--`, after an empty line, with a line end behind. Not among
/// them: `\u003e` as six characters, of which gh 2.23 makes `\>` on their way from GitHub.
fn comment(scratch: &Scratch<'_>) -> Told {
    let tag = scratch.name();
    let body = "Becomes `latest`.\n\n<!-- packer-incoming {\"token\":\"0a--b\",\"set\":\"é & <b> \\\\ 'x'\"} -->\n";
    let mut fields = scratch.fields(&tag, true);
    fields["body"] = body.into();
    let draft = scratch.create(&fields)?.expect(201)?.json();
    ensure_field(&draft, "body", body)?;
    let longer = format!("Points to v0.45\n\n| a | b |\n|---|---|\n\n{body}");
    fields["body"] = longer.as_str().into();
    ensure_field(&scratch.edit(&draft, &fields)?.expect(200)?.json(), "body", longer.as_str())?;
    ensure_field(&scratch.read(&draft)?, "body", longer.as_str())?;
    holds()
}

/// A rollback compares the draft it planned with as it is read later: addresses and dates must not change by themselves.
fn stable(scratch: &Scratch<'_>) -> Told {
    let draft = scratch.draft(&scratch.name())?;
    scratch.asset(&draft, "a.bin", &bytes(1))?;
    let read = || -> Result<Value, _> {
        let release = scratch.read(&draft)?;
        let keep = |of: &Value, keys: &[&str]| keys.iter().map(|key| of[*key].clone()).collect::<Vec<_>>();
        let assets = release["assets"].as_array().into_iter().flatten();
        let assets: Vec<_> =
            assets.map(|it| keep(it, &["id", "name", "size", "state", "digest", "updated_at"])).collect();
        let face =
            ["tag_name", "name", "body", "draft", "prerelease", "immutable", "upload_url", "html_url", "published_at"];
        Ok(json!([keep(&release, &face), assets]))
    };
    // The asset's digest may come later than the asset.
    let mut before = read()?;
    scratch.client.eventually(|| {
        let now = read()?;
        let same = now == before && now[1][0][4].is_string();
        let why = format!("it reads {before}, then {now}");
        before = now;
        Ok(if same { Ok(()) } else { Err(why) })
    })?;
    holds()
}

/// The tool reads pages until one has fewer than 100 items.
fn last_page(scratch: &Scratch<'_>) -> Told {
    let draft = scratch.draft(&scratch.name())?;
    scratch.asset(&draft, "a.txt", b"a")?;
    let page = |page: u32| {
        let path = format!("releases/{}/assets?per_page=100&page={page}", id(&draft));
        scratch.client.get(&path)?.expect(200).map(|it| it.json().as_array().map_or(0, Vec::len))
    };
    let (first, second) = (page(1)?, page(2)?);
    ensure((first, second) == (1, 0), || format!("the first page has {first} assets, the second {second}"))?;
    holds()
}

/// Why the tool always sends it. Many reports of `untagged-…`: mongodb-js/mongosh#691, jdx/communique#241.
fn changed_without_tag(scratch: &Scratch<'_>) -> Told {
    let tag = scratch.name();
    let draft = scratch.draft(&tag)?;
    let now = scratch.edit(&draft, &json!({ "body": "changed" }))?.expect(200)?.json();
    let now = text(&now["tag_name"]);
    let what = if now == tag { "keeps it".to_owned() } else { format!("loses it, and is called {now}") };
    Ok(Seen::Information(what))
}

/// The stamp on a release that is replaced has to fit beside the notes that it keeps.
fn notes(scratch: &Scratch<'_>) -> Told {
    let draft = scratch.draft(&scratch.name())?;
    let mut fields = scratch.fields(draft["tag_name"].as_str().unwrap_or_default(), true);
    // Of two bytes each: characters are counted.
    for (count, status) in [(125_000, 200), (125_001, 422)] {
        fields["body"] = "é".repeat(count).into();
        scratch.edit(&draft, &fields)?.expect(status)?;
    }
    holds()
}

/// release-drafter/release-drafter#1125. The tool sends none.
fn wrong_target(scratch: &Scratch<'_>) -> Told {
    let mut fields = scratch.fields(&scratch.name(), true);
    fields["target_commitish"] = scratch.name().into();
    scratch.create(&fields)?.expect_code("invalid")?;
    holds()
}
