//! The page for people: one document that needs nothing from elsewhere, and reads from 360 px up, in light and dark, by keyboard and by ear.
//!
//! It is whole without its script, which keeps it fresh, draws the graphs and tells more on request (`html/page.js`). All text that
//! comes from the host is escaped; what the browser may do with the page stands in [`POLICY`]. Style, script and the chart library are
//! `assets.rs`.

use std::fmt;
use std::time::Duration;

use watchd_probes::{ObjectId, filesystem, load, memory, uptime};

use super::disk::{self, Space};
use super::json::{Usage, processor_share, used_share};
use super::verdict;
use super::{Page, Span, Stamp, assets};
use crate::model::{ClassKind, Now, PromiseKind, Severity};
use crate::store::board::text;
use crate::store::{ClassRow, Header, PromiseRow, Readings, ServiceRow, Snapshot};

mod graphs;
mod words;

use words::{Escaped, Size};

/// What the browser may do with the page: use what this door serves, and nothing else. Text never becomes markup.
pub const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Events shown, newest first.
const EVENTS_SHOWN: usize = 20;

/// Writes the page; with graphs when there is a history.
pub fn write(snapshot: &Snapshot, has_history: bool, now: Now, page: &mut Page) {
    let header = &snapshot.header;
    write_head(header, page);
    write_top(snapshot, now, page);
    page.text("<main>\n");
    write_host(snapshot.readings(), header, page);
    write_services(snapshot, now, page);
    write_disks(snapshot.readings(), page);
    if has_history {
        graphs::write(snapshot.readings(), page);
    }
    write_promises(snapshot, now, page);
    write_classes(snapshot, page);
    write_events(snapshot, now, page);
    page.text("</main>\n");
    write_foot(header, page);
    page.text("</body></html>\n");
}

fn write_head(header: &Header, page: &mut Page) {
    let host = Escaped(text(&header.host).as_bytes());
    let refresh = (header.cycle_ms / 1000).clamp(5, 60);
    page.put(format_args!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{host} · watchd</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">\
         <noscript><meta http-equiv=\"refresh\" content=\"{refresh}\"></noscript>"
    ));
    let address = assets::address;
    page.put(format_args!(
        "<link rel=\"icon\" href=\"{}\"><link rel=\"stylesheet\" href=\"{}\">\
         <script defer src=\"{}\"></script><script defer src=\"{}\"></script></head><body>\n",
        address("/icon.svg"),
        address("/page.css"),
        address("/uplot.js"),
        address("/page.js")
    ));
}

fn write_top(snapshot: &Snapshot, now: Now, page: &mut Page) {
    let header = &snapshot.header;
    let verdict = verdict::of(snapshot, now);
    page.put(format_args!(
        "<a class=\"skip\" href=\"#services\">Skip to the services</a>\n<header class=\"top {}{}\" id=\"top\"><div>\
         <h1>{}</h1><p id=\"verdict\" role=\"status\">{}</p></div>",
        verdict.tone.word(),
        if verdict.text.len() > 80 { " long" } else { "" },
        Escaped(text(&header.host).as_bytes()),
        Escaped(verdict.text.as_bytes())
    ));
    page.put(format_args!(
        "<p id=\"asof\">As of {}, sampled every {}</p></header>\n",
        Stamp(header.sample_wall_ms),
        Span(ms(header.cycle_ms))
    ));
    page.text("<p id=\"notice\" class=\"notice bad\" role=\"alert\" hidden></p>\n");
    if header.config_ok != 1 {
        let error = Escaped(text(&header.config_error).as_bytes());
        page.put(format_args!("<p class=\"notice bad\">The newest configuration was refused: {error}</p>\n"));
    }
}

fn write_host(readings: Readings<'_>, header: &Header, page: &mut Page) {
    let number = |metric| readings.view.host(metric).number();
    let count = |metric| readings.view.host(metric).int();
    page.text("<dl id=\"host\" class=\"tiles\">\n");
    if let Some([one, five, fifteen]) = all([load::ONE, load::FIVE, load::FIFTEEN].map(number)) {
        write_tile("Load", format_args!("{one:.2} <small>{five:.2} {fifteen:.2}</small>"), page);
    }
    if let Some(share) = processor_share(readings) {
        write_tile("Processors", format_args!("{share:.0} %"), page);
    }
    if let (Some(total), Some(share)) =
        (count(memory::TOTAL), used_share(count(memory::TOTAL), count(memory::AVAILABLE)))
    {
        write_tile("Memory", format_args!("{share:.0} % <small>of {}</small>", Size(total)), page);
    }
    if let (Some(total), Some(share)) =
        (count(memory::SWAP_TOTAL), used_share(count(memory::SWAP_TOTAL), count(memory::SWAP_FREE)))
    {
        write_tile("Swap", format_args!("{share:.0} % <small>of {}</small>", Size(total)), page);
    }
    if let Some(up) = number(uptime::UP).and_then(|up| Duration::try_from_secs_f64(up).ok()) {
        write_tile("Up", format_args!("{}", Span(up)), page);
    }
    let watched = header.sample_mono_ms.saturating_sub(header.started_mono_ms);
    write_tile("Watched for", format_args!("{}", Span(ms(watched))), page);
    page.text("</dl>\n");
}

fn all<const N: usize>(values: [Option<f64>; N]) -> Option<[f64; N]> {
    let mut whole = [0.0; N];
    for (slot, value) in whole.iter_mut().zip(values) {
        *slot = value?;
    }
    Some(whole)
}

fn write_tile(name: &str, value: fmt::Arguments<'_>, page: &mut Page) {
    page.put(format_args!("<div><dt>{name}</dt><dd>{value}</dd></div>\n"));
}

fn write_services(snapshot: &Snapshot, now: Now, page: &mut Page) {
    page.text("<section id=\"services\" aria-label=\"Services\"><h2>Services</h2>\n");
    if snapshot.services.is_empty() {
        page.text(
            "<p class=\"empty\">No service is watched yet. <code>watchd discover</code> proposes some.</p></section>\n",
        );
        return;
    }
    page.text(
        "<table><thead><tr><th scope=\"col\">Service<th scope=\"col\">State<th scope=\"col\" class=\"strip\">Last 24 hours\
         <th scope=\"col\" class=\"n\">For<th scope=\"col\" class=\"n\">Restarts<th scope=\"col\" class=\"n\">CPU\
         <th scope=\"col\" class=\"n\">Memory<th scope=\"col\" class=\"why\">Last decision</tr></thead><tbody>\n",
    );
    for service in &snapshot.services {
        write_service(service, snapshot.readings(), now, page);
    }
    page.text("</tbody></table></section>\n");
}

fn write_service(service: &ServiceRow, readings: Readings<'_>, now: Now, page: &mut Page) {
    let state = service.state();
    let since = now.mono.saturating_sub(ms(service.since_mono_ms));
    let usage = Usage::of(service, readings);
    page.put(format_args!(
        "<tr><th scope=\"row\">{}<td><span class=\"pill {}\">{state}</span><td class=\"strip\"><td class=\"n\" data-n=\"for\">{}\
         <td class=\"n\" data-n=\"restarts\">{}",
        Escaped(text(&service.id).as_bytes()),
        state.tone().word(),
        Span(since),
        service.restarts,
    ));
    match usage.cpu_pct {
        Some(share) => page.put(format_args!("<td class=\"n\" data-n=\"CPU\">{share:.1} %")),
        None => page.text("<td class=\"n\">"),
    }
    match usage.rss_kib {
        Some(kib) => page.put(format_args!("<td class=\"n\" data-n=\"memory\">{}", Size(kib * 1024))),
        None => page.text("<td class=\"n\">"),
    }
    page.put(format_args!("<td class=\"why\">{}</tr>\n", Escaped(text(&service.reason).as_bytes())));
}

fn write_disks(readings: Readings<'_>, page: &mut Page) {
    let mut is_begun = false;
    for object in disk::notable(readings) {
        if !is_begun {
            page.text(
                "<section id=\"disks\" aria-label=\"Disks\"><h2>Disks</h2>\n<table><thead><tr><th scope=\"col\">Mounted at\
                 <th scope=\"col\" class=\"bar\">Full<th scope=\"col\" class=\"n\">Free<th scope=\"col\" class=\"n\">Of\
                 <th scope=\"col\" class=\"n\">Inodes<th scope=\"col\">Forecast<th scope=\"col\" class=\"why\">Device</tr></thead><tbody>\n",
            );
            is_begun = true;
        }
        write_disk(readings, object, page);
    }
    if is_begun {
        page.text("</tbody></table></section>\n");
    }
}

fn write_disk(readings: Readings<'_>, object: ObjectId, page: &mut Page) {
    let (view, space) = (readings.view, Space::of(object, readings));
    page.put(format_args!("<tr><th scope=\"row\">{}", Escaped(view.part(object, 0))));
    for (flag, pill) in [
        (filesystem::HUNG, " <span class=\"pill bad\">does not answer</span>"),
        (filesystem::DEVICE_ERROR, " <span class=\"pill warn\">tells no space</span>"),
        (filesystem::READ_ONLY, " <span class=\"pill soft\">read-only</span>"),
    ] {
        if disk::is(flag, object, readings) {
            page.text(pill);
        }
    }
    match space.used_pct {
        Some(used) => page.put(format_args!(
            "<td class=\"bar\"><meter min=\"0\" max=\"100\" low=\"80\" high=\"90\" optimum=\"0\" value=\"{used:.0}\" \
             aria-label=\"{} full\"></meter> {used:.0} %",
            Escaped(view.part(object, 0))
        )),
        None => page.text("<td class=\"bar\">"),
    }
    for (name, bytes) in [("free", space.avail), ("of", space.size)] {
        match bytes {
            Some(bytes) => page.put(format_args!("<td class=\"n\" data-n=\"{name}\">{}", Size(bytes))),
            None => page.text("<td class=\"n\">"),
        }
    }
    match space.inodes_used_pct {
        Some(used) => page.put(format_args!("<td class=\"n\" data-n=\"inodes\">{used:.0} %")),
        None => page.text("<td class=\"n\">"),
    }
    let (device, kind) = (Escaped(view.part(object, 1)), Escaped(view.part(object, 2)));
    page.put(format_args!("<td><td class=\"why\">{device} ({kind})</tr>\n"));
}

fn write_promises(snapshot: &Snapshot, now: Now, page: &mut Page) {
    // Those about services stand with the services.
    let is_service =
        |row: &&PromiseRow| row.kind() == Some(PromiseKind::Process) && snapshot.service(text(&row.id)).is_some();
    let rows = || snapshot.promises.iter().filter(|row| !is_service(row));
    if rows().next().is_none() {
        return;
    }
    page.text(
        "<section id=\"promises\" aria-label=\"Promises\"><h2>Promises</h2>\n<table><thead><tr><th scope=\"col\">Promise<th scope=\"col\">Type\
         <th scope=\"col\">Outcome<th scope=\"col\" class=\"n\">Since</tr></thead><tbody>\n",
    );
    for promise in rows() {
        let kind = promise.kind().map_or("", |kind| kind.word());
        let (id, outcome) = (Escaped(text(&promise.id).as_bytes()), promise.outcome());
        let tone = outcome.tone().word();
        page.put(format_args!("<tr><th scope=\"row\">{id}<td>{kind}<td><span class=\"pill {tone}\">{outcome}</span>"));
        match promise.at_wall_ms {
            0 => page.text("<td class=\"n\"></tr>\n"),
            at => page.put(format_args!("<td class=\"n\">{} ago</tr>\n", Span(ago(now, at)))),
        }
    }
    page.text("</tbody></table></section>\n");
}

/// Those that readings, the learner, the policy and people make stand open; the many others are one press away.
fn write_classes(snapshot: &Snapshot, page: &mut Page) {
    let is_telling = |class: &&ClassRow| {
        use ClassKind::{Defined, Learned, Measured, Set};
        let is_one = class.kind().is_some_and(|kind| matches!(kind, Measured | Learned | Defined | Set));
        // What is as it should be does not stand out.
        is_one && !text(&class.name).ends_with("_ok")
    };
    let on = || snapshot.classes.iter().filter(|class| class.is_on());
    page.text("<section id=\"classes\" aria-label=\"Classes\"><h2>Classes</h2>\n<ul class=\"chips\">");
    on().filter(is_telling).for_each(|class| write_class(class, page));
    let hidden = if on().any(|class| is_telling(&class)) { " hidden" } else { "" };
    let others = on().filter(|class| !is_telling(class)).count();
    page.put(format_args!(
        "</ul><p class=\"empty\"{hidden}>No reading and no rule of the policy stands out.</p>\n<details><summary>{others} more, of services, \
         promises, time and host</summary><ul class=\"chips\">"
    ));
    on().filter(|class| !is_telling(class)).for_each(|class| write_class(class, page));
    page.text("</ul></details></section>\n");
}

fn write_class(class: &ClassRow, page: &mut Page) {
    let kind = class.kind().map_or("", |kind| kind.word());
    let name = Escaped(text(&class.name).as_bytes());
    page.put(format_args!("<li class=\"k-{kind}\" title=\"{kind}\">{name}</li>\n"));
}

fn write_events(snapshot: &Snapshot, now: Now, page: &mut Page) {
    page.text(
        "<section id=\"events\" aria-label=\"Events\"><h2>Events</h2>\n<table><thead><tr><th scope=\"col\" class=\"n\">When<th scope=\"col\">About\
         <th scope=\"col\">What</tr></thead><tbody>\n",
    );
    for event in snapshot.events.iter().rev().take(EVENTS_SHOWN) {
        let tone = match event.severity() {
            Severity::Info | Severity::Notice => "",
            Severity::Warning => "warn",
            Severity::Error => "bad",
        };
        let (stamp, age) = (Stamp(event.wall_ms), Span(ago(now, event.wall_ms)));
        page.put(format_args!(
            "<tr><td class=\"n\"><time datetime=\"{stamp}\" title=\"{stamp}\">{age} ago</time><td>{}<td class=\"{tone}\">{}: {}</tr>\n",
            Escaped(text(&event.subject).as_bytes()),
            event.kind(),
            Escaped(text(&event.text).as_bytes()),
        ));
    }
    page.text("</tbody></table></section>\n");
}

fn write_foot(header: &Header, page: &mut Page) {
    page.text(
        "<footer><h2>The same elsewhere</h2><ul><li><a href=\"/metrics\">/metrics</a> for Prometheus<li><a href=\"/api/status\">/api/status</a>, \
         <a href=\"/api/history\">/api/history</a>, <a href=\"/api/events\">/api/events</a> and \
         <a href=\"/api/classes\">/api/classes</a> as JSON<li><a href=\"/healthz\">/healthz</a> for probes\
         <li><a href=\"/graph/load.one.svg?since=7d\">/graph/METRIC.svg</a> for mails and wikis\
         <li><code>watchd top</code>, <code>status</code>, <code>why NAME</code>, <code>history METRIC</code> and <code>events</code> in a terminal",
    );
    if let Some(address) = node(text(&header.listening)) {
        page.put(format_args!("<li>a Munin node on <code>{}</code>", Escaped(address.as_bytes())));
    }
    page.text("</ul>\n");
    page.put(format_args!(
        "<p>watchd {} · process {} · listens on {}</p></footer>\n",
        Escaped(text(&header.version).as_bytes()),
        header.pid,
        Escaped(text(&header.listening).as_bytes()),
    ));
}

/// Where the Munin node is, of `munin 127.0.0.1:4949, http 127.0.0.1:4950`.
fn node(listening: &str) -> Option<&str> {
    listening.split(", ").find_map(|one| one.strip_prefix("munin "))
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Time since a moment by the wall clock, which may have been set: never below 0.
fn ago(now: Now, wall_ms: u64) -> Duration {
    now.wall.saturating_sub(ms(wall_ms))
}
