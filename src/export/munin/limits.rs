//! Thresholds that users set in plugin-conf.d: `env.FIELD_warning`, else `env.warning`; the same for critical.
//!
//! ```text
//! [cpu]                     cpu.config
//! env.system_warning 50%    system.warning 1600       (of 32 processors)
//! env.critical 10%:90%      system.critical 320:2880
//! ```

use watchd_probes::{cpu, memory};

use super::facts::Facts;
use crate::export::{General, Page};

/// Plugins of Munin that take no thresholds.
const NONE: &[&[u8]] = &[b"threads", b"fw_packets", b"fw_conntrack", b"fw_forwarded_local"];

/// Those written in Perl, to which `0` is as good as nothing.
const PERL: &[&[u8]] = &[b"memory", b"df", b"df_inode", b"irqstats", b"users"];

/// Writes the thresholds of a field, where there are any. The last line of a kind is the one that counts.
pub fn write(facts: &Facts<'_>, field: &dyn std::fmt::Display, page: &mut Page) {
    if facts.settings.is_empty() || NONE.contains(&facts.plugin) {
        return;
    }
    let name = field.to_string();
    if !takes(facts.plugin, &name) {
        return;
    }
    for kind in ["warning", "critical"] {
        let told =
            |variable: &str| facts.setting(variable).filter(|value| *value != "0" || !PERL.contains(&facts.plugin));
        let Some(value) = told(&format!("{name}_{kind}")).or_else(|| told(kind)) else { continue };
        page.put(format_args!("{name}.{kind} "));
        match base(facts, &name) {
            Some(base) => write_shares(value, base, page),
            None => page.text(value),
        }
        page.text("\n");
    }
}

/// Fields that Munin's plugins give no thresholds.
fn takes(plugin: &[u8], field: &str) -> bool {
    match plugin {
        b"memory" => field != "ksm_sharing",
        _ if plugin.starts_with(b"if_err_") => matches!(field, "rcvd" | "trans"),
        _ => true,
    }
}

/// What a percentage is a share of.
#[allow(clippy::cast_precision_loss)]
fn base(facts: &Facts<'_>, field: &str) -> Option<f64> {
    let whole = match (facts.plugin, field) {
        (b"cpu", _) if facts.is_set("scaleto100") => Some(100),
        (b"cpu", _) => facts.host(cpu::CPUS).map(|cpus| cpus.saturating_mul(100)),
        (b"memory", "swap") => facts.host(memory::SWAP_TOTAL),
        (b"memory", _) => facts.host(memory::TOTAL),
        _ => None,
    };
    whole.map(|whole| whole as f64)
}

/// A threshold whose parts may be shares: `10%:90%`.
fn write_shares(value: &str, base: f64, page: &mut Page) {
    for (place, part) in value.split(':').enumerate() {
        if place > 0 {
            page.text(":");
        }
        match part.strip_suffix('%').and_then(|share| share.parse::<f64>().ok()) {
            Some(share) => page.put(format_args!("{}", General(base * share / 100.0))),
            None => page.text(part),
        }
    }
}
