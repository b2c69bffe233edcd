//! GitHub's own description of its API, against which each answer of the stand-in is held.
//!
//! It is the npm package `@octokit/openapi`, which `scripts/setup test` brings. Without it a test says that it was skipped.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use github_stand_in::Request;
use serde_json::{Value, json};

/// Where the stand-in and the description differ, as the end of the place in an answer and what is said there.
const EXCEPTIONS: &[(&str, &str)] = &[
    // The prose knows the state `starter`, in which a broken upload leaves an asset; the schema doesn't.
    (".state", "\"starter\" is none of"),
    // Every refusal of GitHub has its status in its body since 2024; the schema of a 422 doesn't know it yet.
    ("422", ": status isn't described"),
    // The root has the address of everything. gh asks for it to see whether the token is taken, and reads nothing of it.
    ("GET  200 ", "is missing"),
];

/// What isn't described at all.
fn is_undescribed(request: &Request) -> bool {
    // A former name is led on whatever is asked. Of a PATCH, a POST and a DELETE the description doesn't say so: recorded traffic does.
    let led = matches!(request.status, Some(301 | 307));
    // No longer, but recorded: a listing of all refs.
    let all_refs = request.method == "GET" && request.path.trim_end_matches('/').ends_with("/git/refs");
    led || all_refs
        || request.host == "github.com"
        || request.host.contains("githubusercontent")
        || request.path == "/graphql"
}

/// How many answers were held against the description so far.
pub static VALIDATED: AtomicUsize = AtomicUsize::new(0);

pub struct Description(Value);

/// Where a test program leaves that number for the one that tells it.
fn count_of(program: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("answers-validated-by-{program}"))
}

pub fn leave_count() {
    let _ = std::fs::write(count_of(env!("CARGO_CRATE_NAME")), VALIDATED.load(Ordering::Relaxed).to_string());
}

/// How many a program had validated when it last ran.
#[allow(dead_code, reason = "one of the two programs that have this tells it")]
pub fn count_left_by(program: &str) -> usize {
    std::fs::read_to_string(count_of(program)).ok().and_then(|it| it.parse().ok()).unwrap_or_default()
}

/// The folder of what `scripts/setup test` brings.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("octokit")
}

impl Description {
    /// Reads it once; none where it isn't there.
    pub fn get() -> Option<&'static Self> {
        static DESCRIPTION: OnceLock<Option<Description>> = OnceLock::new();
        let read = || {
            let text = std::fs::read(folder().join("api.github.com.json")).ok()?;
            Some(Self(serde_json::from_slice(&text).expect("GitHub's description of its API")))
        };
        DESCRIPTION.get_or_init(read).as_ref()
    }

    /// What in these answers isn't as described. Those that went wrong on demand are left out.
    pub fn differences(&self, requests: &[Request]) -> Vec<String> {
        let mut differences = BTreeSet::new();
        for request in requests.iter().filter(|it| it.fault.is_none() && !is_undescribed(it)) {
            let (Some(status), Some(answer)) = (request.status, &request.answer) else {
                continue;
            };
            let path = request.path.trim_matches('/');
            let mut found = Vec::new();
            match self.schema(&request.method, path, status) {
                Ok(schema) => self.check(schema, answer, "", &mut found),
                Err(why) => found.push(why),
            }
            let place = |it: String| format!("{} {path} {status} {it}", request.method);
            let excepted = |it: &String| EXCEPTIONS.iter().any(|(at, said)| it.contains(at) && it.contains(said));
            differences.extend(found.into_iter().map(place).filter(|it| !excepted(it)));
            VALIDATED.fetch_add(1, Ordering::Relaxed);
        }
        differences.into_iter().collect()
    }

    /// What an answer is to look like.
    fn schema(&self, method: &str, path: &str, status: u16) -> Result<&Value, String> {
        let operation = self.operation(method, path);
        let described = operation.and_then(|it| it["responses"].get(status.to_string())).map(|it| self.resolve(it));
        if let Some(content) = described.and_then(|it| it["content"].as_object()) {
            let json = content.iter().find(|(kind, _)| kind.contains("json"));
            return json.map(|(_, it)| &it["schema"]).ok_or_else(|| "isn't described as JSON".to_owned());
        }
        // Any request can be refused, whether its description says so or not.
        if status >= 400 {
            let kind = if status == 422 { "validation-error" } else { "basic-error" };
            return Ok(&self.0["components"]["schemas"][kind]);
        }
        Err("isn't described".to_owned())
    }

    fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        // A repository by its number is described nowhere: its requests are those by its name.
        let path = match path.strip_prefix("repositories/").map(|it| it.split_once('/').unwrap_or((it, ""))) {
            Some((_, rest)) => format!("repos/o/r/{rest}").trim_end_matches('/').to_owned(),
            None => path.to_owned(),
        };
        let method = method.to_lowercase().replace("head", "get");
        let all = self.0["paths"].as_object()?.iter().filter(|(template, _)| fits(template.trim_matches('/'), &path));
        let with_method = all.filter_map(|(template, it)| Some((template, it.get(&method)?)));
        // `releases/latest` rather than `releases/{release_id}`.
        with_method.min_by_key(|(template, _)| template.matches('{').count()).map(|(_, it)| it)
    }

    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(place) => self.0.pointer(place.trim_start_matches('#')).expect("what a $ref leads to"),
            None => schema,
        }
    }

    /// Holds a value against a schema, as far as the schemas of these answers go. A key that isn't described is a difference too.
    fn check(&self, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
        let schema = self.resolve(schema);
        if value.is_null() && schema["nullable"] == true {
            return;
        }
        for choices in ["oneOf", "anyOf"].iter().filter_map(|it| schema[it].as_array()) {
            let each = choices.iter().map(|it| {
                let mut found = Vec::new();
                self.check(it, value, at, &mut found);
                found
            });
            found.extend(each.min_by_key(Vec::len).unwrap_or_default());
        }
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.check(part, value, at, found);
        }
        let allowed = schema["enum"].as_array();
        if let Some(allowed) = allowed.filter(|it| !it.contains(value)) {
            found.push(format!("{at}: {value} is none of {}", json!(allowed)));
        }
        let is_so = match schema["type"].as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.as_str().is_some_and(|it| has_format(it, &schema["format"])),
            Some("integer") => value.is_u64() || value.is_i64(),
            Some("number") => value.is_number(),
            Some("boolean") => value.is_boolean(),
            _ => true,
        };
        if !is_so {
            found.push(format!("{at}: {value} is no {} {}", schema["type"], schema["format"]));
        }
        for item in value.as_array().into_iter().flatten() {
            self.check(&schema["items"], item, &format!("{at}[]"), found);
        }
        if let (Some(fields), Some(known)) = (value.as_object(), schema["properties"].as_object()) {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            found.extend(required.filter(|it| !fields.contains_key(*it)).map(|it| format!("{at}: {it} is missing")));
            for (key, value) in fields {
                match known.get(key) {
                    Some(schema) => self.check(schema, value, &format!("{at}.{key}"), found),
                    None => found.push(format!("{at}: {key} isn't described")),
                }
            }
        }
    }

    /// Whether a key is described for the answer to a request.
    #[allow(dead_code, reason = "one of the two programs that have this asks")]
    pub fn describes(&self, method: &str, path: &str, status: u16, key: &str) -> bool {
        let Ok(schema) = self.schema(method, path.trim_matches('/'), status).map(|it| self.resolve(it)) else {
            return false;
        };
        let items = self.resolve(&schema["items"]);
        let any = [schema, items].into_iter().any(|it| it["properties"].get(key).is_some());
        any || (status >= 400 && key == "status")
    }
}

/// Whether a path is one of those that a template means. The last parameter of some takes slashes.
fn fits(template: &str, path: &str) -> bool {
    let (parts, rest): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    let open = parts.last().is_some_and(|it| ["{ref}", "{tag}"].contains(it));
    let long_enough = rest.len() == parts.len() || (open && rest.len() > parts.len());
    long_enough && parts.iter().zip(&rest).all(|(part, it)| part.starts_with('{') || part == it)
}

fn has_format(text: &str, format: &Value) -> bool {
    match format.as_str() {
        Some("date-time") => text.len() >= 20 && text.as_bytes()[10] == b'T' && text.ends_with('Z'),
        Some("uri") => text.starts_with("https://") || text.starts_with("git://"),
        _ => true,
    }
}
