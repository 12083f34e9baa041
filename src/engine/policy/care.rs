//! `ready`, `check`, `needs`, `after` and `tags` of a service into what the supervisor needs, and whether they make sense.

use std::time::Duration;

use super::assemble::Maker;
use super::existence;
use super::services::launch;
use crate::config::{Aim, At, Check, Count, Document, HeaderLine, Id, Named, Place, Process, Ready, Statuses, nearest};
use crate::engine::ears::{below, seen_from};
use crate::model::{self, Care, Http, OnExit, OnPressure, Readiness, ServiceSpec, Target};

const MILLI: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
/// Checks of one service; each of them costs memory.
const CHECKS: usize = 8;

impl Maker {
    /// With a fault the result is only a stand-in: it never leaves `assemble`.
    pub fn care(&mut self, named: &Named<Process>, key: &str) -> Care {
        let section = &named.section;
        let ready = section.ready.as_ref().and_then(|ready| {
            let (key, range) = (format!("{key}.ready"), (100 * MILLI, HOUR));
            let within = self.time(ready.value.within.as_ref(), &format!("{key}.within"), range);
            let target = self.readiness(&ready.value, (ready.place, &key), section)?;
            Some(Readiness { target, within: within.unwrap_or(10_000 * MILLI) })
        });
        let mut checks = Vec::new();
        if let Some(list) = &section.check {
            if list.value.len() > CHECKS {
                let what = format!("{} checks are too many", list.value.len());
                self.findings.fault(list.place, &format!("{key}.check"), what, format!("write at most {CHECKS}"));
            }
            for (number, check) in (1..).zip(&list.value) {
                let key = format!("{key}.check[{number}]");
                checks.extend(self.check(check, (list.place, &key), section));
            }
        }
        let words = |ids: &Option<At<Vec<Id>>>| -> Vec<String> {
            ids.iter().flat_map(|ids| ids.value.iter().map(|id| id.0.clone())).collect()
        };
        let (watchdog, bounds) = (self.watchdog(section, key), self.bounds(section, key));
        self.voice(section, key);
        Care {
            ready,
            checks,
            watchdog,
            bounds,
            on_pressure: self.on_pressure(section, key),
            is_heedless: section.wait_for_host.as_ref().is_some_and(|wait| !wait.value),
            needs: words(&section.needs),
            after: words(&section.after),
            tags: words(&section.tags),
            ends_with_policy: section.on_remove.as_ref().is_some_and(|at| at.value == OnExit::Stop),
            cooldown: section.common.cooldown.as_ref().map_or(Duration::ZERO, |at| at.value),
        }
    }

    /// What tells that it is ready: its own word, or an answer.
    fn readiness(&mut self, ready: &Ready, (place, key): (Place, &str), section: &Process) -> Option<Target> {
        let Some(notify) = &ready.notify else { return self.target(&ready.aim, (place, key), section) };
        let key = format!("{key}.notify");
        if !notify.value {
            self.findings.fault(notify.place, &key, "asks nothing", "take it out, or write true");
        } else if asks(&ready.aim) {
            self.findings.fault(notify.place, &key, "stands beside a question", "keep one of them");
        } else if section.run.is_none() && section.start.is_none() {
            let remedy = "take it out, or say with `start` how it is started";
            self.findings.fault(notify.place, &key, "is of no use: nothing is started that could be told", remedy);
        }
        Some(Target::Notify)
    }

    fn on_pressure(&mut self, section: &Process, key: &str) -> OnPressure {
        let Some(at) = &section.on_pressure else { return OnPressure::Leave };
        if at.value == OnPressure::Restart && section.run.is_none() && section.start.is_none() {
            let remedy = "take it out, or say with `start` how it is started";
            self.findings.fault(at.place, &format!("{key}.on-pressure"), "nothing says how to start it again", remedy);
        }
        at.value
    }

    fn watchdog(&mut self, section: &Process, key: &str) -> Option<Duration> {
        let (at, key) = (section.watchdog.as_ref()?, format!("{key}.watchdog"));
        if section.run.is_none() && section.start.is_none() {
            let remedy = "take it out, or say with `start` how it is started";
            self.findings.fault(at.place, &key, "is of no use: nothing is started that could be told", remedy);
        }
        self.time(Some(at), &key, (500 * MILLI, HOUR))
    }

    /// Warns when what is to speak of itself is started behind another root, from where it does not reach us.
    fn voice(&mut self, section: &Process, key: &str) {
        let notify = section.ready.as_ref().and_then(|ready| ready.value.notify.as_ref());
        let spoken = notify.map(|at| (at.place, "ready.notify"));
        let spoken = spoken.or_else(|| section.watchdog.as_ref().map(|at| (at.place, "watchdog")));
        let root = section.surroundings.chroot.as_ref().map(|at| at.value.0.as_str());
        let (Some((place, name)), Some(root), Some(dir)) = (spoken, root, &self.notify) else { return };
        if seen_from(root, dir).is_none() {
            let (dir, below) = (dir.display(), below(root, dir));
            let what = format!("behind its chroot {root} the service does not reach {dir}, where it is to speak");
            let remedy = format!("mount that at {} (mount --bind), or ask it in another way", below.display());
            self.findings.warn(place, &format!("{key}.{name}"), what, remedy);
        }
    }

    fn check(&mut self, check: &Check, (place, key): (Place, &str), section: &Process) -> Option<model::Check> {
        let every = self.time(check.every.as_ref(), &format!("{key}.every"), (100 * MILLI, 24 * HOUR));
        let timeout = self.time(check.timeout.as_ref(), &format!("{key}.timeout"), (10 * MILLI, HOUR));
        let target = self.target(&check.aim, (place, key), section)?;
        let count = |at: &Option<At<Count>>, default| at.as_ref().map_or(default, |count| count.value.0);
        Some(model::Check {
            target,
            every: every.unwrap_or(10_000 * MILLI),
            timeout: timeout.unwrap_or(2_000 * MILLI),
            fails: count(&check.fails, 3),
            passes: count(&check.passes, 1),
        })
    }

    /// Exactly one of the kinds, and nothing that belongs to another.
    fn target(&mut self, aim: &Aim, (place, key): (Place, &str), section: &Process) -> Option<Target> {
        let given = [
            ("tcp", aim.tcp.as_ref().map(|at| at.place)),
            ("unix", aim.unix.as_ref().map(|at| at.place)),
            ("http", aim.http.as_ref().map(|at| at.place)),
            ("exec", aim.exec.as_ref().map(|at| at.place)),
            ("fresh", aim.fresh.as_ref().map(|at| at.place)),
        ];
        let mut kinds = given.into_iter().filter_map(|(name, place)| place.map(|place| (name, place)));
        let first = kinds.next();
        for (name, place) in kinds {
            let what = format!("stands beside `{}`", first.map_or("", |(first, _)| first));
            let remedy = "keep one of tcp, unix, http, exec and fresh";
            self.findings.fault(place, &format!("{key}.{name}"), what, remedy);
        }
        if first.is_none() && !self.findings.mentions(key) {
            let remedy = "say what is asked: tcp, unix, http, exec or fresh";
            self.findings.fault(place, key, "asks nothing", remedy);
        }
        self.only_with_http(aim, key);
        let ports = [
            ("tcp", aim.tcp.as_ref().map(|at| (at.value.port(), at.place))),
            ("http", aim.http.as_ref().map(|at| (at.value.address.port(), at.place))),
        ];
        for (name, port) in ports {
            if let Some((0, place)) = port {
                self.findings.fault(place, &format!("{key}.{name}"), "has no port", "write a port from 1 to 65535");
            }
        }
        if let Some(exec) = &aim.exec {
            existence::program(&exec.value, exec.place, &format!("{key}.exec"), &mut self.findings);
        }
        let target = aim.tcp.as_ref().map(|at| Target::Tcp(at.value));
        let target = target.or_else(|| aim.unix.as_ref().map(|at| Target::Unix(at.value.0.clone())));
        let target = target.or_else(|| http(aim));
        let target =
            target.or_else(|| aim.exec.as_ref().map(|at| Target::Exec(launch(&at.value, &section.surroundings))));
        target.or_else(|| self.fresh(aim, key))
    }

    fn only_with_http(&mut self, aim: &Aim, key: &str) {
        let extras = [
            ("status", aim.status.as_ref().map(|at| at.place)),
            ("contains", aim.contains.as_ref().map(|at| at.place)),
            ("header", aim.header.as_ref().map(|at| at.place)),
        ];
        for (name, place) in extras.into_iter().filter_map(|(name, place)| place.map(|place| (name, place))) {
            if aim.http.is_none() {
                let key = format!("{key}.{name}");
                self.findings.fault(place, &key, "is about an answer of `http`", "take it out, or ask with `http`");
            }
        }
        if let Some(contains) = aim.contains.as_ref().filter(|at| at.value.len() > 100) {
            let what = format!("{} bytes are too many", contains.value.len());
            self.findings.fault(contains.place, &format!("{key}.contains"), what, "write a text of at most 100 bytes");
        }
    }

    fn fresh(&mut self, aim: &Aim, key: &str) -> Option<Target> {
        let fresh = aim.fresh.as_ref()?;
        let key = format!("{key}.fresh");
        let within = self.time(fresh.value.within.as_ref(), &format!("{key}.within"), (MILLI, 8_784 * HOUR));
        match (&fresh.value.path, within) {
            (Some(path), Some(within)) => Some(Target::Fresh { path: path.value.0.clone(), within }),
            _ => {
                if !self.findings.mentions(&key) {
                    let remedy = "write it like { path = \"/run/web/beat\", within = \"1m\" }";
                    self.findings.fault(fresh.place, &key, "needs `path` and `within`", remedy);
                }
                None
            }
        }
    }

    /// Refuses names that nobody has, and services that wait for themselves.
    pub fn bonds(&mut self, document: &Document, services: &[ServiceSpec]) {
        let ids: Vec<&str> = services.iter().map(|spec| spec.id.as_str()).collect();
        for named in &document.processes {
            for (name, list) in [("needs", &named.section.needs), ("after", &named.section.after)] {
                let Some(list) = list else { continue };
                for id in list.value.iter().filter(|id| !ids.contains(&id.0.as_str())) {
                    let remedy = match nearest(&id.0, ids.iter().copied()) {
                        Some(near) => format!("the nearest is `{near}`"),
                        None => format!("valid are {}", ids.join(", ")),
                    };
                    let key = format!("process.{}.{name}", named.id);
                    self.findings.fault(list.place, &key, format!("there is no process `{}`", id.0), remedy);
                }
            }
        }
        if let Some(path) = cycle(services) {
            let first = path.first().copied().unwrap_or_default();
            let place = document.processes.iter().find(|named| named.id == first).map(|named| named.place);
            let what = format!("waits for itself: {}", path.join(" -> "));
            let key = format!("process.{first}");
            self.findings.fault(place.unwrap_or_default(), &key, what, "take one of these steps out");
        }
    }
}

/// Whether anything in it asks.
fn asks(aim: &Aim) -> bool {
    aim.tcp.is_some() || aim.unix.is_some() || aim.http.is_some() || aim.exec.is_some() || aim.fresh.is_some()
}

fn http(aim: &Aim) -> Option<Target> {
    let url = &aim.http.as_ref()?.value;
    let Statuses(least, most) = aim.status.as_ref().map_or(Statuses(200, 399), |at| at.value);
    Some(Target::Http(Http {
        address: url.address,
        path: url.path.clone(),
        status: (least, most),
        header: aim.header.as_ref().map(|at| {
            let HeaderLine(name, value) = &at.value;
            (name.clone(), value.clone())
        }),
        contains: aim.contains.as_ref().map(|at| at.value.clone()),
    }))
}

/// A path along `needs` and `after` that ends where it begins.
fn cycle(services: &[ServiceSpec]) -> Option<Vec<&str>> {
    let mut done = vec![false; services.len()];
    let mut path = Vec::new();
    (0..services.len()).find_map(|place| walk(services, place, &mut done, &mut path))
}

/// Goes on from one service; `path` holds how it was reached.
fn walk<'a>(
    services: &'a [ServiceSpec],
    place: usize,
    done: &mut [bool],
    path: &mut Vec<usize>,
) -> Option<Vec<&'a str>> {
    if done.get(place).copied().unwrap_or(true) {
        return None;
    }
    if let Some(start) = path.iter().position(|seen| *seen == place) {
        let round = path.iter().skip(start).chain([&place]);
        return Some(round.filter_map(|place| services.get(*place)).map(|spec| spec.id.as_str()).collect());
    }
    path.push(place);
    let care = services.get(place).map(|spec| &spec.care)?;
    for name in care.needs.iter().chain(&care.after) {
        let next = services.iter().position(|spec| spec.id == *name);
        if let Some(found) = next.and_then(|next| walk(services, next, done, path)) {
            return Some(found);
        }
    }
    path.pop();
    if let Some(done) = done.get_mut(place) {
        *done = true;
    }
    None
}
