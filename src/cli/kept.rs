//! How a promise is kept, in sentences, from the policy as it is written: what `why` tells beside what the board shows.

use std::time::Duration;

use watchd_probes::PROBES;

use super::figures;
use super::quantity::{age, or_dash, plain, size};
use crate::agent::{Promise, Work};
use crate::classes::ExprId;
use crate::engine::policy::Policy;
use crate::model::{
    Amount, Channel, Check, Command, CrowdWork, Form, FreshPlace, FreshWork, Launch, MeasureWork, OnExit, OnPressure,
    PromiseKind, ServiceSpec, Source, StopStep, Threshold, Way,
};
use crate::store::board::text;
use crate::store::{PromiseRow, Snapshot};

/// How a service is found, started, checked and stopped, and whom it needs.
pub fn service(spec: &ServiceSpec, policy: &Policy, snapshot: &Snapshot) -> String {
    let mut page = form(spec);
    let is = |id: &String| {
        let state = snapshot.service(id).map_or("unknown", |row| row.state().word());
        format!("{} ({state})", plain(id))
    };
    let list = |ids: &[String]| ids.iter().map(is).collect::<Vec<_>>().join(", ");
    if !spec.care.needs.is_empty() {
        page.push_str(&format!("It needs {}, and runs only while that is ready.\n", list(&spec.care.needs)));
    }
    if !spec.care.after.is_empty() {
        page.push_str(&format!("It lets {} start first.\n", list(&spec.care.after)));
    }
    let needed: Vec<String> = policy
        .services
        .iter()
        .filter(|other| other.care.needs.contains(&spec.id))
        .map(|other| other.id.clone())
        .collect();
    if !needed.is_empty() {
        page.push_str(&format!("It is needed by {}.\n", list(&needed)));
    }
    if let Some(ready) = &spec.care.ready {
        let target = plain(&ready.target.to_string());
        page.push_str(&format!(
            "After a start it counts as ready when {target} answers, within {}.\n",
            age(ready.within)
        ));
    }
    for check in &spec.care.checks {
        page.push_str(&checked(check));
    }
    page.push_str(&patience(spec));
    if spec.care.on_pressure == OnPressure::Restart {
        page.push_str("It is restarted to give its memory back when work on this host waits for memory.\n");
    }
    page.push_str(&ending(spec));
    if !spec.care.tags.is_empty() {
        page.push_str(&format!("Its groups: @{}.\n", spec.care.tags.join(" @")));
    }
    page
}

fn form(spec: &ServiceSpec) -> String {
    let start = spec
        .start
        .as_ref()
        .map_or("nothing says how to start it".to_owned(), |launch| format!("it is started with {}", program(launch)));
    match &spec.form {
        Form::Run(launch) => format!("It is a child of watchd, which runs {}.\n", program(launch)),
        Form::Pidfile(path) => {
            format!("It is a daemon of its own that writes its pid into {}; {start}.\n", plain(path))
        }
        Form::Match(pattern) => {
            let user = pattern.user.as_ref().map_or_else(String::new, |user| format!(" of {}", plain(user)));
            format!("It is the oldest process called `{}`{user}; {start}.\n", plain(&pattern.name))
        }
    }
}

fn program(launch: &Launch) -> String {
    let line = match &launch.command {
        Command::Exec(words) => words.join(" "),
        Command::Shell(line) => line.clone(),
    };
    let who = launch.user.as_ref().map_or_else(String::new, |user| format!(" as {}", plain(user)));
    format!("`{}`{who}", plain(&line))
}

fn checked(check: &Check) -> String {
    let times = |count: u8| if count == 1 { "one failure".to_owned() } else { format!("{count} failures in a row") };
    format!(
        "It is checked with {} every {}; no answer within {} is a failure, and {} make it unhealthy.\n",
        plain(&check.target.to_string()),
        age(check.every),
        age(check.timeout),
        times(check.fails),
    )
}

fn patience(spec: &ServiceSpec) -> String {
    if !spec.can_start() {
        return String::new();
    }
    let (first, longest) = spec.backoff;
    format!(
        "When it dies it is started again at once; before it has lived {} that waits {}, then twice as long each time up to {}. \
         More than {} starts in {} is flapping.\n",
        age(spec.settle),
        age(first),
        age(longest),
        spec.limit.count,
        age(spec.limit.window),
    )
}

fn ending(spec: &ServiceSpec) -> String {
    let steps = stepped(&spec.signals);
    let how = match &spec.stop {
        Some(launch) => format!("with {}, then {steps}", program(launch)),
        None => format!("with {steps}"),
    };
    let on_exit = match spec.on_exit {
        OnExit::Leave => "goes on when watchd ends",
        OnExit::Stop => "ends with watchd",
    };
    let on_remove = if spec.care.ends_with_policy { " It ends as well when its table is taken out." } else { "" };
    format!("It is stopped {how}, and {on_exit}.{on_remove}\n")
}

fn stepped(steps: &[StopStep]) -> String {
    let step = |step: &StopStep| match step {
        StopStep::Signal(signal) => named(*signal),
        StopStep::Wait(time) => age(*time),
    };
    steps.iter().map(step).collect::<Vec<_>>().join(", ")
}

fn named(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |known| known.to_string())
}

/// What a promise that is no service wants.
pub fn promise(promise: &Promise, policy: &Policy, snapshot: &Snapshot) -> String {
    let mut page = String::new();
    match &promise.work {
        Work::Disk(place) => {
            let Some(path) = policy.classes.disks().get(usize::from(*place)) else { return page };
            page.push_str(&disk(path, snapshot));
            if let Some([full, ok]) = policy.classes.full(*place) {
                page.push_str(&format!("From {full}% on it is full, until it is below {ok}%.\n"));
            }
        }
        Work::Command(command) => {
            page.push_str(&format!(
                "It runs {}, for {} at the longest",
                program(&command.launch),
                age(command.timeout)
            ));
            if let Some(limit) = promise.limit {
                page.push_str(&format!(", at most {} in {}", limit.count, age(limit.window)));
            }
            page.push_str(".\n");
        }
        Work::Report(report) => {
            let told = |channel: &Channel| match &channel.way {
                Way::Plain(launch) => program(launch),
                _ => channel.name.clone(),
            };
            let journal = report.log.then(|| "the journal".to_owned());
            let to = journal.into_iter().chain(report.channels.iter().map(told)).collect::<Vec<_>>().join(", ");
            let often = if report.changes {
                "when its `if` begins to hold, and when it ceases to".to_owned()
            } else {
                format!("not twice within {}", age(report.quiet.max(promise.every)))
            };
            page.push_str(&format!("It tells {to}, {often}.\n"));
        }
        Work::File(work) => page.push_str(&format!("It takes care of {}.\n", plain(&work.path))),
        Work::Tidy(work) => page.push_str(&format!("It tidies {}.\n", plain(&work.dir))),
        Work::Crowd(work) => {
            page.push_str(&crowd(work));
            page.push_str(&crowd_now(&promise.id, snapshot));
        }
        Work::Measure(work) => {
            page.push_str(&measured(work));
            let unit = work.unit.as_ref().map_or_else(String::new, |unit| format!(" {}", plain(unit)));
            let value = figure(promise, snapshot, 0);
            page.push_str(&match value {
                Some(value) => format!("It is {}{unit} now.{}\n", number(value), thresholds(work)),
                None => format!("What it is now is not known.{}\n", thresholds(work)),
            });
        }
        Work::Fresh(work) => {
            let known = figure(promise, snapshot, 0).zip(figure(promise, snapshot, 1));
            page.push_str(&fresh(work, figure(promise, snapshot, 0), known.map(|known| known.1)));
        }
        Work::Process(_) => {}
    }
    if let Some(guard) = promise.guard {
        let what = if matches!(promise.work, Work::Process(_)) { "It is looked after" } else { "It counts" };
        let (text, now) = (policy.classes.written(guard), true_of(policy, guard, snapshot));
        page.push_str(&format!("{what} only while `{}` holds. {now}\n", plain(&text)));
    }
    if promise.every > Duration::ZERO {
        page.push_str(&format!("It is judged every {}.\n", age(promise.every)));
    }
    page
}

/// What makes a class of the policy true; empty when it is none.
pub fn class(name: &str, policy: &Policy, snapshot: &Snapshot) -> String {
    let Some((expr, hold)) = policy.classes.definition(name) else { return String::new() };
    let after = if hold.is_zero() { String::new() } else { format!(", and for {} after", age(hold)) };
    let (text, now) = (policy.classes.written(expr), true_of(policy, expr, snapshot));
    format!("It is true while `{}` holds{after}. {now}\n", plain(&text))
}

/// Which of the classes that an expression names are true.
fn true_of(policy: &Policy, expr: ExprId, snapshot: &Snapshot) -> String {
    let is_on = |name: &&str| snapshot.classes.iter().any(|row| row.is_on() && text(&row.name) == *name);
    let names: Vec<_> = policy.classes.named(expr).into_iter().filter(is_on).map(plain).collect();
    if names.is_empty() {
        "Nothing of that is true now.".to_owned()
    } else {
        format!("Of that is true now: {}.", names.join(" "))
    }
}

/// What was found at the last look, when it is known.
fn figure(promise: &Promise, snapshot: &Snapshot, place: usize) -> Option<f64> {
    let is_it = |row: &&PromiseRow| text(&row.id) == promise.id && row.kind() == Some(promise.kind());
    snapshot.promises.iter().find(is_it).and_then(|row| row.figure(promise.kind(), place))
}

/// As it is, without digits that say nothing.
fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// Where a number comes from.
fn measured(work: &MeasureWork) -> String {
    let from = match &work.source {
        Source::Log { path, pattern, .. } => format!("the lines of {} like `{}`", plain(path), plain(pattern)),
        Source::Run(launch) => format!("the output of {}", program(launch)),
        Source::Metric(probe, place) => {
            let info = PROBES.get(usize::from(*probe));
            let metric = info.and_then(|info| Some((info.name, info.metrics.get(usize::from(*place))?.field)));
            metric.map_or_else(String::new, |(probe, field)| format!("{probe}.{field}"))
        }
        Source::Port { port, is_there: false } => format!("the TCP connections that come to port {port}"),
        Source::Port { port, .. } => format!("the TCP connections that go to port {port} elsewhere"),
        Source::Told(command) => format!("what the command {} says", plain(command)),
    };
    let rate = if work.is_rate { ", and is how much that grows in a second" } else { "" };
    format!("It comes from {from}{rate}.\n")
}

/// From where on a number is too much or too little, and until when.
fn thresholds(work: &MeasureWork) -> String {
    let mut text = String::new();
    for (word, back, threshold) in [("high", "below", work.high), ("low", "above", work.low)] {
        let Some(Threshold { enter, leave }) = threshold else { continue };
        text.push_str(&format!(" From {} on it is {word}", number(enter)));
        if leave != enter {
            text.push_str(&format!(", until it is {back} {}", number(leave)));
        }
        text.push('.');
    }
    text
}

/// What is to be fresh, and how fresh it is.
fn fresh(work: &FreshWork, old: Option<f64>, bytes: Option<f64>) -> String {
    let what = match &work.place {
        FreshPlace::Dir(path) => format!("the newest file in {}", plain(path)),
        FreshPlace::File(path) => plain(path),
        FreshPlace::Nowhere => work.marker.as_deref().map_or_else(String::new, plain),
    };
    let size = bytes.map_or_else(String::new, |bytes| format!(" and has {}", size(bytes)));
    let is = match old.and_then(|old| Duration::try_from_secs_f64(old).ok()) {
        Some(old) => format!("It is {} old{size}.", age(old)),
        None => "How old it is is not known.".to_owned(),
    };
    let most = work.newest.map_or_else(String::new, |most| format!(" Older than {} is stale.", age(most)));
    let least = work.least.map_or_else(String::new, |least| format!(" Less than {least} bytes is small."));
    format!("It looks at {what}. {is}{most}{least}\n")
}

/// Which processes are counted, how many there are to be, and what is done otherwise.
fn crowd(work: &CrowdWork) -> String {
    let CrowdWork { who, least, most, bounds, start, signals, .. } = work;
    let mut kind = match (&who.name, &who.regex) {
        (Some(name), None) => format!("called `{}`", plain(name)),
        (Some(name), Some(regex)) => format!("called `{}` whose command line is `{}`", plain(name), plain(regex)),
        (None, regex) => format!("whose command line is `{}`", plain(regex.as_deref().unwrap_or_default())),
    };
    if let Some(user) = &who.user {
        kind.push_str(&format!(" of {}", plain(user)));
    }
    let number = match (least, most) {
        (0, Some(0)) => "none may run".to_owned(),
        (least, None) => format!("at least {least} should run"),
        (0, Some(most)) => format!("at most {most} may run"),
        (least, Some(most)) if least == most => format!("{least} should run"),
        (least, Some(most)) => format!("{least} to {most} should run"),
    };
    let mut page = format!("It counts processes {kind}: {number}.\n");
    for bound in bounds {
        page.push_str(&format!(
            "Each may have {} {} for {}.\n",
            bound.what,
            Amount(bound.what, bound.max),
            age(bound.lasts)
        ));
    }
    if let Some(start) = start {
        page.push_str(&format!("When there are too few it runs {}.\n", program(start)));
    }
    if let Some(signals) = signals {
        page.push_str(&format!("What is too much is ended with {}.\n", stepped(signals)));
    }
    page
}

/// How many there were at the last look.
fn crowd_now(id: &str, snapshot: &Snapshot) -> String {
    let is_it = |row: &&PromiseRow| text(&row.id) == id && row.kind() == Some(PromiseKind::Process);
    let row = snapshot.promises.iter().find(is_it);
    let figure = |place| row.and_then(|row| row.figure(PromiseKind::Process, place));
    match (figure(1), figure(0)) {
        (Some(count), Some(rss)) => format!("At the last look {count:.0} ran, with {} together.\n", size(rss)),
        _ => "How many run now is not known.\n".to_owned(),
    }
}

/// How full it is now.
fn disk(path: &str, snapshot: &Snapshot) -> String {
    let Some(disk) = figures::disks(snapshot).into_iter().find(|disk| disk.mountpoint == path) else {
        return format!("{} is not mounted, so nothing can be said about it.\n", plain(path));
    };
    let percent = |share: Option<f64>| or_dash(share, |share| format!("{share:.0}%"));
    let trouble = disk.trouble.map_or_else(String::new, |trouble| format!(", and {trouble}"));
    format!(
        "{} is {} full: {} of {} are free, {} of its inodes are used{trouble}.\n",
        plain(path),
        percent(disk.used_pct),
        or_dash(disk.avail, size),
        or_dash(disk.size, size),
        percent(disk.inodes_pct),
    )
}
