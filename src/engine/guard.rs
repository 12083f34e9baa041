//! Who guards the guard: the machine's own watchdog, fed by the loop and by nothing else, so that it bites when the loop stands still.

use std::path::Path;
use std::time::Duration;

use super::notes::Notes;
use crate::model::EventKind;
use crate::sys::watchdog::Device;

/// The device that the policy names, when it does.
#[derive(Default)]
pub struct Guard {
    path: Option<String>,
    device: Option<Device>,
    /// It was fed then.
    fed: Duration,
    /// That it cannot be used has been said.
    is_told: bool,
}

impl Guard {
    /// Uses this device from now on, and switches off one that is not wanted any more.
    pub fn follow(&mut self, path: Option<&str>, notes: &mut Notes) {
        if self.path.as_deref() != path {
            self.release(notes);
            (self.path, self.is_told) = (path.map(str::to_owned), false);
        }
    }

    /// A turn of the loop was made. Feeds it when half of the time between two meals is over, so that a cycle which comes anyway is
    /// enough; tries again to open one that could not be.
    pub fn turn(&mut self, mono: Duration, notes: &mut Notes) {
        let Some(path) = &self.path else { return };
        let is_new = self.device.is_none();
        if is_new {
            match Device::open(Path::new(path)) {
                Ok(device) => self.device = Some(device),
                Err(error) if self.is_told => drop(error),
                Err(error) => {
                    self.is_told = true;
                    notes.add(EventKind::Trouble, "", &format!("cannot use the watchdog {path}: {error}"));
                }
            }
        }
        let Some(device) = &mut self.device else { return };
        if !is_new && mono < self.fed + meal(device) / 2 {
            return;
        }
        self.fed = mono;
        match device.feed() {
            Ok(()) => self.is_told = false,
            // Opened anew with the next turn. It goes on counting meanwhile, as it should.
            Err(error) => {
                notes.add(EventKind::Trouble, "", &format!("cannot feed the watchdog {path}: {error}"));
                (self.device, self.is_told) = (None, true);
            }
        }
    }

    /// When it has to be fed at the latest.
    pub fn deadline(&self) -> Option<Duration> {
        self.device.as_ref().map(|device| self.fed + meal(device))
    }

    /// Switches it off: we end on purpose.
    pub fn release(&mut self, notes: &mut Notes) {
        if let Some(Err(error)) = self.device.take().map(Device::disarm) {
            notes.add(EventKind::Trouble, "", &format!("cannot switch the watchdog off: {error}"));
        }
    }
}

/// Three meals may be late before it bites.
fn meal(device: &Device) -> Duration {
    device.timeout() / 4
}
