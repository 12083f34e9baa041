//! One quantity's profile: plain data of a fixed size, and the one function that takes a sample in.
//!
//! The order is fixed: first the sample is compared with what was usual before it, then it may teach. During an alarm it teaches
//! nothing, until the alarm has lasted so long that it is the new usual.

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::detector::{
    BURST, Detector, JUMP, LEAK, Level, NOISE, PAIR, PLATEAU, ROUGHNESS, SHIFT, SPIKE, STATISTICS, TABLE,
};
use super::judgement::{DAY, Judgement, Sample, Settings};
use super::season::{Lesson, Moment, Season, Usual};
use super::steady::Steady;
use super::tail::Tail;

/// A quantity as a whole: its season and its pulse.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Profile {
    pulse: Pulse,
    season: Season,
}

/// What is known of a quantity at any time of the week: where it stands, and the tails of its statistics.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Pulse {
    /// All levels are distances from it, so that 32 bits are enough for a terabyte and its noise.
    base: f64,
    last_at: i64,
    steady: Steady,
    tails: [[Tail; 2]; STATISTICS],
    /// Followed means of the statistics that have a memory.
    means: [f32; STATISTICS],
    age_s: u32,
    step_s: f32,
    value: f32,
    /// Distance from the expected, in spreads; of the last sample.
    distance: f32,
    off: f32,
    /// Smallest change ever seen.
    grain: f32,
    drift: f32,
    /// The drift before the last adopted shift, for as many seconds to come.
    former: f32,
    former_s: f32,
    /// Mean distance in spreads from the former level: when it is small, the quantity has come back.
    former_mean: f32,
    /// What one sample tells about the next: mean product, mean square.
    product: f32,
    square: f32,
    /// Mean size of what one sample does not tell about the next.
    surprise: f32,
    /// Part of the recent past spent in alarm.
    trouble: f32,
    /// The same since the last adopted level.
    stuck: f32,
    /// A bit for each statistic and side in alarm.
    alarms: u32,
    begun: u32,
    /// Mean distance of the last hour.
    centre: f32,
    /// Seconds without an alarm.
    quiet_s: f32,
    /// Seconds since the habits faded last.
    fade_s: f32,
    /// How often each statistic and side has begun an alarm of late, in 16ths; two more to fill the row.
    habits: [u8; 2 * STATISTICS + 2],
}

/// The promise of the room: what one quantity costs on disk, and in memory while it is looked at.
pub const PROFILE_BYTES: usize = size_of::<Profile>();
const _: () = assert!(PROFILE_BYTES <= 8_192, "a profile has to fit two pages");

/// Days before there is a week to compare with.
const WEEK_S: u32 = 7 * 86_400;
/// Time constants of what is learned beside the season.
const DRIFT_S: f32 = 10.0 * DAY;
/// The drift's, after a new level was adopted.
const SETTLE_S: f32 = DAY;
const TAIL_S: f32 = 90.0 * DAY;
const CENTRE_S: f32 = 3_600.0;
const TROUBLE_S: f32 = 3.0 * DAY;
/// So much trouble, and the new is taken for usual: two days of unbroken alarm.
const ADOPT: f32 = 0.5;
/// So much, and the lines of noise move as well.
const NOISE_TEACH: f32 = 0.25;
/// With more trouble than this the lines of everything else rest: half of an event is below its line.
const CALM: f32 = 0.02;
/// After an alarm the next has to be larger: what was disturbed is not yet known again.
const WARY: f32 = 3.0;
/// An alarm that begins so long after the last one is another.
const APART_S: f32 = 3_600.0;
/// How long it is remembered what began an alarm, and by how much that line is higher for each time beyond so many.
const HABIT_S: f32 = 21.0 * DAY;
const HABIT: f32 = 0.5;
const OFTEN: f32 = 2.0;
/// For so long after a new level was adopted everything teaches, and lines are this much higher.
const YOUNG_S: f32 = 3.0 * DAY;
const YOUNG: f32 = 2.0;
/// Below this mean surprise a quantity hardly ever moves.
const STILL: f32 = 0.1;
/// How long the level before an adopted one is still known.
const FORMER_S: f32 = 14.0 * DAY;
/// Nothing further away than this counts in a mean.
const FAR: f32 = 6.0;
/// Detectors share the false alarms that the quantity may give.
const SHARE: f32 = 2.5;
/// A line that holds for memory, in parts of it: how long an alarm by chance lasts.
const EPISODE: f32 = 0.5;

/// What is expected at some moment, and how far around it values are usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    pub expected: f64,
    /// From where on a value is rarer than one a week.
    pub low: f64,
    pub high: f64,
    /// From where on it is an anomaly.
    pub least: f64,
    pub most: f64,
}

/// A sample beside what was expected.
#[derive(Clone, Copy)]
struct Look {
    seconds: u16,
    dt: f32,
    value: f32,
    usual: Usual,
    /// Distance from the expected in spreads: from the level of today, and with the former one allowed.
    off: f32,
    distance: f32,
    /// Distance from the former level, while it is known.
    former: Option<f32>,
    /// Sides of the nine statistics: how far above, how far below.
    sides: [[f32; 2]; STATISTICS],
}

impl Default for Profile {
    fn default() -> Self {
        Self { pulse: Pulse::default(), season: Season::new_zeroed() }
    }
}

impl Profile {
    /// Compares, judges, learns.
    pub fn observe(&mut self, sample: &Sample, settings: &Settings) -> Judgement {
        let mut moment = self.season.moment(sample.week_s);
        let judgement = self.pulse.observe(&mut moment, sample, settings);
        self.season.put(sample.week_s, &moment);
        judgement
    }
}

impl Default for Pulse {
    fn default() -> Self {
        let mut new = Self::new_zeroed();
        for (tails, statistic) in new.tails.iter_mut().zip(&TABLE) {
            *tails = [Tail::new(statistic.guess); 2];
        }
        new.surprise = 0.8;
        new.square = 1.0;
        new
    }
}

impl Pulse {
    /// The same with the season kept elsewhere: `moment` is what it knows of the sample's time of the week.
    pub fn observe(&mut self, moment: &mut Moment, sample: &Sample, settings: &Settings) -> Judgement {
        let mut judgement = Judgement::new();
        let Some(value) = sample.value.filter(|value| value.is_finite()) else {
            self.miss(sample, &mut judgement);
            return judgement;
        };
        if self.begun == 0 {
            self.begin(sample.at, value);
        }
        let seconds = self.advance(sample.at);
        let look = self.look(moment, narrow(value - self.base), seconds);
        self.judge(&look, settings, &mut judgement);
        self.learn(moment, &look);
        judgement
    }

    fn begin(&mut self, at: i64, value: f64) {
        self.begun = 1;
        self.base = value;
        self.last_at = at;
        self.grain = f32::MAX;
        self.steady.begin(at);
    }

    /// Seconds since the last value; 0 when the clock went back.
    fn advance(&mut self, at: i64) -> u16 {
        let gone = u16::try_from(at.saturating_sub(self.last_at).clamp(0, 65_535)).unwrap_or_default();
        self.last_at = at;
        self.age_s = self.age_s.saturating_add(u32::from(gone));
        let dt = f32::from(gone);
        if self.step_s == 0.0 {
            self.step_s = dt.clamp(0.0, 600.0);
        } else {
            self.step_s += 0.05 * (dt.min(2.0 * self.step_s) - self.step_s);
        }
        gone
    }

    fn miss(&mut self, sample: &Sample, judgement: &mut Judgement) {
        if self.begun != 0 && self.steady.miss(sample.at, self.last_at, self.step_s) {
            judgement.find(Detector::Missing, Level::Anomaly, 1.0);
        }
    }

    /// What one sample is beside the usual, in spreads; moves the means along.
    fn look(&mut self, moment: &Moment, value: f32, seconds: u16) -> Look {
        let dt = f32::from(seconds);
        let mut usual = moment.usual(self.smallest(value));
        usual.trusted = self.age_s > 2 * WEEK_S;
        let bare = (value - usual.level) / usual.spread;
        let off = bare - self.drift / usual.spread;
        let former = (self.former_s > 0.0).then(|| bare - self.former / usual.spread);
        // Between the former level and the new one everything is usual.
        let distance = match former {
            Some(former) if former * off < 0.0 => 0.0,
            Some(former) if former.abs() < off.abs() => former,
            _ => off,
        };
        // What an hour that is hardly known gives would stay in the means for days.
        let sides = if usual.known { self.follow(off, distance, dt) } else { self.follow(0.0, 0.0, dt) };
        Look { seconds, dt, value, usual, off, distance, former, sides }
    }

    /// How much of a distance is still there in the next sample.
    fn tie(&self) -> f32 {
        (self.product / self.square.max(1e-6)).clamp(0.0, 0.97)
    }

    /// Moves the means along, and gives both sides of all statistics.
    fn follow(&mut self, off: f32, distance: f32, dt: f32) -> [[f32; 2]; STATISTICS] {
        let fresh = dt > 0.0 && dt < 2.5 * self.step_s;
        let tie = self.tie();
        let scale = (self.surprise * 1.25).max(1e-3);
        let surprise = (off - tie * self.off) / scale;
        // A shifted level is not noise: what is left after the last hour's level counts. What never moves has none.
        let still = self.surprise < STILL;
        let rough = (surprise - (1.0 - tie) * self.centre / scale).abs().min(4.0) - 0.8;
        let rough = if still { 0.0 } else { rough };
        self.centre += (off.clamp(-FAR, FAR) - self.centre) * dt / (CENTRE_S + dt).max(1.0);
        let clipped = distance.clamp(-FAR, FAR);
        let calm = distance.clamp(-4.0, 4.0);
        for (place, (mean, statistic)) in self.means.iter_mut().zip(&TABLE).enumerate() {
            let input = match place {
                JUMP => surprise,
                SPIKE => distance,
                NOISE | ROUGHNESS if fresh => rough,
                NOISE | ROUGHNESS => *mean,
                BURST => clipped,
                _ => calm,
            };
            *mean = if statistic.memory > 0.0 {
                *mean + (input - *mean) * dt / (statistic.memory + dt).max(1.0)
            } else {
                input
            };
        }
        self.sides(surprise, distance, fresh)
    }

    fn sides(&self, surprise: f32, distance: f32, fresh: bool) -> [[f32; 2]; STATISTICS] {
        let mut sides = self.means.map(|mean| [mean, -mean]);
        let outward = |side: f32, distance: f32| if fresh && distance > 1.0 { side } else { 0.0 };
        if let Some(jump) = sides.get_mut(JUMP) {
            *jump = [outward(surprise, distance), outward(-surprise, -distance)];
        }
        if let Some(pair) = sides.get_mut(PAIR) {
            let before = if fresh { self.distance } else { 0.0 };
            *pair = [distance.min(before), (-distance).min(-before)];
        }
        sides
    }

    fn judge(&mut self, look: &Look, settings: &Settings, judgement: &mut Judgement) {
        judgement.is_judged = self.age_s >= settings.learning_s && look.usual.known;
        if judgement.is_judged {
            for place in 0..STATISTICS {
                self.weigh(place, look, settings, judgement);
            }
            self.count_alarms(look.dt);
        } else {
            self.alarms = 0;
        }
        let flat = self.steady.same(look.value == self.value, look.usual.same, look.dt);
        if self.age_s < settings.learning_s {
            self.steady.accept();
        } else if flat {
            judgement.find(Detector::Flat, Level::Anomaly, 1.0);
        }
        judgement.band = self.around(&look.usual, look.dt, settings);
    }

    /// What is usual, and where that ends.
    fn around(&self, usual: &Usual, dt: f32, settings: &Settings) -> Band {
        let expected = f64::from(usual.level + self.drift) + self.base;
        let [_, week, quarter] = settings.apart_s.map(|apart_s| wanted(dt, 0.0, apart_s));
        let reach = |side: usize| {
            let known = TABLE.get(SPIKE).zip(self.tails.get(SPIKE).and_then(|tails| tails.get(side)));
            let lines = known.map_or((0.0, 0.0), |(statistic, tail)| {
                let floor = statistic.floor.get(side).copied().unwrap_or_default();
                let far = tail.anomaly(statistic.tail, quarter, statistic.beyond).max(floor);
                (tail.line(statistic.tail, week).min(far), far)
            });
            (f64::from(lines.0 * usual.spread), f64::from(lines.1 * usual.spread))
        };
        let ((high, most), (low, least)) = (reach(0), reach(1));
        Band { expected, low: expected - low, high: expected + high, least: expected - least, most: expected + most }
    }

    /// The same for a moment that is only looked at; none while the quantity is being learned, or when the hour is not known.
    pub fn band(&self, moment: &Moment, settings: &Settings) -> Option<Band> {
        let usual = moment.usual(self.smallest(0.0));
        (self.begun != 0 && self.age_s >= settings.learning_s && usual.known)
            .then(|| self.around(&usual, self.step_s, settings))
    }

    /// Since when it is followed, as far as that is known: a gap of more than 18 hours counts as 18.
    pub fn since(&self) -> i64 {
        self.last_at.saturating_sub(i64::from(self.age_s))
    }

    /// The spread that cannot be undercut, for a value (a distance from the base).
    fn smallest(&self, value: f32) -> f32 {
        let grain = if self.grain < f32::MAX { self.grain * 0.35 } else { 0.0 };
        let size = narrow(self.base).abs().max(value.abs());
        grain.max(size * 1e-5).max(1e-9)
    }

    /// Compares both sides of one statistic with their lines.
    fn weigh(&mut self, place: usize, look: &Look, settings: &Settings, judgement: &mut Judgement) {
        let known = (TABLE.get(place), self.tails.get(place), look.sides.get(place));
        let (Some(statistic), Some(tails), Some(sides)) = known else { return };
        let [dev1, dev2, anomaly] = settings.apart_s.map(|apart_s| wanted(look.dt, statistic.memory, apart_s));
        let now = self.means.get(BURST).copied().unwrap_or_default();
        let wary = (1.0 + WARY * self.trouble) * if self.is_young() { YOUNG } else { 1.0 };
        let each = tails.iter().zip(sides).zip(statistic.floor).zip([(statistic.high, now), (statistic.low, -now)]);
        for (side, (((tail, value), floor), (detector, now))) in each.enumerate() {
            // A slow mean goes on for hours after its cause has gone; then it is history, not an alarm.
            let gone = matches!(place, SHIFT | PLATEAU | LEAK) && now < value * 0.4;
            let bit = 1_u32 << (place * 2 + side);
            let habit = f32::from(self.habits.get(place * 2 + side).copied().unwrap_or_default()) / 16.0;
            let line = tail.anomaly(statistic.tail, anomaly, statistic.beyond).max(floor)
                * (1.0 + HABIT * (habit - OFTEN).max(0.0));
            let held = self.alarms & bit != 0 && *value > line * statistic.release;
            let line = line * wary;
            let level = if gone {
                Level::Normal
            } else if *value > line || held {
                Level::Anomaly
            } else if *value > tail.line(statistic.tail, dev2) {
                Level::Dev2
            } else if *value > tail.line(statistic.tail, dev1) {
                Level::Dev1
            } else {
                Level::Normal
            };
            self.alarms = if level == Level::Anomaly { self.alarms | bit } else { self.alarms & !bit };
            judgement.find(detector, level, value / line);
        }
    }

    /// What alarms again and again is a habit of the quantity: its line rises, and comes down when it has stopped.
    fn count_alarms(&mut self, dt: f32) {
        let begins = self.alarms != 0 && self.quiet_s > APART_S;
        self.fade_s += dt.min(600.0);
        let fades = self.fade_s > HABIT_S / 16.0;
        if fades {
            self.fade_s = 0.0;
        }
        for (place, habit) in self.habits.iter_mut().enumerate() {
            *habit -= if fades { habit.div_ceil(16) } else { 0 };
            if begins && self.alarms & 1 << place != 0 {
                *habit = habit.saturating_add(16);
            }
        }
        self.quiet_s = if self.alarms == 0 { self.quiet_s + dt } else { 0.0 };
    }

    fn learn(&mut self, moment: &mut Moment, look: &Look) {
        let flat = self.steady.is_flat();
        let alarm = self.alarms != 0 || flat;
        let dt = look.dt;
        // A value that does not move is no reason to move the usual.
        let wrong = f32::from(u8::from(self.alarms != 0 && !flat));
        self.stuck += (wrong - self.stuck) * dt / (TROUBLE_S + dt);
        self.trouble += (wrong - self.trouble) * dt / (TROUBLE_S + dt);
        let change = (look.value - self.value).abs();
        if self.age_s > 0 && change > 0.0 {
            self.grain = self.grain.min(change);
        }
        moment.count(wrong, dt.min(600.0));
        moment.repeat(f32::from(u8::from(look.value == self.value)), look.seconds.min(600));
        if !alarm || look.usual.troubled || self.is_young() {
            self.teach(moment, look, alarm);
        }
        if alarm && self.trouble > NOISE_TEACH && self.age_s > WEEK_S {
            self.teach_lines(look, NOISE);
        }
        if self.stuck > ADOPT && self.alarms & (0b11_1111 << (SHIFT * 2)) != 0 {
            self.adopt(look);
        }
        self.remember_former(look);
        self.steady.settle(self.last_at, self.step_s);
        self.value = look.value;
        (self.distance, self.off) = if look.usual.known { (look.distance, look.off) } else { (0.0, 0.0) };
    }

    fn teach(&mut self, moment: &mut Moment, look: &Look, alarm: bool) {
        let seconds = look.seconds.min(600);
        let clip = if self.age_s < WEEK_S { 6.0 } else { 3.0 };
        let lesson = Lesson { seconds, clip, hurry: alarm || self.is_young() };
        let usual = look.usual;
        // Between two levels nobody knows what is usual.
        if look.off == look.distance || self.is_young() {
            let level = usual.level + look.off * usual.spread;
            moment.learn(level, &usual, &lesson);
        }
        if self.age_s >= WEEK_S && look.usual.known && !alarm {
            self.settle_drift(look);
            if look.off == look.distance && look.usual.known && self.trouble < CALM {
                self.teach_lines(look, 0);
            }
        }
    }

    fn settle_drift(&mut self, look: &Look) {
        let settling = if look.former.is_some() { SETTLE_S } else { DRIFT_S };
        self.drift += look.off.clamp(-2.0, 2.0) * look.usual.spread * look.dt.min(600.0) / settling;
    }

    /// Moves the tails of the statistics from the place `first` on.
    fn teach_lines(&mut self, look: &Look, first: usize) {
        let taught = (self.age_s - WEEK_S) as f32;
        let rate = look.dt.min(600.0) / (taught + DAY).min(TAIL_S);
        let clipped = look.off.clamp(-4.0, 4.0);
        let before = self.off.clamp(-4.0, 4.0);
        self.product += rate * (clipped * before - self.product);
        self.square += rate * (before * before - self.square);
        let tie = self.tie();
        self.surprise += rate * ((clipped - tie * before).abs() - self.surprise);
        let all = self.tails.iter_mut().zip(&TABLE).zip(look.sides);
        for ((tails, statistic), sides) in all.skip(first) {
            for (tail, value) in tails.iter_mut().zip(sides) {
                tail.learn(value, statistic.tail, rate);
            }
        }
    }

    /// A long alarm has become the usual: the level moves there, and where it came from is kept for a while.
    fn adopt(&mut self, look: &Look) {
        let moved = self.means.get(PLATEAU).copied().unwrap_or_default();
        self.former = self.drift;
        self.former_s = FORMER_S;
        self.former_mean = FAR;
        self.drift += moved * look.usual.spread;
        for place in [BURST, SHIFT, PLATEAU, LEAK] {
            if let Some(mean) = self.means.get_mut(place) {
                *mean = 0.0;
            }
        }
        self.stuck = 0.0;
    }

    /// A level was adopted within the last days: little is known about it.
    fn is_young(&self) -> bool {
        self.former_s > FORMER_S - YOUNG_S
    }

    fn remember_former(&mut self, look: &Look) {
        let Some(former) = look.former else { return };
        self.former_s -= look.dt;
        self.former_mean += (former.clamp(-FAR, FAR) - self.former_mean) * look.dt / (4.0 * 3_600.0 + look.dt);
        if self.former_mean.abs() < 0.5 {
            self.drift = self.former;
            self.former_s = 0.0;
        }
    }
}

/// The share of samples that may be in alarm by chance, when false alarms shall lie `apart_s` seconds apart.
fn wanted(dt: f32, memory: f32, apart_s: f32) -> f32 {
    (dt.max(memory * EPISODE).max(1.0) / (apart_s * SHARE)).min(0.5)
}

/// What 32 bits keep of it; never infinite.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn narrow(value: f64) -> f32 {
    value.clamp(-1e30, 1e30) as f32
}
