//! `watchd munin`: a plugin for a munin-node that is there already, and the whole node on standard input and output.
//!
//! Both answer from the board and ask the daemon nothing. As a plugin it takes the names that `list` gives, with or without
//! `watchd_` before them, so that a link `watchd_services` or `watchd_cpu` finds its graph.

use std::io::{Read, Write};
use std::process::ExitCode;

use super::{Given, failed, wrong};
use crate::export::Page;
use crate::export::munin::{Ask, Facts, Next, PLUGINS, Session, answer, names, spool};
use crate::model::Places;
use crate::store::board::text;
use crate::store::history::HistoryReader;
use crate::store::{BoardError, Reader, Snapshot};
use crate::sys::clock;

/// What links to the plugin begin with.
const PREFIX: &str = "watchd_";

/// The longest line of the node's protocol that can mean something.
const LINE: usize = 1024;

pub fn run(places: &Places, given: &Given) -> ExitCode {
    let words: Vec<&str> = given.words.iter().map(String::as_str).collect();
    match (given.has("stdio"), words.as_slice()) {
        (true, []) => converse(places),
        (false, ["autoconf"] | ["autoconf", _]) => autoconf(places),
        (false, ["suggest"]) => suggest(places),
        (false, ["config", name]) => tell(places, config(), name),
        (false, ["fetch", name] | [name]) => tell(places, Ask::Fetch, name),
        _ => wrong(
            "cannot understand that: say `munin config NAME`, `fetch NAME`, `suggest`, `autoconf`, or `--stdio` alone",
        ),
    }
}

/// A munin-node says so when its master takes values with the configuration.
fn config() -> Ask {
    let is_dirty = std::env::var_os("MUNIN_CAP_DIRTYCONFIG").is_some_and(|value| value == "1");
    if is_dirty { Ask::Dirty } else { Ask::Config }
}

fn board(places: &Places) -> Result<(Reader, Snapshot), BoardError> {
    let (reader, mut snapshot) = (Reader::open(&places.board())?, Snapshot::default());
    reader.read(&mut snapshot)?;
    Ok((reader, snapshot))
}

fn out(bytes: &[u8]) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Says whether it makes sense to link the plugin; not being able to is an answer, not a failure.
fn autoconf(places: &Places) -> ExitCode {
    match board(places) {
        Ok(_) => out(b"yes\n"),
        Err(error) => out(format!("no ({error})\n").as_bytes()),
    }
}

/// Names the graphs that Munin has no plugin of its own for.
fn suggest(places: &Places) -> ExitCode {
    let snapshot = match board(places) {
        Ok((_, snapshot)) => snapshot,
        Err(error) => return failed(&error.to_string()),
    };
    let mut page = Page::new(Page::LIMIT);
    names(&Facts::new(&snapshot, clock::now()), true, &mut |plugin, _| {
        if let Some(name) = plugin.strip_prefix(PREFIX) {
            page.put(format_args!("{name}\n"));
        }
    });
    out(page.bytes())
}

fn tell(places: &Places, ask: Ask, name: &str) -> ExitCode {
    let snapshot = match board(places) {
        Ok((_, snapshot)) => snapshot,
        Err(error) => return failed(&error.to_string()),
    };
    let now = clock::now();
    if ask == Ask::Dirty && !snapshot.header.is_fresh(now) {
        return tell(places, Ask::Config, name);
    }
    if ask == Ask::Fetch && !snapshot.header.is_fresh(now) {
        return failed("cannot tell values: the daemon does not turn; the last ones are old");
    }
    let (facts, mut page) = (Facts::new(&snapshot, now), Page::new(Page::LIMIT));
    let bare = name.strip_prefix(PREFIX).unwrap_or(name);
    let own = PLUGINS.iter().map(|plugin| plugin.name).find(|own| own.strip_prefix(PREFIX) == Some(bare));
    if answer(&facts, ask, own.unwrap_or(bare).as_bytes(), &mut page) {
        return out(page.bytes());
    }
    wrong(&format!("cannot tell `{}`: there is no such plugin here", name.escape_debug()))
}

/// The node's protocol on standard input and output, for `ssh://` addresses and inetd.
fn converse(places: &Places) -> ExitCode {
    let (reader, snapshot) = match board(places) {
        Ok(found) => found,
        Err(error) => {
            out(format!("# {error}\n").as_bytes());
            return ExitCode::FAILURE;
        }
    };
    // Who may not read it tells what the board has.
    let history = HistoryReader::open(&places.history()).ok();
    let mut talk = Talk { reader, snapshot, history, session: Session::default(), page: Page::new(Page::LIMIT) };
    Session::greet(text(&talk.snapshot.header.host), &mut talk.page);
    match talk.serve(&mut std::io::stdin().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("cannot go on with the conversation: {error}")),
    }
}

/// One conversation.
struct Talk {
    reader: Reader,
    snapshot: Snapshot,
    history: Option<HistoryReader>,
    session: Session,
    page: Page,
}

impl Talk {
    fn serve(&mut self, input: &mut impl Read) -> std::io::Result<()> {
        let (mut bytes, mut line) = ([0; LINE], Vec::with_capacity(LINE));
        loop {
            self.flush()?;
            let read = input.read(&mut bytes)?;
            if read == 0 && line.is_empty() {
                return Ok(());
            }
            // An unfinished last line counts.
            let text = if read == 0 { &b"\n"[..] } else { bytes.get(..read).unwrap_or_default() };
            for piece in text.split_inclusive(|byte| *byte == b'\n') {
                // What is too long is remembered as too long, no further.
                let room = (LINE + 1).saturating_sub(line.len());
                line.extend_from_slice(piece.get(..room).unwrap_or(piece));
                match if piece.ends_with(b"\n") { self.answer(&line) } else { Next::More } {
                    Next::More => {}
                    Next::Spool(since) => self.spool(since)?,
                    Next::Close | Next::Guest(..) => return self.flush(),
                }
                if piece.ends_with(b"\n") {
                    line.clear();
                }
            }
        }
    }

    fn answer(&mut self, line: &[u8]) -> Next {
        if line.len() > LINE {
            Session::refuse(&mut self.page);
            return Next::More;
        }
        // A master may take minutes; what it hears is as new as the board.
        if self.reader.read(&mut self.snapshot).is_err() {
            return Next::Close;
        }
        let facts = Facts::new(&self.snapshot, clock::now());
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        self.session.line(line, text(&self.snapshot.header.host), &facts, &mut self.page)
    }

    /// Everything since then, plugin by plugin.
    fn spool(&mut self, since: u64) -> std::io::Result<()> {
        let mut place = 0;
        loop {
            let facts = Facts::new(&self.snapshot, clock::now());
            let is_told = spool::write(&facts, self.history.as_ref(), since, place, &mut self.page);
            if !is_told {
                self.page.text(".\n");
                return Ok(());
            }
            self.flush()?;
            place += 1;
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(self.page.bytes())?;
        out.flush()?;
        self.page.clear();
        Ok(())
    }
}
