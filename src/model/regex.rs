//! Regular expressions as settings of Munin's plugins and access lists use them: `^/run/user`, `^192\.0\.2\.\d+$`, `(eth|wlan)0`.
//!
//! The language is `regex-lite`'s: Perl's without look-around and references, which are refused when they are read. A search takes
//! time in proportion to the text, whatever the expression. What is compiled here may take `LARGEST` bytes and no more.

use regex_lite::{Error, RegexBuilder};

/// Bytes of a compiled expression; with more, `(a{900}){900}` is built before it is refused, in a process of 2 MB.
const LARGEST: usize = 256 << 10;

/// An expression that can be searched for.
#[derive(Debug)]
pub struct Regex(regex_lite::Regex);

impl Regex {
    pub fn new(text: &str) -> Result<Self, Error> {
        RegexBuilder::new(text).size_limit(LARGEST).build().map(Self)
    }

    /// One that is found only where it is the text from one end to the other.
    pub fn whole(text: &str) -> Result<Self, Error> {
        // Alone as well: `a)|(b` must not come to mean something else in our brackets.
        Self::new(text)?;
        Self::new(&format!("^(?:{text})$"))
    }

    /// Whether it occurs in the text. What is not UTF-8 matches as a replacement character.
    pub fn is_in(&self, text: &[u8]) -> bool {
        self.0.is_match(&String::from_utf8_lossy(text))
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
            ("^192\\.0\\.2\\.\\d{1,3}$", "192.0.2.7777", false),
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
            ("\\bsda\\b", "/dev/sda1", false),
            ("^[[:alpha:]]+$", "tmpfs", true),
        ] {
            let regex = Regex::new(expression).expect("well-formed");
            assert_eq!(regex.is_in(text.as_bytes()), expect, "{expression} in {text:?}");
        }
        assert!(Regex::new("^/srv/.$").is_ok_and(|regex| regex.is_in(b"/srv/\xff")));
    }

    #[test]
    fn a_whole_text_is_matched_from_end_to_end() {
        for (expression, text, expect) in [
            ("127", "127.0.0.1", false),
            ("127", "127", true),
            ("1|12", "12", true),
            ("^10\\.|^192\\.", "10.0.0.1", false),
            ("^10\\..*|^192\\..*", "192.0.2.1", true),
            ("127", "127\n", false),
        ] {
            let regex = Regex::whole(expression).expect("well-formed");
            assert_eq!(regex.is_in(text.as_bytes()), expect, "{expression} of {text:?}");
        }
        for text in ["a)|(b", ")|.*(", "a|b)$|.*|(?:", "a\\"] {
            assert!(Regex::whole(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in ["(", ")", "[", "[a", "\\", "*", "(?=x)", "(?", "\\1", "[z-a]", "a{", "(a{900}){900}"] {
            assert!(Regex::new(text).is_err(), "{text}");
        }
        assert!(Regex::new(&"(".repeat(100_000)).is_err());
        let sample = "^(?:a|[^b-d\\d]*)x{1,3}$";
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
