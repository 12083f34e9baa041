//! A recorded series through the learner: CSV in, a line out for each sample in alarm.
//!
//! ```text
//! ts,value                 ts,series,detector,score
//! 1772348400,41.3          1772351250,cpu,high,1.42
//! 1772348550,
//! ```
//!
//! A time is seconds since 1970 or `2026-03-01 07:00:00` (a `T` for the blank; `Z` or nothing behind it for universal time, or `+01:00`); an
//! empty value was not measured, and nor was a row that is missing from a regular series. A third column, or one named `series`,
//! tells several series apart. Rows are read one at a time, whatever their number; a bad one is told with its line and left out.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, Write};

use super::{Level, Profile, Sample, Settings};

/// A row longer than this is not one.
const LONGEST: usize = 4_096;
/// So many missing rows of one gap are told one by one: a week at a step of 150 s.
const MOST_MISSING: i64 = 4_032;
/// More series than this are taken for a mistake in the columns.
const MOST_SERIES: usize = 10_000;

/// Why a row says nothing.
#[derive(Debug, PartialEq, Eq)]
pub enum Bad {
    Columns(usize),
    Time(String),
    Value(String),
    Order(i64),
    Long,
    NotText,
    Crowd,
}

impl fmt::Display for Bad {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Columns(count) => write!(out, "cannot read the row: it has {count} columns, not 2 or 3"),
            Self::Time(text) => write!(out, "cannot read the time `{text}`: it is neither seconds nor a date"),
            Self::Value(text) => write!(out, "cannot read the value `{text}`: it is not a finite number"),
            Self::Order(last) => write!(out, "cannot use the row: its time does not lie after {last}"),
            Self::Long => write!(out, "cannot read the row: it is longer than {LONGEST} bytes"),
            Self::NotText => write!(out, "cannot read the row: it is not UTF-8"),
            Self::Crowd => write!(out, "cannot follow another series: {MOST_SERIES} is the most"),
        }
    }
}

/// What a replay came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub samples: u64,
    pub missing: u64,
    pub bad: u64,
    pub alarms: u64,
}

/// Order of the columns.
#[derive(Clone, Copy)]
struct Columns {
    time: usize,
    value: usize,
    series: Option<usize>,
}

const USUAL: Columns = Columns { time: 0, value: 1, series: None };

struct Follower {
    profile: Box<Profile>,
    last_at: Option<i64>,
    rhythm: Rhythm,
}

/// A row that can be used.
struct Row<'a> {
    at: i64,
    value: Option<f64>,
    series: Option<&'a str>,
}

/// Seconds since 1970 to seconds since Monday 00:00, local.
pub type Week<'a> = &'a dyn Fn(i64) -> u32;

/// A replay under way.
pub struct Replay<'a> {
    week: Week<'a>,
    settings: Settings,
    /// The series of rows that name none.
    name: &'a str,
    followers: BTreeMap<String, Follower>,
    tally: Tally,
}

impl<'a> Replay<'a> {
    pub fn new(name: &'a str, settings: Settings, week: Week<'a>) -> Self {
        Self { week, settings, name, followers: BTreeMap::new(), tally: Tally::default() }
    }

    /// Reads all of `input`; `complain` gets the line number of each bad row.
    pub fn run(
        mut self,
        mut input: impl BufRead,
        mut output: impl Write,
        mut complain: impl FnMut(u64, &Bad),
    ) -> io::Result<Tally> {
        writeln!(output, "ts,series,detector,score")?;
        let mut line = Vec::with_capacity(256);
        let mut columns = USUAL;
        let mut number = 0_u64;
        loop {
            let whole = read_line(&mut input, &mut line)?;
            number += 1;
            let text = match (whole, std::str::from_utf8(&line)) {
                (Line::End, _) => break,
                (Line::TooLong, _) => Err(Bad::Long),
                (Line::Whole, Err(_)) => Err(Bad::NotText),
                (Line::Whole, Ok(text)) => Ok(text.trim_start_matches('\u{feff}').trim()),
            };
            if let (1, Ok(text)) = (number, &text)
                && let Some(found) = header(text)
            {
                columns = found;
                continue;
            }
            let row = match text {
                Ok("") => continue,
                Ok(text) => parse(text, columns),
                Err(bad) => Err(bad),
            };
            match row.map_err(Fault::Row).and_then(|row| self.take(&row, &mut output)) {
                Ok(()) => {}
                Err(Fault::Row(bad)) => {
                    self.tally.bad += 1;
                    complain(number, &bad);
                }
                Err(Fault::Output(error)) => return Err(error),
            }
        }
        output.flush()?;
        Ok(self.tally)
    }

    fn take(&mut self, row: &Row, output: &mut impl Write) -> Result<(), Fault> {
        let name = row.series.unwrap_or(self.name);
        if !self.followers.contains_key(name) {
            if self.followers.len() >= MOST_SERIES {
                return Err(Fault::Row(Bad::Crowd));
            }
            self.followers.insert(name.to_owned(), Follower::new());
        }
        let Some(follower) = self.followers.get_mut(name) else { return Ok(()) };
        if let Some(last) = follower.last_at.filter(|last| row.at <= *last) {
            return Err(Fault::Row(Bad::Order(last)));
        }
        let mut feed = |at: i64, value: Option<f64>| -> io::Result<()> {
            let sample = Sample { at, week_s: (self.week)(at), value };
            let judgement = follower.profile.observe(&sample, &self.settings);
            self.tally.samples += u64::from(value.is_some());
            self.tally.missing += u64::from(value.is_none());
            for (detector, _, score) in judgement.findings().filter(|(_, level, _)| *level == Level::Anomaly) {
                self.tally.alarms += 1;
                writeln!(output, "{at},{name},{},{score:.3}", detector.name())?;
            }
            Ok(())
        };
        for at in follower.rhythm.absent(row.at, follower.last_at) {
            feed(at, None).map_err(Fault::Output)?;
        }
        feed(row.at, row.value).map_err(Fault::Output)?;
        follower.rhythm.learn(row.at, follower.last_at);
        follower.last_at = Some(row.at);
        Ok(())
    }
}

enum Fault {
    Row(Bad),
    Output(io::Error),
}

impl Follower {
    fn new() -> Self {
        Self { profile: Box::default(), last_at: None, rhythm: Rhythm::default() }
    }
}

/// How regularly rows come.
#[derive(Default)]
struct Rhythm {
    step_s: i64,
    /// How often in a row the step was the same.
    times: u32,
}

/// So many equal steps make a series regular.
const REGULAR: u32 = 8;

impl Rhythm {
    fn learn(&mut self, at: i64, last_at: Option<i64>) {
        let Some(step_s) = last_at.map(|last| at.saturating_sub(last)) else { return };
        if step_s.abs_diff(self.step_s) * 5 <= self.step_s.unsigned_abs() {
            self.times = self.times.saturating_add(1);
        } else if self.times < REGULAR || step_s < self.step_s {
            *self = Self { step_s, times: 0 };
        }
    }

    /// When rows should have come between the last and this one.
    fn absent(&self, at: i64, last_at: Option<i64>) -> impl Iterator<Item = i64> + use<> {
        let (step_s, regular) = (self.step_s, self.times >= REGULAR);
        let gap = last_at.map_or(0, |last| at.saturating_sub(last));
        let count = if regular && step_s > 0 { ((gap - step_s / 2) / step_s).clamp(0, MOST_MISSING) } else { 0 };
        (1..=count).map(move |number| last_at.unwrap_or_default().saturating_add(number.saturating_mul(step_s)))
    }
}

enum Line {
    Whole,
    TooLong,
    End,
}

/// Reads one line without keeping more of it than a row may have.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Line> {
    line.clear();
    let mut any = false;
    let mut long = false;
    loop {
        let chunk = input.fill_buf()?;
        if chunk.is_empty() {
            break;
        }
        any = true;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
        long |= line.len() + part.len() > LONGEST;
        if !long {
            line.extend_from_slice(part);
        }
        let used = end.map_or(chunk.len(), |end| end + 1);
        input.consume(used);
        if end.is_some() {
            break;
        }
    }
    Ok(match (any, long) {
        (false, _) => Line::End,
        (_, true) => Line::TooLong,
        _ => Line::Whole,
    })
}

/// The columns, when the first line names them.
fn header(text: &str) -> Option<Columns> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().trim_matches('"').to_ascii_lowercase()).collect();
    let place = |wanted: &[&str]| names.iter().position(|name| wanted.contains(&name.as_str()));
    let time = place(&["ts", "time", "timestamp"])?;
    let value = place(&["value"])?;
    Some(Columns { time, value, series: place(&["series"]) })
}

fn parse(text: &str, columns: Columns) -> Result<Row<'_>, Bad> {
    let field = |place: usize| text.split(',').nth(place).map(|field| field.trim().trim_matches('"'));
    let count = text.split(',').count();
    let (Some(time), Some(value), 2..=3) = (field(columns.time), field(columns.value), count) else {
        return Err(Bad::Columns(count));
    };
    // The third column is the series, whatever it is called.
    let third = (0..3).find(|place| *place != columns.time && *place != columns.value);
    let series = columns.series.or(third).and_then(field).filter(|name| !name.is_empty());
    Ok(Row { at: time_of(time).ok_or_else(|| Bad::Time(cut(time)))?, value: value_of(value)?, series })
}

fn value_of(text: &str) -> Result<Option<f64>, Bad> {
    if text.is_empty() {
        return Ok(None);
    }
    let value = text.parse().ok().filter(|value: &f64| value.is_finite());
    value.map(Some).ok_or_else(|| Bad::Value(cut(text)))
}

fn cut(text: &str) -> String {
    text.escape_debug().take(80).collect()
}

/// No time lies beyond the year 9999: what does is in another unit, or cut.
const LAST: i64 = 253_402_300_799;

/// Seconds since 1970 of a time as it stands in a row.
pub fn time_of(text: &str) -> Option<i64> {
    let (text, ahead_s) = zone_of(text)?;
    let whole = text.split_once('.').map_or(text, |(whole, part)| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if digits { whole } else { "" }
    });
    if !whole.is_empty() && whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return whole.parse().ok().filter(|at| *at <= LAST);
    }
    date_of(whole).map(|at| at - ahead_s).filter(|at| *at >= 0)
}

/// A time without its `Z` or `+01:00`, and how far that zone is ahead of universal time.
fn zone_of(text: &str) -> Option<(&str, i64)> {
    if let Some(text) = text.strip_suffix('Z').filter(|text| text.contains(':')) {
        return Some((text, 0));
    }
    // The date has signs of its own: ten letters of it, and what parts it from the time.
    let sign = text.get(11..).and_then(|time| time.find(['+', '-']));
    let Some((text, zone)) = sign.and_then(|place| text.split_at_checked(place + 11)) else { return Some((text, 0)) };
    let digits: String = zone.chars().skip(1).filter(|letter| *letter != ':').collect();
    let is_plain = matches!(zone.len(), 3 | 5 | 6) && matches!(digits.len(), 2 | 4);
    let number = digits.parse::<i64>().ok().filter(|_| is_plain && digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (hours, minutes) = if digits.len() == 2 { (number, 0) } else { (number / 100, number % 100) };
    let ahead_s = hours * 3_600 + minutes * 60;
    (hours < 15 && minutes < 60).then_some((text, if zone.starts_with('-') { -ahead_s } else { ahead_s }))
}

/// `2026-03-01 07:00:59` or with a `T`; the seconds may be missing.
fn date_of(text: &str) -> Option<i64> {
    let (date, time) = text.split_once([' ', 'T'])?;
    let part = |text: &str, width: usize, most: i64| -> Option<i64> {
        let digits = text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| digits && *number <= most)
    };
    let mut date = date.splitn(3, '-');
    let (year, month, day) = (part(date.next()?, 4, 9999)?, part(date.next()?, 2, 12)?, part(date.next()?, 2, 31)?);
    let mut time = time.splitn(3, ':');
    let (hour, minute) = (part(time.next()?, 2, 23)?, part(time.next()?, 2, 59)?);
    let second = time.next().map_or(Some(0), |second| part(second, 2, 60))?;
    if month == 0 || day == 0 || year < 1970 {
        return None;
    }
    // Days since 1970 by the civil calendar, with years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 719_469;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK_S: i64 = 7 * 86_400;

    fn utc_week(at: i64) -> u32 {
        u32::try_from((at - 4 * 86_400).rem_euclid(WEEK_S)).expect("less than a week")
    }

    fn replay(text: &str) -> (Tally, String, Vec<(u64, Bad)>) {
        let mut output = Vec::new();
        let mut bad = Vec::new();
        let tally = Replay::new("cpu", Settings::default(), &utc_week)
            .run(text.as_bytes(), &mut output, |line, fault| bad.push((line, Bad::Time(fault.to_string()))))
            .expect("memory can be written");
        (tally, String::from_utf8(output).expect("text"), bad)
    }

    #[test]
    fn times_are_seconds_or_dates() {
        let rows: &[(&str, Option<i64>)] = &[
            ("0", Some(0)),
            ("1772348400", Some(1_772_348_400)),
            ("1772348400.5", Some(1_772_348_400)),
            ("1970-01-01 00:00:00", Some(0)),
            ("2000-02-29 12:34:56", Some(951_827_696)),
            ("2000-02-29T12:34:56Z", Some(951_827_696)),
            ("2026-03-01 07:00", Some(1_772_348_400)),
            ("2026-03-01 08:00:00+01:00", Some(1_772_348_400)),
            ("2026-03-01T02:00:00.250-0500", Some(1_772_348_400)),
            ("2026-03-01T07:00:00+00", Some(1_772_348_400)),
            ("2026-03-01T07:00:00+1:00", None),
            ("2026-03-01T07:00:00+01:0", None),
            ("2026-03-01T07:00:00+25:00", None),
            ("2026-03-01T07:00:00+", None),
            ("1772348400+01:00", None),
            ("1772348400Z", None),
            ("1970-01-01T00:00:00+01:00", None),
            ("2026-03-01 07:00\u{e9}+01", None),
            ("2026-13-01 07:00:00", None),
            ("2026-00-01 07:00:00", None),
            ("2026-3-1 7:00:00", None),
            ("26-03-01 07:00:00", None),
            ("-5", None),
            ("1e9", None),
            ("1772348400.", None),
            ("99999999999999999999", None),
            ("1772348400000", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(time_of(text), *expected, "{text}");
        }
    }

    #[test]
    fn a_bad_row_is_named_and_left_out() {
        let text = "ts,value\n150,1\nx,2\n300,nan\n300,inf\n300\n300,1,a,b\n100,1\n300,\n450,1e3\n\n";
        let (tally, output, bad) = replay(text);
        assert_eq!(bad.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8]);
        assert_eq!((tally.samples, tally.missing, tally.bad), (2, 1, 6));
        assert!(output.starts_with("ts,series,detector,score\n"));
    }

    #[test]
    fn a_file_cut_at_any_byte_is_read_to_its_end() {
        let text = "ts,value,series\n1772348400,41.25,a\n2026-03-01 07:02:30,,b\n1772348700,\u{e4},c\n";
        for end in 0..text.len() {
            let mut output = Vec::new();
            let bytes = text.as_bytes().get(..end).expect("a part");
            let done = Replay::new("s", Settings::default(), &utc_week).run(bytes, &mut output, |_, _| {});
            assert!(done.is_ok(), "{end}");
        }
    }

    #[test]
    fn hostile_rows_end_as_complaints() {
        let long = format!("1,{}\n150,2\n", "9".repeat(1 << 20));
        let (tally, _, bad) = replay(&long);
        assert_eq!((tally.samples, bad.len()), (1, 1));
        let mut output = Vec::new();
        let bytes: &[u8] = b"ts,value\n\xff\xfe,1\n\0\0\n150,1e308\n300,-1e308\n450,5e-324\n99999999999,0\n";
        let tally = Replay::new("s", Settings::default(), &utc_week).run(bytes, &mut output, |_, _| {});
        assert_eq!(tally.map(|tally| (tally.samples, tally.bad)).ok(), Some((4, 2)));
    }

    #[test]
    fn columns_may_stand_in_any_order_and_tell_series_apart() {
        let text = "series,ts,value\na,150,1\nb,150,7\na,300,2\nb,100,3\n";
        let (tally, _, bad) = replay(text);
        assert_eq!((tally.samples, bad.len()), (3, 1), "each series has its own order");
    }

    /// Thirty days of a regular series in which some rows are left out or empty.
    fn gappy(step_s: i64, hole: std::ops::Range<i64>, leave_out: bool) -> String {
        let mut text = String::from("ts,value\n");
        for at in (0..30 * 86_400).step_by(usize::try_from(step_s).expect("a step")) {
            match (hole.contains(&at), leave_out) {
                (true, true) => {}
                (true, false) => text.push_str(&format!("{at},\n")),
                (false, _) => text.push_str(&format!("{at},{}\n", (at / step_s * 7919) % 101)),
            }
        }
        text
    }

    #[test]
    fn a_gap_is_told_within_three_minutes() {
        for step_s in [10, 30, 60, 150, 300] {
            for leave_out in [false, true] {
                let from = 29 * 86_400 + 12 * 3_600;
                let (_, output, _) = replay(&gappy(step_s, from..from + 3_600, leave_out));
                let times: Vec<i64> = output
                    .lines()
                    .filter(|line| line.ends_with(",cpu,missing,1.000"))
                    .filter_map(|line| line.split(',').next().and_then(|at| at.parse().ok()))
                    .collect();
                let first = *times.first().expect("a gap is an alarm");
                assert!((from..=from + 180).contains(&first), "step {step_s}: after {} s", first - from);
                assert!(times.iter().all(|at| (from..from + 3_600).contains(at)), "step {step_s}");
            }
        }
    }
}
