//! To be written.
use crate::{Fault, Look, Metric, Probe, Sink};
pub const METRICS: &[Metric] = &[];
pub const LABELS: &[&str] = &[];
#[derive(Default)]
pub struct Paging;
impl Probe for Paging {
    fn read(&mut self, _look: &mut Look<'_>, _out: &mut Sink<'_>) -> Result<(), Fault> {
        Ok(())
    }
}
