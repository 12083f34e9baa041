//! A screen of our own for as long as something is shown live: no scrolling, no flicker, and everything as it was afterwards.
//!
//! A frame is one write: each line over the old one and cleared to its end, then the rest of the screen.

use std::io::{self, Write};
use std::time::Duration;

use crate::sys::terminal::{Key, Keyboard};

/// The alternate screen and the keyboard, until dropped.
pub struct Live {
    keyboard: Keyboard,
}

impl Live {
    pub fn begin() -> io::Result<Self> {
        let live = Self { keyboard: Keyboard::take()? };
        write(b"\x1b[?1049h\x1b[?25l")?;
        Ok(live)
    }

    /// Shows a page; lines beyond the height are left out, and the last line is the footer's.
    pub fn show(&self, page: &str, footer: &str, height: usize) {
        // A terminal that is gone is noticed at the keyboard.
        let _ = write(frame(page, footer, height).as_bytes());
    }

    /// Waits for a key, no longer than told.
    pub fn key(&self, within: Duration) -> io::Result<Key> {
        self.keyboard.wait(within)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = write(b"\x1b[?25h\x1b[?1049l");
    }
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// A page as it is drawn over the last one.
fn frame(page: &str, footer: &str, height: usize) -> String {
    let mut frame = String::from("\x1b[H");
    for line in page.lines().take(height.saturating_sub(1)) {
        frame.push_str(line);
        frame.push_str("\x1b[K\r\n");
    }
    frame.push_str(&format!("\x1b[J\x1b[{height};1H\x1b[2m{footer}\x1b[0m\x1b[K"));
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_never_scrolls() {
        let frame = frame("one\ntwo\nthree\n", "q quits", 3);
        assert_eq!(frame, "\x1b[Hone\x1b[K\r\ntwo\x1b[K\r\n\x1b[J\x1b[3;1H\x1b[2mq quits\x1b[0m\x1b[K");
    }
}
