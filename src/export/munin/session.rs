//! The node's side of one conversation, line by line.
//!
//! Commands are known by how a line begins, in any case; `config` and `fetch` take at most one blank before the name, which ends
//! at the next white space. A name is compared with what the board has and is never a path. One deviation from
//! munin-node: a node whose name has capitals lists its plugins all the same.

use super::{Ask, Facts, answer, names};
use crate::export::Page;

/// What to do with the connection after a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    More,
    Close,
}

/// What one client has negotiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// The client understands plugins of several graphs.
    multigraph: bool,
}

const UNKNOWN: &str = "# Unknown command. Try cap, list, nodes, config, fetch, version or quit\n";

impl Session {
    /// What the node says before it is asked.
    pub fn greet(host: &str, page: &mut Page) {
        page.put(format_args!("# munin node at {host}\n"));
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
            self.multigraph = words.split(|byte| *byte == b' ').any(|word| word == b"multigraph");
            page.text("cap multigraph dirtyconfig\n");
        } else if let Some(rest) = after(line, b"list") {
            self.list(rest, host, facts, page);
        } else if after(line, b"nodes").is_some() {
            page.put(format_args!("{}\n.\n", Lower(host)));
        } else if let Some(name) = after(line, b"config") {
            reply(facts, Ask::Config, name, page);
        } else if let Some(name) = after(line, b"fetch") {
            reply(facts, Ask::Fetch, name, page);
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
        if wanted.is_empty() || wanted.eq_ignore_ascii_case(host.as_bytes()) {
            names(facts, self.multigraph, &mut |plugin, instance| {
                if page.len() > start {
                    page.text(" ");
                }
                page.text(plugin);
                page.push(instance);
            });
        }
        page.text("\n");
    }
}

/// What follows a command, when the line begins with it.
fn after<'a>(line: &'a [u8], command: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(command.len())?;
    start.eq_ignore_ascii_case(command).then_some(rest)
}

fn reply(facts: &Facts<'_>, ask: Ask, rest: &[u8], page: &mut Page) {
    let name = rest.strip_prefix(b" ").or_else(|| rest.strip_prefix(b"\t")).unwrap_or(rest);
    let name = name.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let start = page.len();
    if !answer(facts, ask, name, page) {
        page.text("# Unknown service\n");
    } else if ask == Ask::Fetch && !facts.snapshot.header.is_fresh(facts.now) {
        // Old readings are not told as new ones.
        page.truncate(start);
        page.text("# Timed out\n");
    }
    page.text(".\n");
}

/// A host name in lower case.
struct Lower<'a>(&'a str);

impl std::fmt::Display for Lower<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::fmt::Write as _;
        self.0.chars().try_for_each(|letter| out.write_char(letter.to_ascii_lowercase()))
    }
}
