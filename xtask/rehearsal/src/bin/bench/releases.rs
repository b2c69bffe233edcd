//! `publish`, `verify` and `download` beside the commands that people type, against a stand-in that takes all it gets.

use std::fs;
use std::process::Command;

use github_stand_in::{Request, Shown};
use rehearsal::world::{IMAGES, REPOSITORY, World};

use crate::files::{gib, row, wall};
use crate::measure::{Run, median, run, warm};
use crate::report::{Row, Target, number};

/// Three images of a third of the size each, cut into two parts.
pub fn rows(world: &World, mib: u64, runs: usize) -> anyhow::Result<Vec<Row>> {
    let image = (mib / 3) << 20;
    for (name, seed) in IMAGES.iter().zip(1..) {
        world.build(name, image, seed, Some("v0.45"))?;
    }
    let part = (image / 2 + 1).to_string();
    let publish = || world.tool_command(&["publish", "--source", "v0.45", "--part-size", &part, "--execute"]);
    world.tool(&["split", "--part-size", &part]).expect(0, &[]);
    let shell = |line: &str| {
        let mut command = world.command("sh");
        command.args(["-euc", line]);
        command
    };
    let create = format!(
        "gh release create latest --repo {REPOSITORY} --prerelease --title 'Latest Images' --notes 'Points to v0.45' \
         packer/images/*/*.part?? packer/images/*/*.sha256"
    );
    let by_hand = format!(
        "for image in packer/images/*/*.qcow2; do split -b {part} $image $image.part; \
         (cd ${{image%/*}}; sha256sum ${{image##*/}} >${{image##*/}}.sha256); done; {create}"
    );

    let size = gib(mib / 3 * 3);
    let (mut ours, mut ready_made, mut all_by_hand) = (Vec::new(), Vec::new(), Vec::new());
    let (mut gaps, mut peaks) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        unpublish(world)?;
        world.git(&["push", "--quiet", "--force", "origin", "v0.45^{commit}:refs/tags/latest"])?;
        warm(world.dir(), 3 * image)?;
        ready_made.push(run(shell(&create))?);
        unpublish(world)?;
        world.git(&["push", "--quiet", "--force", "origin", "v0.45^{commit}:refs/tags/latest"])?;
        warm(world.dir(), 6 * image)?;
        all_by_hand.push(run(shell(&by_hand))?);
        // Over what is there now: with the switch, as at every release but the first.
        let before = world.hub().timeline().len();
        warm(world.dir(), 3 * image)?;
        let measured = run(publish())?;
        gaps.push(without_release(&world.hub().timeline()[before.saturating_sub(1)..]));
        peaks.push(measured.memory as f64 / f64::from(1 << 20));
        ours.push(measured);
    }
    for (what, runs) in [("publish", &ours), ("gh release create", &ready_made)] {
        let of = |part: fn(&Run) -> f64| number(median(runs.iter().map(part)));
        eprintln!(
            "CPU seconds of `{what}`: {} itself, {} in its children, {} in the server",
            of(|run| run.own_cpu),
            of(|run| run.cpu - run.own_cpu),
            of(|run| run.server_cpu)
        );
    }
    let read = median(ours.iter().map(|run| run.read as f64)) / (3 * image) as f64;
    let mut rows = vec![
        row(
            &format!("publish {size} from images, beside ready-made parts"),
            "s",
            wall(&ours),
            "gh release create",
            wall(&ready_made),
            Some(1.1),
        ),
        row(
            &format!("publish {size} from images, beside all of it by hand"),
            "s",
            wall(&ours),
            "split && sha256sum && gh release create",
            wall(&all_by_hand),
            None,
        ),
        value("publish: memory of the tool itself", "MiB", median(peaks.into_iter()), Some(32.0)),
        value(
            "publish: reads of each byte of an image, one by the tool and one by gh from its pipe",
            "",
            read,
            Some(2.05),
        ),
        value("publish: `latest` without a set", "s", median(gaps.into_iter()), None),
    ];

    let (_, requests) = counted(world, publish())?;
    let sent: u64 = requests.iter().filter(|it| it.host.starts_with("uploads.")).map(|it| it.bytes_received).sum();
    rows.push(value("publish of the set that is live: bytes sent", "B", sent as f64, Some(0.0)));
    fs::remove_dir_all(world.images())?;
    let (_, requests) = counted(world, world.tool_command(&["verify"]))?;
    rows.push(value("verify without local images: requests", "", requests.len() as f64, Some(5.0)));
    rows.extend(downloads(world, 3 * image, &size, runs)?);
    Ok(rows)
}

fn downloads(world: &World, bytes: u64, size: &str, runs: usize) -> anyhow::Result<Vec<Row>> {
    let by_hand = || {
        let mut command = world.command("sh");
        let line = format!(
            "rm -rf d; gh release download latest --repo {REPOSITORY} --dir d; cd d; \
             for first in *.partaa; do image=${{first%.partaa}}; cat \"$image\".part* >\"$image\"; done; sha256sum -c *.sha256"
        );
        command.args(["-euc", &line]);
        command
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let _ = fs::remove_dir_all(world.images());
        warm(world.dir(), bytes)?;
        ours.push(run(world.tool_command(&["download"]))?);
        warm(world.dir(), 2 * bytes)?;
        theirs.push(run(by_hand())?);
        fs::remove_dir_all(world.dir().join("d"))?;
    }
    let written = median(ours.iter().map(|run| run.written as f64)) / bytes as f64;
    let what = format!("download {size}, joined and verified");
    Ok(vec![
        row(&what, "s", wall(&ours), "gh release download && cat && sha256sum -c", wall(&theirs), None),
        value(
            "download: writes of each byte of an image, one by gh to its pipe and one to the disk",
            "",
            written,
            Some(2.05),
        ),
    ])
}

/// Takes away every release and the tag.
fn unpublish(world: &World) -> anyhow::Result<()> {
    for release in world.published().releases {
        world.gh(&["api", "--method", "DELETE", &format!("repos/{REPOSITORY}/releases/{}", release.id)])?;
    }
    if !world.remote_commit("latest").is_empty() {
        world.git(&["push", "--quiet", "origin", ":refs/tags/latest"])?;
    }
    Ok(())
}

/// Runs a command and tells which requests it made.
pub fn counted(world: &World, command: Command) -> anyhow::Result<(Run, Vec<Request>)> {
    let before = world.hub().requests().len();
    let run = run(command)?;
    Ok((run, world.hub().requests().split_off(before)))
}

/// Seconds in which readers found no release.
fn without_release(timeline: &[Shown]) -> f64 {
    let pairs = timeline.iter().zip(timeline.iter().skip(1));
    pairs.filter(|(from, _)| from.release.is_none()).map(|(from, to)| (to.at - from.at).as_secs_f64()).sum()
}

pub fn value(what: &str, unit: &'static str, ours: f64, most: Option<f64>) -> Row {
    Row { what: what.to_owned(), unit, ours, theirs: None, target: most.map(Target::Value) }
}
