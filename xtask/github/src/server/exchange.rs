//! One request from its headers to its answer: logged, shown to the hook, broken where that is wanted, and done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::http::request::Parts;
use hyper::{Request as HttpRequest, Response};
use serde_json::{Value, json};
use tokio::task::block_in_place;

use super::body::Outgoing;
use super::{Closed, router};
use crate::model::{Token, TokenKind};
use crate::rules::{Reads, Refusal};
use crate::server::answer::{Answer, Outcome};
use crate::server::call::{Call, identify, segments};
use crate::server::faults::{Action, Fault, Faults, Lasting, Limit, Moment, StallPoint};
use crate::server::hub::Shared;
use crate::server::injection::draw;
use crate::server::log::{Logged, Request};
use crate::server::store::RATE;
use crate::server::upload;

/// The largest body of a request that isn't an upload, in bytes.
const MAX_BODY: usize = 4 << 20;

/// What a proxy has to say.
const HTML: &str =
    "<!DOCTYPE html>\n<html><head><title>One moment</title></head><body>Checking your connection.</body></html>\n";

pub(super) async fn run(shared: Arc<Shared>, request: HttpRequest<Incoming>) -> Result<Response<Outgoing>, Closed> {
    let (parts, mut body) = request.into_parts();
    let exchange = Exchange::begin(shared, &parts);
    let received = exchange.received.clone();
    let response = exchange.perform(parts, &mut body).await?;
    if !body.is_end_stream() {
        // An answer that comes before the end of the body, a refusal, is only heard when somebody takes the rest.
        tokio::spawn(async move { while let Some(Ok(_)) = next(&mut body, &received).await {} });
    }
    Ok(response)
}

/// The next bytes of a body, counted.
pub(crate) async fn next(body: &mut Incoming, received: &AtomicU64) -> Option<Result<Bytes, Closed>> {
    let frame = body.frame().await?;
    let data = frame.map_err(|_| Closed).map(|it| it.into_data().unwrap_or_default());
    received.fetch_add(data.as_ref().map_or(0, Bytes::len) as u64, Ordering::Relaxed);
    Some(data)
}

/// A request that is logged and under way.
struct Exchange {
    shared: Arc<Shared>,
    number: usize,
    received: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
}

impl Exchange {
    fn begin(shared: Arc<Shared>, parts: &Parts) -> Self {
        let header = |name: &str| parts.headers.get(name).and_then(|it| it.to_str().ok());
        let mut store = shared.lock();
        let number = store.requests.len() + 1;
        let token = identify(&store, &parts.headers).ok().flatten();
        let entry = Request {
            number,
            began: store.elapsed(),
            method: parts.method.to_string(),
            host: header("host").unwrap_or_default().to_ascii_lowercase(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            login: token.map(|it| it.login),
            authorized: header("authorization").is_some(),
            range: header("range").map(str::to_owned),
            content_length: header("content-length").and_then(|it| it.parse().ok()),
            body: None,
            status: None,
            answer: None,
            bytes_received: 0,
            bytes_sent: 0,
            fault: None,
        };
        let logged = Logged::new(entry);
        let (received, sent) = (logged.received.clone(), logged.sent.clone());
        store.requests.push(logged);
        drop(store);
        Self { shared, number, received, sent }
    }

    async fn perform(self, parts: Parts, body: &mut Incoming) -> Result<Response<Outgoing>, Closed> {
        let faults = Faults::new(self.fault(Moment::Before));
        if let Some(answer) = self.interrupt(&faults).await? {
            return Ok(self.finish(answer, &Faults::default(), None));
        }
        let mut call = Call {
            number: self.number,
            // A HEAD is a GET whose body nobody sends.
            method: parts.method.as_str().replace("HEAD", "GET"),
            host: self.note(|_| ()).host,
            segments: segments(parts.uri.path()),
            query: form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect(),
            path: parts.uri.path().to_owned(),
            raw_query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers,
            token: None,
            body: Vec::new(),
            faults,
        };
        let outcome = self.work(&mut call, body).await?;
        let mut answer = outcome.unwrap_or_else(Refusal::answer);
        self.note(|entry| entry.status = Some(answer.status));

        let later = self.fault(Moment::After);
        let replaces = later.is_some() || call.faults.has_later();
        let faults = std::mem::take(&mut call.faults).at_answer(later);
        if replaces {
            answer = faults.find(replacement).unwrap_or(answer);
        }
        if let Some(lasting) = faults.stall(StallPoint::BeforeAnswer) {
            self.shared.pause(lasting).await;
        }
        let closes =
            |fault: &Fault| matches!(fault, Fault::DropAfterWork | Fault::DropBeforeBody | Fault::DropMidBody { .. });
        if faults.any(closes) {
            self.note(|entry| entry.status = None);
            return Err(Closed);
        }
        Ok(self.finish(answer, &faults, call.token.as_ref()))
    }

    /// Asks the hook, then, before the work, what was injected.
    fn fault(&self, moment: Moment) -> Option<Fault> {
        let entry = self.note(|_| ());
        let asked = block_in_place(|| self.shared.ask(&entry, moment));
        let fault = match asked {
            Action::Fault(fault) => Some(fault),
            Action::Proceed if moment == Moment::Before => draw(&mut self.shared.lock().armed, &entry),
            Action::Proceed => None,
        };
        if fault.is_some() {
            self.note(|entry| entry.fault.clone_from(&fault));
        }
        fault
    }

    /// What a fault does before any work: an answer instead of it, or a closed connection.
    async fn interrupt(&self, faults: &Faults) -> Result<Option<Answer>, Closed> {
        if let Some(lasting) = faults.stall(StallPoint::BeforeBody) {
            self.shared.pause(lasting).await;
        }
        if faults.has(&Fault::DropBeforeBody) {
            return Err(Closed);
        }
        let answer = faults.find(|fault| match fault {
            // That takes the whole body first.
            Fault::BadGateway { .. } => None,
            other => replacement(other),
        });
        if let Some(lasting) = faults.stall(StallPoint::BeforeAnswer).filter(|_| answer.is_some()) {
            self.shared.pause(lasting).await;
        }
        Ok(answer)
    }

    /// Reads the body and does what the request asks for.
    async fn work(&self, call: &mut Call, body: &mut Incoming) -> Result<Outcome, Closed> {
        for reads in [Reads::Listings, Reads::ById] {
            let stale = call.faults.find(|fault| match fault {
                Fault::StaleListing { lasting } if reads == Reads::Listings => Some(*lasting),
                Fault::StaleById { lasting } if reads == Reads::ById => Some(*lasting),
                _ => None,
            });
            if let Some(lasting) = stale {
                self.keep_view(call, reads, lasting);
            }
        }
        let takes_token = call.host != crate::server::download::HOST && call.host != "github.com";
        if takes_token {
            let identified = identify(&self.shared.lock(), &call.headers);
            match identified {
                Ok(token) => call.token = token,
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        if takes_token && self.shared.lock().remaining == 0 && call.path != "/rate_limit" {
            return Ok(Ok(limited(Limit::Primary, None)));
        }
        if router::is_upload(call) {
            return upload::receive(&self.shared, call, body, &self.received).await;
        }
        let limit = call.faults.find(|fault| match fault {
            Fault::DropMidBody { after } => Some(*after),
            _ => None,
        });
        call.body = self.read(body, limit).await?;
        if let Ok(value) = serde_json::from_slice::<Value>(&call.body) {
            self.note(|entry| entry.body = Some(value));
        }
        if call.faults.any(|fault| matches!(fault, Fault::BadGateway { .. })) {
            return Ok(Err(Refusal::new(502, "Server Error")));
        }
        if let Some(lasting) = call.faults.stall(StallPoint::BeforeWork) {
            self.shared.pause(lasting).await;
        }
        let routed = block_in_place(|| router::route(&mut self.shared.lock(), call));
        Ok(routed.unwrap_or_else(|| {
            let entry = self.note(|_| ());
            self.shared.lock().unexpected.push(entry);
            Err(Refusal::not_found())
        }))
    }

    fn keep_view(&self, call: &Call, reads: Reads, lasting: Lasting) {
        let mut store = self.shared.lock();
        if let Some(at) = router::repository_of(&store, &call.segments) {
            store.keep_view(at, reads, lasting);
        }
    }

    /// The whole body; closes the connection on a broken one and where a fault wants it.
    async fn read(&self, body: &mut Incoming, drop_after: Option<u64>) -> Result<Vec<u8>, Closed> {
        let mut whole = Vec::new();
        while let Some(data) = next(body, &self.received).await {
            whole.extend_from_slice(&data?);
            if whole.len() > MAX_BODY || drop_after.is_some_and(|after| whole.len() as u64 >= after) {
                return Err(Closed);
            }
        }
        match drop_after {
            Some(_) => Err(Closed),
            None => Ok(whole),
        }
    }

    /// Changes the log's entry and returns what it is now.
    fn note(&self, change: impl FnOnce(&mut Request)) -> Request {
        let mut store = self.shared.lock();
        let logged = &mut store.requests[self.number - 1];
        change(&mut logged.request);
        logged.snapshot()
    }

    fn finish(self, answer: Answer, faults: &Faults, token: Option<&Token>) -> Response<Outgoing> {
        let (remaining, date) = {
            let mut store = self.shared.lock();
            let logged = &mut store.requests[self.number - 1];
            logged.request.status = Some(answer.status);
            logged.request.answer = answer.json_body();
            (store.remaining, store.date.clone())
        };
        let has = |name: &str| {
            let mut headers = answer.headers.iter();
            headers.any(|(key, _)| key.eq_ignore_ascii_case(name))
        };
        let mut usual = vec![
            ("X-GitHub-Request-Id", format!("{:04X}:STAND-IN", self.number)),
            ("X-RateLimit-Limit", RATE.to_string()),
            ("X-RateLimit-Remaining", remaining.to_string()),
            ("X-RateLimit-Reset", reset().to_string()),
            ("X-RateLimit-Used", (RATE - remaining).to_string()),
            ("X-RateLimit-Resource", "core".to_owned()),
            ("X-GitHub-Media-Type", "github.v3; format=json".to_owned()),
        ];
        usual.extend(date.map(|date| ("Date", date)));
        if let Some(token) = token.filter(|it| it.kind == TokenKind::Classic) {
            usual.push(("X-OAuth-Scopes", token.scopes.join(", ")));
        }
        usual.retain(|(name, _)| !has(name));

        let mut response = Response::builder().status(answer.status);
        for (name, value) in usual {
            response = response.header(name, value);
        }
        for (name, value) in &answer.headers {
            response = response.header(name, value);
        }
        if answer.status != 204 {
            response = response.header("Content-Length", answer.body.length());
        }
        let body = Outgoing::new(self.shared, answer.body, faults, self.sent.clone());
        response.body(body).expect("a fault's status and headers are such that HTTP allows them")
    }
}

/// The answer that a fault gives instead of the real one.
fn replacement(fault: &Fault) -> Option<Answer> {
    match fault {
        Fault::Status { status, message, headers } => {
            let mut answer = Refusal::new(*status, message.clone()).answer();
            answer.headers.extend(headers.iter().cloned());
            Some(answer)
        }
        Fault::BadGateway { .. } => Some(Refusal::new(502, "Server Error").answer()),
        Fault::RateLimited { limit, retry_after } => Some(limited(*limit, *retry_after)),
        Fault::Html => Some(Answer::text(200, "text/html; charset=utf-8", HTML)),
        _ => None,
    }
}

fn limited(limit: Limit, retry_after: Option<u64>) -> Answer {
    let answer = match limit {
        Limit::Primary => refused("API rate limit exceeded for user ID 1.").with("X-RateLimit-Remaining", "0"),
        Limit::Secondary => {
            refused("You have exceeded a secondary rate limit. Please wait a few minutes before you try again.")
        }
        Limit::Abuse => {
            refused("You have triggered an abuse detection mechanism. Please wait a few minutes before you try again.")
        }
        Limit::TooQuickly => Refusal::custom("Release", None, "was submitted too quickly").answer(),
    };
    match retry_after {
        Some(seconds) => answer.with("Retry-After", seconds.to_string()),
        None => answer,
    }
}

fn refused(message: &str) -> Answer {
    let body = json!({
        "message": message,
        "documentation_url": "https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api",
        "status": "403",
    });
    Answer::json(403, &body)
}

/// The end of the hour of a rate limit, in seconds since 1970.
pub(crate) fn reset() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |it| it.as_secs() + 3600)
}
