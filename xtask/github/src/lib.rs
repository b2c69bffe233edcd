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

mod model;
pub mod rules;
#[cfg(feature = "server")]
mod server;

pub use model::{
    Access, Asset, AssetState, BrokenUpload, Comment, Issue, Release, Repository, RepositoryState, Ruleset, Settings,
    State, Token, TokenKind,
};
#[cfg(feature = "server")]
pub use server::{
    Action, Fault, GitHub, Hub, Injection, Lasting, Limit, Matches, Moment, Request, SeedAsset, SeedBytes, SeedRelease,
    Shown, ShownAsset, ShownRelease, ShownTag, StallPoint, Times,
};
