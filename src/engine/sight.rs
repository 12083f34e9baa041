//! Looking: the probes, the last two samples, and the rates between them.

use std::cell::Cell;
use std::time::Duration;

use watchd_probes::{Buffer, Fault, Host, Look, Probes, Sample, paging};

use crate::model::{Now, Places};
use crate::store::{Rates, Readings};
use crate::sys::clock;

/// Everything that is needed to look at the host once.
pub struct Sight {
    pub host: Host,
    pub buffer: Buffer,
    pub probes: Probes,
    newest: Sample,
    before: Sample,
    rates: Rates,
    taken: Option<Now>,
    /// How many the kernel had killed for want of memory when the newest sample was taken, and those that have been explained since.
    pub killed: Cell<Option<u64>>,
}

impl Sight {
    pub fn open(places: &Places) -> Result<Self, Fault> {
        Ok(Self {
            host: Host::open(&places.root)?,
            buffer: Buffer::default(),
            probes: Probes::default(),
            newest: Sample::default(),
            before: Sample::default(),
            rates: Rates::default(),
            taken: None,
            killed: Cell::new(None),
        })
    }

    /// Reads every probe and computes the rates since the last time.
    pub fn look(&mut self, now: Now) {
        std::mem::swap(&mut self.newest, &mut self.before);
        self.probes.timex.told = clock::discipline();
        let mut look = Look { host: &self.host, buffer: &mut self.buffer, now };
        self.probes.read_all(&mut look, &mut self.newest);
        let apart = self.taken.map_or(Duration::ZERO, |taken| now.mono.saturating_sub(taken.mono));
        self.rates.update(&self.before, &self.newest, apart);
        self.taken = Some(now);
        self.killed.set(self.newest.view().host(paging::OOM_KILL).int());
    }

    pub fn readings(&self) -> Readings<'_> {
        Readings { view: self.newest.view(), rates: self.rates.as_slice() }
    }

    /// The newest sample, with the faults of its probes.
    pub fn sample(&self) -> &Sample {
        &self.newest
    }

    /// When the newest sample was taken.
    pub fn taken(&self) -> Now {
        self.taken.unwrap_or_default()
    }
}
