//! Thousands of policies that somebody got wrong: good ones with one thing changed, as slips of a hand change them, and every key of the
//! examples with values of the wrong kind. Each goes through the real `watchd check`: whatever comes of it, nothing panics, and what
//! is refused is refused with exit 2, the file, the line, what stands there, and what to do.

#![allow(clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use harness::{Scratch, binary};
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

/// Exit code and standard error of `watchd check`; that it says nothing on its standard output about a policy that it refuses is seen here.
fn check(file: &Path) -> (i32, String) {
    let output = Command::new(binary()).arg("check").arg(file).output().expect("watchd can be run");
    let code = output.status.code().expect("nobody ends it from outside");
    assert!((code == 2) == output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    (code, String::from_utf8(output.stderr).expect("a message is text"))
}

#[test]
fn a_thousand_slips_are_named_with_their_line_and_remedy() {
    let scratch = Scratch::new("slips");
    let mut random = Random(7);
    let (mut refused, mut warned) = (0, 0);
    for number in 0..1_000 {
        let mut text = GOOD[number % GOOD.len()].to_owned();
        for _ in 0..=random.below(3) {
            text = spoil(&text, &mut random);
        }
        let lines = u32::try_from(text.lines().count()).expect("a short text") + 1;
        let file = scratch.write("t.toml", &text);
        let name = file.to_string_lossy().into_owned();
        let loaded = load_text(&name, &text, &Inventory { cpus: 2, ..Inventory::default() });
        let (code, said) = check(&file);
        assert_eq!(code, if loaded.is_ok() { 0 } else { 2 }, "{said}\n{text}");
        let notes = match loaded {
            Ok((_, warnings)) => {
                warned += usize::from(!warnings.is_empty());
                warnings
            }
            Err(faults) => {
                refused += 1;
                assert!(!faults.is_empty(), "refused without a word:\n{text}");
                let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
                assert_eq!(said.lines().collect::<Vec<_>>(), told, "{text}");
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

/// What may stand behind a key, and what a message about it has to repeat.
const VALUES: &[(&str, &str)] = &[
    ("73", "73"),
    ("-73", "-73"),
    ("7.3", "7.3"),
    ("true", "true"),
    ("2026-01-01", "2026-01-01"),
    ("\"qwertz 73\"", "qwertz 73"),
    ("[[73]]", "[73]"),
    ("{ qwertz = 73 }", "qwertz"),
    ("[]", ""),
    ("\"\"", ""),
    ("qwertz", "qwertz"),
    ("\"qwertz", "qwertz"),
];

/// A policy that is wrong in one line, and what a message about that line has to repeat.
struct Wrong {
    text: String,
    line: usize,
    repeats: String,
}

/// One line of a good policy is another.
fn wrong(lines: &[&str], place: usize, line: &str, repeats: &str) -> Wrong {
    let mut lines = lines.to_vec();
    lines[place] = line;
    Wrong { text: format!("{}\n", lines.join("\n")), line: place + 1, repeats: repeats.to_owned() }
}

/// Each key of each kind of table once, with each of the values and with a slip in its name; and each table with a slip in its name.
fn wrongs(text: &str, seen: &mut BTreeSet<(String, String)>, all: &mut Vec<Wrong>) {
    let lines: Vec<&str> = text.lines().collect();
    let mut table = String::new();
    for (place, line) in lines.iter().enumerate() {
        if let Some(name) = line.strip_prefix('[').and_then(|name| name.split([']', '.']).next()) {
            name.clone_into(&mut table);
            if seen.insert((table.clone(), String::new())) {
                let other = format!("{}x", table.to_uppercase());
                all.push(wrong(&lines, place, &line.replacen(&table, &other, 1), &other));
            }
            continue;
        }
        let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.contains([' ', '#'])) else { continue };
        if !seen.insert((table.clone(), key.to_owned())) {
            continue;
        }
        for (value, repeats) in VALUES {
            all.push(wrong(&lines, place, &format!("{key} = {value}"), repeats));
        }
        let other = format!("{key}{}", key.get(..1).unwrap_or_default());
        all.push(wrong(&lines, place, &line.replacen(key, &other, 1), &other));
    }
}

#[test]
fn every_wrong_value_of_every_key_is_refused_with_its_line_and_the_value() {
    let scratch = Scratch::new("wrong");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/examples");
    let mut names: Vec<_> =
        fs::read_dir(examples).expect("there are examples").flatten().map(|one| one.path()).collect();
    names.sort();
    let (mut seen, mut all) = (BTreeSet::new(), Vec::new());
    for name in names {
        wrongs(&fs::read_to_string(name).expect("it can be read"), &mut seen, &mut all);
    }
    let (mut refused, mut silent) = (0, Vec::new());
    for Wrong { text, line, repeats } in all {
        let file = scratch.write("t.toml", &text);
        let (code, said) = check(&file);
        let written = text.lines().nth(line - 1).expect("it is there");
        if code == 0 {
            // Nearly any text is a name, a program or an expression.
            assert!(
                ["\"", "true", "73", "-73", "7.3"].iter().any(|value| written.contains(&format!("= {value}"))),
                "{written}: {said}"
            );
            continue;
        }
        refused += 1;
        assert_eq!(code, 2, "{written}: {said}");
        let begin = format!("{}:{line}:", file.display());
        let names_it = |told: &str| {
            let whole = told.strip_prefix(&begin).and_then(|told| told.split_once(": ")?.1.split_once(": "));
            whole.is_some_and(|(key, what)| {
                !key.is_empty() && what.contains("; ") && (key.contains(&repeats) || what.contains(&repeats))
            })
        };
        if !said.lines().any(names_it) {
            silent.push(format!("{line}: {written}\n    {said}"));
        }
    }
    assert!(silent.is_empty(), "{} of {refused}:\n{}", silent.len(), silent.join("\n"));
    assert!(refused >= 1_000, "{refused}");
}
