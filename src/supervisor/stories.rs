//! Stories: what a service goes through, told with a made-up clock, one rule each.

use std::time::Duration;

use crate::model::{
    Bound, Care, Check, Command, Deed, Ending, Errand, EventKind, Form, Identity, Launch, Limit, Now, OnExit,
    OnPressure, PRESSED, Quantity, Readiness, ServiceSpec, ServiceState, StopStep, Target,
};

use super::{
    Action, Asked, Bond, Event, Machine, Pidfile, Reach, Rival, Sighting, Strain, Text, Verb, Verdict, Word, text,
};

fn launch(program: &str) -> Launch {
    let command = Command::Exec(vec![program.to_owned()]);
    Launch::new(command)
}

fn child() -> ServiceSpec {
    ServiceSpec {
        id: "web".to_owned(),
        form: Form::Run(launch("/bin/web")),
        start: None,
        stop: None,
        signals: vec![StopStep::Signal(15), StopStep::Wait(ms(10_000)), StopStep::Signal(9)],
        backoff: (ms(100), ms(60_000)),
        limit: Limit { count: 3, window: ms(600_000) },
        settle: ms(1000),
        timeout: ms(30_000),
        on_exit: OnExit::Leave,
        care: Care::default(),
    }
}

fn daemon() -> ServiceSpec {
    ServiceSpec { form: Form::Pidfile("/run/web.pid".to_owned()), start: Some(launch("/bin/start")), ..child() }
}

/// A child with a socket that has to be there: at once, and then every ten seconds.
fn checked() -> ServiceSpec {
    let target = Target::Unix("/run/web".to_owned());
    let ready = Some(Readiness { target: target.clone(), within: ms(5000) });
    let check = Check { target, every: ms(10_000), timeout: ms(2000), fails: 2, passes: 2 };
    ServiceSpec { care: Care { ready, checks: vec![check], ..Care::default() }, ..child() }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn why(text_: &str) -> Text {
    text(format_args!("{text_}"))
}

struct Story {
    machine: Machine,
    spec: ServiceSpec,
    now: Duration,
    pid: i32,
    notes: Vec<EventKind>,
}

impl Story {
    fn new(spec: ServiceSpec) -> Self {
        let now = ms(5_000_000);
        let mut story = Self { machine: Machine::new(now, 7), spec, now, pid: 100, notes: Vec::new() };
        assert_eq!(story.step(Event::Tick), [Action::Look]);
        story
    }

    /// A child that is up and settled.
    fn ready(spec: ServiceSpec) -> Self {
        let mut story = Self::new(spec);
        story.absent();
        story.spawn();
        story.wait(1000);
        assert_eq!(story.state(), ServiceState::Ready);
        story
    }

    /// One step; notes are kept aside.
    fn step(&mut self, event: Event) -> Vec<Action> {
        let actions = self.machine.step(event, self.now, &self.spec);
        let mut doings = Vec::new();
        for action in actions {
            match action {
                Action::Note(kind, _) => self.notes.push(kind),
                other => doings.push(other),
            }
        }
        doings
    }

    fn wait(&mut self, millis: u64) -> Vec<Action> {
        self.now += ms(millis);
        self.step(Event::Tick)
    }

    fn identity(&self) -> Identity {
        let born = u64::try_from(self.now.as_millis()).expect("a story is short") / 10;
        Identity { pid: self.pid, start_ticks: born }
    }

    fn absent(&mut self) -> Vec<Action> {
        self.step(Event::Seen(Sighting::NotFound(why("not there"))))
    }

    fn found(&mut self, identity: Identity) -> Vec<Action> {
        self.step(Event::Seen(Sighting::Found { identity, born: identity.born(), rival: None }))
    }

    fn spawn(&mut self) -> Vec<Action> {
        self.pid += 1;
        self.step(Event::Spawned(self.identity()))
    }

    fn die(&mut self) -> Vec<Action> {
        let identity = self.machine.identity().expect("it runs");
        self.step(Event::Died { identity, ending: Some(Ending::Signal(11)), trouble: None })
    }

    fn order(&mut self, verb: Verb) -> Vec<Action> {
        self.step(Event::Control(verb))
    }

    fn state(&self) -> ServiceState {
        self.machine.state(&self.spec)
    }

    fn deadline(&self) -> Option<Duration> {
        self.machine.next_deadline(&self.spec).map(|at| at.saturating_sub(self.now))
    }
}

/// A child that gives its memory back when it has to.
fn willing() -> ServiceSpec {
    ServiceSpec { care: Care { on_pressure: OnPressure::Restart, ..Care::default() }, ..child() }
}

#[test]
fn what_gives_its_memory_back_is_told_restarted_at_once_and_spared_then() {
    let mut story = Story::ready(willing());
    let identity = story.machine.identity().expect("it runs");
    assert!(story.machine.may_give_way(story.now, &story.spec));
    let doings = story.step(Event::Pressed(63 << 20));
    assert_eq!(doings, [Action::Signal { identity, signal: 15, reach: Reach::Group }]);
    assert_eq!(story.notes.last(), Some(&EventKind::ServicePressed));
    assert_eq!(story.machine.reason(), "ended to give 63M back: work on the host waits for memory");
    assert!(story.machine.gives_way(story.now) && !story.machine.may_give_way(story.now, &story.spec));
    assert_eq!(story.step(Event::Pressed(63 << 20)), [], "it does already");
    assert_eq!(story.die(), [Action::Spawn], "it comes back at once");
    assert_eq!(story.machine.budget_left(story.now, &story.spec), 2, "and pays");
    story.spawn();
    story.wait(29_999);
    assert!(story.machine.gives_way(story.now), "the host has its time to recover");
    story.wait(1);
    assert!(!story.machine.gives_way(story.now));
    assert_eq!(story.machine.over(story.now, &story.spec), PRESSED);
    for (millis, may) in [(0, false), (269_999, false), (1, true)] {
        story.wait(millis);
        assert_eq!(story.machine.may_give_way(story.now, &story.spec), may, "{millis}");
    }
    story.wait(300_000);
    assert_eq!(story.machine.over(story.now, &story.spec), 0, "that was ten minutes ago");
}

#[test]
fn only_what_is_marked_runs_well_and_can_be_paid_for_gives_way() {
    let may = |story: &Story| story.machine.may_give_way(story.now, &story.spec);
    assert!(!may(&Story::ready(child())), "nobody marked it");
    let mut young = Story::new(willing());
    young.absent();
    young.spawn();
    young.wait(999);
    assert!(!may(&young), "it has not settled");
    for (claim, event) in [
        ("it is paused", Event::Control(Verb::Pause(None))),
        ("its guard does not hold", Event::Guard(false)),
        ("it is leaving", Event::Leave),
        ("it is being stopped", Event::Control(Verb::Stop)),
        ("what it needs is on its way", Event::Bond(Bond::Waits(why("waits for db")))),
    ] {
        let mut story = Story::ready(willing());
        story.step(event);
        assert!(!may(&story), "{claim}");
        assert_eq!(story.step(Event::Pressed(1 << 30)), [], "{claim}");
    }
    let mut poor = Story::ready(willing());
    for _ in 0..3 {
        assert_eq!(poor.die(), [Action::Spawn]);
        poor.spawn();
        poor.wait(1000);
    }
    assert!(!may(&poor), "it could not come back");
    poor.wait(200_000);
    assert!(may(&poor), "it can be paid for again");
    let mut patient =
        Story::ready(ServiceSpec { care: Care { cooldown: ms(3_600_000), ..willing().care }, ..willing() });
    patient.step(Event::Pressed(1 << 30));
    patient.die();
    patient.spawn();
    patient.wait(3_599_999);
    assert!(!may(&patient), "its own cooldown is longer");
    patient.wait(1);
    assert!(may(&patient));
}

#[test]
fn how_a_daemon_of_its_own_ended_is_told_when_the_kernel_says_so() {
    let mut story = Story::new(daemon());
    story.step(Event::Tick);
    let identity = story.identity();
    story.step(Event::Seen(Sighting::Found { identity, born: identity.born(), rival: None }));
    story.wait(5000);
    story.step(Event::Died { identity, ending: None, trouble: None });
    assert!(story.machine.reason().contains("how is not known"), "{}", story.machine.reason());
    story.notes.clear();
    story.step(Event::Explained(Identity { pid: 1, ..identity }, Ending::Signal(15)));
    assert_eq!(story.notes, [], "another process explains nothing");
    story.step(Event::Explained(identity, Ending::Signal(9)));
    assert!(story.machine.reason().starts_with("killed by signal 9 after"), "{}", story.machine.reason());
    story.step(Event::Explained(identity, Ending::Signal(9)));
    assert_eq!(story.notes, [EventKind::ServiceDied], "once");
}

#[test]
fn a_death_after_settle_is_answered_in_the_same_step() {
    let mut story = Story::ready(child());
    story.now += ms(7_200_000);
    assert_eq!(story.die(), [Action::Spawn]);
    assert_eq!(story.machine.reason(), "killed by signal 11 after 2 h");
    assert_eq!(story.machine.restarts(), 1);
}

#[test]
fn early_deaths_wait_longer_each_time_and_a_settled_life_forgives() {
    let mut story = Story::new(ServiceSpec { limit: Limit { count: 50, window: ms(1000) }, ..child() });
    assert_eq!(story.absent(), [Action::Spawn]);
    for longest in [100, 200, 400, 800] {
        story.spawn();
        assert_eq!(story.die(), []);
        assert_eq!(story.state(), ServiceState::Backoff);
        let wait = story.deadline().expect("it comes back by itself");
        assert!(wait <= ms(longest) && wait >= ms(longest * 3 / 4), "{wait:?} of {longest} ms");
        assert_eq!(story.step(Event::Tick), [], "not before its time");
        assert_eq!(story.wait(longest), [Action::Spawn]);
    }
    story.spawn();
    story.wait(1000);
    assert_eq!(story.die(), [Action::Spawn]);
    story.spawn();
    story.die();
    assert!(story.deadline().is_some_and(|wait| wait <= ms(100)));
}

#[test]
fn a_spent_budget_means_flapping_with_growing_gaps_and_one_report() {
    let mut story = Story::ready(child());
    for _ in 0..3 {
        assert_eq!(story.die(), [Action::Spawn]);
        story.spawn();
        story.wait(1000);
    }
    story.notes.clear();
    let mut gaps = Vec::new();
    for _ in 0..5 {
        assert_eq!(story.die(), []);
        assert_eq!(story.state(), ServiceState::Flapping);
        let gap = story.deadline().expect("it comes back by itself");
        gaps.push(gap);
        story.now += gap;
        assert_eq!(story.step(Event::Tick), [Action::Spawn], "{gaps:?}");
        story.spawn();
        story.wait(1000);
    }
    assert_eq!(gaps.iter().max(), gaps.last());
    assert!(gaps.first() < gaps.last(), "{gaps:?}");
    assert_eq!(story.notes.iter().filter(|kind| **kind == EventKind::ServiceFlapping).count(), 1);
}

#[test]
fn the_first_start_and_starts_by_hand_cost_nothing() {
    let mut story = Story::ready(child());
    assert_eq!(story.machine.budget_left(story.now, &story.spec), 3);
    for _ in 0..10 {
        story.order(Verb::Restart);
        assert_eq!(story.die(), [Action::Spawn]);
        story.spawn();
        story.wait(1000);
    }
    assert_eq!(story.machine.budget_left(story.now, &story.spec), 3);
}

#[test]
fn reset_ends_flapping_at_once() {
    let mut story = Story::ready(child());
    for _ in 0..3 {
        story.die();
        story.spawn();
        story.wait(1000);
    }
    assert_eq!(story.die(), []);
    assert_eq!(story.order(Verb::Reset), [Action::Spawn]);
}

#[test]
fn nothing_is_started_while_nobody_can_tell() {
    let doubt = || Event::Seen(Sighting::CannotTell(why("cannot read /proc")));
    for spec in [child(), daemon()] {
        let mut story = Story::new(spec);
        assert_eq!(story.step(doubt()), []);
        assert_eq!(story.state(), ServiceState::Unknown);
        for _ in 0..20 {
            let deadline = story.deadline().expect("it goes on looking");
            story.now += deadline;
            assert_eq!(story.step(Event::Tick), [Action::Look]);
            assert_eq!(story.step(doubt()), []);
        }
        assert_eq!(story.notes, [EventKind::ServiceUnknown]);
        assert!(matches!(story.absent()[..], [Action::Spawn] | [Action::Run(Errand::Start)]));
    }
}

#[test]
fn a_doubt_right_before_a_start_stops_it() {
    let mut story = Story::new(daemon());
    story.found(story.identity());
    story.wait(1000);
    assert_eq!(story.die(), [Action::Look]);
    assert_eq!(story.step(Event::Seen(Sighting::CannotTell(why("?")))), []);
    assert_eq!(story.state(), ServiceState::Unknown);
}

#[test]
fn a_daemon_is_looked_for_after_its_start_command() {
    let mut story = Story::new(daemon());
    assert_eq!(story.absent(), [Action::Run(Errand::Start)]);
    let command = Identity { pid: 50, start_ticks: 1 };
    story.step(Event::CommandStarted(command));
    assert_eq!(story.state(), ServiceState::Starting);
    let ended = Event::CommandEnded { identity: command, ending: Some(Ending::Exit(0)), trouble: None };
    assert_eq!(story.step(ended), [Action::Look]);
    let mut waits = Vec::new();
    for _ in 0..8 {
        story.absent();
        let wait = story.deadline().expect("it goes on looking");
        waits.push(wait);
        story.now += wait;
        assert_eq!(story.step(Event::Tick), [Action::Look]);
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 200, 200].map(ms));
    story.found(story.identity());
    assert_eq!(story.state(), ServiceState::Starting);
    story.wait(1000);
    assert_eq!(story.state(), ServiceState::Ready);
    assert!(!story.notes.contains(&EventKind::ServiceAdopted));
}

#[test]
fn a_daemon_that_never_comes_is_started_again_after_a_wait() {
    let mut story = Story::new(daemon());
    story.absent();
    let command = Identity { pid: 50, start_ticks: 1 };
    story.step(Event::CommandStarted(command));
    story.step(Event::CommandEnded { identity: command, ending: Some(Ending::Exit(0)), trouble: None });
    for _ in 0..200 {
        story.absent();
        if story.state() != ServiceState::Starting {
            break;
        }
        story.wait(200);
    }
    assert_eq!(story.state(), ServiceState::Backoff);
    assert!(story.machine.reason().contains("not there"), "{}", story.machine.reason());
    assert_eq!(story.wait(100), [Action::Look], "a last look before the next start");
    assert_eq!(story.absent(), [Action::Run(Errand::Start)]);
}

/// The start command has ended well and its time is over, but what became of the daemon nobody can tell.
fn lost() -> Story {
    let mut story = Story::new(daemon());
    story.absent();
    let command = Identity { pid: 50, start_ticks: 1 };
    story.step(Event::CommandStarted(command));
    story.step(Event::CommandEnded { identity: command, ending: Some(Ending::Exit(0)), trouble: None });
    assert_eq!(story.machine.doubt_about(&Pidfile::Empty, story.now), None, "its pidfile may come late");
    assert_eq!(story.wait(31_000), [Action::Look]);
    assert_eq!(story.step(Event::Seen(Sighting::CannotTell(why("what is that?")))), []);
    assert_eq!((story.state(), story.notes.pop()), (ServiceState::Unknown, Some(EventKind::ServiceUnknown)));
    story
}

#[test]
fn a_start_that_left_nobody_knows_what_is_not_made_again() {
    let mut story = lost();
    let started = story.now - ms(31_000);
    for _ in 0..400 {
        let deadline = story.deadline().expect("it goes on looking");
        assert!(deadline <= ms(10_000), "{deadline:?}");
        story.now += deadline;
        assert_eq!(story.step(Event::Tick), [Action::Look]);
        assert_eq!(story.step(Event::Seen(Sighting::CannotTell(why("what is that?")))), []);
    }
    // A crash of watchd changes nothing of it.
    let now = Now { mono: story.now, wall: ms(9_000_000) };
    story.machine = Machine::recall(&story.machine.record(now), now, &story.spec, 1);
    assert_eq!(story.step(Event::Tick), [Action::Look]);
    assert_eq!(story.step(Event::Seen(Sighting::CannotTell(why("what is that?")))), []);
    let search = story.machine.doubt_about(&Pidfile::Missing, story.now).expect("it is searched for");
    assert_eq!(search.born.0, started, "what its start has left is no older");
    let born = Identity { pid: 99, start_ticks: u64::try_from(started.as_millis()).expect("it is short") / 10 };
    story.notes.clear();
    assert_eq!(story.found(born), [Action::Settled]);
    assert_eq!(story.state(), ServiceState::Ready);
    assert_eq!(story.notes, [EventKind::ServiceReady], "it is our own work");
}

#[test]
fn what_a_start_has_left_is_gone_at_last_and_it_is_paid_for_like_any_failure() {
    let mut story = lost();
    assert_eq!(story.absent(), []);
    assert!(story.machine.reason().contains("after its start: not there"), "{}", story.machine.reason());
    assert_eq!((story.state(), story.notes.pop()), (ServiceState::Backoff, Some(EventKind::ServiceFailed)));
    assert_eq!(story.wait(100), [Action::Look]);
    assert_eq!(story.absent(), [Action::Run(Errand::Start)]);
    assert_eq!(story.machine.budget_left(story.now, &story.spec), 2);
}

#[test]
fn what_a_failed_start_leaves_behind_has_a_moment_to_end() {
    let doubt = || Event::Seen(Sighting::CannotTell(why("process 9 may be it")));
    for is_left in [false, true] {
        let mut story = Story::new(daemon());
        story.absent();
        let command = Identity { pid: 50, start_ticks: 1 };
        story.step(Event::CommandStarted(command));
        story.step(Event::CommandEnded { identity: command, ending: Some(Ending::Exit(1)), trouble: None });
        assert_eq!(story.step(doubt()), []);
        assert_eq!((story.state(), story.machine.reason()), (ServiceState::Starting, "start command: exit status 1"));
        story.wait(2999);
        if is_left {
            story.step(doubt());
            story.wait(1);
            story.step(doubt());
            assert_eq!((story.state(), story.machine.reason()), (ServiceState::Unknown, "process 9 may be it"));
        } else {
            story.absent();
            assert_eq!(
                (story.state(), story.machine.reason()),
                (ServiceState::Backoff, "start command: exit status 1")
            );
        }
    }
}

#[test]
fn a_stop_while_nobody_can_tell_ends_what_is_found_later() {
    let mut story = lost();
    story.order(Verb::Stop);
    assert_eq!(story.machine.doubt_about(&Pidfile::Empty, story.now).map(|search| search.is_vain), Some(true));
    let found = story.identity();
    let expect = [Action::Signal { identity: found, signal: 15, reach: Reach::Process }];
    assert_eq!(story.found(found), expect);
    let mut story = lost();
    story.order(Verb::Stop);
    story.absent();
    assert_eq!(story.state(), ServiceState::Stopped);
}

#[test]
fn a_start_command_that_hangs_is_ended() {
    let mut story = Story::new(daemon());
    story.absent();
    let command = Identity { pid: 50, start_ticks: 1 };
    story.step(Event::CommandStarted(command));
    assert_eq!(story.wait(29_999), []);
    assert_eq!(story.wait(1), [Action::KillCommand]);
    assert_eq!(story.wait(5000), [Action::KillCommand], "and again, should that not help");
    let ended = Event::CommandEnded { identity: command, ending: Some(Ending::Signal(9)), trouble: None };
    assert_eq!(story.step(ended), [Action::Look]);
    story.absent();
    assert!(story.machine.reason().contains("did not end within 30 s"), "{}", story.machine.reason());
    assert_eq!(story.state(), ServiceState::Backoff);
}

#[test]
fn a_failed_start_command_is_no_failure_when_the_daemon_is_there() {
    for there in [true, false] {
        let mut story = Story::new(daemon());
        story.absent();
        let command = Identity { pid: 50, start_ticks: 1 };
        story.step(Event::CommandStarted(command));
        story.step(Event::CommandEnded { identity: command, ending: Some(Ending::Exit(1)), trouble: None });
        if there {
            story.found(story.identity());
            assert_eq!(story.state(), ServiceState::Starting);
        } else {
            story.absent();
            assert_eq!(story.machine.reason(), "start command: exit status 1");
        }
    }
}

#[test]
fn a_stop_escalates_with_deadlines_and_stays_a_stop() {
    let mut story = Story::ready(child());
    let identity = story.machine.identity().expect("it runs");
    let signal = |signal| Action::Signal { identity, signal, reach: Reach::Group };
    assert_eq!(story.order(Verb::Stop), [signal(15)]);
    assert_eq!(story.order(Verb::Stop), [], "asked twice, done once");
    assert_eq!(story.wait(9999), []);
    assert_eq!(story.wait(1), [signal(9)]);
    assert_eq!(story.state(), ServiceState::Stopping);
    assert_eq!(story.wait(5000), [signal(9)]);
    assert_eq!(story.wait(5000), []);
    assert_eq!(story.notes.last(), Some(&EventKind::ServiceFailed));
    assert_eq!(story.die(), []);
    assert_eq!(story.state(), ServiceState::Stopped);
    assert_eq!(story.deadline(), None);
    assert_eq!(story.wait(86_400_000), []);
    assert_eq!(story.order(Verb::Start), [Action::Spawn]);
}

#[test]
fn a_stop_command_comes_before_the_signals() {
    let mut story = Story::new(ServiceSpec { stop: Some(launch("/bin/stop")), ..daemon() });
    let identity = story.identity();
    story.found(identity);
    assert_eq!(story.order(Verb::Restart), [Action::Run(Errand::Stop)]);
    let command = Identity { pid: 50, start_ticks: 1 };
    story.step(Event::CommandStarted(command));
    let ended = Event::CommandEnded { identity: command, ending: Some(Ending::Exit(0)), trouble: None };
    assert_eq!(story.step(ended), [], "the process may take until the deadline");
    let term = Action::Signal { identity, signal: 15, reach: Reach::Process };
    assert_eq!(story.wait(30_000), [term]);
    assert_eq!(story.die(), [Action::Look]);
    assert_eq!(story.absent(), [Action::Run(Errand::Start)]);
    assert_eq!(story.machine.restarts(), 0, "asked for");
}

#[test]
fn a_stop_command_that_hangs_is_killed_and_the_signals_follow_at_once() {
    let mut story = Story::new(ServiceSpec { stop: Some(launch("/bin/stop")), ..daemon() });
    let identity = story.identity();
    story.found(identity);
    assert_eq!(story.order(Verb::Stop), [Action::Run(Errand::Stop)]);
    let command = Identity { pid: 50, start_ticks: 1 };
    story.step(Event::CommandStarted(command));
    assert_eq!(story.wait(29_999), []);
    assert_eq!(story.wait(1), [Action::KillCommand]);
    let ended = Event::CommandEnded { identity: command, ending: Some(Ending::Signal(9)), trouble: None };
    let term = Action::Signal { identity, signal: 15, reach: Reach::Process };
    assert_eq!(story.step(ended), [term], "it has had its time");
}

#[test]
fn a_stop_during_a_start_ends_what_turns_up() {
    let mut story = Story::new(daemon());
    story.absent();
    let command = Identity { pid: 50, start_ticks: 1 };
    story.step(Event::CommandStarted(command));
    assert_eq!(story.order(Verb::Stop), [Action::KillCommand]);
    assert_eq!(story.state(), ServiceState::Stopping);
    let ended = Event::CommandEnded { identity: command, ending: Some(Ending::Signal(9)), trouble: None };
    assert_eq!(story.step(ended), [Action::Look]);
    story.absent();
    story.wait(5);
    let identity = story.identity();
    assert_eq!(story.found(identity), [Action::Signal { identity, signal: 15, reach: Reach::Process }]);
    story.die();
    assert_eq!(story.state(), ServiceState::Stopped);
}

#[test]
fn a_stopped_service_that_someone_else_starts_is_left_alone() {
    let mut story = Story::new(daemon());
    let first = story.identity();
    story.found(first);
    story.order(Verb::Stop);
    story.die();
    assert_eq!(story.state(), ServiceState::Stopped);
    assert_eq!(story.step(Event::Cycle), [Action::Look]);
    story.now += ms(5000);
    assert_eq!(story.found(story.identity()), []);
    story.wait(1000);
    assert_eq!(story.state(), ServiceState::Ready);
    assert_eq!(story.die(), []);
    assert_eq!(story.state(), ServiceState::Stopped);
}

#[test]
fn a_pause_ends_by_itself() {
    let mut story = Story::ready(child());
    story.order(Verb::Pause(Some(ms(60_000))));
    assert_eq!(story.state(), ServiceState::Paused);
    assert_eq!(story.die(), []);
    assert_eq!(story.wait(59_999), []);
    assert_eq!(story.deadline(), Some(ms(1)));
    assert_eq!(story.wait(1), [Action::Spawn]);
    assert_eq!(story.notes.iter().filter(|kind| **kind == EventKind::ServiceResumed).count(), 1);
}

#[test]
fn a_pause_without_an_end_wakes_nobody() {
    let mut story = Story::ready(child());
    story.order(Verb::Pause(None));
    story.die();
    assert_eq!(story.deadline(), None);
    assert_eq!(story.order(Verb::Resume), [Action::Spawn]);
    assert_eq!(story.order(Verb::Resume), []);
}

#[test]
fn a_guard_that_does_not_hold_starts_nothing_and_stops_nothing() {
    let mut story = Story::ready(child());
    assert_eq!(story.step(Event::Guard(false)), []);
    assert_eq!(story.state(), ServiceState::Ready);
    assert_eq!(story.die(), []);
    assert_eq!(story.state(), ServiceState::Stopped);
    assert_eq!(story.deadline(), None);
    assert_eq!(story.step(Event::Guard(true)), [Action::Spawn]);
}

#[test]
fn a_watched_daemon_without_a_start_command_is_down_until_it_is_seen() {
    let mut story = Story::new(ServiceSpec { start: None, ..daemon() });
    assert_eq!(story.absent(), []);
    assert_eq!(story.state(), ServiceState::Down);
    assert_eq!(story.step(Event::Cycle), [Action::Look]);
    story.found(story.identity());
    assert_eq!(story.notes.last(), Some(&EventKind::ServiceAdopted));
}

#[test]
fn an_event_about_another_process_changes_nothing() {
    let mut story = Story::ready(child());
    let other = Identity { pid: 9999, start_ticks: 1 };
    assert_eq!(story.step(Event::Died { identity: other, ending: None, trouble: None }), []);
    assert_eq!(story.step(Event::CommandEnded { identity: other, ending: None, trouble: None }), []);
    assert_eq!(story.step(Event::Spawned(other)), []);
    assert_eq!(story.found(other), []);
    assert_eq!(story.state(), ServiceState::Ready);
}

#[test]
fn a_failed_start_says_why_and_waits() {
    let mut story = Story::new(child());
    story.absent();
    assert_eq!(story.step(Event::SpawnFailed(why("cannot start a process: EAGAIN"))), []);
    assert_eq!(story.state(), ServiceState::Backoff);
    assert_eq!(story.machine.reason(), "cannot start a process: EAGAIN");
    assert_eq!(story.wait(100), [Action::Spawn]);
}

#[test]
fn a_child_that_forks_away_is_told_what_run_needs() {
    let mut story = Story::new(child());
    story.absent();
    story.spawn();
    let identity = story.machine.identity().expect("it runs");
    story.step(Event::Died { identity, ending: Some(Ending::Exit(0)), trouble: None });
    assert!(story.machine.reason().ends_with("stays in the foreground"), "{}", story.machine.reason());
}

#[test]
fn what_departs_is_stopped_and_keeps_the_wish() {
    let mut story = Story::ready(child());
    assert_eq!(story.step(Event::Leave), []);
    assert!(matches!(story.step(Event::Depart("stopped with watchd"))[..], [Action::Signal { signal: 15, .. }]));
    assert!(!story.machine.is_over());
    assert!(!story.die().contains(&Action::Spawn));
    assert!(story.machine.is_over());
    assert_eq!(story.machine.wish(), crate::model::Wish::Up);
    assert!(story.step(Event::Return).contains(&Action::Spawn), "it comes back with its place in the policy");
}

#[test]
fn what_leaves_without_departing_goes_on_and_is_not_started_again() {
    let mut story = Story::ready(child());
    assert_eq!(story.step(Event::Leave), []);
    assert!(story.machine.identity().is_some());
    assert!(!story.die().contains(&Action::Spawn));
    story.now += ms(600_000);
    assert!(!story.step(Event::Tick).contains(&Action::Spawn));
}

#[test]
fn what_is_remembered_brings_back_identity_budget_pause_and_wait() {
    let mut story = Story::ready(child());
    story.die();
    story.spawn();
    story.die();
    story.order(Verb::Pause(Some(ms(60_000))));
    let now = Now { mono: story.now, wall: ms(9_000_000_000) };
    let record = story.machine.record(now);
    let mut again = Machine::recall(&record, now, &story.spec, 1);
    assert_eq!(again.record(now), record);
    let doings = again.step(Event::Seen(Sighting::NotFound(why("gone"))), story.now, &story.spec);
    assert!(!doings.contains(&Action::Spawn));
    assert_eq!(again.next_deadline(&story.spec), Some(story.now + ms(60_000)));
    assert_eq!(again.budget_left(story.now, &story.spec), story.machine.budget_left(story.now, &story.spec));
    let booted = Now { mono: ms(10_000), wall: now.wall + ms(59_000) };
    let other = Machine::recall_over_boot(&record, booted, 1);
    assert_eq!(other.next_deadline(&story.spec), Some(ms(10_000)), "looks at once");
    assert_eq!(other.record(booted).pause.map(|pause| pause.mono), Some(ms(11_000)));
    assert_eq!(other.identity(), None);
}

impl Story {
    /// The next question, whenever it is due.
    fn question(&mut self) -> Asked {
        let wait = self.deadline().expect("something is due");
        self.now += wait;
        match self.step(Event::Tick)[..] {
            [Action::Check(asked)] => asked,
            ref other => panic!("a question, not {other:?}"),
        }
    }

    fn answer(&mut self, verdict: Verdict) -> Vec<Action> {
        let asked = self.question();
        self.step(Event::Checked(asked, verdict))
    }

    /// A child that is up, has settled and has shown that it is ready.
    fn healthy() -> Self {
        let mut story = Self::new(checked());
        story.absent();
        story.spawn();
        assert_eq!(story.answer(Verdict::Passed), []);
        assert_eq!(story.state(), ServiceState::Starting, "it has not settled");
        story.wait(1000);
        assert_eq!(story.state(), ServiceState::Ready);
        story
    }

    fn bond(&mut self, bond: Bond) -> Vec<Action> {
        self.step(Event::Bond(bond))
    }
}

fn refused() -> Verdict {
    Verdict::Failed(why("refused"))
}

#[test]
fn a_start_counts_as_ready_only_when_it_is() {
    let mut story = Story::new(checked());
    story.absent();
    story.spawn();
    for _ in 0..4 {
        assert_eq!(story.answer(refused()), []);
        assert_eq!(story.state(), ServiceState::Starting);
    }
    assert_eq!(story.machine.reason(), "not ready: unix /run/web: refused");
    story.now += ms(2000);
    story.answer(Verdict::Passed);
    assert_eq!(story.state(), ServiceState::Ready);
    assert!(story.machine.reason().starts_with("runs as process"));
}

#[test]
fn a_start_that_is_not_ready_in_time_has_failed_and_waits_longer_each_time() {
    let mut story = Story::new(checked());
    story.absent();
    story.spawn();
    for expect in [100, 200, 400] {
        let actions = loop {
            let wait = story.deadline().expect("something is due");
            story.now += wait;
            match story.step(Event::Tick)[..] {
                [Action::Check(asked)] => assert_eq!(story.step(Event::Checked(asked, refused())), []),
                ref actions => break actions.to_vec(),
            }
        };
        assert!(matches!(actions[..], [Action::Signal { signal: 15, .. }]), "{actions:?}");
        assert_eq!(story.die(), []);
        assert_eq!(story.machine.reason(), "not ready within 5 s: unix /run/web: refused");
        assert_eq!(story.state(), ServiceState::Backoff);
        let wait = story.deadline().expect("it comes back").as_millis();
        assert!((expect * 3 / 4..=expect).contains(&wait), "{wait} of {expect}");
        assert_eq!(story.wait(1000), [Action::Spawn]);
        story.spawn();
    }
    assert_eq!(story.machine.restarts(), 3, "each was paid for");
}

#[test]
fn failures_in_a_row_are_answered_with_a_restart_that_is_paid_for() {
    let mut story = Story::healthy();
    story.answer(refused());
    assert_eq!(story.machine.reason(), "1 of 2 times unix /run/web: refused");
    story.answer(Verdict::Late(Strain::Heavy));
    story.answer(Verdict::Unknown(why("no descriptor")));
    assert_eq!(story.state(), ServiceState::Ready);
    assert!(matches!(story.answer(refused())[..], [Action::Signal { signal: 15, .. }]));
    assert_eq!(story.notes.last(), Some(&EventKind::ServiceUnhealthy));
    assert_eq!(story.die(), [Action::Spawn]);
    assert_eq!(story.machine.reason(), "2 times in a row unix /run/web: refused");
    assert_eq!((story.machine.restarts(), story.machine.budget_left(story.now, &story.spec)), (1, 2));
}

#[test]
fn what_cannot_be_started_again_is_not_ended() {
    for hindrance in [Event::Guard(false), Event::Bond(Bond::Waits(why("waits for db")))] {
        let mut story = Story::healthy();
        story.step(hindrance);
        story.answer(refused());
        assert_eq!(story.answer(refused()), []);
        assert_eq!(story.state(), ServiceState::Unhealthy);
        assert_eq!(story.answer(Verdict::Passed), []);
        assert_eq!(story.state(), ServiceState::Unhealthy, "two passes are wanted");
        assert_eq!(story.answer(Verdict::Passed), []);
        assert_eq!(story.state(), ServiceState::Ready);
    }
    let mut story = Story::healthy();
    for _ in 0..3 {
        story.answer(refused());
        story.answer(refused());
        assert_eq!(story.die(), [Action::Spawn]);
        story.spawn();
        story.answer(Verdict::Passed);
        story.wait(1000);
    }
    story.answer(refused());
    assert_eq!(story.answer(refused()), [], "the budget is spent");
    assert_eq!(story.state(), ServiceState::Unhealthy);
    loop {
        let wait = story.deadline().expect("the budget refills");
        story.now += wait;
        match story.step(Event::Tick)[..] {
            [Action::Check(asked)] => assert_eq!(story.step(Event::Checked(asked, refused())), []),
            ref actions => break assert!(matches!(actions, [Action::Signal { .. }]), "{actions:?}"),
        }
    }
}

#[test]
fn nothing_is_asked_in_a_pause_and_old_answers_count_no_more() {
    let mut story = Story::healthy();
    story.answer(refused());
    let asked = story.question();
    story.order(Verb::Pause(None));
    assert_eq!(story.deadline(), None);
    assert_eq!(story.step(Event::Checked(asked, refused())), []);
    story.now += ms(3_600_000);
    story.order(Verb::Resume);
    assert_eq!(story.step(Event::Checked(asked, refused())), [], "it was asked before the pause");
    story.answer(refused());
    assert_eq!(story.state(), ServiceState::Ready, "the row begins anew");
    let asked = story.question();
    story.step(Event::Checked(asked, Verdict::Passed));
    assert_eq!(story.step(Event::Checked(asked, refused())), [], "answered twice, heard once");
}

#[test]
fn an_answer_that_never_comes_is_asked_for_again() {
    let mut story = Story::healthy();
    let first = story.question();
    let second = story.question();
    assert_ne!(first, second);
    assert_eq!(story.state(), ServiceState::Ready);
}

#[test]
fn what_needs_another_waits_ends_and_returns_with_it() {
    let mut story = Story::new(child());
    story.bond(Bond::Waits(why("waits for db, which is starting")));
    assert_eq!(story.absent(), []);
    assert_eq!(story.state(), ServiceState::Waiting);
    assert_eq!(story.machine.reason(), "waits for db, which is starting");
    assert_eq!(story.deadline(), None);
    assert_eq!(story.bond(Bond::Free), [Action::Spawn]);
    story.spawn();
    story.wait(1000);
    assert_eq!(story.bond(Bond::Waits(why("waits for db, which is backoff"))), []);
    assert_eq!(story.state(), ServiceState::Ready, "what runs goes on");
    let lost = Bond::Lost(why("needs db, which is stopped"));
    assert!(matches!(story.bond(lost.clone())[..], [Action::Signal { signal: 15, .. }]));
    assert_eq!(story.die(), []);
    assert_eq!(story.state(), ServiceState::Waiting);
    assert_eq!(story.machine.reason(), "needs db, which is stopped");
    assert_eq!(story.order(Verb::Start), [], "nobody can order it to do without");
    assert_eq!(story.bond(Bond::Free), [Action::Spawn]);
    assert_eq!(story.machine.restarts(), 0, "it costs nothing");
    story.spawn();
    story.order(Verb::Pause(None));
    assert_eq!(story.bond(lost), [], "what is paused is left alone");
    assert!(matches!(story.order(Verb::Resume)[..], [Action::Signal { .. }]));
}

#[test]
fn why_it_was_ended_outlives_watchd() {
    let mut story = Story::healthy();
    story.answer(refused());
    story.answer(refused());
    let now = Now { mono: story.now, wall: ms(9_000_000_000) };
    let record = story.machine.record(now);
    let mut again = Machine::recall(&record, now, &story.spec, 1);
    assert_eq!(again.record(now), record);
    let gone = Event::Seen(Sighting::NotFound(why("gone")));
    assert!(again.step(gone, story.now, &story.spec).contains(&Action::Spawn));
    assert_eq!(again.restarts(), 1, "the restart is paid for");
}

/// A child that says when it is ready, and that it lives every ten seconds.
fn speaking() -> ServiceSpec {
    let ready = Some(Readiness { target: Target::Notify, within: ms(5000) });
    ServiceSpec { care: Care { ready, watchdog: Some(ms(10_000)), ..Care::default() }, ..child() }
}

#[test]
fn a_word_makes_ready_and_silence_unhealthy() {
    let mut story = Story::new(speaking());
    story.absent();
    assert_eq!(story.spawn(), [], "nobody asks");
    story.wait(4000);
    assert_eq!(story.state(), ServiceState::Starting);
    story.step(Event::Told(Word::Ready));
    assert_eq!(story.state(), ServiceState::Ready);
    story.step(Event::Told(Word::Status(why("serves"))));
    assert!(story.machine.reason().ends_with(": serves"));
    for _ in 0..5 {
        story.wait(9000);
        story.step(Event::Told(Word::Beat));
    }
    assert_eq!(story.deadline(), Some(ms(10_000)));
    story.now += ms(60_000);
    assert_eq!(story.step(Event::Tick), [], "watchd itself came late: nothing can be told");
    assert!(matches!(story.wait(10_000)[..], [Action::Signal { .. }]));
    assert_eq!(story.machine.reason(), "no sign of life within 10 s");
    assert_eq!(story.die(), [Action::Spawn], "it lived long enough");
    assert_eq!(story.machine.restarts(), 1, "the restart is paid for");
    story.spawn();
    assert!(matches!(story.wait(5000)[..], [Action::Signal { .. }]), "not ready in time");
}

#[test]
fn silence_means_nothing_where_no_word_was_promised() {
    let mut story = Story::new(speaking());
    story.found(story.identity());
    story.wait(1000);
    assert_eq!(story.state(), ServiceState::Ready, "what it said before is lost, so it counts as ready");
    assert_eq!(story.deadline(), None);
    story.step(Event::Told(Word::Beat));
    assert_eq!(story.deadline(), Some(ms(10_000)), "from the first word on, the next is expected");
    let now = Now { mono: story.now, wall: ms(0) };
    let mut again = Machine::recall(&story.machine.record(now), now, &story.spec, 1);
    let identity = story.machine.identity().expect("it runs");
    again.step(Event::Seen(Sighting::Found { identity, born: identity.born(), rival: None }), story.now, &story.spec);
    assert_eq!(again.next_deadline(&story.spec), Some(story.now + ms(10_000)), "also by the next watchd");
    story.step(Event::Told(Word::Stopping));
    assert_eq!(story.deadline(), None);
    assert_eq!(story.step(Event::Moved { identity: Identity { pid: 9, ..identity }, born: story.now }), []);
    assert_eq!(story.machine.identity().map(|identity| identity.pid), Some(9));
    assert!(!story.machine.is_own());
}

#[test]
fn a_restart_waits_for_the_host_but_not_for_ever() {
    let full = || Event::Weather(Some(why("waits for room on /run, which is full")));
    let mut story = Story::ready(child());
    story.step(full());
    assert_eq!(story.die(), [], "not into a full disk");
    assert_eq!((story.state(), story.deadline()), (ServiceState::Waiting, Some(ms(120_000))));
    assert_eq!(story.machine.reason(), "waits for room on /run, which is full");
    story.now += ms(7000);
    assert_eq!(story.step(Event::Weather(None)), [Action::Spawn]);
    story.spawn();
    story.wait(1000);
    story.step(full());
    assert_eq!(story.die(), []);
    assert_eq!(story.wait(119_000), []);
    assert_eq!(story.wait(1000), [Action::Spawn], "in the end it is tried");
    story.spawn();
    story.wait(1000);
    story.die();
    assert_eq!(story.order(Verb::Start), [Action::Spawn], "a person knows better");
    assert_eq!(story.notes.iter().filter(|kind| **kind == EventKind::ServiceHeld).count(), 3);
    let mut story = Story::ready(ServiceSpec { care: Care { is_heedless: true, ..Care::default() }, ..child() });
    story.step(full());
    assert_eq!(story.die(), [Action::Spawn], "it does not mind");
}

#[test]
fn what_runs_badly_is_not_ended_while_its_start_would_wait_for_the_host() {
    let full = || Event::Weather(Some(why("waits for room on /run, which is full")));
    let held = |story: &Story| story.notes.iter().filter(|kind| **kind == EventKind::ServiceHeld).count();
    // A service with a watchdog of ten seconds falls silent.
    let silent = || {
        let mut story = Story::new(speaking());
        story.absent();
        story.spawn();
        story.wait(2000);
        story.step(Event::Told(Word::Ready));
        story
    };
    let mut story = silent();
    story.step(full());
    assert_eq!(story.wait(10_000), [], "it runs badly, but it runs");
    assert_eq!((story.state(), held(&story)), (ServiceState::Unhealthy, 1));
    assert_eq!(story.deadline(), Some(ms(120_000)), "nothing is due before");
    story.step(Event::Weather(None));
    assert_eq!(story.deadline(), Some(ms(0)));
    assert!(matches!(story.step(Event::Tick)[..], [Action::Signal { .. }]), "at once when the host lets it");
    assert_eq!(story.die(), [Action::Spawn]);

    let mut story = silent();
    story.step(full());
    story.wait(10_000);
    assert_eq!(story.wait(119_999), []);
    assert!(matches!(story.wait(1)[..], [Action::Signal { .. }]), "not for ever: that may be what mends it");
    assert_eq!(story.die(), [Action::Spawn], "and the wait is not had twice");

    let mut story = silent();
    story.step(full());
    story.wait(10_000);
    story.step(Event::Told(Word::Beat));
    story.now += ms(200_000);
    story.step(Event::Tick);
    story.step(Event::Told(Word::Beat));
    assert_eq!(story.wait(10_000), [], "it was well between: the wait begins anew");
    assert_eq!(held(&story), 2);
}

fn rival(random: u64) -> Option<Box<Rival>> {
    let identity = Identity { pid: 812, start_ticks: 1 };
    (random & 64 == 0).then(|| Box::new(Rival { identity, name: why("runsv (process 812 of root)") }))
}

#[test]
fn what_another_brings_back_is_left_to_it_until_it_stops() {
    let mut story = Story::new(daemon());
    story.found(story.identity());
    for turn in 0..3 {
        story.wait(5000);
        assert_eq!(story.state(), ServiceState::Ready, "{turn}");
        assert_eq!(story.die(), [Action::Look]);
        story.pid += 1;
        let (identity, rival) = (story.identity(), rival(0));
        story.step(Event::Seen(Sighting::Found { identity, born: identity.born(), rival }));
    }
    story.wait(5000);
    assert_eq!(story.state(), ServiceState::Fight);
    let reason = "brought back by runsv (process 812 of root), 3 times or more; left to them";
    assert_eq!(story.machine.reason(), reason);
    assert_eq!(story.die(), [], "the other has its turn");
    assert_eq!((story.state(), story.deadline()), (ServiceState::Fight, Some(ms(60_000))));
    assert_eq!(story.step(Event::Cycle), [Action::Look], "and is watched");
    story.absent();
    assert_eq!(story.wait(60_000), [Action::Look], "it did not take it");
    assert_eq!(story.absent(), [Action::Run(Errand::Start)]);
    assert!(story.notes.contains(&EventKind::ServicePeace));
    assert_eq!(story.machine.restarts(), 1, "nothing else was started");
}

#[test]
fn the_end_of_the_other_and_an_order_end_a_fight() {
    for event in [Event::RivalGone, Event::Control(Verb::Reset), Event::Control(Verb::Start)] {
        let mut story = Story::new(daemon());
        story.found(story.identity());
        for _ in 0..3 {
            story.wait(5000);
            story.die();
            story.pid += 1;
            let (identity, rival) = (story.identity(), rival(0));
            story.step(Event::Seen(Sighting::Found { identity, born: identity.born(), rival }));
        }
        story.wait(5000);
        story.die();
        assert_eq!(story.state(), ServiceState::Fight);
        assert_eq!(story.step(event), [Action::Look]);
        assert_eq!(story.absent(), [Action::Run(Errand::Start)]);
    }
}

#[test]
fn only_signals_that_somebody_sends_make_a_fight() {
    let by = Ending::Signal;
    for (ending, expect) in [
        (by(9), ServiceState::Fight),
        (by(15), ServiceState::Fight),
        (by(11), ServiceState::Flapping),
        // Who wants too much memory has no enemy.
        (Ending::OutOfMemory, ServiceState::Flapping),
    ] {
        let mut story = Story::ready(child());
        while story.state() != expect {
            assert!(story.machine.restarts() < 9, "{ending}");
            let identity = story.machine.identity().expect("it runs");
            let ending = Some(ending);
            if story.step(Event::Died { identity, ending, trouble: None }).contains(&Action::Spawn) {
                story.spawn();
            }
            story.wait(1000);
        }
        assert_eq!(story.machine.restarts(), 3);
        story.now += ms(600_000);
        if story.step(Event::Tick).contains(&Action::Spawn) {
            story.spawn();
        }
        story.wait(1000);
        assert_eq!(story.state(), ServiceState::Ready, "it is tried again");
        story.now += ms(600_000);
        story.step(Event::Cycle);
        assert_eq!(story.notes.contains(&EventKind::ServicePeace), expect == ServiceState::Fight);
    }
}

/// A child that may have 100 descriptors, for ten seconds more.
fn limited() -> ServiceSpec {
    let bound = Bound { what: Quantity::Fds, max: 100, lasts: ms(10_000), deed: Deed::Restart };
    let told = Bound { what: Quantity::Rss, max: 1 << 20, lasts: ms(0), deed: Deed::Run(launch("/bin/tell")) };
    ServiceSpec { care: Care { bounds: vec![bound, told], ..Care::default() }, ..child() }
}

fn uses(fds: u64, rss: u64) -> Event {
    Event::Measured([Some(rss), None, Some(fds), None, None, None])
}

#[test]
fn a_pause_in_which_nothing_is_measured_does_not_count_for_a_limit() {
    let mut story = Story::ready(limited());
    story.step(uses(101, 0));
    story.order(Verb::Pause(Some(ms(60_000))));
    story.now += ms(30_000);
    story.step(uses(5, 0));
    story.wait(30_000);
    assert_eq!(story.step(uses(101, 0)), [], "it was not above for so long");
    story.now += ms(10_000);
    assert!(matches!(story.step(uses(101, 0))[..], [Action::Signal { .. }]), "by now it was");
}

#[test]
fn what_uses_too_much_is_restarted_when_that_can_be_paid() {
    let mut story = Story::ready(limited());
    assert_eq!(story.step(uses(101, 2 << 20)), [Action::Deed(1)], "a program runs at once, and once");
    story.now += ms(10_000);
    assert_eq!(story.machine.over(story.now, &story.spec), 1 << Quantity::Rss.byte());
    assert!(matches!(story.step(uses(101, 2 << 20))[..], [Action::Signal { .. }]));
    assert_eq!(story.machine.reason(), "fds 101 is above 100 for 10 s");
    assert_eq!(story.die(), [Action::Spawn]);
    assert_eq!(story.machine.restarts(), 1);
    story.spawn();
    assert_eq!(story.machine.over(story.now, &story.spec), 0, "another process, another count");
    for _ in 0..2 {
        story.wait(1000);
        story.step(uses(200, 0));
        story.now += ms(10_000);
        story.step(uses(200, 0));
        story.die();
        story.spawn();
    }
    story.wait(1000);
    story.step(uses(200, 0));
    story.now += ms(10_000);
    assert_eq!(story.step(uses(200, 0)), [], "the budget is spent: what cannot come back is not ended");
    assert_eq!(story.state(), ServiceState::Unhealthy);
    story.step(uses(96, 0));
    assert_eq!(story.state(), ServiceState::Unhealthy, "not quite within its limit");
    story.step(uses(95, 0));
    assert_eq!(story.state(), ServiceState::Ready);
}

#[test]
fn every_event_has_an_answer_in_every_phase() {
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    for spec in [
        child(),
        checked(),
        speaking(),
        limited(),
        daemon(),
        ServiceSpec { stop: Some(launch("/bin/stop")), on_exit: OnExit::Stop, ..daemon() },
    ] {
        let mut story = Story::new(spec);
        let mut asked = Vec::new();
        for _ in 0..200_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let identity = story.machine.identity().unwrap_or(story.identity());
            let command = story.machine.command().map_or(identity, |(_, command)| command);
            let ending = Some(Ending::Exit(i32::from(random & 64 == 0)));
            let event = match random % 32 {
                0 | 1 => Event::Tick,
                2 => Event::Cycle,
                3 => Event::Seen(Sighting::Found { identity: story.identity(), born: story.now, rival: rival(random) }),
                4 => Event::Seen(Sighting::NotFound(why("no"))),
                5 => Event::Seen(Sighting::Stranger(why("who"))),
                6 => Event::Seen(Sighting::CannotTell(why("?"))),
                7 => Event::Spawned(story.identity()),
                8 => Event::SpawnFailed(why("no")),
                9 => Event::Died { identity, ending, trouble: None },
                10 => Event::CommandStarted(story.identity()),
                11 => Event::CommandFailed(why("no")),
                12 => Event::CommandEnded { identity: command, ending, trouble: None },
                13 => Event::Control(Verb::Start),
                14 => Event::Control(Verb::Stop),
                15 => Event::Control(Verb::Restart),
                16 => Event::Control(if random & 32 == 0 { Verb::Reset } else { Verb::Resume }),
                17 => Event::Control(Verb::Pause(Some(ms(random % 100_000)))),
                18..21 => match asked.pop() {
                    Some(asked) if random & 32 == 0 => Event::Checked(asked, Verdict::Passed),
                    Some(asked) => Event::Checked(asked, Verdict::Failed(why("no"))),
                    None => Event::Tick,
                },
                21 => Event::Bond(Bond::Waits(why("waits"))),
                22 => Event::Bond(if random & 32 == 0 { Bond::Free } else { Bond::Lost(why("lost")) }),
                23 => Event::Told(Word::Ready),
                24 => Event::Told(if random & 32 == 0 { Word::Beat } else { Word::Trigger }),
                25 => Event::Told(if random & 32 == 0 { Word::Stopping } else { Word::Status(why("so")) }),
                26 => Event::Moved { identity: story.identity(), born: story.now },
                28 => uses(random >> 20 & 0xff, random >> 30 & 0x1f_ffff),
                29 if random & 32 == 0 => Event::Weather(Some(why("full"))),
                29 if random & 64 == 0 => Event::Weather(None),
                29 => Event::RivalGone,
                27 => Event::Explained(identity, Ending::Signal(9)),
                _ => Event::Guard(random & 32 == 0),
            };
            story.now += ms(random >> 8 & 0xfff);
            story.pid = 100 + (story.pid + 1) % 30_000;
            for action in story.step(event) {
                if let Action::Check(question) = action {
                    asked.push(question);
                }
            }
            story.notes.clear();
        }
    }
}
