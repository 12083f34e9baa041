//! `watchd class list`: the classes that are true, or with `--all` every class there is: what makes each true, since when,
//! where that comes from, and when it ends, as far as that is known.

use std::process::ExitCode;
use std::time::Duration;

use super::given::Given;
use super::grid::{self, Cell, Column, Side, Tone};
use super::quantity::{age, plain, since};
use super::status::{Look, paint};
use crate::export::origin::Origin;
use crate::model::Places;
use crate::store::board::{By, text};
use crate::store::{BoardError, ClassRow, Reader};
use crate::sys::{accounts, stderr};

const COLUMNS: &[Column] = &[
    Column("CLASS", Side::Left, 0),
    Column("KIND", Side::Left, 0),
    Column("FOR", Side::Left, 0),
    Column("LEFT", Side::Left, 0),
    Column("FROM", Side::Left, 0),
];

pub fn run(places: &Places, given: &Given) -> ExitCode {
    let look = match Reader::open(&places.board()).and_then(|reader| Look::take(&reader)) {
        Ok(look) => look,
        Err(error) => {
            stderr::say(format_args!("watchd: {error}"));
            return ExitCode::from(if matches!(error, BoardError::Absent) { 3 } else { 4 });
        }
    };
    let chosen = |class: &&ClassRow| given.has("all") || class.is_on();
    let row = |class: &ClassRow| {
        let held = match (class.is_on(), class.since_wall_ms()) {
            (false, _) => "not true".to_owned(),
            (true, 0) => "-".to_owned(),
            (true, at) => age(since(look.now.wall, at)),
        };
        let left = match class.until_s {
            0 => "-".to_owned(),
            _ => age(Duration::from_millis(class.until_wall_ms()).saturating_sub(look.now.wall)),
        };
        let tone = if class.is_on() { Tone::Plain } else { Tone::Dim };
        let kind = class.kind().map_or("-", |kind| kind.word());
        vec![
            Cell(tone, plain(text(&class.name))),
            Cell(Tone::Dim, kind.to_owned()),
            Cell(tone, held),
            Cell(Tone::Dim, left),
            Cell(Tone::Dim, from(class, &look)),
        ]
    };
    let rows: Vec<_> = look.snapshot.classes.iter().filter(chosen).map(row).collect();
    super::say(&grid::table(COLUMNS, &rows, usize::MAX, paint()));
    ExitCode::SUCCESS
}

/// What makes it true; who set it by hand is told by name as well.
pub fn from(class: &ClassRow, look: &Look) -> String {
    let origin = plain(&Origin::new(class, &look.snapshot).to_string());
    let name = match class.given_by() {
        By::Hand(uid) => accounts::name_of(uid),
        _ => None,
    };
    match name {
        Some(name) => format!("{origin} ({})", plain(&name)),
        None => origin,
    }
}
