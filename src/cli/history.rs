//! `watchd history [METRIC]`: what a number was, as a drawing, as CSV or as JSON; without a metric, which there are. The daemon need not run.

use std::io::ErrorKind;
use std::process::ExitCode;

use super::given::Given;
use super::grid::{self, Cell, Column, Side, Tone};
use super::plot::{self, Plot};
use super::quantity::{age, plain};
use super::status::paint;
use crate::config::nearest;
use crate::export::history::{
    Amount, Found, POINTS, Past, Query, Refusal, Short, Stretch, is_of_measures, measure, seconds, write,
};
use crate::export::usual::{Lessons, Usual};
use crate::export::{Page, Stamp};
use crate::learn::book::Book;
use crate::model::Places;
use crate::store::history::{HistoryReader, Point, Span};
use crate::sys::clock::{self, Civil};
use crate::sys::{stderr, terminal};

const NO_HISTORY: u8 = 3;

const COLUMNS: &[Column] =
    &[Column("METRIC", Side::Left, 0), Column("MEASURED", Side::Left, 1), Column("OBJECT", Side::Left, 0)];

/// A terminal when there is none.
const USUAL: (usize, usize) = (80, 24);
/// Lines that are no drawing: the two above it, and the prompt below.
const HEAD: usize = 3;

pub fn run(places: &Places, given: &Given) -> ExitCode {
    let query = match ask(given) {
        Ok(query) => query,
        Err(message) => return super::wrong(&message),
    };
    let path = places.history();
    let history = match HistoryReader::open(&path) {
        Ok(history) => history,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            stderr::say(format_args!(
                "watchd: cannot show a history: there is none in {} yet",
                places.state_dir.display()
            ));
            return ExitCode::from(NO_HISTORY);
        }
        Err(error) => return super::failed(&format!("cannot read the history {}: {error}", path.display())),
    };
    match tell(places, &history, &query, given) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Refusal::Unreadable(error)) => {
            super::failed(&format!("cannot read the history {}: {error}", path.display()))
        }
        Err(refusal) => super::wrong(&advise(&history, &query, &refusal)),
    }
}

/// What the arguments ask.
fn ask(given: &Given) -> Result<Query, String> {
    let mut query = Query { points: POINTS, ..Query::default() };
    if let [_, word, ..] = given.words.as_slice() {
        return Err(format!("cannot show `{}` as well: one metric at a time", word.escape_debug()));
    }
    query.metric = given.words.first().cloned();
    query.object = given.value("object").map(|object| object.as_bytes().to_vec());
    if let Some(since) = given.value("since") {
        query.since = seconds(since).ok_or_else(|| {
            format!("cannot understand `--since {}`: write 90s, 30m, 6h, 7d, 5w or 2y", since.escape_debug())
        })?;
    }
    if given.has("csv") && given.has("json") {
        return Err("cannot write CSV and JSON at once: choose one".to_owned());
    }
    Ok(query)
}

/// What is wrong, and what could be meant.
fn advise(history: &HistoryReader, query: &Query, refusal: &Refusal) -> String {
    let metric = query.metric.as_deref().unwrap_or_default();
    let (mut metrics, mut objects) = (Vec::new(), Vec::new());
    // What cannot be read names nothing.
    let _ = history.each(&mut |name, _| {
        metrics.push(match std::str::from_utf8(name.object()) {
            Ok(id) if is_of_measures(name.metric()) => id.to_owned(),
            _ => name.metric().to_owned(),
        });
        if name.metric() == metric {
            objects.push(String::from_utf8_lossy(name.object()).into_owned());
        }
        true
    });
    let shown = metric.escape_debug();
    match refusal {
        Refusal::NoSuchMetric => {
            let near = nearest(metric, metrics.iter().map(String::as_str));
            let near = near.map_or_else(String::new, |near| format!("; the nearest is `{near}`"));
            format!("cannot show `{shown}`: it has no history; `watchd history` lists what has{near}")
        }
        Refusal::WhichObject | Refusal::NoSuchObject => {
            let list = objects.iter().map(|object| plain(object)).collect::<Vec<_>>().join(", ");
            format!("cannot choose an object of `{shown}`: give --object and one of {list}")
        }
        other => other.to_string(),
    }
}

fn tell(places: &Places, history: &HistoryReader, query: &Query, given: &Given) -> Result<(), Refusal> {
    let now_s = clock::now().wall.as_secs();
    let book = Book::open_for_reading(&places.learned()).ok();
    let lessons = Lessons { book: book.as_ref(), week_second: Civil::week_second_at };
    if given.has("json") {
        let mut page = Page::new(Page::LIMIT);
        write(&Past { history, lessons, now_s }, query, &mut page)?;
        super::say(&String::from_utf8_lossy(page.bytes()));
        return Ok(());
    }
    if query.metric.is_none() {
        super::say(&list(history, given)?);
        return Ok(());
    }
    let found = query.find(history)?;
    let usual = lessons.of(&found);
    let text = if given.has("csv") {
        csv(history, &found, (query.span(now_s), now_s), usual.as_ref())?
    } else {
        draw(history, &found, (query.span(now_s), now_s), usual.as_ref())?
    };
    super::say(&text);
    Ok(())
}

fn list(history: &HistoryReader, given: &Given) -> Result<String, Refusal> {
    let mut rows = Vec::new();
    history.each(&mut |name, _| {
        rows.push((name.metric().to_owned(), String::from_utf8_lossy(name.object()).into_owned()));
        true
    })?;
    rows.sort();
    if given.has("csv") {
        let line = |(metric, object): &(String, String)| format!("{metric},\"{}\"\n", object.replace('"', "\"\""));
        return Ok(format!("metric,object\n{}", rows.iter().map(line).collect::<String>()));
    }
    let row = |(metric, object): &(String, String)| {
        let measured = match measure(metric) {
            (unit, false) => unit.to_owned(),
            (unit, true) => format!("{unit}/s"),
        };
        vec![Cell::plain(plain(metric)), Cell(Tone::Dim, measured), Cell::plain(plain(object))]
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    Ok(grid::table(COLUMNS, &rows, usize::MAX, paint()))
}

/// Everything there is of the stretch, as fine as it is there; beside it what is usual at that time of the week, when that was learned.
fn csv(
    history: &HistoryReader,
    found: &Found,
    (span, now_s): (Span, u64),
    usual: Option<&Usual>,
) -> Result<String, Refusal> {
    let mut text =
        String::from(if usual.is_some() { "ts,mean,min,max,expected,low,high\n" } else { "ts,mean,min,max\n" });
    let span = Span { points: u32::MAX, ..span };
    let mut points = Vec::new();
    let step = history.read(found.place, span, now_s, &mut |point| points.push(point))?;
    for Point { at, min, mean, max } in points {
        let stamp = Stamp(at.saturating_mul(1000));
        text.push_str(&format!("{stamp},{},{},{}", Short(mean), Short(min), Short(max)));
        text.push_str(&match usual.map(|usual| usual.over(at, step)) {
            Some(Some(range)) => format!(",{},{},{}\n", Short(range.expected), Short(range.low), Short(range.high)),
            Some(None) => ",,,\n".to_owned(),
            None => "\n".to_owned(),
        });
    }
    Ok(text)
}

fn draw(
    history: &HistoryReader,
    found: &Found,
    (span, now_s): (Span, u64),
    usual: Option<&Usual>,
) -> Result<String, Refusal> {
    let (width, height) = terminal::size().unwrap_or(USUAL);
    let columns = u32::try_from(plot::columns(width)).unwrap_or(POINTS).min(POINTS);
    let span = Span { points: columns, ..span };
    let stretch = Stretch::read(history, found, span, now_s)?;
    let show = |value: f32| Amount::of(&found.metric, value).to_string();
    let plot = Plot { stretch: &stretch, width, height: height.min(USUAL.1).saturating_sub(HEAD), show: &show };
    let points = &stretch.points;
    let object = plain(&String::from_utf8_lossy(&found.object));
    let gap = if object.is_empty() { "" } else { " " };
    let title = paint().paint(Tone::Bold, &format!("{}{gap}{object}", plain(&found.metric)));
    let back = age(std::time::Duration::from_secs(span.to - span.from));
    let numbers = points.last().map_or_else(
        || "nothing was measured".to_owned(),
        |last| {
            let least = points.iter().map(|point| point.min).fold(f32::INFINITY, f32::min);
            let most = points.iter().map(|point| point.max).fold(f32::NEG_INFINITY, f32::max);
            let steps = u16::try_from(points.len()).unwrap_or(u16::MAX);
            let mean = points.iter().map(|point| point.mean / f32::from(steps)).sum::<f32>();
            format!("newest {}, least {}, mean {}, most {}", show(last.mean), show(least), show(mean), show(most))
        },
    );
    let usual = usual
        .and_then(|usual| usual.over(now_s, 1))
        .map_or_else(String::new, |range| format!("; usual now {} to {}", show(range.low), show(range.high)));
    let each = age(std::time::Duration::from_secs(stretch.step));
    Ok(format!("{title}, {back} in steps of {each}\n{numbers}{usual}\n{}", plot.draw()))
}
