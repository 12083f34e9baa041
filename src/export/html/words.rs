//! Text of the host, times and sizes as people read them.

use std::fmt::{self, Write as _};

/// Text from the host, safe inside elements and quoted attributes.
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for letter in chunk.valid().chars() {
                match letter {
                    '&' => out.write_str("&amp;")?,
                    '<' => out.write_str("&lt;")?,
                    '>' => out.write_str("&gt;")?,
                    '"' => out.write_str("&quot;")?,
                    '\'' => out.write_str("&#39;")?,
                    letter if letter.is_control() => out.write_char(char::REPLACEMENT_CHARACTER)?,
                    letter => out.write_char(letter)?,
                }
            }
            if !chunk.invalid().is_empty() {
                out.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

/// Bytes in the largest binary unit that leaves three digits at most.
pub struct Size(pub u64);

impl fmt::Display for Size {
    #[allow(clippy::cast_precision_loss)]
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0 as f64;
        for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
            if value < 1000.0 {
                let digits = usize::from(value < 10.0 && unit != "B");
                return write!(out, "{value:.digits$} {unit}");
            }
            value /= 1024.0;
        }
        write!(out, "{value:.1} PiB")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_the_host_is_escaped() {
        for (text, expect) in [
            ("<script>", "&lt;script&gt;"),
            ("a\"b'c&d", "a&quot;b&#39;c&amp;d"),
            ("a\u{1b}[1m\n", "a\u{fffd}[1m\u{fffd}"),
            ("ä", "ä"),
        ] {
            assert_eq!(Escaped(text.as_bytes()).to_string(), expect);
        }
        assert_eq!(Escaped(b"a\xffb").to_string(), "a\u{fffd}b");
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, expect) in
            [(0, "0 B"), (999, "999 B"), (1000, "1.0 KiB"), (10 << 20, "10 MiB"), (u64::MAX, "16384.0 PiB")]
        {
            assert_eq!(Size(bytes).to_string(), expect);
        }
    }
}
