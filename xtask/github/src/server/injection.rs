//! Faults that a test sets in advance, and the requests that get them.

use crate::server::faults::Fault;
use crate::server::log::Request;

/// A fault set in advance.
#[derive(Clone, Debug)]
pub struct Injection {
    pub matches: Matches,
    pub times: Times,
    pub fault: Fault,
}

/// Which requests. Only those that come after the injection are counted.
#[derive(Clone, Debug, Default)]
pub struct Matches {
    /// `None` is any method.
    pub method: Option<String>,
    /// The path without the query, where `*` is any run of characters and `#` a number. `None` is any path.
    pub path: Option<String>,
    /// Text that the query must contain, such as `name=a.qcow2`.
    pub query: Option<String>,
    /// How many matching requests pass before the first that gets the fault.
    pub skip: usize,
}

impl Matches {
    /// Any request at all.
    pub fn any() -> Self {
        Self::default()
    }

    /// A method and a path pattern, such as `("PATCH", "/repos/*/releases/*")`.
    pub fn on(method: &str, path: &str) -> Self {
        Self { method: Some(method.into()), path: Some(path.into()), ..Self::default() }
    }

    /// Uploads of an asset whose name holds this.
    pub fn upload(name: &str) -> Self {
        Self { query: Some(name.to_owned()), ..Self::on("POST", "/repos/*/releases/*/assets") }
    }

    /// The nth matching request, from 1.
    #[must_use]
    pub fn nth(mut self, nth: usize) -> Self {
        self.skip = nth.saturating_sub(1);
        self
    }

    fn fits(&self, request: &Request) -> bool {
        self.method.as_ref().is_none_or(|it| *it == request.method)
            && self.path.as_ref().is_none_or(|it| fits_pattern(it, &request.path))
            && self.query.as_ref().is_none_or(|it| request.query.contains(it))
    }
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    Once,
    Count(usize),
    Forever,
}

/// An injection with what is left of it.
#[derive(Debug)]
pub(crate) struct Armed {
    injection: Injection,
    left: Option<usize>,
}

impl Armed {
    pub fn new(injection: Injection) -> Self {
        let left = match injection.times {
            Times::Once => Some(1),
            Times::Count(count) => Some(count),
            Times::Forever => None,
        };
        Self { injection, left }
    }
}

/// The fault for this request of those that are armed. The first that fits is used up; the others count the request all the same.
pub(crate) fn draw(armed: &mut [Armed], request: &Request) -> Option<Fault> {
    let mut drawn = None;
    for it in armed.iter_mut().filter(|it| it.injection.matches.fits(request)) {
        if it.injection.matches.skip > 0 {
            it.injection.matches.skip -= 1;
        } else if drawn.is_none() && it.left != Some(0) {
            it.left = it.left.map(|left| left - 1);
            drawn = Some(it.injection.fault.clone());
        }
    }
    drawn
}

/// Whether `text` fits `pattern`, where `*` stands for any run of characters.
fn fits_pattern(pattern: &str, text: &str) -> bool {
    let Some(wild) = pattern.find(['*', '#']) else {
        return pattern == text;
    };
    let (head, rest) = (&pattern[..wild], &pattern[wild + 1..]);
    let Some(text) = text.strip_prefix(head) else {
        return false;
    };
    if pattern[wild..].starts_with('#') {
        let after = text.trim_start_matches(|it: char| it.is_ascii_digit());
        return after.len() < text.len() && fits_pattern(rest, after);
    }
    let mut starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    starts.any(|at| fits_pattern(rest, &text[at..]))
}

#[cfg(test)]
mod tests {
    use super::fits_pattern;

    #[test]
    fn patterns() {
        let table = [
            ("/user", "/user", true),
            ("/user", "/user/1", false),
            ("*", "", true),
            ("/repos/*/releases", "/repos/a/b/releases", true),
            ("/repos/*/releases", "/repos/a/b/releases/1", false),
            ("/repos/*/releases/*", "/repos/a/b/releases/1", true),
            ("/repos/*/assets/*", "/repos/a/b/releases/assets/1", true),
            ("/repos/*/releases/#", "/repos/a/b/releases/12", true),
            ("/repos/*/releases/#", "/repos/a/b/releases/", false),
            ("/repos/*/releases/#", "/repos/a/b/releases/assets/1", false),
            ("/repos/*/releases/#/assets", "/repos/a/b/releases/1/assets", true),
            ("*latest", "/latest/latest", true),
        ];
        for (pattern, text, fits) in table {
            assert_eq!(fits_pattern(pattern, text), fits, "{pattern} {text}");
        }
    }
}
