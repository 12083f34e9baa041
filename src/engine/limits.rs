//! The loop's part in limits: hands each service what it uses, and runs the programs that limits ask for.

use watchd_probes::{MetricId, ProbeId, Value, service};

use crate::model::Figures;
use crate::store::Readings;

use super::core::Core;
use super::errands::{Order, Owner};

impl Core {
    /// Once a cycle, after the look.
    pub(super) fn measure_services(&mut self) {
        for number in 0..self.services.len() {
            let Some(spec) = self.services.limited(number) else { continue };
            let figures = figures(&self.sight.readings(), spec.id.as_bytes());
            self.with_services(|services, turn| services.on_measured(number, figures, turn));
        }
    }

    /// Runs what limits ask for.
    pub(super) fn run_wanted(&mut self) {
        while let Some(wanted) = self.services.next_wanted() {
            let Some((launch, timeout)) = self.services.wanted(wanted) else { continue };
            let order = Order { owner: Owner::Limit(wanted.place), launch, timeout, input: None, is_heard: false };
            if let Some(done) = self.errands.start(&order, &self.poller, self.now.mono) {
                self.on_done(&done);
            }
        }
    }
}

/// What cannot be a measure says nothing.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn rounded(value: f64) -> Option<u64> {
    (value.is_finite() && value >= 0.0).then(|| value.round() as u64)
}

/// In the order of `Quantity::ALL`.
fn figures(readings: &Readings<'_>, id: &[u8]) -> Figures {
    let Some(object) = readings.view.find(ProbeId::Service, id) else { return Figures::default() };
    let whole = |metric: MetricId| match readings.view.get(metric, object) {
        Value::Int(value) => Some(value),
        _ => None,
    };
    [
        whole(service::RSS),
        readings.rate(service::CPU, object).and_then(|share| rounded(share * 100.0)),
        whole(service::FDS),
        whole(service::THREADS),
        whole(service::PROCESSES).map(|processes| processes.saturating_sub(1)),
        readings.view.get(service::AGE, object).number().and_then(|age| rounded(age * 1000.0)),
    ]
}
