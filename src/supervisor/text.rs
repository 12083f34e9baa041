//! Reasons for people, of bounded length: what does not fit is cut, never refused.

use std::fmt::{self, Write};
use std::time::Duration;

/// A sentence about a service. Its length is a byte, so that a result that carries one stays below 128.
pub type Text = heapless::String<120, u8>;

/// Formats into a bounded text.
pub fn text(arguments: fmt::Arguments<'_>) -> Text {
    let mut clip = Clip(Text::new());
    // Clip never refuses; a Display that does leaves what it wrote so far.
    let _ = clip.write_fmt(arguments);
    clip.0
}

struct Clip(Text);

impl Write for Clip {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        for letter in piece.chars() {
            if self.0.push(letter).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// A length of time as a person says it: `120 ms`, `3.2 s`, `45 m`, `2 h`, `9 d`.
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0 => write!(out, "{} ms", self.0.as_millis()),
            1..=59 if self.0.subsec_millis() < 100 => write!(out, "{seconds} s"),
            1..=59 => write!(out, "{seconds}.{} s", self.0.subsec_millis() / 100),
            60..=7199 => write!(out, "{} m", seconds / 60),
            7200..=172_799 => write!(out, "{} h", seconds / 3600),
            _ => write!(out, "{} d", seconds / 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_letters() {
        let long = "é".repeat(200);
        let cut = text(format_args!("{long}"));
        assert_eq!(cut.len(), 120);
        assert!(cut.chars().all(|letter| letter == 'é'));
    }

    #[test]
    fn a_span_is_said_in_its_largest_unit() {
        for (millis, expect) in
            [(7, "7 ms"), (3200, "3.2 s"), (2000, "2 s"), (90_000, "1 m"), (7_200_000, "2 h"), (172_800_000, "2 d")]
        {
            assert_eq!(Span(Duration::from_millis(millis)).to_string(), expect);
        }
    }
}
