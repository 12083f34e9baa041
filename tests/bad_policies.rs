//! A thousand policies that somebody got wrong: good ones with one thing changed, as slips of a hand change them. Whatever comes
//! of it, nothing panics, and every fault names a line of the text and what to do.

#![allow(clippy::expect_used, clippy::indexing_slicing)]

use watchd::engine::policy::load_text;
use watchd_probes::inventory::Inventory;

const GOOD: &[&str] = &[
    include_str!("../contrib/examples/keep-three-alive.toml"),
    include_str!("../contrib/examples/disk-housekeeping.toml"),
    include_str!("../contrib/examples/web-and-db.toml"),
    include_str!("../contrib/examples/workers.toml"),
    include_str!("../contrib/examples/app.toml"),
    include_str!("../contrib/examples/accounts.toml"),
    "[class.office]\nany = [\"Monday\", \"Friday\"]\nall = [\"Hr08_18\", \"!holiday\"]\nhold = \"5m\"\n\
     [disk.root]\npath = \"/\"\nforecast = \"24h\"\n[command.c]\nif = \"office & disk_root_full_soon\"\nrun = \"x\"\n\
     limit = \"3/1h\"\ncooldown = \"2h\"\nhold = \"1m\"\nmode = \"warn\"\n",
];

/// The same sequence at every run.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % most.max(1)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// Changes one thing of a text.
fn spoil(text: &str, random: &mut Random) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let place = random.below(lines.len());
    let line = lines[place].clone();
    let letters: Vec<char> = line.chars().collect();
    let at = random.below(letters.len());
    let with = |middle: &[char]| -> String {
        let after = letters.iter().skip(at + 1);
        letters.iter().take(at).chain(middle).chain(after).collect()
    };
    match random.below(9) {
        0 => lines[place] = with(&[]),
        1 => lines[place] = with(&[letters.get(at).copied().unwrap_or('x'); 2]),
        2 => {
            let odd = random.pick(&["\"", "[", "]", "{", "=", "é", "\u{0}", "#", "&", "|", "!"]);
            lines[place] = with(&odd.chars().collect::<Vec<_>>());
        }
        3 => drop(lines.remove(place)),
        4 => lines.insert(place, line),
        5 => {
            let other = random.below(lines.len());
            lines.swap(place, other);
        }
        6 => {
            let key = line.split('=').next().unwrap_or_default().to_owned();
            let value = ["3", "true", "\"\"", "[]", "{}", "\"999999999999d\"", "-1", "1e9", "\"101%\"", "[[\"x\"]]"];
            lines[place] = format!("{key}= {}", random.pick(&value));
        }
        7 => lines[place] = line.replace("\"", ""),
        _ => lines[place] = line.to_uppercase(),
    }
    lines.join("\n")
}

#[test]
fn a_thousand_slips_are_named_with_their_line_and_remedy() {
    let mut random = Random(7);
    let (mut refused, mut warned) = (0, 0);
    for number in 0..1_000 {
        let mut text = GOOD[number % GOOD.len()].to_owned();
        for _ in 0..=random.below(3) {
            text = spoil(&text, &mut random);
        }
        let lines = u32::try_from(text.lines().count()).expect("a short text") + 1;
        let notes = match load_text("t", &text, &Inventory { cpus: 2, ..Inventory::default() }) {
            Ok((_, warnings)) => {
                warned += usize::from(!warnings.is_empty());
                warnings
            }
            Err(faults) => {
                refused += 1;
                assert!(!faults.is_empty(), "refused without a word:\n{text}");
                faults
            }
        };
        for fault in notes {
            assert!((1..=lines).contains(&fault.line) && fault.column >= 1, "{fault}\n{text}");
            assert!(!fault.key.is_empty() && !fault.what.is_empty() && !fault.remedy.is_empty(), "{fault}\n{text}");
            assert!(!fault.to_string().contains('\n'), "{fault}");
        }
    }
    assert!(refused > 500 && warned > 50, "{refused} refused, {warned} with warnings");
}
