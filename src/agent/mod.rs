//! The judge: what the owner promised, whether it holds, and what has to be done.
//!
//! A pass goes through the promises in the order measure, disk, process, file, freshness, command, report, and again while classes change, at most
//! `ROUNDS` times; each kind sees what came out of the kinds before it. It is a function from (state, scene) to (state, actions): nothing is started here. The engine carries the
//! actions out and says later how a command ended.
//!
//! Within one cycle each command and each report acts at most once, also when events make several passes. What is not due
//! (`every`, `limit`) keeps its last outcome; a promise whose guard does not hold has none. A process is never started here:
//! the supervisor does that at once, unless the guard holds it back; the agent says so when that changes.
//!
//! | file | what |
//! |---|---|
//! | `promise.rs` | what a promise is, as the policy hands it over |
//! | `template.rs` | the text of a report |
//! | `budget.rs` | `limit` |
//! | `actions.rs` | what is to be done |
//! | `acts.rs` | what was done, for other runs |
//! | `repairs.rs` | how often each was repaired within an hour |
//! | `told.rs` | what looks at files and numbers have found |
//! | `crowd.rs` | how many processes of a kind there are, and who has to go |
//! | `judge.rs` | one promise, one outcome |
//! | `pass.rs` | all of them |

mod actions;
mod acts;
mod bequest;
mod budget;
mod crowd;
mod judge;
mod pass;
mod promise;
mod repairs;
mod template;
mod told;

pub use actions::{Action, Actions, TextId};
pub use bequest::{Bequest, Change};
pub use crowd::{Tally, named, tally};
pub use judge::CommandEnd;
pub use pass::{Agent, Pass};
pub use promise::{CommandWork, Promise, ReportWork, Work};
pub use repairs::share;
pub use template::{Figure, Names, Template, TemplateError};
pub use told::Report;
