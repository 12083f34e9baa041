//! Settings of plugins, as a Munin node's plugin-conf.d gives them: variables of sections that stand for one plugin or for many.
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
}

/// All sections, those that count more behind those that count less.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings(Vec<PluginSetting>);

impl Settings {
    /// No settings at all.
    pub const NONE: &'static Self = &Self(Vec::new());

    /// Puts sections into the order in which they count.
    pub fn new(mut sections: Vec<PluginSetting>) -> Self {
        sections.sort_by(|one, other| rank(&one.section).cmp(&rank(&other.section)));
        Self(sections)
    }

    /// A variable of a plugin.
    pub fn get(&self, plugin: &[u8], variable: &str) -> Option<&str> {
        let meant = self.0.iter().rev().filter(|setting| is_meant(&setting.section, plugin));
        meant
            .filter_map(|setting| setting.variables.iter().rev().find(|(name, _)| name == variable))
            .map(|(_, value)| value.as_str())
            .next()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What sections are sorted by: those with a star first.
pub fn rank(section: &str) -> (bool, &str) {
    (!section.contains('*'), section)
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
    }
}
