//! The handle of a stand-in: what tests set up, inject, and look at.

use std::io::ErrorKind;
use std::ops::Deref;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow, bail};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::model::{Repository, Settings, State, Token, TokenKind};
use crate::rules::Lag;
use crate::server::faults::{Action, Lasting, Moment};
use crate::server::injection::{Armed, Injection};
use crate::server::log::{Request, Shown};
use crate::server::store::{RATE, Store};
use crate::server::{self, hooks};

type Hook = dyn Fn(&Request, Moment) -> Action + Send + Sync;

/// A running stand-in. It ends when this is dropped, with every connection, and its socket goes.
///
/// ```no_run
/// use github_stand_in::{Access, GitHub, Injection, Fault, Matches, Repository, Settings, Times, Token};
///
/// # fn main() -> anyhow::Result<()> {
/// let hub = GitHub::start(Settings::new("/tmp/hub.sock", "/tmp/hub"))?;
/// hub.add_repository("homestak-dev/packer", Repository::new("/tmp/packer.git"))?;
/// hub.add_token("secret", Token::classic("ana").with("homestak-dev/packer", Access::Push));
/// hub.configure_gh("/tmp/gh".as_ref())?; // GH_CONFIG_DIR=/tmp/gh GH_TOKEN=secret gh …
/// hub.inject(Injection {
///     matches: Matches::upload("debian-12-custom.qcow2").nth(2),
///     times: Times::Once,
///     fault: Fault::BadGateway { leave_starter: true },
/// });
/// # Ok(())
/// # }
/// ```
pub struct GitHub {
    hub: Hub,
    runtime: Option<Runtime>,
}

/// A handle of a stand-in, for hooks and threads.
#[derive(Clone)]
pub struct Hub {
    pub(crate) shared: Arc<Shared>,
}

/// What all connections share.
pub(crate) struct Shared {
    store: Mutex<Store>,
    hook: Mutex<Option<Arc<Hook>>>,
    /// Counts how often faults that wait were let go.
    released: watch::Sender<u64>,
    /// Counts how often all connections were shut down.
    pub closed: watch::Sender<u64>,
    socket: PathBuf,
}

impl GitHub {
    /// Listens on the socket and answers from threads of its own.
    ///
    /// # Errors
    /// When the storage can't be made, or the socket's path is too long or in use.
    pub fn start(settings: Settings) -> Result<Self> {
        let socket = settings.socket.clone();
        std::fs::create_dir_all(&settings.storage)
            .with_context(|| format!("creating {}", settings.storage.display()))?;
        let listener = listen(&socket)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("github-stand-in")
            .enable_all()
            .build()
            .context("starting the stand-in's threads")?;
        let hub = Hub {
            shared: Arc::new(Shared {
                store: Mutex::new(Store::new(settings)),
                hook: Mutex::new(None),
                released: watch::Sender::new(0),
                closed: watch::Sender::new(0),
                socket,
            }),
        };
        let listener = {
            let _entered = runtime.enter();
            tokio::net::UnixListener::from_std(listener).context("listening")?
        };
        runtime.spawn(server::run(listener, hub.shared.clone()));
        Ok(Self { hub, runtime: Some(runtime) })
    }

    /// A handle that doesn't keep the stand-in running.
    pub fn hub(&self) -> Hub {
        self.hub.clone()
    }
}

impl Deref for GitHub {
    type Target = Hub;

    fn deref(&self) -> &Hub {
        &self.hub
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        // A hook may hold a handle of this stand-in, and the two would keep each other.
        *lock(&self.hub.shared.hook) = None;
        self.hub.release();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        let _ = std::fs::remove_file(&self.hub.shared.socket);
    }
}

impl Hub {
    /// The socket to name in gh's configuration.
    pub fn socket(&self) -> &Path {
        &self.shared.socket
    }

    /// Writes a configuration for gh into `dir`, which is made where it is missing, and returns the variables to set for gh. With them and
    /// a token in `GH_TOKEN` it talks to this stand-in and to nothing else, and keeps its cache of earlier answers there.
    ///
    /// # Errors
    /// When the directory can't be written.
    pub fn configure_gh(&self, dir: &Path) -> Result<Vec<(&'static str, PathBuf)>> {
        let file = dir.join("config.yml");
        let socket = self.socket().display();
        let text = format!("version: 1\nprompt: disabled\nhttp_unix_socket: {socket}\n");
        std::fs::create_dir_all(dir)
            .and_then(|()| std::fs::write(&file, text))
            .with_context(|| format!("writing {}", file.display()))?;
        Ok(vec![
            ("GH_CONFIG_DIR", dir.to_owned()),
            ("XDG_CACHE_HOME", dir.join("cache")),
            ("XDG_DATA_HOME", dir.join("data")),
            ("XDG_STATE_HOME", dir.join("state")),
        ])
    }

    /// Adds a repository, `owner/name`.
    ///
    /// # Errors
    /// When git can't read its directory.
    pub fn add_repository(&self, name: &str, config: Repository) -> Result<()> {
        let mut store = self.shared.lock();
        if store.find(name).is_some() || name.split('/').count() != 2 {
            bail!("adding the repository {name}: give each its own owner/name");
        }
        let at = store.add(name, config);
        store.look(at, None).with_context(|| format!("adding the repository {name}"))
    }

    /// Changes how a repository is set up, say to archive it.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn change_repository(&self, name: &str, change: impl FnOnce(&mut Repository)) -> Result<()> {
        let mut store = self.shared.lock();
        let at = store.place(name)?;
        change(&mut store.repositories[at].config);
        hooks::install(&mut store.repositories[at])?;
        store.look(at, None)
    }

    /// From now on pushes to a repository are held to the rule for workflows, as those of a token of this kind without the permission; with
    /// none they are not. A push to the bare directory tells nobody's name, so this is for all who push. (actions/checkout#1421)
    ///
    /// # Errors
    /// When git or a file fails.
    pub fn refuse_workflow_pushes(&self, repository: &str, of: Option<TokenKind>) -> Result<()> {
        let mut store = self.shared.lock();
        let at = store.place(repository)?;
        store.repositories[at].pushers = of;
        hooks::install(&mut store.repositories[at])
    }

    /// Gives a repository another name, `owner/name`. Requests with the old one are led to it, as GitHub leads them.
    ///
    /// # Errors
    /// When there is no such repository, or the name is taken.
    pub fn rename_repository(&self, name: &str, new: &str) -> Result<()> {
        let mut store = self.shared.lock();
        let at = store.place(name)?;
        if store.find(new).is_some_and(|other| other != at) {
            bail!("renaming the repository {name}: {new} is taken");
        }
        store.rename(at, new);
        Ok(())
    }

    /// How many requests are left of the hour's 5000, in every answer and in `rate_limit`. Nothing counts them down; with none left all
    /// but `rate_limit` is refused.
    pub fn set_remaining(&self, requests: u64) {
        self.shared.lock().remaining = requests.min(RATE);
    }

    /// What every answer says the time is, as HTTP writes it: `Tue, 01 Dec 2026 05:00:00 GMT`.
    pub fn set_date(&self, date: &str) {
        self.shared.lock().date = Some(date.to_owned());
    }

    /// Adds a token, or replaces what it may do.
    pub fn add_token(&self, secret: &str, token: Token) {
        self.shared.lock().tokens.insert(secret.to_owned(), token);
    }

    /// Makes a token unknown from now on, as one that expired.
    pub fn remove_token(&self, secret: &str) {
        self.shared.lock().tokens.remove(secret);
    }

    /// Every request so far, in the order in which they arrived.
    pub fn requests(&self) -> Vec<Request> {
        let store = self.shared.lock();
        store.requests.iter().map(crate::server::log::Logged::snapshot).collect()
    }

    /// The requests that the stand-in has no answer for. A test wants none.
    pub fn unexpected(&self) -> Vec<Request> {
        self.shared.lock().unexpected.clone()
    }

    /// What the rolling tag showed, from the start until now, one entry for each change. Looks once more before it answers.
    ///
    /// # Panics
    /// When git fails on a repository.
    pub fn timeline(&self) -> Vec<Shown> {
        self.look().expect("reading the tags");
        self.shared.lock().timeline.clone()
    }

    /// Reads the tags of every repository, so that a push shows in the timeline.
    ///
    /// # Errors
    /// When git fails on a repository.
    pub fn look(&self) -> Result<()> {
        let mut store = self.shared.lock();
        (0..store.repositories.len()).try_for_each(|at| store.look(at, None))
    }

    /// Everything there is now.
    ///
    /// # Panics
    /// When git fails on a repository.
    pub fn state(&self) -> State {
        self.look().expect("reading the tags");
        self.shared.lock().snapshot()
    }

    /// Asks `hook` about every request, before and after its work; not after, where a fault came instead of the work. It replaces an
    /// earlier hook. It may block, run a process, and use a [`Hub`]: only its own request waits. Where it lets a request proceed, an
    /// injection may still meet it.
    pub fn on_request(&self, hook: impl Fn(&Request, Moment) -> Action + Send + Sync + 'static) {
        *lock(&self.shared.hook) = Some(Arc::new(hook));
    }

    /// Sets a fault for later requests. Injections are tried in the order in which they were set.
    pub fn inject(&self, injection: Injection) {
        self.shared.lock().armed.push(Armed::new(injection));
    }

    /// Forgets the hook and every injection, lets go what waits, and ends stale reads.
    pub fn reset_faults(&self) {
        *lock(&self.shared.hook) = None;
        self.shared.lock().armed.clear();
        self.release();
        for repo in &mut self.shared.lock().repositories {
            repo.lag = Lag::default();
            repo.hidden.clear();
        }
    }

    /// Lets go every request that waits, and ends the stale reads that last until then.
    pub fn release(&self) {
        self.shared.lock().releases_of_faults += 1;
        self.shared.released.send_modify(|count| *count += 1);
    }

    /// Closes every connection at once, those under way as well. New ones are taken.
    pub fn shut_down_connections(&self) {
        self.shared.closed.send_modify(|count| *count += 1);
    }
}

impl Shared {
    pub fn lock(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    /// Asks the hook, if there is one. Blocks as long as the hook does.
    pub fn ask(&self, request: &Request, moment: Moment) -> Action {
        let hook = lock(&self.hook).clone();
        hook.map_or(Action::Proceed, |hook| hook(request, moment))
    }

    pub async fn pause(&self, lasting: Lasting) {
        match lasting {
            Lasting::For(time) => tokio::time::sleep(time).await,
            Lasting::UntilReleased => {
                // The sender lives as long as this.
                let _ = self.released.subscribe().changed().await;
            }
        }
    }
}

impl Store {
    /// The repository's place, or an error for a test that names another.
    pub(crate) fn place(&self, name: &str) -> Result<usize> {
        self.find(name).ok_or_else(|| anyhow!("no repository {name} in the stand-in; add it first"))
    }
}

/// A lock whose holder panicked still guards whole data: nothing here is changed in two steps.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Binds the socket. One that a killed process left is replaced.
fn listen(socket: &Path) -> Result<UnixListener> {
    let listening = || format!("listening on {}", socket.display());
    let bound = match UnixListener::bind(socket) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            if UnixStream::connect(socket).is_ok() {
                return Err(error).with_context(listening);
            }
            std::fs::remove_file(socket).and_then(|()| UnixListener::bind(socket)).with_context(listening)
        }
        other => other.with_context(listening),
    };
    let listener = bound?;
    listener.set_nonblocking(true).with_context(listening)?;
    Ok(listener)
}
