//! A screen of our own for as long as something is shown live: no scrolling, no flicker, and everything as it was afterwards.
//!
//! A frame is one write, and of its lines only those that are not there already; after a change of size, all of them.

use std::cell::RefCell;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use crate::sys::terminal::{Key, Keyboard};

/// The alternate screen and the keyboard, until dropped.
pub struct Live {
    keyboard: Keyboard,
    shown: RefCell<Shown>,
}

/// What stands on the screen: a line for each of its lines, and how many columns it has.
#[derive(Default)]
struct Shown {
    columns: usize,
    lines: Vec<String>,
}

impl Live {
    pub fn begin() -> io::Result<Self> {
        let live = Self { keyboard: Keyboard::take()?, shown: RefCell::default() };
        write(b"\x1b[?1049h\x1b[?25l")?;
        Ok(live)
    }

    /// Shows a page on a screen of so many columns and lines; lines beyond the height are left out, and the last is the footer's.
    pub fn show(&self, page: &str, footer: &str, (columns, height): (usize, usize)) {
        let new = Shown { columns, lines: lines(page, footer, height) };
        let frame = frame(&self.shown.replace(Shown::default()), &new);
        if !frame.is_empty() {
            // A terminal that is gone is noticed at the keyboard.
            let _ = write(frame.as_bytes());
        }
        self.shown.replace(new);
    }

    /// Waits for a key, no longer than told. Control and L, as everywhere, is for a screen that somebody else has written on.
    pub fn key(&self, within: Duration) -> io::Result<Key> {
        let key = self.keyboard.wait(within)?;
        if key == Key::Byte(0x0c) {
            self.shown.replace(Shown::default());
        }
        Ok(key)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = write(b"\x1b[?25h\x1b[?1049l");
    }
}

/// Past the buffer of standard output, which would cut a frame at its last line.
fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = std::fs::File::from(io::stdout().as_fd().try_clone_to_owned()?);
    out.write_all(bytes)
}

/// A screen full.
fn lines(page: &str, footer: &str, height: usize) -> Vec<String> {
    let rows = height.saturating_sub(1);
    let mut lines: Vec<String> = page.lines().take(rows).map(str::to_owned).collect();
    lines.resize(rows, String::new());
    lines.push(format!("\x1b[2m{footer}\x1b[0m"));
    lines
}

/// What turns one screen into the next.
fn frame(before: &Shown, new: &Shown) -> String {
    let is_another = before.columns != new.columns || before.lines.len() != new.lines.len();
    let mut frame = String::new();
    for (row, line) in (1..).zip(&new.lines) {
        if is_another || before.lines.get(row - 1) != Some(line) {
            frame.push_str(&format!("\x1b[{row};1H{line}\x1b[K"));
        }
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(page: &str, size: (usize, usize)) -> Shown {
        Shown { columns: size.0, lines: lines(page, "q quits", size.1) }
    }

    #[test]
    fn a_frame_never_scrolls_and_draws_what_is_new() {
        let one = shown("one\ntwo\nthree\n", (80, 3));
        let first = "\x1b[1;1Hone\x1b[K\x1b[2;1Htwo\x1b[K\x1b[3;1H\x1b[2mq quits\x1b[0m\x1b[K";
        assert_eq!(frame(&Shown::default(), &one), first);
        assert_eq!(frame(&one, &one), "", "nothing is new");
        assert_eq!(frame(&one, &shown("one\n2\n", (80, 3))), "\x1b[2;1H2\x1b[K");
        assert_eq!(frame(&one, &shown("one", (80, 3))), "\x1b[2;1H\x1b[K", "what is gone is cleared");
        assert_eq!(frame(&one, &shown("one\ntwo\nthree\n", (79, 3))), first, "another screen is drawn whole");
        assert!(!first.contains('\n') && !first.contains("\x1b[2J"));
    }
}
