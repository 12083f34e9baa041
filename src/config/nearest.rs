//! The valid name that a wrong one was probably meant to be.

/// Longer words are not compared; nobody mistypes them into something near.
const LONGEST: usize = 64;

/// The candidate with the smallest edit distance, when that is at most a third of the word (and at least one).
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (folded(from), folded(to));
    if from.len().abs_diff(to.len()) > LONGEST || from.len() > LONGEST || to.len() > LONGEST {
        return usize::MAX;
    }
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
            assert_eq!(distance(from, to), expect, "{from} {to}");
        }
    }

    #[test]
    fn a_far_name_is_not_offered() {
        let keys = ["run", "pidfile", "match", "start"];
        assert_eq!(nearest("pidflie", keys), Some("pidfile"));
        assert_eq!(nearest("startt", keys), Some("start"));
        assert_eq!(nearest("zebra", keys), None);
        assert_eq!(nearest(&"x".repeat(5000), keys), None);
    }
}
