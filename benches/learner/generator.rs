//! Fourteen weeks of a made-up host: twelve kinds of quantities with a rhythm in central European time, events that are
//! to be found and traps that are not. Everything follows from a seed.
//!
//! Sizes of events are in standard deviations of the quantity's own noise at that hour. The learner's code is not used here.

use std::f64::consts::TAU;

pub const STEP: i64 = 150;
pub const DAY: i64 = 86_400;
pub const WEEKS: i64 = 14;
pub const SAMPLES: i64 = WEEKS * 7 * DAY / STEP;
/// The first weeks have no events.
pub const QUIET_WEEKS: i64 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Spike,
    Burst,
    Shift,
    Leak,
    Noise,
    Gap,
    Flat,
    Rhythm,
}

pub const KINDS: [Kind; 8] =
    [Kind::Spike, Kind::Burst, Kind::Shift, Kind::Leak, Kind::Noise, Kind::Gap, Kind::Flat, Kind::Rhythm];

/// An event, from its first sample to the one after its last.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub kind: Kind,
    pub from: i64,
    pub to: i64,
    pub size: f64,
    /// A shift that stays: its label ends, it does not.
    pub stays: bool,
}

pub struct Series {
    pub name: &'static str,
    /// Time in seconds since 1970 and the value.
    pub rows: Vec<(i64, Option<f64>)>,
    pub events: Vec<Event>,
    pub begin: i64,
}

/// xorshift64*, good enough for noise.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..16 {
            dice.next();
        }
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// From 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    fn whole(&mut self, low: i64, high: i64) -> i64 {
        self.between(low as f64, high as f64) as i64
    }

    fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    pub fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (TAU * self.unit()).cos()
    }

    pub fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 60.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.unit(), 0.0);
        while product > limit {
            product *= self.unit();
            count += 1.0;
        }
        count
    }

    /// Student's t with 3 degrees of freedom, scaled to spread 1: heavy on both sides.
    fn heavy(&mut self) -> f64 {
        let square = (0..3).map(|_| self.normal().powi(2)).sum::<f64>() / 3.0;
        self.normal() / square.sqrt() / 1.732
    }
}

/// Central European offset; summer time begins and ends at 01:00 universal time on the last Sunday of March and October.
pub fn offset(at: i64) -> i64 {
    const CHANGES: [(i64, i64); 4] =
        [(1_743_296_400, 7_200), (1_761_440_400, 3_600), (1_774_746_000, 7_200), (1_792_890_000, 3_600)];
    CHANGES.iter().rev().find(|(from, _)| at >= *from).map_or(3_600, |(_, offset)| *offset)
}

/// Seconds since Monday 00:00, local.
pub fn week_second(at: i64) -> u32 {
    u32::try_from((at + offset(at) - 4 * DAY).rem_euclid(7 * DAY)).unwrap_or_default()
}

/// A law of one kind of quantity.
#[derive(Clone, Copy)]
struct Law {
    name: &'static str,
    /// Level at night, what a working day adds, share of it at weekends.
    base: f64,
    day: f64,
    weekend: f64,
    /// Spread: fixed, and in parts of the level.
    spread: f64,
    relative: f64,
    /// Correlation of neighbours.
    tie: f64,
    noise: Noise,
    /// Values are rounded to it; 0 when not.
    grain: f64,
    bounds: (f64, f64),
    growth: f64,
}

#[derive(Clone, Copy, PartialEq)]
enum Noise {
    Normal,
    Heavy,
    Skewed,
    Counts,
    Queue,
}

const fn law(name: &'static str, base: f64, day: f64, spread: f64, relative: f64) -> Law {
    Law {
        name,
        base,
        day,
        weekend: 0.4,
        spread,
        relative,
        tie: 0.3,
        noise: Noise::Normal,
        grain: 0.0,
        bounds: (0.0, f64::MAX),
        growth: 0.0,
    }
}

const LAWS: [Law; 12] = [
    Law { bounds: (0.0, 100.0), ..law("cpu", 12.0, 35.0, 1.0, 0.12) },
    Law { noise: Noise::Skewed, tie: 0.6, ..law("load", 0.4, 1.6, 0.02, 0.3) },
    Law { tie: 0.97, weekend: 0.6, ..law("memory", 3_900.0, 350.0, 60.0, 0.0) },
    Law { noise: Noise::Counts, grain: 1.0, ..law("connections", 8.0, 60.0, 0.0, 0.0) },
    Law { noise: Noise::Skewed, tie: 0.5, weekend: 0.3, ..law("requests", 60.0, 900.0, 2.0, 0.2) },
    Law { noise: Noise::Queue, grain: 1.0, ..law("queue", 0.4, 2.5, 0.0, 0.0) },
    Law { tie: 0.8, weekend: 1.0, growth: 0.03, grain: 0.01, ..law("disk", 55.0, 0.5, 0.12, 0.0) },
    Law { tie: 0.93, weekend: 0.7, grain: 0.5, ..law("temperature", 41.0, 6.0, 0.8, 0.0) },
    Law { tie: 0.7, grain: 1.0, weekend: 0.7, ..law("processes", 180.0, 25.0, 4.0, 0.0) },
    Law { noise: Noise::Heavy, tie: 0.0, ..law("latency", 22.0, 12.0, 1.0, 0.06) },
    Law { noise: Noise::Counts, grain: 1.0, weekend: 0.1, ..law("users", 0.3, 5.0, 0.0, 0.0) },
    Law { noise: Noise::Heavy, tie: 0.4, ..law("writes", 200.0, 250.0, 8.0, 0.1) },
];

pub const KINDS_OF_SERIES: u64 = LAWS.len() as u64;

/// Things that happen every day or week and harm nobody.
struct Habits {
    nightly: Option<(i64, i64, f64)>,
    monday: Option<(i64, i64, f64)>,
    steps: Vec<(i64, f64)>,
    phase: f64,
}

/// A series in which something happens.
pub fn series(seed: u64, kind: u64) -> Series {
    make(seed, kind, events)
}

/// A series with its habits and nothing else.
#[allow(dead_code)]
pub fn calm(seed: u64, kind: u64) -> Series {
    make(seed, kind, |_, _| Vec::new())
}

fn make(seed: u64, kind: u64, events: fn(&Law, &mut Dice) -> Vec<Event>) -> Series {
    let mut dice = Dice::new(seed * 1_000 + kind + 1);
    let mut law = LAWS[(kind % KINDS_OF_SERIES) as usize];
    let scale = dice.between(0.7, 1.5);
    law.base *= scale;
    law.day *= scale * dice.between(0.6, 1.3);
    law.spread *= scale;
    // A Monday some weeks before a change of the clock: 2026-01-19 or 2025-08-18, 00:00 local.
    let begin = if dice.chance(0.5) { 1_768_777_200 } else { 1_755_468_000 };
    let habits = habits(&law, &mut dice);
    let events = events(&law, &mut dice);
    let rows = rows(&law, &habits, &events, begin, &mut dice);
    Series { name: law.name, rows, events, begin }
}

fn habits(law: &Law, dice: &mut Dice) -> Habits {
    let job = |dice: &mut Dice| {
        let at = dice.whole(0, 24) * 900 + 900 * dice.whole(0, 4);
        (at, dice.whole(20, 70) * 60, dice.between(3.0, 8.0))
    };
    let steps = (0..dice.whole(0, 3))
        .map(|_| (dice.whole(QUIET_WEEKS * 7 * DAY, WEEKS * 7 * DAY), dice.between(-0.6, 0.6)))
        .collect();
    Habits {
        nightly: (law.growth == 0.0 && dice.chance(0.5)).then(|| job(dice)),
        monday: (law.growth == 0.0 && dice.chance(0.35)).then(|| job(dice)),
        steps,
        phase: dice.between(-1.5, 1.5),
    }
}

fn events(law: &Law, dice: &mut Dice) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    let first = QUIET_WEEKS * 7 * DAY;
    let mut at = first + dice.whole(DAY, 4 * DAY);
    while at < WEEKS * 7 * DAY - 8 * DAY {
        let kind = KINDS[dice.whole(0, 8) as usize];
        if kind == Kind::Rhythm && law.day < 3.0 * (law.spread + law.relative * law.base) {
            continue;
        }
        let sign = if dice.chance(0.75) { 1.0 } else { -1.0 };
        let (long, size) = match kind {
            Kind::Spike => (dice.whole(1, 4) * STEP, sign * dice.between(6.0, 14.0)),
            Kind::Burst => (dice.whole(20, 90) * 60, sign * dice.between(3.5, 8.0)),
            Kind::Shift => (dice.whole(6, 72) * 3_600, sign * dice.between(2.0, 4.5)),
            Kind::Leak => (dice.whole(48, 144) * 3_600, dice.between(4.0, 8.0)),
            Kind::Noise => (dice.whole(6, 36) * 3_600, dice.between(2.0, 4.0)),
            Kind::Gap => (dice.whole(10, 300) * 60, 0.0),
            Kind::Flat => (dice.whole(2, 12) * 3_600, 0.0),
            Kind::Rhythm => (dice.whole(48, 120) * 3_600, dice.between(4.0, 9.0)),
        };
        let (from, to) = (at - at % STEP, (at + long) - (at + long) % STEP);
        let stays = kind == Kind::Shift && dice.chance(0.2);
        events.push(Event { kind, from, to: to.max(from + STEP), size, stays });
        at = to + dice.whole(3 * DAY, 11 * DAY) + if stays { 6 * DAY } else { 0 };
    }
    events
}

/// The expected level without jobs at `at` seconds after the beginning, with the day moved by `moved` hours.
fn level(law: &Law, habits: &Habits, at: i64, begin: i64, moved: f64) -> f64 {
    let week = i64::from(week_second(begin + at));
    let hour = ((week % DAY) as f64 / 3_600.0 + habits.phase + moved).rem_euclid(24.0);
    let weekend = week >= 5 * DAY;
    let work =
        if (6.0..22.0).contains(&hour) { ((hour - 6.0) / 16.0 * std::f64::consts::PI).sin().powf(1.5) } else { 0.0 };
    law.base + law.day * work * if weekend { law.weekend } else { 1.0 } + law.growth * at as f64 / DAY as f64
}

fn jobs(habits: &Habits, at: i64, begin: i64) -> f64 {
    let week = i64::from(week_second(begin + at));
    let within = |job: Option<(i64, i64, f64)>, second: i64| {
        job.filter(|(from, long, _)| (*from..from + long).contains(&second)).map_or(0.0, |(_, _, size)| size)
    };
    within(habits.nightly, week % DAY) + within(habits.monday, week)
}

fn rows(law: &Law, habits: &Habits, events: &[Event], begin: i64, dice: &mut Dice) -> Vec<(i64, Option<f64>)> {
    let mut rows = Vec::new();
    let (mut wander, mut last) = (0.0, 0.0);
    for number in 0..SAMPLES {
        let at = number * STEP;
        let now: Vec<&Event> = events
            .iter()
            .filter(|event| (event.from..event.to).contains(&at) || (event.stays && at >= event.to))
            .collect();
        let of = |kind: Kind| now.iter().filter(move |event| event.kind == kind);
        let moved = of(Kind::Rhythm).map(|event| event.size).sum::<f64>();
        let expected = level(law, habits, at, begin, moved);
        let sigma = sigma(law, expected);
        let fresh = match law.noise {
            Noise::Heavy => dice.heavy(),
            _ => dice.normal(),
        };
        wander = law.tie * wander + (1.0 - law.tie * law.tie).sqrt() * fresh;
        let louder = of(Kind::Noise).map(|event| event.size).fold(1.0, f64::max);
        let mut pushed = jobs(habits, at, begin);
        pushed += habits.steps.iter().filter(|(from, _)| at >= *from).map(|(_, size)| size).sum::<f64>();
        for event in &now {
            pushed += match event.kind {
                Kind::Spike | Kind::Burst | Kind::Shift => event.size,
                Kind::Leak => event.size * (at - event.from) as f64 / (event.to - event.from) as f64,
                _ => 0.0,
            };
        }
        let value = draw(law, expected, sigma, (wander * louder, pushed), dice);
        let value = if law.grain > 0.0 { (value / law.grain).round() * law.grain } else { value };
        let value = value.clamp(law.bounds.0, law.bounds.1);
        let value = if of(Kind::Flat).next().is_some() { last } else { value };
        last = value;
        rows.push((begin + at, of(Kind::Gap).next().is_none().then_some(value)));
    }
    rows
}

fn sigma(law: &Law, expected: f64) -> f64 {
    match law.noise {
        Noise::Counts => expected.max(0.3).sqrt(),
        Noise::Queue => expected.max(0.3) * 1.3,
        _ => law.spread + law.relative * expected,
    }
}

fn draw(law: &Law, expected: f64, sigma: f64, (wander, pushed): (f64, f64), dice: &mut Dice) -> f64 {
    match law.noise {
        Noise::Counts => dice.poisson((expected + sigma * (pushed + (wander.abs() - 0.8).max(0.0) * 0.3)).max(0.0)),
        Noise::Queue => {
            let mean = (expected + sigma * pushed).max(0.0);
            let crowd = -(1.0 - dice.unit()).ln();
            dice.poisson(mean * crowd * wander.abs().max(0.8) / 0.9)
        }
        Noise::Skewed => expected * (law.relative * wander).exp() + sigma * pushed,
        Noise::Normal | Noise::Heavy => expected + sigma * (wander + pushed),
    }
}
