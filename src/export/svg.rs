//! A stretch of history as SVG: the mean as a line, min to max as a band behind it, what is usual behind both, gaps as gaps. For
//! `/graph/METRIC.svg`, mails and wikis.
//!
//! The picture needs nothing from elsewhere, follows the reader's dark or light scheme, and tells the same in words (`<title>`, `<desc>`).
//! Times are UTC.

use std::fmt;

use super::history::{Amount, Found, Stretch, range};
use super::usual::Usual;
use super::{Page, Stamp};
use crate::learn::Range;
use crate::store::history::Point;

/// How wide a picture may be, and is when nobody says.
pub const WIDTHS: std::ops::RangeInclusive<u32> = 160..=1600;
pub const WIDTH_USUAL: u32 = 640;

/// Room for values, for the title, and for times.
const LEFT: f32 = 64.0;
const RIGHT: f32 = 12.0;
const TOP: f32 = 26.0;
const BOTTOM: f32 = 22.0;
/// What a letter takes at most, in the mean of a text.
const LETTER: f32 = 7.0;

const NOTHING: &str = "nothing was measured";

/// Columns of points in a picture so wide: one for three pixels.
pub fn points(width: u32) -> u32 {
    (width / 3).max(2)
}

/// The look of every picture.
pub const STYLE: &str = include_str!("svg.css");

/// What is drawn, and how wide.
pub struct Picture<'a> {
    pub found: &'a Found,
    pub stretch: &'a Stretch,
    /// Where it was learned.
    pub usual: Option<&'a Usual>,
    pub width: u32,
}

/// Where values and times fall.
struct Frame<'a> {
    stretch: &'a Stretch,
    width: f32,
    height: f32,
    low: f32,
    high: f32,
}

impl Frame<'_> {
    fn x(&self, at: u64) -> f32 {
        let whole = short(self.stretch.span.to.saturating_sub(self.stretch.span.from)).max(1.0);
        let part = (short(at.saturating_sub(self.stretch.span.from)) / whole).min(1.0);
        LEFT + part * (self.width - LEFT - RIGHT)
    }

    fn y(&self, value: f32) -> f32 {
        let part = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.height - BOTTOM - part * (self.height - TOP - BOTTOM)
    }

    /// The middle of a point's step.
    fn middle(&self, point: &Point) -> f32 {
        self.x(point.at + self.stretch.step / 2)
    }
}

/// Draws one series as a document of its own.
pub fn write(picture: &Picture<'_>, page: &mut Page) {
    let Picture { found, stretch, usual, width } = *picture;
    let (low, high) = range(&stretch.points);
    let width = f32::from(u16::try_from(width).unwrap_or(u16::MAX));
    let frame = Frame { stretch, width, height: (width * 0.3).clamp(90.0, 260.0), low, high };
    let (w, h) = (frame.width, frame.height);
    let object = String::from_utf8_lossy(&found.object);
    let gap = if object.is_empty() { "" } else { " " };
    let name = format!("{}{gap}{object}", found.metric);
    page.put(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w:.0}\" height=\"{h:.0}\" viewBox=\"0 0 {w:.0} {h:.0}\" \
         role=\"img\"><title>{}</title><desc>{}</desc><style>{STYLE}</style><rect class=\"p\" width=\"100%\" height=\"100%\"/>",
        Escaped(&name),
        Words { found, stretch, usual },
    ));
    if let Some(usual) = usual {
        draw_usual(&frame, usual, page);
    }
    page.put(format_args!("<text class=\"t\" x=\"{LEFT}\" y=\"16\">{}</text>", Escaped(&cut(&name, w - LEFT - RIGHT))));
    if stretch.points.is_empty() {
        let (x, y) = (f32::midpoint(LEFT, w - RIGHT), f32::midpoint(TOP, h - BOTTOM) - 6.0);
        page.put(format_args!("<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"middle\">{NOTHING}</text>"));
    }
    rules(&frame, found, page);
    times(&frame, page);
    for run in runs(&stretch.points, stretch.step) {
        draw(&frame, run, page);
    }
    page.text("</svg>\n");
}

/// A text that ends with `…` where it does not fit.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn cut(text: &str, room: f32) -> String {
    let most = (room / LETTER) as usize;
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Where values are usual, from the middle of each step to that of the next, in one piece from where it is known first.
fn draw_usual(frame: &Frame<'_>, usual: &Usual, page: &mut Page) {
    let stretch = frame.stretch;
    let mut ranges: Vec<(u64, Range)> = Vec::new();
    let step = usual.each(stretch.span, stretch.step, &mut |at, range| ranges.push((at, range)));
    let place = |at: u64| frame.x(at + step / 2);
    for run in ranges.chunk_by(|one, next| next.0 - one.0 <= step) {
        let there = run.iter().map(|(at, range)| (*at, range.high));
        let back = run.iter().rev().map(|(at, range)| (*at, range.low));
        page.text("<path class=\"u\" d=\"");
        for (number, (at, value)) in there.chain(back).enumerate() {
            let letter = if number == 0 { 'M' } else { 'L' };
            page.put(format_args!("{letter}{:.1} {:.1}", place(at), frame.y(value)));
        }
        page.text("Z\"/>");
    }
}

/// Lines at the bottom, in the middle and at the top, with their values.
fn rules(frame: &Frame<'_>, found: &Found, page: &mut Page) {
    for part in [0.0, 0.5, 1.0] {
        let value = frame.low + (frame.high - frame.low) * part;
        let y = frame.y(value);
        let (left, right) = (LEFT, frame.width - RIGHT);
        page.put(format_args!(
            "<path class=\"r\" d=\"M{left} {y:.1}H{right}\"/><text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            Amount::of(&found.metric, value)
        ));
    }
}

/// As many times as there is room for, the last one first.
fn times(frame: &Frame<'_>, page: &mut Page) {
    let span = frame.stretch.span;
    let is_long = span.to.saturating_sub(span.from) > 86_400;
    let (letters, room) = (if is_long { 10.0 } else { 5.0 }, frame.width - LEFT - RIGHT);
    let fits = |count: f32| (count * (letters + 2.0) + 4.0) * LETTER <= room;
    let (left, right) = (LEFT, frame.width - RIGHT);
    let middle = (span.from / 2 + span.to / 2, f32::midpoint(left, right), "middle");
    let all = [(span.to, right, "end"), (span.from, left, "start"), middle];
    for (at, x, anchor) in all.into_iter().take([2.0, 3.0].into_iter().filter(|count| fits(*count)).count() + 1) {
        let stamp = Stamp(at.saturating_mul(1000)).to_string();
        let text = stamp.get(if is_long { 0..10 } else { 11..16 }).unwrap_or(&stamp);
        let zone = if anchor == "end" { " UTC" } else { "" };
        let y = frame.height - 6.0;
        page.put(format_args!("<text x=\"{x:.1}\" y=\"{y:.0}\" text-anchor=\"{anchor}\">{text}{zone}</text>"));
    }
}

/// Stretches of points without a gap.
fn runs(points: &[Point], step: u64) -> impl Iterator<Item = &[Point]> {
    points.chunk_by(move |one, next| next.at - one.at <= step)
}

fn draw(frame: &Frame<'_>, run: &[Point], page: &mut Page) {
    if run.iter().any(|point| point.min < point.max) {
        page.text("<path class=\"b\" d=\"");
        let there = run.iter().map(|point| (point, point.max));
        let back = run.iter().rev().map(|point| (point, point.min));
        for (place, (point, value)) in there.chain(back).enumerate() {
            let letter = if place == 0 { 'M' } else { 'L' };
            page.put(format_args!("{letter}{:.1} {:.1}", frame.middle(point), frame.y(value)));
        }
        page.text("Z\"/>");
    }
    // One point alone is a dot.
    let (class, end) = if run.len() == 1 { ("l d", "h.1\"/>") } else { ("l", "\"/>") };
    page.put(format_args!("<path class=\"{class}\" d=\""));
    for (place, point) in run.iter().enumerate() {
        let letter = if place == 0 { 'M' } else { 'L' };
        page.put(format_args!("{letter}{:.1} {:.1}", frame.middle(point), frame.y(point.mean)));
    }
    page.text(end);
}

/// The picture in words.
struct Words<'a> {
    found: &'a Found,
    stretch: &'a Stretch,
    usual: Option<&'a Usual>,
}

impl fmt::Display for Words<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(last) = self.stretch.points.last() else { return out.write_str(NOTHING) };
        let amount = |value| Amount::of(&self.found.metric, value);
        let points = self.stretch.points.iter();
        let least = points.clone().map(|point| point.min).fold(f32::INFINITY, f32::min);
        let most = points.map(|point| point.max).fold(f32::NEG_INFINITY, f32::max);
        write!(out, "newest {}, least {}, most {}", amount(last.mean), amount(least), amount(most))?;
        match self.usual.and_then(|usual| usual.over(last.at, self.stretch.step)) {
            Some(Range { low, high, .. }) => write!(out, "; usual then {} to {}", amount(low), amount(high)),
            None => Ok(()),
        }
    }
}

/// Text between tags.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '<' => out.write_str("&lt;"),
            '>' => out.write_str("&gt;"),
            '&' => out.write_str("&amp;"),
            '"' => out.write_str("&quot;"),
            letter if letter.is_control() => out.write_str("?"),
            letter => fmt::Write::write_char(out, letter),
        })
    }
}

/// Seconds of a stretch; two years are far from the end of what an f32 holds well enough for a pixel.
#[allow(clippy::cast_precision_loss)]
fn short(seconds: u64) -> f32 {
    seconds as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::history::Query;
    use crate::scratch::Scratch;
    use crate::store::history::{HistoryReader, Place, Span};

    fn picture(object: &str, points: Vec<Point>, width: u32) -> String {
        let span = Span { from: 86_400, to: 86_400 + 3600, points: 100 };
        let found =
            Found { metric: "load.one".to_owned(), object: object.as_bytes().to_vec(), place: place(), is_only: false };
        let mut page = Page::new(Page::LIMIT);
        let stretch = Stretch { span, step: 60, points };
        write(&Picture { found: &found, stretch: &stretch, usual: None, width }, &mut page);
        String::from_utf8(page.bytes().to_vec()).expect("it is text")
    }

    /// Any place will do.
    fn place() -> Place {
        let scratch = Scratch::new();
        let path = scratch.join("history");
        let now = crate::model::Now { wall: std::time::Duration::from_secs(86_400), ..crate::model::Now::default() };
        let (mut history, _) = crate::store::history::History::open(&path, now).expect("it opens");
        let mut sample = watchd_probes::Sample::default();
        sample.begin();
        sample.sink(watchd_probes::ProbeId::Load).host(watchd_probes::load::ONE, 1);
        sample.finish(watchd_probes::ProbeId::Load, Ok(()), 0);
        history.record(crate::store::Readings { view: sample.view(), rates: &[] }, now);
        let reader = HistoryReader::open(&path).expect("it opens");
        let query = Query { metric: Some("load.one".to_owned()), ..Query::default() };
        query.find(&reader).expect("it is there").place
    }

    fn point(minute: u64, min: f32, max: f32) -> Point {
        Point { at: 86_400 + minute * 60, min, mean: f32::midpoint(min, max), max }
    }

    #[test]
    fn gaps_divide_the_line_and_values_bound_the_band() {
        let text = picture("", vec![point(0, 1.0, 3.0), point(1, 2.0, 4.0), point(30, 2.0, 2.0)], 640);
        assert_eq!((text.matches("class=\"l\"").count(), text.matches("class=\"l d\"").count()), (1, 1), "{text}");
        assert_eq!(text.matches("class=\"b\"").count(), 1, "one value has no band: {text}");
        assert!(text.contains("newest 2.00, least 1.00, most 4.00") && text.contains(">00:00<"), "{text}");
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        assert!(text.len() < 2600, "{}", text.len());
    }

    #[test]
    fn what_is_usual_is_drawn_behind_the_values_for_as_long_as_it_is_known() {
        use crate::export::usual::{Lessons, tests as learned};
        let scratch = Scratch::new();
        let book = learned::book(&scratch);
        let found = Found { metric: "load.one".to_owned(), object: Vec::new(), place: place(), is_only: true };
        let usual = Lessons { book: Some(&book), week_second: learned::week_second }.of(&found);
        let mut texts = Vec::new();
        for from in [learned::BEGIN + 86_400, learned::BEGIN - 43_200] {
            let span = Span { from, to: from + 86_400, points: 100 };
            let points = (0..24).map(|hour| Point { at: from + hour * 3600, min: 15.0, mean: 20.0, max: 30.0 });
            let stretch = Stretch { span, step: 3600, points: points.collect() };
            let mut page = Page::new(Page::LIMIT);
            write(&Picture { found: &found, stretch: &stretch, usual: usual.as_ref(), width: 640 }, &mut page);
            let text = String::from_utf8(page.bytes().to_vec()).expect("it is text");
            assert_eq!(text.matches("class=\"u\"").count(), 1, "{text}");
            assert!(text.find("class=\"u\"") < text.find("class=\"b\""), "it stands behind: {text}");
            assert!(text.contains("; usual then "), "{text}");
            let path = text.split("class=\"u\" d=\"M").nth(1).and_then(|rest| rest.split('Z').next()).expect("a path");
            texts.push((path.matches('L').count() + 1, path.split(' ').next().map(str::to_owned)));
        }
        assert_eq!(texts[0].0, 2 * 25, "from the first hour to the last, there and back");
        assert_eq!(texts[1].0, 2 * 13, "half of that day it was not followed yet");
    }

    #[test]
    fn what_is_below_zero_is_told_as_it_is() {
        let text = picture("", vec![point(0, -3.0, -1.0), point(1, -2.0, -1.5)], 640);
        assert!(text.contains("newest -1.75, least -3.00, most -1.00"), "{text}");
    }

    #[test]
    fn words_keep_to_the_room_there_is() {
        for (width, times) in [(160, 1), (240, 2), (260, 3), (640, 3)] {
            let text = picture("", vec![point(0, 1.0, 3.0)], width);
            let shown = ["00:00<", "00:30<", "01:00 UTC<"].into_iter().filter(|time| text.contains(time)).count();
            assert_eq!(shown, times, "{width}: {text}");
            assert!(text.contains("01:00 UTC<"), "the newest is what matters: {text}");
        }
        let text = picture(&"x".repeat(200), vec![], 320);
        let shown = text.split("class=\"t\"").nth(1).and_then(|rest| rest.split('>').nth(1)).expect("a title");
        assert!(shown.ends_with("x…</text") && shown.chars().count() == 34 + "</text".len(), "{shown}");
        assert!(text.contains("middle\">nothing was measured<"), "{text}");
        assert!(text.contains(&format!("<title>load.one {}</title>", "x".repeat(200))), "{text}");
    }

    #[test]
    fn names_cannot_leave_their_place() {
        let text = picture("</title><script>\u{1b}&\"", vec![], 160);
        assert!(!text.contains("<script") && text.contains("&lt;script&gt;?&amp;&quot;"), "{text}");
        assert!(text.contains("nothing was measured"), "{text}");
    }
}
