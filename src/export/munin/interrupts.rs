//! The plugin irqstats: one field for each source of interrupts.
//!
//! A label is made of the text behind the counts: `IR-PCI-MSI 524288-edge      nvme0q0` loses its first word, the kind of controller;
//! a hardware number standing alone goes behind the rest, in brackets; `Level` and `Edge` go.

use watchd_probes::{ObjectId, ProbeId, interrupts};

use super::Ask;
use super::facts::{Amount, Facts};
use super::graph::{Plugin, Shape, write_traits};
use super::limits;
use crate::export::Page;

pub const IRQSTATS: Plugin = Plugin {
    name: "irqstats",
    about: "Interrupts of each source.",
    shape: Shape::Own {
        is_multigraph: false,
        is_present: |facts| facts.readings.view.objects(ProbeId::Interrupts).next().is_some(),
        write,
    },
};

/// Longer labels are replaced by the interrupt's name.
const LABEL_MAX: usize = 47;

fn write(facts: &Facts<'_>, ask: Ask, page: &mut Page) {
    let view = facts.readings.view;
    if ask.wants_config() {
        page.text("graph_title Individual interrupts\ngraph_args --base 1000 --logarithmic\n");
        page.text("graph_vlabel interrupts / ${graph_period}\ngraph_category system\n");
        page.put(format_args!("graph_info {}\ngraph_order", IRQSTATS.about));
        for object in view.objects(ProbeId::Interrupts) {
            page.put(format_args!(" {}", Name(view.part(object, 0))));
        }
        page.text("\n");
    }
    for object in view.objects(ProbeId::Interrupts) {
        let name = Name(view.part(object, 0));
        if ask.wants_config() {
            write_config(facts, object, name, page);
            limits::write(facts, &name, page);
        }
        if ask.wants_values() {
            Amount::from(facts.int(interrupts::COUNT, object)).write(name, page);
        }
    }
}

fn write_config(facts: &Facts<'_>, object: ObjectId, name: Name<'_>, page: &mut Page) {
    let info = facts.readings.view.part(object, 1);
    let start = page.len();
    page.put(format_args!("{name}.label "));
    let label = page.len();
    write_label(name.0, info, page);
    let written = page.len() - label;
    if written == 0 || written > LABEL_MAX {
        page.truncate(start);
        page.put(format_args!("{name}.label {}", name.0.escape_ascii()));
    }
    page.text("\n");
    write_traits(name, "type DERIVE\nmin 0", page);
}

fn write_label(name: &[u8], info: &[u8], page: &mut Page) {
    if !name.iter().all(u8::is_ascii_digit) {
        for (place, word) in info.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).enumerate() {
            if place > 0 {
                page.text(" ");
            }
            page.push(word);
        }
        return;
    }
    let rest = without_word(info);
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, behind) = rest.split_at_checked(digits).unwrap_or_default();
    let stands_alone = !number.is_empty() && behind.first().is_some_and(u8::is_ascii_whitespace);
    let text = if stands_alone { behind.trim_ascii_start() } else { rest };
    let text = [&b"Level"[..], b"Edge"]
        .iter()
        .find_map(|word| text.strip_prefix(*word).filter(|rest| rest.first().is_none_or(u8::is_ascii_whitespace)))
        .map_or(text, <[u8]>::trim_ascii_start);
    page.push(text);
    if stands_alone && number != name {
        page.text(if text.is_empty() { "[" } else { " [" });
        page.push(number);
        page.text("]");
    }
}

/// What follows the first word.
fn without_word(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii();
    let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    text.get(end..).unwrap_or_default().trim_ascii()
}

/// The field of an interrupt: `i24`.
#[derive(Clone, Copy)]
struct Name<'a>(&'a [u8]);

impl std::fmt::Display for Name<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "i{}", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_made_as_the_plugin_makes_them() {
        for (name, info, expect) in [
            ("24", "ACPI:Ged   5-edge      ACPI:Ged", "5-edge      ACPI:Ged"),
            ("27", "GICv2  25 Level     vgic", "vgic [25]"),
            ("25", "GICv2  25 Level     vgic", "vgic"),
            ("60", "GICv2  99 Level", "[99]"),
            ("NMI", "  Non-maskable   interrupts", "Non-maskable interrupts"),
            ("ERR", "", ""),
            ("1", "XT-PIC", ""),
            ("1", "", ""),
        ] {
            let mut page = Page::new(200);
            write_label(name.as_bytes(), info.as_bytes(), &mut page);
            assert_eq!(page.bytes(), expect.as_bytes(), "{name} {info}");
        }
    }
}
