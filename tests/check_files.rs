//! What `watchd check` refuses about files and numbers: each bad table with the place and the remedy it has to name.

#![allow(clippy::expect_used, clippy::panic)]

use watchd::engine::policy::load_text;
use watchd_probes::inventory::Inventory;

/// Text, `line:column: key` of a fault, and a part of what it says.
type Bad = (&'static str, &'static str, &'static str);

const FILES: &[Bad] = &[
    ("[file.x]", "1:7: file.x", "`path` is missing"),
    ("[file.x]\npath = \"etc/x\"", "2:8: file.x.path", "beginning with /"),
    ("[file.x]\npath = \"/etc/../x\"\ncreate = true", "2:8: file.x.path", "write it without //"),
    ("[file.x]\npath = \"/etc/x/\"\ncreate = true", "2:8: file.x.path", "without / at its end"),
    ("[file.x]\npath = \"/x\"", "1:7: file.x", "promises nothing"),
    ("[file.x]\npath = \"/x\"\nline = \"a\\nb\"", "3:8: file.x.line", "is not one line"),
    ("[file.x]\npath = \"/x\"\nline = \"a\"\nlines = [\"b\"]", "4:9: file.x.lines", "stands beside `line`"),
    ("[file.x]\npath = \"/x\"\nline = \"9 a\"\nabsent = '^9'", "3:8: file.x.line", "is what `absent` takes out"),
    ("[file.x]\npath = \"/x\"\nabsent = '('", "3:10: file.x.absent", "is not a regular expression"),
    ("[file.x]\npath = \"/x\"\nabsent = ['a', '[']", "3:16: file.x.absent[2]", "every ( and [ closed"),
    ("[file.x]\npath = \"/x\"\nabsent = 7", "3:10: file.x.absent", "expected a regular expression"),
    ("[file.x]\npath = \"/x\"\nreplace = { regex = 'a' }", "3:11: file.x.replace", "needs `regex` and `with`"),
    ("[file.x]\npath = \"/x\"\nreplace = { regx = 'a', with = 'b' }", "3:13: file.x.replace.regx", "`regex`"),
    ("[file.x]\npath = \"/x\"\nline = \"a\"\nwhere = \"behind: x\"", "4:9: file.x.where", "\"after: REGEX\""),
    ("[file.x]\npath = \"/x\"\nabsent = 'a'\nwhere = \"start\"", "4:9: file.x.where", "there is no `line`"),
    ("[file.x]\npath = \"/x\"\nline = \"a\"\nblanks = \"keep\"", "4:10: file.x.blanks", "\"ignore\""),
    ("[file.x]\npath = \"/x\"\nwatch = \"md5\"", "3:9: file.x.watch", "\"sha256\""),
    ("[file.x]\npath = \"/x\"\nmode = \"0888\"", "3:8: file.x.mode", "for a file also its rights"),
    ("[file.x]\npath = \"/x\"\nmode = 644", "3:8: file.x.mode", "found the integer"),
    ("[file.x]\npath = \"/x\"\nmode = [\"0644\", \"0600\"]", "3:17: file.x.mode[2]", "is not a mode"),
    ("[file.x]\npath = \"/x\"\nmode = [\"0644\"]", "3:8: file.x.mode", "expected two, found 1"),
    ("[disk.x]\npath = \"/\"\nmode = \"0644\"", "3:8: disk.x.mode", "permission bits belong to a file"),
    ("[file.x]\npath = \"/x\"\nowner = \"a b\"", "3:9: file.x.owner", "an account or group name"),
    ("[file.x]\npath = \"/x\"\ntemplate = \"{hots}\"", "3:13: file.x.template", "`{host}`"),
    ("[file.x]\npath = \"/x\"\ntemplate = \"a\"\nline = \"b\"", "4:8: file.x.line", "the whole text"),
    (
        "[file.x]\npath = \"/x\"\ntemplate = \"a\"\ntemplate-file = \"/t\"",
        "4:17: file.x.template-file",
        "keep one of them",
    ),
    ("[file.x]\npath = \"/x\"\ncreate = \"yes\"", "3:10: file.x.create", "without quotes"),
    ("[file.x]\npath = \"/x\"\ncreate = true\nolder = \"7d\"", "4:9: file.x.older", "is of no use with `path`"),
];

const TIDY: &[Bad] = &[
    ("[file.x]\nin = \"/data\"\nnames = [\"*\"]", "1:7: file.x", "write older, larger, keep or until"),
    ("[file.x]\nin = \"/data\"\nolder = \"7d\"", "1:7: file.x", "`names` is missing"),
    ("[file.x]\nin = \"/\"\nnames = [\"*\"]\nkeep = 1", "2:6: file.x.in", "nothing is tidied in /"),
    ("[file.x]\nin = \"//\"\nnames = [\"*\"]\nkeep = 1", "2:6: file.x.in", "nothing is tidied in /"),
    ("[file.x]\nin = \"/etc\"\nnames = [\"*\"]\nkeep = 1", "2:6: file.x.in", "nothing is tidied in /etc"),
    ("[file.x]\nin = \"/usr/share/doc\"\nnames = [\"*\"]\nkeep = 1", "2:6: file.x.in", "nothing is tidied"),
    ("[file.x]\nin = \"/var/\"\nnames = [\"*\"]\nkeep = 1", "2:6: file.x.in", "such as /var/log"),
    ("[file.x]\nin = \"/data/../etc\"\nnames = [\"*\"]\nkeep = 1", "2:6: file.x.in", "plain path"),
    ("[file.x]\nin = \"data\"\nnames = [\"*\"]\nkeep = 1", "2:6: file.x.in", "beginning with /"),
    ("[file.x]\nin = \"/d\"\nnames = [\"a/b\"]\nkeep = 1", "3:10: file.x.names[1]", "without /"),
    ("[file.x]\nin = \"/d\"\nnames = \"*\"\nkeep = 1", "3:9: file.x.names", "in square brackets"),
    ("[file.x]\nin = \"/d\"\nnames = [\"*\"]\nkeep = 0", "4:8: file.x.keep", "from 1 to 100"),
    ("[file.x]\nin = \"/d\"\nnames = [\"*\"]\nlarger = \"1.5G\"", "4:10: file.x.larger", "a number and K, M, G or T"),
    ("[file.x]\nin = \"/d\"\nnames = [\"*\"]\nolder = \"1s\"", "4:9: file.x.older", "is out of range"),
    ("[file.x]\nin = \"/d\"\nnames = [\"*\"]\nuntil = \"disk_root < 80%\"", "4:9: file.x.until", "[disk.root]"),
    (
        "[file.x]\nin = \"/d\"\nnames = [\"*\"]\nkeep = 1\ndelete = true\ncompress = true",
        "6:12: file.x.compress",
        "keep one of them",
    ),
    ("[file.x]\nin = \"/d\"\npath = \"/x\"\nnames = [\"*\"]\nkeep = 1", "3:8: file.x.path", "make two promises"),
    ("[file.x]\nin = \"/d\"\nmode = \"0644\"\nnames = [\"*\"]\nkeep = 1", "3:8: file.x.mode", "of no use with `in`"),
];

const NUMBERS: &[Bad] = &[
    ("[freshness.b]\nnewest = \"1h\"", "1:12: freshness.b", "has none of `in`, `path` and `marker`"),
    ("[freshness.b]\nin = \"/b\"", "1:12: freshness.b", "neither how new nor how large"),
    ("[freshness.b]\nin = \"/b\"\npath = \"/c\"\nnewest = \"1h\"", "3:8: freshness.b.path", "keep one of them"),
    ("[freshness.b]\nin = \"/b\"\nsize = { mim = \"1M\" }", "3:10: freshness.b.size.mim", "`min`"),
    ("[freshness.b]\nin = \"/b\"\nsize = \"1M\"", "3:8: freshness.b.size", "found the string"),
    ("[freshness.b]\nin = \"/b\"\nsize = { shrink = \"0%\" }", "3:19: freshness.b.size.shrink", "a share"),
    ("[measure.m]", "1:10: measure.m", "has none of `file`, `run`, `metric` and `command`"),
    (
        "[measure.m]\nrun = \"x\"\nmetric = \"load.one\"",
        "3:10: measure.m.metric",
        "keep one of file, run, metric and command",
    ),
    ("[measure.m]\nmetric = \"load.on\"", "2:10: measure.m.metric", "the nearest is `load.one`"),
    ("[measure.m]\nmetric = \"disk.reads\"", "2:10: measure.m.metric", "no metric of the whole host"),
    ("[measure.m]\nfile = \"/l\"", "1:10: measure.m", "`match` is missing"),
    ("[measure.m]\nfile = \"/l\"\nmatch = '('", "3:9: measure.m.match", "a regular expression"),
    ("[measure.m]\nfile = \"/l\"\nmatch = 'a'\nkind = \"gauge\"", "3:9: measure.m.match", "(?<value>"),
    ("[measure.m]\nfile = \"/l\"\nmatch = 'a'\nkind = \"rate\"", "4:8: measure.m.kind", "\"lines\""),
    ("[measure.m]\nrun = \"x\"\nmatch = 'a'", "3:9: measure.m.match", "without `file`"),
    ("[measure.m]\nrun = \"x\"\nkind = \"lines\"", "3:8: measure.m.kind", "\"counter\" for a number that only grows"),
    (
        "[measure.m]\nmetric = \"load.one\"\nkind = \"gauge\"",
        "3:8: measure.m.kind",
        "with `metric`, whose kind is known",
    ),
    ("[measure.m]\nrun = \"x\"\nhigh = \"500\"", "3:8: measure.m.high", "without quotes"),
    ("[measure.m]\nrun = \"x\"\nhigh = nan", "3:8: measure.m.high", "a plain number"),
    ("[measure.m]\nrun = \"x\"\nhigh = 5\nhigh-ok = 6", "4:11: measure.m.high-ok", "lies beyond `high`"),
    ("[measure.m]\nrun = \"x\"\nlow-ok = 6", "3:10: measure.m.low-ok", "is of no use without `low`"),
    ("[measure.m]\nrun = \"x\"\nhigh = 5\nlow = 5", "4:7: measure.m.low", "is not below `high`"),
    ("[measure.m]\nmetric = \"load.one\"\nuser = \"root\"", "3:8: measure.m.user", "nothing is started"),
    ("[measure.web]\nmetric = \"load.one\"\n[file.web]\npath = \"/x\"\ncreate = true", "3:7: file.web", "another name"),
];

#[test]
fn every_fault_has_its_place_and_its_remedy() {
    for (text, place, part) in FILES.iter().chain(TIDY).chain(NUMBERS) {
        let Err(faults) = load_text("t", text, &Inventory::default()) else { panic!("accepted: {text}") };
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let is_it = |fault: &String| fault.starts_with(&format!("t:{place}:")) && fault.contains(part);
        assert!(faults.iter().any(is_it), "{text}\nwants {place} {part}\n{faults:#?}");
    }
}

#[test]
fn each_fault_is_told_once() {
    for (text, ..) in FILES.iter().chain(TIDY).chain(NUMBERS) {
        let Err(faults) = load_text("t", text, &Inventory::default()) else { panic!("accepted: {text}") };
        assert!(faults.len() <= 2, "{text}\n{faults:#?}");
    }
}

#[test]
fn classes_of_files_and_numbers_have_names() {
    let text = "[file.f]\npath = \"/f\"\nwatch = \"sha256\"\n[freshness.b]\npath = \"/b\"\nnewest = \"1h\"\n\
                [measure.m]\nmetric = \"load.one\"\n[class.all]\nwhen = \"f_changed | f_would | b_stale | b_small | m_high \
                | m_low | m_missing | m_kept\"\n[class.none]\nwhen = \"f_stale | m_changed | b_hihg\"\n";
    let (_, warnings) = load_text("t", text, &Inventory::default()).expect("a good policy");
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 3, "{warnings:#?}");
    for name in ["f_stale", "m_changed", "b_hihg"] {
        assert!(warnings.iter().any(|warning| warning.contains(&format!("the class `{name}`"))), "{warnings:#?}");
    }
}
