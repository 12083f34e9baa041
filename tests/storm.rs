//! Everything at once: twenty services, or fifty, of all forms die, hang, refuse to end and lose their pidfiles while watchd is killed again and
//! again. Afterwards there is one of each, nothing of watchd's is left over, and no start went unpaid.
//!
//! What happens is drawn from a seed, which is printed; `WATCHD_SEED` plays a storm again. With `WATCHD_STORM=full` it is fifty services,
//! twenty blows a second for a minute, and watchd, an ordinary account, killed a hundred times at any moment. That storm has a namespace
//! of its own, where pids are few and come again as strangers, the file system under the pidfiles fills up, and no more processes are
//! to be had. Only one thing cannot be had there: the kernel has no wall clock for a namespace, and setting the host's is not for a test.
//! So the pidfiles bear times of an hour ago or to come, which is all that watchd sees of it; `tests/services.rs` sets watchd's own
//! clock back, and so does `tests/simulator.rs` among everything else.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::collections::BTreeSet;
use std::fs::{self, File, FileTimes};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::apart::{Mounted, in_namespace, let_next_pid_be, make_pids_few, may_unshare, reap_orphans};
use harness::{Daemon, Home, look, skip, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use watchd::model::ServiceState;
use watchd::store::board::text;

const BUDGET: u32 = 1000;
const HOUR: Duration = Duration::from_secs(3600);
/// Nobody else has processes under this account, so that all of it can be said to be too many.
const ACCOUNT: u32 = 51_235;
/// How many strangers with the pids of services live at a time.
const STRANGERS: usize = 12;

fn is_full() -> bool {
    std::env::var_os("WATCHD_STORM").is_some_and(|size| size == "full")
}

/// How many blows there are, how often watchd is killed, and how long after the beginning of a blow the next one comes.
fn measure() -> (usize, usize, Duration) {
    if is_full() { (1200, 100, Duration::from_millis(50)) } else { (80, 3, Duration::ZERO) }
}

fn names() -> Vec<String> {
    let numbered = |name: &'static str, count: usize| (0..count).map(move |number| format!("{name}{number}"));
    let (own, fork, rash, found) = if is_full() { (17, 8, 8, 15) } else { (7, 3, 3, 5) };
    let deaf = ["deaf".to_owned()];
    let forks = numbered("fork", fork).chain(numbered("rash", rash));
    numbered("own", own).chain(deaf).chain(forks).chain(numbered("found", found)).collect()
}

fn kind(id: &str) -> &str {
    id.trim_end_matches(|letter: char| letter.is_ascii_digit())
}

/// All that come up, and one whose start never ends. Of those with a pidfile, `fork` does not live without it, and `rash` does not care.
fn policy() -> String {
    let common = format!(
        "settle = \"50ms\"\nbackoff = [\"10ms\", \"50ms\"]\nlimit = \"{BUDGET}/1d\"\nwait-for-host = false\n\
         signals = [\"term\", \"200ms\", \"kill\"]\ntimeout = \"500ms\"\n"
    );
    let mut text = String::from("[watchd]\ncycle = \"1s\"\n");
    for id in names() {
        let how = match kind(&id) {
            "own" => format!("run = [\"@/stamp\", \"@/{id}\"]\n"),
            "deaf" => format!("run = \"trap '' TERM; exec @/stamp @/{id}\"\n"),
            "fork" => {
                format!("pidfile = \"@/pids/{id}.pid\"\nstart = [\"@/stamp\", \"@/{id}\", \"@/pids/{id}.pid\"]\n")
            }
            "rash" => {
                format!("pidfile = \"@/pids/{id}.pid\"\nstart = \"@/stamp @/{id} & echo $! >@/pids/{id}.pid\"\n")
            }
            _ => format!("match = \"@/program-{id}\"\nstart = [\"@/program-{id}\", \"@/{id}\", \"@/{id}.pid\"]\n"),
        };
        text += &format!("[process.{id}]\n{how}{common}");
    }
    text + &format!("[process.hung]\npidfile = \"@/hung.pid\"\nstart = [\"@/stamp\", \"@/hung\"]\n{common}")
}

struct Random(u64);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(count).expect("it is small")).expect("it is small")
    }
}

/// Somebody else's process, whose pid gets into pidfiles.
struct Stranger(Child);

impl Stranger {
    fn new(program: &std::path::Path, argument: &std::path::Path) -> Self {
        Self(Command::new(program).arg(argument).process_group(0).spawn().expect("it is a program"))
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).expect("pids are small")
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().expect("it is our child").is_none()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn copies(home: &Home, id: &str) -> Vec<i32> {
    let ours = look::running_from(&home.scratch.dir);
    look::with_argument(&home.scratch.path(id)).into_iter().filter(|pid| ours.contains(pid)).collect()
}

fn pidfile(home: &Home, id: &str) -> PathBuf {
    home.scratch.path(&format!("pids/{id}.pid"))
}

/// Waits until each service is ready and there is one of it: the one on the board. Of what a spoiled pidfile hides there is one, too,
/// and when somebody has seen to the pidfile it is that one. Gives how many were hidden.
fn calm(home: &Home, daemon: &mut Daemon<'_>) -> usize {
    let mut hidden = 0;
    for id in names() {
        let mut mended = None;
        daemon.wait_for(&format!("one {id}"), |snapshot| {
            let row = snapshot.service(&id)?;
            let copies = copies(home, &id);
            assert!(copies.len() <= 1, "{copies:?} are copies of {id}");
            // The last blow may have been for it, and its end may take a moment.
            mended = mended.filter(|copy| copies.contains(copy));
            let is_lost = row.state() == ServiceState::Unknown && text(&row.reason).contains("may be it, but");
            if let [copy] = copies[..]
                && is_lost
                && mended.is_none()
            {
                fs::write(pidfile(home, &id), format!("{copy}\n")).expect("a file can be written");
                mended = Some(copy);
                hidden += 1;
            }
            let is_well = row.state() == ServiceState::Ready && mended.is_none_or(|copy| copy == row.pid);
            (is_well && copies == [row.pid]).then_some(())
        });
    }
    hidden
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Blow {
    Kill,
    Crash,
    Term,
    Freeze,
    /// Something is written into its pidfile.
    Empty,
    Garbage,
    Stranger,
    /// Its pidfile bears a time of an hour ago, or to come.
    Past,
    Future,
    /// An order, which costs nothing.
    Restart,
    /// No room, no processes, and a stranger that gets the pid it had.
    Fill,
    Starve,
    Recycle,
}

/// What is drawn from. Where nothing of the host can be changed, the last three are left out.
const BLOWS: &[Blow] = &[
    Blow::Kill,
    Blow::Kill,
    Blow::Kill,
    Blow::Crash,
    Blow::Term,
    Blow::Freeze,
    Blow::Empty,
    Blow::Garbage,
    Blow::Stranger,
    Blow::Past,
    Blow::Future,
    Blow::Restart,
    Blow::Fill,
    Blow::Starve,
    Blow::Recycle,
];
const APART: usize = 3;

/// The world that a storm goes over.
struct Storm<'a> {
    home: &'a Home,
    random: Random,
    /// Whose pid gets into pidfiles.
    stranger: Stranger,
    other: PathBuf,
    /// Strangers that have the pid of a service that died.
    heirs: Vec<Stranger>,
    inherited: usize,
    /// Set where the file system under the pidfiles is small, and may be full.
    small: Option<Mounted>,
    /// When the need began that holds now, for processes and for room, and how long all of it lasted.
    starving: Option<Instant>,
    full: Option<Instant>,
    starved: Duration,
    filled: Duration,
    blows: Vec<(String, Blow)>,
}

impl<'a> Storm<'a> {
    fn new(home: &'a Home, seed: u64) -> Self {
        let stamp = home.scratch.program("stamp.c", "stamp");
        for id in names().iter().filter(|id| id.starts_with("found")) {
            home.scratch.copied(&stamp, &format!("program-{id}"));
        }
        let other = home.scratch.copied(&stamp, "other");
        let stranger = Stranger::new(&other, &home.scratch.path("stranger"));
        Self {
            home,
            random: Random(seed),
            stranger,
            other,
            heirs: Vec::new(),
            inherited: 0,
            small: None,
            starving: None,
            full: None,
            starved: Duration::ZERO,
            filled: Duration::ZERO,
            blows: Vec::new(),
        }
    }

    /// One thing that goes wrong with one service. Only processes of the services are hit.
    fn strike(&mut self, daemon: &Daemon<'_>) {
        self.relieve(daemon);
        let (names, blows) = (names(), BLOWS.len() - if self.small.is_some() { 0 } else { APART });
        let id = names[self.random.below(names.len())].clone();
        let blow = BLOWS[self.random.below(blows)];
        let pid = copies(self.home, &id).first().copied();
        let signal = |signal: Signal| {
            if let Some(pid) = pid {
                let _ = kill(Pid::from_raw(pid), signal);
            }
        };
        match blow {
            Blow::Kill => signal(Signal::SIGKILL),
            Blow::Crash => signal(Signal::SIGSEGV),
            Blow::Term => signal(Signal::SIGTERM),
            Blow::Freeze => signal(Signal::SIGSTOP),
            Blow::Empty => self.spoil(&id, ""),
            Blow::Garbage => self.spoil(&id, "12x\n\0\n"),
            Blow::Stranger => self.spoil(&id, &format!("{}\n", self.stranger.pid())),
            Blow::Past => self.date(&id, SystemTime::now() - HOUR),
            Blow::Future => self.date(&id, SystemTime::now() + HOUR),
            Blow::Restart => drop(self.home.ask(&["restart", &id])),
            Blow::Fill => self.fill(),
            Blow::Starve => self.starve(daemon),
            Blow::Recycle => {
                signal(Signal::SIGKILL);
                self.bequeath(pid, daemon);
            }
        }
        self.blows.push((id, blow));
    }

    /// Also in the middle of a start: then it hides its daemon from everybody.
    fn spoil(&self, id: &str, text: &str) {
        if matches!(kind(id), "fork" | "rash") {
            // Where there is no room for it, it is empty.
            let _ = fs::write(pidfile(self.home, id), text);
        }
    }

    fn date(&self, id: &str, time: SystemTime) {
        if let Ok(file) = File::options().write(true).open(pidfile(self.home, id)) {
            file.set_times(FileTimes::new().set_modified(time)).expect("it is ours");
        }
    }

    fn fill(&mut self) {
        let mut filler = File::create(self.home.scratch.path("pids/filler")).expect("there is room for a name");
        while filler.write_all(&[b'x'; 4096]).is_ok() {}
        self.full.get_or_insert_with(Instant::now);
    }

    /// All there is of this account's processes is too much for another.
    fn starve(&mut self, daemon: &Daemon<'_>) {
        if limit(daemon.pid(), "1:") {
            self.starving.get_or_insert_with(Instant::now);
        }
    }

    /// Ends the needs of a blow before.
    fn relieve(&mut self, daemon: &Daemon<'_>) {
        let lasts = Duration::from_millis(200);
        if let Some(since) = self.full.take_if(|since| since.elapsed() >= lasts) {
            fs::remove_file(self.home.scratch.path("pids/filler")).expect("it is ours");
            self.filled += since.elapsed();
        }
        if let Some(since) = self.starving.take_if(|since| since.elapsed() >= lasts) {
            limit(daemon.pid(), "4096:");
            self.starved += since.elapsed();
        }
    }

    /// Waits a moment for a pid to be free, and gives it to a stranger.
    fn bequeath(&mut self, pid: Option<i32>, daemon: &Daemon<'_>) {
        let Some(pid) = pid else { return };
        for _ in 0..10 {
            self.reap(daemon);
            if look::stat(pid).is_none() {
                let_next_pid_be(pid);
                let heir = Stranger::new(&self.other, &self.home.scratch.path("heir"));
                self.inherited += usize::from(heir.pid() == pid);
                if self.heirs.len() == STRANGERS {
                    assert!(self.heirs.remove(0).lives(), "a stranger was hit");
                }
                return self.heirs.push(heir);
            }
            harness::pause(Duration::from_millis(2));
        }
    }

    /// Where we are the first process, what watchd left when it was killed is ours.
    fn reap(&self, daemon: &Daemon<'_>) {
        if self.small.is_some() {
            let strangers = self.heirs.iter().chain([&self.stranger]).map(Stranger::pid);
            reap_orphans(&strangers.chain([daemon.pid()]).collect::<Vec<_>>());
        }
    }

    /// A new watchd knows no need of the one before.
    fn forget(&mut self) {
        self.starved += self.starving.take().map_or(Duration::ZERO, |since| since.elapsed());
    }

    /// How many starts were paid for and left no line, since there was no room or no process for them.
    fn in_vain(&self, id: &str) -> usize {
        let times = |span: Duration, each: u128| usize::try_from(span.as_millis() / each).expect("it is short");
        // A start that is refused is tried again after 37 to 50 ms; one that leaves no daemon, after 550 ms at the earliest.
        let starved = times(self.starved, 37) + 4 * self.count(Blow::Starve);
        let filled = times(self.filled, 500) + 2 * self.count(Blow::Fill);
        starved + if kind(id) == "fork" { filled } else { 0 }
    }

    fn count(&self, blow: Blow) -> usize {
        self.blows.iter().filter(|(_, own)| *own == blow).count()
    }
}

/// Changes the soft limit of processes; by the account itself, since root may lack the right.
fn limit(pid: i32, soft: &str) -> bool {
    let mut command = Command::new("prlimit");
    command.arg(format!("--pid={pid}")).arg(format!("--nproc={soft}")).uid(ACCOUNT).gid(ACCOUNT);
    command.output().expect("util-linux has prlimit").status.success()
}

/// Starts watchd and waits for nothing. Another account's has a limit of processes that can be lowered and raised.
fn spawn(home: &Home, is_apart: bool) -> Daemon<'_> {
    if !is_apart {
        return home.spawn();
    }
    let plain = home.command(&["run"]);
    let mut command = Command::new("prlimit");
    command.arg("--nproc=4096:4096").arg(plain.get_program()).args(plain.get_args());
    command.uid(ACCOUNT).gid(ACCOUNT).current_dir("/");
    home.spawn_as(command)
}

#[test]
fn after_a_storm_there_is_one_of_each_and_nothing_is_left_over() {
    if !is_full() {
        let home = Home::new("storm20", &policy());
        home.scratch.dir_of("pids", None);
        return rage(&home, None);
    }
    if !may_unshare() {
        return skip("a namespace of pids takes root");
    }
    in_namespace("inside_where_everything_goes_wrong");
}

#[test]
#[ignore = "runs in a namespace of its own"]
fn inside_where_everything_goes_wrong() {
    // Enough for fifty services, what starts them and some strangers, and few enough to come again every few seconds.
    make_pids_few(700);
    let home = Home::new("storm50", &policy()).owned_by(ACCOUNT);
    let point = home.scratch.dir_of("pids", None);
    let small = Mounted::new(&point, &format!("size=128k,mode=755,uid={ACCOUNT},gid={ACCOUNT}"));
    rage(&home, Some(small));
}

fn rage(home: &Home, small: Option<Mounted>) {
    let drawn = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| u64::from(now.subsec_nanos()) | 1);
    let seed = std::env::var("WATCHD_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(drawn);
    eprintln!("WATCHD_SEED={seed}");
    let is_apart = small.is_some();
    let mut storm = Storm { small, ..Storm::new(home, seed) };
    let mut daemon = spawn(home, is_apart);
    calm(home, &mut daemon);
    let descriptors = look::descriptors(daemon.pid());
    let memory = look::status(daemon.pid(), "VmRSS").expect("it runs");
    let (count, killed, gap) = measure();
    let mut ends = BTreeSet::new();
    while ends.len() < killed {
        ends.insert(storm.random.below(count));
    }
    let begun = Instant::now();
    for number in 0..count {
        storm.strike(&daemon);
        storm.reap(&daemon);
        let due = gap * u32::try_from(number + 1).expect("there are few");
        harness::pause(due.saturating_sub(begun.elapsed()));
        if ends.contains(&number) {
            daemon.kill();
            storm.forget();
            // When time is short nobody waits for it: it may be killed while it begins.
            daemon = spawn(home, is_apart);
            if !is_apart {
                daemon.wait_for("its first cycle", |_| Some(()));
            }
        }
    }
    eprintln!("{} blows in {:.0?}", storm.blows.len(), begun.elapsed());
    until("the end of all needs", || {
        storm.relieve(&daemon);
        (storm.full.is_none() && storm.starving.is_none()).then_some(())
    });
    end(&mut storm, daemon, (descriptors, memory));
}

/// What has to be so afterwards.
fn end(storm: &mut Storm<'_>, mut daemon: Daemon<'_>, (descriptors, memory): (usize, u64)) {
    let home = storm.home;
    let hidden = calm(home, &mut daemon);
    eprintln!("{hidden} were hidden by their pidfiles, {} strangers had the pid of a service", storm.inherited);
    assert!(copies(home, "hung").len() <= 1, "a start that hangs is not started over itself");
    assert!(storm.stranger.lives(), "a stranger in a pidfile is not hit");
    assert!(storm.heirs.iter_mut().all(Stranger::lives), "a stranger was hit");
    if storm.small.is_some() {
        assert!(storm.inherited > 0, "no pid came again");
        for need in ["Resource temporarily unavailable", "start command: exit status"] {
            assert!(daemon.said().contains(need), "no need was felt: {need}");
        }
    }
    let (_, killed, _) = measure();
    for id in names() {
        let starts = fs::read_to_string(home.scratch.path(&id)).map_or(0, |text| text.lines().count());
        let left = daemon.wait_for("a budget", |snapshot| Some(snapshot.service(&id)?.budget_left));
        let spent = usize::try_from(BUDGET - left.min(BUDGET)).expect("it is small");
        let own: Vec<Blow> = storm.blows.iter().filter(|(whom, _)| *whom == id).map(|(_, blow)| *blow).collect();
        let free = own.iter().filter(|blow| **blow == Blow::Restart).count();
        // The first start is free, and one may have come back into the budget meanwhile.
        assert!(starts <= spent + free + 2, "{id}: {starts} started, {spent} paid, {free} free");
        // What was killed before its first instruction, or with watchd, was paid for and left no line.
        let most = starts + own.len() + killed + storm.in_vain(&id);
        assert!(spent <= most, "{id}: {spent} paid, {starts} started, at most {most}");
    }
    let pid = daemon.pid();
    until("the end of all zombies of watchd", || {
        let entries = fs::read_dir("/proc").expect("there is a /proc").flatten();
        let mut stats = entries.filter_map(|entry| look::stat(entry.file_name().to_str()?.parse().ok()?));
        (!stats.any(|stat| stat.parent == pid && stat.state == 'Z')).then_some(())
    });
    until("as many descriptors as before", || (look::descriptors(pid) <= descriptors + 1).then_some(()));
    let after =
        until("as much memory as before", || look::status(pid, "VmRSS").filter(|after| *after <= memory + memory / 10));
    eprintln!(
        "{memory} KiB before, {after} KiB after; {descriptors} descriptors before, {} after",
        look::descriptors(pid)
    );
}
