//! How long the lock and what is sent under it may take. The numbers depend on each other: a lock counts as a dead run's
//! only after all that its holder may send has arrived, as the assertion says. The lock, its lease and the switch use them.

use std::time::Duration;

/// How often a holder renews the lock.
pub const RENEW: Duration = Duration::from_secs(30);
/// A permit rests on a renewal begun at most this long ago, by a clock that counts a machine's sleep.
pub const FRESH: Duration = Duration::from_secs(30);
/// How long the kernel of a killed client may go on sending.
pub const SENDING: Duration = Duration::from_secs(100);
/// GitHub ends a request after this.
const SERVING: Duration = Duration::from_secs(10);
/// A request that was sent arrives within this, or never.
pub const ARRIVES: Duration = Duration::from_secs(SENDING.as_secs() + SERVING.as_secs());
/// A lock that stands still for this long, by a clock that doesn't count sleep, is that of a dead run. What the run sent under
/// its last permit has arrived by then, or never arrives, as the assertion below says.
pub const WATCH: Duration = Duration::from_secs(180);
const _: () = assert!(FRESH.as_secs() + SENDING.as_secs() + SERVING.as_secs() < WATCH.as_secs());

/// A push of the lock, and a small change, are given up after this.
pub const ANSWER: Duration = Duration::from_secs(20);
/// A run that cannot renew the lock for this long gives up; between the two PATCHes of a switch as well.
pub const GIVE_UP: Duration = Duration::from_secs(600);
/// The renewing task ends after this long without a success.
pub const HOPELESS: Duration = Duration::from_secs(3600);
