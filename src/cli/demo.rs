//! `watchd demo`: a short tour in a temporary directory. A watchd of its own keeps a throw-away process alive, loses it three times,
//! and shows what it saw, what it did and what it took; then all of it is gone again.
//!
//! Every number comes from the daemon's own journal and board, or from /proc; nothing is made up for the show.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use super::given::Given;
use super::quantity::age;
use super::screen::{self, View};
use super::status::{self, Look};
use crate::engine::control::{self, Request, Verb};
use crate::model::{EventKind, Identity, Places, ServiceState};
use crate::store::board::text;
use crate::store::journal::JournalReader;
use crate::store::{Reader, ServiceRow};
use crate::sys::{clock, daemon, memory, terminal};

const SERVICE: &str = "throwaway";
const KILLS: u32 = 3;
/// How long any one step may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the board is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// How long the Munin node may take for one answer.
const ANSWER: Duration = Duration::from_secs(5);

pub fn run(places: &Places, given: &Given) -> ExitCode {
    if let Some(word) = given.words.first() {
        return super::wrong(&format!("cannot understand `{}`: demo takes no name", word.escape_debug()));
    }
    match Tour::begin(places).and_then(|mut tour| tour.walk()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => super::failed(&message),
    }
}

/// The tour's own watchd and what it leaves behind; all of it ends with the tour.
struct Tour {
    dir: PathBuf,
    places: Places,
    munin: SocketAddr,
    child: Child,
    process: OwnedFd,
    ended: terminal::Ended,
    /// The newest throw-away process.
    service: Option<Identity>,
}

impl Drop for Tour {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(service) = self.service {
            let _ = daemon::kill(service, ANSWER);
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Tour {
    /// Starts a watchd in a new directory.
    fn begin(places: &Places) -> Result<Self, String> {
        let cannot = |what: &'static str| move |error: std::io::Error| format!("cannot {what}: {error}");
        let ended = terminal::Ended::register().map_err(cannot("wait for signals"))?;
        let dir = std::env::temp_dir().join(format!("watchd-demo-{}", std::process::id()));
        std::fs::DirBuilder::new().mode(0o755).create(&dir).map_err(cannot("make a temporary directory"))?;
        let places = Places {
            config: Some(dir.join("watchd.toml")),
            run_dir: dir.join("run"),
            state_dir: dir.join("state"),
            root: places.root.clone(),
        };
        let started = start(&dir, &places);
        if started.is_err() {
            let _ = std::fs::remove_dir_all(&dir);
        }
        let (child, process, munin) = started.map_err(cannot("start a watchd"))?;
        Ok(Self { dir, places, munin, child, process, ended, service: None })
    }

    fn walk(&mut self) -> Result<(), String> {
        say(&format!("A watchd of its own starts in {}, with this config:\n", self.dir.display()));
        let config = std::fs::read_to_string(self.dir.join("watchd.toml")).unwrap_or_default();
        say(&indented(&config));
        let began = clock::now().mono;
        let row = self.wait_ready(None)?;
        let took = age(clock::now().mono.saturating_sub(began));
        say(&format!("\nAfter {took} it looks after process {}. Now that is killed, {KILLS} times:\n", row.pid));
        let mut row = row;
        for _ in 0..KILLS {
            row = self.kill(&row)?;
        }
        self.show_status()?;
        self.show_munin()?;
        self.show_memory()?;
        self.end()
    }

    /// Kills the service, and tells from the journal when that was seen and when the next one was started.
    fn kill(&mut self, row: &ServiceRow) -> Result<ServiceRow, String> {
        let before = self.journal().map_or(0, |journal| journal.newest());
        let identity = Identity { pid: row.pid, start_ticks: row.start_ticks };
        let killed = clock::now().mono.as_millis();
        daemon::kill(identity, PATIENCE).map_err(|error| format!("cannot kill process {}: {error}", row.pid))?;
        let next = self.wait_ready(Some(row.pid))?;
        let events = self.journal().map(|journal| journal.after(before)).unwrap_or_default();
        let at = |kind: EventKind| {
            let event = events.iter().find(|event| event.kind() == kind && text(&event.subject) == SERVICE)?;
            Some(u128::from(event.mono_ms).saturating_sub(killed))
        };
        let ms =
            |at: Option<u128>| at.map_or_else(|| "at a time unknown".to_owned(), |ms| format!("within {} ms", ms + 1));
        let (seen, started) = (ms(at(EventKind::ServiceDied)), ms(at(EventKind::ServiceStarting)));
        say(&format!("    {} killed: death seen {seen}, {} started {started}\n", row.pid, next.pid));
        Ok(next)
    }

    fn show_status(&mut self) -> Result<(), String> {
        let look = self.look().ok_or("cannot read the board")?;
        say("\nwatchd status:\n\n");
        let width = terminal::size().map_or(80, |(columns, _)| columns);
        let view = View {
            snapshot: &look.snapshot,
            door: None,
            life: look.life,
            now: look.now,
            width,
            paint: status::paint(),
            names: &[],
        };
        say(&screen::draw(&view));
        Ok(())
    }

    fn show_munin(&self) -> Result<(), String> {
        let cannot = |error: std::io::Error| format!("cannot ask {}: {error}", self.munin);
        let mut stream = TcpStream::connect_timeout(&self.munin, ANSWER).map_err(cannot)?;
        stream.set_read_timeout(Some(ANSWER)).map_err(cannot)?;
        stream.write_all(b"fetch load\nfetch memory\nquit\n").map_err(cannot)?;
        let mut answer = String::new();
        stream.take(64 << 10).read_to_string(&mut answer).map_err(cannot)?;
        say(&format!("\nA Munin master that asks {} for load and memory hears:\n\n", self.munin));
        say(&indented(&answer));
        Ok(())
    }

    fn show_memory(&mut self) -> Result<(), String> {
        let header = self.look().ok_or("cannot read the board")?.snapshot.header;
        say("\nWhat it takes, all of its processes together:\n\n");
        let mut sum = 0;
        for (name, pid) in [("core", header.pid), ("door", header.door_pid)] {
            if pid == 0 {
                continue;
            }
            let (resident, _) =
                memory::resident_kib(pid).map_err(|error| format!("cannot look at process {pid}: {error}"))?;
            sum += resident;
            say(&format!("    {name:<5} pid {pid:<7} {resident:>6} KiB resident\n"));
        }
        say(&format!("    {:<17} {sum:>6} KiB\n", "together"));
        Ok(())
    }

    /// Ends the watchd as anybody would, and waits for it.
    fn end(&mut self) -> Result<(), String> {
        let shutdown = Request { verb: Verb::Shutdown, name: "", lasts: None };
        control::ask(&self.places.control(), &shutdown).map_err(|error| error.to_string())?;
        let deadline = clock::now().mono + PATIENCE;
        while !daemon::has_ended(&self.process, LOOK).unwrap_or(true) {
            if clock::now().mono > deadline {
                return Err("cannot end the tour: its watchd does not stop".to_owned());
            }
        }
        say("\nThat was it. watchd has stopped, the process it minded has ended, the directory is gone.\n");
        say(
            "On this machine: `watchd` starts it, `watchd discover` proposes a config, `watchd help` lists the rest.\n",
        );
        Ok(())
    }

    fn journal(&self) -> Option<JournalReader> {
        JournalReader::open(&self.places.events()).ok()
    }

    fn look(&self) -> Option<Look> {
        Look::take(&Reader::open(&self.places.board()).ok()?).ok()
    }

    /// Waits until the throw-away process is ready under another pid than `before`.
    fn wait_ready(&mut self, before: Option<i32>) -> Result<ServiceRow, String> {
        let deadline = clock::now().mono + PATIENCE;
        loop {
            if let Some(look) = self.look()
                && let Some(row) = look.snapshot.service(SERVICE)
                && row.pid > 0
                && Some(row.pid) != before
            {
                self.service = Some(Identity { pid: row.pid, start_ticks: row.start_ticks });
                if row.state() == ServiceState::Ready {
                    return Ok(*row);
                }
            }
            if self.ended.is_set() {
                return Err("ended by a signal".to_owned());
            }
            let gone = daemon::has_ended(&self.process, LOOK).unwrap_or(true);
            if gone || clock::now().mono > deadline {
                let said = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                return Err(format!("cannot go on: watchd did not bring the process up; it said:\n{said}"));
            }
        }
    }
}

fn start(dir: &Path, places: &Places) -> std::io::Result<(Child, OwnedFd, SocketAddr)> {
    // Both are bound at once, so that they differ.
    let listeners = (listener()?, listener()?);
    let (munin, http) = (listeners.0.local_addr()?, listeners.1.local_addr()?);
    drop(listeners);
    let sleep = ["/bin/sleep", "/usr/bin/sleep"].into_iter().find(|path| Path::new(path).exists());
    let sleep = sleep.ok_or_else(|| std::io::Error::new(std::io::ErrorKind::NotFound, "there is no /bin/sleep"))?;
    let config = format!(
        "[watchd]\ncycle = \"1s\"\n\n[munin]\nlisten = [\"{munin}\"]\n\n[http]\nlisten = [\"{http}\"]\n\n\
         [process.{SERVICE}]\nrun = [\"{sleep}\", \"3600\"]\nsettle = \"500ms\"\nlimit = \"10/1m\"\non-exit = \"stop\"\n"
    );
    std::fs::write(dir.join("watchd.toml"), config)?;
    let log = File::create(dir.join("log"))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("run").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.arg("--config").arg(dir.join("watchd.toml"));
    command.arg("--run-dir").arg(&places.run_dir).arg("--state-dir").arg(&places.state_dir);
    command.arg("--root").arg(&places.root);
    let mut child = command.spawn()?;
    let process = i32::try_from(child.id()).ok().and_then(|pid| daemon::open(pid).ok().flatten());
    let Some(process) = process else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(std::io::ErrorKind::NotFound.into());
    };
    Ok((child, process, munin))
}

fn listener() -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") }).collect()
}

fn say(text: &str) {
    super::say(text);
}
