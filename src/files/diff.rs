//! What changed between two texts, as `diff -u` shows it, within bounds.
//!
//! Equal lines at both ends are put aside; of the rest the longest common lines are kept when it is small enough to compare
//! everything with everything, else it counts as changed as a whole. What is told never grows beyond the given number of bytes.

use std::borrow::Cow;

/// Lines of context around a change.
const CONTEXT: usize = 2;
/// Old times new lines that are compared each with each.
const CELLS: usize = 250_000;

/// One line of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Keep,
    Less,
    More,
}

/// The difference; empty when there is none. At most `room` bytes.
pub fn unified(old: &[u8], new: &[u8], room: usize) -> String {
    let (old, new) = (lines(old), lines(new));
    let same = |(one, other): &(&&[u8], &&[u8])| one == other;
    let head = old.iter().zip(&new).take_while(same).count();
    let rest = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(same).count();
    if head + tail == old.len() && head + tail == new.len() {
        return String::new();
    }
    let (from, to) = (head.saturating_sub(CONTEXT), CONTEXT.min(tail));
    let middle = |lines: &[&[u8]]| lines.len() - head - tail;
    let count = |lines: &[&[u8]]| middle(lines) + head - from + to;
    let mut out = Bounded { text: String::new(), room, left_out: 0 };
    out.line(&format!("@@ -{},{} +{},{} @@", from + 1, count(&old), from + 1, count(&new)));
    for line in old.iter().take(head).skip(from) {
        out.put(' ', line);
    }
    let part = |lines: &[&[u8]]| -> Vec<Vec<u8>> {
        lines.iter().skip(head).take(middle(lines)).map(|line| line.to_vec()).collect()
    };
    let (less, more) = (part(&old), part(&new));
    let (mut one, mut other) = (less.iter(), more.iter());
    for step in steps(&less, &more) {
        match step {
            Step::Keep => {
                let _ = other.next();
                one.next().into_iter().for_each(|line| out.put(' ', line));
            }
            Step::Less => one.next().into_iter().for_each(|line| out.put('-', line)),
            Step::More => other.next().into_iter().for_each(|line| out.put('+', line)),
        }
    }
    for line in old.iter().skip(old.len() - tail).take(to) {
        out.put(' ', line);
    }
    out.finish()
}

/// How much went and came.
pub fn count(diff: &str) -> String {
    let of = |sign: char| diff.lines().filter(|line| line.starts_with(sign)).count();
    format!("{} lines more, {} less", of('+'), of('-'))
}

/// The same in one line: what went and what came.
pub fn brief(diff: &str) -> String {
    let mut text = count(diff);
    for line in diff.lines().filter(|line| line.starts_with(['+', '-'])) {
        text.push_str("; ");
        text.push_str(line);
    }
    text
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

/// How to come from one list to the other, by the longest common lines.
fn steps(less: &[Vec<u8>], more: &[Vec<u8>]) -> Vec<Step> {
    if less.len().saturating_mul(more.len()) > CELLS {
        return [vec![Step::Less; less.len()], vec![Step::More; more.len()]].concat();
    }
    let width = more.len() + 1;
    // How many lines are common from here to both ends.
    let mut common = vec![0_u16; (less.len() + 1) * width];
    let at = |common: &[u16], row: usize, column: usize| common.get(row * width + column).copied().unwrap_or(0);
    for (row, one) in less.iter().enumerate().rev() {
        for (column, other) in more.iter().enumerate().rev() {
            let best = if one == other {
                at(&common, row + 1, column + 1).saturating_add(1)
            } else {
                at(&common, row + 1, column).max(at(&common, row, column + 1))
            };
            if let Some(cell) = common.get_mut(row * width + column) {
                *cell = best;
            }
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut steps = Vec::new();
    while row < less.len() || column < more.len() {
        let is_same = less.get(row).is_some() && less.get(row) == more.get(column);
        let (step, down, right) = if is_same {
            (Step::Keep, 1, 1)
        } else if column >= more.len()
            || (row < less.len() && at(&common, row + 1, column) >= at(&common, row, column + 1))
        {
            (Step::Less, 1, 0)
        } else {
            (Step::More, 0, 1)
        };
        steps.push(step);
        (row, column) = (row + down, column + right);
    }
    steps
}

/// A text that says how much of it is missing.
struct Bounded {
    text: String,
    room: usize,
    left_out: usize,
}

/// What the last line needs.
const TAIL: usize = 40;

impl Bounded {
    fn put(&mut self, sign: char, line: &[u8]) {
        let line: Cow<'_, str> = String::from_utf8_lossy(line);
        let ends = line.ends_with('\n');
        let shown: String = line.trim_end_matches('\n').chars().flat_map(shown).collect();
        self.line(&format!("{sign}{shown}{}", if ends { "" } else { "\\ no end of line" }));
    }

    fn line(&mut self, line: &str) {
        if self.left_out > 0 || self.text.len() + line.len() + 1 + TAIL > self.room {
            self.left_out += 1;
            return;
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn finish(mut self) -> String {
        if self.left_out > 0 {
            self.text.push_str(&format!("({} lines left out)\n", self.left_out));
        }
        self.text
    }
}

/// Nothing of a file reaches a terminal as a command to it.
fn shown(letter: char) -> impl Iterator<Item = char> {
    let (plain, escape) = match letter {
        '\t' => (Some(letter), None),
        _ if letter.is_control() => (None, Some(letter.escape_default())),
        _ => (Some(letter), None),
    };
    plain.into_iter().chain(escape.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_reads_as_diff_writes_it() {
        for (old, new, expect) in [
            ("a\n", "a\n", ""),
            ("", "a\n", "@@ -1,0 +1,1 @@\n+a\n"),
            ("a\n", "", "@@ -1,1 +1,0 @@\n-a\n"),
            ("a", "a\n", "@@ -1,1 +1,1 @@\n-a\\ no end of line\n+a\n"),
            ("1\n2\n3\n4\n5\n", "1\n2\n3\nx\n4\n5\n", "@@ -2,4 +2,5 @@\n 2\n 3\n+x\n 4\n 5\n"),
            ("1\na\n2\nb\n3\n", "1\nA\n2\nB\n3\n", "@@ -1,5 +1,5 @@\n 1\n-a\n+A\n 2\n-b\n+B\n 3\n"),
            ("x\r\n", "\u{1b}[2J\n", "@@ -1,1 +1,1 @@\n-x\\r\n+\\u{1b}[2J\n"),
        ] {
            assert_eq!(unified(old.as_bytes(), new.as_bytes(), 4096), expect, "{old:?} {new:?}");
        }
        assert_eq!(brief("@@ -1,1 +1,1 @@\n-a\n+b\n c\n"), "1 lines more, 1 less; -a; +b");
    }

    #[test]
    fn a_long_difference_says_what_it_leaves_out() {
        let old: String = (0..2000).map(|line| format!("{line}\n")).collect();
        let new: String = (0..2000).map(|line| format!("x{line}\n")).collect();
        for room in [0, 50, 500, 5000] {
            let diff = unified(old.as_bytes(), new.as_bytes(), room);
            assert!(diff.len() <= room.max(TAIL), "{} of {room}", diff.len());
            assert!(diff.ends_with("lines left out)\n"), "{diff}");
        }
    }
}
