//! Compares alarms with events: what was hit, what was false, how soon, and what as many alarms at random times would have hit.

use super::generator::{Dice, Event, KINDS, Kind, QUIET_WEEKS, STEP, Series, WEEKS};

const WEEK: i64 = 7 * 86_400;
/// Alarms nearer to each other than this are one run.
const MERGE: i64 = 3_600;

/// Sums over all series.
#[derive(Default)]
pub struct Score {
    pub series: u32,
    pub events: [u32; KINDS.len()],
    pub hits: [u32; KINDS.len()],
    pub delays: [Vec<i64>; KINDS.len()],
    pub false_runs: u32,
    pub lucky: f64,
    pub late_gaps: u32,
    /// Detectors of the false runs' first alarms.
    pub blamed: std::collections::BTreeMap<String, u32>,
}

impl Score {
    /// Adds one series and its alarms, each with a word for its detector.
    pub fn add(&mut self, series: &Series, alarms: &[(i64, &'static str)]) {
        let Series { name, begin, events, .. } = series;
        let begin = *begin;
        self.series += 1;
        let runs = runs(begin, alarms);
        let touches = |run: &(i64, i64, &str), event: &Event| run.0 < event.to + STEP && run.1 >= event.from;
        for event in events {
            let Some(place) = KINDS.iter().position(|kind| *kind == event.kind) else { continue };
            self.events[place] += 1;
            if runs.iter().any(|run| touches(run, event)) {
                self.hits[place] += 1;
            }
            let first = alarms.iter().map(|(at, _)| at - begin).find(|at| (event.from..event.to + STEP).contains(at));
            self.delays[place].extend(first.map(|at| at - event.from));
            self.late_gaps += u32::from(event.kind == Kind::Gap && first.is_none_or(|at| at - event.from > 180));
        }
        for run in runs.iter().filter(|run| !events.iter().any(|event| touches(run, event))) {
            self.false_runs += 1;
            *self.blamed.entry(run.2.to_owned()).or_default() += 1;
            *self.blamed.entry(format!("  {name}")).or_default() += 1;
        }
        self.lucky += luck(events, &runs);
    }

    pub fn recall(&self) -> f64 {
        share(self.hits.iter().sum(), self.events.iter().sum())
    }

    pub fn precision(&self) -> f64 {
        let hits: u32 = self.hits.iter().sum();
        share(hits, hits + self.false_runs)
    }

    pub fn false_per_week(&self) -> f64 {
        f64::from(self.false_runs) / (f64::from(self.series) * (WEEKS - QUIET_WEEKS) as f64)
    }

    pub fn print(&mut self) {
        println!("{:<10}{:>8}{:>8}{:>9}{:>16}", "kind", "events", "found", "recall", "median delay");
        for (place, kind) in KINDS.iter().enumerate() {
            let delays = &mut self.delays[place];
            delays.sort_unstable();
            let median = delays.get(delays.len() / 2).map_or("-".into(), |delay| format!("{} min", delay / 60));
            let recall = 100.0 * share(self.hits[place], self.events[place]);
            println!(
                "{:<10}{:>8}{:>8}{recall:>8.0}%{median:>16}",
                format!("{kind:?}").to_lowercase(),
                self.events[place],
                self.hits[place]
            );
        }
        let events: u32 = self.events.iter().sum();
        println!("series {}, events {events}", self.series);
        println!(
            "recall            {:.1} %   (as many alarms at random times: {:.1} %)",
            100.0 * self.recall(),
            100.0 * self.lucky / f64::from(events.max(1))
        );
        println!("precision         {:.1} %", 100.0 * self.precision());
        println!("false alarms      {:.3} per series and week", self.false_per_week());
        println!("gaps told late    {}", self.late_gaps);
        println!("false alarms by detector and series: {:?}", self.blamed);
    }
}

fn share(part: u32, whole: u32) -> f64 {
    f64::from(part) / f64::from(whole.max(1))
}

/// Alarms that lie near each other together, from the first to the last, counted from `begin`.
pub fn runs<'a>(begin: i64, alarms: &[(i64, &'a str)]) -> Vec<(i64, i64, &'a str)> {
    let mut runs: Vec<(i64, i64, &'a str)> = Vec::new();
    for (at, word) in alarms {
        let at = at - begin;
        match runs.last_mut() {
            Some(run) if at - run.1 <= MERGE => run.1 = at,
            _ => runs.push((at, at, word)),
        }
    }
    runs
}

/// Events that the same runs hit on average when thrown at random over the weeks with events.
fn luck(events: &[Event], runs: &[(i64, i64, &'static str)]) -> f64 {
    const THROWS: u32 = 20;
    let mut dice = Dice::new(77);
    let mut hits = 0_u32;
    for _ in 0..THROWS {
        let thrown: Vec<(i64, i64)> = runs
            .iter()
            .map(|run| {
                let from = dice.between((QUIET_WEEKS * WEEK) as f64, (WEEKS * WEEK) as f64) as i64;
                (from, from + run.1 - run.0)
            })
            .collect();
        let is_hit = |event: &&Event| thrown.iter().any(|run| run.0 < event.to && run.1 >= event.from);
        hits += u32::try_from(events.iter().filter(is_hit).count()).unwrap_or_default();
    }
    f64::from(hits) / f64::from(THROWS)
}
