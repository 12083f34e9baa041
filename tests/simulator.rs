//! Services in a made-up world: the very code that runs under the engine, a clock that jumps to the next event, a process
//! table with few pids, and everything that goes wrong on real machines, drawn from a seed.
//!
//! Daemons die, start late, fork away, write their pidfiles late or wrongly; pids come again as strangers; forks fail;
//! /proc cannot be read; the wall clock jumps; people start, stop and pause; watchd is killed between any two of its steps,
//! also in the middle of a write, or another program takes its place. Daemons get ready late or never, fall sick and recover;
//! services need each other.
//! `WATCHD_SEED=n` replays one world; `.ci/run simulator` plays a million hours of a service, optimised.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::unwrap_used)]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use watchd::engine::hands::{Hands, Lost};
use watchd::engine::services::{Ask, Services, Turn};
use watchd::model::{
    Bound, Care, Check, Command, Deed, Ending, Errand, EventKind, Form, Identity, Launch, Limit, Now, OnExit,
    OnPressure, Pattern, Quantity, Readiness, ServiceSpec, ServiceState, StopStep, Target,
};
use watchd::store::ledger::{Blob, Ledger, SIZE};
use watchd::supervisor::{
    Bequest, Mark, Notice, Pidfile, Process, Reach, Rival, Search, Strain, Text, Verb, Verdict, Which, parse_pidfile,
    text,
};

/// Simulated time of one world.
const HOURS: u64 = 40;
/// How long a start may be under way when another supervisor brings the service back as well: the longest command and the latest daemon
/// here take 3.4 s. What two have begun at once neither can take back; only a lock of the daemon's own could. A start that begins
/// meanwhile is crossed until its daemon appears: the one that appears first may be the other start's, and be taken for its own.
const CROSSING: Duration = Duration::from_secs(5);
/// Services of one world.
const SERVICES: u64 = 6;
/// How long all worlds of one run last together, in hours of one service, where `WATCHD_HOURS` does not say.
const SERVICE_HOURS: u64 = 10_000;
/// Few pids, so that they come again soon.
const PIDS: i32 = 400;
const OWN_PID: i32 = 7;
const LIMIT: Limit = Limit { count: 5, window: Duration::from_secs(600) };
const MAY_LAST: Duration = Duration::from_secs(120);
/// Most of what happens in a world is that all is well. So three of four are quiet: checks and signs of life are so much rarer, while
/// what goes wrong is as frequent as in the others.
const QUIET: u32 = 6;
const TIMEOUT: Duration = Duration::from_secs(20);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn say(words: &str) -> Text {
    text(format_args!("{words}"))
}

/// The end of this watchd.
struct Crash;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Daemon,
    Start,
    Stop,
    Stranger,
}

#[derive(Clone, Debug)]
struct Proc {
    identity: Identity,
    service: usize,
    role: Role,
    /// Waits for its parent to let it go on.
    gated: bool,
    child: bool,
    deaf: bool,
    /// It has ended; how.
    ended: Option<Ending>,
    no_exec: bool,
    /// When it begins to serve.
    ready_at: Duration,
    has_said_ready: bool,
    sick: bool,
    /// Another supervisor, whose child it is.
    keeper: Option<Identity>,
    /// It uses more than it may.
    is_bloated: bool,
    /// watchd has started it, which its environment says.
    is_marked: bool,
}

#[derive(Clone, Debug)]
enum Happening {
    Die(Identity, Ending),
    /// A start command's daemon appears.
    Appear(usize),
    WritePidfile(usize, Vec<u8>),
    /// A person sees to a pidfile that somebody has spoiled.
    Mend(usize),
    /// A stop command tells the daemon to end.
    Tell(usize),
    Doubt(bool),
    Trouble,
    Order,
    Sick(Identity, bool),
    /// The host becomes unfit for starts, or fit again.
    Weather(bool),
    /// Another supervisor brings a daemon back.
    Revive(usize),
    /// A daemon begins, or ends, to use too much.
    Bloat(Identity),
    /// Work begins to wait for memory, and goes on to; so many words of the kernel's are still to come.
    Stall(u64),
    /// A daemon says how it is.
    Speak(Identity),
    /// A check is answered.
    Answer(Ask),
}

struct World {
    tempo: u32,
    random: u64,
    mono: Duration,
    wall: Duration,
    procs: BTreeMap<i32, Proc>,
    next_pid: i32,
    pidfiles: BTreeMap<usize, (Vec<u8>, Duration)>,
    agenda: BTreeMap<(Duration, u64), Happening>,
    sequence: u64,
    grips: BTreeMap<u64, (Identity, u64)>,
    next_grip: u64,
    /// Grips that report nothing any more.
    muted: BTreeSet<u64>,
    /// How those ended that were nobody's children here, and when.
    obituaries: BTreeMap<i32, (Identity, Ending, Duration)>,
    doubt: bool,
    forks_fail: bool,
    /// How many steps watchd still has to live.
    steps: Rc<Cell<Option<u32>>>,
    disk_full: Rc<Cell<bool>>,
    models: Vec<Model>,
    starts: u64,
    /// How often a service was found ill, was not ready in time, and was stopped for another's sake.
    ills: u64,
    silences: u64,
    fights: u64,
    peaces: u64,
    excesses: u64,
    lates: u64,
    losses: u64,
    presses: u64,
    upgrades: u64,
    last_press: Duration,
}

/// What the test knows of a service by itself.
#[derive(Clone, Debug)]
struct Model {
    wanted: bool,
    paused_until: Duration,
    guard: bool,
    /// The budget by the rule: the moment at which it is full again.
    full: Duration,
    /// Starts that people asked for.
    credits: u32,
    started: bool,
    was_ready: bool,
    last_start: Duration,
    /// When a start command was last made, whether it was let go or not.
    last_attempt: Duration,
    /// When a stop command was last made.
    last_stop: Duration,
    /// Until when its starts cross those of another supervisor.
    crossed_until: Duration,
    /// Since when nothing forbids a start.
    free_since: Duration,
    /// Since when it runs without serving, and nothing forbids a restart.
    ill_since: Duration,
    /// Since when it runs though what it needs has gone.
    lost_since: Duration,
    died_at: Duration,
    /// When it last said that it lives.
    last_word: Duration,
    /// Another supervisor, which keeps it alive.
    keeper: Option<Identity>,
    /// Since when every measurement was above its limit.
    high_since: Option<Duration>,
    /// Nothing was measured since an upgrade.
    is_left: bool,
}

/// Says by itself that it is ready, and every 20 seconds that it lives.
fn speaks(service: usize) -> bool {
    service == 0 || service == 3
}

/// Who needs whom.
fn needs(service: usize) -> &'static [usize] {
    match service {
        1 => &[0],
        3 => &[2],
        5 => &[1, 2],
        _ => &[],
    }
}

/// Who comes after whom.
fn after(service: usize) -> &'static [usize] {
    if service == 4 { &[3] } else { &[] }
}

fn has_ready(service: usize) -> bool {
    service == 2 || service == 1
}

fn gives_way(service: usize) -> bool {
    matches!(service, 0 | 3 | 4)
}

fn has_checks(service: usize) -> bool {
    matches!(service, 1 | 2 | 4)
}

fn step(steps: &Cell<Option<u32>>) {
    match steps.get() {
        Some(0) => {
            steps.set(None);
            resume_unwind(Box::new(Crash));
        }
        Some(left) => steps.set(Some(left - 1)),
        None => {}
    }
}

impl World {
    fn draw(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % below
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.draw(100) < percent
    }

    fn later(&mut self, wait: Duration, what: Happening) {
        self.sequence += 1;
        self.agenda.insert((self.mono + wait, self.sequence), what);
    }

    fn fork(&mut self, service: usize, role: Role) -> Identity {
        loop {
            self.next_pid = if self.next_pid >= PIDS { 10 } else { self.next_pid + 1 };
            if !self.procs.contains_key(&self.next_pid) {
                break;
            }
        }
        let identity = Identity { pid: self.next_pid, start_ticks: (self.mono.as_millis() / 10) as u64 };
        let deaf = self.chance(10);
        let proc = Proc {
            identity,
            service,
            role,
            gated: false,
            child: true,
            deaf,
            ended: None,
            no_exec: false,
            ready_at: Duration::MAX,
            has_said_ready: false,
            sick: false,
            keeper: None,
            is_bloated: false,
            is_marked: role != Role::Stranger,
        };
        self.procs.insert(identity.pid, proc);
        match role {
            Role::Start => self.models[service].last_attempt = self.mono,
            Role::Stop => self.models[service].last_stop = self.mono,
            _ => {}
        }
        identity
    }

    fn live(&mut self, identity: Identity) -> Option<&mut Proc> {
        self.procs.get_mut(&identity.pid).filter(|proc| proc.identity == identity && proc.ended.is_none())
    }

    fn copies(&self, service: usize) -> usize {
        let is_copy = |proc: &&Proc| {
            proc.service == service && proc.role == Role::Daemon && !proc.gated && !proc.no_exec && proc.ended.is_none()
        };
        self.procs.values().filter(is_copy).count()
    }

    fn kill(&mut self, identity: Identity, ending: Ending) {
        let now = self.mono;
        if let Some(proc) = self.live(identity) {
            proc.ended = Some(ending);
            let (service, role, child) = (proc.service, proc.role, proc.child);
            if role == Role::Daemon {
                self.models[service].died_at = now;
                if self.models[service].keeper.is_some() {
                    let wait = ms(self.draw(1500));
                    self.later(wait, Happening::Revive(service));
                }
            }
            if !child {
                self.obituaries.insert(identity.pid, (identity, ending, now));
                self.procs.remove(&identity.pid);
            }
        }
    }

    /// A daemon that now runs its own program.
    fn enliven(&mut self, identity: Identity) {
        let life = match self.draw(100) {
            0..20 => ms(self.draw(1000)),
            20..40 => ms(1000 + self.draw(60_000)),
            _ => ms(self.draw(4 * 3_600_000)),
        };
        self.later(life, Happening::Die(identity, Ending::Signal(11)));
        let late = match self.draw(100) {
            0..70 => ms(self.draw(2000)),
            70..95 => ms(self.draw(20_000)),
            _ => ms(self.draw(7_200_000)),
        };
        let ready_at = self.mono + late;
        self.procs.get_mut(&identity.pid).unwrap().ready_at = ready_at;
        if self.chance(40) {
            let wait = ms(self.draw(3_600_000));
            self.later(wait, Happening::Sick(identity, true));
        }
        if self.chance(20) {
            let wait = ms(self.draw(7_200_000));
            self.later(wait, Happening::Bloat(identity));
        }
        let service = identity_service(self, identity);
        if speaks(service) {
            self.later(ms(1), Happening::Speak(identity));
        }
        assert!(self.copies(service) <= 1, "two copies of service {service}");
    }

    fn run(&mut self, identity: Identity) {
        let Some(proc) = self.live(identity).cloned() else {
            return;
        };
        match proc.role {
            Role::Daemon => {
                if self.chance(3) {
                    self.procs.get_mut(&identity.pid).unwrap().no_exec = true;
                    self.later(ms(1), Happening::Die(identity, Ending::Exit(127)));
                } else {
                    self.enliven(identity);
                }
            }
            Role::Start => {
                let takes = ms(2 + self.draw(400));
                match self.draw(100) {
                    0..3 => {}
                    3..8 => self.later(takes, Happening::Die(identity, Ending::Exit(1))),
                    8..50 => {
                        self.appear_later(takes / 2, proc.service);
                        self.later(takes, Happening::Die(identity, Ending::Exit(0)));
                    }
                    _ => {
                        self.later(takes, Happening::Die(identity, Ending::Exit(0)));
                        let late = takes + ms(self.draw(3000));
                        self.appear_later(late, proc.service);
                    }
                }
            }
            Role::Stop => {
                let takes = ms(2 + self.draw(2000));
                self.later(takes / 2, Happening::Tell(proc.service));
                if !self.chance(5) {
                    self.later(takes, Happening::Die(identity, Ending::Exit(0)));
                }
            }
            Role::Stranger => {}
        }
    }

    /// The daemon of a start command, when it comes.
    fn appear_later(&mut self, wait: Duration, service: usize) {
        let (now, model) = (self.mono, &mut self.models[service]);
        if now <= model.crossed_until {
            model.crossed_until = model.crossed_until.max(now + wait);
        }
        self.later(wait, Happening::Appear(service));
    }

    /// The rules about starting, checked at the moment a child is let go.
    fn judge_start(&mut self, service: usize) {
        assert!(!self.doubt, "service {service} started while nobody can tell");
        let now = self.mono;
        self.starts += 1;
        self.spare(service);
        let model = &mut self.models[service];
        assert!(model.wanted, "service {service} started though it was stopped");
        assert!(model.guard, "service {service} started against its guard");
        assert!(model.paused_until <= now, "service {service} started in its pause");
        for need in needs(service) {
            self.judge_need(service, *need);
        }
        let model = &mut self.models[service];
        let share = LIMIT.window / LIMIT.count;
        if !model.started {
            model.started = true;
        } else if model.full <= now + LIMIT.window - share {
            model.full = model.full.max(now) + share;
        } else {
            assert!(model.credits > 0, "service {service} started beyond its budget");
            model.credits -= 1;
        }
        (model.free_since, model.last_start) = (now, now);
    }

    /// A stranger that was born since a start began, in its tick of the kernel's or later, and is named in a pidfile that seems to be
    /// written since, cannot be told from the start's work. So there is none.
    fn spare(&mut self, service: usize) {
        let named = self.pidfiles.get(&service).map(|(bytes, written)| parse_pidfile(bytes, *written));
        let Some(Pidfile::Names { pid, .. }) = named else { return };
        let tick = (self.models[service].last_attempt.as_millis() / 10) as u64;
        let is_stranger = |it: &Proc| it.role == Role::Stranger && it.identity.start_ticks >= tick;
        if self.seems_new(service) && self.procs.get(&pid).is_some_and(is_stranger) {
            self.pidfiles.remove(&service);
        }
    }

    /// The pidfile may be of the last start, as far as its time says.
    fn seems_new(&self, service: usize) -> bool {
        let began = self.wall.saturating_sub(self.mono - self.models[service].last_attempt);
        let slack = |written: Duration| ms(if written.subsec_nanos() == 0 { 2000 } else { 100 });
        self.pidfiles.get(&service).is_some_and(|(_, written)| *written + slack(*written) >= began)
    }

    /// What it needs runs and serves; that it ended in this very moment cannot be known yet.
    fn judge_need(&self, service: usize, need: usize) {
        let now = self.mono;
        let serves = |proc: &Proc| {
            proc.service == need && proc.role == Role::Daemon && (!has_ready(need) || proc.ready_at <= now)
        };
        let there = self.procs.values().any(serves) || self.models[need].died_at == now;
        assert!(there, "service {service} started without service {need}, which it needs");
    }

    /// Who is stopped for another's sake comes back at no cost.
    fn hear(&mut self, kind: EventKind, id: &str, what: &str) {
        let service = id.strip_prefix('s').and_then(|number| number.parse::<usize>().ok());
        if let Some(service) = service.filter(|_| kind == EventKind::ServiceStopped && what.starts_with("needs ")) {
            self.models[service].credits += 1;
            self.losses += 1;
        }
        if kind == EventKind::ServiceExcess && what.contains("is above") {
            let service = service.expect("it is about one of them");
            let since = self.models[service].high_since;
            let lasted = since.is_some_and(|since| self.mono - since >= MAY_LAST);
            assert!(lasted, "service {service} was not measured above its limit for so long: {what}");
            self.excesses += 1;
        }
        if kind == EventKind::ServicePressed {
            let service = service.expect("it is about one of them");
            assert!(gives_way(service), "service {service} was not marked to give its memory back");
            assert!(self.mono - self.last_press >= ms(30_000), "the host had no time to recover");
            self.presses += 1;
        }
        if kind == EventKind::ServiceUnhealthy && what.starts_with("no sign of life") {
            let service = service.expect("it is about one of them");
            let silent = self.mono - self.models[service].last_word;
            assert!(silent >= watchdog(self.tempo), "service {service} was not silent");
            self.silences += 1;
        }
        self.fights += u64::from(kind == EventKind::ServiceFight);
        self.peaces += u64::from(kind == EventKind::ServicePeace);
        self.ills += u64::from(kind == EventKind::ServiceUnhealthy);
        self.lates += u64::from(kind == EventKind::ServiceFailed && what.starts_with("not ready within"));
    }

    /// How a check comes out: by what the daemon is, and sometimes by chance.
    fn answer(&mut self, ask: Ask) -> Option<Verdict> {
        match self.draw(100) {
            0 => return None,
            1 | 2 => return Some(Verdict::Unknown(say("no descriptor"))),
            3 | 4 => return Some(Verdict::Late(Strain::Heavy)),
            5 | 6 => return Some(Verdict::Failed(say("by chance"))),
            _ => {}
        }
        let (now, service) = (self.mono, usize::from(ask.place));
        let daemons = self.daemons(service);
        let Some(proc) = daemons.first().and_then(|identity| self.live(*identity)) else {
            return Some(Verdict::Failed(say("refused")));
        };
        let is_well = if ask.asked.which == Which::Ready { proc.ready_at <= now } else { !proc.sick };
        if is_well {
            return Some(Verdict::Passed);
        }
        Some(if self.chance(50) { Verdict::Late(Strain::Light) } else { Verdict::Failed(say("sick")) })
    }

    /// The copy that another supervisor has brought back.
    fn revived(&self, service: usize) -> Option<Identity> {
        let of_it = |proc: &&Proc| proc.service == service && proc.ended.is_none() && proc.keeper.is_some();
        self.procs.values().filter(of_it).map(|proc| proc.identity).max_by_key(|it| it.start_ticks)
    }

    /// Whether the pidfile of its service names this process.
    fn names(&self, it: Identity) -> bool {
        let service = self.procs.get(&it.pid).map(|proc| proc.service);
        let file = service.and_then(|service| self.pidfiles.get(&service));
        let named = file.map(|(bytes, written)| parse_pidfile(bytes, *written));
        matches!(named, Some(Pidfile::Names { pid, .. }) if pid == it.pid)
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Die(identity, ending) => self.kill(identity, ending),
            Happening::Appear(service) => {
                // Where a start of ours and another's crossed, or no pidfile names what the other started, nobody could know:
                // the daemon's own lock decides.
                let has_crossed = self.mono <= self.models[service].crossed_until;
                if self.copies(service) > 0 && (has_crossed || self.revived(service).is_some_and(|it| !self.names(it)))
                {
                    return;
                }
                let identity = self.fork(service, Role::Daemon);
                // It forked twice and left its parent; watchd is not always its subreaper.
                self.procs.get_mut(&identity.pid).unwrap().child = self.random.is_multiple_of(2);
                self.enliven(identity);
                if self.chance(20) {
                    let wrong = [&b""[..], b"\n", b"garbage\n", b"99999999\n"][self.draw(4) as usize];
                    self.happen(Happening::WritePidfile(service, wrong.to_vec()));
                }
                let late = ms(self.draw(100));
                self.later(late, Happening::WritePidfile(service, format!("{}\n", identity.pid).into_bytes()));
            }
            Happening::WritePidfile(service, bytes) => {
                self.pidfiles.insert(service, (bytes, self.wall));
            }
            Happening::Mend(service) => {
                if let Some(daemon) = self.daemons(service).first() {
                    self.happen(Happening::WritePidfile(service, format!("{}\n", daemon.pid).into_bytes()));
                } else {
                    self.pidfiles.remove(&service);
                }
            }
            Happening::Tell(service) => {
                let daemons: Vec<Identity> = self.daemons(service);
                for identity in daemons {
                    let late = ms(self.draw(3000));
                    if self.live(identity).is_some_and(|proc| !proc.deaf) {
                        self.later(late, Happening::Die(identity, Ending::Exit(0)));
                    }
                }
            }
            Happening::Doubt(begins) => {
                self.doubt = begins;
                let wait = if begins { ms(1000 + self.draw(60_000)) } else { ms(self.draw(4 * 3_600_000)) };
                self.later(wait, Happening::Doubt(!begins));
            }
            Happening::Trouble => self.trouble(),
            Happening::Order
            | Happening::Answer(_)
            | Happening::Speak(_)
            | Happening::Stall(_)
            | Happening::Weather(_) => {}
            Happening::Revive(service) => {
                let keeper = self.models[service].keeper.filter(|keeper| self.live(*keeper).is_some());
                if keeper.is_none() || self.copies(service) > 0 {
                    return;
                }
                let identity = self.fork(service, Role::Daemon);
                let proc = self.procs.get_mut(&identity.pid).unwrap();
                (proc.child, proc.keeper, proc.is_marked) = (false, keeper, false);
                self.models[service].crossed_until = self.mono + CROSSING;
                self.enliven(identity);
                self.happen(Happening::WritePidfile(service, format!("{}\n", identity.pid).into_bytes()));
            }
            Happening::Bloat(identity) => {
                let wait = ms(self.draw(600_000));
                if let Some(proc) = self.live(identity) {
                    proc.is_bloated = !proc.is_bloated;
                    self.later(wait, Happening::Bloat(identity));
                }
            }
            Happening::Sick(identity, is_sick) => {
                let wait = ms(self.draw(3_600_000));
                if let Some(proc) = self.live(identity) {
                    proc.sick = is_sick;
                    self.later(wait, Happening::Sick(identity, !is_sick));
                }
            }
        }
    }

    fn daemons(&self, service: usize) -> Vec<Identity> {
        let procs = self.procs.values();
        procs
            .filter(|proc| proc.service == service && proc.role == Role::Daemon && proc.ended.is_none())
            .map(|proc| proc.identity)
            .collect()
    }

    /// Strangers, false pidfiles, clocks that jump, forks that fail.
    fn trouble(&mut self) {
        let wait = ms(self.draw(1_800_000));
        self.later(wait, Happening::Trouble);
        let service = self.draw(self.models.len() as u64) as usize;
        // What is born and named in the pidfile during a start is that start's work as far as anybody can tell; whether one that was
        // written down was let go, the next watchd cannot know when this one is killed between the two.
        let is_starting = self.mono - self.models[service].last_attempt < ms(60_000);
        match self.draw(8) {
            2 if is_starting && self.seems_new(service) => {}
            3 if is_starting => self.spoil(service),
            7 if service > 1 && self.models[service].keeper.is_some() => {
                if let Some(keeper) = self.models[service].keeper.take() {
                    self.kill(keeper, Ending::Exit(0));
                }
            }
            7 if service > 1 => {
                let keeper = self.fork(service, Role::Stranger);
                self.procs.get_mut(&keeper.pid).unwrap().child = false;
                self.models[service].keeper = Some(keeper);
            }
            6 => self.disk_full.set(!self.disk_full.get()),
            0 => self.forks_fail = !self.forks_fail,
            1 => {
                let hours = self.draw(5);
                self.wall =
                    if self.chance(50) { self.wall + ms(hours * 3_600_000) } else { self.wall - ms(hours * 3_600_000) };
                (0..self.models.len()).for_each(|service| self.spare(service));
            }
            2 => {
                // The pid in a stale pidfile comes again.
                let named = self.pidfiles.get(&service).and_then(|(bytes, _)| match parse_pidfile(bytes, ms(0)) {
                    Pidfile::Names { pid, .. } => Some(pid),
                    _ => None,
                });
                if let Some(pid) = named.filter(|pid| !self.procs.contains_key(pid) && *pid <= PIDS) {
                    self.next_pid = pid - 1;
                    self.stranger(service);
                }
            }
            3 if self.models[service].was_ready => {
                let identity = self.stranger(service);
                self.happen(Happening::WritePidfile(service, format!("{}\n", identity.pid).into_bytes()));
            }
            4 => {
                self.pidfiles.remove(&service);
                self.mend_later(service);
            }
            5 => self.spoil(service),
            _ => {}
        }
    }

    /// Somebody writes what is no pid, or half of one, into a pidfile, and somebody sees to it later.
    fn spoil(&mut self, service: usize) {
        let wrong = [&b""[..], b"\n", b"what?\n", b"1", b"\0\0\0"][self.draw(5) as usize];
        self.happen(Happening::WritePidfile(service, wrong.to_vec()));
        self.mend_later(service);
    }

    fn mend_later(&mut self, service: usize) {
        let wait = ms(self.draw(3_600_000));
        self.later(wait, Happening::Mend(service));
    }

    fn stranger(&mut self, service: usize) -> Identity {
        let identity = self.fork(service, Role::Stranger);
        let proc = self.procs.get_mut(&identity.pid).unwrap();
        proc.child = false;
        let life = ms(self.draw(3_600_000));
        self.later(life, Happening::Die(identity, Ending::Exit(0)));
        identity
    }

    /// What the end of watchd does to the others.
    fn orphan(&mut self) {
        self.grips.clear();
        self.muted.clear();
        self.agenda.retain(|_, what| !matches!(what, Happening::Answer(_)));
        for service in 0..self.models.len() {
            // A stop command begins before it is told why: it may be for another's sake, and the word of it died with watchd.
            let is_lost = needs(service).iter().any(|need| self.models[*need].died_at + ms(60_000) >= self.mono);
            self.models[service].credits += u32::from(is_lost && self.models[service].last_stop == self.mono);
        }
        // A start that was paid for may have died with it, so that the next one waits again, and what checks have counted did.
        let later = |since: Duration, cost: Duration| (since + cost).min(self.mono);
        for model in &mut self.models {
            model.free_since = later(model.free_since, ms(640_000));
            model.lost_since = later(model.lost_since, ms(60_000));
            model.ill_since = later(model.ill_since, counting(self.tempo));
        }
        self.procs.retain(|_, proc| !proc.gated && proc.ended.is_none());
        for proc in self.procs.values_mut() {
            proc.child = false;
        }
    }

    fn process(&self, pid: i32) -> Option<Process> {
        let proc = self.procs.get(&pid)?;
        let mut comm = [0; 16];
        let name = match proc.role {
            Role::Stranger => "bash".to_owned(),
            _ => format!("served{}", proc.service),
        };
        comm[..name.len()].copy_from_slice(name.as_bytes());
        Some(Process { identity: proc.identity, comm, is_zombie: proc.ended.is_some(), is_kernel: false })
    }
}

fn identity_service(world: &World, identity: Identity) -> usize {
    world.procs[&identity.pid].service
}

/// The hands of one watchd.
struct SimHands(Rc<RefCell<World>>);

struct SimHeld {
    world: Rc<RefCell<World>>,
    identity: Option<Identity>,
}

impl Drop for SimHeld {
    fn drop(&mut self) {
        if let Some(identity) = self.identity.take() {
            self.world.borrow_mut().procs.remove(&identity.pid);
        }
    }
}

impl SimHands {
    fn step(&self) {
        let steps = self.0.borrow().steps.clone();
        step(&steps);
    }
}

impl Hands for SimHands {
    type Grip = u64;
    type Held = SimHeld;

    fn hold(&mut self, launch: &Launch, _: &str, _: Option<Errand>) -> Result<(SimHeld, Identity), Text> {
        self.step();
        let mut world = self.0.borrow_mut();
        if world.doubt || world.forks_fail && world.chance(70) {
            return Err(say("cannot start a process"));
        }
        let Command::Exec(words) = &launch.command else { panic!("the simulator has no shell") };
        let role = match words[0].as_str() {
            "daemon" => Role::Daemon,
            "start" => Role::Start,
            _ => Role::Stop,
        };
        let identity = world.fork(words[1].parse().unwrap(), role);
        world.procs.get_mut(&identity.pid).unwrap().gated = true;
        Ok((SimHeld { world: self.0.clone(), identity: Some(identity) }, identity))
    }

    fn release(&mut self, mut held: SimHeld, _: &mut u64) -> Result<(), Text> {
        self.step();
        let mut world = self.0.borrow_mut();
        let identity = held.identity.take().unwrap();
        let proc = world.procs.get_mut(&identity.pid).unwrap();
        proc.gated = false;
        let (service, role) = (proc.service, proc.role);
        if role != Role::Stop {
            world.judge_start(service);
        }
        world.run(identity);
        drop(world);
        self.step();
        Ok(())
    }

    fn grip(&mut self, identity: Identity, token: u64) -> Result<u64, Lost> {
        self.step();
        let mut world = self.0.borrow_mut();
        if world.doubt {
            return Err(Lost::CannotTell(say("cannot read /proc")));
        }
        if world.process(identity.pid).is_none_or(|process| process.identity != identity) {
            return Err(Lost::Gone);
        }
        world.next_grip += 1;
        let grip = world.next_grip;
        world.grips.insert(grip, (identity, token));
        Ok(grip)
    }

    fn let_go(&mut self, grip: u64) {
        self.step();
        let mut world = self.0.borrow_mut();
        let (identity, _) = world.grips.remove(&grip).expect("a grip is let go once");
        if world.procs.get(&identity.pid).is_some_and(|proc| proc.identity == identity && proc.ended.is_some()) {
            world.procs.remove(&identity.pid);
        }
    }

    fn mute(&mut self, grip: &u64) {
        self.step();
        self.0.borrow_mut().muted.insert(*grip);
    }

    fn ended(&mut self, grip: &u64) -> Option<Option<Ending>> {
        self.step();
        let world = self.0.borrow();
        let (identity, _) = world.grips[grip];
        match world.procs.get(&identity.pid).filter(|proc| proc.identity == identity) {
            // The kernel knows what became of it once its parent does; not at the moment of its death.
            None => Some(
                world
                    .obituaries
                    .get(&identity.pid)
                    .and_then(|(dead, ending, at)| (*dead == identity && *at < world.mono).then_some(*ending)),
            ),
            Some(proc) => proc.ended.map(|ending| proc.child.then_some(ending)),
        }
    }

    fn trouble(&mut self, grip: &mut u64) -> Option<Text> {
        let world = self.0.borrow();
        let (identity, _) = world.grips[grip];
        world.procs.get(&identity.pid).filter(|proc| proc.no_exec).map(|_| say("cannot execute"))
    }

    fn settled(&mut self, _: &mut u64) {}

    fn signal(&mut self, grip: &u64, signal: i32, _: Reach) -> Result<(), Text> {
        self.step();
        let mut world = self.0.borrow_mut();
        let (identity, _) = world.grips[grip];
        let late = ms(world.draw(2000));
        let Some(proc) = world.live(identity).cloned() else {
            return Ok(());
        };
        assert_ne!(proc.role, Role::Stranger, "a stranger was hit");
        match signal {
            9 => world.kill(identity, Ending::Signal(9)),
            _ if proc.deaf => {}
            _ => world.later(late, Happening::Die(identity, Ending::Signal(signal))),
        }
        Ok(())
    }

    fn process(&mut self, pid: i32) -> Result<Option<Process>, Text> {
        self.step();
        let world = self.0.borrow();
        if world.doubt { Err(say("cannot read /proc")) } else { Ok(world.process(pid)) }
    }

    fn pidfile(&mut self, path: &str) -> Pidfile {
        self.step();
        let world = self.0.borrow();
        let service = path.trim_start_matches('/').parse().unwrap();
        world.pidfiles.get(&service).map_or(Pidfile::Missing, |(bytes, written)| parse_pidfile(bytes, *written))
    }

    fn find(&mut self, pattern: &Pattern, give: &mut dyn FnMut(Process)) -> Result<(), Text> {
        self.step();
        let world = self.0.borrow();
        if world.doubt {
            return Err(say("cannot read /proc"));
        }
        for proc in world.procs.values() {
            if proc.role == Role::Daemon && pattern.name == format!("served{}", proc.service) {
                give(world.process(proc.identity.pid).unwrap());
            }
        }
        Ok(())
    }

    fn search(&mut self, id: &str, _: &Search, give: &mut dyn FnMut(Process, Mark)) -> Result<(), Text> {
        self.step();
        let world = self.0.borrow();
        if world.doubt {
            return Err(say("cannot read /proc"));
        }
        let service: usize = id.trim_start_matches('s').parse().unwrap();
        for proc in world.procs.values().filter(|proc| !proc.gated) {
            let mark = match proc.is_marked {
                true if proc.service == service => Mark::Ours,
                true => Mark::Others,
                false => Mark::None,
            };
            give(world.process(proc.identity.pid).unwrap(), mark);
        }
        Ok(())
    }

    fn belongs(&mut self, pid: i32, to: Identity) -> bool {
        pid == to.pid
    }

    fn keeper(&mut self, of: Identity) -> Option<Rival> {
        let world = self.0.borrow();
        let keeper = world.procs.get(&of.pid).filter(|proc| proc.identity == of)?.keeper?;
        Some(Rival { identity: keeper, name: say("runsv") })
    }

    fn own_memory(&mut self, of: Identity) -> Option<u64> {
        let mut world = self.0.borrow_mut();
        let is_there = !world.doubt && world.live(of).is_some();
        let held = world.draw(1 << 30);
        is_there.then_some(held)
    }

    fn own_pid(&self) -> i32 {
        OWN_PID
    }
}

/// The state file; a write may be the last thing a watchd does, and then it may be cut.
#[derive(Clone)]
struct Disk {
    bytes: Rc<RefCell<Vec<u8>>>,
    full: Rc<Cell<bool>>,
    steps: Rc<Cell<Option<u32>>>,
}

impl Blob for Disk {
    fn load(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let start = offset as usize;
        bytes.copy_from_slice(&self.bytes.borrow()[start..start + bytes.len()]);
        Ok(())
    }

    fn store(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.full.get() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let start = offset as usize;
        let cut = if self.steps.get() == Some(0) { bytes.len() / 3 } else { bytes.len() };
        self.bytes.borrow_mut()[start..start + cut].copy_from_slice(&bytes[..cut]);
        step(&self.steps);
        Ok(())
    }
}

/// How long a service may be silent; it speaks three times as often.
fn watchdog(tempo: u32) -> Duration {
    ms(60_000) * tempo
}

/// How long checks take at the longest until as many have failed as make a service unhealthy.
fn counting(tempo: u32) -> Duration {
    ms(150_000) * tempo
}

fn care(service: usize, tempo: u32) -> Care {
    let names = |services: &[usize]| services.iter().map(|service| format!("s{service}")).collect();
    let target = Target::Unix(format!("/{service}"));
    let ready = Readiness { target: target.clone(), within: ms(30_000) };
    let check = Check { target, every: ms(60_000) * tempo, timeout: ms(2000), fails: 2, passes: 1 };
    let checks = if has_checks(service) { vec![check] } else { Vec::new() };
    let ready = has_ready(service).then_some(ready);
    let told = Readiness { target: Target::Notify, within: ms(120_000) };
    let ready = if speaks(service) { Some(told) } else { ready };
    let watchdog = speaks(service).then_some(watchdog(tempo));
    let bound = Bound { what: Quantity::Rss, max: 100, lasts: MAY_LAST, deed: Deed::Restart };
    let bounds = if service.is_multiple_of(2) { vec![bound] } else { Vec::new() };
    let (needs, after) = (names(needs(service)), names(after(service)));
    let on_pressure = if gives_way(service) { OnPressure::Restart } else { OnPressure::Leave };
    Care { ready, checks, watchdog, bounds, needs, after, on_pressure, ..Care::default() }
}

fn specs(slow: bool, tempo: u32) -> Vec<ServiceSpec> {
    let launch = |word: &str, service: usize| {
        let command = Command::Exec(vec![word.to_owned(), service.to_string()]);
        Launch::new(command)
    };
    let by_name = |service: usize| Form::Match(Pattern { name: format!("served{service}"), user: None });
    (0..6)
        .map(|service| ServiceSpec {
            id: format!("s{service}"),
            form: match service {
                0 | 1 => Form::Run(launch("daemon", service)),
                2..=4 => Form::Pidfile(format!("/{service}")),
                _ => by_name(service),
            },
            start: (service > 1).then(|| launch("start", service)),
            stop: (service == 1 || service == 3).then(|| launch("stop", service)),
            signals: vec![StopStep::Signal(15), StopStep::Wait(ms(5000)), StopStep::Signal(9)],
            backoff: (ms(100), ms(60_000)),
            limit: LIMIT,
            settle: ms(if slow { 1500 } else { 1000 }),
            timeout: TIMEOUT,
            on_exit: OnExit::Leave,
            care: care(service, tempo),
        })
        .collect()
}

type Sim = Services<u64, Disk>;

struct Run {
    tempo: u32,
    world: Rc<RefCell<World>>,
    disk: Disk,
    services: Option<Sim>,
    slow: bool,
    next_cycle: Duration,
    crashes: u64,
    orders: Vec<(Verb, usize)>,
    is_loud: bool,
    /// Turns in a row at one moment.
    standing: u32,
    /// When everything is written again.
    safe: Duration,
}

impl Run {
    fn new(seed: u64) -> Self {
        let steps = Rc::new(Cell::new(None));
        let disk =
            Disk { bytes: Rc::new(RefCell::new(vec![0; SIZE as usize])), full: Rc::default(), steps: steps.clone() };
        let mono = ms(1_000_000);
        let model = Model {
            wanted: true,
            paused_until: ms(0),
            guard: true,
            full: ms(0),
            credits: 0,
            started: false,
            was_ready: false,
            last_start: ms(0),
            last_attempt: ms(0),
            last_stop: ms(0),
            crossed_until: ms(0),
            free_since: mono,
            ill_since: mono,
            lost_since: mono,
            died_at: ms(0),
            last_word: ms(0),
            keeper: None,
            high_since: None,
            is_left: false,
        };
        let tempo = if seed.is_multiple_of(4) { 1 } else { QUIET };
        let mut world = World {
            tempo,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            mono,
            wall: ms(1_700_000_000_000),
            procs: BTreeMap::new(),
            next_pid: 10,
            pidfiles: BTreeMap::new(),
            agenda: BTreeMap::new(),
            sequence: 0,
            grips: BTreeMap::new(),
            next_grip: 0,
            muted: BTreeSet::new(),
            obituaries: BTreeMap::new(),
            doubt: false,
            forks_fail: false,
            steps,
            disk_full: disk.full.clone(),
            models: vec![model; 6],
            starts: 0,
            ills: 0,
            silences: 0,
            fights: 0,
            peaces: 0,
            excesses: 0,
            lates: 0,
            losses: 0,
            presses: 0,
            upgrades: 0,
            last_press: ms(0),
        };
        for _ in 0..10 {
            world.draw(2);
        }
        world.happen(Happening::Doubt(false));
        world.later(ms(60_000), Happening::Trouble);
        world.later(ms(60_000), Happening::Order);
        world.later(ms(600_000), Happening::Weather(true));
        world.later(ms(900_000), Happening::Stall(3));
        let world = Rc::new(RefCell::new(world));
        let is_loud = std::env::var_os("WATCHD_SEED").is_some();
        Self {
            tempo,
            world,
            disk,
            services: None,
            slow: false,
            next_cycle: mono,
            crashes: 0,
            orders: Vec::new(),
            is_loud,
            standing: 0,
            safe: ms(0),
        }
    }

    fn now(&self) -> Now {
        let world = self.world.borrow();
        Now { mono: world.mono, wall: world.wall }
    }

    /// Lets watchd do one thing; it may not survive it.
    fn act(&mut self, deed: impl FnOnce(&mut Sim, &mut Turn<'_, SimHands>)) {
        let now = self.now();
        let mut hands = SimHands(self.world.clone());
        let is_loud = self.is_loud;
        let world = self.world.clone();
        let mut note = move |kind: EventKind, id: &str, what: &str| {
            tell(is_loud, now, kind, id, what);
            world.borrow_mut().hear(kind, id, what);
        };
        let mut services = self.services.take().expect("watchd runs");
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            deed(&mut services, &mut Turn { hands: &mut hands, now, note: &mut note });
        }));
        self.services = Some(services);
        self.survive(outcome);
        self.take_asks();
    }

    /// Whatever was asked is answered in its own time, or never.
    fn take_asks(&mut self) {
        let Some(services) = &mut self.services else {
            return;
        };
        while let Some(ask) = services.next_ask() {
            assert!(services.target(ask).is_some(), "a check that the policy has");
            let mut world = self.world.borrow_mut();
            let wait = ms(1 + world.draw(1500));
            world.later(wait, Happening::Answer(ask));
        }
    }

    fn answer(&mut self, ask: Ask) {
        let verdict = self.world.borrow_mut().answer(ask);
        if let Some(verdict) = verdict {
            self.act(|services, turn| services.on_checked(ask, verdict, turn));
        }
    }

    /// What they use is known once a cycle; now and then it is not.
    fn measure(&mut self) {
        for service in 0..6 {
            let figure = {
                let mut world = self.world.borrow_mut();
                let is_known = !world.doubt && !world.chance(5);
                let daemon = world.daemons(service).first().copied();
                let bloated = daemon.and_then(|daemon| world.live(daemon)).map(|proc| proc.is_bloated);
                let figure = bloated.filter(|_| is_known).map(|bloated| if bloated { 200 } else { 90 });
                let (now, model) = (world.mono, &mut world.models[service]);
                let since = model.high_since.unwrap_or(now);
                // What a new program cannot measure at once says nothing.
                if figure.is_some() || !std::mem::take(&mut model.is_left) {
                    model.high_since = figure.filter(|figure| *figure > 100).map(|_| since);
                }
                model.is_left = false;
                figure
            };
            if self.services.is_some() {
                let figures = [figure, None, None, None, None, None];
                self.act(|services, turn| services.on_measured(service, figures, turn));
            }
        }
    }

    /// The host is full, or is not any more. The next watchd finds out anew.
    fn weather(&mut self, is_bad: bool) {
        {
            let mut world = self.world.borrow_mut();
            let wait = ms(if is_bad { world.draw(300_000) } else { world.draw(4 * 3_600_000) });
            world.later(wait, Happening::Weather(!is_bad));
        }
        for service in 0..6 {
            if self.services.is_some() {
                let obstacle = is_bad.then(|| say("waits for room"));
                self.act(|services, turn| services.on_weather(service, obstacle, turn));
            }
        }
    }

    /// The kernel says that work waits for memory, once every two seconds while it does.
    fn stall(&mut self, more: u64) {
        {
            let mut world = self.world.borrow_mut();
            let wait = if more > 0 { 2000 } else { 600_000 + world.draw(4 * 3_600_000) };
            let next = if more > 0 { more - 1 } else { world.draw(60) };
            world.later(ms(wait), Happening::Stall(next));
        }
        let before = self.world.borrow().presses;
        self.act(|services, turn| services.on_stall(turn));
        let mut world = self.world.borrow_mut();
        assert!(world.presses <= before + 1, "one at a time gives its memory back");
        // A watchd that was killed over it may have come no further than to say so.
        if world.presses > before && self.services.is_some() {
            world.last_press = world.mono;
        }
    }

    /// A daemon speaks when it is well, and is heard by a watchd that lives.
    fn speak(&mut self, identity: Identity) {
        let (service, notice) = {
            let mut world = self.world.borrow_mut();
            let (now, silent) = (world.mono, world.chance(2));
            let Some(proc) = world.live(identity).filter(|proc| !proc.no_exec) else {
                return;
            };
            let is_ready = proc.ready_at <= now && !proc.has_said_ready;
            proc.has_said_ready |= is_ready;
            let (service, is_sick) = (proc.service, proc.sick || silent);
            let wait = watchdog(world.tempo) / 3;
            world.later(wait, Happening::Speak(identity));
            if is_sick && !is_ready {
                return;
            }
            let beat = if is_sick { "" } else { "WATCHDOG=1\n" };
            if !is_sick {
                world.models[service].last_word = now;
            }
            (service, Notice::parse(format!("{beat}STATUS=so\nREADY={}", u8::from(is_ready)).as_bytes()))
        };
        self.act(|services, turn| services.on_notice(&format!("s{service}"), identity.pid, notice, turn));
    }

    fn survive(&mut self, outcome: std::thread::Result<()>) {
        match outcome {
            Ok(()) => {}
            Err(cause) if cause.is::<Crash>() => {
                tell(self.is_loud, self.now(), EventKind::DaemonStopped, "", "killed");
                self.services = None;
                self.crashes += 1;
                self.world.borrow_mut().orphan();
            }
            Err(other) => resume_unwind(other),
        }
    }

    /// Another program takes the place of this one, in the same process: nothing that was counted begins anew.
    fn upgrade(&mut self) {
        let now = self.now();
        let Some(services) = self.services.take() else { return };
        let lasts = |state| {
            use ServiceState::{Fight, Ready, Unhealthy};
            matches!(state, Ready | Unhealthy | Fight)
        };
        let shown = |services: &Sim| -> Vec<_> {
            let facts = services.facts(now);
            facts.map(|it| (it.state, it.since, it.identity, it.over, it.reason.to_owned())).collect()
        };
        let (before, left) = (shown(&services), services.bequeath());
        {
            let mut world = self.world.borrow_mut();
            world.grips.clear();
            world.muted.clear();
            world.agenda.retain(|_, what| !matches!(what, Happening::Answer(_)));
            world.upgrades += 1;
            world.models.iter_mut().for_each(|model| model.is_left = true);
        }
        tell(self.is_loud, now, EventKind::DaemonUpgraded, "", "goes on");
        self.begin(left);
        let (Some(services), false) = (&self.services, self.world.borrow().doubt) else { return };
        let after = shown(services);
        // The first look of the new program may find that another has failed, which a service cannot do without.
        let has_lost = |reason: &str| {
            let needed = reason.strip_prefix("needs s").and_then(|rest| rest.split(',').next()?.parse::<usize>().ok());
            needed.is_some_and(|other| !lasts(before[other].0) && before[other].0 != after[other].0)
        };
        for (service, (before, after)) in before.iter().zip(&after).enumerate() {
            let is_same = !lasts(before.0) || before.2.is_none() || before == after || has_lost(&after.4);
            assert!(is_same, "service {service} was {before:?} before an upgrade, and is {after:?}");
        }
    }

    fn begin(&mut self, left: Vec<(String, Bequest)>) {
        let now = self.now();
        let mut hands = SimHands(self.world.clone());
        let is_loud = self.is_loud;
        let world = self.world.clone();
        let mut note = move |kind: EventKind, id: &str, what: &str| {
            tell(is_loud, now, kind, id, what);
            world.borrow_mut().hear(kind, id, what);
        };
        let mut begun = None;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let ledger = Ledger::new(self.disk.clone(), [b'1'; 40]).expect("the ledger can be read");
            let mut turn = Turn { hands: &mut hands, now, note: &mut note };
            let guards: Vec<bool> = self.world.borrow().models.iter().map(|model| model.guard).collect();
            let policy = specs(self.slow, self.tempo).into_iter().zip(guards).collect();
            let services = Services::take_up(policy, (Some(ledger), left), 5, &mut turn);
            begun = Some(services);
        }));
        self.services = begun;
        self.survive(outcome);
        self.take_asks();
    }

    /// An order of a person, who asks again when watchd died over it.
    fn order(&mut self, verb: Verb, service: usize) {
        {
            let mut world = self.world.borrow_mut();
            let now = world.mono;
            let model = &mut world.models[service];
            match verb {
                Verb::Start | Verb::Restart => {
                    (model.wanted, model.paused_until) = (true, ms(0));
                    model.credits += 1;
                }
                Verb::Stop => (model.wanted, model.paused_until) = (false, ms(0)),
                Verb::Reset => model.full = ms(0),
                Verb::Pause(span) => model.paused_until = now + span.unwrap(),
                Verb::Resume => model.paused_until = ms(0),
            }
            (model.free_since, model.ill_since, model.lost_since) = (now, now, now);
        }
        let before = self.crashes;
        let name = format!("s{service}");
        self.act(|services, turn| {
            services.control(verb, &name, turn).expect("it is in the policy");
        });
        if self.crashes > before {
            // Nobody was told that it is done: until it is asked for again, the next watchd may know of it or not.
            let model = &mut self.world.borrow_mut().models[service];
            model.wanted |= verb == Verb::Stop;
            if matches!(verb, Verb::Pause(_)) {
                model.paused_until = ms(0);
            }
            self.orders.push((verb, service));
        }
    }

    fn random_order(&mut self) {
        let (service, kind, span, wait) = {
            let mut world = self.world.borrow_mut();
            (world.draw(6) as usize, world.draw(10), world.draw(1_800_000), world.draw(1_200_000))
        };
        self.world.borrow_mut().later(ms(wait), Happening::Order);
        match kind {
            0 => self.order(Verb::Stop, service),
            1..4 => self.order(Verb::Start, service),
            4 => self.order(Verb::Restart, service),
            5 => self.order(Verb::Reset, service),
            6 => self.order(Verb::Pause(Some(ms(span))), service),
            7 => self.order(Verb::Resume, service),
            8 => {
                let holds = {
                    let mut world = self.world.borrow_mut();
                    let holds = world.chance(80);
                    let now = world.mono;
                    (world.models[service].guard, world.models[service].free_since) = (holds, now);
                    holds
                };
                self.act(|services, turn| services.guard(&format!("s{service}"), holds, turn));
            }
            _ => {
                self.slow = !self.slow;
                let guards: Vec<bool> = self.world.borrow().models.iter().map(|model| model.guard).collect();
                let mut policy: Vec<(ServiceSpec, bool)> =
                    specs(self.slow, self.tempo).into_iter().zip(guards).collect();
                self.act(|services, turn| {
                    let left_out = policy.remove(service);
                    services.apply(policy.clone(), turn);
                    policy.insert(service, left_out);
                    services.apply(policy, turn);
                });
                // Every service has changed, and what its checks had counted begins anew.
                let mut world = self.world.borrow_mut();
                let (now, cost) = (world.mono, counting(self.tempo));
                world.models.iter_mut().for_each(|model| model.ill_since = (model.ill_since + cost).min(now));
            }
        }
    }

    /// Moves time to the next thing that happens, and lets everybody know of it.
    fn turn(&mut self) {
        if self.services.is_none() {
            self.begin(Vec::new());
            let waiting = std::mem::take(&mut self.orders);
            for (verb, service) in waiting {
                if self.services.is_some() {
                    self.order(verb, service);
                } else {
                    self.orders.push((verb, service));
                }
            }
            return;
        }
        let deadline = self.services.as_ref().and_then(Sim::next_deadline).unwrap_or(Duration::MAX);
        let (happening, crash) = {
            let mut world = self.world.borrow_mut();
            let next = world.agenda.first_key_value().map_or(Duration::MAX, |((at, _), _)| *at);
            let at = next.min(deadline).min(self.next_cycle).max(world.mono);
            let moved = at - world.mono;
            self.standing = if moved.is_zero() { self.standing + 1 } else { 0 };
            assert!(self.standing < 1000, "the loop turns without time going on");
            (world.mono, world.wall) = (at, world.wall + moved);
            let happening = if next <= at { world.agenda.pop_first().map(|(_, what)| what) } else { None };
            let crash = world.chance(15).then(|| world.draw(14) as u32);
            (happening, crash)
        };
        // Nothing can be kept over a crash by a disk that takes nothing; what it did not take is written in the next cycle.
        if self.disk.full.get() {
            self.safe = self.next_cycle + ms(60_000);
        } else if self.services.as_ref().is_some_and(Sim::is_ledger_writable) && self.safe < self.now().mono {
            self.disk.steps.set(crash);
        }
        match happening {
            Some(Happening::Order) => self.random_order(),
            Some(Happening::Answer(ask)) => self.answer(ask),
            Some(Happening::Speak(identity)) => self.speak(identity),
            Some(Happening::Weather(is_bad)) => self.weather(is_bad),
            Some(Happening::Stall(more)) => self.stall(more),
            Some(Happening::WritePidfile(service, bytes)) => {
                self.world.borrow_mut().happen(Happening::WritePidfile(service, bytes));
                // The kernel may tell of it, or not.
                if self.services.is_some() && self.world.borrow_mut().chance(70) {
                    let name = format!("s{service}");
                    self.act(|services, turn| services.on_pidfile(&|spec| spec.id == name, turn));
                }
            }
            Some(what) => self.world.borrow_mut().happen(what),
            None => {}
        }
        self.deliver();
        if self.services.is_some() && deadline <= self.now().mono {
            self.act(Sim::on_deadline);
        }
        if self.services.is_some() && self.next_cycle <= self.now().mono {
            self.next_cycle = self.now().mono + ms(60_000);
            self.act(Sim::on_cycle);
            self.measure();
        }
        self.deliver();
        self.disk.steps.set(None);
        let is_written = self.safe < self.now().mono && !self.disk.full.get();
        // What is due is done first.
        let is_idle = self.services.as_ref().and_then(Sim::next_deadline).is_none_or(|due| due > self.now().mono);
        if is_written && is_idle && self.world.borrow_mut().chance(2) {
            self.upgrade();
        }
        self.check();
    }

    /// Descriptors of ended processes become readable; children are reaped.
    fn deliver(&mut self) {
        loop {
            let token = {
                let world = self.world.borrow();
                let gone = |identity: Identity| {
                    world.procs.get(&identity.pid).is_none_or(|proc| proc.identity != identity || proc.ended.is_some())
                };
                let reports =
                    world.grips.iter().filter(|(grip, (identity, _))| gone(*identity) && !world.muted.contains(grip));
                reports.map(|(_, (_, token))| *token).min()
            };
            let (Some(token), true) = (token, self.services.is_some()) else {
                break;
            };
            self.act(|services, turn| services.on_pidfd(token, turn));
        }
        if self.services.is_some() {
            // What nobody holds is reaped by the loop.
            let mut world = self.world.borrow_mut();
            world.procs.retain(|_, proc| proc.ended.is_none());
        }
    }

    fn check(&mut self) {
        let now = self.now();
        let mut world = self.world.borrow_mut();
        let Some(services) = &self.services else {
            return;
        };
        let doubt = world.doubt;
        let (forks_fail, tempo) = (world.forks_fail, world.tempo);
        let longest = LIMIT.window + TIMEOUT * 4 + ms(120_000);
        let states: Vec<ServiceState> = services.facts(now).map(|fact| fact.state).collect();
        for (service, fact) in services.facts(now).enumerate() {
            let copies = world.copies(service);
            assert!(copies <= 1, "{copies} copies of service {service}");
            let mut is_free = !doubt && !forks_fail;
            is_free &= needs(service).iter().all(|need| states[*need] == ServiceState::Ready);
            let is_arriving = |state| matches!(state, ServiceState::Starting | ServiceState::Waiting);
            let in_vain = |before: usize| {
                let lost = |need: &usize| states[*need] == ServiceState::Unknown;
                needs(before).iter().any(|need| lost(need) || needs(*need).iter().any(lost))
            };
            let waits = after(service).iter().any(|before| is_arriving(states[*before]) && !in_vain(*before));
            // What no pidfile names and nobody holds cannot be asked, or ended, until somebody has seen to its pidfile.
            let daemons = world.daemons(service);
            let is_hidden = fact.state == ServiceState::Unknown && !daemons.iter().any(|it| world.names(*it));
            let is_ill = !is_hidden
                && world.daemons(service).iter().any(|identity| {
                    let proc = &world.procs[&identity.pid];
                    proc.sick && has_checks(service) && fact.state != ServiceState::Starting
                        || has_ready(service) && proc.ready_at > now.mono
                });
            let gone = |need: &usize| !world.models[*need].wanted && world.copies(*need) == 0;
            // What another brings back is left to it once that is known; until then it is ended each time anew, if it is found.
            let revived = world.revived(service);
            let is_left = fact.state == ServiceState::Fight
                || is_hidden
                || revived.is_some_and(|it| {
                    !world.names(it) || matches!(fact.state, ServiceState::Starting | ServiceState::Unhealthy)
                });
            let is_lost = copies > 0 && !doubt && !is_left && needs(service).iter().any(gone);
            let is_spoiled = world
                .pidfiles
                .get(&service)
                .is_some_and(|(bytes, _)| matches!(parse_pidfile(bytes, ms(0)), Pidfile::Empty | Pidfile::Garbage(_)));
            let model = &mut world.models[service];
            model.was_ready |= fact.state == ServiceState::Ready;
            let is_wanted = model.wanted && model.guard && model.paused_until <= now.mono;
            // What was never seen is not known by a name: whether its first start has left anything, a spoiled pidfile keeps to itself until
            // somebody sees to it.
            let is_untold = fact.state == ServiceState::Unknown && !model.was_ready && is_spoiled;
            if !is_free || waits || !is_wanted || copies > 0 || is_untold {
                model.free_since = now.mono;
            }
            if !is_free || waits || !is_wanted || !is_ill || fact.state == ServiceState::Stopping {
                model.ill_since = now.mono;
            }
            if !is_lost || !is_wanted {
                model.lost_since = now.mono;
            }
            // Each time it is brought back it has to be found and ended anew.
            model.lost_since = model.lost_since.max(revived.map_or(ms(0), Identity::born).min(now.mono));
            for (since, longest, what) in [
                (model.free_since, longest, "stays down"),
                (model.ill_since, longest + ms(240_000) * tempo, "stays ill"),
                (model.lost_since, ms(300_000), "goes on without what it needs"),
            ] {
                let (span, state, reason) = (now.mono - since, fact.state, fact.reason);
                assert!(span <= longest, "service {service} {what}: {state} since {span:?}, {reason}");
            }
            if let Some(identity) = fact.identity {
                let known = world.procs.get(&identity.pid).filter(|proc| proc.identity == identity);
                assert!(known.is_none_or(|proc| proc.role == Role::Daemon), "a stranger passes for service {service}");
            }
        }
    }
}

/// A replayed world tells its story.
fn tell(is_loud: bool, now: Now, kind: EventKind, id: &str, what: &str) {
    if is_loud {
        println!("{:>12.3} {id} {kind}: {what}", now.mono.as_secs_f64());
    }
}

/// Starts, crashes of watchd, and the nine of [`World`].
fn play(seed: u64) -> [u64; 11] {
    let mut run = Run::new(seed);
    let end = run.now().mono + ms(HOURS * 3_600_000);
    while run.now().mono < end {
        run.turn();
    }
    let world = run.world.borrow();
    [
        world.starts,
        run.crashes,
        world.ills,
        world.lates,
        world.losses,
        world.silences,
        world.excesses,
        world.fights,
        world.peaces,
        world.presses,
        world.upgrades,
    ]
}

fn given(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// Plays the worlds of these seeds, as many at a time as there are processors. Each is one thread's alone and the same each time.
fn play_all(seeds: &std::ops::RangeInclusive<u64>) -> [u64; 11] {
    let next = AtomicU64::new(*seeds.start());
    let work = || {
        let mut sum = [0; 11];
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > *seeds.end() {
                return sum;
            }
            match catch_unwind(|| play(seed)) {
                Ok(counts) => sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count),
                Err(cause) => {
                    eprintln!("replay with WATCHD_SEED={seed}");
                    // The others may finish what they play.
                    next.store(seeds.end() + 1, Ordering::Relaxed);
                    resume_unwind(cause);
                }
            }
        }
    };
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut sum = [0; 11];
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            let counts = match thread.join() {
                Ok(counts) => counts,
                Err(cause) => resume_unwind(cause),
            };
            sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
    });
    sum
}

/// `WATCHD_SEED` replays one world and tells its story; `WATCHD_HOURS` says how many hours of one service are played, and
/// `WATCHD_FIRST_SEED` where the seeds begin.
#[test]
fn services_keep_their_promises_in_any_world() {
    let replayed = given("WATCHD_SEED");
    let worlds = given("WATCHD_HOURS").unwrap_or(SERVICE_HOURS).div_ceil(HOURS * SERVICES).max(1);
    let first = given("WATCHD_FIRST_SEED").unwrap_or(1);
    let seeds = replayed.map_or(first..=first + worlds - 1, |seed| seed..=seed);
    println!("worlds of the seeds {} to {}", seeds.start(), seeds.end());
    let hours = (seeds.end() - seeds.start() + 1) * HOURS * SERVICES;
    let sum = play_all(&seeds);
    let [starts, crashes, ills, lates, losses, silences, excesses, fights, peaces, presses, upgrades] = sum;
    println!("{hours} hours of a service, {starts} starts, {crashes} crashes of watchd, {upgrades} upgrades");
    println!("{ills} ill, {lates} late, {losses} without what they need, {silences} fell silent");
    println!("{excesses} used too much, {presses} gave their memory back, {fights} fights, {peaces} ended");
    assert!(replayed.is_some() || sum.iter().all(|count| *count > 0), "the worlds were too quiet");
}

/// The pid in a stale pidfile comes again as the start command of another service, and the clock was set back, so that the file seems
/// to be written since: what the start has made, by all that a pidfile can tell.
#[test]
fn what_is_another_services_is_not_the_work_of_a_start() {
    let mut run = Run::new(1);
    let pass = |run: &mut Run, millis: u64| {
        run.world.borrow_mut().mono += ms(millis);
        run.deliver();
        run.act(Sim::on_deadline);
    };
    let end = |run: &mut Run, identity: Identity, ending: Ending| {
        run.world.borrow_mut().kill(identity, ending);
        run.deliver();
    };
    let command = |run: &Run, service: usize| {
        let world = run.world.borrow();
        let is_it = |it: &&Proc| it.service == service && it.role == Role::Start && it.ended.is_none();
        world.procs.values().find(is_it).expect("it is being started").identity
    };
    let found =
        |run: &Run, service: usize| run.services.as_ref().and_then(|known| known.fact(service, run.now())?.identity);
    run.begin(Vec::new());
    // What waits for nobody else.
    run.order(Verb::Stop, 3);
    let first = command(&run, 2);
    end(&mut run, first, Ending::Exit(0));
    let daemon = run.world.borrow_mut().fork(2, Role::Daemon);
    {
        let mut world = run.world.borrow_mut();
        let in_two_hours = world.wall + ms(7_200_000);
        world.procs.get_mut(&daemon.pid).expect("it was made").child = false;
        world.pidfiles.insert(2, (format!("{}\n", daemon.pid).into_bytes(), in_two_hours));
    }
    pass(&mut run, 300);
    assert_eq!(found(&run, 2), Some(daemon), "its name is known from now on");
    end(&mut run, daemon, Ending::Signal(11));
    pass(&mut run, 300);
    let second = command(&run, 2);
    end(&mut run, second, Ending::Exit(0));
    // The other fails, and its next start has the pid.
    let other = command(&run, 4);
    end(&mut run, other, Ending::Exit(1));
    run.world.borrow_mut().next_pid = daemon.pid - 1;
    pass(&mut run, 300);
    assert_eq!(command(&run, 4).pid, daemon.pid);
    pass(&mut run, 300);
    assert_eq!(found(&run, 2), None, "a start command of another service");
    // The next watchd looks for one before it has looked for the other.
    run.services = None;
    run.world.borrow_mut().orphan();
    run.begin(Vec::new());
    pass(&mut run, 300);
    assert_eq!(found(&run, 2), None, "also after a crash");
}
