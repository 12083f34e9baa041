//! Load averages and task counts from /proc/loadavg: `0.20 0.18 0.12 1/80 11206`.
//!
//! The fourth word is runnable over all tasks (threads included); the last, the newest pid, is left out.

use crate::metric::metrics;
use crate::{Cursor, Fault, Fields, Look, Probe, Sink, Source, Value, lines};

metrics! { Load:
    ONE: "one", Count, Gauge, "node_load1", "", "Runnable and blocked tasks, averaged over one minute.";
    FIVE: "five", Count, Gauge, "node_load5", "", "Runnable and blocked tasks, averaged over five minutes.";
    FIFTEEN: "fifteen", Count, Gauge, "node_load15", "", "Runnable and blocked tasks, averaged over fifteen minutes.";
    RUNNABLE: "runnable", Count, Gauge, "watchd_tasks_runnable", "", "Tasks that run or wait for a processor, now.";
    TASKS: "tasks", Count, Gauge, "node_processes_threads", "", "All tasks, threads included.";
}
pub const LABELS: &[&str] = &[];

pub struct Load {
    source: Source,
}

impl Default for Load {
    fn default() -> Self {
        Self { source: Source::new("proc/loadavg") }
    }
}

impl Probe for Load {
    fn read(&mut self, look: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        let text = self.source.read(look)?;
        let load = parse(text).ok_or_else(|| Fault::malformed("proc/loadavg", 1, text))?;
        for (metric, value) in [(ONE, load.one), (FIVE, load.five), (FIFTEEN, load.fifteen)] {
            out.put(crate::ObjectId::HOST, metric, Value::Float(value));
        }
        out.host(RUNNABLE, load.runnable);
        out.host(TASKS, load.tasks);
        Ok(())
    }
}

struct Averages {
    one: f64,
    five: f64,
    fifteen: f64,
    runnable: u64,
    tasks: u64,
}

fn parse(text: &[u8]) -> Option<Averages> {
    let (_, line) = lines(text).next()?;
    let mut fields = Fields::new(line);
    let mut average = || Cursor::new(fields.next()?).whole_decimal();
    let (one, five, fifteen) = (average()?, average()?, average()?);
    let mut tasks = Cursor::new(fields.next()?);
    let runnable = tasks.number()?;
    tasks.skip(b"/")?;
    Some(Averages { one, five, fifteen, runnable, tasks: tasks.whole_number()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &[u8] = b"0.20 0.18 0.12 1/80 11206\n";

    #[test]
    fn the_sample_is_read() {
        let load = parse(SAMPLE).expect("the sample is well-formed");
        assert_eq!((load.one, load.five, load.fifteen, load.runnable, load.tasks), (0.20, 0.18, 0.12, 1, 80));
    }

    #[test]
    fn a_cut_text_is_refused() {
        for cut in 0..SAMPLE.len() {
            assert!(parse(&SAMPLE[..cut]).is_none(), "cut at {cut}");
        }
    }
}
