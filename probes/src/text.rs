//! Numbers and words out of kernel text, as bytes: no UTF-8 check, no copy, no allocation.

/// The complete lines of a text with their numbers from 1. A last line without its newline is not given.
pub fn lines(text: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    (1..)
        .zip(text.split_inclusive(|byte| *byte == b'\n'))
        .filter_map(|(number, line)| Some((number, line.strip_suffix(b"\n")?)))
}

/// The blank-separated words of a line.
#[derive(Clone)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub fn new(line: &'a [u8]) -> Self {
        Self(line)
    }

    /// The next word as a whole number; none when there is none or when it is anything else.
    pub fn number(&mut self) -> Option<u64> {
        Cursor::new(self.next()?).whole_number()
    }

    /// What has not been taken yet, without leading blanks.
    pub fn rest(&self) -> &'a [u8] {
        let start = self.0.iter().position(|byte| !is_blank(*byte)).unwrap_or(self.0.len());
        self.0.get(start..).unwrap_or_default()
    }
}

/// Nearly every byte of a kernel text is above the blank, and is told by one comparison.
fn is_blank(byte: u8) -> bool {
    byte <= b' ' && byte.is_ascii_whitespace()
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.rest();
        if text.is_empty() {
            return None;
        }
        let end = text.iter().position(|byte| is_blank(*byte)).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.0 = rest;
        Some(word)
    }
}

/// A place in a text, for formats that are not just words.
#[derive(Clone)]
pub struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Self(text)
    }

    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Steps over exactly this text.
    pub fn skip(&mut self, text: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    /// The digits here, as a number; none without digits or beyond 64 bits.
    pub fn number(&mut self) -> Option<u64> {
        let end = self.0.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at(end);
        if digits.is_empty() {
            return None;
        }
        let mut value: u64 = 0;
        for digit in digits {
            value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        }
        self.0 = rest;
        Some(value)
    }

    /// A number that ends where the text ends.
    pub fn whole_number(mut self) -> Option<u64> {
        let value = self.number()?;
        self.0.is_empty().then_some(value)
    }

    /// A decimal fraction that ends where the text ends: `0.52`.
    pub fn whole_decimal(self) -> Option<f64> {
        if !self.0.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
            return None;
        }
        std::str::from_utf8(self.0).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_its_newline_is_not_given() {
        let given: Vec<_> = lines(b"a 1\nb 2\nc").collect();
        assert_eq!(given, [(1, &b"a 1"[..]), (2, &b"b 2"[..])]);
    }

    #[test]
    fn a_number_is_whole_or_none() {
        for (text, expect) in
            [("12", Some(12)), ("", None), ("12a", None), ("-1", None), ("18446744073709551616", None), ("+1", None)]
        {
            assert_eq!(Fields::new(text.as_bytes()).number(), expect, "{text}");
        }
    }

    #[test]
    fn a_decimal_takes_no_sign_exponent_or_word() {
        for (text, expect) in
            [("0.52", Some(0.52)), ("7", Some(7.0)), ("1e9", None), ("nan", None), ("-1", None), ("", None)]
        {
            assert_eq!(Cursor::new(text.as_bytes()).whole_decimal(), expect, "{text}");
        }
    }
}
