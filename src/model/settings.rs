//! Settings of plugins, as a Munin node's plugin-conf.d gives them: variables of sections that stand for one plugin or for many, and
//! the virtual host that a plugin belongs to.
//!
//! A section is called by a plugin's name, or by its beginning or end and a star. The section of the very name counts before all
//! others, and of those with a star the one that sorts last.

use serde::{Deserialize, Serialize};

/// The variables of one section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginSetting {
    /// `df`, `df*` or `*_local`.
    pub section: String,
    pub variables: Vec<(String, String)>,
    /// In small letters; none is the node itself.
    pub host_name: Option<String>,
}

/// All sections, those that count more behind those that count less.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings(Vec<PluginSetting>);

impl Settings {
    /// No settings at all.
    pub const NONE: &'static Self = &Self(Vec::new());

    /// Puts sections into the order in which they count.
    pub fn new(sections: Vec<PluginSetting>) -> Self {
        let mut sorted: Vec<PluginSetting> = Vec::new();
        for section in sections {
            let place = place_of(&section.section, sorted.iter().map(|other| other.section.as_str()));
            sorted.insert(place, section);
        }
        Self(sorted)
    }

    /// A variable of a plugin.
    pub fn get(&self, plugin: &[u8], variable: &str) -> Option<&str> {
        self.meant(plugin)
            .filter_map(|setting| setting.variables.iter().rev().find(|(name, _)| name == variable))
            .map(|(_, value)| value.as_str())
            .next()
    }

    /// The virtual host of a plugin.
    pub fn host_name(&self, plugin: &[u8]) -> Option<&str> {
        self.meant(plugin).find_map(|setting| setting.host_name.as_deref())
    }

    /// Sections about a plugin, what counts most first.
    fn meant(&self, plugin: &[u8]) -> impl Iterator<Item = &PluginSetting> {
        self.0.iter().rev().filter(move |setting| is_meant(&setting.section, plugin))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What sections are sorted by: those with a star first.
pub fn rank(section: &str) -> (bool, &str) {
    (!section.contains('*'), section)
}

/// Where a section goes among others that are sorted: behind all that count less, and behind its equals.
pub fn place_of<'a>(section: &str, sorted: impl DoubleEndedIterator<Item = &'a str> + ExactSizeIterator) -> usize {
    let mut sorted = sorted;
    sorted.rposition(|other| rank(other) <= rank(section)).map_or(0, |place| place + 1)
}

/// Whether a section is about a plugin.
pub fn is_meant(section: &str, plugin: &[u8]) -> bool {
    match (section.strip_suffix('*'), section.strip_prefix('*')) {
        (Some(start), _) => plugin.starts_with(start.as_bytes()),
        (None, Some(end)) => plugin.ends_with(end.as_bytes()),
        (None, None) => plugin == section.as_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_section_counts() {
        let section = |section: &str, value: &str| PluginSetting {
            section: section.to_owned(),
            variables: vec![("a".to_owned(), value.to_owned())],
            host_name: section.starts_with("if_").then(|| format!("{value}.example")),
        };
        let settings = Settings::new(vec![
            section("if_eth0", "exact"),
            section("if_*", "short"),
            section("if_err_*", "long"),
            section("*_end", "end"),
        ]);
        for (plugin, expect) in [
            ("if_eth0", Some("exact")),
            ("if_eth1", Some("short")),
            ("if_err_eth0", Some("long")),
            ("x_end", Some("end")),
            ("if_end", Some("short")),
            ("cpu", None),
            ("", None),
        ] {
            assert_eq!(settings.get(plugin.as_bytes(), "a"), expect, "{plugin}");
        }
        assert_eq!(settings.get(b"if_eth0", "b"), None);
        for (plugin, expect) in
            [("if_eth0", Some("exact.example")), ("if_x", Some("short.example")), ("x_end", None), ("cpu", None)]
        {
            assert_eq!(settings.host_name(plugin.as_bytes()), expect, "{plugin}");
        }
    }
}
