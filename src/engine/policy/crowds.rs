//! `[process.ID]` with `count`, `regex` or a particular `match`: how many processes of a kind there are to be.

use std::time::Duration;

use super::assemble::Maker;
use super::existence;
use super::services::launch;
use crate::agent::{Promise, Work};
use crate::config::{Named, Place, Process, Range};
use crate::model::{CrowdWork, Deed, Selection};

const SECOND: Duration = Duration::from_secs(1);
/// It goes through all processes there are, so not in every cycle.
const EVERY: Duration = Duration::from_secs(30);

impl Maker {
    pub fn crowd(&mut self, named: &Named<Process>) -> Promise {
        let section = &named.section;
        let key = format!("process.{}", named.id);
        self.of_service(section, &key);
        let count = section.count.as_ref().map_or(Range { least: 1, most: None }, |count| count.value);
        let work = CrowdWork {
            who: self.selection(named, &key),
            least: count.least,
            most: count.most,
            bounds: self.bounds(section, &key),
            start: section.start.as_ref().map(|at| launch(&at.value, &section.surroundings)),
            signals: section.signals.as_ref().map(|steps| self.signals(steps, &key)),
            settle: self
                .time(section.settle.as_ref(), &format!("{key}.settle"), (Duration::ZERO, 600 * SECOND))
                .unwrap_or(SECOND),
        };
        self.surroundings(&section.surroundings, &key);
        self.programs(&key, &section.surroundings, &[("start", &section.start)]);
        self.deeds(named, &work, &key);
        let promise = self.promise((&named.id, &key), &section.common, Work::Crowd(Box::new(work)));
        let every = if section.common.every.is_some() { promise.every } else { EVERY };
        Promise { every, ..promise }
    }

    /// Refuses what only a service has.
    fn of_service(&mut self, section: &Process, key: &str) {
        let of_service = [
            ("run", section.run.as_ref().map(|at| at.place)),
            ("pidfile", section.pidfile.as_ref().map(|at| at.place)),
            ("stop", section.stop.as_ref().map(|at| at.place)),
            ("backoff", section.backoff.as_ref().map(|at| at.place)),
            ("on-exit", section.on_exit.as_ref().map(|at| at.place)),
            ("on-remove", section.on_remove.as_ref().map(|at| at.place)),
            ("output", section.output.as_ref().map(|at| at.place)),
            ("ready", section.ready.as_ref().map(|at| at.place)),
            ("check", section.check.as_ref().map(|at| at.place)),
            ("wait-for-host", section.wait_for_host.as_ref().map(|at| at.place)),
            ("on-pressure", section.on_pressure.as_ref().map(|at| at.place)),
            ("fds", section.fds.as_ref().map(|at| at.place)),
            ("threads", section.threads.as_ref().map(|at| at.place)),
            ("children", section.children.as_ref().map(|at| at.place)),
            ("watchdog", section.watchdog.as_ref().map(|at| at.place)),
            ("needs", section.needs.as_ref().map(|at| at.place)),
            ("after", section.after.as_ref().map(|at| at.place)),
            ("tags", section.tags.as_ref().map(|at| at.place)),
        ];
        let why = if section.count.is_some() { "count" } else { "regex" };
        for (name, place) in of_service {
            if let Some(place) = place {
                let what = format!("belongs to one service, and with `{why}` processes are counted");
                self.findings.fault(place, &format!("{key}.{name}"), what, "take one of the two out");
            }
        }
    }

    /// Which processes: `match` or `regex`, and `user`.
    fn selection(&mut self, named: &Named<Process>, key: &str) -> Selection {
        let section = &named.section;
        let mut who = section.pattern.as_ref().map(|at| at.value.clone()).unwrap_or_default();
        match (&section.pattern, &section.regex) {
            (Some(_), Some(regex)) => {
                let remedy = "keep one of the two, or write match = { name = \"…\", regex = '…' }";
                self.findings.fault(regex.place, &format!("{key}.regex"), "stands beside `match`", remedy);
            }
            (None, Some(regex)) => who.regex = Some(regex.value.0.clone()),
            (None, None) if !self.findings.mentions(key) => {
                let remedy = "write match = \"NAME\" or regex = 'WHOLE COMMAND LINE'";
                self.findings.fault(named.place, key, "does not say which processes", remedy);
            }
            (_, None) => {}
        }
        if let Some(at) = section.pattern.as_ref().filter(|_| who.user.is_some()) {
            let user = crate::config::At { value: who.user.clone().unwrap_or_default(), place: at.place };
            existence::user(&user, &format!("{key}.match.user"), &mut self.findings);
        } else {
            who.user = section.surroundings.user.as_ref().map(|user| user.value.0.clone());
        }
        who
    }

    /// Whether what is written down can be done, and whether what can be done is written down.
    fn deeds(&mut self, named: &Named<Process>, work: &CrowdWork, key: &str) {
        let section = &named.section;
        let ends = work.bounds.iter().any(|bound| bound.deed == Deed::Restart);
        if work.signals.is_none() && ends {
            let place = section.limits().next().map_or(named.place, |(_, limited)| limited.place);
            let remedy = "write signals = [\"term\", \"10s\", \"kill\"], or do = \"report\"";
            self.findings.fault(place, key, "nothing says how one that uses too much is ended", remedy);
        }
        if let (Some(signals), None, false) = (&section.signals, work.most, ends) {
            let what = "is of no use: there may be any number of them";
            self.findings.fault(
                signals.place,
                &format!("{key}.signals"),
                what,
                "write a most in `count`, or take it out",
            );
        }
        if work.start.is_none() {
            // `user` says as well whose they are.
            self.idle_but(&section.surroundings, key, "user");
        } else if let (Some(start), 0) = (&section.start, work.least) {
            let what = "is of no use: there may be none of them";
            self.findings.fault(start.place, &format!("{key}.start"), what, "write a least in `count`, or take it out");
        }
        self.no_program(section, key);
    }

    /// A limit of one among many has no program of its own.
    fn no_program(&mut self, section: &Process, key: &str) {
        let runs: Vec<(&'static str, Place)> = section
            .limits()
            .filter(|(_, limited)| {
                matches!(limited.value.then.as_ref().map(|then| &then.value), Some(crate::config::Then::Run(_)))
            })
            .map(|(what, limited)| (what.word(), limited.place))
            .collect();
        for (what, place) in runs {
            let id = key.rsplit('.').next().unwrap_or_default();
            let remedy = format!("write do = \"report\", and a [command] with if = \"{id}_{what}_high\"");
            self.findings.fault(place, &format!("{key}.{what}"), "runs nothing where processes are counted", remedy);
        }
    }
}
