//! Classes of the clock, recognised by their names: `Monday`, `Hr07`, `Hr22_06`, `Min00_05`, `Hr07_Q2`, `GMT_Night`.
//!
//! Local time; `GMT_` in front asks for universal time. Ranges include their beginning and exclude their end, and go round
//! midnight: `Hr22_06` is from 22:00 to 05:59. `Q1` to `Q4` are quarters of the hour, `Night Morning Afternoon Evening` quarters of the day.
//! Nothing here asks the time: the caller gives a [`Calendar`] of each kind.

use serde::{Deserialize, Serialize};

/// A point of time as people say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calendar {
    pub year: u16,
    /// From 1.
    pub month: u8,
    /// From 1.
    pub day: u8,
    /// From Monday, which is 0.
    pub weekday: u8,
    pub hour: u8,
    pub minute: u8,
}

pub const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub const SHIFTS: [&str; 4] = ["Night", "Morning", "Afternoon", "Evening"];

/// What a name of time asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeTest {
    universal: bool,
    field: Field,
    /// The first that fits.
    from: u16,
    /// The first that does not; below `from` when the range goes round.
    until: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Field {
    Year,
    Month,
    Day,
    Weekday,
    Hour,
    Minute,
    MinuteOfDay,
}

impl TimeTest {
    /// What `name` asks for; none when it is not a name of time.
    pub fn parse(name: &str) -> Option<Self> {
        let (universal, name) = match name.strip_prefix("GMT_") {
            Some(name) => (true, name),
            None => (false, name),
        };
        let (field, from, until) = named(name).or_else(|| numbered(name))?;
        Some(Self { universal, field, from, until })
    }

    pub fn holds(&self, local: &Calendar, utc: &Calendar) -> bool {
        let clock = if self.universal { utc } else { local };
        let value = match self.field {
            Field::Year => clock.year,
            Field::Month => clock.month.into(),
            Field::Day => clock.day.into(),
            Field::Weekday => clock.weekday.into(),
            Field::Hour => clock.hour.into(),
            Field::Minute => clock.minute.into(),
            Field::MinuteOfDay => u16::from(clock.hour) * 60 + u16::from(clock.minute),
        };
        if self.from < self.until {
            (self.from..self.until).contains(&value)
        } else {
            value >= self.from || value < self.until
        }
    }
}

fn named(name: &str) -> Option<(Field, u16, u16)> {
    let find =
        |names: &[&str]| names.iter().position(|known| *known == name).and_then(|place| u16::try_from(place).ok());
    if let Some(day) = find(&WEEKDAYS) {
        return Some((Field::Weekday, day, day + 1));
    }
    if let Some(month) = find(&MONTHS) {
        return Some((Field::Month, month + 1, month + 2));
    }
    find(&SHIFTS).map(|shift| (Field::Hour, shift * 6, shift * 6 + 6))
}

fn numbered(name: &str) -> Option<(Field, u16, u16)> {
    if let Some(year) = name.strip_prefix("Yr") {
        let year = digits(year, 4, 9999)?;
        return Some((Field::Year, year, year + 1));
    }
    if let Some(day) = name.strip_prefix("Day") {
        let day = digits(day, 2, 31).filter(|day| *day > 0)?;
        return Some((Field::Day, day, day + 1));
    }
    if let Some(rest) = name.strip_prefix("Hr") {
        if let Some((hour, quarter)) = rest.split_once("_Q") {
            let start = digits(hour, 2, 23)? * 60 + quarter_start(quarter)?;
            return Some((Field::MinuteOfDay, start, start + 15));
        }
        return span(rest, 24).map(|(from, until)| (Field::Hour, from, until));
    }
    if let Some(rest) = name.strip_prefix("Min") {
        return span(rest, 60).map(|(from, until)| (Field::Minute, from, until));
    }
    let start = quarter_start(name.strip_prefix('Q')?)?;
    Some((Field::Minute, start, start + 15))
}

/// `07` or `22_06`; the end of a range may be `end` itself.
fn span(text: &str, end: u16) -> Option<(u16, u16)> {
    match text.split_once('_') {
        None => digits(text, 2, end - 1).map(|from| (from, from + 1)),
        Some((from, until)) => {
            let (from, until) = (digits(from, 2, end - 1)?, digits(until, 2, end)?);
            (from != until).then_some((from, until))
        }
    }
}

fn quarter_start(text: &str) -> Option<u16> {
    digits(text, 1, 4).filter(|quarter| *quarter > 0).map(|quarter| (quarter - 1) * 15)
}

/// A number of exactly so many digits, up to `most`.
fn digits(text: &str, count: usize, most: u16) -> Option<u16> {
    let plain = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| plain && *number <= most)
}

/// Names that show what a name of time looks like, for finding the nearest to a wrong one.
pub fn examples() -> impl Iterator<Item = &'static str> {
    WEEKDAYS.into_iter().chain(MONTHS).chain(SHIFTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sunday.
    const NOON: Calendar = Calendar { year: 2026, month: 11, day: 22, weekday: 6, hour: 12, minute: 4 };
    /// Monday, the local time of the same moment far in the east.
    const NIGHT: Calendar = Calendar { year: 2026, month: 11, day: 23, weekday: 0, hour: 0, minute: 59 };

    #[test]
    fn names_of_time_hold_when_people_say_so() {
        for (name, noon, night) in [
            ("Sunday", true, false),
            ("Monday", false, true),
            ("November", true, true),
            ("Yr2026", true, true),
            ("Day22", true, false),
            ("Hr12", true, false),
            ("Hr00", false, true),
            ("Hr00_06", false, true),
            ("Hr22_01", false, true),
            ("Hr12_24", true, false),
            ("Hr06_12", false, false),
            ("Min00_05", true, false),
            ("Min05_10", false, false),
            ("Min55_00", false, true),
            ("Min04", true, false),
            ("Q1", true, false),
            ("Q4", false, true),
            ("Hr12_Q1", true, false),
            ("Hr00_Q4", false, true),
            ("Night", false, true),
            ("Afternoon", true, false),
        ] {
            let test = TimeTest::parse(name).expect(name);
            assert_eq!((test.holds(&NOON, &NIGHT), test.holds(&NIGHT, &NOON)), (noon, night), "{name}");
            let universal = TimeTest::parse(&format!("GMT_{name}")).expect(name);
            assert_eq!((universal.holds(&NIGHT, &NOON), universal.holds(&NOON, &NIGHT)), (noon, night), "GMT_{name}");
        }
    }

    #[test]
    fn other_names_are_not_of_time() {
        for name in [
            "",
            "Hr",
            "Hr7",
            "Hr24",
            "Hr007",
            "Hr00_00",
            "Hr00_25",
            "Hr07_Q5",
            "Hr07_Q0",
            "Min60",
            "Min5",
            "Day00",
            "Day32",
            "Q0",
            "Q5",
            "Yr26",
            "monday",
            "GMT_",
            "GMT_GMT_Hr00",
            "Hr+7",
            "Min0x",
            "Q",
            "Hr07_",
            "Mond",
        ] {
            assert_eq!(TimeTest::parse(name), None, "{name}");
        }
    }

    #[test]
    fn quarters_of_the_day_cover_it_once() {
        for hour in 0..24 {
            let now = Calendar { hour, ..NOON };
            let held = SHIFTS.iter().filter(|shift| TimeTest::parse(shift).is_some_and(|test| test.holds(&now, &now)));
            assert_eq!(held.count(), 1, "{hour}");
        }
    }
}
