//! watchd's own families: services, classes, promises, and how the daemon itself fares.

use watchd_probes::PROBES;

use super::{Escaped, Family, Format, Type};
use crate::export::Page;
use crate::model::{Now, PromiseKind, ServiceState};
use crate::store::board::text;
use crate::store::{LearnedRow, Snapshot};

pub fn write(snapshot: &Snapshot, now: Now, format: Format, page: &mut Page) {
    let mut out = Out { format, page };
    write_host(snapshot, now, &mut out);
    write_daemon(snapshot, now, &mut out);
    write_probes(snapshot, &mut out);
    write_services(snapshot, &mut out);
    write_verdicts(snapshot, &mut out);
    write_learned(snapshot, &mut out);
    write_figures(snapshot, &mut out);
}

/// What promises about numbers and files have found: the name of the family, its help, kind of promise and place of the figure.
type Figures = (&'static str, &'static str, PromiseKind, usize);

const FIGURES: &[Figures] = &[
    ("watchd_measure", "What the measures of the policy show.", PromiseKind::Measure, 0),
    ("watchd_freshness_age_seconds", "Age of the newest of what is to be fresh.", PromiseKind::Freshness, 0),
    ("watchd_freshness_size_bytes", "Size of the newest of what is to be fresh.", PromiseKind::Freshness, 1),
];

fn write_figures(snapshot: &Snapshot, out: &mut Out<'_>) {
    for (name, help, kind, place) in FIGURES {
        let mut is_begun = false;
        for row in &snapshot.promises {
            let Some(figure) = row.figure(*kind, *place) else { continue };
            if !std::mem::replace(&mut is_begun, true) {
                out.begin(name, Type::Gauge, help);
            }
            out.page.put(format_args!("{name}{{id=\"{}\"}} {figure}\n", Escaped(text(&row.id).as_bytes())));
        }
    }
}

struct Out<'a> {
    format: Format,
    page: &'a mut Page,
}

impl Out<'_> {
    fn begin(&mut self, name: &str, kind: Type, help: &str) {
        Family { name, kind, help }.begin(self.format, self.page);
    }

    fn single(&mut self, name: &str, kind: Type, help: &str, value: impl std::fmt::Display) {
        self.begin(name, kind, help);
        self.page.put(format_args!("{name} {value}\n"));
    }
}

/// What node dashboards choose a host by.
fn write_host(snapshot: &Snapshot, now: Now, out: &mut Out<'_>) {
    let header = &snapshot.header;
    out.single(
        "node_time_seconds",
        Type::Gauge,
        "The clock of the host, in seconds since 1970.",
        now.wall.as_secs_f64(),
    );
    out.begin("node_uname_info", Type::Gauge, "Which kernel runs, and what it calls the host.");
    out.page.put(format_args!("node_uname_info{{sysname=\"Linux\",machine=\"{}\"", std::env::consts::ARCH));
    for (label, fact) in [
        ("release", &header.kernel_release[..]),
        ("version", &header.kernel_version[..]),
        ("nodename", &header.node_name[..]),
        ("domainname", &header.domain_name[..]),
    ] {
        out.page.put(format_args!(",{label}=\"{}\"", Escaped(text(fact).as_bytes())));
    }
    out.page.text("} 1\n");
}

fn write_daemon(snapshot: &Snapshot, now: Now, out: &mut Out<'_>) {
    let header = &snapshot.header;
    let age = header.age(now).as_secs_f64();
    // A scraper of a live door must still see that the daemon behind it does not turn.
    let is_up = u8::from(header.is_fresh(now));
    out.single("watchd_up", Type::Gauge, "1 while the daemon's loop turns.", is_up);
    out.single("watchd_heartbeat_age_seconds", Type::Gauge, "Time since the daemon's loop turned last.", age);
    let started = seconds(header.started_wall_ms);
    out.single("watchd_start_time_seconds", Type::Gauge, "When the daemon started, in seconds since 1970.", started);
    out.single("watchd_cycles_total", Type::Counter, "Samples taken.", header.cycles);
    out.single("watchd_events_total", Type::Counter, "Events since the journal began.", header.events_total);
    let longest = seconds(header.longest_turn_us) / 1000.0;
    out.single("watchd_longest_turn_seconds", Type::Gauge, "The longest turn of the loop since the start.", longest);
    let config = header.config_ok;
    out.single("watchd_config_ok", Type::Gauge, "1 when the newest configuration is the one in force.", config);
    out.single("watchd_state_ok", Type::Gauge, "1 when the state directory can be written.", header.state_ok);
    if header.rss_kib > 0 {
        let bytes = u64::from(header.rss_kib) * 1024;
        out.single("watchd_resident_memory_bytes", Type::Gauge, "Resident memory of the daemon.", bytes);
    }
    if header.door_rss_kib > 0 {
        let bytes = u64::from(header.door_rss_kib) * 1024;
        out.single("watchd_door_resident_memory_bytes", Type::Gauge, "Resident memory of the network side.", bytes);
    }
    out.begin("watchd_build_info", Type::Info, "The version of the daemon.");
    out.page.put(format_args!("watchd_build_info{{version=\"{}\"}} 1\n", Escaped(text(&header.version).as_bytes())));
}

#[allow(clippy::cast_precision_loss)]
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

fn write_probes(snapshot: &Snapshot, out: &mut Out<'_>) {
    let view = snapshot.readings().view;
    out.begin("node_scrape_collector_success", Type::Gauge, "1 when the probe could read its sources.");
    for info in PROBES {
        let up = u8::from(view.state(info.id).is_up());
        out.page.put(format_args!("node_scrape_collector_success{{collector=\"{}\"}} {up}\n", info.name));
    }
    out.begin("node_scrape_collector_duration_seconds", Type::Gauge, "How long the probe took.");
    for info in PROBES {
        let took = f64::from(view.state(info.id).took_us()) / 1e6;
        out.page.put(format_args!("node_scrape_collector_duration_seconds{{collector=\"{}\"}} {took}\n", info.name));
    }
    out.begin(
        "watchd_probe_age_seconds",
        Type::Gauge,
        "How old the readings of a probe were when the sample was taken.",
    );
    for info in PROBES {
        let age = view.state(info.id).age().as_secs_f64();
        out.page.put(format_args!("watchd_probe_age_seconds{{collector=\"{}\"}} {age}\n", info.name));
    }
}

fn write_services(snapshot: &Snapshot, out: &mut Out<'_>) {
    if snapshot.services.is_empty() {
        return;
    }
    out.begin("watchd_service_state", Type::Gauge, "1 for the state a service is in, 0 for the others.");
    for service in &snapshot.services {
        let name = Escaped(text(&service.id).as_bytes());
        for state in ServiceState::ALL {
            let is = u8::from(service.state() == *state);
            out.page.put(format_args!("watchd_service_state{{name=\"{name}\",state=\"{state}\"}} {is}\n"));
        }
    }
    out.begin("watchd_service_restarts_total", Type::Counter, "How often a service was started again.");
    for service in &snapshot.services {
        let name = Escaped(text(&service.id).as_bytes());
        out.page.put(format_args!("watchd_service_restarts_total{{name=\"{name}\"}} {}\n", service.restarts));
    }
    out.begin("watchd_service_starts_left", Type::Gauge, "Starts left in the budget of a service.");
    for service in &snapshot.services {
        let name = Escaped(text(&service.id).as_bytes());
        out.page.put(format_args!("watchd_service_starts_left{{name=\"{name}\"}} {}\n", service.budget_left));
    }
}

fn write_verdicts(snapshot: &Snapshot, out: &mut Out<'_>) {
    if snapshot.classes.iter().any(|class| class.is_on()) {
        out.begin("watchd_class", Type::Gauge, "Classes that are true now.");
    }
    for class in snapshot.classes.iter().filter(|class| class.is_on()) {
        let kind = class.kind().map_or("", |kind| kind.word());
        let name = Escaped(text(&class.name).as_bytes());
        out.page.put(format_args!("watchd_class{{name=\"{name}\",kind=\"{kind}\"}} 1\n"));
    }
    if !snapshot.promises.is_empty() {
        out.begin("watchd_promise_outcome", Type::Gauge, "How each promise came out last.");
    }
    for promise in &snapshot.promises {
        let kind = promise.kind().map_or("", |kind| kind.word());
        let (id, outcome) = (Escaped(text(&promise.id).as_bytes()), promise.outcome());
        out.page.put(format_args!("watchd_promise_outcome{{id=\"{id}\",type=\"{kind}\",outcome=\"{outcome}\"}} 1\n"));
    }
}

/// What is usual now, of the quantities that have been learned.
fn write_learned(snapshot: &Snapshot, out: &mut Out<'_>) {
    type Read = fn(&LearnedRow) -> f32;
    let families: [(&str, &str, Read); 3] = [
        ("watchd_learned_expected", "What is expected at this time of the week.", |row| row.expected),
        ("watchd_learned_low", "Less than one value a week lies below.", |row| row.low),
        ("watchd_learned_high", "Less than one value a week lies above.", |row| row.high),
    ];
    for (family, help, read) in families {
        let known = || snapshot.learned.iter().filter(|row| row.is_ready() && read(row).is_finite());
        if known().next().is_some() {
            out.begin(family, Type::Gauge, help);
        }
        for row in known() {
            let name = Escaped(text(&row.name).as_bytes());
            out.page.put(format_args!("{family}{{metric=\"{name}\"}} {}\n", read(row)));
        }
    }
}
