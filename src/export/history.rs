//! The history as JSON, for `/api/history` and `watchd history --json`: which series there are, or one of them, schema 1.
//!
//! ```text
//! {"schema":1,"metric":"load.one","object":"","unit":"count","per_second":false,"from":1767222300,"to":1767225900,"step":10,
//!  "points":[[1767222300,0.1,0.1,0.1],[1767222310,0.12,0.12,0.12]],"usual":{"step":900,"points":[[1767222000,0.05,0.2,0.4]]}}
//! ```
//!
//! A point is [seconds since 1970, min, mean, max] of one step; where nothing was measured there is none. Counters are told as
//! their growth per second. `usual` is there when the series has been learned: [seconds, low, expected, high], see `usual.rs`.

use std::fmt;

use watchd_probes::{Kind, MetricId, Unit};

use super::usual::{Lessons, Usual};
use super::{Page, svg};
use crate::learn::Range;
use crate::store::history::{HistoryReader, MEASURE, Place, Point, Span};

/// The most points of one answer, and how many when nobody says.
pub const POINTS: u32 = 2000;
const POINTS_USUAL: u32 = 500;

/// How far back when nobody says.
pub const SINCE: u64 = 6 * 3600;

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// None asks which series there are.
    pub metric: Option<String>,
    /// None when it was not said, which is enough for a metric of the host.
    pub object: Option<Vec<u8>>,
    /// Seconds back from the end.
    pub since: u64,
    /// In place of `since`, seconds since 1970; and the end, which is now when it is not said.
    pub from: Option<u64>,
    pub to: Option<u64>,
    pub points: u32,
    /// Of a picture.
    pub width: u32,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            metric: None,
            object: None,
            since: SINCE,
            from: None,
            to: None,
            points: POINTS_USUAL,
            width: svg::WIDTH_USUAL,
        }
    }
}

/// Why a question has no answer.
#[derive(Debug)]
pub enum Refusal {
    /// Not one of metric, object, since, points, or not well-formed.
    Malformed,
    NoSuchMetric,
    NoSuchObject,
    /// The metric has several objects and none was named.
    WhichObject,
    NoHistory,
    Unreadable(std::io::Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => out.write_str(
                "cannot understand the question: ask ?metric=NAME&object=NAME&since=6h&points=500, or from=SECONDS&to=SECONDS, or nothing for a list; width=640 for a picture",
            ),
            Self::NoSuchMetric => out.write_str("cannot show this metric: it has no history; ask without one for a list"),
            Self::NoSuchObject => {
                out.write_str("cannot show this object: it has no history of this metric; ask without one for a list")
            }
            Self::WhichObject => out.write_str("cannot choose an object: the metric has several; name one"),
            Self::NoHistory => out.write_str("cannot show a history: none has been written yet"),
            Self::Unreadable(error) => write!(out, "cannot read the history: {error}"),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self::Unreadable(error)
    }
}

impl Query {
    /// Understands the query of a URL.
    pub fn parse(text: &[u8]) -> Result<Self, Refusal> {
        let mut query = Self::default();
        for (key, value) in parts(text) {
            let value = value.ok_or(Refusal::Malformed)?;
            let text = || std::str::from_utf8(&value).map_err(|_| Refusal::Malformed);
            match key {
                b"metric" => query.metric = Some(text()?.to_owned()),
                b"object" => query.object = Some(value),
                b"since" => query.since = seconds(text()?).ok_or(Refusal::Malformed)?,
                b"from" => query.from = Some(text()?.parse().map_err(|_| Refusal::Malformed)?),
                b"to" => query.to = Some(text()?.parse().map_err(|_| Refusal::Malformed)?),
                b"points" => {
                    let points = text()?.parse().ok().filter(|points| (2..=POINTS).contains(points));
                    query.points = points.ok_or(Refusal::Malformed)?;
                }
                b"width" => {
                    let width = text()?.parse().ok().filter(|width| svg::WIDTHS.contains(width));
                    query.width = width.ok_or(Refusal::Malformed)?;
                }
                _ => return Err(Refusal::Malformed),
            }
        }
        // Nothing lasts that does not end after it began.
        match (query.from, query.to) {
            (Some(from), Some(to)) if from >= to => Err(Refusal::Malformed),
            (_, Some(0)) => Err(Refusal::Malformed),
            _ => Ok(query),
        }
    }

    /// Finds the series that is asked about.
    pub fn find(&self, history: &HistoryReader) -> Result<Found, Refusal> {
        let metric = self.metric.as_deref().unwrap_or_default();
        let (mut found, mut objects) = (None, 0_u32);
        history.each(&mut |name, place| {
            // A measure goes by its own name as well.
            let is_unsaid = self.object.as_ref().is_none_or(Vec::is_empty);
            let is_measure = is_unsaid && is_of_measures(name.metric()) && name.object() == metric.as_bytes();
            if name.metric() == metric || is_measure {
                objects += 1;
                let is_meant = self.object.as_deref().is_none_or(|object| object == name.object());
                if is_meant || is_measure {
                    let (metric, object) = (name.metric().to_owned(), name.object().to_vec());
                    found = Some(Found { metric, object, place, is_only: false });
                }
            }
            true
        })?;
        match found {
            _ if objects == 0 => Err(Refusal::NoSuchMetric),
            None => Err(Refusal::NoSuchObject),
            Some(_) if objects > 1 && self.object.is_none() => Err(Refusal::WhichObject),
            Some(found) => Ok(Found { is_only: objects == 1, ..found }),
        }
    }

    /// The stretch of time.
    pub fn span(&self, now_s: u64) -> Span {
        let to = self.to.unwrap_or(now_s).min(now_s);
        let from = self.from.unwrap_or_else(|| to.saturating_sub(self.since));
        Span { from: from.min(to.saturating_sub(1)), to, points: self.points }
    }
}

/// Whether a metric is what the policy's measures came to.
pub fn is_of_measures(metric: &str) -> bool {
    metric.split_once('.') == Some(MEASURE)
}

/// A series that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub metric: String,
    pub object: Vec<u8>,
    pub place: Place,
    /// No other object has this metric.
    pub is_only: bool,
}

/// A series over a stretch of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    pub span: Span,
    /// Seconds of each point.
    pub step: u64,
    /// Old to new.
    pub points: Vec<Point>,
}

impl Stretch {
    /// Reads it whole; `span` bounds how much that is.
    pub fn read(history: &HistoryReader, found: &Found, span: Span, now_s: u64) -> Result<Self, Refusal> {
        let mut points = Vec::new();
        let step = history.read(found.place, span, now_s, &mut |point| points.push(point))?;
        Ok(Self { span, step, points })
    }
}

/// Where answers come from.
#[derive(Clone, Copy)]
pub struct Past<'a> {
    pub history: &'a HistoryReader,
    pub lessons: Lessons<'a>,
    pub now_s: u64,
}

/// Room above and below what hardly moves, as a share of it.
const CLOSEST: f32 = 0.03;
/// Room under what is below zero, as a share of the picture.
const ROOM: f32 = 0.125;

/// The scale of a picture: to 0, unless all that moves is far from it. Below 0 is room under the least, which would not be seen otherwise.
pub fn range(points: &[Point]) -> (f32, f32) {
    let low = points.iter().map(|point| point.min).fold(f32::INFINITY, f32::min);
    let high = points.iter().map(|point| point.max).fold(f32::NEG_INFINITY, f32::max);
    match () {
        () if points.is_empty() => (0.0, 1.0),
        () if low >= 0.0 => above_zero(low, high),
        () if high > 0.0 => (low - (high - low) * ROOM, high),
        () => {
            let (near, far) = above_zero(-high, -low);
            (-far - (far - near) * ROOM, -near)
        }
    }
}

fn above_zero(low: f32, high: f32) -> (f32, f32) {
    match () {
        () if high <= 0.0 => (0.0, 1.0),
        () if high - low > high * 0.3 || high <= low => (0.0, high),
        () => {
            // Never so close that the steps of what is kept (0.1 % of a value) look like steps of the host.
            let margin = ((high - low) * 0.5).max(high * CLOSEST);
            ((low - margin).max(0.0), high + margin * 0.2)
        }
    }
}

/// A time as `90s`, `30m`, `6h`, `7d`, `5w` or `2y`, in seconds.
pub fn seconds(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        "y" => 31_536_000,
        _ => return None,
    };
    number.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    number.parse::<u64>().ok()?.checked_mul(unit).filter(|seconds| *seconds > 0)
}

/// Keys and values of a URL's query; a value that is not well-formed is none.
pub fn parts(query: &[u8]) -> impl Iterator<Item = (&[u8], Option<Vec<u8>>)> {
    query.split(|byte| *byte == b'&').filter(|part| !part.is_empty()).map(|part| {
        let mut halves = part.splitn(2, |byte| *byte == b'=');
        (halves.next().unwrap_or_default(), decode(halves.next().unwrap_or_default()))
    })
}

/// `%2F` and `+` of a URL into bytes; none when it is not well-formed or holds a NUL.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                digit()? * 16 + digit()?
            }
            other => *other,
        });
    }
    (!bytes.contains(&0)).then_some(bytes)
}

/// Draws what is asked about, `points` of the question aside.
pub fn picture(past: &Past<'_>, query: &Query, page: &mut Page) -> Result<(), Refusal> {
    let found = query.find(past.history)?;
    let span = Span { points: svg::points(query.width), ..query.span(past.now_s) };
    let stretch = Stretch::read(past.history, &found, span, past.now_s)?;
    let usual = past.lessons.of(&found);
    svg::write(&svg::Picture { found: &found, stretch: &stretch, usual: usual.as_ref(), width: query.width }, page);
    Ok(())
}

/// Answers a question.
pub fn write(past: &Past<'_>, query: &Query, page: &mut Page) -> Result<(), Refusal> {
    if query.metric.is_none() {
        return list(past.history, page);
    }
    let found = query.find(past.history)?;
    let span = query.span(past.now_s);
    page.put(format_args!(
        "{{\"schema\":1,{},\"from\":{},\"to\":{},\"points\":[",
        Series(&found.metric, &found.object),
        span.from,
        span.to
    ));
    let mut comma = "";
    let step = past.history.read(found.place, span, past.now_s, &mut |Point { at, min, mean, max }| {
        page.put(format_args!("{comma}[{at},{},{},{}]", Short(min), Short(mean), Short(max)));
        comma = ",";
    })?;
    page.put(format_args!("],\"step\":{step}"));
    if let Some(usual) = past.lessons.of(&found) {
        write_usual(&usual, span, step, page);
    }
    page.text("}\n");
    Ok(())
}

fn write_usual(usual: &Usual, span: Span, step: u64, page: &mut Page) {
    page.text(",\"usual\":{\"points\":[");
    let mut comma = "";
    let step = usual.each(span, step, &mut |at, Range { low, expected, high }| {
        page.put(format_args!("{comma}[{at},{},{},{}]", Short(low), Short(expected), Short(high)));
        comma = ",";
    });
    page.put(format_args!("],\"step\":{step}}}"));
}

/// Which series there are.
fn list(history: &HistoryReader, page: &mut Page) -> Result<(), Refusal> {
    page.text("{\"schema\":1,\"series\":[");
    let mut comma = "";
    history.each(&mut |name, _| {
        page.put(format_args!("{comma}{{{}}}", Series(name.metric(), name.object())));
        comma = ",";
        true
    })?;
    page.text("]}\n");
    Ok(())
}

/// What a metric is measured in, and whether it is told per second.
pub fn measure(metric: &str) -> (&'static str, bool) {
    let Some(metric) = MetricId::from_name(metric).and_then(MetricId::metric) else { return ("count", false) };
    let unit = match metric.unit {
        Unit::Count => "count",
        Unit::Bytes => "bytes",
        Unit::Seconds => "seconds",
        Unit::Percent => "percent",
    };
    (unit, metric.kind == Kind::Counter)
}

/// A value of a metric as people read it, in seven characters: `0.31`, `12.3`, `412M`, `1.5K/s`.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    value: f32,
    unit: &'static str,
    per_second: bool,
}

impl Amount {
    pub fn of(metric: &str, value: f32) -> Self {
        let (unit, per_second) = measure(metric);
        Self { value, unit, per_second }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.value < 0.0 { "-" } else { "" })?;
        match (self.unit, self.value.abs()) {
            ("bytes", value) => scaled(value, (1024.0, ["", "K", "M", "G", "T", "P"]), out)?,
            (_, value) if value >= 9999.5 => scaled(value, (1000.0, ["", "k", "M", "G", "T", "P"]), out)?,
            ("percent", value) => write!(out, "{value:.1}%")?,
            (_, value) if value >= 99.95 => write!(out, "{value:.0}")?,
            (_, value) if value >= 9.995 => write!(out, "{value:.1}")?,
            (_, value) => write!(out, "{value:.2}")?,
        }
        // Seconds of a second are a share.
        out.write_str(if self.per_second && self.unit != "seconds" { "/s" } else { "" })
    }
}

fn scaled(value: f32, (base, units): (f32, [&str; 6]), out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut value = value;
    for unit in units {
        if value < 999.5 || unit == "P" {
            let digits = usize::from(value < 9.95 && !unit.is_empty());
            return write!(out, "{value:.digits$}{unit}");
        }
        value /= base;
    }
    Ok(())
}

/// The members that name a series.
struct Series<'a>(&'a str, &'a [u8]);

impl fmt::Display for Series<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |text: &str| serde_json::to_string(text).map_err(|_| fmt::Error);
        let (unit, per_second) = measure(self.0);
        let (metric, object) = (text(self.0)?, text(&String::from_utf8_lossy(self.1))?);
        write!(out, "\"metric\":{metric},\"object\":{object},\"unit\":\"{unit}\",\"per_second\":{per_second}")
    }
}

/// A value with as many digits as the history keeps: four, and one more.
#[derive(Clone, Copy, Debug)]
pub struct Short(pub f32);

impl fmt::Display for Short {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = heapless::String::<32>::new();
        fmt::Write::write_fmt(&mut text, format_args!("{:.4e}", self.0))?;
        write!(out, "{}", text.parse::<f64>().map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_understood_or_refused() {
        let ok = |text: &str| Query::parse(text.as_bytes()).expect("it is well-formed");
        assert_eq!(ok(""), Query::default());
        let query = ok("metric=filesystem.avail&object=%2Fsrv%2Fa+b&since=7d&points=100");
        assert_eq!(query.metric.as_deref(), Some("filesystem.avail"));
        assert_eq!((query.object.as_deref(), query.since, query.points), (Some(&b"/srv/a b"[..]), 604_800, 100));
        assert_eq!(ok("&metric=a&").metric.as_deref(), Some("a"));
        for bad in [
            "metric=%",
            "metric=%4",
            "metric=%zz",
            "metric=%00",
            "metric=%ff",
            "since=",
            "since=6",
            "since=-1h",
            "since=0h",
            "since=99999999999999999999h",
            "since=18446744073709551615y",
            "from=x",
            "to=-1",
            "from=20&to=10",
            "to=0",
            "from=10&to=10",
            "points=0",
            "points=1",
            "points=2001",
            "points=x",
            "other=1",
            "metric",
            "since=6ä",
        ] {
            let result = Query::parse(bad.as_bytes());
            assert!(result.is_err() || bad == "metric", "{bad}: {result:?}");
        }
    }

    #[test]
    fn no_cut_of_a_question_is_more_than_refused() {
        let text = b"metric=filesystem.avail&object=%2Fsrv%C3%A4&since=7d&points=100";
        for cut in 0..text.len() {
            let _ = Query::parse(&text[..cut]);
        }
    }

    #[test]
    fn a_picture_is_never_so_close_that_the_steps_of_the_file_are_seen() {
        let still = |low: f32, high: f32| range(&[Point { at: 0, min: low, mean: low, max: high }]);
        for (low, high) in [(1e13_f32, 1.001e13), (54e9, 54.05e9), (100.0, 100.1), (7.0, 7.0)] {
            let (bottom, top) = still(low, high);
            // A step is a thousandth of the value, and a picture less than 250 pixels high.
            assert!(bottom <= low && high <= top && (top - bottom) > 0.03 * high, "{low} {high}: {bottom} to {top}");
        }
        assert_eq!(still(0.0, 5.0), (0.0, 5.0));
        assert_eq!(still(80.0, 100.0), (70.0, 102.0));
        // What a policy measures may be below zero.
        assert_eq!(
            (still(-5.0, 0.0), still(-2.0, 7.0), still(-100.0, -80.0)),
            ((-5.625, 0.0), (-3.125, 7.0), (-106.0, -70.0))
        );
    }

    #[test]
    fn amounts_fit_the_scale_of_a_picture() {
        for (metric, value, expect) in [
            ("load.one", 0.314, "0.31"),
            ("load.one", 12.34, "12.3"),
            ("cpu.context_switches", 123_456.0, "123k/s"),
            ("cpu.user", 1.5, "1.50"),
            ("memory.free", 432_013_312.0, "412M"),
            ("memory.free", 17.0, "17"),
            ("network.rx_bytes", 1536.0, "1.5K/s"),
            ("of.another_build", 4.5e13, "45T"),
            ("chamber", -18.25, "-18.2"),
            ("offset", -4.5e6, "-4.5M"),
        ] {
            assert_eq!(Amount::of(metric, value).to_string(), expect);
        }
    }

    #[test]
    fn values_have_five_digits_at_most() {
        for (value, expect) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.299_804_7, "0.2998"),
            (2048.0, "2048"),
            (1_234_567.0, "1234600"),
            (1e-5, "0.00001"),
            (4e14, "400000000000000"),
        ] {
            assert_eq!(Short(value).to_string(), expect);
        }
    }
}
