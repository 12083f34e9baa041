//! A second family of made-up hosts, other on purpose: two peaks a day, log-normal and bounded values, saw-teeth, over-dispersed
//! counts, events of 2 to 8 standard deviations that come and go on ramps, single values that are missing, jobs of no fixed length.
//!
//! It shares the dice, the calendar and the words with the first one and none of its laws, so that what was tuned on one is tried on
//! the other.

use super::generator::{DAY, Dice, Event, KINDS, Kind, QUIET_WEEKS, SAMPLES, STEP, Series, WEEKS, week_second};

/// How a value is made of a level and a deviate.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// Level times e to the deviate.
    Multiplied(f64),
    /// A share of 100 that feels its bounds.
    Bounded(f64),
    /// Counts whose mean itself scatters.
    Counted(f64),
    /// Fills up, and is emptied when it is full.
    Sawtooth,
    /// Level plus a slow walk that is pulled back.
    Walking(f64),
    /// Most of the time nothing.
    Seldom(f64),
}

#[derive(Clone, Copy)]
struct Law {
    name: &'static str,
    low: f64,
    high: f64,
    /// Share of the day's rise at weekends.
    weekend: f64,
    tie: f64,
    shape: Shape,
    grain: f64,
}

const fn law(name: &'static str, (low, high): (f64, f64), weekend: f64, tie: f64, shape: Shape) -> Law {
    Law { name, low, high, weekend, tie, shape, grain: 0.0 }
}

const LAWS: [Law; 10] = [
    law("busy", (8.0, 45.0), 0.3, 0.55, Shape::Bounded(0.3)),
    law("response", (0.08, 0.2), 0.5, 0.25, Shape::Multiplied(0.35)),
    law("traffic", (2e6, 3e7), 0.6, 0.7, Shape::Multiplied(0.25)),
    Law { grain: 1.0, ..law("sessions", (3.0, 80.0), 0.2, 0.4, Shape::Counted(0.08)) },
    Law { grain: 4096.0, ..law("spool", (1e9, 4e9), 1.0, 0.5, Shape::Sawtooth) },
    law("heap", (6e8, 6.5e8), 1.0, 0.98, Shape::Walking(1.5e7)),
    Law { grain: 1.0, ..law("errors", (0.05, 0.5), 0.7, 0.0, Shape::Seldom(0.2)) },
    law("iowait", (0.5, 4.0), 0.8, 0.3, Shape::Multiplied(0.7)),
    Law { grain: 1.0, ..law("tasks", (240.0, 270.0), 0.8, 0.9, Shape::Walking(4.0)) },
    law("occupied", (61.0, 63.0), 0.9, 0.9, Shape::Bounded(0.06)),
];

pub const KINDS_OF_SERIES: u64 = LAWS.len() as u64;

struct Habits {
    phase: f64,
    /// Begins in the second of the week, lasts about so long, in deviations.
    weekly: Option<(i64, i64, f64)>,
    nightly: Option<(i64, i64, f64)>,
    releases: Vec<(i64, f64)>,
    lonely: f64,
}

pub fn series(seed: u64, kind: u64) -> Series {
    let mut dice = Dice::new(seed * 7_919 + kind * 31 + 5);
    let law = LAWS[(kind % KINDS_OF_SERIES) as usize];
    let begin = if dice.unit() < 0.5 { 1_768_777_200 } else { 1_755_468_000 };
    let job = |dice: &mut Dice, span: i64| {
        let from = dice.between(0.0, span as f64) as i64;
        (from, dice.between(900.0, 5_400.0) as i64, dice.between(2.0, 6.0))
    };
    let habits = Habits {
        phase: dice.between(-1.0, 1.0),
        weekly: (dice.unit() < 0.4).then(|| job(&mut dice, 7 * DAY)),
        nightly: (dice.unit() < 0.4).then(|| job(&mut dice, DAY)),
        releases: (0..3).map(|_| (dice.between(28.0, 98.0) as i64 * DAY, dice.between(-0.7, 0.7))).collect(),
        lonely: if dice.unit() < 0.3 { dice.between(0.0002, 0.002) } else { 0.0 },
    };
    let events = events(&law, &mut dice);
    let rows = rows(&law, &habits, &events, begin, &mut dice);
    Series { name: law.name, rows, events, begin }
}

fn events(law: &Law, dice: &mut Dice) -> Vec<Event> {
    let mut events = Vec::new();
    let mut at = QUIET_WEEKS * 7 * DAY + dice.between(0.5, 5.0) as i64 * DAY;
    while at < WEEKS * 7 * DAY - 7 * DAY {
        let kind = KINDS[(dice.unit() * 8.0) as usize];
        let has_rhythm = law.weekend < 0.75 && !matches!(law.shape, Shape::Seldom(_));
        let has_noise = !matches!(law.shape, Shape::Sawtooth | Shape::Seldom(_));
        let fits = match kind {
            Kind::Rhythm => has_rhythm,
            Kind::Noise => has_noise,
            Kind::Flat => !matches!(law.shape, Shape::Seldom(_)),
            _ => true,
        };
        if !fits {
            continue;
        }
        let sign = if dice.unit() < 0.8 { 1.0 } else { -1.0 };
        let hours = |low: f64, high: f64, dice: &mut Dice| (dice.between(low, high) * 3_600.0) as i64;
        let (long, size) = match kind {
            Kind::Spike => (STEP * (1 + (dice.unit() * 5.0) as i64), sign * dice.between(5.0, 8.0)),
            Kind::Burst => (hours(0.4, 2.5, dice), sign * dice.between(3.0, 8.0)),
            Kind::Shift => (hours(12.0, 96.0, dice), sign * dice.between(2.0, 6.0)),
            Kind::Leak => (hours(24.0, 144.0, dice), dice.between(3.0, 8.0)),
            Kind::Noise => (hours(8.0, 48.0, dice), dice.between(1.8, 3.5)),
            Kind::Gap => (hours(0.15, 6.0, dice), 0.0),
            Kind::Flat => (hours(1.5, 10.0, dice), 0.0),
            Kind::Rhythm => (hours(40.0, 110.0, dice), dice.between(3.0, 8.0)),
        };
        let from = at - at % STEP;
        let to = (from + long - long % STEP).max(from + STEP);
        events.push(Event { kind, from, to, size, stays: false });
        at = to + (dice.between(2.5, 10.0) * DAY as f64) as i64;
    }
    events
}

/// From 0 at night to 1 at the second peak: shoulders in the morning, a dip at noon, an evening that ends late.
fn activity(law: &Law, habits: &Habits, week: i64, moved: f64) -> f64 {
    let hour = ((week % DAY) as f64 / 3_600.0 + habits.phase + moved).rem_euclid(24.0);
    let bump = |centre: f64, width: f64| {
        let far = (hour - centre + 12.0).rem_euclid(24.0) - 12.0;
        (-(far / width).powi(2)).exp()
    };
    let day = (0.9 * bump(10.5, 2.2) + bump(15.5, 2.5) + 0.35 * bump(20.5, 2.0)).min(1.15);
    day * if week >= 5 * DAY { law.weekend } else { 1.0 }
}

fn rows(law: &Law, habits: &Habits, events: &[Event], begin: i64, dice: &mut Dice) -> Vec<(i64, Option<f64>)> {
    let mut rows = Vec::new();
    let (mut wander, mut last, mut filled, mut job) = (0.0, 0.0, 0.3, 1.0);
    for number in 0..SAMPLES {
        let at = number * STEP;
        let week = i64::from(week_second(begin + at));
        let now = || events.iter().filter(move |event| (event.from..event.to).contains(&at));
        let of = |kind: Kind| now().find(|event| event.kind == kind);
        let moved = of(Kind::Rhythm).map_or(0.0, |event| event.size);
        let level = law.low + (law.high - law.low) * activity(law, habits, week, moved);
        wander = law.tie * wander + (1.0 - law.tie * law.tie).sqrt() * dice.normal();
        if week % DAY < STEP {
            job = dice.between(0.6, 1.4);
        }
        let mut pushed: f64 = habits.releases.iter().filter(|(from, _)| at >= *from).map(|(_, size)| size).sum();
        for ((from, long, size), second) in
            [(habits.weekly, week), (habits.nightly, week % DAY)].into_iter().filter_map(|(one, at)| Some((one?, at)))
        {
            if (from..from + (long as f64 * job) as i64).contains(&second) {
                pushed += size;
            }
        }
        pushed += now().map(|event| push(event, at)).sum::<f64>();
        let louder = of(Kind::Noise).map_or(1.0, |event| event.size);
        let value = draw(law, level, (wander * louder, pushed), &mut filled, dice);
        let value = if law.grain > 0.0 { (value / law.grain).round() * law.grain } else { value };
        let value = if of(Kind::Flat).is_some() { last } else { value.max(0.0) };
        last = value;
        let missing = of(Kind::Gap).is_some() || dice.unit() < habits.lonely;
        rows.push((begin + at, (!missing).then_some(value)));
    }
    rows
}

/// Up within a tenth of its length, and down again; a leak grows faster at its end.
fn push(event: &Event, at: i64) -> f64 {
    let part = (at - event.from) as f64 / (event.to - event.from) as f64;
    match event.kind {
        Kind::Spike => event.size,
        Kind::Burst | Kind::Shift => event.size * (part * 10.0 + 0.2).min((1.0 - part) * 10.0 + 0.2).min(1.0),
        Kind::Leak => event.size * part.powf(1.3),
        _ => 0.0,
    }
}

fn draw(law: &Law, level: f64, (wander, pushed): (f64, f64), filled: &mut f64, dice: &mut Dice) -> f64 {
    match law.shape {
        Shape::Multiplied(spread) => level * (spread * wander).exp() + level * spread * pushed,
        Shape::Bounded(spread) => {
            let odds = (level / 100.0 / (1.0 - level / 100.0)).ln() + spread * (wander + pushed);
            100.0 / (1.0 + (-odds).exp())
        }
        Shape::Counted(scatter) => {
            let mean = level * (1.0 + scatter * wander).max(0.1);
            dice.poisson((mean + (level + (level * scatter).powi(2)).sqrt() * pushed).max(0.0))
        }
        Shape::Sawtooth => {
            *filled += 1.0 / 420.0 * (1.0 + 0.3 * wander);
            if *filled > 1.0 {
                *filled = 0.0;
            }
            level + (law.high - law.low) * (*filled * 0.8 + 0.1 * pushed)
        }
        Shape::Walking(spread) => level + spread * (wander + pushed),
        Shape::Seldom(share) => {
            let base = if dice.unit() < share * level { 1.0 + (-(1.0 - dice.unit()).ln() * 1.5).floor() } else { 0.0 };
            base + dice.poisson((pushed * 1.2).max(0.0))
        }
    }
}
