//! A change of what others see, from the plan to the end: agreed to, done under the lock, and left in order.

use crate::failure;
use crate::typed;

use super::TAG;
use super::doors::Doors;
use super::heal;
use super::held::Held;
use super::lock::{self, Claim};

/// Does `work` under the lock. Whatever comes of it, nothing is left half-way where this run can still mend it: a holder
/// that finds nothing live heals before it ends.
pub fn under_lock<T>(
    doors: Doors<'_>,
    claim: &Claim,
    work: impl FnOnce(Held<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let lease = lock::acquire(doors, claim)?;
    let held = Held::new(doors, &lease);
    let result = work(held);
    if result.is_err()
        && lease.may_heal()
        && let Err(error) = heal::all(held.deaf())
    {
        doors.warn(format_args!(
            "whether {TAG} is in order could not be seen: {error:#}; look with {}",
            typed::line("status")
        ));
    }
    let given_back = lease.release(doors.deaf());
    let done = result?;
    given_back?;
    Ok(done)
}

/// The plan that was agreed to isn't the one that is needed now.
pub fn differs() -> anyhow::Error {
    failure::failed(
        "what there is to do changed since the plan was made, so nothing was switched; run again, and look at the new plan",
    )
}
