//! `watchd learn --replay IN.csv OUT.csv [--tz ZONE]`: what the learner would have said of a recorded series.
//!
//! Rows stream through, whatever their number. Rows that are no use are told with file and line, the rest counts; the exit code
//! says that there were some.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::{Given, failed, wrong};
use crate::learn::Settings;
use crate::learn::replay::Replay;
use crate::model::Places;
use crate::sys::clock::{self, Civil};
use crate::sys::stderr;

/// Some rows were no use.
const SOME_BAD: u8 = 2;
/// Complaints beyond this many are only counted.
const MOST_COMPLAINTS: u64 = 20;

pub fn run(_: &Places, given: &Given) -> ExitCode {
    let (Some(from), [to]) = (given.value("replay"), given.words.as_slice()) else {
        return wrong("cannot replay: give `--replay IN.csv` and one OUT.csv");
    };
    if let Some(zone) = given.value("tz")
        && !clock::set_zone(zone)
    {
        return wrong(&format!(
            "cannot use the zone `{}`: it is not in /usr/share/zoneinfo; a rule such as CET-1CEST,M3.5.0,M10.5.0/3 works anywhere",
            zone.escape_debug()
        ));
    }
    let mut settings = Settings::default();
    if let Some(days) = given.value("learning") {
        match days.parse::<u32>() {
            Ok(days @ 1..=365) => settings.learning_s = days * 86_400,
            _ => return wrong(&format!("cannot learn for `{}` days: give 1 to 365", days.escape_debug())),
        }
    }
    replay(Path::new(from), Path::new(to), settings)
}

fn replay(from: &Path, to: &Path, settings: Settings) -> ExitCode {
    let input = match File::open(from) {
        Ok(file) => BufReader::new(file),
        Err(error) => return failed(&format!("cannot read {}: {error}", from.display())),
    };
    if let (Ok(one), Ok(other)) = (from.canonicalize(), to.canonicalize())
        && one == other
    {
        return wrong(&format!("cannot write {}: it is the series itself", to.display()));
    }
    let output = match File::create(to) {
        Ok(file) => BufWriter::new(file),
        Err(error) => return failed(&format!("cannot write {}: {error}", to.display())),
    };
    let name = from.file_stem().unwrap_or_default().to_string_lossy();
    let week = |at: i64| Civil::local(Duration::from_secs(u64::try_from(at).unwrap_or_default())).week_second();
    let mut told = 0;
    let done = Replay::new(&name, settings, &week).run(input, output, |line, bad| {
        told += 1;
        if told <= MOST_COMPLAINTS {
            stderr::say(format_args!("{}:{line}: {bad}", from.display()));
        }
    });
    match done {
        Ok(tally) if tally.bad > 0 => {
            stderr::say(format_args!(
                "watchd: {} rows of {} were no use, {} were",
                tally.bad,
                from.display(),
                tally.samples + tally.missing
            ));
            ExitCode::from(SOME_BAD)
        }
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("cannot replay {} into {}: {error}", from.display(), to.display())),
    }
}
