//! The crank: one thread, one wait, one turn after the other.
//!
//! A turn waits, reads the clock, takes what is ready, does what is due, looks when a cycle is over, judges when something changed,
//! publishes, and says that it lives. Everything that could hang is in a child with a deadline.

use std::path::PathBuf;
use std::time::Duration;

use watchd_probes::sample_limits::PROBE_COUNT;

use super::alive::Alive;
use super::by_hand::ByHand;
use super::checks::Checks;
use super::chronicle::Chronicle;
use super::config_watch::ConfigWatch;
use super::control_socket::ControlSocket;
use super::crowds::Crowds;
use super::digest::Digest;
use super::doorkeeper::Doorkeeper;
use super::ears::Ears;
use super::errands::Errands;
use super::guard::Guard;
use super::guests::Guests;
use super::judgement::{Judgement, with_conditions};
use super::learning::Learning;
use super::manner::Manner;
use super::mounts::Mounts;
use super::notes::Notes;
use super::outputs::Outputs;
use super::pidfile_watch::PidfileWatch;
use super::post::Post;
use super::publish::{Publisher, millis};
use super::reader::{Loaded, Reading};
use super::requests::ServiceWatch;
use super::scribe::{self, Scribe};
use super::services::{Services, Turn};
use super::sight::Sight;
use super::slow::Slow;
use super::stall::Stall;
use super::start::{Failure, system};
use super::system::{Grip, SystemHands};
use super::tokens::Token;
use super::turns::Turns;
use super::upgrade::{Counted, Upgrade};
use super::upkeep::Upkeep;
use crate::agent::share;
use crate::config::Memory;
use crate::model::{EventKind, Now, Places, PromiseKind, ServiceSpec};
use crate::store::Board;
use crate::store::ledger::Ledger;
use crate::store::marker;
use crate::supervisor::Bequest;
use crate::sys::capabilities::Powers;
use crate::sys::cgroup::{self, Cgroups};
use crate::sys::epoll::{Events, Interest, Poller, Ready};
use crate::sys::handover::{self, Handover};
use crate::sys::locks::Lock;
use crate::sys::notify::Notifier;
use crate::sys::signals::{Signal, Signals};
use crate::sys::{clock, daemon, files, memory, reap};

/// Everything the daemon has.
pub struct Core {
    pub(super) places: Places,
    pub(super) manner: Manner,
    pub(super) poller: Poller,
    pub(super) now: Now,
    pub(super) notes: Notes,
    pub(super) sight: Sight,
    pub(super) chronicle: Chronicle,
    pub(super) learning: Learning,
    pub(super) judgement: Judgement,
    pub(super) by_hand: ByHand,
    pub(super) turns: Turns,
    pub(super) post: Post,
    pub(super) digest: Digest,
    pub(super) services: Services<Grip>,
    /// The ledger is open for writing.
    has_ledger: bool,
    /// The probes that failed at the last look.
    pub(super) faults: [bool; PROBE_COUNT],
    pub(super) errands: Errands,
    pub(super) checks: Checks,
    pub(super) ears: Ears,
    pub(super) mounts: Mounts,
    pub(super) slow: Slow,
    pub(super) outputs: Outputs,
    pub(super) scribe: Scribe,
    pub(super) guests: Guests,
    pub(super) upkeep: Upkeep,
    pub(super) crowds: Crowds,
    pub(super) guard: Guard,
    /// What is kept of root's powers; none for all.
    pub(super) powers: Option<Powers>,
    pub(super) stall: Stall,
    pub(super) cgroups: Option<Cgroups>,
    /// Tells what is ours from what another installation has started.
    pub(super) installation: u32,
    pub(super) publisher: Publisher,
    pub(super) door: Doorkeeper,
    pub(super) control: ControlSocket,
    pub(super) config_watch: Option<ConfigWatch>,
    pub(super) pidfiles: PidfileWatch,
    pub(super) reading: Option<Reading>,
    /// The config was changed while it was read.
    pub(super) reads_again: bool,
    /// Children have ended that are still to be looked at.
    has_more_children: bool,
    pub(super) alive: Alive,
    pub(super) cycle: Duration,
    /// How late the second cycle is, for the phase of all others.
    splay: Duration,
    signals: Signals,
    notifier: Notifier,
    next_cycle: Duration,
    pub(super) next_forecast: Duration,
    next_sign: Option<Duration>,
    /// Something changed since the last judgement.
    pub(super) is_stirred: bool,
    stopping: Stopping,
    pub(super) upgrade: Upgrade,
    /// What the policy we began with has us run as.
    pub(super) run_as: Option<String>,
    /// Where our program was started from.
    pub(super) program: PathBuf,
    /// It makes us the only one.
    pub(super) lock: Lock,
}

/// How far we are in ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopping {
    No,
    /// Services that end with us are being stopped.
    Waiting,
    Now,
}

impl Core {
    /// `left` is what the program before us in this process has left.
    pub fn new(
        places: &Places,
        loaded: Loaded,
        (lock, manner): (Lock, Manner),
        left: Option<Handover>,
    ) -> Result<Self, Failure> {
        let is_upgrade = left.is_some();
        let mut left = left.unwrap_or_default();
        let now = clock::now();
        let boot_id = daemon::boot_id().map_err(|error| system("read the boot id", &error))?;
        let poller = Poller::new().map_err(|error| system("make an epoll", &error))?;
        let signals = Signals::register().map_err(|error| system("catch signals", &error))?;
        handover::let_signals_come();
        for (signal, source) in signals.sources() {
            poller
                .add(source, signal_token(signal).pack(), Interest::Read)
                .map_err(|error| system("wait for signals", &error))?;
        }
        let (mut notes, chronicle) = begin_memory(places, &manner, now);
        memory::trim_text();
        // One that ended in peace has left none.
        let was_killed = !is_upgrade && places.board().exists();
        let board = Board::take_over(&places.board()).filter(|_| is_upgrade);
        let board = board.map_or_else(|| Board::create(&places.board()), Ok);
        let mut publisher =
            Publisher::new(board.map_err(|error| system("make the board", &error))?, &loaded, &boot_id, now);
        let mut held = super::upgrade::held(&mut left);
        if was_killed {
            held.orphans = now.mono + super::orphans::PATIENCE;
        }
        let (door, missed) = super::reload::open_door(places, &loaded, held, now)?;
        for line in missed {
            notes.add(EventKind::Trouble, "", &line);
        }
        publisher.listening(&door.listening());
        let control = ControlSocket::open(&places.control(), left.control.take());
        let mut control = control.map_err(|error| system("make the control socket", &error))?;
        if let Err(error) = control.let_in(loaded.policy.daemon.control_group) {
            notes.add(EventKind::Trouble, "", &format!("cannot open the control socket to its group: {error}"));
        }
        poller
            .add(control.source(), Token::Control.pack(), Interest::Read)
            .map_err(|error| system("wait for requests", &error))?;
        memory::trim_text();
        let mut sight = Sight::open(places).map_err(|fault| Failure::System(fault.to_string()))?;
        let Loaded { policy, host, .. } = loaded;
        let (mut ears, mut specs) = (Ears::of(std::mem::take(&mut left.ears)), policy.services);
        ears.tune(&mut specs, places, &poller, &mut |kind, subject, text| notes.add(kind, subject, text));
        if !manner.is_guest() {
            scribe::lend(&mut specs, places, &mut |kind, subject, text| notes.add(kind, subject, text));
        }
        let specs = with_conditions(specs, &policy.promises);
        let learning = Learning::open(places, policy.classes.quantities(), policy.learn_after, now, &mut notes);
        let mut judgement = Judgement::new(policy.promises, policy.classes, &host, policy.daemon.cycle);
        let shared = manner.shared(places);
        let (by_hand, given) = ByHand::open(&shared, (boot_id, manner.is_guest()), now, &mut notes);
        judgement.classes.given = given;
        let counted = Counted::of(&left);
        judgement.inherit(counted.judgement);
        let turns = Turns::open(&shared, (boot_id, manner.is_shadow && manner.is_guest()), &mut notes);
        turns.recall(&mut judgement.agent, now);
        let post = Post::open(places, manner.is_shadow, &mut notes);
        let may_group = policy.daemon.cgroup && !manner.is_guest();
        let cgroups = may_group.then(|| Cgroups::find(&places.state_dir)).flatten();
        // What services of another policy, or of a watchd that was killed, have left.
        cgroups.iter().for_each(Cgroups::clear);
        memory::trim_text();
        let installation = cgroup::installation(&places.state_dir);
        let known = (cgroups.as_ref(), installation);
        let bequests = counted.services;
        let world = World { places: &shared, boot_id, now, is_guest: manner.is_guest(), known, bequests };
        let (services, has_ledger) = begin_services(specs, world, &poller, &mut sight, &mut notes);
        memory::keep_text(policy.daemon.memory == Memory::Keep);
        let mut core = Self {
            places: places.clone(),
            manner,
            services,
            has_ledger,
            faults: [false; PROBE_COUNT],
            poller,
            now,
            notes,
            sight,
            chronicle,
            learning,
            judgement,
            by_hand,
            turns,
            post,
            digest: Digest::open(&shared, policy.daemon.digest),
            errands: Errands::default(),
            checks: Checks::default(),
            ears,
            mounts: Mounts::default(),
            slow: Slow::default(),
            outputs: Outputs::default(),
            scribe: Scribe::default(),
            guests: Guests::default(),
            upkeep: Upkeep::default(),
            crowds: Crowds::default(),
            guard: Guard::default(),
            powers: policy.daemon.powers,
            stall: Stall::default(),
            cgroups,
            installation,
            publisher,
            door,
            control,
            config_watch: None,
            pidfiles: PidfileWatch::default(),
            reading: None,
            reads_again: false,
            has_more_children: false,
            alive: Alive::new(policy.daemon.alive.as_deref()),
            cycle: policy.daemon.cycle,
            splay: policy.daemon.splay,
            signals,
            notifier: Notifier::from_environment(),
            next_cycle: now.mono,
            next_forecast: now.mono,
            next_sign: None,
            is_stirred: true,
            stopping: Stopping::No,
            upgrade: Upgrade::No,
            run_as: policy.daemon.run_as,
            program: super::upgrade::program(),
            lock,
        };
        if is_upgrade {
            core.take_over(&left.from, left.client);
        }
        core.next_sign = core.notifier.period().map(|_| now.mono);
        if core.manner.is_daemon() {
            core.stall = Stall::watch(&places.root, &core.poller);
            core.watch_config(policy.file.as_deref());
        }
        core.follow_watchdog(policy.daemon.watchdog_device.as_deref());
        Ok(core)
    }

    /// Turns until asked to stop.
    pub fn run(&mut self) -> Result<(), Failure> {
        if self.upgrade != Upgrade::Done {
            let text = concat!("watchd ", env!("CARGO_PKG_VERSION"), " looks after this host");
            let in_shadow =
                concat!("watchd ", env!("CARGO_PKG_VERSION"), " looks on in the shadow and acts on nothing");
            self.notes.add(EventKind::DaemonStarted, "", if self.manner.is_shadow { in_shadow } else { text });
        }
        self.upgrade = Upgrade::No;
        // The child that read the config may have ended before its signal was caught.
        self.on_children();
        memory::trim_text();
        self.look();
        self.next_cycle += self.splay.mul_f64(share(self.judgement.agent.host(), "watchd"));
        self.finish_turn(true);
        self.greet();
        // What the start has left of the heap would be the door's as well.
        memory::trim_heap();
        memory::trim_text();
        self.open_door();
        memory::turn();
        self.notifier.say("READY=1");
        let mut events = Events::default();
        while self.stopping != Stopping::Now {
            self.turn(&mut events)?;
        }
        self.notifier.say("STOPPING=1");
        self.end();
        Ok(())
    }

    /// A turn of a pass that is made once; `end` is when it has to be over.
    pub(super) fn turn_once(&mut self, end: Option<Duration>) -> Result<(), Failure> {
        self.next_cycle = end.unwrap_or(Duration::MAX);
        let turned = self.turn(&mut Events::default());
        self.postpone_cycles();
        turned
    }

    /// No further cycle: there is but one.
    pub(super) fn postpone_cycles(&mut self) {
        self.next_cycle = Duration::MAX;
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping != Stopping::No
    }

    fn turn(&mut self, events: &mut Events) -> Result<(), Failure> {
        let deadline = self.deadline();
        self.poller
            .wait(events, Some(deadline.saturating_sub(clock::now().mono)))
            .map_err(|error| system("wait for events", &error))?;
        self.now = clock::now();
        self.notes.turn(self.now);
        for ready in events.iter() {
            self.on_ready(ready);
            memory::trim_grown();
        }
        self.on_deadlines();
        memory::trim_grown();
        let is_cycle = self.manner.is_daemon() && self.next_cycle <= self.now.mono;
        if is_cycle {
            self.look();
        }
        self.finish_turn(is_cycle);
        self.guard.turn(self.now.mono, &mut self.notes);
        Ok(())
    }

    /// Feeds the machine's watchdog, if the policy names one; who only looks on does not.
    pub(super) fn follow_watchdog(&mut self, path: Option<&str>) {
        let acts = self.manner.is_daemon() && !self.manner.is_shadow;
        self.guard.follow(path.filter(|_| acts), &mut self.notes);
    }

    /// The moment when something is due that nobody will wake us for.
    fn deadline(&self) -> Duration {
        let pending = [
            self.services.next_deadline(),
            self.errands.deadline(),
            self.checks.deadline(),
            self.ears.deadline(),
            self.scribe.deadline(),
            self.mounts.deadline(),
            self.slow.deadline(),
            self.guests.deadline(),
            self.upkeep.deadline(),
            self.crowds.deadline(),
            self.guard.deadline(),
            self.letter_deadline(),
            self.control.deadline(),
            self.door.deadline(),
            self.judgement.classes.given.deadline(),
            self.config_watch.as_ref().and_then(ConfigWatch::deadline),
            self.reading.as_ref().map(Reading::deadline),
            self.next_sign,
            self.upgrade.deadline(),
            self.has_more_children.then_some(self.now.mono),
        ];
        pending.into_iter().flatten().fold(self.next_cycle, Duration::min)
    }

    fn on_ready(&mut self, ready: Ready) {
        match Token::unpack(ready.token) {
            Some(Token::Child) => self.on_children(),
            Some(Token::Reload) => {
                self.signals.drain(Signal::Reload);
                self.reload();
            }
            Some(Token::Stop) => {
                self.signals.drain(Signal::Stop);
                self.stop();
            }
            Some(Token::Upgrade) => {
                self.signals.drain(Signal::Upgrade);
                self.try_program(None);
            }
            Some(Token::Control) => self.on_control(),
            Some(Token::Client(id)) => self.on_client(id),
            Some(Token::Config) => {
                if let Some(watch) = &mut self.config_watch {
                    watch.drain(self.now.mono);
                }
            }
            Some(Token::Reading) => self.on_reading(),
            Some(Token::Mounts) => {
                self.mounts.advance(&mut self.sight.probes.filesystem);
            }
            Some(Token::Slow) => self.slow.advance(&mut self.sight.probes, self.now.mono),
            Some(Token::Upkeep) => self.on_upkeep(),
            Some(Token::Crowd) => self.advance_crowds(),
            Some(Token::Stall) => self.on_stall(ready),
            Some(Token::Pidfiles) => self.on_pidfiles(),
            Some(Token::Service(token)) => self.with_services(|services, turn| services.on_pidfd(token, turn)),
            Some(Token::Errand(id)) => self.errands.on_ready(id, &self.poller),
            Some(Token::Check(id)) => self.on_check(id),
            Some(Token::Ear(id)) => self.on_ear(id),
            Some(Token::Feed) => self.on_feed(),
            Some(Token::Guests) => self.guests.on_ready(&self.door.wanted().kitchen, &self.poller, self.now.mono),
            None => {}
        }
    }

    pub(super) fn on_children(&mut self) {
        self.signals.drain(Signal::Child);
        // What is more than one batch waits for the next turn, so that a storm of deaths holds up nothing else.
        self.has_more_children = reap::drain(&mut |pid, ending| {
            self.with_services(|services, turn| services.on_child(pid, ending, turn));
            self.on_errand_end(pid, ending);
            self.guests.on_child(pid, ending);
            self.on_helper_end(pid);
        });
    }

    fn on_deadlines(&mut self) {
        let mono = self.now.mono;
        if std::mem::take(&mut self.has_more_children) {
            self.on_children();
        }
        self.with_services(|services, turn| services.on_deadline(turn));
        self.errands.expire(mono);
        self.expire_checks();
        self.expire_classes();
        self.ears.renew(mono, &self.poller);
        self.renew_feeds();
        self.guests.expire(mono, &self.poller);
        self.control.expire(mono);
        if self.control.is_rested(mono) {
            let _ = self.poller.modify(self.control.source(), Token::Control.pack(), Interest::Read);
        }
        self.mounts.expire(&mut self.sight.probes.filesystem, mono);
        self.slow.expire(&mut self.sight.probes, mono);
        self.expire_upkeep();
        self.advance_crowds();
        self.carry_letters();
        if self.config_watch.as_mut().is_some_and(|watch| watch.take_due(mono)) {
            self.reload();
        }
        self.expire_reading();
        self.mind_door();
        self.open_door();
        if self.next_sign.is_some_and(|due| due <= mono) {
            self.notifier.say("WATCHDOG=1");
            self.next_sign = self.notifier.period().map(|period| mono + period);
        }
    }

    /// One cycle's look at the host.
    pub(super) fn look(&mut self) {
        self.retry_state();
        self.aim_service_probe();
        self.sight.look(self.now);
        memory::trim_grown();
        let agent = &self.judgement.agent;
        let measures = (0..).zip(agent.promises()).filter(|(_, promise)| promise.kind() == PromiseKind::Measure);
        let measures = measures.map(|(place, promise)| (promise.id.as_str(), agent.figures(place)[0]));
        self.chronicle.record((self.sight.readings(), measures), self.now, &mut self.notes);
        self.look_ahead();
        self.learn();
        self.note_faults();
        if let Some(source) = self.mounts.start(&self.sight.host, &self.sight.probes.filesystem, self.now.mono) {
            let _ = self.poller.add(source, Token::Mounts.pack(), Interest::Read);
        }
        if self.manner.is_daemon()
            && let Some(source) = self.slow.start(&self.sight.host, &self.sight.probes.conntrack, self.now.mono)
        {
            let _ = self.poller.add(source, Token::Slow.pack(), Interest::Read);
        }
        self.outputs.look(self.services.specs(), self.now.mono);
        self.watch_pidfiles();
        self.follow_feeds();
        self.with_services(|services, turn| services.on_cycle(turn));
        self.measure_services();
        self.tell_weather();
        self.ask_for_stall();
        memory::trim_grown();
        if self.manner.is_daemon() {
            self.alive.beat(self.now.wall, &mut self.notes);
        }
        // A turn that came late does not make the next one early.
        self.next_cycle = self.next_cycle.saturating_add(self.cycle);
        if self.next_cycle <= self.now.mono {
            self.next_cycle = self.now.mono + self.cycle;
        }
    }

    /// Tries again to open what has to be remembered, where that failed: a disk that was full or read-only may not be any more.
    fn retry_state(&mut self) {
        if self.manner.is_guest() {
            return;
        }
        if self.services.ledger().is_some_and(Ledger::is_removed) {
            self.has_ledger = false;
            self.with_services(|services, turn| services.lose_ledger(files::removed(), turn));
        }
        if !self.is_state_writable() || self.notes.journal().is_some_and(files::is_removed) {
            // It may be missing since the start, or taken away since; where it is there, this changes nothing.
            let _ = files::own_dir(&self.places.state_dir);
        }
        self.retry_classes();
        self.turns.retry(&mut self.notes);
        self.post.retry(&mut self.notes);
        self.notes.retry(|| self.places.events());
        if !self.has_ledger
            && let Ok(boot_id) = daemon::boot_id()
            && let Ok(ledger) = open_ledger(&self.places, boot_id, &mut self.notes)
        {
            self.has_ledger = true;
            self.with_services(|services, turn| services.set_ledger(ledger, turn));
        }
    }

    /// Whether everything that has to be remembered can be.
    pub(super) fn is_state_writable(&self) -> bool {
        // A guest has no ledger and no journal to write.
        (self.has_ledger || self.manner.is_guest())
            && self.notes.is_writable()
            && (self.services.is_ledger_writable() || self.manner.is_guest())
            && self.chronicle.is_writable()
            && self.by_hand.is_writable()
            && self.turns.is_writable()
            && self.post.is_writable()
            && self.learning.is_writable()
    }

    /// Tells the probe of services which processes they are.
    fn aim_service_probe(&mut self) {
        let probe = &mut self.sight.probes.service;
        let mut count = 0;
        for (place, fact) in self.services.facts(self.now).enumerate() {
            let pid = fact.identity.map(|identity| identity.pid);
            probe.watch(place, fact.id.as_bytes(), pid, fact.identity.map_or(0, |identity| identity.start_ticks));
            count += 1;
        }
        probe.truncate(count);
    }

    /// A new length of the cycle counts from now.
    pub(super) fn bring_cycle_forward(&mut self) {
        self.next_cycle = self.next_cycle.min(self.now.mono + self.cycle);
    }

    /// Judges, acts, publishes, and gives back what the turn needed.
    pub(super) fn finish_turn(&mut self, is_cycle: bool) {
        // What would begin now would be lost with this program.
        let may_begin = !matches!(self.upgrade, Upgrade::Waiting { .. });
        if may_begin {
            self.ask_checks();
            self.run_wanted();
        }
        if is_cycle || self.is_stirred {
            if may_begin {
                self.judge(is_cycle);
                self.start_upkeep();
            }
            memory::trim_grown();
            self.publish(is_cycle);
        }
        self.publisher.beat(self.now, clock::now());
        if is_cycle {
            memory::trim_after_cycle();
        } else {
            memory::trim_grown();
        }
        if self.stopping == Stopping::Waiting && self.services.is_quiet() {
            self.stopping = Stopping::Now;
        }
        if self.stopping == Stopping::No && !may_begin {
            self.go_on();
        }
    }

    /// The lock, when all else is over.
    pub fn into_lock(self) -> Lock {
        self.lock
    }

    /// Begins to end: services that are to end with us are stopped first.
    pub(super) fn stop(&mut self) {
        if self.stopping == Stopping::No {
            self.stopping = Stopping::Waiting;
            self.with_services(|services, turn| services.shutdown(turn));
        } else {
            // Asked twice: no more waiting.
            self.stopping = Stopping::Now;
        }
    }

    fn end(&mut self) {
        self.errands.end_all();
        self.guests.close(&self.poller);
        self.cgroups.iter().for_each(Cgroups::clear);
        self.guard.release(&mut self.notes);
        self.notes.add(EventKind::DaemonStopped, "", "stopped on purpose");
        let marked = daemon::boot_id().and_then(|boot| marker::mark_stopped(&self.places.stopped(), &boot));
        if let Err(error) = marked {
            self.notes.add(EventKind::Trouble, "", &format!("cannot mark that we were stopped on purpose: {error}"));
        }
        self.door.close();
    }
}

/// Opens what is remembered of the past, as far as it is ours to write.
fn begin_memory(places: &Places, manner: &Manner, now: Now) -> (Notes, Chronicle) {
    let mut notes = if manner.is_guest() { Notes::passing(now) } else { Notes::open(&places.events(), now) };
    if !manner.is_daemon() {
        notes.be_quiet();
        return (notes, Chronicle::none(places));
    }
    if let Err(error) = marker::clear_stopped(&places.stopped()) {
        let text = format!("cannot clear the mark of a stop on purpose: {error}");
        notes.add(EventKind::StateUnwritable, "", &text);
    }
    let chronicle = Chronicle::open(places, now, &mut notes);
    (notes, chronicle)
}

/// Where services are taken up.
struct World<'a> {
    places: &'a Places,
    boot_id: [u8; 40],
    now: Now,
    /// Beside a daemon, whose ledger is only read.
    is_guest: bool,
    /// The groups of what we start, and how it is marked.
    known: (Option<&'a Cgroups>, u32),
    /// What the program before us has counted.
    bequests: Vec<(String, Bequest)>,
}

/// Opens the ledger and takes up the services of the policy; says whether it can be written.
fn begin_services(
    specs: Vec<(ServiceSpec, bool)>,
    World { places, boot_id, now, is_guest, known: (cgroups, installation), bequests }: World<'_>,
    poller: &Poller,
    sight: &mut Sight,
    notes: &mut Notes,
) -> (Services<Grip>, bool) {
    let mut ledger = None;
    if !is_guest {
        ledger = open_ledger(places, boot_id, notes)
            .inspect_err(|error| {
                notes.add(EventKind::StateUnwritable, "", &format!("cannot open the ledger of services: {error}"));
            })
            .ok();
    }
    let has_ledger = ledger.is_some();
    let ledger = ledger.or_else(|| Ledger::open_for_reading(&places.services(), boot_id).ok());
    let mut watch = ServiceWatch(poller);
    let mut hands = SystemHands {
        watch: &mut watch,
        host: &sight.host,
        buffer: &mut sight.buffer,
        now,
        cgroups,
        installation,
        killed: &sight.killed,
        strays: None,
    };
    let mut note = |kind, subject: &str, text: &str| notes.add(kind, subject, text);
    // Different on every host and at every start, which is all that jitter needs.
    let seed = u64::from(std::process::id()) ^ millis(now.wall);
    let mut turn = Turn { hands: &mut hands, now, note: &mut note };
    (Services::take_up(specs, (ledger, bequests), seed, &mut turn), has_ledger)
}

fn open_ledger(places: &Places, boot_id: [u8; 40], notes: &mut Notes) -> std::io::Result<Ledger> {
    let (ledger, damage) = Ledger::open(&places.services(), boot_id)?;
    if let Some(damage) = damage {
        let text = format!("the ledger of services was damaged; it is kept as {}", damage.display());
        notes.add(EventKind::StateDamaged, "", &text);
    }
    Ok(ledger)
}

fn signal_token(signal: Signal) -> Token {
    match signal {
        Signal::Child => Token::Child,
        Signal::Reload => Token::Reload,
        Signal::Stop => Token::Stop,
        Signal::Upgrade => Token::Upgrade,
    }
}
