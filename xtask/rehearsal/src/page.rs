//! docs/json.md as a contract: what a verb prints with `--json` is compared with the page's tables.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

/// The documented fields of a verb, by path, with their types.
type Fields = BTreeMap<String, Vec<String>>;

/// The page's tables, by the verb in the heading; those of every verb under ``.
fn documented() -> BTreeMap<String, Fields> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/json.md"))
        .expect("docs/json.md");
    let mut all: BTreeMap<String, Fields> = BTreeMap::new();
    for section in page.split("\n## ").skip(1) {
        let verb = section.lines().next().unwrap();
        let verb = verb.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')).unwrap_or_default();
        let rows = section.lines().filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|');
            let field = cells.next()?.trim().trim_end_matches('`').to_owned();
            Some((field, cells.next()?.trim().split(" or ").map(str::to_owned).collect()))
        });
        all.insert(verb.to_owned(), rows.collect());
    }
    assert!(all.len() > 13 && all[""].len() > 5, "{all:?}");
    all
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

/// The values at a documented path; `None` for a part of the way that isn't there.
fn at<'v>(object: &'v Value, path: &str) -> Vec<Option<&'v Value>> {
    match path.split_once("[].") {
        Some((list, field)) => object[list].as_array().into_iter().flatten().map(|item| item.get(field)).collect(),
        None => match path.split_once('.') {
            Some((parent, field)) => vec![object.get(parent).and_then(|parent| parent.get(field))],
            None => vec![object.get(path)],
        },
    }
}

/// What of an object isn't as it is documented. Of a failure fields may be missing, and of a plan that
/// only recovers all but the plan and whether it was carried out.
///
/// # Panics
///
/// When the page or the object has another form.
pub fn faults(verb: &str, object: &Value) -> Vec<String> {
    let all = documented();
    let (every, own) = (&all[""], &all[verb]);
    let success = object["status"] == "success";
    let recovers = object["plan"][0]["do"] == "recover";
    let may_lack = |path: &String| recovers && own.contains_key(path) && !matches!(path.as_str(), "executed" | "plan");
    let mut faults = Vec::new();
    for (path, kinds) in every.iter().chain(own) {
        let optional = !success || path.starts_with("error") || may_lack(path);
        for value in at(object, path) {
            match value {
                Some(value) if kinds.iter().any(|it| it == kind(value)) => {}
                Some(value) => faults.push(format!("{verb}: `{path}` is {value}, not {kinds:?}")),
                None if optional || kinds.iter().any(|it| it == "absent") => {}
                None => faults.push(format!("{verb}: `{path}` is missing")),
            }
        }
    }
    if success == object.get("error").is_some() {
        faults.push(format!("{verb}: status {} with error {}", object["status"], object["error"]));
    }
    let known = |field: &&String| every.contains_key(*field) || own.contains_key(*field);
    let strange = object.as_object().unwrap().keys().filter(|field| !known(field));
    faults.extend(strange.map(|field| format!("{verb}: `{field}` is not documented")));
    for path in own.keys().filter_map(|path| path.split_once("[].").map(|(list, _)| list)) {
        let fields = own.keys().filter_map(|it| it.strip_prefix(&format!("{path}[].")));
        let fields: Vec<&str> = fields.collect();
        let items = object[path].as_array().into_iter().flatten().filter_map(Value::as_object);
        let undocumented = items.flat_map(|item| item.keys()).filter(|field| !fields.contains(&field.as_str()));
        faults.extend(undocumented.map(|field| format!("{verb}: `{path}[].{field}` is not documented")));
    }
    faults
}
