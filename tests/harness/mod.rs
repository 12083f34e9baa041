//! Runs the real watchd in a scratch place of its own, and looks at it from outside: its board, its commands, its sockets, /proc.
//!
//! Nothing here sleeps and no test depends on how long a thing takes: [`until`] looks again until a condition holds, and gives up
//! with the daemon's own words. What a scratch place started is ended with it, by pid, whatever the test did.

// Each test crate uses its own part of this.
#![allow(dead_code, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod apart;
pub mod crowd;
pub mod disk;
pub mod look;
pub mod net;
pub mod past;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use watchd::model::ServiceState;
use watchd::store::{Reader, ServiceRow, Snapshot};
use watchd::sys::cgroup::Cgroups;

/// Longer than any of these things takes on a loaded machine; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(40);

/// The binary under test: the one built beside the tests, or the one that `WATCHD_BIN` names.
pub fn binary() -> PathBuf {
    std::env::var_os("WATCHD_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_watchd")), PathBuf::from)
}

/// Whether what runs is the program as it is shipped, whose numbers mean something.
pub fn is_release() -> bool {
    std::env::var_os("WATCHD_BIN").is_some() || !cfg!(debug_assertions)
}

/// Says loudly why a test did nothing; refuses to do nothing where `WATCHD_REQUIRE_PEERS` is set.
pub fn skip(why: &str) {
    assert!(std::env::var_os("WATCHD_REQUIRE_PEERS").is_none(), "required here, but {why}");
    eprintln!("SKIPPED: {why}");
}

pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Looks until there is an answer.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "this never came: {what}");
        pause(Duration::from_millis(5));
    }
}

/// Gives the machine to others for a while; what is waited for is looked at by the caller.
pub fn pause(time: Duration) {
    let millis = u16::try_from(time.as_millis()).unwrap_or(u16::MAX);
    let _ = nix::poll::poll(&mut [], millis);
}

/// Writes a script that may be run at once, as [`copied`] does.
pub fn script(path: &Path, text: &str) {
    let mut install = install("/dev/stdin".as_ref(), path).stdin(Stdio::piped()).spawn().expect("install can be run");
    install.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("it reads");
    assert!(install.wait().is_ok_and(|status| status.success()), "{}", path.display());
}

/// Copies a program that may be run at once. Another process writes it: while one of ours has a program open for writing, a thread beside may
/// fork, and until its exec that child keeps the program busy.
pub fn copied(program: impl AsRef<Path>, path: &Path) {
    let copied = install(program.as_ref(), path).status();
    assert!(copied.is_ok_and(|status| status.success()), "{}", path.display());
}

fn install(from: &Path, to: &Path) -> Command {
    let mut command = Command::new("install");
    command.args(["-m", "755", "--"]).arg(from).arg(to).stdin(Stdio::null());
    command
}

/// A directory that is gone afterwards, with everything that was started from it.
pub struct Scratch {
    pub dir: PathBuf,
}

impl Scratch {
    pub fn new(name: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("watchd-{name}-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).expect("a temporary directory can be made");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("it is ours");
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("a file can be written");
        path
    }

    /// A program that is a script.
    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        script(&path, text);
        path
    }

    /// A copy of a program.
    pub fn copied(&self, program: impl AsRef<Path>, name: &str) -> PathBuf {
        let path = self.path(name);
        copied(program, &path);
        path
    }

    /// A directory below that belongs to another user, or to us.
    pub fn dir_of(&self, name: &str, uid: Option<u32>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("a directory can be made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        std::os::unix::fs::chown(&path, uid, uid).expect("only root plays another user");
        path
    }

    /// Compiles a program of `benches/peers` into this directory.
    pub fn program(&self, source: &str, name: &str) -> PathBuf {
        self.compiled(&Path::new("benches/peers").join(source), name)
    }

    /// Compiles any program of ours into this directory.
    pub fn compiled(&self, source: &Path, name: &str) -> PathBuf {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
        let path = self.path(name);
        let compiled = Command::new("cc").args(["-O2", "-static", "-o"]).arg(&path).arg(&source).output();
        let compiled = compiled.expect("Rust links with cc, so there is one");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        path
    }

    /// Ends, by pid, every process whose program lies in this directory.
    pub fn end_all(&self) {
        self.end_all_but("");
    }

    /// The same, but for one program.
    pub fn end_all_but(&self, spared: &str) {
        until("the end of what was started here", || {
            let mut pids = look::running_from(&self.dir);
            pids.retain(|pid| look::program(*pid) != Some(self.dir.join(spared)));
            for pid in &pids {
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
            pids.is_empty().then_some(())
        });
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end_all();
        } else {
            for pid in look::running_from(&self.dir) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        if let Some(cgroups) = Cgroups::find(&self.path("state")) {
            cgroups.clear();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Where one watchd lives during a test: its directories, its config and who runs it.
pub struct Home {
    pub scratch: Scratch,
    config: Option<PathBuf>,
    uid: Option<u32>,
    envs: Vec<(String, String)>,
}

impl Home {
    /// With a config; `@` stands for the scratch directory.
    pub fn new(name: &str, config: &str) -> Self {
        let home = Self { scratch: Scratch::new(name), config: None, uid: None, envs: Vec::new() };
        let path = home.scratch.path("watchd.toml");
        let home = Self { config: Some(path), ..home };
        home.configure(config);
        home
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.envs.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same for another user, who owns the place.
    pub fn owned_by(mut self, uid: u32) -> Self {
        self.scratch.dir_of("", Some(uid));
        self.uid = Some(uid);
        self
    }

    /// Puts another text in place of the config, in one step.
    pub fn configure(&self, config: &str) {
        let text = config.replace('@', &self.scratch.dir.to_string_lossy());
        let beside = self.scratch.write("watchd.toml.new", &text);
        fs::rename(beside, self.scratch.path("watchd.toml")).expect("it can be renamed");
    }

    /// Without a config and without any option, as another user: what a newcomer does.
    pub fn newcomer(name: &str, uid: Option<u32>) -> Self {
        let scratch = Scratch::new(name);
        let home = scratch.dir_of("home", uid).to_string_lossy().into_owned();
        let run = scratch.dir_of("xdg", uid).to_string_lossy().into_owned();
        let state = scratch.dir_of("xdg-state", uid).to_string_lossy().into_owned();
        let envs = [("HOME", home), ("XDG_RUNTIME_DIR", run), ("XDG_STATE_HOME", state)];
        let envs = envs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { scratch, config: None, uid, envs }
    }

    /// A command of watchd with this place's options.
    pub fn command(&self, args: &[&str]) -> Command {
        let program = if self.uid.is_some() { self.private_binary() } else { binary() };
        self.command_of(&program, args)
    }

    /// The same, of a copy.
    pub fn command_of(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null());
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
            command.arg("--run-dir").arg(self.scratch.path("run"));
            command.arg("--state-dir").arg(self.scratch.path("state"));
        }
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid).current_dir("/");
        }
        command.envs(self.envs.iter().map(|(name, value)| (name, value)));
        command
    }

    /// A copy that any user may execute, wherever the build directory lies.
    fn private_binary(&self) -> PathBuf {
        let path = self.scratch.path("watchd");
        if !path.exists() {
            copied(binary(), &path);
        }
        path
    }

    /// Runs a command to its end.
    pub fn watchd(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("watchd can be run")
    }

    /// Exit code and standard output.
    pub fn ask(&self, args: &[&str]) -> (i32, String) {
        let output = self.watchd(args);
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts the daemon and waits for nothing.
    pub fn spawn(&self) -> Daemon<'_> {
        self.spawn_as(self.command(&["run"]))
    }

    /// The same, with a command line that ends in the daemon's.
    pub fn spawn_as(&self, mut command: Command) -> Daemon<'_> {
        let said = self.scratch.path("said");
        let file = File::options().create(true).append(true).open(&said).expect("a file can be made");
        let again = file.try_clone().expect("it can be opened twice");
        let child = command.stdout(file).stderr(again).spawn().expect("watchd can be started");
        Daemon { child, home: self, said }
    }

    /// Starts the daemon and waits for its first page.
    pub fn start(&self) -> Daemon<'_> {
        let mut daemon = self.spawn();
        daemon.wait_for("its first cycle", |_| Some(()));
        daemon
    }

    pub fn board(&self) -> PathBuf {
        self.run_dir().join("board")
    }

    pub fn run_dir(&self) -> PathBuf {
        if self.config.is_some() { self.scratch.path("run") } else { self.scratch.path("xdg/watchd") }
    }
}

/// A running watchd.
pub struct Daemon<'a> {
    child: Child,
    home: &'a Home,
    said: PathBuf,
}

impl Daemon<'_> {
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("pids are small")
    }

    /// What it wrote to its terminal until now.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// The newest page that this daemon, not one before it, published after a whole cycle.
    pub fn snapshot(&self) -> Option<Snapshot> {
        let reader = Reader::open(&self.home.board()).ok()?;
        let mut snapshot = Snapshot::default();
        reader.read(&mut snapshot).ok()?;
        (snapshot.header.pid == self.child.id() && snapshot.header.sample_mono_ms > 0).then_some(snapshot)
    }

    /// Looks at its pages until one has the answer.
    pub fn wait_for<T>(&mut self, what: &str, mut look: impl FnMut(&Snapshot) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            let snapshot = self.snapshot();
            if let Some(found) = snapshot.as_ref().and_then(&mut look) {
                return found;
            }
            let ended = self.child.try_wait().expect("it is our child");
            assert!(ended.is_none(), "watchd ended with {ended:?} before {what}; it said:\n{}", self.said());
            let services = snapshot.map(|snapshot| describe(&snapshot)).unwrap_or_default();
            assert!(Instant::now() < end, "this never came: {what}; services: {services}\n{}", self.said());
            pause(Duration::from_millis(5));
        }
    }

    /// Waits until the service is in this state, with a process if it can have one.
    pub fn wait_state(&mut self, id: &str, state: ServiceState) -> ServiceRow {
        self.wait_for(&format!("{id} {state}"), |snapshot| {
            snapshot.service(id).filter(|row| row.state() == state).copied()
        })
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("it lives");
    }

    /// Its exit code, if it has ended; one that a signal ended has the signal below 0.
    pub fn ended(&mut self) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt;
        let status = self.child.try_wait().expect("it is our child")?;
        status.code().or_else(|| status.signal().map(|signal| -signal))
    }

    /// Its exit code, once it has ended by itself.
    pub fn wait_end(mut self) -> i32 {
        until("the end of watchd", || self.child.try_wait().expect("it is our child")).code().unwrap_or(-1)
    }

    /// Kills it as nothing can prepare for.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

fn describe(snapshot: &Snapshot) -> String {
    let row = |row: &ServiceRow| {
        let text = watchd::store::board::text;
        format!("{} {} pid {} {}", text(&row.id), row.state(), row.pid, text(&row.reason))
    };
    snapshot.services.iter().map(row).collect::<Vec<_>>().join(", ")
}
