//! Files as they were promised: what has to change is decided by pure functions, and done in one step that cannot be seen half.
//!
//! Everything here may hang on a dead file system or a sick disk and takes the memory it needs, so the engine calls it in a
//! child with a deadline. No link is followed, nothing but regular files is touched, and what another program did meanwhile wins:
//! we try again in the next pass.
//!
//! | file | what |
//! |---|---|
//! | `edit.rs` | what a text is to become (pure) |
//! | `diff.rs` | what changed between two texts (pure) |
//! | `target.rs` | one file, found and read |
//! | `swap.rs` | its new text in place of the old |
//! | `keep.rs` | `[file.ID]`: content, owner, rights |
//! | `watch.rs` | `watch`: told when it changes |
//! | `tidy.rs` | files that are put away |
//! | `fresh.rs` | `[freshness.ID]` |
//! | `tail.rs` | `[measure.ID]` over a log |
//! | `census.rs`, `glob.rs` | which files those are |
//! | `sober.rs` | whether the clock can be believed |
//! | `memory.rs` | what is remembered from look to look |
//! | `fault.rs` | why something was not done |

mod census;
mod diff;
pub mod edit;
mod fault;
mod fresh;
mod glob;
mod keep;
mod memory;
mod sober;
mod swap;
mod tail;
mod target;
mod tidy;
mod watch;

pub use fault::Fault;
pub use fresh::fresh;
pub use keep::{Task, keep};
pub use memory::Memory;
pub use swap::beside;
pub use tail::tail;
pub use tidy::tidy;
