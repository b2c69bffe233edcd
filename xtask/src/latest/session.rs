//! A change of what others see, done under the lock. If it fails, this run recovers what it can before it ends.
//! Publish, rollback and recovery run in it.

use std::fmt::Display;

use crate::failure::{self, Advice as _};
use crate::suggest;
use crate::trust::Policy;

use super::TAG;
use super::client::Client;
use super::held::Held;
use super::lock::{self, Claim};
use super::look::{self, Look};
use super::recover;

/// Does `work` under the lock; if it fails, recovers before the lock is given back.
pub fn under_lock<T>(
    client: Client<'_>,
    claim: &Claim,
    policy: &Policy,
    work: impl FnOnce(Held<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let lease = lock::acquire(client, claim)?;
    let held = Held::new(client, &lease);
    let result = work(held);
    if result.is_err()
        && lease.hold_to_recover(client.ignoring_signals())
        && let Err(error) = recover::all(held.ignoring_signals(), policy)
    {
        let status = suggest::command("status");
        client.warn(format_args!("the state of {TAG} could not be checked: {error:#}; see {status}"));
    }
    let given_back = lease.release(client.ignoring_signals());
    let done = result?;
    given_back?;
    Ok(done)
}

/// What is there under the lock, where nothing is to be recovered.
///
/// # Errors
///
/// Exit code 1: there is something to recover, and nobody agreed to that; the session recovers it before it ends. GitHub does
/// not answer.
pub fn look(client: Client<'_>) -> anyhow::Result<Look> {
    let look = look::current(client)?;
    if recover::plan(client, &look)?.is_some() { Err(differs()) } else { Ok(look) }
}

/// Somebody else changed what this run was to change.
pub fn changed(what: impl Display) -> anyhow::Error {
    let status = suggest::command("status");
    failure::failed(what.to_string()).fix(format_args!("see {status}, then run the same command again"))
}

/// The plan that was agreed to isn't the plan that is needed now.
pub fn differs() -> anyhow::Error {
    failure::failed("what there is to do changed since the plan was made, so nothing was switched")
        .fix("run the same command again and check the new plan")
}
