//! Tables of graphs and fields, and how they become `config` and `fetch`.
//!
//! Attributes stand in the tables as Munin writes them, one a line, without the field's name. A field that is optional is
//! left out of both answers while there is no value for it; any other says `U` then.

use watchd_probes::{ObjectId, ProbeId};

use super::Ask;
use super::facts::{Amount, Facts};
use crate::export::Page;

/// One plugin: a row of the roster.
pub struct Plugin {
    /// Ends in `_` when there is one for each object.
    pub name: &'static str,
    /// What it shows, in one sentence; also its `graph_info`.
    pub about: &'static str,
    pub shape: Shape,
}

/// How a plugin's answer is made.
pub enum Shape {
    /// One graph of the host.
    Host(&'static Graph),
    /// One graph for each object of a probe, called by the plugin's name and the object's.
    Each { probe: ProbeId, graph: &'static Graph, is_listed: fn(&[u8]) -> bool },
    /// Anything else.
    Own { is_multigraph: bool, is_present: fn(&Facts<'_>) -> bool, write: fn(&Facts<'_>, Ask, &mut Page) },
}

/// One graph.
pub struct Graph {
    /// Attributes of the graph.
    pub head: &'static str,
    pub fields: &'static [Field],
    /// Lines of the configuration that depend on readings; `Graph::NONE` for most.
    pub more: fn(&Facts<'_>, ObjectId, &mut Page),
}

/// One field of a graph.
pub struct Field {
    pub name: &'static str,
    /// Attributes: label, draw, type, min …
    pub traits: &'static str,
    pub need: Need,
    pub value: fn(&Facts<'_>, ObjectId) -> Amount,
}

/// Whether a field stays when there is no value for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Always,
    Optional,
}

impl Graph {
    pub const NONE: fn(&Facts<'_>, ObjectId, &mut Page) = |_, _, _| {};

    pub fn write(&self, facts: &Facts<'_>, object: ObjectId, ask: Ask, page: &mut Page) {
        if ask.wants_config() {
            page.text(self.head);
            page.text("\n");
            (self.more)(facts, object, page);
        }
        for field in self.fields {
            field.write(facts, object, ask, page);
        }
    }

    fn has_values(&self, facts: &Facts<'_>, object: ObjectId) -> bool {
        self.fields.iter().any(|field| (field.value)(facts, object) != Amount::Unknown)
    }
}

impl Field {
    fn write(&self, facts: &Facts<'_>, object: ObjectId, ask: Ask, page: &mut Page) {
        let value = (self.value)(facts, object);
        if self.need == Need::Optional && value == Amount::Unknown {
            return;
        }
        if ask.wants_config() {
            write_traits(self.name, self.traits, page);
            super::limits::write(facts, &self.name, page);
        }
        if ask.wants_values() {
            value.write(self.name, page);
        }
    }
}

/// Writes attributes, each with the field's name before it.
pub fn write_traits(name: impl std::fmt::Display, traits: &str, page: &mut Page) {
    for line in traits.lines() {
        page.put(format_args!("{name}.{line}\n"));
    }
}

impl Plugin {
    pub fn is_multigraph(&self) -> bool {
        matches!(self.shape, Shape::Own { is_multigraph: true, .. })
    }

    /// Calls `give` for each plugin that this row stands for, with what follows its name.
    pub fn names(&self, facts: &Facts<'_>, give: &mut dyn FnMut(&[u8])) {
        let facts = &Facts { plugin: self.name.as_bytes(), ..*facts };
        match &self.shape {
            Shape::Host(graph) if graph.has_values(facts, ObjectId::HOST) => give(b""),
            Shape::Own { is_present, .. } if is_present(facts) => give(b""),
            Shape::Each { probe, is_listed, .. } => {
                let view = facts.readings.view;
                view.objects(*probe)
                    .map(|object| view.part(object, 0))
                    .filter(|name| is_listed(name) && is_plain(name) && !self.is_taken(facts, name))
                    .for_each(give);
            }
            Shape::Host(_) | Shape::Own { .. } => {}
        }
    }

    /// Whether this row is meant by the name, and there is something to say.
    pub fn has(&self, facts: &Facts<'_>, name: &[u8]) -> bool {
        let Some(instance) = name.strip_prefix(self.name.as_bytes()) else { return false };
        let facts = &Facts { plugin: name, ..*facts };
        match &self.shape {
            Shape::Each { probe, .. } => {
                let is_known = facts.readings.view.find(*probe, instance).is_some();
                is_known && is_plain(instance) && !self.is_taken(facts, instance)
            }
            Shape::Host(graph) => instance.is_empty() && graph.has_values(facts, ObjectId::HOST),
            Shape::Own { is_present, .. } => instance.is_empty() && is_present(facts),
        }
    }

    /// Whether a plugin about a service is somebody's own, who may mean other processes by the name.
    fn is_taken(&self, facts: &Facts<'_>, instance: &[u8]) -> bool {
        let is_it = |name: &str| name.strip_prefix(self.name).is_some_and(|rest| rest.as_bytes() == instance);
        matches!(self.shape, Shape::Each { probe: ProbeId::Service, .. })
            && facts.guests.iter().any(|guest| is_it(&guest.name))
    }

    /// Answers when this row is meant by the name.
    pub fn answer(&self, facts: &Facts<'_>, ask: Ask, name: &[u8], page: &mut Page) -> bool {
        let Some(instance) = name.strip_prefix(self.name.as_bytes()) else { return false };
        let object = match &self.shape {
            Shape::Each { probe, .. } => {
                let found = facts.readings.view.find(*probe, instance);
                found.filter(|_| is_plain(instance) && !self.is_taken(facts, instance))
            }
            Shape::Own { is_present, .. } if !is_present(facts) => None,
            Shape::Host(_) | Shape::Own { .. } => instance.is_empty().then_some(ObjectId::HOST),
        };
        let Some(object) = object else { return false };
        match &self.shape {
            Shape::Host(graph) | Shape::Each { graph, .. } => {
                graph.write(facts, object, ask, page);
                if ask.wants_config() {
                    page.put(format_args!("graph_info {}\n", self.about));
                }
            }
            Shape::Own { write, .. } => write(facts, ask, page),
        }
        true
    }
}

/// Whether a name is one a plugin file could have; anything else would break the lines of the protocol.
fn is_plain(name: &[u8]) -> bool {
    !name.is_empty()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'@' | b'.' | b':'))
}
