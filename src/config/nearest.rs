//! The valid name that a wrong one was probably meant to be.

/// Longer words are not compared; nobody mistypes them into something near.
const LONGEST: usize = 64;

/// The candidate with the smallest edit distance, the first of them, when that is at most a third of the word (and at least one).
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = folded(word);
    if word.len() > LONGEST {
        return None;
    }
    let mut allowed = (word.len() / 3).max(1);
    let mut found = None;
    for candidate in candidates {
        // There may be thousands, and each letter that one has more than the other is a slip at least.
        if word.len().abs_diff(candidate.chars().count()) > allowed {
            continue;
        }
        let distance = distance(&word, &folded(candidate));
        if distance <= allowed {
            found = Some(candidate);
            let Some(less) = distance.checked_sub(1) else { break };
            allowed = less;
        }
    }
    found
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one word to the other.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (place, letter) in from.iter().enumerate() {
        let mut next = vec![place + 1];
        for (other_place, other) in to.iter().enumerate() {
            let at = |row: &[usize], place: usize| row.get(place).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&row, other_place) + usize::from(letter != other);
            let mut best = replaced.min(at(&row, other_place + 1) + 1).min(at(&next, other_place) + 1);
            let swapped = place > 0
                && other_place > 0
                && from.get(place - 1) == Some(other)
                && to.get(other_place - 1) == Some(letter);
            if swapped {
                best = best.min(at(&before, other_place - 1) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(usize::MAX)
}

/// `-` and `_`, capitals and small letters are often confused: they count as the same.
fn folded(word: &str) -> Vec<char> {
    word.chars().take(LONGEST + 1).map(|letter| if letter == '_' { '-' } else { letter.to_ascii_lowercase() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_single_slips() {
        for (from, to, expect) in [
            ("run", "run", 0),
            ("rnu", "run", 1),
            ("runn", "run", 1),
            ("", "run", 3),
            ("on_exit", "on-exit", 0),
            ("pidfiel", "pidfile", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(&folded(from), &folded(to)), expect, "{from} {to}");
        }
    }

    #[test]
    fn a_far_name_is_not_offered() {
        let keys = ["run", "pidfile", "match", "start"];
        assert_eq!(nearest("pidflie", keys), Some("pidfile"));
        assert_eq!(nearest("startt", keys), Some("start"));
        assert_eq!(nearest("zebra", keys), None);
        assert_eq!(nearest(&"x".repeat(5000), keys), None);
        assert_eq!(nearest("x", ["x".repeat(5000).as_str()]), None);
        // The first of the nearest, whatever came before and comes after.
        assert_eq!(nearest("stopped", ["stoped_1", "stoppe", "stopped", "stoppeD"]), Some("stopped"));
        assert_eq!(nearest("stepped", ["zzz", "stoppe", "stopped", "steppe"]), Some("stopped"));
    }
}
