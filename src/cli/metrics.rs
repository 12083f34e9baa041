//! `watchd metrics`: the page of metrics on standard output, as the HTTP side serves it, for textfile collectors and the curious.

use std::io::Write;
use std::process::ExitCode;

use super::{Given, failed, wrong};
use crate::export::Page;
use crate::export::openmetrics::{self, Format};
use crate::model::Places;
use crate::store::{Reader, Snapshot};
use crate::sys::{clock, stderr};

/// No daemon has run here.
const NO_DAEMON: u8 = 3;

pub fn run(places: &Places, given: &Given) -> ExitCode {
    if let Some(word) = given.words.first() {
        return wrong(&format!("cannot understand `{}`: metrics takes no name", word.escape_debug()));
    }
    let mut snapshot = Snapshot::default();
    if let Err(error) = Reader::open(&places.board()).and_then(|reader| reader.read(&mut snapshot)) {
        stderr::say(format_args!("watchd: {error}"));
        return ExitCode::from(NO_DAEMON);
    }
    let mut page = Page::new(Page::LIMIT);
    let format = if given.has("text") { Format::Text } else { Format::OpenMetrics };
    openmetrics::write(&snapshot, clock::now(), format, &mut page);
    if page.is_overflown() {
        return failed("cannot write the metrics: this host has more to tell than fits one page");
    }
    let mut out = std::io::stdout().lock();
    match out.write_all(page.bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
