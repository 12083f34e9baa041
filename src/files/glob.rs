//! Patterns of names: `*` any letters, `?` one, `[a-z]` one of these, `[!0-9]` one of the others. Pure; time is at most the product
//! of both lengths.

/// Whether any of the patterns fits; no pattern at all fits everything.
pub fn any(patterns: &[String], name: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| fits(pattern, name))
}

fn fits(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut read) = (0, 0);
    // Behind the last star, and how far it has eaten.
    let mut star: Option<(usize, usize)> = None;
    loop {
        let Some(letter) = name.get(read).copied() else {
            return pattern.get(at..).is_some_and(|rest| rest.iter().all(|letter| *letter == '*'));
        };
        let step = match pattern.get(at) {
            Some('*') => {
                star = Some((at + 1, read));
                at += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => set(pattern.get(at..).unwrap_or_default(), letter),
            Some(other) if *other == letter => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(width), _) => (at, read) = (at + width, read + 1),
            (None, Some((behind, eaten))) => {
                star = Some((behind, eaten + 1));
                (at, read) = (behind, eaten + 1);
            }
            (None, None) => return false,
        }
    }
}

/// How long the set at the beginning of `pattern` is, when it has this letter.
fn set(pattern: &[char], letter: char) -> Option<usize> {
    let is_negated = matches!(pattern.get(1), Some('!' | '^'));
    let start = 1 + usize::from(is_negated);
    // A bracket that comes first is one of the letters.
    let end = start + 1 + pattern.get(start + 1..)?.iter().position(|letter| *letter == ']')?;
    let inside = pattern.get(start..end)?;
    let mut has = false;
    let mut place = 0;
    while let Some(first) = inside.get(place) {
        match (inside.get(place + 1), inside.get(place + 2)) {
            (Some('-'), Some(last)) => {
                has |= (*first..=*last).contains(&letter);
                place += 3;
            }
            _ => {
                has |= *first == letter;
                place += 1;
            }
        }
    }
    (has != is_negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_what_a_shell_says_it_does() {
        for (pattern, name, expect) in [
            ("*", "", true),
            ("*.gz", "a.gz", true),
            ("*.gz", ".gz", true),
            ("*.gz", "a.gz.1", false),
            ("*.[0-9]", "log.1", true),
            ("*.[0-9]", "log.10", false),
            ("*.[0-9]*", "log.10", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[!a]b", "cb", true),
            ("[!a]b", "ab", false),
            ("[]x]", "]", true),
            ("[a-]", "-", true),
            ("[", "[", false),
            ("", "", true),
            ("", "a", false),
            ("é*", "été", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
        ] {
            assert_eq!(fits(pattern, name), expect, "{pattern} {name}");
        }
        let (pattern, name) = ("a*".repeat(100) + "b", "a".repeat(250));
        assert!(!fits(&pattern, &name), "and it comes to an end");
        assert!(any(&[], "x") && !any(&["y".into(), "z*".into()], "x"));
    }
}
