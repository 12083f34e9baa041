//! A plugin of somebody else, as the node lists it.

/// What is known of one; its output is what tells most of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guest {
    pub name: String,
    /// The virtual host it belongs to, in small letters; none is the node itself.
    pub host: Option<String>,
    /// It has several graphs.
    pub is_multigraph: bool,
    /// It gives values with its configuration although nobody asked.
    pub is_dirty: bool,
    /// It has no configuration, so that nobody could use it.
    pub is_silent: bool,
}

impl Guest {
    /// Learns from a configuration that was asked for without capabilities.
    pub fn learn(&mut self, config: &[u8]) {
        self.is_silent = config.is_empty();
        for line in config.split(|byte| *byte == b'\n') {
            let (key, value) = match line.iter().position(u8::is_ascii_whitespace) {
                Some(end) => (line.get(..end).unwrap_or_default(), line.get(end..).unwrap_or_default().trim_ascii()),
                None => (line, &b""[..]),
            };
            self.is_multigraph |= key == b"multigraph";
            self.is_dirty |= !key.starts_with(b"#") && key.ends_with(b".value");
            let is_host = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
            if key == b"host_name" && !value.is_empty() && value.iter().all(is_host) {
                self.host = std::str::from_utf8(value).ok().map(str::to_ascii_lowercase);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_tells_what_the_plugin_is() {
        let learned = |config: &str| {
            let mut guest = Guest { name: "x".to_owned(), ..Guest::default() };
            guest.learn(config.as_bytes());
            (guest.is_multigraph, guest.is_dirty, guest.is_silent, guest.host.unwrap_or_default())
        };
        for (config, expect) in [
            ("", (false, false, true, "")),
            ("graph_title x\na.label a\n", (false, false, false, "")),
            ("multigraph x.y\na.label a\n", (true, false, false, "")),
            ("a.label a\na.value 1\n", (false, true, false, "")),
            ("# a.value 1\n", (false, false, false, "")),
            ("host_name V.example\na.label a\n", (false, false, false, "v.example")),
            ("host_name ../x\n", (false, false, false, "")),
            ("host_name\n", (false, false, false, "")),
        ] {
            let (multigraph, dirty, silent, host) = expect;
            assert_eq!(learned(config), (multigraph, dirty, silent, host.to_owned()), "{config:?}");
        }
    }
}
