//! Runs the stand-in for a person who wants to try `gh` against it by hand.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use github_stand_in::{Access, GitHub, Repository, Settings, Token};

/// A stand-in for GitHub on a Unix socket. The token that it takes, with every right, is read from the variable `GH_TOKEN`.
#[derive(Parser)]
struct Arguments {
    /// Where to listen
    #[arg(long)]
    socket: PathBuf,
    /// A directory for the bytes of assets and for gh's configuration
    #[arg(long)]
    storage: PathBuf,
    /// A repository and its bare git directory, as OWNER/NAME=DIR
    #[arg(long, required = true, value_parser = repository)]
    repository: Vec<(String, PathBuf)>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let secret = std::env::var("GH_TOKEN").context("reading GH_TOKEN; set it to any text")?;
    let settings = Settings::new(arguments.socket, arguments.storage.join("assets"));
    let hub = GitHub::start(settings)?;
    let mut token = Token::classic("somebody");
    for (name, git_dir) in arguments.repository {
        hub.add_repository(&name, Repository::new(git_dir))?;
        token = token.with(&name, Access::Admin);
    }
    hub.add_token(&secret, token);
    let config = arguments.storage.join("gh");
    println!("set these, and GH_TOKEN as it is here:");
    for (name, value) in hub.configure_gh(&config)? {
        println!("{name}={}", value.display());
    }
    loop {
        std::thread::park();
    }
}

fn repository(text: &str) -> Result<(String, PathBuf), String> {
    let (name, dir) = text.split_once('=').ok_or("write OWNER/NAME=DIR")?;
    Ok((name.to_owned(), dir.into()))
}
