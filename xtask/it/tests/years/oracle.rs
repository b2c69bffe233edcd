//! What the verbs may say in which state: a table, written from the design and without a word of the product's code.

use std::collections::BTreeMap;

use serde_json::Value;

/// The state by the model, which looks at the stand-in and at bytes, never at what the tool says.
pub struct State {
    /// Whether `latest` is published.
    pub live: bool,
    /// Whether it has a manifest.
    pub managed: bool,
    /// Whether somebody changed it by hand.
    pub by_hand: bool,
    /// The version in its notes.
    pub label: Option<String>,
    /// The version that a rollback took back; the outer `None`: not known.
    pub taken: Option<Option<String>>,
    /// Whether a live image was built from HEAD's inputs, where that is known.
    pub fits: BTreeMap<String, bool>,
    /// Whether the version in the notes has a release to write to.
    pub has_release: bool,
}

/// What each verb said of one state.
pub struct Said {
    pub status: Value,
    pub check: Value,
    pub doctor: Value,
    pub verify: Value,
    pub release: Option<Value>,
}

/// When a row counts, and what must then be.
type When = fn(&State, &Said) -> bool;
type Holds = fn(&State, &Said) -> bool;

const TABLE: &[(&str, When, &str, Holds)] = &[
    ("always", always, "status, check and doctor name the same next step", |_, said| {
        [&said.check, &said.doctor].iter().all(|it| next(it) == next(&said.status))
    }),
    ("always", always, "status ends with 0", |_, said| said.status["exit_code"] == 0),
    ("always", always, "check ends with 0", |_, said| said.check["exit_code"] == 0),
    (
        "nothing is to be recovered",
        |_, said| said.status["recovery"].is_null(),
        "doctor ends with 0, or with 3 and is itself the next step",
        |_, said| said.doctor["exit_code"] == 0 || (said.doctor["exit_code"] == 3 && verb(&said.doctor) == "doctor"),
    ),
    (
        "`latest` must be recovered",
        |_, said| !said.status["recovery"].is_null(),
        "doctor ends with 3 and says so, and no build is the next step",
        |_, said| {
            let findings = said.doctor["findings"].as_array();
            let mut broken =
                findings.into_iter().flatten().filter(|it| it["what"] == "broken" && it["state"] == "fail");
            said.doctor["exit_code"] == 3 && broken.next().is_some() && verb(&said.status) != "build-and-fetch"
        },
    ),
    ("always", always, "verify ends with 0, 1, 3 or 4", |_, said| {
        matches!(said.verify["exit_code"].as_u64(), Some(0 | 1 | 3 | 4))
    }),
    ("always", always, "nothing is unasked, and nobody holds the lock", |_, said| {
        said.status["unasked"] == Value::Array(Vec::new()) && said.status["lock"].is_null()
    }),
    (
        "verify names a next step",
        |_, said| !said.verify["next"].is_null(),
        "it is status's",
        |_, said| next(&said.verify) == next(&said.status),
    ),
    ("the walk is asked", walked, "it has the six steps in their order", |_, said| {
        let verbs: Vec<Value> = steps(said).iter().map(|step| step["verb"].clone()).collect();
        verbs == ["doctor", "check", "build-and-fetch", "publish", "verify", "document"]
    }),
    ("the walk is asked", walked, "its steps are done, then one is next, and the rest is later", |_, said| {
        let states: Vec<Value> = steps(said).iter().map(|step| step["state"].clone()).collect();
        let done = states.iter().take_while(|state| *state == "done").count();
        let open = &states[done..];
        open.first().is_none_or(|state| state == "next") && open.iter().skip(1).all(|state| state == "later")
    }),
    ("the walk is asked", walked, "its next step is status's, or doctor", |_, said| {
        said.release.as_ref().is_some_and(|release| verb(release) == "doctor" || verb(release) == verb(&said.status))
    }),
    (
        "the walk is asked, and the version has no release",
        |state, said| walked(state, said) && state.label.is_some() && is_label(state, said) && !state.has_release,
        "its notes are not written",
        |_, said| steps(said).last().is_none_or(|step| step["state"] != "done"),
    ),
    ("HEAD is what the phase is for", at_head, "check decides as status does", |_, said| {
        decisions(&said.check) == decisions(&said.status)
    }),
    (
        "nothing is live",
        |state, _| !state.live,
        "check says rebuild of every image",
        |_, said| said.check["decision"] == "rebuild" && decisions(&said.check).values().all(|it| it == "rebuild"),
    ),
    ("nothing is live", |state, _| !state.live, "verify ends with 3", |_, said| said.verify["exit_code"] == 3),
    (
        "nothing is live",
        |state, _| !state.live,
        "the next step is to build or to publish",
        |_, said| said.status["live"].is_null() && to_publish(said),
    ),
    (
        "a set is live",
        |state, _| state.live,
        "status shows it",
        |state, said| said.status["live"]["by_hand"] == !state.managed,
    ),
    ("a set is live as it was published", whole, "status has the version in its notes", |state, said| {
        said.status["live"]["label"].as_str() == state.label.as_deref()
    }),
    ("a set is live as it was published", whole, "verify finds nothing", |_, said| said.verify["exit_code"] == 0),
    (
        "an image was built from HEAD's inputs",
        |state, said| whole(state, said) && at_head(state, said),
        "check says skip for it, and rebuild for one that was not",
        |state, said| {
            let decided = decisions(&said.check);
            let decision = |fits: bool| if fits { "skip" } else { "rebuild" };
            state.fits.iter().all(|(name, fits)| decided.get(name).is_none_or(|it| it == decision(*fits)))
        },
    ),
    (
        "a live image was not built from HEAD's inputs",
        |state, said| state.managed && at_head(state, said),
        "check doesn't say skip for it",
        |state, said| {
            let decided = decisions(&said.check);
            state.fits.iter().all(|(name, fits)| *fits || decided.get(name).is_none_or(|it| it != "skip"))
        },
    ),
    ("verify finds a difference", differs, "the next step is to mend it", |_, said| to_publish(said)),
    (
        "a set is live",
        |state, _| state.live,
        "verify fails exactly where status has differences",
        |state, said| (said.verify["exit_code"] != 0) == differs(state, said),
    ),
    (
        "check says rebuild, and no set was taken back",
        |state, said| {
            at_head(state, said) && said.check["decision"] == "rebuild" && said.status["taken_back"].is_null()
        },
        "the next step is to build or to publish",
        |_, said| to_publish(said),
    ),
    (
        "check says skip, and `latest` is whole",
        |state, said| state.live && at_head(state, said) && said.check["decision"] == "skip" && !differs(state, said),
        "the next step is not to build",
        |_, said| verb(&said.status) != "build-and-fetch",
    ),
    (
        "a rollback took a version back, or none did",
        |state, _| state.taken.is_some(),
        "status says so",
        |state, said| said.status["taken_back"].as_str() == state.taken.as_ref().and_then(|taken| taken.as_deref()),
    ),
    (
        "a version was taken back",
        |state, _| state.taken.iter().flatten().next().is_some(),
        "no step proposes it",
        |state, said| {
            let source = state.taken.iter().flatten().map(|taken| format!("--source {taken} ")).next();
            let command = format!("{} ", said.status["next"]["command"].as_str().unwrap_or_default());
            verb(&said.status) != "publish" || source.is_none_or(|source| !command.contains(&source))
        },
    ),
    (
        "all is done",
        |_, said| said.status["next"].is_null(),
        "verify ends with 0",
        |_, said| said.verify["exit_code"] == 0,
    ),
];

/// The rows that don't hold.
pub fn faults(state: &State, said: &Said) -> Vec<String> {
    let rows = TABLE.iter().filter(|(_, when, _, holds)| when(state, said) && !holds(state, said));
    rows.map(|(when, _, must, _)| format!("{when}: {must} — it does not hold")).collect()
}

fn always(_: &State, _: &Said) -> bool {
    true
}

fn walked(_: &State, said: &Said) -> bool {
    said.release.is_some()
}

/// A set of the tool that nobody touched.
fn whole(state: &State, _: &Said) -> bool {
    state.live && state.managed && !state.by_hand
}

fn at_head(_: &State, said: &Said) -> bool {
    said.status["release"] == said.status["version_here"]
}

fn is_label(state: &State, said: &Said) -> bool {
    said.status["release"].as_str() == state.label.as_deref()
}

fn differs(_: &State, said: &Said) -> bool {
    said.status["differences"].as_array().is_some_and(|list| !list.is_empty())
}

fn verb(object: &Value) -> &str {
    object["next"]["verb"].as_str().unwrap_or_default()
}

fn next(object: &Value) -> (&Value, &Value) {
    (&object["next"]["verb"], &object["next"]["command"])
}

fn to_publish(said: &Said) -> bool {
    ["doctor", "build-and-fetch", "publish"].contains(&verb(&said.status))
}

fn steps(said: &Said) -> Vec<Value> {
    said.release.iter().flat_map(|release| release["steps"].as_array().cloned().unwrap_or_default()).collect()
}

fn decisions(object: &Value) -> BTreeMap<String, Value> {
    let images = object["images"].as_array().into_iter().flatten().filter(|image| !image["decision"].is_null());
    images.map(|image| (image["name"].as_str().unwrap_or_default().to_owned(), image["decision"].clone())).collect()
}
