//! The page for people: one document without scripts or outside requests, made anew by each request and refreshed once a cycle.
//!
//! Its style sheets are inline and named by their hashes in the policy that the browser enforces; nothing else may load. All text
//! that comes from the host is escaped. It reads from 360 px up, in light and dark.

use std::fmt::{self, Write as _};
use std::time::Duration;

use watchd_probes::{ObjectId, ProbeId, filesystem, load, memory, uptime};

use super::json::{Space, Usage, processor_share, used_share};
use super::{Page, Stamp};
use crate::model::{Now, ServiceState, Severity};
use crate::store::board::text;
use crate::store::history::HistoryReader;
use crate::store::{Header, Readings, Snapshot};

const STYLE: &str = include_str!("style.css");

/// What the browser may do with the page; the hashes are those of its style sheet and of its pictures'.
pub const POLICY: &str = "default-src 'none'; style-src 'sha256-PbKZ+QcdvIDPE3Mk19FN1h8zqDBUUc97eMutHlzuung=' \
    'sha256-DErOyY3vcJKMwBkS4Ut7VQDWi6TXtpqfPZQo/Cy5hyo='; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Events shown, newest first.
const EVENTS_SHOWN: usize = 20;

mod graphs;

/// Writes the page; with pictures of the last hours when there is a history.
pub fn write(snapshot: &Snapshot, history: Option<&HistoryReader>, now: Now, page: &mut Page) {
    let header = &snapshot.header;
    let host = Escaped(text(&header.host).as_bytes());
    let refresh = (header.cycle_ms / 1000).clamp(5, 60);
    page.put(format_args!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{host} · watchd</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"refresh\" content=\"{refresh}\"><style>{STYLE}</style></head><body>\n"
    ));
    write_top(header, now, page);
    write_host(snapshot.readings(), header, page);
    if let Some(history) = history {
        graphs::write(history, snapshot.readings(), now, page);
    }
    write_services(snapshot, now, page);
    write_disks(snapshot.readings(), page);
    write_promises(snapshot, now, page);
    write_classes(snapshot, page);
    write_events(snapshot, now, page);
    write_links(header, page);
    page.text("</body></html>\n");
}

fn write_top(header: &Header, now: Now, page: &mut Page) {
    page.put(format_args!("<h1>{}</h1>\n", Escaped(text(&header.host).as_bytes())));
    let (age, sampled) = (Span(header.age(now)), Stamp(header.sample_wall_ms));
    if header.is_fresh(now) {
        page.put(format_args!("<p>As of {sampled}, sampled every {}.</p>\n", Span(ms(header.cycle_ms))));
    } else {
        page.put(format_args!("<p class=\"bad\">The daemon has not turned for {age}; this is how things were.</p>\n"));
    }
    if header.config_ok != 1 {
        let error = Escaped(text(&header.config_error).as_bytes());
        page.put(format_args!("<p class=\"bad\">The newest configuration was refused: {error}</p>\n"));
    }
    if header.state_ok != 1 {
        page.text("<p class=\"bad\">The state directory cannot be written.</p>\n");
    }
}

fn write_host(readings: Readings<'_>, header: &Header, page: &mut Page) {
    let number = |metric| readings.view.host(metric).number();
    let count = |metric| readings.view.host(metric).int();
    page.text("<dl>\n");
    if let Some([one, five, fifteen]) = all([load::ONE, load::FIVE, load::FIFTEEN].map(number)) {
        write_tile("Load", format_args!("{one:.2} {five:.2} {fifteen:.2}"), page);
    }
    if let Some(share) = processor_share(readings) {
        write_tile("Processors", format_args!("{share:.0} %"), page);
    }
    if let (Some(total), Some(share)) =
        (count(memory::TOTAL), used_share(count(memory::TOTAL), count(memory::AVAILABLE)))
    {
        write_tile("Memory", format_args!("{share:.0} % of {}", Size(total)), page);
    }
    if let (Some(total), Some(share)) =
        (count(memory::SWAP_TOTAL), used_share(count(memory::SWAP_TOTAL), count(memory::SWAP_FREE)))
    {
        write_tile("Swap", format_args!("{share:.0} % of {}", Size(total)), page);
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
    if snapshot.services.is_empty() {
        return;
    }
    page.text(
        "<h2>Services</h2>\n<table><tr><th>Service<th>State<th class=\"n\">For<th class=\"n\">Restarts\
         <th class=\"n\">CPU<th class=\"n\">Memory<th>Why</tr>\n",
    );
    for service in &snapshot.services {
        let state = service.state();
        let since = now.mono.saturating_sub(ms(service.since_mono_ms));
        let usage = Usage::of(service, snapshot.readings());
        page.put(format_args!(
            "<tr><td><b>{}</b><td class=\"{}\">{state}<td class=\"n\" data-n=\"for\">{}\
             <td class=\"n\" data-n=\"restarts\">{}",
            Escaped(text(&service.id).as_bytes()),
            tone(state),
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
        page.put(format_args!("<td class=\"soft\">{}</tr>\n", Escaped(text(&service.reason).as_bytes())));
    }
    page.text("</table>\n");
}

/// How a state should look.
fn tone(state: ServiceState) -> &'static str {
    match state {
        ServiceState::Ready => "good",
        ServiceState::Stopped | ServiceState::Paused | ServiceState::Unknown => "soft",
        ServiceState::Starting | ServiceState::Stopping | ServiceState::Backoff | ServiceState::Waiting => "warn",
        ServiceState::Flapping | ServiceState::Down | ServiceState::Unhealthy => "bad",
    }
}

fn write_disks(readings: Readings<'_>, page: &mut Page) {
    let view = readings.view;
    let mut is_begun = false;
    for object in view.objects(ProbeId::Filesystem) {
        let space = Space::of(object, readings);
        let is_hung = view.get(filesystem::HUNG, object).int() == Some(1);
        if !is_hung && space.size.is_none_or(|size| size == 0) {
            continue;
        }
        if !is_begun {
            page.text("<h2>Disks</h2>\n<table><tr><th>Mounted at<th class=\"n\">Full<th><th class=\"n\">Free");
            page.text("<th class=\"n\">Of<th class=\"n\">Inodes<th>Device</tr>\n");
            is_begun = true;
        }
        write_disk(readings, object, space, page);
    }
    if is_begun {
        page.text("</table>\n");
    }
}

fn write_disk(readings: Readings<'_>, object: ObjectId, space: Space, page: &mut Page) {
    let view = readings.view;
    page.put(format_args!("<tr><td><b>{}</b>", Escaped(view.part(object, 0))));
    if view.get(filesystem::HUNG, object).int() == Some(1) {
        page.text(" <span class=\"bad\">does not answer</span>");
    }
    if view.get(filesystem::READ_ONLY, object).int() == Some(1) {
        page.text(" <span class=\"soft\">read-only</span>");
    }
    match space.used_pct {
        Some(used) => page.put(format_args!(
            "<td class=\"n\" data-n=\"full\">{used:.0} %<td><meter min=\"0\" max=\"100\" high=\"90\" value=\"{used:.0}\">\
             {used:.0} %</meter>"
        )),
        None => page.text("<td class=\"n\"><td>"),
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
    page.put(format_args!("<td class=\"soft\">{device} ({kind})</tr>\n"));
}

fn write_promises(snapshot: &Snapshot, now: Now, page: &mut Page) {
    if snapshot.promises.is_empty() {
        return;
    }
    page.text("<h2>Promises</h2>\n<table><tr><th>Promise<th>Type<th>Outcome<th class=\"n\">Since</tr>\n");
    for promise in &snapshot.promises {
        let kind = promise.kind().map_or("", |kind| kind.word());
        let (id, outcome) = (Escaped(text(&promise.id).as_bytes()), promise.outcome());
        page.put(format_args!("<tr><td><b>{id}</b><td>{kind}<td>{outcome}"));
        match promise.at_wall_ms {
            0 => page.text("<td class=\"n\"></tr>\n"),
            at => page.put(format_args!("<td class=\"n\">{} ago</tr>\n", Span(ago(now, at)))),
        }
    }
    page.text("</table>\n");
}

fn write_classes(snapshot: &Snapshot, page: &mut Page) {
    page.text("<h2>Classes</h2>\n<ul>\n");
    for class in snapshot.classes.iter().filter(|class| class.is_on()) {
        let kind = class.kind().map_or("", |kind| kind.word());
        page.put(format_args!("<li title=\"{kind}\">{}</li>\n", Escaped(text(&class.name).as_bytes())));
    }
    page.text("</ul>\n");
}

fn write_events(snapshot: &Snapshot, now: Now, page: &mut Page) {
    if snapshot.events.is_empty() {
        return;
    }
    page.text("<h2>Events</h2>\n<table><tr><th class=\"n\">When<th>About<th>What</tr>\n");
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
    page.text("</table>\n");
}

fn write_links(header: &Header, page: &mut Page) {
    page.text("<nav><a href=\"/metrics\">Metrics</a> <a href=\"/api/status\">Status as JSON</a> ");
    page.put(format_args!(
        "<a href=\"/healthz\">Health</a></nav>\n<p>watchd {} · process {} · listens on {}</p>\n",
        Escaped(text(&header.version).as_bytes()),
        header.pid,
        Escaped(text(&header.listening).as_bytes()),
    ));
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Time since a moment by the wall clock, which may have been set: never below 0.
fn ago(now: Now, wall_ms: u64) -> Duration {
    now.wall.saturating_sub(ms(wall_ms))
}

/// Text from the host, safe inside elements and quoted attributes.
struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for letter in chunk.valid().chars() {
                match letter {
                    '&' => out.write_str("&amp;")?,
                    '<' => out.write_str("&lt;")?,
                    '>' => out.write_str("&gt;")?,
                    '"' => out.write_str("&quot;")?,
                    '\'' => out.write_str("&#39;")?,
                    letter if letter.is_control() => out.write_char(char::REPLACEMENT_CHARACTER)?,
                    letter => out.write_char(letter)?,
                }
            }
            if !chunk.invalid().is_empty() {
                out.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

/// A stretch of time in its two largest units: `3d 4h`, `12m 5s`, `7s`.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
            (0, 0, 0, seconds) => write!(out, "{seconds}s"),
            (0, 0, minutes, seconds) => write!(out, "{minutes}m {seconds}s"),
            (0, hours, minutes, _) => write!(out, "{hours}h {minutes}m"),
            (days, hours, _, _) => write!(out, "{days}d {hours}h"),
        }
    }
}

/// Bytes in the largest binary unit that leaves three digits at most.
struct Size(u64);

impl fmt::Display for Size {
    #[allow(clippy::cast_precision_loss)]
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0 as f64;
        for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
            if value < 1000.0 {
                let digits = usize::from(value < 10.0 && unit != "B");
                return write!(out, "{value:.digits$} {unit}");
            }
            value /= 1024.0;
        }
        write!(out, "{value:.1} PiB")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_the_host_is_escaped() {
        for (text, expect) in [
            ("<script>", "&lt;script&gt;"),
            ("a\"b'c&d", "a&quot;b&#39;c&amp;d"),
            ("a\u{1b}[1m\n", "a\u{fffd}[1m\u{fffd}"),
            ("ä", "ä"),
        ] {
            assert_eq!(Escaped(text.as_bytes()).to_string(), expect);
        }
        assert_eq!(Escaped(b"a\xffb").to_string(), "a\u{fffd}b");
    }

    #[test]
    fn spans_and_sizes_are_short() {
        for (seconds, expect) in [(0, "0s"), (7, "7s"), (725, "12m 5s"), (3600, "1h 0m"), (273_600, "3d 4h")] {
            assert_eq!(Span(Duration::from_secs(seconds)).to_string(), expect);
        }
        for (bytes, expect) in
            [(0, "0 B"), (999, "999 B"), (1000, "1.0 KiB"), (10 << 20, "10 MiB"), (u64::MAX, "16384.0 PiB")]
        {
            assert_eq!(Size(bytes).to_string(), expect);
        }
    }

    #[test]
    fn the_policy_names_the_style_sheet() {
        for style in [STYLE, crate::export::svg::STYLE] {
            let hash = base64(&sha256(style.as_bytes()));
            assert!(POLICY.contains(&format!("'sha256-{hash}'")), "{hash}");
        }
    }

    fn base64(bytes: &[u8]) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let mut word = [0; 3];
            word[..chunk.len()].copy_from_slice(chunk);
            let word = u32::from_be_bytes([0, word[0], word[1], word[2]]);
            for place in 0..4 {
                let letter = LETTERS[(word >> (18 - 6 * place) & 63) as usize];
                text.push(if place > chunk.len() { '=' } else { letter.into() });
            }
        }
        text
    }

    /// FIPS 180-4; the constants are the fractional parts of the roots of the first primes.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn sha256(text: &[u8]) -> [u8; 32] {
        let primes: Vec<u32> = (2_u32..).filter(|n| (2..*n).all(|d| n % d != 0)).take(64).collect();
        let fraction = |root: f64| ((root - root.floor()) * 4_294_967_296.0) as u32;
        let k: Vec<u32> = primes.iter().map(|prime| fraction(f64::from(*prime).cbrt())).collect();
        let mut hash: Vec<u32> = primes.iter().take(8).map(|prime| fraction(f64::from(*prime).sqrt())).collect();
        let mut padded = text.to_vec();
        padded.push(0x80);
        padded.resize((padded.len() + 8).next_multiple_of(64) - 8, 0);
        padded.extend_from_slice(&(text.len() as u64 * 8).to_be_bytes());
        for block in padded.chunks(64) {
            let mut w: Vec<u32> =
                block.chunks(4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]])).collect();
            for t in 16..64 {
                let s0 = w[t - 15].rotate_right(7) ^ w[t - 15].rotate_right(18) ^ (w[t - 15] >> 3);
                let s1 = w[t - 2].rotate_right(17) ^ w[t - 2].rotate_right(19) ^ (w[t - 2] >> 10);
                w.push(w[t - 16].wrapping_add(s0).wrapping_add(w[t - 7]).wrapping_add(s1));
            }
            let mut v = hash.clone();
            for t in 0..64 {
                let s1 = v[4].rotate_right(6) ^ v[4].rotate_right(11) ^ v[4].rotate_right(25);
                let choice = (v[4] & v[5]) ^ (!v[4] & v[6]);
                let first = v[7].wrapping_add(s1).wrapping_add(choice).wrapping_add(k[t]).wrapping_add(w[t]);
                let s0 = v[0].rotate_right(2) ^ v[0].rotate_right(13) ^ v[0].rotate_right(22);
                let majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
                v.rotate_right(1);
                v[4] = v[4].wrapping_add(first);
                v[0] = first.wrapping_add(s0).wrapping_add(majority);
            }
            for (sum, part) in hash.iter_mut().zip(v) {
                *sum = sum.wrapping_add(part);
            }
        }
        let mut bytes = [0; 32];
        for (slot, byte) in bytes.iter_mut().zip(hash.iter().flat_map(|word| word.to_be_bytes())) {
            *slot = byte;
        }
        bytes
    }
}
