//! Regular expressions as settings of Munin's plugins and access lists use them: `^/run/user`, `^192\.0\.2\.\d+$`, `(eth|wlan)0`.
//!
//! Literals, `.`, `[a-z]`, `[^x]`, `\d \w \s` and their opposites, `^ $`, groups, `|`, `* + ?`. Anything else is refused when it is
//! read (counts in braces, look-around, references), so that no expression means something else here than it does there. A match
//! may take so many steps and no more; one that takes longer is no match.

use std::fmt;

/// Steps of one search: an ordinary one takes a few for each byte.
const STEPS: u32 = 50_000;
/// How deep groups may be nested.
const DEPTH: usize = 20;

/// An expression that can be searched for.
#[derive(Debug)]
pub struct Regex(Choice);

/// Why a text is no expression of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegexError {
    Unsupported(u8),
    Unfinished,
    TooDeep,
}

impl fmt::Display for RegexError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(byte) => write!(out, "`{}` is not understood here", byte.escape_ascii()),
            Self::Unfinished => out.write_str("the end is missing"),
            Self::TooDeep => out.write_str("groups are nested too deeply"),
        }
    }
}

impl std::error::Error for RegexError {}

type Choice = Vec<Vec<Node>>;

#[derive(Debug)]
enum Node {
    Start,
    End,
    One(Set),
    Group(Choice),
    Repeat { what: Box<Node>, least: u8, most: usize },
}

/// A set of bytes.
#[derive(Debug, Default)]
struct Set {
    is_negated: bool,
    ranges: Vec<(u8, u8)>,
}

impl Set {
    fn of(byte: u8) -> Self {
        Self { is_negated: false, ranges: vec![(byte, byte)] }
    }

    fn has(&self, byte: u8) -> bool {
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte)) != self.is_negated
    }

    /// What stands behind a backslash.
    fn escaped(byte: u8) -> Result<Self, RegexError> {
        let ranges = match byte.to_ascii_lowercase() {
            b'd' => vec![(b'0', b'9')],
            b'w' => vec![(b'0', b'9'), (b'A', b'Z'), (b'_', b'_'), (b'a', b'z')],
            b's' => vec![(b'\t', b'\r'), (b' ', b' ')],
            other if other.is_ascii_alphanumeric() => return Err(RegexError::Unsupported(byte)),
            _ => return Ok(Self::of(byte)),
        };
        Ok(Self { is_negated: byte.is_ascii_uppercase(), ranges })
    }
}

/// The rest of a text that is being read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn take(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn choice(&mut self, depth: usize) -> Result<Choice, RegexError> {
        if depth > DEPTH {
            return Err(RegexError::TooDeep);
        }
        let mut choice = vec![Vec::new()];
        while let Some(byte) = self.peek().filter(|byte| *byte != b')') {
            self.take();
            let node = match byte {
                b'|' => {
                    choice.push(Vec::new());
                    continue;
                }
                b'^' => Node::Start,
                b'$' => Node::End,
                b'.' => Node::One(Set { is_negated: true, ranges: vec![(b'\n', b'\n')] }),
                b'[' => Node::One(self.set()?),
                b'\\' => Node::One(Set::escaped(self.take().ok_or(RegexError::Unfinished)?)?),
                b'(' => self.group(depth)?,
                b'*' | b'+' | b'?' | b'{' => return Err(RegexError::Unsupported(byte)),
                literal => Node::One(Set::of(literal)),
            };
            let node = self.repeated(node)?;
            if let Some(branch) = choice.last_mut() {
                branch.push(node);
            }
        }
        Ok(choice)
    }

    fn group(&mut self, depth: usize) -> Result<Node, RegexError> {
        if self.peek() == Some(b'?') {
            // Only the group that is not remembered.
            self.take();
            match self.take() {
                Some(b':') => {}
                Some(other) => return Err(RegexError::Unsupported(other)),
                None => return Err(RegexError::Unfinished),
            }
        }
        let choice = self.choice(depth + 1)?;
        self.take().map(|_| Node::Group(choice)).ok_or(RegexError::Unfinished)
    }

    fn repeated(&mut self, node: Node) -> Result<Node, RegexError> {
        let (least, most) = match self.peek() {
            Some(b'*') => (0, usize::MAX),
            Some(b'+') => (1, usize::MAX),
            Some(b'?') => (0, 1),
            _ => return Ok(node),
        };
        self.take();
        match self.peek() {
            Some(byte @ (b'*' | b'+' | b'?' | b'{')) => Err(RegexError::Unsupported(byte)),
            _ => Ok(Node::Repeat { what: Box::new(node), least, most }),
        }
    }

    fn set(&mut self) -> Result<Set, RegexError> {
        let mut set = Set::default();
        if self.peek() == Some(b'^') {
            self.take();
            set.is_negated = true;
        }
        let mut is_first = true;
        loop {
            let low = match self.take().ok_or(RegexError::Unfinished)? {
                b']' if !is_first => return Ok(set),
                b'[' if self.peek() == Some(b':') => return Err(RegexError::Unsupported(b'[')),
                b'\\' => {
                    let inside = Set::escaped(self.take().ok_or(RegexError::Unfinished)?)?;
                    match inside.ranges.as_slice() {
                        _ if inside.is_negated => return Err(RegexError::Unsupported(b'\\')),
                        [(low, high)] if low == high => *low,
                        _ => {
                            set.ranges.extend(inside.ranges);
                            is_first = false;
                            continue;
                        }
                    }
                }
                other => other,
            };
            is_first = false;
            let is_range = self.peek() == Some(b'-') && self.0.get(1).is_some_and(|byte| *byte != b']');
            let high = if is_range {
                self.take();
                self.take().filter(|high| *high >= low && *high != b'\\').ok_or(RegexError::Unsupported(b'-'))?
            } else {
                low
            };
            set.ranges.push((low, high));
        }
    }
}

/// A search under way.
struct Search<'a> {
    text: &'a [u8],
    steps: u32,
}

/// What has to match behind a place.
type Then<'t> = &'t mut dyn FnMut(&mut Search<'_>, usize) -> bool;

impl Search<'_> {
    fn choice(&mut self, choice: &[Vec<Node>], at: usize, then: Then<'_>) -> bool {
        choice.iter().any(|branch| self.sequence(branch, at, then))
    }

    fn sequence(&mut self, nodes: &[Node], at: usize, then: Then<'_>) -> bool {
        let Some(left) = self.steps.checked_sub(1) else { return false };
        self.steps = left;
        let Some((node, rest)) = nodes.split_first() else { return then(self, at) };
        match node {
            Node::Start => at == 0 && self.sequence(rest, at, then),
            Node::End => at == self.text.len() && self.sequence(rest, at, then),
            Node::One(set) => self.text.get(at).is_some_and(|byte| set.has(*byte)) && self.sequence(rest, at + 1, then),
            Node::Group(choice) => self.choice(choice, at, &mut |search, at| search.sequence(rest, at, then)),
            Node::Repeat { what, least, most } => match what.as_ref() {
                Node::One(set) => self.run(set, (usize::from(*least), *most), (rest, at), then),
                what => self.again(what, (usize::from(*least), *most), (rest, at), then),
            },
        }
    }

    /// So many bytes of a set: as many as there are, then fewer.
    fn run(&mut self, set: &Set, (least, most): (usize, usize), (rest, at): (&[Node], usize), then: Then<'_>) -> bool {
        let behind = self.text.get(at..).unwrap_or_default();
        let there = behind.iter().take(most).take_while(|byte| set.has(**byte)).count();
        (least..=there).rev().any(|count| self.sequence(rest, at + count, then))
    }

    fn again(
        &mut self,
        what: &Node,
        (least, most): (usize, usize),
        (rest, at): (&[Node], usize),
        then: Then<'_>,
    ) -> bool {
        let more = most > 0
            && self.sequence(std::slice::from_ref(what), at, &mut |search, next| {
                // An empty turn would go on for ever.
                next > at && search.again(what, (least.saturating_sub(1), most - 1), (rest, next), then)
            });
        more || (least == 0 && self.sequence(rest, at, then))
    }
}

impl Regex {
    pub fn new(text: &str) -> Result<Self, RegexError> {
        let mut rest = Rest(text.as_bytes());
        let choice = rest.choice(0)?;
        if rest.0.is_empty() { Ok(Self(choice)) } else { Err(RegexError::Unsupported(b')')) }
    }

    /// Whether it occurs anywhere in the text.
    pub fn is_in(&self, text: &[u8]) -> bool {
        let mut search = Search { text, steps: STEPS };
        (0..=text.len()).any(|at| search.choice(&self.0, at, &mut |_, _| true))
    }

    /// Whether it is the text from one end to the other.
    pub fn is_whole(&self, text: &[u8]) -> bool {
        let mut search = Search { text, steps: STEPS };
        search.choice(&self.0, 0, &mut |search, at| at == search.text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_found_as_perl_finds_them() {
        for (expression, text, expect) in [
            ("^/run/user", "/run/user/1000", true),
            ("^/run/user", "/x/run/user", false),
            ("data", "/srv/data 1", true),
            ("", "x", true),
            ("^$", "", true),
            ("^$", "x", false),
            ("a.c", "xabcx", true),
            ("a.c", "a\nc", false),
            ("^192\\.0\\.2\\.\\d+$", "192.0.2.77", true),
            ("^192\\.0\\.2\\.\\d+$", "192.0.2.7x", false),
            ("^192\\.0\\.2\\.1$", "192x0.2.1", false),
            ("(eth|wlan)[0-3]", "wlan2", true),
            ("(eth|wlan)[0-3]", "wlan7", false),
            ("^(?:ab)+$", "ababab", true),
            ("^(?:ab)+$", "ababa", false),
            ("^(a|ab)(c|bcd)$", "abcd", true),
            ("x*", "", true),
            ("^x?y$", "xxy", false),
            ("[^/]$", "/a/", false),
            ("[]x]", "]", true),
            ("[a-]", "-", true),
            ("[\\d_]+$", "a_9", true),
            ("\\S", " ", false),
            ("^(a*)*$", "aaaa", true),
            ("a|", "", true),
        ] {
            let regex = Regex::new(expression).expect("well-formed");
            assert_eq!(regex.is_in(text.as_bytes()), expect, "{expression} in {text:?}");
        }
        assert!(Regex::new("127").is_ok_and(|regex| !regex.is_whole(b"127.0.0.1") && regex.is_whole(b"127")));
        assert!(Regex::new("1|12").is_ok_and(|regex| regex.is_whole(b"12")));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in
            ["(", ")", "[", "[a", "\\", "*", "a**", "a{2}", "(?=x)", "(?", "\\1", "\\b", "[[:alpha:]]", "[z-a]", "a+?"]
        {
            assert!(Regex::new(text).is_err(), "{text}");
        }
        assert_eq!(Regex::new(&"(".repeat(100_000)).err(), Some(RegexError::TooDeep));
        let sample = "^(?:a|[^b-d\\d]*)x+$";
        for end in 0..sample.len() {
            let _ = Regex::new(&sample[..end]);
        }
    }

    #[test]
    fn a_search_ends_whatever_is_searched_for() {
        let regex = Regex::new("^(a*)*(a*)*(a|aa)+b$").expect("well-formed");
        assert!(!regex.is_in(&[b'a'; 4000]));
    }
}
