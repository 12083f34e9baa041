//! The learner: what is normal for a quantity at this time of the week, and what is not. Values in, judgements out; only `book` does I/O.
//!
//! **What is kept for each quantity**, in at most 8 KiB of plain data (`Profile`, ready for disk as it is):
//!
//! - *Levels* of the 672 quarters of an hour of a week in local time, because people work by the clock on the wall; a change of
//!   the clock then moves nothing. A fresh quarter leans on the same quarter of any day. 96 such cells serve as that day.
//! - *Spreads* of 48 hours (24 of working days, 24 of weekends): mean absolute distances, pooled, because a cell alone sees six
//!   values a week, and noise follows the level, which follows the hour. A cell widens its own spread where its values disagree,
//!   as at the edge of a job that starts late. Each hour also keeps its own slow drift and how often its values repeat.
//! - *A drift* of the whole, for growth and small releases, which are no alarm.
//! - *Nine statistics* of the distance from the expected, in spreads: the step, the distance, the smaller of two neighbours, its
//!   means over ten minutes, 80 minutes, six hours and 36 hours, and the noise over two and eight hours (`detector`).
//! - *A tail* for both sides of each (`tail`): the alarm line is where the observed tail, carried on, is reached about once a
//!   quarter by chance. No multiple of sigma, no law of noise; a heavy tail gets a high line. Below a size that matters to a
//!   person nothing is an alarm, however rare.
//! - *The run of equal values* and *the gap* (`steady`): for a flat line and for values that are missing. Missing is not zero.
//!
//! **What happens with a sample**: it is compared first and may teach afterwards, in constant time and without memory. Distances
//! are clipped before they teach. In alarm nothing is learned, and for days after it the lines rest, for half of an event lies
//! below its line, and lines that learned it would be blind to the next. What was disturbed needs a larger cause for its next alarm.
//!
//! **When the alarm is the new normal** (about two days of it) its level is adopted. The former one is known for two weeks more:
//! going back there is no alarm, and nor is anything between the two. An hour in alarm on most of its last visits learns as well,
//! so that a changed rhythm ends its alarms, too.
//!
//! **What comes again and again is a habit**: a statistic that began more than two alarms of late gets a higher line, and a run of equal
//! values that was called flat counts among the usual ones, so that nothing is told for ever.
//!
//! **Time**: for the first four weeks only a gap is an alarm. Any step from 10 to 300 seconds is weighed by its length. A clock
//! that goes back gives a step of no length.
//!
//! **On disk** (`book`) a profile lies in two parts: its pulse (where it stands, and the tails) beside those of seven other quantities,
//! its season cut into hours of the day. A minute reads and writes one of each; in memory are about 100 bytes for each quantity.
//!
//! **Of the past** a `Week` tells what is usual at each quarter of an hour, by what is known now.
//!
//! **Left out**: how quantities move together, holidays, rhythms longer than a week. `cargo bench --bench learner` measures the rest.

mod block;
pub mod book;
pub mod detector;
mod judgement;
pub mod profile;
pub mod replay;
mod season;
mod steady;
mod tail;
mod week;

pub use detector::{Detector, Level};
pub use judgement::{Judgement, Sample, Settings};
pub use profile::{Band, PROFILE_BYTES, Profile};
pub use week::{Range, Week};
