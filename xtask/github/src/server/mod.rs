//! The rules with all that they do without: HTTP, permissions, git, the bytes of assets, a clock, and faults on demand.
//!
//! One task a connection, one task a request, so that work goes on when its client is gone, as on a real server.

mod answer;
mod assets;
mod body;
mod call;
mod download;
mod exchange;
mod faults;
mod fields;
mod git;
mod git_data;
mod graphql;
mod hooks;
mod hub;
mod injection;
mod issues;
mod json;
mod log;
mod pages;
mod releases;
mod repository;
mod router;
mod rulesets;
mod seed;
mod store;
mod upload;

pub use faults::{Action, Fault, Lasting, Limit, Moment, StallPoint};
pub use hub::{GitHub, Hub};
pub use injection::{Injection, Matches, Times};
pub use log::{Request, Shown, ShownAsset, ShownRelease, ShownTag};
pub use seed::{SeedAsset, SeedBytes, SeedRelease};

pub(crate) use exchange::{next, reset};

use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};

use crate::server::hub::Shared;

/// A connection that is closed without an answer.
#[derive(Debug)]
pub(crate) struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the connection was closed on demand")
    }
}

impl std::error::Error for Closed {}

/// Takes connections until its task is ended.
pub(crate) async fn run(listener: UnixListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, shared.clone()));
            }
            Err(error) => {
                // Out of files, most likely: others have to end first.
                eprintln!("github stand-in: taking a connection: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(stream: UnixStream, shared: Arc<Shared>) {
    let mut closed = shared.closed.subscribe();
    let service = service_fn(move |request| {
        let task = tokio::spawn(exchange::run(shared.clone(), request));
        async move { task.await.unwrap_or(Err(Closed)) }
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // First, so that a connection that was shut down answers nothing any more.
        biased;
        _ = closed.changed() => {}
        // A client that goes away is no news to a server.
        _ = served => {}
    }
}
