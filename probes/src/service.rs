//! To be written.
use crate::{Fault, Look, Metric, Probe, Sink};
pub const METRICS: &[Metric] = &[];
pub const LABELS: &[&str] = &[];
#[derive(Default)]
pub struct Service;
impl Probe for Service {
    fn read(&mut self, _look: &mut Look<'_>, _out: &mut Sink<'_>) -> Result<(), Fault> {
        Ok(())
    }
}
