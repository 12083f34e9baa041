//! Services with real processes: the joined supervisor under a small loop of its own, each wait with a deadline.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::cell::Cell;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use harness::Scratch;
use watchd::engine::services::{Services, Turn};
use watchd::engine::system::{Grip, SystemHands, Watch};
use watchd::model::{Care, Command, EventKind, Form, Launch, Limit, OnExit, ServiceSpec, ServiceState, StopStep};
use watchd::store::ledger::Ledger;
use watchd::supervisor::Verb;
use watchd::sys::cgroup::{Cgroups, Hierarchy, installation};
use watchd::sys::clock;
use watchd::sys::epoll::{Events, Interest, Poller};
use watchd::sys::pidfd::Pidfd;
use watchd_probes::{Buffer, Host};

const DEADLINE: Duration = Duration::from_secs(20);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn shell(line: &str) -> Launch {
    Launch::new(Command::Shell(line.to_owned()))
}

fn spec(id: &str, form: Form) -> ServiceSpec {
    ServiceSpec {
        id: id.to_owned(),
        form,
        start: None,
        stop: None,
        signals: vec![StopStep::Signal(15), StopStep::Wait(ms(300)), StopStep::Signal(9)],
        backoff: (ms(10), ms(100)),
        limit: Limit { count: 100, window: ms(60_000) },
        settle: ms(50),
        timeout: ms(10_000),
        on_exit: OnExit::Leave,
        care: Care::default(),
    }
}

/// A daemon that leaves its parent and writes its own pid.
fn daemon(id: &str, pidfile: &Path) -> ServiceSpec {
    let line = format!("setsid sh -c 'echo $$ > {}; exec sleep 1000' &", pidfile.display());
    ServiceSpec { start: Some(shell(&line)), ..spec(id, Form::Pidfile(pidfile.display().to_string())) }
}

struct Waits<'a>(&'a Poller);

impl Watch for Waits<'_> {
    fn add(&mut self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        self.0.add(fd, token, Interest::Read)
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) {
        self.0.remove(fd);
    }
}

struct World {
    place: Scratch,
    poller: Poller,
    host: Host,
    buffer: Buffer,
    cgroups: Option<Cgroups>,
    services: Option<Services<Grip>>,
    /// How far the wall clock was set back.
    set_back: Duration,
    notes: Vec<(EventKind, String)>,
}

impl World {
    fn new(name: &str) -> Self {
        Self {
            place: Scratch::new(name),
            poller: Poller::new().expect("epoll works"),
            host: Host::open(Path::new("/")).expect("there is a root"),
            buffer: Buffer::default(),
            cgroups: None,
            services: None,
            set_back: Duration::ZERO,
            notes: Vec::new(),
        }
    }

    /// What a watchd does when it begins.
    fn begin(&mut self, specs: Vec<ServiceSpec>) {
        let (ledger, aside) = Ledger::open(&self.place.path("services"), [b'1'; 40]).expect("the ledger can be opened");
        assert!(aside.is_none());
        let policy = specs.into_iter().map(|spec| (spec, true)).collect();
        self.services = None;
        self.poller = Poller::new().expect("epoll works");
        let mut begun = None;
        self.with(|_, turn| begun = Some(Services::new(policy, Some(ledger), 1, turn)));
        self.services = begun;
    }

    fn with(&mut self, deed: impl FnOnce(Option<&mut Services<Grip>>, &mut Turn<'_, SystemHands<'_>>)) {
        let mut now = clock::now();
        now.wall -= self.set_back;
        let mut watch = Waits(&self.poller);
        let mut hands = SystemHands {
            watch: &mut watch,
            host: &self.host,
            buffer: &mut self.buffer,
            now,
            cgroups: self.cgroups.as_ref(),
            installation: installation(&self.place.dir),
            killed: &Cell::default(),
            strays: None,
        };
        let notes = &mut self.notes;
        let mut note = |kind: EventKind, _: &str, what: &str| notes.push((kind, what.to_owned()));
        deed(self.services.as_mut(), &mut Turn { hands: &mut hands, now, note: &mut note });
    }

    fn act(&mut self, deed: impl FnOnce(&mut Services<Grip>, &mut Turn<'_, SystemHands<'_>>)) {
        self.with(|services, turn| deed(services.expect("it has begun"), turn));
    }

    /// Turns the loop until something is true.
    fn until(&mut self, claim: &str, is_true: impl Fn(&Services<Grip>) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !is_true(self.services.as_ref().expect("it has begun")) {
            assert!(Instant::now() < end, "not before the deadline: {claim}; {:?}", self.notes);
            let next = self.services.as_ref().and_then(Services::next_deadline);
            let wait = next.map_or(ms(500), |next| next.saturating_sub(clock::now().mono)).min(ms(500));
            let mut events = Events::default();
            self.poller.wait(&mut events, Some(wait)).expect("epoll works");
            for ready in events.iter() {
                self.act(|services, turn| services.on_pidfd(ready.token, turn));
            }
            self.act(|services, turn| services.on_deadline(turn));
        }
    }

    fn until_state(&mut self, id: &str, state: ServiceState) {
        self.until(&format!("{id} is {state}"), |services| state_of(services, id) == state);
    }

    fn pid(&self, id: &str) -> i32 {
        let services = self.services.as_ref().expect("it has begun");
        let pid = services.facts(clock::now()).find(|fact| fact.id == id).and_then(|fact| fact.identity);
        pid.expect("it runs").pid
    }

    fn reason(&self, id: &str) -> String {
        let services = self.services.as_ref().expect("it has begun");
        services.facts(clock::now()).find(|fact| fact.id == id).expect("it is in the policy").reason.to_owned()
    }

    fn order(&mut self, verb: Verb, id: &str) {
        self.act(|services, turn| {
            services.control(verb, id, turn).expect("it is in the policy");
        });
    }

    /// Leaves nothing behind.
    fn stop(mut self, ids: &[&str]) {
        for id in ids {
            self.order(Verb::Stop, id);
        }
        for id in ids {
            self.until_state(id, ServiceState::Stopped);
        }
    }
}

fn state_of(services: &Services<Grip>, id: &str) -> ServiceState {
    services.facts(clock::now()).find(|fact| fact.id == id).expect("it is in the policy").state
}

fn kill(pid: i32) {
    Pidfd::open(pid).expect("it runs").send(9).expect("it may be killed");
}

/// Processes that are a given program with a given word in its command line.
fn count_of(word: &str) -> usize {
    let processes = std::fs::read_dir("/proc").expect("it is mounted").flatten();
    processes
        .filter(|entry| {
            let text = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            text.split(|byte| *byte == 0).any(|part| part == word.as_bytes())
        })
        .count()
}

#[test]
fn every_form_comes_back_after_each_death() {
    let mut world = World::new("forms");
    let name = format!("watchd-test-{}", std::process::id());
    let program = world.place.copied("/bin/sleep", &name);
    let pidfile = world.place.path("daemon.pid");
    let by_name = ServiceSpec {
        start: Some(shell(&format!("setsid {} 1000 &", program.display()))),
        ..spec("named", Form::Match(watchd::model::Pattern { name: program.display().to_string(), user: None }))
    };
    world.begin(vec![spec("child", Form::Run(shell("exec sleep 1000"))), daemon("daemon", &pidfile), by_name]);
    for id in ["child", "daemon", "named"] {
        world.until_state(id, ServiceState::Ready);
    }
    for _ in 0..5 {
        for id in ["child", "daemon", "named"] {
            let pid = world.pid(id);
            kill(pid);
            world.until(&format!("{id} has another process"), |services| {
                let fact = services.facts(clock::now()).find(|fact| fact.id == id).expect("it is in the policy");
                fact.state == ServiceState::Ready && fact.identity.is_some_and(|identity| identity.pid != pid)
            });
        }
    }
    assert_eq!(count_of(&program.display().to_string()), 1);
    world.stop(&["child", "daemon", "named"]);
}

#[test]
fn another_watchd_adopts_all_and_starts_none_twice() {
    let mut world = World::new("adopt");
    let pidfile = world.place.path("daemon.pid");
    let policy = || vec![spec("child", Form::Run(shell("exec sleep 1000"))), daemon("daemon", &pidfile)];
    world.begin(policy());
    for id in ["child", "daemon"] {
        world.until_state(id, ServiceState::Ready);
    }
    kill(world.pid("child"));
    world.until("it was started again", |services| services.facts(clock::now()).any(|fact| fact.restarts == 1));
    world.until_state("child", ServiceState::Ready);
    world.order(Verb::Pause(Some(ms(3_600_000))), "daemon");
    let before = [world.pid("child"), world.pid("daemon")];
    world.notes.clear();
    world.begin(policy());
    assert_eq!([world.pid("child"), world.pid("daemon")], before);
    world.until_state("child", ServiceState::Ready);
    world.until_state("daemon", ServiceState::Paused);
    assert!(!world.notes.iter().any(|(kind, _)| *kind == EventKind::ServiceStarting), "{:?}", world.notes);
    world.act(|services, turn| {
        let fact = services.facts(turn.now).find(|fact| fact.id == "child").expect("it is in the policy");
        assert_eq!((fact.restarts, fact.budget_left), (1, 99));
    });
    world.stop(&["child", "daemon"]);
}

#[test]
fn a_clock_that_is_set_back_an_hour_starts_nothing_twice_and_holds_nothing_up() {
    let mut world = World::new("clock");
    let pidfile = world.place.path("daemon.pid");
    let specs = || vec![spec("child", Form::Run(shell("exec sleep 1000"))), daemon("daemon", &pidfile)];
    world.begin(specs());
    world.until_state("child", ServiceState::Ready);
    world.until_state("daemon", ServiceState::Ready);
    // The pidfile and the ledger are now from the future.
    world.set_back = Duration::from_secs(3600);
    world.act(|services, turn| services.on_cycle(turn));
    let pids = [world.pid("child"), world.pid("daemon")];
    world.begin(specs());
    for (id, pid) in ["child", "daemon"].into_iter().zip(pids) {
        world.until_state(id, ServiceState::Ready);
        assert_eq!(world.pid(id), pid, "{id} is adopted");
    }
    world.order(Verb::Pause(Some(ms(300))), "child");
    world.until_state("child", ServiceState::Ready);
    for (id, pid) in ["child", "daemon"].into_iter().zip(pids) {
        kill(pid);
        world.until(&format!("{id} has another process"), |services| {
            let fact = services.facts(clock::now()).find(|fact| fact.id == id).expect("it is in the policy");
            fact.state == ServiceState::Ready && fact.identity.is_some_and(|identity| identity.pid != pid)
        });
    }
    // And the clock is right again: what was written meanwhile is from the past.
    world.set_back = Duration::ZERO;
    let pids = [world.pid("child"), world.pid("daemon")];
    world.begin(specs());
    for (id, pid) in ["child", "daemon"].into_iter().zip(pids) {
        world.until_state(id, ServiceState::Ready);
        assert_eq!(world.pid(id), pid, "{id} is adopted again");
    }
    world.stop(&["child", "daemon"]);
}

#[test]
fn a_stranger_in_the_pidfile_is_neither_adopted_nor_hit() {
    let mut world = World::new("stranger");
    let pidfile = world.place.path("daemon.pid");
    // The stranger is another program than the daemon.
    let mut stranger = std::process::Command::new("tail").args(["-f", "/dev/null"]).spawn().expect("it can be started");
    world.begin(vec![daemon("daemon", &pidfile)]);
    world.until_state("daemon", ServiceState::Ready);
    let pid = world.pid("daemon");
    std::fs::write(&pidfile, format!("{}\n", stranger.id())).expect("a file can be written");
    kill(pid);
    world.until("the daemon is back", |services| {
        let fact = services.facts(clock::now()).next().expect("it is in the policy");
        fact.restarts == 1 && fact.state == ServiceState::Ready
    });
    let told = world.notes.iter().any(|(_, what)| what.contains("which is 'tail', not this daemon ('sleep')"));
    assert!(told, "{:?}", world.notes);
    world.stop(&["daemon"]);
    assert!(stranger.try_wait().expect("it is our child").is_none(), "the stranger lives");
    stranger.kill().expect("it may be killed");
    stranger.wait().expect("it is our child");
}

#[test]
fn a_child_that_ignores_its_signal_is_ended_with_its_group() {
    let mut world = World::new("group");
    let mark = format!("100{}", std::process::id());
    let line = format!("trap '' TERM; sleep {mark} & sleep {mark} & wait");
    world.begin(vec![spec("child", Form::Run(shell(&line)))]);
    world.until_state("child", ServiceState::Ready);
    world.order(Verb::Stop, "child");
    world.until_state("child", ServiceState::Stopped);
    let end = Instant::now() + DEADLINE;
    while count_of(&mark) > 0 {
        assert!(Instant::now() < end, "its group lives on");
        clock::give_way();
    }
    world.stop(&[]);
}

#[test]
fn a_start_command_that_hangs_is_ended_with_its_group() {
    let mut world = World::new("hang");
    let mark = format!("200{}", std::process::id());
    let pidfile = world.place.path("never.pid").display().to_string();
    let start = Some(shell(&format!("sleep {mark}; true")));
    world.begin(vec![ServiceSpec {
        start,
        timeout: ms(100),
        backoff: (ms(60_000), ms(60_000)),
        ..spec("d", Form::Pidfile(pidfile))
    }]);
    world.until_state("d", ServiceState::Backoff);
    assert!(world.reason("d").starts_with("start command did not end within 100 ms"), "{}", world.reason("d"));
    let end = Instant::now() + DEADLINE;
    while count_of(&mark) > 0 {
        assert!(Instant::now() < end, "its group lives on");
        clock::give_way();
    }
    world.stop(&["d"]);
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let mut world = World::new("missing");
    let command = Command::Exec(vec!["/no/such/program".to_owned()]);
    let form = Form::Run(Launch { command, ..shell("") });
    world.begin(vec![ServiceSpec { backoff: (ms(60_000), ms(60_000)), ..spec("x", form) }]);
    world.until_state("x", ServiceState::Backoff);
    assert!(world.reason("x").contains("cannot execute the program: No such file"), "{}", world.reason("x"));
    world.stop(&["x"]);
}

fn stop_takes_all(name: &str, mark: &str, line: &str, cgroups: Option<Cgroups>, expect: usize) {
    let mut world = World::new(name);
    world.cgroups = cgroups;
    world.begin(vec![spec("child", Form::Run(shell(line)))]);
    world.until_state("child", ServiceState::Ready);
    let end = Instant::now() + DEADLINE;
    while count_of(mark) < expect {
        assert!(Instant::now() < end, "they never came");
        clock::give_way();
    }
    world.order(Verb::Stop, "child");
    world.until_state("child", ServiceState::Stopped);
    while count_of(mark) > 0 {
        assert!(Instant::now() < end, "something of it lives on");
        world.act(|services, turn| services.on_cycle(turn));
        clock::give_way();
    }
    world.act(|services, turn| services.on_cycle(turn));
}

#[test]
fn a_stop_ends_what_took_another_session() {
    let mark = format!("300{}", std::process::id());
    let line = format!("setsid sleep {mark} & exec sleep 1000");
    stop_takes_all("session", &mark, &line, None, 1);
}

#[test]
fn a_stop_ends_all_that_is_in_the_group_of_the_child_and_nothing_else() {
    let scratch = Scratch::new("cgroup");
    for (number, hierarchy) in Hierarchy::ALL.into_iter().enumerate() {
        let Some(cgroups) = Cgroups::find_in(hierarchy, &scratch.dir) else {
            harness::skip(&format!("there is no hierarchy of control groups that can be written to: {hierarchy:?}"));
            continue;
        };
        let mark = format!("4{number}0{}", std::process::id());
        // The second has left its parent as daemons do; only the group still knows whose it is.
        let line = format!("setsid sleep {mark} & (setsid sleep {mark} &); exec sleep 1000");
        let mut stranger = std::process::Command::new("sleep").arg("1000").spawn().expect("it can be started");
        stop_takes_all(&format!("grouped{number}"), &mark, &line, Some(cgroups), 2);
        assert!(stranger.try_wait().expect("it is our child").is_none(), "the stranger lives");
        stranger.kill().expect("it may be killed");
        stranger.wait().expect("it is our child");
        let cgroups = Cgroups::find_in(hierarchy, &scratch.dir).expect("it was there before");
        assert!(cgroups.remove("child"), "the group is gone when nobody is in it");
        cgroups.clear();
    }
}

#[test]
fn a_service_comes_back_whatever_was_ended_in_its_group_before() {
    let scratch = Scratch::new("again");
    for hierarchy in Hierarchy::ALL {
        let Some(cgroups) = Cgroups::find_in(hierarchy, &scratch.dir) else { continue };
        let mut world = World::new("again");
        world.cgroups = Some(cgroups);
        // What takes a session of its own, and another, is ended by its group alone, and is still ending when the next one begins.
        let line = "for i in 1 2 3 4 5 6 7 8; do (setsid sleep 1000 &); done; exec sleep 1000";
        world.begin(vec![spec("child", Form::Run(shell(line)))]);
        for round in 0..6 {
            world.until_state("child", ServiceState::Ready);
            world.order(Verb::Restart, "child");
            let killed =
                |(kind, what): &&(EventKind, String)| *kind == EventKind::ServiceDied && what.contains("signal 9");
            assert_eq!(world.notes.iter().find(killed), None, "{hierarchy:?}, round {round}");
        }
        world.until_state("child", ServiceState::Ready);
        world.order(Verb::Stop, "child");
        world.until_state("child", ServiceState::Stopped);
        let cgroups = Cgroups::find_in(hierarchy, &scratch.dir).expect("it was there before");
        harness::until("the end of all", || {
            let _ = cgroups.kill("child");
            cgroups.remove("child").then_some(())
        });
        cgroups.clear();
    }
}

#[test]
fn a_group_tells_the_memory_of_the_child() {
    let scratch = Scratch::new("held");
    let Some(cgroups) = Cgroups::find_in(Hierarchy::Memory, &scratch.dir) else {
        return harness::skip("there is no hierarchy of version 1 that counts memory");
    };
    let mut world = World::new("held");
    world.cgroups = Some(cgroups);
    let line = "x=$(head -c 30000000 /dev/zero | tr '\\0' x); sleep 1000; echo $x";
    world.begin(vec![spec("child", Form::Run(shell(line)))]);
    world.until_state("child", ServiceState::Ready);
    let cgroups = Cgroups::find_in(Hierarchy::Memory, &scratch.dir).expect("it was there before");
    let held = harness::until("30 MB", || cgroups.memory("child").filter(|held| *held > 30_000_000));
    assert!(held < 200_000_000, "{held}");
    assert_eq!(cgroups.memory("other"), None);
    world.act(|services, turn| drop(services.control(Verb::Stop, "child", turn)));
    world.until_state("child", ServiceState::Stopped);
    cgroups.clear();
}

/// Three services that need each other in a line; each takes longer to end than the one it needs, and writes down its end.
fn line_of_three(world: &World) -> Vec<ServiceSpec> {
    let log = world.place.path("ends");
    let member = |id: &str, nap: &str, needs: &[&str]| {
        let end = format!("sleep {nap}; echo {id} >> {}; exit 0", log.display());
        let line = format!("trap '{end}' TERM; while :; do sleep 1000 & wait; done");
        ServiceSpec {
            signals: vec![StopStep::Signal(15), StopStep::Wait(ms(20_000)), StopStep::Signal(9)],
            care: Care { needs: needs.iter().map(|id| (*id).to_owned()).collect(), ..Care::default() },
            ..spec(id, Form::Run(shell(&line)))
        }
    };
    vec![member("store", "0", &[]), member("app", "0.1", &["store"]), member("web", "0.2", &["app"])]
}

fn ends(world: &World) -> String {
    std::fs::read_to_string(world.place.path("ends")).unwrap_or_default()
}

#[test]
fn what_ends_with_watchd_ends_in_the_reverse_order_of_its_needs() {
    let mut world = World::new("leaving");
    let mut specs = line_of_three(&world);
    for spec in &mut specs {
        spec.on_exit = OnExit::Stop;
    }
    world.begin(specs);
    world.until_state("web", ServiceState::Ready);
    world.act(|services, turn| services.shutdown(turn));
    assert_eq!(state_of(world.services.as_ref().expect("it has begun"), "store"), ServiceState::Ready);
    world.until("all has ended", Services::is_quiet);
    assert_eq!(ends(&world), "web\napp\nstore\n");
}

#[test]
fn what_goes_on_after_watchd_is_not_waited_for_and_an_order_meanwhile_changes_nothing() {
    let mut world = World::new("mixed");
    let mut specs = line_of_three(&world);
    specs[0].on_exit = OnExit::Stop;
    specs[1].on_exit = OnExit::Stop;
    world.begin(specs);
    world.until_state("web", ServiceState::Ready);
    let web = world.pid("web");
    world.act(|services, turn| services.shutdown(turn));
    for id in ["store", "app"] {
        world.order(Verb::Start, id);
    }
    world.until("the two have ended", Services::is_quiet);
    assert_eq!((ends(&world).as_str(), world.pid("web")), ("app\nstore\n", web));
    world.stop(&["web"]);
}

#[test]
fn what_ends_with_its_place_in_the_policy_ends_in_order_and_comes_back_with_it() {
    let mut world = World::new("removed");
    let mut specs = line_of_three(&world);
    for spec in &mut specs {
        spec.care.ends_with_policy = true;
    }
    let policy = |specs: &[ServiceSpec]| specs.iter().map(|spec| (spec.clone(), true)).collect::<Vec<_>>();
    world.begin(specs.clone());
    world.until_state("web", ServiceState::Ready);
    let old = ["store", "app", "web"].map(|id| world.pid(id));
    let place = world.place.path("ends");
    let ended = || std::fs::read_to_string(&place).unwrap_or_default().lines().count();
    world.act(|services, turn| services.apply(Vec::new(), turn));
    assert!(world.services.as_ref().is_some_and(Services::is_empty), "nobody is told of what leaves");
    world.until("all has ended", |_| ended() == 3);
    assert_eq!(ends(&world), "web\napp\nstore\n");

    // Taken back while it ends, it is started once more when it has ended.
    world.act(|services, turn| services.apply(policy(&specs), turn));
    world.until_state("web", ServiceState::Ready);
    let again = ["store", "app", "web"].map(|id| world.pid(id));
    assert!(old.iter().zip(&again).all(|(old, new)| old != new), "{old:?} {again:?}");
    world.act(|services, turn| services.apply(Vec::new(), turn));
    world.act(|services, turn| services.apply(policy(&specs), turn));
    world.until("the last is back", |services| ended() == 4 && state_of(services, "web") == ServiceState::Ready);
    assert_eq!([world.pid("store"), world.pid("app")], again[..2], "those whose turn had not come go on");
    world.stop(&["web", "app", "store"]);
}
