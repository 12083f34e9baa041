//! The last hours of the page's main numbers, as pictures that stand in the page itself: no script, no further request.

use std::fmt;

use watchd_probes::ProbeId;

use crate::export::history::{Query, Stretch};
use crate::export::{Page, svg};
use crate::model::Now;
use crate::store::Readings;
use crate::store::history::{HistoryReader, Span};

/// Wide enough to be read, narrow enough for a phone.
const WIDTH: u32 = 320;

/// File systems with a picture.
const DISKS: usize = 4;

/// Of the host as a whole.
const HOST: &[&str] = &["load.one", "cpu.user", "cpu.iowait", "memory.available"];

/// Draws what has a history; what has none is left out.
pub fn write(history: &HistoryReader, readings: Readings<'_>, now: Now, page: &mut Page) {
    page.put(format_args!("<h2>The last 6 hours</h2>\n<style>{}</style>\n", svg::STYLE));
    for metric in HOST {
        picture(history, (metric, b""), now, page);
    }
    let view = readings.view;
    for object in view.objects(ProbeId::Filesystem).take(DISKS) {
        picture(history, ("filesystem.avail", view.part(object, 0)), now, page);
    }
}

fn picture(history: &HistoryReader, (metric, object): (&str, &[u8]), now: Now, page: &mut Page) {
    let query = Query { metric: Some(metric.to_owned()), object: Some(object.to_vec()), ..Query::default() };
    let now_s = now.wall.as_secs();
    let Ok(found) = query.find(history) else { return };
    let span = Span { points: svg::points(WIDTH), ..query.span(now_s) };
    if let Ok(stretch) = Stretch::read(history, &found, span, now_s) {
        let link = Link { metric, object };
        page.put(format_args!("<a href=\"{link}\">"));
        svg::inline(&found, &stretch, WIDTH, page);
        page.text("</a>\n");
    }
}

/// The same picture alone, larger, of a week.
struct Link<'a> {
    metric: &'a str,
    object: &'a [u8],
}

impl fmt::Display for Link<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "/graph/{}.svg?since=7d&amp;width=1000&amp;object=", self.metric)?;
        self.object.iter().try_for_each(|byte| match byte {
            plain if plain.is_ascii_alphanumeric() => fmt::Write::write_char(out, char::from(*plain)),
            other => write!(out, "%{other:02X}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_carries_any_name() {
        let link = Link { metric: "filesystem.avail", object: b"/a \"b\"&<c>" };
        let expect = "/graph/filesystem.avail.svg?since=7d&amp;width=1000&amp;object=%2Fa%20%22b%22%26%3Cc%3E";
        assert_eq!(link.to_string(), expect);
    }
}
