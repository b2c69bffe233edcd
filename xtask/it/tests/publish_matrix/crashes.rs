//! Crashes: the tool is killed when the stand-in sees a request, before or after the work; a new run finishes.

use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use github_stand_in::{Action, Fault, Moment};

use super::Tally;
use super::case::{Run, Scenario, Start};
use super::keys::{Key, Keys, Recorded};
use super::pool::{self, Case};
use super::reader::is_readers;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// The request is never done: the connection breaks with the process.
    Before,
    /// The work is done, nobody hears the answer.
    After,
}

pub fn run(recorded: &[Recorded], full: bool) -> Tally {
    let mut cases = Vec::new();
    for (place, Recorded { start, keys }) in recorded.iter().enumerate() {
        for (number, key) in keys.iter().enumerate() {
            for when in [When::Before, When::After] {
                // Each change of the richest scenario; reads, and the other scenarios, are for the simulation.
                if !full && (place > 0 || !key.changes) {
                    continue;
                }
                let (start, key) = (Arc::clone(start), key.clone());
                cases.push(Case {
                    name: format!(
                        "{:?}, killed {when:?} request {} ({} #{})",
                        start.scenario,
                        number + 1,
                        key.what,
                        key.nth
                    ),
                    run: Box::new(move || crash(&start, key, when)),
                });
            }
        }
    }
    // The run after a kill in the switch waits for what the dead one had sent: most of two minutes.
    pool::run(cases, pool::WAITING)
}

fn crash(start: &Start, target: Key, when: When) -> Result<(), String> {
    let run = Run::new(start);
    let scenario = run.scenario;
    let victim = Arc::new(Mutex::new(None::<Child>));
    let hit = Arc::new(Mutex::new(None::<usize>));
    let keys = Keys::new(&run);
    let killed = Arc::clone(&victim);
    let number = Arc::clone(&hit);
    run.world.hub().on_request(move |request, moment| {
        if is_readers(request) {
            return Action::Proceed;
        }
        let mut number = number.lock().unwrap();
        if moment == Moment::Before {
            let key = keys.key(request);
            if number.is_none() && key.what == target.what && key.nth == target.nth {
                *number = Some(request.number);
            }
        }
        if *number != Some(request.number) || (moment == Moment::Before) != (when == When::Before) {
            return Action::Proceed;
        }
        kill(&killed);
        Action::Fault(if when == When::Before { Fault::DropBeforeBody } else { Fault::DropAfterWork })
    });
    let mut command = run.world.tool_command(&scenario.args());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    // The hook waits on this lock until there is somebody to kill.
    {
        let mut victim = victim.lock().unwrap();
        *victim = Some(command.spawn().map_err(|error| error.to_string())?);
    }
    wait(&victim);
    if hit.lock().unwrap().is_none() {
        return Err("the request never came".to_owned());
    }
    run.world.hub().reset_faults();
    run.never_lost()?;
    // A rollback that went through is not to be run again: that would roll it back.
    if scenario == Scenario::Rollback && run.is_done() {
        return Ok(());
    }
    // Killed between the two calls: then nothing is live until the next run has healed it.
    let in_the_gap = run.old.is_some() && run.now().release.is_none();
    let again = run.again();
    if in_the_gap { run.reached(&again).and_then(|()| run.readers_are_well_served()) } else { run.finished(&again) }
}

fn kill(victim: &Mutex<Option<Child>>) {
    if let Some(child) = victim.lock().unwrap().as_mut() {
        let _ = child.kill();
    }
}

fn wait(victim: &Mutex<Option<Child>>) {
    loop {
        if let Some(child) = victim.lock().unwrap().as_mut()
            && child.try_wait().expect("waiting for the tool").is_some()
        {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
}
