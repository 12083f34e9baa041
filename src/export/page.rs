//! Where an answer is written: a buffer that is used again and again and never grows beyond its bound.
//!
//! What does not fit is not half there: the page is then marked as overflown, and its owner sends something shorter.

use std::fmt;
use std::io;

/// An answer under construction.
#[derive(Debug)]
pub struct Page {
    bytes: Vec<u8>,
    max: usize,
    overflown: bool,
}

impl Page {
    /// The largest answer: all that 300 CPUs and 500 other objects have to say as OpenMetrics.
    pub const LIMIT: usize = 1 << 20;

    /// An empty page of at most `max` bytes. Nothing is reserved before the first write.
    pub fn new(max: usize) -> Self {
        Self { bytes: Vec::new(), max, overflown: false }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether something did not fit.
    pub fn is_overflown(&self) -> bool {
        self.overflown
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.overflown = false;
    }

    /// Takes back what was written after the page had `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
        self.overflown = false;
    }

    /// Takes the bytes away and leaves an empty page.
    pub fn take(&mut self) -> Vec<u8> {
        self.overflown = false;
        std::mem::take(&mut self.bytes)
    }

    /// Gives memory back when more than `keep` bytes are reserved.
    pub fn shrink(&mut self, keep: usize) {
        if self.bytes.capacity() > keep {
            self.bytes = Vec::new();
        }
    }

    /// Appends bytes, all or none.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.overflown || self.bytes.len() + bytes.len() > self.max {
            self.overflown = true;
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    pub fn text(&mut self, text: &str) {
        self.push(text.as_bytes());
    }

    /// Appends formatted text; what does not fit marks the page.
    pub fn put(&mut self, text: fmt::Arguments<'_>) {
        let _ = fmt::Write::write_fmt(self, text);
    }

    /// Puts bytes in at a place that has been written already.
    pub fn insert(&mut self, place: usize, bytes: &[u8]) {
        if self.overflown || self.bytes.len() + bytes.len() > self.max || place > self.bytes.len() {
            self.overflown = true;
        } else {
            self.bytes.splice(place..place, bytes.iter().copied());
        }
    }
}

impl fmt::Write for Page {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        if self.overflown { Err(fmt::Error) } else { Ok(()) }
    }
}

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        if self.overflown { Err(io::ErrorKind::WriteZero.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_not_half_there() {
        let mut page = Page::new(8);
        page.text("12345");
        let long = String::from("789");
        page.put(format_args!("6{long}"));
        assert_eq!((page.bytes(), page.is_overflown()), (&b"123456"[..], true));
        page.text("x");
        assert_eq!(page.len(), 6, "nothing follows a gap");
        page.clear();
        page.text("12345678");
        assert!(!page.is_overflown());
    }

    #[test]
    fn bytes_are_put_in_between() {
        let mut page = Page::new(8);
        page.text("ad");
        page.insert(1, b"bc");
        assert_eq!(page.bytes(), b"abcd");
        page.insert(9, b"x");
        assert!(page.is_overflown());
    }
}
