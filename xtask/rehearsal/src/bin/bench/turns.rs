//! What a release with one changed image of three moves over the line: by hand, with another build of the tool, with this one.
//! Bytes alone, so a busy machine doesn't matter.

use std::fs;
use std::path::Path;
use std::process::Command;

use github_stand_in::Request;
use rehearsal::world::{IMAGES, Options, REPOSITORY, World};
use serde_json::{Value, json};

use crate::Arguments;
use crate::releases::counted;
use crate::report::number;

/// Bytes of each image.
const IMAGE: u64 = 3 << 20;

/// Publishes that are measured, one after the other.
const TURNS: u64 = 3;

/// Publishes before those: from then on there is a set that is live, and one that it replaced.
const BEFORE: u64 = 2;

/// What requests moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Bytes of assets that were uploaded.
    pub sent: u64,
    /// Bytes of assets that were downloaded.
    pub fetched: u64,
}

impl Moved {
    pub fn by(requests: &[Request]) -> Self {
        let of = |host: &str, bytes: fn(&Request) -> u64| {
            requests.iter().filter(|request| request.host.starts_with(host)).map(bytes).sum()
        };
        Self {
            sent: of("uploads.", |request| request.bytes_received),
            fetched: of("release-assets.", |request| request.bytes_sent),
        }
    }

    pub fn to_json(self) -> Value {
        json!({ "sent": self.sent, "fetched": self.fetched })
    }
}

/// `3.00`
pub fn mib(bytes: u64) -> String {
    number(bytes as f64 / f64::from(1 << 20))
}

/// Whose way it is.
enum Way<'a> {
    ByHand,
    Tool(&'a Path),
}

pub fn run_all(arguments: &Arguments, say: impl Fn(&str)) -> anyhow::Result<Value> {
    say(&format!(
        "One changed of {} images, {} MiB each; the others are not in the images folder.\n",
        IMAGES.len(),
        mib(IMAGE)
    ));
    say("| changed each time | how | MiB sent, in turn | MiB fetched, in turn |\n|---|---|---:|---:|");
    let mut ways = vec![("by hand (`gh`)", "by_hand", Way::ByHand)];
    ways.extend(arguments.before.as_deref().map(|tool| ("this tool before", "before", Way::Tool(tool))));
    ways.push(("this tool", "tool", Way::Tool(&arguments.tool)));
    let mut rows = Vec::new();
    for (changed, which) in [("the same image", "same"), ("another image", "another")] {
        for (how, key, way) in &ways {
            let moved = publishes(arguments, way, which == "same")?;
            let list = |of: fn(&Moved) -> u64| moved.iter().map(|moved| mib(of(moved))).collect::<Vec<_>>().join(", ");
            say(&format!("| {changed} | {how} | {} | {} |", list(|it| it.sent), list(|it| it.fetched)));
            let turns: Vec<Value> = moved.iter().map(|moved| moved.to_json()).collect();
            rows.push(json!({ "changed": which, "how": key, "turns": turns }));
        }
    }
    Ok(Value::Array(rows))
}

/// Some publishes in turn, each with one image changed.
fn publishes(arguments: &Arguments, way: &Way<'_>, always_the_same: bool) -> anyhow::Result<Vec<Moved>> {
    let mut options = Options::new(&arguments.tool);
    options.sizes = vec![IMAGE];
    let world = World::new(&arguments.dir.join("turns"), options)?;
    for seed in 1..=BEFORE {
        world.build_all(seed, Some("v0.45"))?;
        counted(&world, publish(&world, way, None))?;
    }
    let mut moved = Vec::new();
    for turn in 0..TURNS {
        let changed = IMAGES[if always_the_same { 0 } else { turn as usize % IMAGES.len() }];
        fs::remove_dir_all(world.images())?;
        world.build(changed, IMAGE, 50_000 + turn, Some("v0.45"))?;
        let (_, requests) = counted(&world, publish(&world, way, Some(changed)))?;
        moved.push(Moved::by(&requests));
    }
    Ok(moved)
}

/// Publishes what lies in the images folder, and of what is live all but `changed`.
fn publish(world: &World, way: &Way<'_>, changed: Option<&str>) -> Command {
    if let Way::Tool(tool) = way {
        let mut command = world.command(tool);
        command.args(["packer", "publish", "--source", "v0.45", "--execute"]);
        return command;
    }
    let kept = IMAGES.iter().filter(|image| changed.is_some_and(|changed| **image != changed));
    let fetch: String = kept
        .map(|image| {
            format!(
                "mkdir -p packer/images/{image}; \
                 gh release download latest --repo {REPOSITORY} --dir packer/images/{image} --pattern '{image}.qcow2*'; "
            )
        })
        .collect();
    let delete = if world.published().published("latest").is_some() {
        format!("gh release delete latest --repo {REPOSITORY} --yes; ")
    } else {
        String::new()
    };
    let mut command = world.command("sh");
    command.args([
        "-euc",
        &format!(
            "{fetch}{delete}git -C packer push --quiet --force origin 'v0.45^{{commit}}:refs/tags/latest'; \
             gh release create latest --repo {REPOSITORY} --prerelease --title 'Latest Images' --notes 'Points to v0.45' \
             packer/images/*/*.qcow2 packer/images/*/*.sha256"
        ),
    ]);
    command
}
