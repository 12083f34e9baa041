//! Accounts and groups out of /etc/passwd and /etc/group, read by ourselves: the C library's name services crash a static
//! binary when a name is unknown. A number is an account too, with or without a line of its own.
//!
//! ```text
//! www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
//! adm:x:4:syslog,www-data
//! ```

use std::fmt;
use std::fs::File;
use std::io::{self, Read};

/// Files longer than this are cut: 4 MB is some 50,000 accounts.
const LONGEST: u64 = 4 << 20;

/// Why an account is not known.
#[derive(Debug)]
pub enum Fault {
    UnknownUser(String),
    UnknownGroup(String),
    Unreadable { path: &'static str, error: io::Error },
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownUser(name) => write!(out, "cannot find user '{name}' in /etc/passwd"),
            Self::UnknownGroup(name) => write!(out, "cannot find group '{name}' in /etc/group"),
            Self::Unreadable { path, error } => write!(out, "cannot read {path}: {error}"),
        }
    }
}

impl std::error::Error for Fault {}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub home: String,
    pub shell: String,
}

/// Finds an account by its name or number. A number without a line gets the group of the same number.
pub fn user(name: &str) -> Result<Account, Fault> {
    user_in(&read("/etc/passwd")?, name).ok_or_else(|| Fault::UnknownUser(name.to_owned()))
}

/// What an account is called; none for a number without a line.
pub fn name_of(uid: u32) -> Option<String> {
    let text = read("/etc/passwd").ok()?;
    let account = user_in(&text, &uid.to_string())?;
    (account.name != uid.to_string()).then_some(account.name)
}

/// Finds a group by its name or number.
pub fn group(name: &str) -> Result<u32, Fault> {
    group_in(&read("/etc/group")?, name).ok_or_else(|| Fault::UnknownGroup(name.to_owned()))
}

/// All groups of an account, its first one included.
pub fn groups_of(name: &str, gid: u32) -> Result<Vec<u32>, Fault> {
    Ok(groups_in(&read("/etc/group")?, name, gid))
}

fn read(path: &'static str) -> Result<String, Fault> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST).read_to_end(&mut bytes))
        .map_err(|error| Fault::Unreadable { path, error })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Only whole lines: the last may be cut.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'))
}

fn user_in(text: &str, name: &str) -> Option<Account> {
    let accounts = || lines(text).filter_map(account);
    let number = name.parse::<u32>().ok().filter(|number| *number != u32::MAX);
    accounts().find(|account| account.name == name).or_else(|| {
        let uid = number?;
        let bare = Account { name: name.to_owned(), uid, gid: uid, home: "/".to_owned(), shell: "/bin/sh".to_owned() };
        Some(accounts().find(|account| account.uid == uid).unwrap_or(bare))
    })
}

fn account(line: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with(['#', '+', '-']))?;
    let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
    let home = fields.nth(1)?;
    let shell = fields.next().filter(|shell| !shell.is_empty()).unwrap_or("/bin/sh");
    Some(Account { name: name.to_owned(), uid, gid, home: home.to_owned(), shell: shell.to_owned() })
}

fn group_in(text: &str, name: &str) -> Option<u32> {
    let number = name.parse::<u32>().ok().filter(|number| *number != u32::MAX);
    lines(text).filter_map(group_line).find(|(group, ..)| *group == name).map(|(_, gid, _)| gid).or(number)
}

fn groups_in(text: &str, name: &str, gid: u32) -> Vec<u32> {
    let mut groups = vec![gid];
    for (_, other, members) in lines(text).filter_map(group_line) {
        if members.split(',').any(|member| member == name) && !groups.contains(&other) {
            groups.push(other);
        }
    }
    groups
}

fn group_line(line: &str) -> Option<(&str, u32, &str)> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let gid = fields.nth(1)?.parse().ok()?;
    Some((name, gid, fields.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n#off:x:9:9::/:/bin/sh\nbroken:x:y:0::/:\n\
                          www:x:33:34:web:/var/www:\n+::::::\n";
    const GROUP: &str = "root:x:0:\nadm:x:4:syslog,www\nwww:x:34:www\nodd:x:y:www\nwheel:x:10:www2\n";

    #[test]
    fn an_account_is_found_by_name_or_number() {
        for (name, expect) in [
            ("root", Some((0, 0, "/bin/bash"))),
            ("www", Some((33, 34, "/bin/sh"))),
            ("33", Some((33, 34, "/bin/sh"))),
            ("777", Some((777, 777, "/bin/sh"))),
            ("4294967295", None),
            ("off", None),
            ("#off", None),
            ("broken", None),
            ("+", None),
            ("", None),
            ("-1", None),
        ] {
            let found = user_in(PASSWD, name);
            let found = found.as_ref().map(|account| (account.uid, account.gid, account.shell.as_str()));
            assert_eq!(found, expect, "{name}");
        }
    }

    #[test]
    fn a_member_gets_all_its_groups_once() {
        assert_eq!(groups_in(GROUP, "www", 34), [34, 4]);
        assert_eq!(groups_in(GROUP, "nobody", 65534), [65534]);
        for (name, expect) in [("adm", Some(4)), ("12", Some(12)), ("odd", None), ("", None)] {
            assert_eq!(group_in(GROUP, name), expect, "{name}");
        }
    }

    #[test]
    fn a_cut_file_gives_no_cut_number() {
        for end in 0..PASSWD.len() {
            let found = user_in(&PASSWD[..end], "www");
            assert!(found.is_none_or(|account| account.uid == 33 && account.gid == 34), "cut at {end}");
        }
        for end in 0..GROUP.len() {
            assert!(group_in(&GROUP[..end], "wheel").is_none_or(|gid| gid == 10), "cut at {end}");
        }
    }
}
