//! A stand-in for GitHub, for tests and rehearsals of the release tool.
//!
//! It speaks HTTP/1.1 on a Unix socket. `gh` sends everything there when its configuration has `http_unix_socket`, whatever the host,
//! with the real host in `Host`, so the real `gh` runs against it and can reach nothing else. Readers without an account are played by
//! `curl --unix-socket`.
//!
//! Where GitHub is strict this is strict: a test that passes because the stand-in let something through is a bug of the stand-in.
//! Repositories are real bare git directories, to which clients push as ever. On demand a request goes wrong ([`Fault`]), and
//! afterwards a test can see each request ([`Hub::requests`]) and what readers of the rolling tag saw at each moment
//! ([`Hub::timeline`]).
//!
//! GitHub's own rules are [`rules`], which need none of that: a simulation uses them as they are, without the feature `server`.

pub mod rules;

mod model;

pub use model::{
    Access, Asset, AssetState, BrokenUpload, Comment, Issue, Release, Repository, RepositoryState, Ruleset, Settings,
    State, Token, TokenKind,
};

#[cfg(feature = "server")]
mod answer;
#[cfg(feature = "server")]
mod assets;
#[cfg(feature = "server")]
mod call;
#[cfg(feature = "server")]
mod download;
#[cfg(feature = "server")]
mod faults;
#[cfg(feature = "server")]
mod fields;
#[cfg(feature = "server")]
mod git;
#[cfg(feature = "server")]
mod git_data;
#[cfg(feature = "server")]
mod graphql;
#[cfg(feature = "server")]
mod hub;
#[cfg(feature = "server")]
mod issues;
#[cfg(feature = "server")]
mod json;
#[cfg(feature = "server")]
mod log;
#[cfg(feature = "server")]
mod pages;
#[cfg(feature = "server")]
mod releases;
#[cfg(feature = "server")]
mod rulesets;
#[cfg(feature = "server")]
mod seed;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "server")]
mod store;
#[cfg(feature = "server")]
mod upload;

#[cfg(feature = "server")]
pub use faults::{Action, Fault, Injection, Lasting, Limit, Matches, Moment, StallPoint, Times};
#[cfg(feature = "server")]
pub use hub::{GitHub, Hub};
#[cfg(feature = "server")]
pub use log::{Request, Shown, ShownAsset, ShownRelease, ShownTag};
#[cfg(feature = "server")]
pub use seed::{SeedAsset, SeedBytes, SeedRelease};
