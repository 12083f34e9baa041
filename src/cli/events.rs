//! `watchd events`: what was, from the journal; with `--follow` what comes as well. The daemon need not run.

use std::io;
use std::process::ExitCode;

use super::given::Given;
use super::grid::{Paint, Tone};
use super::quantity::{plain, stamp};
use crate::export::Stamp;
use crate::model::{Places, Severity};
use crate::store::EventRow;
use crate::store::board::text;
use crate::store::journal::JournalReader;
use crate::sys::changes::Changes;

/// How many are shown when nobody says.
const LAST: u64 = 50;

/// How events are written.
#[derive(Clone, Copy)]
enum Form {
    Text(Paint),
    /// One object in each line, with the fields that events have in `status --json`.
    Json,
}

pub fn run(places: &Places, given: &Given) -> ExitCode {
    let last = match given.value("last").map(|text| text.parse::<u64>().map_err(|_| text)).transpose() {
        Ok(last) => last.unwrap_or(LAST),
        Err(text) => {
            return super::wrong(&format!("cannot understand `--last {}`: it is no number", text.escape_debug()));
        }
    };
    if let Some(word) = given.words.first() {
        return super::wrong(&format!("cannot understand `{}`: events takes no name", word.escape_debug()));
    }
    let form = if given.has("json") { Form::Json } else { Form::Text(super::status::paint()) };
    let path = places.events();
    // Watched before the first look, so that nothing falls between.
    let changes = given.has("follow").then(|| Changes::of(&path));
    let journal = match JournalReader::open(&path) {
        Ok(journal) => journal,
        Err(error) => return super::failed(&format!("cannot read the journal {}: {error}", path.display())),
    };
    let rows = journal.last(last);
    let mut newest = rows.last().map_or_else(|| journal.newest(), |row| row.number);
    let shown = show(&rows, form);
    let Some(changes) = changes.filter(|_| shown) else { return ExitCode::SUCCESS };
    let follow = |changes: Changes| {
        loop {
            changes.wait()?;
            let rows = journal.after(newest);
            newest = rows.last().map_or(newest, |row| row.number);
            if !show(&rows, form) {
                return Ok(ExitCode::SUCCESS);
            }
        }
    };
    let cannot = |error: io::Error| super::failed(&format!("cannot follow {}: {error}", path.display()));
    changes.and_then(follow).unwrap_or_else(cannot)
}

/// Writes some events; false when nobody reads any more.
fn show(rows: &[EventRow], form: Form) -> bool {
    let mut page = String::new();
    for row in rows {
        page.push_str(&match form {
            Form::Text(paint) => line(row, paint),
            Form::Json => json(row),
        });
        page.push('\n');
    }
    super::say(&page)
}

/// `2026-11-22 15:02:08  warning  service-died  web: killed by signal 9`
pub fn line(row: &EventRow, paint: Paint) -> String {
    let tone = match row.severity() {
        Severity::Error => Tone::Bad,
        Severity::Warning => Tone::Odd,
        Severity::Notice | Severity::Info => Tone::Plain,
    };
    let (subject, what) = (plain(text(&row.subject)), plain(text(&row.text)));
    let gap = if subject.is_empty() || what.is_empty() { "" } else { ": " };
    let kind = paint.paint(tone, &format!("{:<17}", row.kind().word()));
    format!("{}  {kind}  {subject}{gap}{what}", stamp(row.wall_ms))
}

fn json(row: &EventRow) -> String {
    serde_json::json!({
        "number": row.number,
        "at": Stamp(row.wall_ms).to_string(),
        "kind": row.kind().word(),
        "severity": row.severity().word(),
        "subject": text(&row.subject),
        "text": text(&row.text),
    })
    .to_string()
}
