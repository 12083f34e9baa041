//! Shows everything on the board: the header, and rows made from services, classes, promises and notes.

use std::time::Duration;

use watchd_probes::{Look, ProbeId, process};
use zerocopy::FromZeros;

use super::core::Core;
use super::policy::{Munin, Policy};
use super::reader::Loaded;
use crate::agent::Work;
use crate::classes::{Classes, Giver, Prefix};
use crate::model::{ClassKind, EventKind, Form, Now};
use crate::store::board::{self, By, Page, fixed};
use crate::store::{Board, ClassRow, Header, PromiseRow, Readings, ServiceRow, locks};
use crate::sys::{daemon, memory};

/// The board and what is put on it.
pub struct Publisher {
    board: Board,
    pub header: Header,
    pub services: Vec<ServiceRow>,
    classes: Vec<ClassRow>,
    promises: Vec<PromiseRow>,
}

impl Publisher {
    pub fn new(board: Board, loaded: &Loaded, boot_id: &[u8; 40], now: Now) -> Self {
        let identity = daemon::own_identity();
        let header = Header {
            pid: std::process::id(),
            start_ticks: identity.map_or(0, |identity| identity.start_ticks),
            boot_id: *boot_id,
            started_wall_ms: millis(now.wall),
            started_mono_ms: millis(now.mono),
            version: fixed(env!("CARGO_PKG_VERSION")),
            host: fixed(&loaded.host),
            kernel_release: fixed(&daemon::kernel_fact("osrelease")),
            kernel_version: fixed(&daemon::kernel_fact("version")),
            node_name: fixed(&daemon::kernel_fact("hostname")),
            domain_name: fixed(&daemon::kernel_fact("domainname")),
            state_ok: 1,
            ..Header::default()
        };
        let mut publisher = Self { board, header, services: Vec::new(), classes: Vec::new(), promises: Vec::new() };
        publisher.loaded(&loaded.policy, now);
        publisher
    }

    pub fn board(&self) -> &Board {
        &self.board
    }

    /// A config was loaded.
    pub fn loaded(&mut self, policy: &Policy, now: Now) {
        self.header.config_file = fixed(policy.file.as_deref().unwrap_or(""));
        self.header.config_error = fixed("");
        self.header.config_ok = 1;
        self.header.config_loaded_wall_ms = millis(now.wall);
        self.header.cycle_ms = millis(policy.daemon.cycle);
        let munin = |has: fn(&Munin) -> bool, bit| if policy.munin.as_ref().is_some_and(has) { bit } else { 0 };
        self.header.munin =
            munin(|munin| munin.learn_limits, Header::LEARN_LIMITS) | munin(|munin| munin.spool, Header::SPOOL);
    }

    /// A config was refused; the one before goes on.
    pub fn refused(&mut self, faults: &[String]) {
        self.header.config_ok = 0;
        self.header.config_error = fixed(&faults.join("\n"));
    }

    pub fn listening(&mut self, text: &str) {
        self.header.listening = fixed(text);
    }

    /// Says that the loop turns, and how long this turn took.
    pub fn beat(&mut self, began: Now, ended: Now) {
        let took = u64::try_from(ended.mono.saturating_sub(began.mono).as_micros()).unwrap_or(u64::MAX);
        self.header.longest_turn_us = self.header.longest_turn_us.max(took);
        self.board.beat(millis(ended.mono));
    }
}

impl Core {
    /// Publishes everything as it is now, and notes which classes changed.
    pub(super) fn publish(&mut self, is_cycle: bool) {
        self.fill_services();
        if is_cycle {
            self.weigh();
        }
        self.fill_promises();
        self.fill_classes();
        let (taken, state_ok) = (self.sight.taken(), u32::from(self.is_state_writable()));
        let header = &mut self.publisher.header;
        header.sample_wall_ms = millis(taken.wall);
        header.sample_mono_ms = millis(taken.mono);
        header.cycles += u64::from(is_cycle);
        header.events_total = self.notes.total();
        header.door_pid = self.door.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
        header.state_ok = state_ok;
        let publisher = &mut self.publisher;
        publisher.board.publish(&Page {
            header: &publisher.header,
            readings: self.sight.readings(),
            services: &publisher.services,
            classes: &publisher.classes,
            promises: &publisher.promises,
            events: self.notes.rows(),
            learned: self.learning.rows(),
        });
    }

    /// How much of us is resident.
    fn weigh(&mut self) {
        let own = i32::try_from(self.publisher.header.pid).ok();
        let door = self.door.pid();
        let mut look = Look { host: &self.sight.host, buffer: &mut self.sight.buffer, now: self.now };
        let mut resident = |pid: Option<i32>| {
            let stat = pid.and_then(|pid| process::stat(&mut look, pid).ok());
            stat.and_then(|stat| u32::try_from(memory::pages_kib(stat.rss_pages)).ok()).unwrap_or(0)
        };
        let header = &mut self.publisher.header;
        (header.rss_kib, header.door_rss_kib) = (resident(own), resident(door));
    }

    fn fill_services(&mut self) {
        let now = self.now;
        let rows = &mut self.publisher.services;
        rows.clear();
        rows.extend(self.services.facts(now).map(|fact| ServiceRow {
            id: fixed(fact.id),
            since_wall_ms: millis(now.wall.saturating_sub(now.mono.saturating_sub(fact.since))),
            since_mono_ms: millis(fact.since),
            start_ticks: fact.identity.map_or(0, |identity| identity.start_ticks),
            pid: fact.identity.map_or(0, |identity| identity.pid),
            restarts: fact.restarts,
            budget_left: fact.budget_left,
            budget_full: fact.spec.limit.count,
            state: fact.state.byte(),
            guard: u8::from(fact.guard),
            form: match fact.spec.form {
                Form::Run(_) => 0,
                Form::Pidfile(_) => 1,
                Form::Match(_) => 2,
            },
            reason: fixed(fact.reason),
            ..ServiceRow::new_zeroed()
        }));
    }

    fn fill_promises(&mut self) {
        let (agent, classes) = (&self.judgement.agent, &self.judgement.classes);
        let (readings, rows) = (self.sight.readings(), &mut self.publisher.promises);
        rows.clear();
        for (place, promise) in agent.promises().iter().enumerate() {
            let Some((outcome, since)) = agent.outcome(place) else { continue };
            rows.push(PromiseRow {
                id: fixed(&promise.id),
                at_wall_ms: millis(since),
                kind: promise.kind().byte(),
                outcome: outcome.byte(),
                figures: match promise.work {
                    Work::Disk(disk) => foreseen(classes, readings, disk),
                    _ => agent.figures(place),
                },
                ..PromiseRow::new_zeroed()
            });
        }
    }

    fn fill_classes(&mut self) {
        let agent = &self.judgement.agent;
        let services = &self.services;
        let (rows, notes) = (&mut self.publisher.classes, &mut self.notes);
        let mut count = 0;
        self.judgement.classes.each(
            &|service| services.specs().nth(service).map(|spec| spec.id.as_str()),
            &|promise| agent.promises().get(promise).map(|promise| -> Prefix<'_> { promise.prefix() }),
            &mut |class| {
                let (by, giver) = given_by(class.giver).fields();
                let row = ClassRow {
                    since_s: seconds(class.since),
                    until_s: seconds(class.until),
                    by,
                    name: fixed(class.name),
                    kind: class.kind.byte(),
                    on: u8::from(class.on),
                    giver,
                    ..ClassRow::new_zeroed()
                };
                let old = rows.get_mut(count);
                let changed = old.as_ref().is_some_and(|old| old.name == row.name && old.on != row.on);
                if changed && matches!(class.kind, ClassKind::Measured | ClassKind::Defined) {
                    let kind = if class.on { EventKind::ClassSet } else { EventKind::ClassCleared };
                    notes.add(kind, class.name, class.kind.word());
                }
                match old {
                    Some(old) => *old = row,
                    None => rows.push(row),
                }
                count += 1;
            },
        );
        rows.truncate(count);
    }

    /// The first lines a person reads.
    pub(super) fn greet(&self) {
        let header = &self.publisher.header;
        let view = self.sight.readings().view;
        let count = |probe| view.objects(probe).count();
        let mut text = format!(
            "watchd {} looks after {}: {} processors, {} file systems, {} disks, {} interfaces, {} services\n",
            env!("CARGO_PKG_VERSION"),
            board::text(&header.host),
            count(watchd_probes::ProbeId::Cpu),
            count(watchd_probes::ProbeId::Filesystem),
            count(watchd_probes::ProbeId::Disk),
            count(watchd_probes::ProbeId::Network),
            self.publisher.services.len(),
        );
        let config = board::text(&header.config_file);
        text += &format!("  config    {}\n", if config.is_empty() { "the embedded default" } else { config });
        let listening = board::text(&header.listening);
        for place in listening.split(", ").filter(|place| !place.is_empty()) {
            match place.split_once(' ') {
                Some(("http", address)) => {
                    text += &format!("  http      http://{address}/  /metrics  /api/status  /healthz\n");
                }
                Some((what, address)) => text += &format!("  {what:<9} {address}\n"),
                None => {}
            }
        }
        text += &format!("  state     {}\n", self.places.state_dir.display());
        text += "  look      watchd status, watchd events, watchd why NAME\n";
        // Nobody may read it.
        let _ = crate::sys::stderr::write_out(text.as_bytes());
    }
}

/// Who gave a class, as the board has it.
fn given_by(giver: Option<Giver>) -> By {
    match giver {
        Some(Giver::Hand(Some(uid))) => By::Hand(uid),
        Some(Giver::Command(key)) => By::Command(locks::short(key)),
        _ => By::Unknown,
    }
}

/// Whole seconds since 1970, as a class has them.
fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

/// Milliseconds, as they stand on the board.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The seconds until a disk is full, and its place among the file systems; neither where the policy asks for no forecast.
fn foreseen(classes: &Classes, readings: Readings<'_>, disk: u16) -> [f64; 2] {
    let (table, view) = (classes.table(), readings.view);
    let is_asked = table.forecasts().iter().any(|(asked, _)| *asked == disk);
    let path = table.disks().get(usize::from(disk)).filter(|_| is_asked);
    let find =
        |path: &String| view.objects(ProbeId::Filesystem).position(|object| view.part(object, 0) == path.as_bytes());
    let place = path.and_then(find).and_then(|place| u32::try_from(place).ok());
    let left = classes.disk_left(disk).filter(|_| place.is_some());
    [left.map_or(f64::NAN, |left| left.as_secs_f64().floor()), place.map_or(f64::NAN, f64::from)]
}
