//! The history as JSON, for `/api/history` and `watchd history --json`: which series there are, or one of them, schema 1.
//!
//! ```text
//! {"schema":1,"metric":"load.one","object":"","unit":"count","per_second":false,"from":1767222300,"to":1767225900,"step":10,
//!  "points":[[1767222300,0.1,0.1,0.1],[1767222310,0.12,0.12,0.12]]}
//! ```
//!
//! A point is [seconds since 1970, min, mean, max] of one step; where nothing was measured there is none. Counters are told as
//! their growth per second.

use std::fmt;

use watchd_probes::{Kind, MetricId, Unit};

use super::Page;
use crate::store::history::{HistoryReader, Place, Point, Span};

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
    /// Seconds back from now.
    pub since: u64,
    pub points: u32,
}

impl Default for Query {
    fn default() -> Self {
        Self { metric: None, object: None, since: SINCE, points: POINTS_USUAL }
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
                "cannot understand the question: ask ?metric=NAME&object=NAME&since=6h&points=500, or nothing for a list",
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
        for part in text.split(|byte| *byte == b'&').filter(|part| !part.is_empty()) {
            let mut halves = part.splitn(2, |byte| *byte == b'=');
            let key = halves.next().unwrap_or_default();
            let value = decode(halves.next().unwrap_or_default()).ok_or(Refusal::Malformed)?;
            let text = || std::str::from_utf8(&value).map_err(|_| Refusal::Malformed);
            match key {
                b"metric" => query.metric = Some(text()?.to_owned()),
                b"object" => query.object = Some(value),
                b"since" => query.since = seconds(text()?).ok_or(Refusal::Malformed)?,
                b"points" => {
                    let points = text()?.parse().ok().filter(|points| (2..=POINTS).contains(points));
                    query.points = points.ok_or(Refusal::Malformed)?;
                }
                _ => return Err(Refusal::Malformed),
            }
        }
        Ok(query)
    }

    /// Finds the series that is asked about.
    pub fn find(&self, history: &HistoryReader) -> Result<Found, Refusal> {
        let metric = self.metric.as_deref().unwrap_or_default();
        let (mut found, mut objects) = (None, 0_u32);
        history.each(&mut |name, place| {
            if name.metric() == metric {
                objects += 1;
                let is_meant = self.object.as_deref().is_none_or(|object| object == name.object());
                if is_meant {
                    found = Some(Found { metric: metric.to_owned(), object: name.object().to_vec(), place });
                }
            }
            true
        })?;
        match found {
            _ if objects == 0 => Err(Refusal::NoSuchMetric),
            None => Err(Refusal::NoSuchObject),
            Some(_) if objects > 1 && self.object.is_none() => Err(Refusal::WhichObject),
            Some(found) => Ok(found),
        }
    }

    /// The stretch of time.
    pub fn span(&self, now_s: u64) -> Span {
        Span { from: now_s.saturating_sub(self.since), to: now_s, points: self.points }
    }
}

/// A series that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub metric: String,
    pub object: Vec<u8>,
    pub place: Place,
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

/// Answers a question.
pub fn write(history: &HistoryReader, query: &Query, now_s: u64, page: &mut Page) -> Result<(), Refusal> {
    if query.metric.is_none() {
        return list(history, page);
    }
    let found = query.find(history)?;
    let span = query.span(now_s);
    page.put(format_args!(
        "{{\"schema\":1,{},\"from\":{},\"to\":{},\"points\":[",
        Series(&found.metric, &found.object),
        span.from,
        span.to
    ));
    let mut comma = "";
    let step = history.read(found.place, span, now_s, &mut |Point { at, min, mean, max }| {
        page.put(format_args!("{comma}[{at},{},{},{}]", Short(min), Short(mean), Short(max)));
        comma = ",";
    })?;
    page.put(format_args!("],\"step\":{step}}}\n"));
    Ok(())
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
