//! The node's side of one conversation, line by line.
//!
//! Commands are known by how a line begins, in any case; `config` and `fetch` take at most one blank before the name, which ends
//! at the next white space. A name is compared with what the board has and is never a path. One deviation from
//! munin-node: a node whose name has capitals lists its plugins all the same.

use super::{Ask, Facts, Guest, answer, host_of, is_ours, names, spool};
use crate::export::Page;

/// What to do with the connection after a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    More,
    Close,
    /// A plugin of somebody else, by its place in the list, has to be run before anything is said.
    Guest(usize, Ask),
    /// Everything since this moment, which is told plugin by plugin: see [`spool`].
    Spool(u64),
}

/// What one client has negotiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// The client understands plugins of several graphs.
    multigraph: bool,
    /// It takes values with the configuration. Once said, that stays.
    dirty: bool,
}

const UNKNOWN: &str = "# Unknown command. Try cap, list, nodes, config, fetch, version or quit\n";

impl Session {
    /// What the node says before it is asked.
    pub fn greet(host: &str, page: &mut Page) {
        page.put(format_args!("# munin node at {host}\n"));
    }

    /// Whether a line asks what there is.
    pub fn is_about_names(line: &[u8]) -> bool {
        [&b"list"[..], b"nodes", b"cap"].iter().any(|command| after(line, command).is_some())
    }

    /// What a line gets that is longer than anything that could mean something.
    pub fn refuse(page: &mut Page) {
        page.text(UNKNOWN);
    }

    /// Answers one line, given without its newline.
    pub fn line(&mut self, line: &[u8], host: &str, facts: &Facts<'_>, page: &mut Page) -> Next {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.starts_with(b".") || after(line, b"quit").is_some() {
            return Next::Close;
        }
        if let Some(words) = after(line, b"cap") {
            let has = |wanted: &[u8]| words.split(|byte| *byte == b' ').any(|word| word == wanted);
            self.multigraph = has(b"multigraph");
            self.dirty |= has(b"dirtyconfig");
            let spool = if spool::is_offered(facts, host) { " spool" } else { "" };
            page.put(format_args!("cap multigraph dirtyconfig{spool}\n"));
        } else if let Some(rest) = after(line, b"list") {
            self.list(rest, host, facts, page);
        } else if after(line, b"nodes").is_some() {
            nodes(host, facts, page);
        } else if let Some(name) = after(line, b"config") {
            return reply(facts, if self.dirty { Ask::Dirty } else { Ask::Config }, name, page);
        } else if let Some(name) = after(line, b"fetch") {
            return reply(facts, Ask::Fetch, name, page);
        } else if let Some(since) = line.strip_prefix(b"spoolfetch").and_then(spool::since)
            && spool::is_offered(facts, host)
        {
            return Next::Spool(since);
        } else if after(line, b"version").is_some() {
            page.put(format_args!("munins node on {host} version: watchd {}\n", env!("CARGO_PKG_VERSION")));
        } else {
            page.text(UNKNOWN);
        }
        Next::More
    }

    fn list(&self, rest: &[u8], host: &str, facts: &Facts<'_>, page: &mut Page) {
        let wanted = rest.trim_ascii_start();
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        let wanted = wanted.split(|byte| !is_name(byte)).next().unwrap_or_default();
        let start = page.len();
        let give = |parts: [&[u8]; 2], page: &mut Page| {
            if page.len() > start {
                page.text(" ");
            }
            parts.into_iter().for_each(|part| page.push(part));
        };
        let is_own = wanted.is_empty() || wanted.eq_ignore_ascii_case(host.as_bytes());
        let is_there = |there: Option<&str>| match there {
            Some(there) if !there.eq_ignore_ascii_case(host) => wanted.eq_ignore_ascii_case(there.as_bytes()),
            _ => is_own,
        };
        names(facts, self.multigraph, &mut |plugin, instance| {
            if is_there(host_of(facts, plugin, instance)) {
                give([plugin.as_bytes(), instance], page);
            }
        });
        for guest in facts.guests.iter().filter(|guest| self.understands(guest)) {
            if is_there(guest.host.as_deref()) && !is_ours(facts, guest.name.as_bytes()) {
                give([guest.name.as_bytes(), b""], page);
            }
        }
        page.text("\n");
    }

    fn understands(&self, guest: &Guest) -> bool {
        !guest.is_silent && (self.multigraph || !guest.is_multigraph) && (self.dirty || !guest.is_dirty)
    }
}

/// What follows a command, when the line begins with it.
fn after<'a>(line: &'a [u8], command: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(command.len())?;
    start.eq_ignore_ascii_case(command).then_some(rest)
}

/// The node itself, and the virtual hosts that plugins belong to.
fn nodes(host: &str, facts: &Facts<'_>, page: &mut Page) {
    page.put(format_args!("{}\n", Lower(host)));
    let mut told: Vec<&str> = facts.guests.iter().filter_map(|guest| guest.host.as_deref()).collect();
    names(facts, true, &mut |plugin, instance| told.extend(host_of(facts, plugin, instance)));
    for (place, there) in told.iter().enumerate() {
        if !there.eq_ignore_ascii_case(host) && !told.iter().take(place).any(|other| other == there) {
            page.put(format_args!("{there}\n"));
        }
    }
    page.text(".\n");
}

fn reply(facts: &Facts<'_>, ask: Ask, rest: &[u8], page: &mut Page) -> Next {
    let name = rest.strip_prefix(b" ").or_else(|| rest.strip_prefix(b"\t")).unwrap_or(rest);
    let name = name.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    if !is_ours(facts, name)
        && let Some(place) = facts.guests.iter().position(|guest| guest.name.as_bytes() == name)
    {
        return Next::Guest(place, ask);
    }
    let start = page.len();
    // Old readings are not told as new ones.
    let is_fresh = facts.snapshot.header.is_fresh(facts.now);
    let ask = if ask == Ask::Dirty && !is_fresh { Ask::Config } else { ask };
    // A master that takes values with the configuration understands their time as well.
    if ask == Ask::Dirty && facts.snapshot.header.has_spool() && is_ours(facts, name) {
        let mut text = Page::new(Page::LIMIT);
        answer(facts, ask, name, &mut text);
        spool::with_times(facts, text.bytes(), page);
    } else if !answer(facts, ask, name, page) {
        page.text("# Unknown service\n");
    } else if ask == Ask::Fetch && !is_fresh {
        page.truncate(start);
        page.text("# Timed out\n");
    }
    page.text(".\n");
    Next::More
}

/// A host name in lower case.
struct Lower<'a>(&'a str);

impl std::fmt::Display for Lower<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::fmt::Write as _;
        self.0.chars().try_for_each(|letter| out.write_char(letter.to_ascii_lowercase()))
    }
}
