//! `[learn]`: which quantities are followed, and for how long before anything but a gap is found.

use std::time::Duration;

use watchd_probes::{PROBES, ProbeId};

use super::assemble::Maker;
use crate::config::{Document, Place, nearest};
use crate::model::{QUANTITIES, Quantities};

/// Four weeks: each hour of the week was seen four times.
const AFTER: Duration = Duration::from_secs(28 * 86_400);
const DAY: Duration = Duration::from_secs(86_400);
/// Stands for the usual quantities in a list.
const USUAL: &str = "usual";
/// Bytes of a name; the board has room for so many.
const LONGEST: usize = 40;

impl Maker {
    /// Declares what is followed; gives how long is learned before anything is judged.
    pub fn learning(&mut self, document: &Document) -> Duration {
        let section = document.learn.as_ref().map(|(_, section)| section);
        let watchd = document.watchd.as_ref().map(|(_, section)| section);
        let place = document.learn.as_ref().map_or(Place { file: 0, line: 1, column: 1 }, |(place, _)| *place);
        let is_off = watchd.and_then(|watchd| watchd.learn.as_ref()).is_some_and(|learn| !learn.value);
        if is_off && document.learn.is_some() {
            self.findings.fault(place, "learn", "is of no use with watchd.learn = false", "take one of them out");
        }
        let listed = section.and_then(|section| section.quantities.as_ref());
        let mut quantities = Quantities { usual: !is_off && listed.is_none(), more: Vec::new() };
        for name in listed.iter().flat_map(|list| &list.value) {
            if name.0 == USUAL {
                quantities.usual = true;
            } else if let Err((what, remedy)) = check(&name.0) {
                let place = listed.map_or(place, |list| list.place);
                self.findings.fault(place, "learn.quantities", what, remedy);
            } else {
                quantities.more.push(name.0.clone());
            }
        }
        for measure in &document.measures {
            let Some(learn) = measure.section.learn.as_ref().filter(|learn| learn.value) else { continue };
            if is_off {
                let (key, what) = (format!("measure.{}.learn", measure.id), "is of no use with watchd.learn = false");
                self.findings.fault(learn.place, &key, what, "take one of them out");
            }
            quantities.more.push(measure.id.clone());
        }
        let place = listed.map_or(place, |list| list.place);
        if quantities.len() > QUANTITIES {
            let what = format!("{} quantities are too many", quantities.len());
            self.findings.fault(place, "learn.quantities", what, format!("there is room for {QUANTITIES}"));
        }
        let names: Vec<String> = quantities.iter().map(str::to_owned).collect();
        for twice in self.builder.quantities(quantities) {
            let name = names.get(twice).map_or("", String::as_str);
            let what = format!("`{name}` makes the same class names as one before it");
            self.findings.fault(place, "learn.quantities", what, "take it out");
        }
        let after = section.and_then(|section| section.after.as_ref());
        self.time(after, "learn.after", (DAY, 90 * DAY)).unwrap_or(AFTER)
    }
}

/// Whether something is measured that is called so; else what is wrong and what to do.
fn check(name: &str) -> Result<(), (String, String)> {
    let (metric, object) = name.split_once(':').map_or((name, None), |(metric, object)| (metric, Some(object)));
    let (probe, field) = metric.split_once('.').unwrap_or((metric, ""));
    let info = PROBES.iter().find(|info| info.name == probe);
    let Some(info) = info.filter(|info| info.metrics.iter().any(|metric| metric.field == field)) else {
        let all: Vec<String> = PROBES
            .iter()
            .flat_map(|info| info.metrics.iter().map(move |one| format!("{}.{}", info.name, one.field)))
            .collect();
        let near = nearest(metric, all.iter().map(String::as_str));
        let remedy = near
            .map_or_else(|| "write PROBE.FIELD, as `load.five`".to_owned(), |near| format!("the nearest is `{near}`"));
        return Err((format!("nothing measures `{metric}`"), remedy));
    };
    // The totals of all processors are the host's.
    let is_of_host = info.labels.is_empty() || (info.id == ProbeId::Cpu && !field.starts_with("core_"));
    let is_sum = matches!(info.id, ProbeId::Disk | ProbeId::Network);
    match object {
        _ if name.len() > LONGEST => Err((format!("`{name}` is too long"), format!("it may have {LONGEST} bytes"))),
        Some(_) if is_of_host => Err((format!("`{metric}` is of the whole host"), format!("write `{metric}`"))),
        Some("") => {
            Err((format!("`{name}` has no object"), format!("write what is behind the colon, as `{metric}:NAME`")))
        }
        None if !is_of_host && !is_sum => {
            let example = if info.id == ProbeId::Filesystem { "/" } else { "NAME" };
            Err((format!("`{metric}` is of many things"), format!("say which: `{metric}:{example}`")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_something_that_is_measured() {
        for good in [
            "load.one",
            "cpu.user",
            "cpu.core_user:0",
            "disk.reads",
            "disk.reads:sda",
            "filesystem.avail:/srv",
            "service.rss:web",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, what, remedy) in [
            ("load.on", "nothing measures `load.on`", "load.one"),
            ("zzz", "nothing measures", "load.five"),
            ("load.one:x", "of the whole host", "`load.one`"),
            ("disk.reads:", "no object", "disk.reads:NAME"),
            ("filesystem.avail", "of many things", "filesystem.avail:/"),
            ("filesystem.avail:/a/very/long/path/to/something", "too long", "40 bytes"),
        ] {
            let (told, advised) = check(bad).expect_err(bad);
            assert!(told.contains(what) && advised.contains(remedy), "{bad}: {told}; {advised}");
        }
    }
}
