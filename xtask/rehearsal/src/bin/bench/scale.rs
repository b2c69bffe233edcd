//! How requests, bytes, time and memory grow with the number of images and parts.

use rehearsal::world::{Options, World};
use serde_json::{Value, json};

use crate::Arguments;
use crate::releases::counted;
use crate::report::number;
use crate::turns::{Moved, mib};

/// Images, and parts of each. The last doesn't fit on a release.
const STEPS: [(u64, u64); 9] = [(1, 1), (3, 1), (10, 1), (30, 1), (100, 1), (1, 10), (1, 100), (1, 600), (100, 600)];

/// An image that can be cut into 600 parts, and is still small.
const IMAGE: u64 = 300_000;

pub fn run_all(arguments: &Arguments, say: impl Fn(&str)) -> anyhow::Result<Value> {
    say(
        "| images | parts each | assets | publish: requests | s | MiB | one image new: requests | MiB sent | MiB fetched | same again: requests | verify: requests | s | MiB |",
    );
    say("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    let mut steps = Vec::new();
    for (images, parts) in STEPS {
        let mut options = Options::new(&arguments.tool);
        options.templates = (0..images).map(|number| format!("image-{number:03}")).collect();
        options.sizes = vec![IMAGE];
        let world = World::new(&arguments.dir.join("scale"), options)?;
        world.build_all(1, Some("v0.45"))?;
        let size = IMAGE.div_ceil(parts).to_string();
        let args = ["publish", "--source", "v0.45", "--part-size", &size, "--execute"];
        let assets = images * (parts + 1) + 1;
        if assets > 1000 {
            let ran = world.tool(&args);
            say(&format!(
                "| {images} | {parts} | {assets} | refused with exit code {}: {} |",
                ran.code.unwrap_or(-1),
                ran.stderr.trim().lines().last().unwrap_or_default()
            ));
            steps.push(json!({ "images": images, "parts": parts, "assets": assets, "exit_code": ran.code }));
            continue;
        }
        let (publish, requests) = counted(&world, world.tool_command(&args))?;
        let (_, again) = counted(&world, world.tool_command(&args))?;
        let (verify, verified) = counted(&world, world.tool_command(&["verify"]))?;
        // Most people have the image that they just built, and no other.
        std::fs::remove_dir_all(world.images())?;
        // The second time there is a set that was replaced, and holds the others.
        world.build("image-000", IMAGE, 99, Some("v0.45"))?;
        counted(&world, world.tool_command(&args))?;
        world.build("image-000", IMAGE, 100, Some("v0.45"))?;
        let (_, one_new) = counted(&world, world.tool_command(&args))?;
        let moved = Moved::by(&one_new);
        say(&format!(
            "| {images} | {parts} | {assets} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            requests.len(),
            number(publish.wall),
            mib(publish.memory),
            one_new.len(),
            mib(moved.sent),
            mib(moved.fetched),
            again.len(),
            verified.len(),
            number(verify.wall),
            mib(verify.memory)
        ));
        steps.push(json!({
            "images": images, "parts": parts, "assets": assets,
            "publish": { "requests": requests.len(), "seconds": publish.wall, "memory": publish.memory },
            "one_image_new": { "requests": one_new.len(), "bytes": moved.to_json() },
            "same_again": { "requests": again.len() },
            "verify": { "requests": verified.len(), "seconds": verify.wall, "memory": verify.memory },
        }));
    }
    Ok(Value::Array(steps))
}
