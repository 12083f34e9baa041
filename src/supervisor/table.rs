//! What each event does in each phase, written once: the code that decides, the table in `docs/supervision.md`, and the test over
//! the whole product are made from it.
//!
//! A row is an event with what it carries, and nine cells, one a phase. A cell names the handler, a function of [`Machine`] that gets
//! what the event carries; `_` is nothing at all, and `all` one handler whatever the phase. The compiler keeps it total: no event
//! is without a row, and no row without its nine cells.

use super::machine::{Machine, Phase, Turn};
use super::{Event, Sighting, Verb};

macro_rules! table {
    ($($name:literal $event:pat => ($($arg:expr),*) $cells:tt)*) => {
        impl Machine {
            /// Does what the table says.
            pub(super) fn take(&mut self, event: Event, turn: &mut Turn<'_>) {
                match event {
                    $($event => row!(self, turn, ($($arg),*), $cells),)*
                }
            }
        }

        /// Each event with the names of what it does in each phase; none where it does nothing.
        #[cfg(test)]
        pub(super) const TABLE: &[(&str, [Option<&str>; 9])] = &[$(($name, names!($cells)),)*];
    };
}

macro_rules! row {
    ($machine:ident, $turn:ident, $args:tt, [all $cell:ident]) => {
        cell!($machine, $turn, $args, $cell)
    };
    ($machine:ident, $turn:ident, $args:tt,
     [$unsure:tt $down:tt $checking:tt $spawning:tt $commanding:tt $seeking:tt $alive:tt $unwinding:tt $signalling:tt]) => {
        match $machine.phase {
            Phase::Unsure { .. } => cell!($machine, $turn, $args, $unsure),
            Phase::Down { .. } => cell!($machine, $turn, $args, $down),
            Phase::Checking => cell!($machine, $turn, $args, $checking),
            Phase::Spawning => cell!($machine, $turn, $args, $spawning),
            Phase::Commanding { .. } => cell!($machine, $turn, $args, $commanding),
            Phase::Seeking { .. } => cell!($machine, $turn, $args, $seeking),
            Phase::Alive { .. } => cell!($machine, $turn, $args, $alive),
            Phase::Unwinding { .. } => cell!($machine, $turn, $args, $unwinding),
            Phase::Signalling { .. } => cell!($machine, $turn, $args, $signalling),
        }
    };
}

macro_rules! cell {
    ($machine:ident, $turn:ident, $args:tt, _) => {{}};
    ($machine:ident, $turn:ident, ($($arg:expr),*), $deed:ident) => { $machine.$deed($($arg,)* $turn) };
}

#[cfg(test)]
macro_rules! names {
    ([all $cell:ident]) => { [Some(stringify!($cell)); 9] };
    ([$($cell:tt)*]) => { [$(names!(@ $cell),)*] };
    (@ _) => { None };
    (@ $cell:ident) => { Some(stringify!($cell)) };
}

table! {
    // unsure, down, checking, spawning, commanding, seeking, alive, unwinding, signalling
    "time passes" Event::Tick => ()
        [look_again rise _ _ end_start_command look_for_it attend_it end_stop_command signal_again]
    "a cycle ends" Event::Cycle => ()
        [_ look_around _ _ _ _ outlive _ _]

    "its pidfile is written" Event::Stirred => ()
        [look_now look_around _ _ _ look_now _ _ _]

    "seen running" Event::Seen(Sighting::Found { identity, born, rival }) => (identity, born, rival)
        [meet meet meet _ _ find _ _ _]
    "seen not running" Event::Seen(Sighting::NotFound(why)) => (why)
        [miss _ start_unseen _ _ miss_started _ _ _]
    "a stranger seen" Event::Seen(Sighting::Stranger(why)) => (why)
        [miss _ start_beside _ _ miss_started _ _ _]
    "nothing can be told" Event::Seen(Sighting::CannotTell(why)) => (why)
        [doubt_again _ doubt _ _ doubt_started _ _ _]

    "the child runs" Event::Spawned(identity) => (identity)
        [_ _ _ spawned _ _ _ _ _]
    "no child" Event::SpawnFailed(why) => (why)
        [_ _ _ fail _ _ _ _ _]
    "the process ended" Event::Died { identity, ending, trouble } => ((identity, ending, trouble))
        [_ _ _ _ _ _ die die_in_stop die_at_last]
    "how it ended" Event::Explained(identity, ending) => (identity, ending)
        [all explain]

    "a command runs" Event::CommandStarted(identity) => (identity)
        [_ _ _ _ know_start _ _ know_stop _]
    "no command" Event::CommandFailed(why) => (None, Some(why))
        [_ _ _ _ start_over _ _ stop_over _]
    "the command ended" Event::CommandEnded { ending, trouble, .. } => (ending, trouble)
        [_ _ _ _ start_over _ _ stop_over _]

    "start" Event::Control(Verb::Start) => ()
        [start_found start_down want_up want_up start_instead start_instead start_alive want_up want_up]
    "stop" Event::Control(Verb::Stop) => ()
        [all stop]
    "restart" Event::Control(Verb::Restart) => ()
        [restart_found restart_down want_up want_up start_instead start_instead restart_alive want_up want_up]
    "reset" Event::Control(Verb::Reset) => ()
        [all reset]
    "pause" Event::Control(Verb::Pause(span)) => (span)
        [all leave_alone]
    "resume" Event::Control(Verb::Resume) => ("resumed on request")
        [all resume]

    "the condition" Event::Guard(holds) => (holds)
        [all heed_guard]
    "a new policy" Event::ConfigChanged => ()
        [all refit]
    "those it needs" Event::Bond(bond) => (bond)
        [all heed_bond]
    "the host" Event::Weather(obstacle) => (obstacle)
        [all heed_host]
    "the rival ended" Event::RivalGone => ()
        [all outlive_rival]
    "it leaves" Event::Leave => ()
        [all leave]
    "it returns" Event::Return => ()
        [all come_back]
    "it has to go" Event::Depart(why) => (why)
        [depart _ depart depart depart depart depart depart depart]

    "a check answers" Event::Checked(asked, verdict) => (asked, &verdict)
        [_ _ _ _ _ _ hear_check _ _]
    "it was measured" Event::Measured(figures) => (&figures)
        [_ _ _ _ _ _ weigh _ _]
    "memory is short" Event::Pressed(held) => (held)
        [_ _ _ _ _ _ give_way _ _]
    "it says so itself" Event::Told(word) => (word)
        [_ _ _ _ _ _ hear_word _ _]
    "it goes on elsewhere" Event::Moved { identity, born } => (identity, born)
        [_ _ _ _ _ _ follow _ _]
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::time::Duration;

    use super::super::machine::Daemon;
    use super::super::{Actions, Asked, Bond, Machine, Text, Verdict, Which, Word, text};
    use super::*;
    use crate::model::{Ailment, Care, Command, Ending, Form, Identity, Launch, Limit, OnExit, ServiceSpec, Wish};

    const PHASES: [&str; 9] =
        ["unsure", "down", "checking", "spawning", "commanding", "seeking", "alive", "unwinding", "signalling"];
    const NOW: Duration = Duration::from_secs(5000);
    const US: Identity = Identity { pid: 77, start_ticks: 490_000 };
    const COMMAND: Identity = Identity { pid: 78, start_ticks: 490_001 };

    fn why() -> Text {
        text(format_args!("a reason"))
    }

    fn spec() -> ServiceSpec {
        let launch = || Launch::new(Command::Exec(vec!["/bin/web".to_owned()]));
        ServiceSpec {
            id: "web".to_owned(),
            form: Form::Pidfile("/run/web.pid".to_owned()),
            start: Some(launch()),
            stop: Some(launch()),
            signals: Vec::new(),
            backoff: (Duration::from_millis(100), Duration::from_secs(60)),
            limit: Limit { count: 3, window: Duration::from_secs(600) },
            settle: Duration::from_secs(1),
            timeout: Duration::from_secs(30),
            on_exit: OnExit::Leave,
            care: Care::default(),
        }
    }

    /// One of each row, in the table's order.
    fn events() -> Vec<Event> {
        let found = Sighting::Found { identity: US, born: US.born(), rival: None };
        let (ending, trouble) = (Some(Ending::Exit(0)), None);
        vec![
            Event::Tick,
            Event::Cycle,
            Event::Stirred,
            Event::Seen(found),
            Event::Seen(Sighting::NotFound(why())),
            Event::Seen(Sighting::Stranger(why())),
            Event::Seen(Sighting::CannotTell(why())),
            Event::Spawned(US),
            Event::SpawnFailed(why()),
            Event::Died { identity: US, ending, trouble: trouble.clone() },
            Event::Explained(US, Ending::Exit(0)),
            Event::CommandStarted(COMMAND),
            Event::CommandFailed(why()),
            Event::CommandEnded { identity: COMMAND, ending, trouble },
            Event::Control(Verb::Start),
            Event::Control(Verb::Stop),
            Event::Control(Verb::Restart),
            Event::Control(Verb::Reset),
            Event::Control(Verb::Pause(None)),
            Event::Control(Verb::Resume),
            Event::Guard(false),
            Event::ConfigChanged,
            Event::Bond(Bond::Waits(why())),
            Event::Weather(Some(why())),
            Event::RivalGone,
            Event::Leave,
            Event::Return,
            Event::Depart("it has to"),
            Event::Checked(Asked { which: Which::Ready, round: 1 }, Verdict::Passed),
            Event::Measured([None; 6]),
            Event::Pressed(1 << 30),
            Event::Told(Word::Ready),
            Event::Moved { identity: COMMAND, born: COMMAND.born() },
        ]
    }

    /// One of each phase, in the table's order; everything in it is due.
    fn phases() -> [Phase; 9] {
        let (next, until, gap) = (NOW, NOW, Duration::from_secs(1));
        let daemon = Daemon { identity: US, born: US.born(), own: false };
        [
            Phase::Unsure { next, gap, lost: None },
            Phase::Down { wait: NOW },
            Phase::Checking,
            Phase::Spawning,
            Phase::Commanding { command: Some(US), until, overdue: false },
            Phase::Seeking { next, gap, until, failed: false },
            Phase::Alive { daemon, settled: true },
            Phase::Unwinding { daemon: Some(daemon), command: Some(US), until },
            Phase::Signalling { daemon, step: 0, next },
        ]
    }

    /// Machines in this phase: as it should be, told to stop, and being ended.
    fn machines(phase: Phase) -> Vec<Machine> {
        let new = || Machine {
            phase,
            started: true,
            level: 1,
            ailment: Some(Ailment::Unhealthy),
            ..Machine::new(Duration::from_secs(4000), 7)
        };
        vec![
            new(),
            Machine { wish: Wish::Stopped, ..new() },
            Machine { halting: true, ..new() },
            Machine { pause: Some(Duration::MAX), guard: false, ..new() },
        ]
    }

    #[test]
    fn every_event_has_an_answer_in_every_phase_and_no_other_than_the_table_says() {
        let (spec, events) = (spec(), events());
        assert_eq!(events.len(), TABLE.len());
        for (event, (name, cells)) in events.iter().zip(TABLE) {
            for ((phase, cell), place) in phases().into_iter().zip(cells).zip(PHASES) {
                let mut answers = 0;
                for mut machine in machines(phase) {
                    let before = format!("{machine:?}");
                    let mut turn = Turn { now: NOW, spec: &spec, out: Actions::new() };
                    machine.take(event.clone(), &mut turn);
                    let is_answer = !turn.out.is_empty() || format!("{machine:?}") != before;
                    answers += usize::from(is_answer);
                }
                // Some answers change nothing here: there is no rival, and nothing is measured or explained.
                assert!(cell.is_some() || answers == 0, "{name} in {place}: the table says that nothing is done");
                let may_be_quiet = [
                    "attend_it",
                    "come_back",
                    "explain",
                    "give_way",
                    "hear_check",
                    "outlive",
                    "outlive_rival",
                    "refit",
                    "weigh",
                ];
                let speaks = cell.is_none_or(|cell| may_be_quiet.contains(&cell));
                assert!(speaks || answers > 0, "{name} in {place}: {cell:?} does nothing");
            }
        }
    }

    #[test]
    fn the_table_in_the_documents_is_this_one() {
        let mut page = format!("| | {} |\n|---|{}\n", PHASES.join(" | "), "---|".repeat(9));
        for (event, cells) in TABLE {
            let cells = cells.map(|cell| cell.map_or_else(String::new, |cell| cell.replace('_', " ")));
            let _ = writeln!(page, "| {event} | {} |", cells.join(" | "));
        }
        let document = include_str!("../../docs/supervision.md");
        let (_, rest) = document.split_once("<!-- table: supervision -->\n").expect("it has a place for the table");
        let (written, _) = rest.split_once("<!-- end -->").expect("the table has an end");
        assert!(written == page, "docs/supervision.md should have this table:\n{page}");
    }
}
