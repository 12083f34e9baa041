//! A third family of made-up hosts: every series draws its own law. Ten rhythms, ten kinds of noise, levels from 0.01 to 10^12, rates of
//! counters in whole steps, quantities that are nearly always zero, jobs at any hour, both changes of the clock, values that go missing.
//!
//! It shares the dice, the calendar and the words with the others and no law, and nothing was tuned on its numbers.

use super::generator::{DAY, Dice, Event, KINDS, Kind, QUIET_WEEKS, SAMPLES, STEP, Series, WEEKS, week_second};

/// How the expected level goes through a week, from 0 to 1.
#[derive(Clone, Copy, PartialEq)]
enum Rhythm {
    None,
    Sine,
    Office,
    Humps,
    Night,
    Hourly,
    Weekend,
    Shifts,
    Filling,
    Evening,
}

const RHYTHMS: [Rhythm; 10] = [
    Rhythm::None,
    Rhythm::Sine,
    Rhythm::Office,
    Rhythm::Humps,
    Rhythm::Night,
    Rhythm::Hourly,
    Rhythm::Weekend,
    Rhythm::Shifts,
    Rhythm::Filling,
    Rhythm::Evening,
];

#[derive(Clone, Copy, PartialEq)]
enum Noise {
    /// With this correlation of neighbours.
    Normal(f64),
    Laplace,
    /// Degrees of freedom.
    Student(i32),
    Uniform,
    /// Multiplies the level; correlated.
    Logarithmic(f64),
    /// Sum of a fast and a slow one.
    Mixed,
    /// Jumps between two levels of its own.
    Telegraph,
    /// Counts of a mean.
    Counts,
    /// Counts whose mean scatters.
    Dispersed,
    /// Nothing most of the time.
    Rare,
}

const NOISES: [Noise; 12] = [
    Noise::Normal(0.0),
    Noise::Normal(0.85),
    Noise::Normal(0.98),
    Noise::Laplace,
    Noise::Student(4),
    Noise::Student(3),
    Noise::Uniform,
    Noise::Logarithmic(0.4),
    Noise::Mixed,
    Noise::Telegraph,
    Noise::Counts,
    Noise::Dispersed,
];

const NAMES: [&str; 12] = [
    "normal",
    "tied",
    "slow",
    "laplace",
    "student4",
    "student3",
    "uniform",
    "logarithmic",
    "mixed",
    "telegraph",
    "counts",
    "dispersed",
];

/// One kind for each noise, and two more that are nearly always zero.
pub const KINDS_OF_SERIES: u64 = 14;

struct Law {
    name: &'static str,
    rhythm: Rhythm,
    noise: Noise,
    /// Level at rest, what the rhythm adds to it, its share on the other days, one spread at rest and in parts of the level.
    base: f64,
    swing: f64,
    other: f64,
    spread: f64,
    relative: f64,
    grain: f64,
    growth: f64,
    phase: f64,
    /// Begin in the day or week, length, size in spreads, how far its begin scatters.
    nightly: Option<(i64, i64, f64, i64)>,
    weekly: Option<(i64, i64, f64)>,
    releases: Vec<(i64, f64)>,
    lonely: f64,
}

fn law(kind: u64, dice: &mut Dice) -> Law {
    let place = kind as usize;
    let rare = place >= NOISES.len();
    let noise = if rare { Noise::Rare } else { NOISES[place] };
    let rhythm = RHYTHMS[(dice.unit() * RHYTHMS.len() as f64) as usize];
    let counted = matches!(noise, Noise::Counts | Noise::Dispersed | Noise::Rare);
    let base = if counted { dice.between(1.5, 60.0) } else { 10_f64.powf(dice.between(-2.0, 12.0)) };
    let part = 10_f64.powf(dice.between(-2.5, -0.7));
    let (spread, relative) = if dice.unit() < 0.5 { (base * part, 0.0) } else { (base * part * 0.2, part) };
    let swing = if rhythm == Rhythm::None { 0.0 } else { base * part * dice.between(1.0, 25.0) };
    let job = |dice: &mut Dice, span: i64| {
        (dice.between(0.0, span as f64) as i64, dice.between(600.0, 6_000.0) as i64, dice.between(2.0, 9.0))
    };
    let nightly = (dice.unit() < 0.45).then(|| {
        let (from, long, size) = job(dice, DAY);
        (from, long, size, if dice.unit() < 0.5 { 0 } else { 600 })
    });
    Law {
        name: if rare { ["seldom", "never"][place % 2] } else { NAMES[place] },
        rhythm,
        noise,
        base: match place {
            12 => dice.between(0.02, 0.15),
            13 => 0.0,
            _ => base,
        },
        swing: match noise {
            Noise::Rare => 0.0,
            Noise::Counts | Noise::Dispersed => base * dice.between(0.0, 4.0),
            _ => swing,
        },
        other: dice.between(0.2, 1.0),
        spread,
        relative,
        grain: if counted {
            1.0
        } else if dice.unit() < 0.3 {
            spread * dice.between(0.2, 1.5)
        } else {
            0.0
        },
        growth: if dice.unit() < 0.25 { spread * dice.between(-0.15, 0.15) } else { 0.0 },
        phase: dice.between(-3.0, 3.0),
        nightly: nightly.filter(|_| !rare),
        weekly: (dice.unit() < 0.4 && !rare).then(|| job(dice, 7 * DAY)),
        releases: (0..if rare { 0 } else { (dice.unit() * 4.0) as i64 })
            .map(|_| (dice.between(28.0, 98.0) as i64 * DAY, dice.between(-0.6, 0.6)))
            .collect(),
        lonely: if dice.unit() < 0.25 { dice.between(0.0001, 0.003) } else { 0.0 },
    }
}

/// Mondays, 00:00 local: four to eleven weeks before a change of the clock, of either kind.
const BEGINS: [i64; 5] = [1_772_406_000, 1_770_591_600, 1_768_172_400, 1_755_468_000, 1_757_887_200];

pub fn series(seed: u64, kind: u64) -> Series {
    series_at(seed, kind, STEP)
}

/// The same with another step between samples, in seconds.
pub fn series_at(seed: u64, kind: u64, step: i64) -> Series {
    let mut dice = Dice::new(seed * 104_729 + kind * 7 + 11);
    let law = law(kind, &mut dice);
    let begin = BEGINS[(dice.unit() * BEGINS.len() as f64) as usize];
    let events = events(&law, &mut dice);
    let rows = rows(&law, &events, (begin, step), &mut dice);
    Series { name: law.name, rows, events, begin }
}

fn events(law: &Law, dice: &mut Dice) -> Vec<Event> {
    let mut events = Vec::new();
    let mut at = QUIET_WEEKS * 7 * DAY + (dice.between(0.3, 4.0) * DAY as f64) as i64;
    let rare = law.noise == Noise::Rare;
    while at < WEEKS * 7 * DAY - 7 * DAY {
        let kind = KINDS[(dice.unit() * 8.0) as usize];
        let visible = law.swing > 6.0 * (law.spread + law.relative * law.base) && law.rhythm != Rhythm::Hourly;
        let fits = match kind {
            Kind::Rhythm => visible && law.grain != 1.0,
            Kind::Noise => !rare && law.noise != Noise::Telegraph && law.grain != 1.0,
            Kind::Flat => !rare,
            Kind::Leak => !rare,
            _ => true,
        };
        if !fits {
            continue;
        }
        let sign = if dice.unit() < 0.8 || rare { 1.0 } else { -1.0 };
        let hours = |low: f64, high: f64, dice: &mut Dice| (dice.between(low, high) * 3_600.0) as i64;
        let (long, size) = match kind {
            Kind::Spike => (STEP * (1 + (dice.unit() * 3.0) as i64), sign * dice.between(7.0, 16.0)),
            Kind::Burst => (hours(0.3, 2.0, dice), sign * dice.between(4.0, 9.0)),
            Kind::Shift => (hours(8.0, 72.0, dice), sign * dice.between(2.5, 6.0)),
            Kind::Leak => (hours(30.0, 150.0, dice), sign * dice.between(4.0, 9.0)),
            Kind::Noise => (hours(6.0, 48.0, dice), dice.between(2.0, 4.0)),
            Kind::Gap => (hours(0.1, 8.0, dice), 0.0),
            Kind::Flat => (hours(2.0, 12.0, dice), 0.0),
            Kind::Rhythm => (hours(48.0, 120.0, dice), dice.between(3.0, 9.0)),
        };
        let from = at - at % STEP;
        let to = (from + long - long % STEP).max(from + STEP);
        events.push(Event { kind, from, to, size, stays: false });
        at = to + (dice.between(2.5, 10.0) * DAY as f64) as i64;
    }
    events
}

fn activity(law: &Law, week: i64, moved: f64) -> f64 {
    let hour = ((week % DAY) as f64 / 3_600.0 + law.phase + moved).rem_euclid(24.0);
    let weekend = week >= 5 * DAY;
    let share = if weekend { law.other } else { 1.0 };
    let bump = |centre: f64, width: f64| {
        let far = (hour - centre + 12.0).rem_euclid(24.0) - 12.0;
        (-(far / width).powi(2)).exp()
    };
    let is = |yes: bool| f64::from(u8::from(yes));
    match law.rhythm {
        Rhythm::None => 0.0,
        Rhythm::Sine => (0.5 - 0.5 * (hour / 24.0 * std::f64::consts::TAU).cos()) * share,
        Rhythm::Office => is((8.0..17.5).contains(&hour) && !weekend),
        Rhythm::Humps => (bump(9.5, 1.5) + 0.8 * bump(14.5, 2.0)) * share,
        Rhythm::Night => is((1.0..4.5).contains(&hour)),
        Rhythm::Hourly => is((week % 3_600) < 420) * share,
        Rhythm::Weekend => (0.3 + 0.7 * bump(15.0, 5.0)) * if weekend { 1.0 } else { law.other * 0.5 },
        Rhythm::Shifts => [0.2, 1.0, 0.6][(hour / 8.0) as usize % 3] * share,
        Rhythm::Filling => hour / 24.0,
        Rhythm::Evening => bump(20.5, 2.5) * (0.6 + 0.4 * is(weekend)),
    }
}

/// What goes on from sample to sample.
#[derive(Default)]
struct Walk {
    tied: f64,
    slow: f64,
    state: f64,
    late: i64,
}

fn rows(law: &Law, events: &[Event], (begin, step): (i64, i64), dice: &mut Dice) -> Vec<(i64, Option<f64>)> {
    let mut rows = Vec::new();
    let (mut walk, mut last) = (Walk::default(), 0.0);
    for number in 0..SAMPLES * STEP / step {
        let at = number * step;
        let week = i64::from(week_second(begin + at));
        let now = || events.iter().filter(move |event| (event.from..event.to).contains(&at));
        let of = |kind: Kind| now().find(|event| event.kind == kind);
        let moved = of(Kind::Rhythm).map_or(0.0, |event| event.size);
        let level = law.base + law.swing * activity(law, week, moved) + law.growth * at as f64 / DAY as f64;
        if week % DAY < step {
            let most = law.nightly.map_or(0, |job| job.3) as f64;
            walk.late = dice.between(0.0, most + 1.0) as i64;
        }
        let mut pushed: f64 = law.releases.iter().filter(|(from, _)| at >= *from).map(|(_, size)| size).sum();
        pushed += law
            .nightly
            .filter(|(from, long, ..)| (from + walk.late..from + walk.late + long).contains(&(week % DAY)))
            .map_or(0.0, |job| job.2);
        pushed += law.weekly.filter(|(from, long, _)| (*from..from + long).contains(&week)).map_or(0.0, |job| job.2);
        pushed += now().map(|event| push(event, at)).sum::<f64>();
        let louder = of(Kind::Noise).map_or(1.0, |event| event.size);
        let value = draw(law, level, (louder, pushed), &mut walk, dice);
        let value = if law.grain > 0.0 { (value / law.grain).round() * law.grain } else { value };
        let value = if of(Kind::Flat).is_some() { last } else { value.max(0.0) };
        last = value;
        let missing = of(Kind::Gap).is_some() || dice.unit() < law.lonely;
        rows.push((begin + at, (!missing).then_some(value)));
    }
    rows
}

fn push(event: &Event, at: i64) -> f64 {
    let part = (at - event.from) as f64 / (event.to - event.from) as f64;
    match event.kind {
        Kind::Spike | Kind::Burst | Kind::Shift => event.size,
        Kind::Leak => event.size * part,
        _ => 0.0,
    }
}

fn tie(before: &mut f64, by: f64, fresh: f64) -> f64 {
    *before = by * *before + (1.0 - by * by).sqrt() * fresh;
    *before
}

fn draw(law: &Law, level: f64, (louder, pushed): (f64, f64), walk: &mut Walk, dice: &mut Dice) -> f64 {
    let spread = law.spread + law.relative * level;
    let sign = if dice.unit() < 0.5 { 1.0 } else { -1.0 };
    let chance = -(1.0 - dice.unit()).ln();
    let deviate = match law.noise {
        Noise::Normal(by) => tie(&mut walk.tied, by, dice.normal()),
        Noise::Laplace => sign * chance / 1.41,
        Noise::Student(degrees) => {
            let square = (0..degrees).map(|_| dice.normal().powi(2)).sum::<f64>() / f64::from(degrees);
            dice.normal() / square.sqrt() / 1.5
        }
        Noise::Uniform => dice.between(-1.73, 1.73),
        Noise::Logarithmic(by) => tie(&mut walk.tied, by, dice.normal()),
        Noise::Mixed => 0.7 * dice.normal() + 0.7 * tie(&mut walk.slow, 0.995, dice.normal()),
        Noise::Telegraph => {
            if dice.unit() < 0.02 {
                walk.state = 2.0 - walk.state;
            }
            walk.state - 1.0 + 0.2 * dice.normal()
        }
        Noise::Counts | Noise::Dispersed | Noise::Rare => tie(&mut walk.tied, 0.5, dice.normal()),
    };
    match law.noise {
        Noise::Logarithmic(_) => {
            let share = (spread / level.max(1e-12)).min(0.6);
            level * (share * deviate * louder).exp() + spread * pushed
        }
        Noise::Counts => dice.poisson((level + level.sqrt() * pushed).max(0.0)),
        Noise::Dispersed => {
            let mean = level * (1.0 + 0.25 * deviate).max(0.05);
            dice.poisson((mean + (level + (0.25 * level).powi(2)).sqrt() * pushed).max(0.0))
        }
        Noise::Rare => {
            let burst = if dice.unit() < law.base { (1.0 + 3.0 * chance).floor() } else { 0.0 };
            burst + dice.poisson((pushed * 2.0).max(0.0))
        }
        _ => level + spread * (deviate * louder + pushed),
    }
}
