//! What a client takes, by its `Accept` and `Accept-Encoding`: lists of names, each with a weight of which zero means "not that".
//!
//! ```text
//! Accept: application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1
//! Accept-Encoding: br, gzip;q=0, *
//! ```
//!
//! A header may come in several lines, which are one list. What is named counts before what a star stands for.

use crate::export::openmetrics::Format;

/// Thousandths, as precise as a weight can be.
const WHOLE: u16 = 1000;

/// What was heard: of each the largest weight, none where it was not named.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    openmetrics: Option<u16>,
    plain: Option<u16>,
    any_type: Option<u16>,
    gzip: Option<u16>,
    any_coding: Option<u16>,
    has_codings: bool,
}

/// Whether the client can unpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// It did not say, which leaves the choice to us.
    Unsaid,
    Gzip,
    None,
}

impl Taken {
    /// Hears one line of `Accept`.
    pub fn types(&mut self, list: &[u8]) {
        self.openmetrics = self.openmetrics.max(heaviest(list, &["application/openmetrics-text"]));
        self.plain = self.plain.max(heaviest(list, &["text/plain"]));
        self.any_type = self.any_type.max(heaviest(list, &["text/*", "*/*"]));
    }

    /// Hears one line of `Accept-Encoding`.
    pub fn codings(&mut self, list: &[u8]) {
        self.has_codings = true;
        self.gzip = self.gzip.max(heaviest(list, &["gzip", "x-gzip"]));
        self.any_coding = self.any_coding.max(heaviest(list, &["*"]));
    }

    /// OpenMetrics for who names it and likes nothing better.
    pub fn format(self) -> Format {
        let plain = self.plain.or(self.any_type).unwrap_or(0);
        match self.openmetrics {
            Some(weight) if weight > 0 && weight >= plain => Format::OpenMetrics,
            _ => Format::Text,
        }
    }

    pub fn packing(self) -> Packing {
        match self.gzip.or(self.any_coding) {
            Some(weight) if weight > 0 => Packing::Gzip,
            _ if self.has_codings => Packing::None,
            _ => Packing::Unsaid,
        }
    }
}

/// The largest weight that a list gives one of these names.
fn heaviest(list: &[u8], names: &[&str]) -> Option<u16> {
    let parts = list.split(|byte| *byte == b',').map(weighed);
    let named = |name: &[u8]| names.iter().any(|wanted| name.eq_ignore_ascii_case(wanted.as_bytes()));
    parts.filter(|(name, _)| named(name)).map(|(_, weight)| weight).max()
}

/// A name and its weight; one that is not said, or is no number, is whole.
fn weighed(part: &[u8]) -> (&[u8], u16) {
    let mut words = part.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let name = words.next().unwrap_or_default();
    let said = words.find_map(|word| word.strip_prefix(b"q=").or_else(|| word.strip_prefix(b"Q=")));
    (name, said.map_or(WHOLE, weight))
}

fn weight(text: &[u8]) -> u16 {
    let Some(rest) = text.strip_prefix(b"0") else { return WHOLE };
    let digits = rest.strip_prefix(b".").unwrap_or_default().iter().chain(b"000").take(3);
    digits.fold(0, |sum, digit| sum * 10 + u16::from(digit.wrapping_sub(b'0').min(9)))
}
