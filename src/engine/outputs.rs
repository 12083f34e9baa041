//! Keeps the files that services write their output to within bounds.
//!
//! A service has the file itself, so it writes on whatever becomes of watchd; only the cutting waits for us. A child looks at
//! all files in turn, cuts those that are too large, and says what it could not do: a disk that does not answer holds up that
//! child alone. It is ended when it has taken too long, and there is never more than one.

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use crate::model::{Form, Output, ServiceSpec};
use crate::sys::fork::{Helper, kill_child};
use crate::sys::{memory, rotate};

/// The files are looked at so often at most.
const EVERY: Duration = Duration::from_secs(10);
/// Copying some gigabytes on a slow disk.
const PATIENCE: Duration = Duration::from_secs(120);

/// The child at work.
#[derive(Default)]
pub struct Outputs {
    child: Option<Helper>,
    begun: Duration,
    /// What was told last: the same again would be noise.
    told: String,
}

/// The file that a service writes to.
fn file_of(spec: &ServiceSpec) -> Option<(&str, u64, u8)> {
    let Form::Run(launch) = &spec.form else { return None };
    match launch.setting.as_deref()?.output.as_ref()? {
        Output::File { path, max, keep } => Some((path, *max, *keep)),
        Output::Inherit | Output::Syslog { .. } => None,
    }
}

impl Outputs {
    /// Has the files looked at when that is due.
    pub fn look<'a>(&mut self, specs: impl Iterator<Item = &'a ServiceSpec> + Clone, mono: Duration) {
        if let Some(child) = self.child.as_ref().filter(|_| self.begun + PATIENCE <= mono) {
            kill_child(child.pid);
        }
        let is_due = self.child.is_none() && (self.begun == Duration::ZERO || self.begun + EVERY <= mono);
        if !is_due || !specs.clone().any(|spec| file_of(spec).is_some()) {
            return;
        }
        self.begun = mono;
        self.child = Helper::start(&[], |output| {
            memory::trim_text();
            for (path, max, keep) in specs.filter_map(file_of) {
                if let Err(error) = rotate::rotate(Path::new(path), max, keep) {
                    let _ = writeln!(output, "cannot cut {path}: {error}");
                }
            }
        })
        .ok();
    }

    /// A child has ended; if it was ours, gives what it could not do and has not said before.
    pub fn on_child(&mut self, pid: i32) -> Option<&str> {
        let child = self.child.take_if(|child| child.pid == pid)?;
        let mut said = String::new();
        // It has ended, so all that it ever wrote is there.
        let _ = child.output.take(1024).read_to_string(&mut said);
        if said == self.told {
            return None;
        }
        self.told = said;
        self.told.lines().next()
    }
}
