//! `[process.ID]` into what the supervisor needs.

use std::time::Duration;

use super::assemble::{Maker, spoken};
use super::existence;
use crate::config::{At, Named, Place, Process, Surroundings, Then};
use crate::model::{Command, Form, Launch, Limit, OnExit, Pattern, ServiceSpec, Setting, StopStep};

const MILLI: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// A key and the command it has.
type Keyed<'a> = (&'static str, &'a At<Command>);

impl Maker {
    /// Decides what kind of service it is. With a fault the result is only a stand-in: it never leaves `assemble`.
    pub fn service(&mut self, named: &Named<Process>) -> ServiceSpec {
        let section = &named.section;
        let key = format!("process.{}", named.id);
        let form = self.form(named, &key);
        let launch =
            |command: &Option<At<Command>>| command.as_ref().map(|at| launch(&at.value, &section.surroundings));
        if let Some(user) = &section.surroundings.user {
            existence::user(user, &format!("{key}.user"), &mut self.findings);
        }
        let commands = [("run", &section.run), ("start", &section.start), ("stop", &section.stop)];
        self.programs(&key, &section.surroundings, &commands);
        let asks = section.ready.as_ref().is_some_and(|ready| ready.value.aim.exec.is_some())
            || section.check.iter().any(|list| list.value.iter().any(|check| check.aim.exec.is_some()));
        let runs = section
            .limits()
            .any(|(_, limited)| matches!(limited.value.then.as_ref().map(|then| &then.value), Some(Then::Run(_))));
        if section.run.is_none() && section.start.is_none() && section.stop.is_none() && !asks && !runs {
            self.idle(&section.surroundings, &key);
        }
        let signals = match &section.signals {
            Some(steps) => self.signals(steps, &key),
            None => {
                vec![StopStep::Signal(libc::SIGTERM), StopStep::Wait(10_000 * MILLI), StopStep::Signal(libc::SIGKILL)]
            }
        };
        let time = |maker: &mut Self, at: &Option<At<Duration>>, name: &str, range| {
            maker.time(at.as_ref(), &format!("{key}.{name}"), range)
        };
        ServiceSpec {
            id: named.id.clone(),
            start: launch(&section.start),
            stop: launch(&section.stop),
            signals,
            backoff: self.backoff(section.backoff.as_ref(), &key),
            limit: section
                .common
                .limit
                .as_ref()
                .map_or(Limit { count: 5, window: 600_000 * MILLI }, |limit| limit.value),
            settle: time(self, &section.settle, "settle", (Duration::ZERO, HOUR)).unwrap_or(1_000 * MILLI),
            timeout: time(self, &section.common.timeout, "timeout", (100 * MILLI, DAY)).unwrap_or(30_000 * MILLI),
            on_exit: section.on_exit.as_ref().map_or(OnExit::Leave, |on_exit| on_exit.value),
            care: self.care(named, &key),
            form,
        }
    }

    /// Exactly one of `run`, `pidfile` and `match`.
    fn form(&mut self, named: &Named<Process>, key: &str) -> Form {
        let section = &named.section;
        let given: Vec<(&str, Place)> = [
            ("run", section.run.as_ref().map(|at| at.place)),
            ("pidfile", section.pidfile.as_ref().map(|at| at.place)),
            ("match", section.pattern.as_ref().map(|at| at.place)),
        ]
        .into_iter()
        .filter_map(|(name, place)| place.map(|place| (name, place)))
        .collect();
        if let Some(output) = section.output.as_ref().filter(|_| section.run.is_none()) {
            let what = "is of no use without `run`";
            self.findings.fault(output.place, &format!("{key}.output"), what, "take it out: a daemon sees to its own");
        }
        for (name, place) in given.iter().skip(1) {
            let first = given.first().map_or("", |(first, _)| first);
            let what = format!("stands beside `{first}`");
            self.findings.fault(*place, &format!("{key}.{name}"), what, "keep one of run, pidfile and match");
        }
        if let (Some(_), Some(start)) = (&section.run, &section.start) {
            let remedy = "take one of them out: `run` is started and watched by watchd itself";
            self.findings.fault(start.place, &format!("{key}.start"), "stands beside `run`", remedy);
        }
        match (&section.run, &section.pidfile, &section.pattern) {
            (Some(run), _, _) => {
                let mut launch = launch(&run.value, &section.surroundings);
                if let Some(output) = section.output.as_ref().and_then(|at| at.value.0.clone()) {
                    launch.setting.get_or_insert_default().output = Some(output);
                }
                Form::Run(launch)
            }
            (_, Some(pidfile), _) => Form::Pidfile(pidfile.value.0.clone()),
            (_, _, Some(pattern)) => {
                let who = pattern.value.clone();
                Form::Match(Pattern { name: who.name.unwrap_or_default(), user: who.user })
            }
            (None, None, None) => {
                let wrong =
                    ["run", "pidfile", "match"].iter().any(|name| self.findings.mentions(&format!("{key}.{name}")));
                if !wrong {
                    let what = "has none of `run`, `pidfile` and `match`";
                    self.findings.fault(named.place, key, what, "say with one of them which process it is");
                }
                Form::Pidfile(String::new())
            }
        }
    }

    pub fn signals(&mut self, steps: &At<Vec<StopStep>>, key: &str) -> Vec<StopStep> {
        let key = format!("{key}.signals");
        if !steps.value.iter().any(|step| matches!(step, StopStep::Signal(_))) {
            self.findings.fault(steps.place, &key, "has no signal", "write it like [\"term\", \"10s\", \"kill\"]");
        }
        if steps.value.len() > 16 {
            let what = format!("{} steps are too many", steps.value.len());
            self.findings.fault(steps.place, &key, what, "write at most 16");
        }
        steps.value.clone()
    }

    fn backoff(&mut self, at: Option<&At<(Duration, Duration)>>, key: &str) -> (Duration, Duration) {
        let Some(at) = at else { return (100 * MILLI, 60_000 * MILLI) };
        let (least, most) = at.value;
        let key = format!("{key}.backoff");
        if least < 10 * MILLI || most > DAY {
            let what = format!("{} to {} is out of range", spoken(least), spoken(most));
            self.findings.fault(at.place, &key, what, "write times from 10ms to 1d");
        } else if least > most {
            self.findings.fault(
                at.place,
                &key,
                format!("begins with the longer time, {}", spoken(least)),
                "write the shortest first",
            );
        }
        at.value
    }

    /// Warns about accounts that are not there.
    pub fn surroundings(&mut self, surroundings: &Surroundings, key: &str) {
        if let Some(user) = &surroundings.user {
            existence::user(user, &format!("{key}.user"), &mut self.findings);
        }
        if let Some(group) = &surroundings.group {
            existence::group(group, &format!("{key}.group"), &mut self.findings);
        }
    }

    /// Refuses surroundings that nothing is started in.
    pub fn idle(&mut self, surroundings: &Surroundings, key: &str) {
        self.idle_but(surroundings, key, "");
    }

    /// The same, but for one key that says something else as well.
    pub fn idle_but(&mut self, surroundings: &Surroundings, key: &str, spared: &str) {
        let Surroundings { user, group, cwd, env, env_file, umask, nice, ionice, oom_score_adj, rlimits, chroot } =
            surroundings;
        let places = [
            ("user", user.as_ref().map(|at| at.place)),
            ("group", group.as_ref().map(|at| at.place)),
            ("cwd", cwd.as_ref().map(|at| at.place)),
            ("env", env.as_ref().map(|at| at.place)),
            ("env-file", env_file.as_ref().map(|at| at.place)),
            ("umask", umask.as_ref().map(|at| at.place)),
            ("nice", nice.as_ref().map(|at| at.place)),
            ("ionice", ionice.as_ref().map(|at| at.place)),
            ("oom-score-adj", oom_score_adj.as_ref().map(|at| at.place)),
            ("rlimits", rlimits.as_ref().map(|at| at.place)),
            ("chroot", chroot.as_ref().map(|at| at.place)),
        ];
        for (name, place) in places {
            if let Some(place) = place.filter(|_| name != spared) {
                let remedy = "take it out, or say what is to be started";
                self.findings.fault(place, &format!("{key}.{name}"), "is of no use: nothing is started", remedy);
            }
        }
    }

    /// Warns about programs that are not there. What is behind another root is not looked at.
    pub fn programs(
        &mut self,
        key: &str,
        surroundings: &Surroundings,
        commands: &[(&'static str, &Option<At<Command>>)],
    ) {
        if surroundings.chroot.is_some() {
            return;
        }
        let given = commands.iter().filter_map(|(name, at)| at.as_ref().map(|at| (*name, at)));
        for (name, at) in given.collect::<Vec<Keyed<'_>>>() {
            existence::program(&at.value, at.place, &format!("{key}.{name}"), &mut self.findings);
        }
    }
}

/// A command in its surroundings.
pub fn launch(command: &Command, surroundings: &Surroundings) -> Launch {
    Launch {
        command: command.clone(),
        user: surroundings.user.as_ref().map(|user| user.value.0.clone()),
        group: surroundings.group.as_ref().map(|group| group.value.0.clone()),
        cwd: surroundings.cwd.as_ref().map(|cwd| cwd.value.0.clone()),
        env: surroundings.env.as_ref().map(|env| env.value.clone()).unwrap_or_default(),
        setting: setting(surroundings),
    }
}

fn setting(surroundings: &Surroundings) -> Option<Box<Setting>> {
    let setting = Setting {
        env_file: surroundings.env_file.as_ref().map(|at| at.value.clone()),
        umask: surroundings.umask.as_ref().map(|at| at.value.0),
        nice: surroundings.nice.as_ref().and_then(|at| i8::try_from(at.value.0).ok()),
        ionice: surroundings.ionice.as_ref().map(|at| at.value),
        oom_score_adj: surroundings.oom_score_adj.as_ref().map(|at| at.value.0),
        rlimits: surroundings.rlimits.as_ref().map(|at| at.value.0.clone()).unwrap_or_default(),
        chroot: surroundings.chroot.as_ref().map(|at| at.value.0.clone()),
        output: None,
    };
    (setting != Setting::default()).then(|| Box::new(setting))
}
