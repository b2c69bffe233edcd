//! Build hosts on this machine: a real `sshd` on loopback for each, and what a person's `ssh` needs to reach them.
//!
//! OpenSSH takes the home folder from the password database, not from `HOME`. So [`Network::bin`] holds an `ssh` and an
//! `scp` that call the real ones with a configuration of their own; put it in front of `PATH`, and nothing of the
//! person's own keys, hosts or agent takes part.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// The client's side: a key, the known hosts, a configuration, and the folder for `PATH`.
pub struct Network {
    dir: PathBuf,
}

impl Network {
    /// In a folder of its own, whose path must be free of blanks and quotes.
    pub fn create(dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(dir.join("bin"))?;
        let dir = dir.canonicalize()?;
        if dir.to_str().is_none_or(|path| path.contains(|c: char| c.is_whitespace() || "'\"\\%$".contains(c))) {
            bail!("ssh's configuration can't hold the path {}", dir.display());
        }
        let network = Self { dir };
        keygen(&network.key())?;
        fs::write(
            network.config(),
            format!(
                "IdentityFile {key}\nIdentitiesOnly yes\nIdentityAgent none\nUserKnownHostsFile {known}\n\
                 GlobalKnownHostsFile none\nStrictHostKeyChecking yes\nHashKnownHosts no\n\n",
                key = network.key().display(),
                known = network.known_hosts().display(),
            ),
        )?;
        fs::write(network.known_hosts(), "")?;
        for program in ["ssh", "scp"] {
            let real = which(program)?;
            network.wrap(program, &format!("exec '{}' -F '{}' \"$@\"", real.display(), network.config().display()))?;
        }
        Ok(network)
    }

    /// The folder with `ssh` and `scp`, for the front of `PATH`.
    pub fn bin(&self) -> PathBuf {
        self.dir.join("bin")
    }

    /// The client's configuration. ssh takes the first value that it finds, so a later line doesn't override these.
    pub fn config(&self) -> PathBuf {
        self.dir.join("config")
    }

    /// The client's private key.
    pub fn key(&self) -> PathBuf {
        self.dir.join("id_ed25519")
    }

    pub fn known_hosts(&self) -> PathBuf {
        self.dir.join("known_hosts")
    }

    /// Replaces a program in [`Self::bin`] by a shell script of these lines.
    pub fn wrap(&self, program: &str, script: &str) -> anyhow::Result<()> {
        let path = self.bin().join(program);
        // A new file: a running script that is written over would go on in the new text.
        let _ = fs::remove_file(&path);
        executable(&path, &format!("#!/bin/sh\n{script}\n"))
    }

    /// Starts a build host that the client reaches as `alias`: it knows the host's key and the host knows the client's.
    pub fn host(&self, alias: &str) -> anyhow::Result<BuildHost> {
        let host = BuildHost::start(&self.dir.join(alias), &self.key().with_extension("pub"))?;
        append(
            &self.config(),
            &format!("Host {alias}\n  HostName 127.0.0.1\n  Port {}\n  HostKeyAlias {alias}\n\n", host.port()),
        )?;
        append(&self.known_hosts(), &format!("{alias} {}", host.public_host_key()?))?;
        Ok(host)
    }
}

/// An `sshd` for this user on a port of loopback, with a packer folder. It ends when this is dropped.
pub struct BuildHost {
    dir: PathBuf,
    port: u16,
    sshd: Child,
}

impl BuildHost {
    fn start(dir: &Path, client_key: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(dir)?;
        keygen(&dir.join("host_key"))?;
        fs::copy(client_key, dir.join("authorized_keys"))?;
        // As root, sshd wants its empty folder, which the service's unit makes.
        if fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0) {
            fs::create_dir_all("/run/sshd").context("making /run/sshd for sshd")?;
        }
        let mut error = None;
        for _ in 0..5 {
            // Another process may take the port before sshd does; then it is another one's turn.
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            match listen(dir, port, "") {
                Ok(sshd) => {
                    let host = Self { dir: dir.to_owned(), port, sshd };
                    fs::create_dir_all(host.packer_dir())?;
                    executable(&host.packer_dir().join("build.sh"), include_str!("host/build.sh"))?;
                    executable(&host.packer_dir().join("checksums.sh"), include_str!("host/checksums.sh"))?;
                    return Ok(host);
                }
                Err(refused) => error = Some(refused),
            }
        }
        error.map_or_else(|| bail!("no sshd was started"), Err)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// For `--remote-dir`; `packer` means the same, since it lies in the home of this host's login.
    pub fn packer_dir(&self) -> PathBuf {
        self.dir.join("home/packer")
    }

    /// `images/<image>/` on the host.
    pub fn image_dir(&self, image: &str) -> PathBuf {
        self.packer_dir().join("images").join(image)
    }

    /// What `sshd` has to say.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("sshd.log")).unwrap_or_default()
    }

    /// Sets what the stand-in for build.sh does; see the comment in `host/build.sh` for the names.
    pub fn set(&self, name: &str, value: &str) -> anyhow::Result<()> {
        append(&self.packer_dir().join("stand-in.env"), &format!("{name}='{value}'\n"))
    }

    /// Sets a variable in the environment of each login.
    pub fn export(&self, name: &str, value: &str) -> anyhow::Result<()> {
        let value = value.replace('\'', r"'\''");
        append(&self.dir.join("home/environment"), &format!("export {name}='{value}'\n"))
    }

    /// Adds a line to what each login runs first, in a POSIX shell.
    pub fn at_login(&self, line: &str) -> anyhow::Result<()> {
        append(&self.dir.join("home/environment"), &format!("{line}\n"))
    }

    /// Logs in as an unprivileged user, where this process is root's: file permissions do not stop root.
    pub fn log_in_unprivileged(&self) -> anyhow::Result<()> {
        if fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0) {
            let shell = self.dir.join("unprivileged-shell");
            executable(&shell, "#!/bin/sh\nexec setpriv --reuid 65534 --regid 65534 --clear-groups sh \"$@\"\n")?;
            self.export("SHELL", shell.to_str().context("a folder with a name in UTF-8")?)?;
        }
        Ok(())
    }

    /// The processes of sshd that serve connections now.
    pub fn sessions(&self) -> Vec<u32> {
        let parent = |pid: u32| -> Option<u32> {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
        };
        let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids: Vec<u32> = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        let ours = |pid: &u32| std::iter::successors(Some(*pid), |pid| parent(*pid)).any(|pid| pid == self.sshd.id());
        let serves = |pid: &u32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"sshd: "));
        let listens = |pid: &u32| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains("[listener]"))
        };
        pids.into_iter().filter(|pid| serves(pid) && !listens(pid) && ours(pid)).collect()
    }

    /// Puts an image there as if it had been built: the file, its checksum file, versions and build record.
    pub fn put(&self, image: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.packer_dir().join("bytes");
        fs::write(&path, bytes)?;
        let mut build = Command::from_host(&self.packer_dir().join("build.sh"));
        let output = build.arg(image).env("BYTES", &path).env("FORCE", "1").stdin(Stdio::null()).output()?;
        fs::remove_file(path)?;
        if !output.status.success() {
            bail!("the stand-in for build.sh failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Gives the host another key, as a new installation does. The client isn't told.
    pub fn change_host_key(&mut self) -> anyhow::Result<()> {
        self.stop();
        for file in ["host_key", "host_key.pub"] {
            fs::remove_file(self.dir.join(file))?;
        }
        keygen(&self.dir.join("host_key"))?;
        self.sshd = listen(&self.dir, self.port, "")?;
        Ok(())
    }

    /// Lets the host show a certificate for its key, signed by a CA whose public key this returns. `validity`: as `ssh-keygen -V`
    /// takes it.
    pub fn certify(&mut self, alias: &str, validity: &str) -> anyhow::Result<String> {
        let ca = self.dir.join("ca");
        if !ca.exists() {
            keygen(&ca)?;
        }
        let mut sign = Command::from_host(&which("ssh-keygen")?);
        sign.args(["-q", "-h", "-I", "host", "-n", alias, "-V", validity, "-s"]).arg(&ca);
        let output = sign.arg(self.dir.join("host_key.pub")).output()?;
        if !output.status.success() {
            bail!("ssh-keygen failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        self.listen_with(&format!("HostCertificate {}/host_key-cert.pub\n", self.dir.display()))?;
        Ok(fs::read_to_string(ca.with_extension("pub"))?)
    }

    /// Lets sftp be served by a shell script of these lines; `$SFTP_SERVER` is the real server. A shell sees what it saw.
    pub fn serve_sftp(&mut self, script: &str) -> anyhow::Result<()> {
        let server = self.dir.join("sftp");
        executable(&server, &format!("#!/bin/sh\nSFTP_SERVER='{}'\n{script}\n", sftp_server()?.display()))?;
        self.listen_with(&format!("Subsystem sftp {}\n", server.display()))
    }

    /// Makes each login one for sftp alone, as hosts have it that only keep files.
    pub fn allow_sftp_alone(&mut self) -> anyhow::Result<()> {
        self.listen_with("ForceCommand internal-sftp\n")
    }

    /// Starts sshd again, with more lines of configuration.
    fn listen_with(&mut self, lines: &str) -> anyhow::Result<()> {
        self.stop();
        self.sshd = listen(&self.dir, self.port, lines)?;
        Ok(())
    }

    /// Lets nobody in any more.
    pub fn refuse_keys(&self) -> anyhow::Result<()> {
        Ok(fs::write(self.dir.join("authorized_keys"), "")?)
    }

    /// Ends sshd: the port answers no longer. Connections that are open stay.
    pub fn stop(&mut self) {
        // Closes its input first.
        let _ = self.sshd.wait();
    }

    fn public_host_key(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.dir.join("host_key.pub"))?)
    }
}

impl Drop for BuildHost {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The one place where this module names a program to start.
trait FromHost {
    fn from_host(program: &Path) -> Command;
}

impl FromHost for Command {
    #[expect(clippy::disallowed_methods, reason = "the rule is for xtask's children; here are servers of tests")]
    fn from_host(program: &Path) -> Command {
        Command::new(program)
    }
}

/// Starts sshd and waits until it greets. `lines` of configuration come before those that are for all.
fn listen(dir: &Path, port: u16, lines: &str) -> anyhow::Result<Child> {
    let config = dir.join("sshd_config");
    let home = dir.join("home");
    fs::create_dir_all(&home)?;
    // Each host has a home of its own, as hosts have; this user's own home takes no part. (Debian's bash reads the
    // user's .bashrc when sshd starts it, unless it believes that another shell is above it: hence SHLVL.)
    let login = format!(
        "#!/bin/sh\nexport HOME='{home}'\ncd \"$HOME\" || exit\n. ./environment\nexec \"$SHELL\" ${{SSH_ORIGINAL_COMMAND:+-c}} \
         ${{SSH_ORIGINAL_COMMAND:+\"$SSH_ORIGINAL_COMMAND\"}}\n",
        home = home.display()
    );
    executable(&dir.join("login"), &login)?;
    append(&home.join("environment"), "")?;
    let dir = dir.display();
    // Of most keywords sshd takes the first value; this one may stand there once.
    let sftp = if lines.contains("Subsystem") {
        String::new()
    } else {
        format!("Subsystem sftp {}\n", sftp_server()?.display())
    };
    fs::write(
        &config,
        format!(
            "{lines}ListenAddress 127.0.0.1:{port}\nHostKey {dir}/host_key\nAuthorizedKeysFile {dir}/authorized_keys\n\
             PidFile none\nStrictModes no\nUsePAM {pam}\nPermitRootLogin yes\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPrintMotd no\nMaxStartups 100\n{sftp}\
             SetEnv SHLVL=1\nForceCommand {dir}/login\n",
            // Without PAM, sshd refuses an account whose password is locked.
            pam = if root_is_locked() { "yes" } else { "no" },
        ),
    )?;
    // Its input is a pipe from here: when this process ends, however it ends, sshd ends with it.
    let watched = "exec 3<&0 </dev/null\n\"$@\" 3<&- & sshd=$!\n{ cat <&3 >/dev/null; kill \"$sshd\"; } 2>/dev/null &\n\
                   exec 3<&-\nwait \"$sshd\"";
    let mut sshd = Command::from_host(Path::new("sh"))
        .args(["-c", watched, "sh"])
        .arg(which("sshd")?)
        .args(["-D", "-f"])
        .arg(&config)
        .arg("-E")
        .arg(format!("{dir}/sshd.log"))
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("starting sshd")?;
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        if greets(port) {
            return Ok(sshd);
        }
        if let Some(status) = sshd.try_wait()? {
            let log = fs::read_to_string(format!("{dir}/sshd.log")).unwrap_or_default();
            bail!("sshd ended ({status}): {log}");
        }
        thread::sleep(Duration::from_millis(20));
    }
    let _ = sshd.wait();
    bail!("sshd doesn't answer on port {port}")
}

/// Where systems keep what scp talks to.
fn sftp_server() -> anyhow::Result<PathBuf> {
    let folders = ["/usr/lib/openssh", "/usr/libexec/openssh", "/usr/libexec", "/usr/lib/ssh"];
    let found = folders.map(|folder| Path::new(folder).join("sftp-server")).into_iter().find(|path| path.is_file());
    found.context("sftp-server is not installed; run scripts/setup")
}

fn greets(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else { return false };
    let mut greeting = [0; 4];
    stream.set_read_timeout(Some(Duration::from_secs(2))).is_ok()
        && stream.read_exact(&mut greeting).is_ok()
        && &greeting == b"SSH-"
}

fn root_is_locked() -> bool {
    let shadow = fs::read_to_string("/etc/shadow").unwrap_or_default();
    shadow.lines().any(|line| line.starts_with("root:!"))
}

fn keygen(path: &Path) -> anyhow::Result<()> {
    let mut keygen = Command::from_host(&which("ssh-keygen")?);
    let output = keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "rehearsal", "-f"]).arg(path).output()?;
    if !output.status.success() {
        bail!("ssh-keygen failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// sshd must be started by its whole path, and is seldom on a user's `PATH`.
fn which(program: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from));
    let found = dirs.map(|dir| dir.join(program)).find(|path| path.is_file());
    found.with_context(|| format!("{program} is not installed; run scripts/setup"))
}

fn executable(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

fn append(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = fs::File::options().append(true).create(true).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}
