//! The stand-in as a place for the checks: the same list, the same `gh`, another address.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use github_stand_in::{Access, Hub, Repository, RepositoryState, Token};

use super::client::{Client, Repo};
use crate::world::{Options, TOKEN, World};

/// A scratch repository on a stand-in.
pub struct StandIn {
    world: World,
}

impl StandIn {
    /// Its name there.
    pub const REPOSITORY: &str = "contributor/scratch";

    /// Builds it in `dir`, which is emptied first and goes at the end.
    ///
    /// # Errors
    ///
    /// When git or a folder fails.
    pub fn new(dir: &Path) -> anyhow::Result<Self> {
        let world = World::new(dir, Options::new("true"))?;
        world.hub().add_repository(Self::REPOSITORY, Repository::new(world.remote()))?;
        let stand_in = Self { world };
        stand_in.allow(Access::Push);
        Ok(stand_in)
    }

    /// What the token may do in the scratch repository from now on.
    pub fn allow(&self, access: Access) {
        self.hub().add_token(TOKEN, Token::classic("contributor").with(Self::REPOSITORY, access));
    }

    pub fn hub(&self) -> &Hub {
        self.world.hub()
    }

    /// The world around it, whose remote holds the repository's tags.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The releases at this moment.
    pub fn state(&self) -> RepositoryState {
        self.hub().state().repository(Self::REPOSITORY).clone()
    }

    /// A client for a repository on the stand-in, which lags by nothing.
    ///
    /// # Panics
    ///
    /// When it isn't the name of one, or there is no `/dev/urandom`.
    pub fn client(&self, repository: &str, interrupted: Arc<AtomicBool>) -> Client {
        let repo: Repo = repository.parse().expect("the name of a repository");
        let machine = (*self.world).clone();
        let socket = Some(self.hub().socket().to_owned());
        Client::new(repo, Box::new(move |name| machine.command(name)), socket, interrupted)
            .expect("random digits")
            .with_remote(self.world.remote())
            .with_times(Duration::ZERO, Duration::from_secs(2))
    }
}
