//! What a pass wants done, in a buffer that is used again: nothing is allocated once it has grown to its size.

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start the command of this promise; tell its end with `Agent::command_done`.
    Run { promise: usize },
    /// Tell this: `text` is found with [`Actions::text`]. What came of handing it on is told with `Agent::command_done`.
    Report {
        promise: usize,
        text: TextId,
        /// It says that something is over.
        is_over: bool,
    },
    /// Have the files of this promise looked after; tell what came of it with `Agent::tended`.
    Tend { promise: usize },
    /// Tell that this promise would act if its mode let it, and what a report would say.
    Would { promise: usize, text: Option<TextId> },
    /// Neither start nor stop this service.
    Hold { service: usize },
    /// Take care of it again.
    Allow { service: usize },
}

/// A text of this pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextId {
    start: usize,
    end: usize,
}

/// Bytes of all texts of one pass; what does not fit is cut.
const TEXT: usize = 4 << 10;
/// The longest single text.
const LONGEST: usize = 512;

/// The actions of one pass.
pub struct Actions {
    list: Vec<Action>,
    text: String,
}

impl Actions {
    /// Room for a policy of so many promises: each has at most two actions in a pass.
    pub fn new(promises: usize) -> Self {
        Self { list: Vec::with_capacity(2 * promises), text: String::with_capacity(TEXT) }
    }

    pub fn clear(&mut self) {
        self.list.clear();
        self.text.clear();
    }

    pub fn as_slice(&self) -> &[Action] {
        &self.list
    }

    pub fn text(&self, id: TextId) -> &str {
        self.text.get(id.start..id.end).unwrap_or("")
    }

    pub(super) fn push(&mut self, action: Action) {
        self.list.push(action);
    }

    /// Lets `write` make a text; control characters become blanks, so that a report is one line.
    pub(super) fn write(&mut self, write: impl FnOnce(&mut Line<'_>)) -> TextId {
        let start = self.text.len();
        let room = LONGEST.min(TEXT.saturating_sub(start));
        write(&mut Line { text: &mut self.text, end: start + room });
        TextId { start, end: self.text.len() }
    }
}

/// A text with an end, to be written to.
pub struct Line<'a> {
    text: &'a mut String,
    end: usize,
}

impl std::fmt::Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for letter in text.chars() {
            if self.text.len() + letter.len_utf8() > self.end {
                return Ok(());
            }
            self.text.push(if letter.is_control() { ' ' } else { letter });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn texts_are_one_line_and_bounded() {
        let mut actions = Actions::new(1);
        let first = actions.write(|line| {
            let _ = line.write_str("a\nb");
        });
        let long = actions.write(|line| {
            let _ = line.write_str(&"é".repeat(2000));
        });
        assert_eq!(actions.text(first), "a b");
        assert_eq!(actions.text(long).len(), LONGEST);
        for _ in 0..20 {
            actions.write(|line| {
                let _ = line.write_str(&"x".repeat(2000));
            });
        }
        assert_eq!(actions.text.len(), TEXT);
        assert_eq!(actions.text.capacity(), TEXT);
    }
}
