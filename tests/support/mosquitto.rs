//! The broker most people run, started as a child process on a free loopback port.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use libtest_mimic::{Failed, Trial};

use super::{PATIENCE, holds_within};

/// How often another port is tried when somebody has taken the free one first.
const ATTEMPTS: u32 = 5;

/// A running `mosquitto`, killed when it is dropped.
pub struct Mosquitto {
    program: PathBuf,
    address: SocketAddr,
    second_address: SocketAddr,
    directory: Directory,
    child: Option<Child>,
}

impl Mosquitto {
    /// Whether there is a `mosquitto` to start.
    pub fn is_installed() -> bool {
        program().is_some()
    }

    /// Starts it with `extra_config` after the settings of its own: one listener on loopback, anonymous clients
    /// allowed, queues without an end. `persistence true` keeps sessions over a [`restart`](Self::restart).
    ///
    /// # Errors
    /// When it is not installed, or ends instead of listening; the error then holds its log.
    pub fn start(extra_config: &str) -> io::Result<Self> {
        let program = program().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "mosquitto is not installed"))?;
        let mut attempt = 1;
        loop {
            let mut broker = Self {
                program: program.clone(),
                address: free_address()?,
                second_address: free_address()?,
                directory: Directory::create()?,
                child: None,
            };
            broker.write_config(extra_config)?;
            match broker.start_again() {
                Ok(()) => return Ok(broker),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempt < ATTEMPTS => {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A loopback address for a listener of the configuration, which knows it as `{second_port}`.
    pub fn second_address(&self) -> SocketAddr {
        self.second_address
    }

    /// Where its files are: `{directory}` in the configuration.
    pub fn directory(&self) -> &Path {
        &self.directory.0
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        log_at(&self.directory.0)
    }

    /// Ends it as an administrator would, with SIGTERM, and waits for that; its address and files stay.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> io::Result<()> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        let signalled = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        let ended = signalled.is_ok_and(|status| status.success())
            && holds_within(PATIENCE, || matches!(child.try_wait(), Ok(Some(_))));
        if ended {
            return Ok(());
        }
        kill(&mut child);
        Err(io::Error::other("mosquitto did not end upon SIGTERM"))
    }

    /// Ends it as a crash would.
    pub fn crash(&mut self) {
        if let Some(mut child) = self.child.take() {
            kill(&mut child);
        }
    }

    /// Starts it at its old address, after [`stop`](Self::stop) or [`crash`](Self::crash).
    ///
    /// # Errors
    /// When it ends instead of listening, as `AddrInUse` if that is why.
    pub fn start_again(&mut self) -> io::Result<()> {
        let log = fs::File::create(self.directory.0.join(LOG))?;
        let child = Command::new(&self.program)
            .arg("-c")
            .arg(self.config_path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let child = self.child.insert(child);
        let mut exit = None;
        let address = self.address;
        let listens = holds_within(PATIENCE, || {
            exit = child.try_wait().ok().flatten();
            exit.is_some() || TcpStream::connect(address).is_ok()
        });
        // Somebody else may answer at this address, so what counts is that ours says it runs.
        let runs = listens
            && exit.is_none()
            && holds_within(PATIENCE, || {
                exit = child.try_wait().ok().flatten();
                exit.is_some() || log_at(&self.directory.0).contains(" running")
            });
        if runs && exit.is_none() {
            return Ok(());
        }
        self.crash();
        let log = self.log();
        let kind = if log.contains("Address already in use") { io::ErrorKind::AddrInUse } else { io::ErrorKind::Other };
        Err(io::Error::new(kind, format!("mosquitto ended: {log}")))
    }

    /// [`stop`](Self::stop), then [`start_again`](Self::start_again).
    ///
    /// # Errors
    /// Those of the two.
    pub fn restart(&mut self) -> io::Result<()> {
        self.stop()?;
        self.start_again()
    }

    fn write_config(&self, extra_config: &str) -> io::Result<()> {
        let address = self.address.ip();
        let port = self.address.port();
        let directory = self.directory.0.display();
        let extra_config = extra_config.replace("{directory}", &directory.to_string());
        let extra_config = extra_config.replace("{second_port}", &self.second_address.port().to_string());
        // Started by root it would give up the right to its own directory.
        let config = format!(
            "listener {port} {address}\n\
             allow_anonymous true\n\
             user root\n\
             persistence_location {directory}/\n\
             log_dest stderr\n\
             max_queued_messages 0\n\
             {extra_config}\n"
        );
        fs::write(self.config_path(), config)
    }

    fn config_path(&self) -> PathBuf {
        self.directory.0.join("mosquitto.conf")
    }
}

/// A test of a binary with libtest-mimic that is given a fresh broker with `extra_config`.
///
/// Without mosquitto it is listed as ignored, or fails where FLOWSDK_REQUIRE_MOSQUITTO is set.
pub fn trial(name: &str, extra_config: &'static str, test: impl FnOnce(Mosquitto) + Send + 'static) -> Trial {
    let required = std::env::var_os("FLOWSDK_REQUIRE_MOSQUITTO").is_some();
    let run = move || -> Result<(), Failed> {
        test(Mosquitto::start(extra_config)?);
        Ok(())
    };
    Trial::test(name, run).with_ignored_flag(!required && !Mosquitto::is_installed())
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.crash();
    }
}

const LOG: &str = "mosquitto.log";

/// A directory of its own, removed when it is dropped.
pub struct Directory(PathBuf);

impl Directory {
    /// An empty one.
    ///
    /// # Errors
    /// When the system has no place for it.
    pub fn create() -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("flowsdk-mosquitto-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The program on the PATH, or where Debian puts it, which the PATH of a user leaves out.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|directory| directory.join("mosquitto"))
        .find(|program| program.is_file())
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn log_at(directory: &Path) -> String {
    fs::read_to_string(directory.join(LOG)).unwrap_or_default()
}

fn kill(child: &mut Child) {
    // It may have ended by itself; either way it is reaped.
    let _ = child.kill();
    let _ = child.wait();
}
