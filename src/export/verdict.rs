//! How the host is, in one sentence: what the page says first, and `verdict` in the JSON.

use std::fmt::Write as _;

use watchd_probes::{ProbeId, filesystem};

use super::{Span, disk};
use crate::model::{Now, Outcome, ServiceState, Tone};
use crate::store::Snapshot;
use crate::store::board::text;

/// Names told before the rest is only counted.
const NAMED: usize = 3;

/// The sentence, and how it should look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub tone: Tone,
    pub text: String,
}

/// Judges a page of the board.
pub fn of(snapshot: &Snapshot, now: Now) -> Verdict {
    let header = &snapshot.header;
    if !header.is_fresh(now) {
        let text = format!("The daemon has not turned for {}; this is how things were", Span(header.age(now)));
        return Verdict { tone: Tone::Bad, text };
    }
    let mut found = Vec::new();
    services(snapshot, Tone::Bad, "not well", &mut found);
    disks(snapshot, &mut found);
    promises(snapshot, (Tone::Bad, "is broken", "are broken"), &mut found);
    if header.config_ok != 1 {
        found.push((Tone::Bad, "the newest configuration was refused".to_owned()));
    }
    if header.state_ok != 1 {
        found.push((Tone::Warn, "the state directory cannot be written".to_owned()));
    }
    services(snapshot, Tone::Warn, "not ready", &mut found);
    promises(snapshot, (Tone::Warn, "does not hold and is left so", "do not hold and are left so"), &mut found);
    classes(snapshot, &mut found);
    let Some(tone) = found.iter().map(|(tone, _)| *tone).max() else {
        return Verdict { tone: Tone::Good, text: "All is well".to_owned() };
    };
    let mut text = found.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("; ");
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Verdict { tone, text }
}

fn services(snapshot: &Snapshot, tone: Tone, how: &str, found: &mut Vec<(Tone, String)>) {
    let rows = snapshot.services.iter().filter(|row| row.state().tone() == tone);
    let names: Vec<(&str, ServiceState)> = rows.map(|row| (text(&row.id), row.state())).collect();
    match names.as_slice() {
        [] => {}
        [(name, state)] => found.push((tone, format!("service {name} {}", phrase(*state)))),
        many => {
            let text = format!("{} services are {how}: {}", many.len(), some(many.iter().map(|(name, _)| *name)));
            found.push((tone, text));
        }
    }
}

/// What is said of a service in this state.
fn phrase(state: ServiceState) -> &'static str {
    match state {
        ServiceState::Ready => "is ready",
        ServiceState::Stopped => "is stopped",
        ServiceState::Paused => "is paused",
        ServiceState::Starting => "is starting",
        ServiceState::Stopping => "is stopping",
        ServiceState::Backoff => "waits to be started again",
        ServiceState::Waiting => "waits for others",
        ServiceState::Unknown => "cannot be judged",
        ServiceState::Flapping => "is flapping",
        ServiceState::Down => "is down",
        ServiceState::Unhealthy => "is unhealthy",
        ServiceState::Fight => "is fought over",
    }
}

fn disks(snapshot: &Snapshot, found: &mut Vec<(Tone, String)>) {
    let readings = snapshot.readings();
    let all = readings.view.objects(ProbeId::Filesystem);
    for object in all.filter(|object| disk::is(filesystem::HUNG, *object, readings)) {
        found.push((Tone::Bad, format!("{} does not answer", String::from_utf8_lossy(readings.view.part(object, 0)))));
    }
}

/// What does not hold, in words for one and for many.
fn promises(snapshot: &Snapshot, (tone, one, all): (Tone, &str, &str), found: &mut Vec<(Tone, String)>) {
    // What a service fails at is told with the service.
    let is_service = |id: &str| snapshot.service(id).is_some();
    let is_broken = |outcome: Outcome| outcome.is_broken() && outcome.tone() == tone;
    let rows = snapshot.promises.iter().filter(|row| is_broken(row.outcome()) && !is_service(text(&row.id)));
    let names: Vec<&str> = rows.map(|row| text(&row.id)).collect();
    match names.as_slice() {
        [] => {}
        [name] => found.push((tone, format!("promise {name} {one}"))),
        many => found.push((tone, format!("{} promises {all}: {}", many.len(), some(many.iter().copied())))),
    }
}

/// Classes that name a shortage.
fn classes(snapshot: &Snapshot, found: &mut Vec<(Tone, String)>) {
    let is_short = |name: &&str| ["_full", "_full_soon", "_low", "_stale"].iter().any(|end| name.ends_with(end));
    let on = snapshot.classes.iter().filter(|class| class.is_on()).map(|class| text(&class.name));
    let names: Vec<&str> = on.filter(is_short).collect();
    if !names.is_empty() {
        found.push((Tone::Warn, some(names.into_iter())));
    }
}

/// The first few names, and how many more there are.
fn some<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let mut text = names.take(NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::board::fixed;
    use crate::store::{Header, PromiseRow, ServiceRow};
    use std::time::Duration;
    use zerocopy::FromZeros;

    const NOW: Now = Now { mono: Duration::from_secs(100), wall: Duration::from_secs(1_000) };

    fn verdict(services: &[(&str, ServiceState)], promises: &[(&str, Outcome)], heartbeat_s: u64) -> (Tone, String) {
        let header = Header {
            config_ok: 1,
            state_ok: 1,
            cycle_ms: 10_000,
            heartbeat_ms: heartbeat_s * 1000,
            ..Header::default()
        };
        let mut snapshot = Snapshot::default();
        snapshot.header = header;
        for (id, state) in services {
            snapshot.services.push(ServiceRow { id: fixed(id), state: state.byte(), ..ServiceRow::new_zeroed() });
        }
        for (id, outcome) in promises {
            snapshot.promises.push(PromiseRow { id: fixed(id), outcome: outcome.byte(), ..PromiseRow::new_zeroed() });
        }
        let found = of(&snapshot, NOW);
        (found.tone, found.text)
    }

    #[test]
    fn the_worst_is_said_first_and_many_are_counted() {
        use ServiceState::{Backoff, Down, Flapping, Paused, Ready, Starting, Stopped, Unknown};
        let many: Vec<(String, ServiceState)> = (0..9).map(|n| (format!("s{n}"), Down)).collect();
        let many: Vec<(&str, ServiceState)> = many.iter().map(|(name, state)| (name.as_str(), *state)).collect();
        for (services, promises, tone, expect) in [
            (vec![], vec![], Tone::Good, "All is well"),
            (vec![("web", Ready), ("db", Stopped)], vec![("tidy", Outcome::Kept)], Tone::Good, "All is well"),
            (vec![("web", Ready), ("db", Paused)], vec![], Tone::Warn, "Service db is paused"),
            (vec![("web", Backoff)], vec![], Tone::Bad, "Service web waits to be started again"),
            (vec![], vec![("tidy", Outcome::Would)], Tone::Warn, "Promise tidy does not hold and is left so"),
            (vec![], vec![("tidy", Outcome::Unknown), ("motd", Outcome::Pending)], Tone::Good, "All is well"),
            (vec![("web", Ready), ("db", Unknown)], vec![], Tone::Warn, "Service db cannot be judged"),
            (vec![("web", Unknown), ("db", Starting)], vec![], Tone::Warn, "2 services are not ready: web, db"),
            (
                vec![("web", Unknown), ("db", Flapping)],
                vec![("tidy", Outcome::Failed), ("db", Outcome::Failed), ("a", Outcome::Would), ("b", Outcome::Would)],
                Tone::Bad,
                "Service db is flapping; promise tidy is broken; service web cannot be judged; \
                 2 promises do not hold and are left so: a, b",
            ),
            (many, vec![], Tone::Bad, "9 services are not well: s0, s1, s2 and 6 more"),
        ] {
            assert_eq!(verdict(&services, &promises, 99), (tone, expect.to_owned()));
        }
    }

    #[test]
    fn the_script_of_the_page_knows_every_state_and_only_events_that_there_are() {
        let script = include_str!("html/page.js");
        let object = |name: &str| {
            let (_, rest) = script.split_once(&format!("const {name} = {{ ")).expect("it is there");
            let (inside, _) = rest.split_once(" }").expect("it ends");
            inside.split(", ").map(|pair| pair.split_once(": ").expect("a pair")).collect::<Vec<_>>()
        };
        let states: Vec<_> = ServiceState::ALL
            .iter()
            .map(|state| (state.word().to_owned(), format!("\"{}\"", state.tone().word())))
            .collect();
        let mut tones: Vec<_> =
            object("TONES").into_iter().map(|(state, tone)| (state.to_owned(), tone.to_owned())).collect();
        tones.sort_by_key(|(state, _)| states.iter().position(|(known, _)| known == state));
        assert_eq!(tones, states);
        let outcomes = object("OUTCOMES");
        for outcome in Outcome::ALL {
            let known = outcomes.iter().find(|(word, _)| *word == outcome.word()).map(|(_, tone)| *tone);
            assert_eq!(known, Some(format!("\"{}\"", outcome.tone().word()).as_str()), "{outcome}");
        }
        for (event, _) in object("AFTER") {
            assert!(crate::model::EventKind::ALL.iter().any(|kind| format!("\"{}\"", kind.word()) == event), "{event}");
        }
    }

    #[test]
    fn what_is_old_is_not_called_well() {
        let (tone, text) = verdict(&[("web", ServiceState::Ready)], &[], 10);
        assert_eq!((tone, text.contains("not turned for 1m 30s")), (Tone::Bad, true), "{text}");
    }
}
