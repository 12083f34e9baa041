//! `watchd keepalive --install`: puts the cron line in place if and only if none is there.
//!
//! root: `/etc/cron.d/watchd`, written beside and renamed. Anybody else: their own crontab, through `crontab`.
//! A line counts as there when it is not a comment and runs `… keepalive` of a program called watchd, at whatever times.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::model::Places;

const FILE: &str = "etc/cron.d/watchd";
/// Where else the line may be.
const TABLES: &str = "etc/cron.d";
const CRONTAB: &str = "etc/crontab";
const HEAD: &str = "# Keeps watchd alive: silent when it is, one line of mail when it had to be started.\n";

/// Installs the line; says what was done.
pub fn run(places: &Places) -> Result<Option<String>, String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot tell where watchd is: {error}"))?;
    let uid = nix::unistd::geteuid().as_raw();
    if uid == 0 || places.root != Path::new("/") {
        in_system(&places.root, &line(&program, places, uid, Some("root")))
    } else {
        in_own(&line(&program, places, uid, None))
    }
    .map(Some)
}

/// The line. Places that are not the usual ones are passed on; an ordinary user's always are, because cron's environment
/// does not lead to them.
fn line(program: &Path, places: &Places, uid: u32, user: Option<&str>) -> String {
    let usual = Places::usual(0, |_| None, |_| false);
    let mut line = format!("* * * * * {}{}", user.map_or_else(String::new, |user| format!("{user} ")), quoted(program));
    line.push_str(" keepalive");
    for (option, path, usual) in
        [("--run-dir", &places.run_dir, &usual.run_dir), ("--state-dir", &places.state_dir, &usual.state_dir)]
    {
        if uid != 0 || path != usual {
            line.push_str(&format!(" {option} {}", quoted(path)));
        }
    }
    if let Some(config) = places.config.as_ref().filter(|config| *config != Path::new("/etc/watchd/watchd.toml")) {
        line.push_str(&format!(" --config {}", quoted(config)));
    }
    line.push('\n');
    line
}

/// A path as the shell and cron take it: cron turns a bare `%` into a line break.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+:@,=".contains(letter);
    let text = if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) };
    text.replace('%', r"\%")
}

/// Whether some line of this table keeps watchd alive already.
fn has_line(table: &str) -> bool {
    table.lines().map(str::trim).any(|line| {
        let mut words = line.split_whitespace().map(|word| word.trim_matches('\''));
        !line.starts_with('#')
            && words.any(|word| word == "watchd" || word.ends_with("/watchd"))
            && words.any(|word| word == "keepalive")
    })
}

fn in_system(root: &Path, line: &str) -> Result<String, String> {
    let mut tables = vec![root.join(CRONTAB)];
    let mut others: Vec<PathBuf> =
        std::fs::read_dir(root.join(TABLES)).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    others.sort();
    tables.extend(others);
    for table in tables {
        // cron takes no files with a dot in their names.
        let is_read = table.file_name().is_some_and(|name| !name.to_string_lossy().contains('.'));
        if is_read && std::fs::read_to_string(&table).is_ok_and(|text| has_line(&text)) {
            return Ok(format!("already in {}", table.display()));
        }
    }
    let path = root.join(FILE);
    let before = std::fs::read_to_string(&path).unwrap_or_else(|_| HEAD.to_owned());
    let ended = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    write(&path, &format!("{before}{ended}{line}"))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(format!("installed in {}: {}", path.display(), line.trim_end()))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let _ = std::fs::remove_file(&new);
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

fn in_own(line: &str) -> Result<String, String> {
    let by_hand = |error: &dyn std::fmt::Display| {
        format!("cannot use crontab: {error}; run `crontab -e` and add: {}", line.trim_end())
    };
    let listed = Command::new("crontab").arg("-l").stdin(Stdio::null()).output().map_err(|error| by_hand(&error))?;
    // Without a table crontab fails; then there is nothing to keep.
    let before =
        if listed.status.success() { String::from_utf8_lossy(&listed.stdout).into_owned() } else { String::new() };
    if has_line(&before) {
        return Ok("already in your crontab".to_owned());
    }
    let mut child = Command::new("crontab").arg("-").stdin(Stdio::piped()).spawn().map_err(|error| by_hand(&error))?;
    if let Some(mut input) = child.stdin.take() {
        let ended = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
        input.write_all(format!("{before}{ended}{line}").as_bytes()).map_err(|error| by_hand(&error))?;
    }
    let status = child.wait().map_err(|error| by_hand(&error))?;
    if status.success() { Ok(format!("installed in your crontab: {}", line.trim_end())) } else { Err(by_hand(&status)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn what_is_not_usual_is_passed_on() {
        let program = Path::new("/usr/local/bin/watchd");
        let mut places = Places::usual(0, |_| None, |_| false);
        assert_eq!(line(program, &places, 0, Some("root")), "* * * * * root /usr/local/bin/watchd keepalive\n");
        places.run_dir = PathBuf::from("/run/it's 100%");
        places.config = Some(PathBuf::from("/x.toml"));
        assert_eq!(
            line(program, &places, 0, Some("root")),
            "* * * * * root /usr/local/bin/watchd keepalive --run-dir '/run/it'\\''s 100\\%' --config /x.toml\n"
        );
        assert!(line(program, &places, 7, None).contains(" --state-dir /var/lib/watchd"), "cron has no environment");
    }

    #[test]
    fn a_line_is_known_whatever_its_times() {
        let cases = [
            ("* * * * * root /usr/bin/watchd keepalive\n", true),
            ("  */5 * * * * /opt/w/watchd keepalive --run-dir /r >/dev/null\n", true),
            ("@reboot root '/opt/my dir/watchd' keepalive\n", true),
            ("# * * * * * root /usr/bin/watchd keepalive\n", false),
            ("* * * * * root /usr/bin/watchdog keepalive\n", false),
            ("* * * * * root /usr/bin/watchd status\n", false),
            ("", false),
        ];
        for (table, expected) in cases {
            assert_eq!(has_line(table), expected, "{table}");
        }
    }

    #[test]
    fn it_is_installed_once_and_keeps_what_was_there() {
        let root = Scratch::new();
        let line = "* * * * * root /w/watchd keepalive\n";
        let path = root.join(FILE);
        assert!(in_system(&root, line).expect("it is written").starts_with("installed in "));
        assert!(in_system(&root, line).expect("it is read").starts_with("already in "));
        assert_eq!(std::fs::read_to_string(&path).expect("it is there"), format!("{HEAD}{line}"));
        std::fs::write(&path, "MAILTO=me\n# off").expect("it can be written");
        in_system(&root, line).expect("it is written");
        assert_eq!(std::fs::read_to_string(&path).expect("it is there"), format!("MAILTO=me\n# off\n{line}"));
        std::fs::remove_file(&path).expect("it can be removed");
        std::fs::write(root.join(TABLES).join("mine"), line).expect("it can be written");
        assert!(in_system(&root, line).expect("it is read").ends_with("/etc/cron.d/mine"));
        assert!(!path.exists());
    }
}
