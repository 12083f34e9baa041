//! How many processes of a kind there are, against how many there are to be: what that makes true, and who has to go. Pure.

use std::fmt::Write;

use crate::model::{Amount, Bound, CrowdWork, Deed, Mark, Marks, Member, Quantity};

/// What a count comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    pub marks: Marks,
    /// Places of those that have to go.
    pub go: Vec<usize>,
    /// There are fewer than there should be.
    pub is_short: bool,
    /// What is wrong, for people; empty when nothing is.
    pub text: String,
}

/// Judges a count. `members` are those that use too much, then those that came last; `lasts` says whether one of them has used
/// too much of this for long enough.
pub fn tally(work: &CrowdWork, count: u32, members: &[Member], lasts: &dyn Fn(&Member, &Bound) -> bool) -> Tally {
    let exceeds = |member: &Member, bound: &Bound| {
        member.over & 1 << bound.what.byte() != 0 && (bound.lasts.is_zero() || lasts(member, bound))
    };
    let mut tally = Tally { is_short: count < work.least, ..Tally::default() };
    for bound in &work.bounds {
        let those: Vec<usize> = places(members, |member| exceeds(member, bound));
        if those.is_empty() {
            continue;
        }
        let mark = match bound.what {
            Quantity::Age => Mark::AgeHigh,
            Quantity::Cpu => Mark::CpuHigh,
            _ => Mark::RssHigh,
        };
        tally.marks = tally.marks.with(mark, true);
        tally.say(format_args!("{} past {} {}", named(members, &those), bound.what, Amount(bound.what, bound.max)));
        if bound.deed == Deed::Restart {
            tally.go.extend(those);
        }
    }
    tally.go.sort_unstable();
    tally.go.dedup();
    let excess = work.most.map_or(0, |most| count.saturating_sub(most));
    if excess > 0 {
        let left = usize::try_from(excess).unwrap_or(usize::MAX).saturating_sub(tally.go.len());
        let last: Vec<usize> = (0..members.len()).filter(|place| !tally.go.contains(place)).take(left).collect();
        tally.go.extend(last);
        let most = work.most.unwrap_or(0);
        if most == 0 {
            let all: Vec<usize> = (0..members.len()).collect();
            tally.say(format_args!("{} must not run", named(members, &all)));
        } else {
            tally.say(format_args!("{count} run, at most {most} may"));
        }
    }
    if tally.is_short {
        tally.say(format_args!("{count} run, at least {} should", work.least));
    }
    tally.marks = tally
        .marks
        .with(Mark::High, excess > 0)
        .with(Mark::Low, tally.is_short)
        .with(Mark::Down, count == 0 && tally.is_short);
    tally
}

impl Tally {
    fn say(&mut self, words: std::fmt::Arguments<'_>) {
        let _ = write!(self.text, "{}{words}", if self.text.is_empty() { "" } else { "; " });
    }
}

fn places(members: &[Member], is_meant: impl Fn(&Member) -> bool) -> Vec<usize> {
    members.iter().enumerate().filter(|(_, member)| is_meant(member)).map(|(place, _)| place).collect()
}

/// `process 12 (worker)`, `processes 12, 13, 14 and 5 more`.
pub fn named(members: &[Member], those: &[usize]) -> String {
    /// As many as a line has room for.
    const SHOWN: usize = 8;
    let of = |place: &usize| members.get(*place);
    let mut text = String::new();
    if let ([_], Some(member)) = (those, those.first().and_then(of)) {
        let _ = write!(text, "process {} ({})", member.identity.pid, member.name());
        return text;
    }
    let pids: Vec<String> =
        those.iter().filter_map(of).take(SHOWN).map(|member| member.identity.pid.to_string()).collect();
    let _ = write!(text, "processes {}", pids.join(", "));
    if those.len() > SHOWN {
        let _ = write!(text, " and {} more", those.len() - SHOWN);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Identity, Selection};

    fn work(least: u32, most: Option<u32>) -> CrowdWork {
        let bound = |what, max, deed| Bound { what, max, lasts: Duration::from_secs(60), deed };
        CrowdWork {
            who: Selection::default(),
            least,
            most,
            bounds: vec![
                bound(Quantity::Rss, 600 << 20, Deed::Restart),
                bound(Quantity::Age, 7_200_000, Deed::Report),
                bound(Quantity::Cpu, 90, Deed::Restart),
            ],
            start: None,
            signals: None,
            settle: Duration::ZERO,
        }
    }

    fn member(pid: i32, over: &[Quantity]) -> Member {
        let mut comm = [0; 16];
        comm[..6].copy_from_slice(b"worker");
        let over = over.iter().fold(0, |bits, what| bits | 1 << what.byte());
        Member { identity: Identity { pid, start_ticks: 1 }, comm, over }
    }

    #[test]
    fn a_count_within_its_range_is_nothing_to_speak_of() {
        for (least, most, count) in [(2, Some(8), 2), (2, Some(8), 8), (1, None, 9_999), (0, Some(0), 0), (0, None, 0)]
        {
            assert_eq!(
                tally(&work(least, most), count, &[], &|_, _| true),
                Tally::default(),
                "{least} {most:?} {count}"
            );
        }
    }

    #[test]
    fn too_many_too_few_and_none_are_told_apart() {
        let three: Vec<Member> = [13, 12, 11].map(|pid| member(pid, &[])).to_vec();
        for (least, most, count, marks, go, text) in [
            (2, Some(8), 1, &[Mark::Low][..], vec![], "1 run, at least 2 should"),
            (2, None, 0, &[Mark::Low, Mark::Down], vec![], "0 run, at least 2 should"),
            (0, Some(0), 3, &[Mark::High], vec![0, 1, 2], "processes 13, 12, 11 must not run"),
            (0, Some(1), 3, &[Mark::High], vec![0, 1], "3 run, at most 1 may"),
        ] {
            let found = tally(&work(least, most), count, &three, &|_, _| true);
            let marks = marks.iter().fold(Marks::default(), |all, mark| all.with(*mark, true));
            assert_eq!((found.marks, found.go, found.text.as_str()), (marks, go, text));
            assert_eq!(found.is_short, count < least);
        }
    }

    #[test]
    fn those_that_use_too_much_for_long_enough_go_first() {
        let members = [member(9, &[Quantity::Rss]), member(8, &[Quantity::Age]), member(13, &[])];
        let found = tally(&work(1, Some(4)), 4, &members, &|_, _| true);
        assert_eq!(found.go, [0], "too old is only told");
        assert_eq!(found.text, "process 9 (worker) past rss 600M; process 8 (worker) past age 2h");
        assert!(found.marks.has(Mark::RssHigh) && found.marks.has(Mark::AgeHigh) && !found.marks.has(Mark::High));
        let found = tally(&work(1, None), 1, &[member(7, &[Quantity::Cpu])], &|_, bound| bound.what == Quantity::Cpu);
        assert_eq!((found.go.as_slice(), found.text.as_str()), ([0].as_slice(), "process 7 (worker) past cpu 90%"));
        assert!(found.marks.has(Mark::CpuHigh) && !found.marks.has(Mark::RssHigh));
        let found = tally(&work(1, Some(4)), 4, &members, &|_, _| false);
        assert_eq!(found, Tally::default(), "not yet");
        let found = tally(&work(1, Some(2)), 4, &members, &|member, _| member.identity.pid == 9);
        assert_eq!(found.go, [0, 1], "one too large, and one too many besides it");
    }

    #[test]
    fn a_crowd_is_named_in_one_line() {
        let many: Vec<Member> = (100..140).map(|pid| member(pid, &[])).collect();
        let all: Vec<usize> = (0..many.len()).collect();
        assert_eq!(named(&many, &all), "processes 100, 101, 102, 103, 104, 105, 106, 107 and 32 more");
        assert_eq!(named(&many, &[3]), "process 103 (worker)");
    }
}
