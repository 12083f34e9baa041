//! The loop's part in limits: hands each service what it uses, and runs the programs that limits ask for.

use watchd_probes::{Look, MetricId, ProbeId, Value, pressure, service};

use crate::model::{Figures, Form, Quantity, ServiceSpec};
use crate::store::Readings;

use super::core::Core;
use super::errands::{Order, Owner};

impl Core {
    /// Once a cycle, after the look.
    pub(super) fn measure_services(&mut self) {
        for number in 0..self.services.len() {
            let Some(spec) = self.services.limited(number) else { continue };
            let mut figures = figures(&self.sight.readings(), spec.id.as_bytes());
            if let Some(rss) = excess_of_memory(spec, &figures) {
                let id = spec.id.clone();
                let weighed = self.weighed(&id, rss);
                if let Some(figure) = figures.get_mut(usize::from(Quantity::Rss.byte())) {
                    *figure = Some(weighed);
                }
            }
            self.with_services(|services, turn| services.on_measured(number, figures, turn));
        }
    }

    /// Pages that several processes of a service have count in each of them. Where that makes it too large, a better number is worth its
    /// price: what its control group counts, or the sum of its proportional sizes while no work waits for memory.
    fn weighed(&mut self, id: &str, rss: u64) -> u64 {
        let Some(fact) = self.services.facts(self.now).find(|fact| fact.id == id) else { return rss };
        let is_own = matches!(fact.spec.form, Form::Run(_));
        if let Some(held) = self.cgroups.as_ref().filter(|_| is_own).and_then(|cgroups| cgroups.memory(id)) {
            return held.min(rss);
        }
        let stall = self.sight.readings().view.host(pressure::MEMORY_SOME_10).number();
        let Some(identity) = fact.identity.filter(|_| stall.is_none_or(|share| share < 10.0)) else { return rss };
        let mut look = Look { host: &self.sight.host, buffer: &mut self.sight.buffer, now: self.now };
        service::proportional(&mut look, identity.pid, identity.start_ticks).map_or(rss, |held| held.min(rss))
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

/// What is resident, when that is more than a limit says and there is more than one process to have the same pages.
fn excess_of_memory(spec: &ServiceSpec, figures: &Figures) -> Option<u64> {
    let of = |what: Quantity| figures.get(usize::from(what.byte())).copied().flatten();
    let rss = of(Quantity::Rss).filter(|_| of(Quantity::Children).is_some_and(|children| children > 0))?;
    spec.care.bounds.iter().any(|bound| bound.what == Quantity::Rss && rss > bound.max).then_some(rss)
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
