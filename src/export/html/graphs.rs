//! The place of the graphs. The script fills it; without one, pictures of the last hours stand there, each a request of its own.

use std::fmt;

use crate::export::{Page, disk};
use crate::store::Readings;

/// Wide enough to be read, narrow enough for a phone.
const WIDTH: u32 = 320;

/// File systems with a picture.
const DISKS: usize = 4;

/// Of the host as a whole.
const HOST: &[&str] = &["load.one", "cpu.user", "cpu.iowait", "memory.available"];

pub fn write(readings: Readings<'_>, page: &mut Page) {
    page.text("<section id=\"graphs\" aria-label=\"History\"><h2>History</h2>\n<noscript>");
    for metric in HOST {
        picture((metric, b""), page);
    }
    for object in disk::notable(readings).take(DISKS) {
        picture(("filesystem.avail", readings.view.part(object, 0)), page);
    }
    page.text("</noscript></section>\n");
}

/// A picture, and behind it the same of a week, larger.
fn picture((metric, object): (&str, &[u8]), page: &mut Page) {
    let (small, large) = (Link { metric, object, more: "since=6h" }, Link { metric, object, more: "since=7d" });
    page.put(format_args!(
        "<a href=\"{large}&amp;width=1000\"><img src=\"{small}&amp;width={WIDTH}\" width=\"{WIDTH}\" height=\"96\" \
         loading=\"lazy\" alt=\"{metric}\"></a>\n"
    ));
}

struct Link<'a> {
    metric: &'a str,
    object: &'a [u8],
    more: &'a str,
}

impl fmt::Display for Link<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "/graph/{}.svg?{}&amp;object=", self.metric, self.more)?;
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
        let link = Link { metric: "filesystem.avail", object: b"/a \"b\"&<c>", more: "since=7d" };
        let expect = "/graph/filesystem.avail.svg?since=7d&amp;object=%2Fa%20%22b%22%26%3Cc%3E";
        assert_eq!(link.to_string(), expect);
    }
}
