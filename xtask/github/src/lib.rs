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
//! ```no_run
//! use github_stand_in::{Access, GitHub, Injection, Fault, Matches, Repository, Settings, Times, Token};
//!
//! # fn main() -> anyhow::Result<()> {
//! let hub = GitHub::start(Settings::new("/tmp/hub.sock", "/tmp/hub"))?;
//! hub.add_repository("homestak-dev/packer", Repository::new("/tmp/packer.git"))?;
//! hub.add_token("secret", Token::classic("ana").with("homestak-dev/packer", Access::Push));
//! hub.configure_gh("/tmp/gh".as_ref())?; // GH_CONFIG_DIR=/tmp/gh GH_TOKEN=secret gh …
//! hub.inject(Injection {
//!     matches: Matches::upload("debian-12-custom.qcow2").nth(2),
//!     times: Times::Once,
//!     fault: Fault::BadGateway { leave_starter: true },
//! });
//! # Ok(())
//! # }
//! ```

mod answer;
mod assets;
mod call;
mod download;
mod faults;
mod fields;
mod git;
mod git_data;
mod graphql;
mod hub;
mod issues;
mod json;
mod log;
mod model;
mod pages;
mod releases;
mod rulesets;
mod seed;
mod server;
mod store;
mod upload;

pub use faults::{Action, Fault, Injection, Lasting, Limit, Matches, Moment, StallPoint, Times};
pub use hub::{GitHub, Hub};
pub use log::{Request, Shown, ShownAsset, ShownRelease, ShownTag};
pub use model::{
    Access, Asset, AssetState, BrokenUpload, Comment, Issue, Release, Repository, RepositoryState, Ruleset, Settings,
    State, Token, TokenKind,
};
pub use seed::{SeedAsset, SeedBytes, SeedRelease};
