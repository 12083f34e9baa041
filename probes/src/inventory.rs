//! What does not change while the host is up: distribution, kernel, architecture, name, processors. Asked once.

use sysinfo::System;

/// The host's fixed facts; an empty text is one that could not be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// `debian`
    pub distribution: String,
    /// `12`
    pub release: String,
    /// `6.1.0-18-amd64`
    pub kernel: String,
    /// `x86_64`
    pub architecture: String,
    pub host_name: String,
    pub cpus: usize,
}

impl Inventory {
    /// Asks the running system; allocates and reads files, so not in the turn.
    pub fn take() -> Self {
        Self {
            distribution: System::distribution_id(),
            release: System::os_version().unwrap_or_default(),
            kernel: System::kernel_version().unwrap_or_default(),
            architecture: System::cpu_arch(),
            host_name: System::host_name().unwrap_or_default(),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_one_plain_line() {
        let host = Inventory::take();
        for text in [&host.distribution, &host.release, &host.kernel, &host.architecture, &host.host_name] {
            assert!(!text.contains(['\n', '\0']), "{text:?}");
        }
        assert!(!host.kernel.is_empty() && !host.architecture.is_empty());
        assert!(host.cpus > 0);
    }
}
