//! The children of a watchd that was killed: each notices it a moment later, and until then holds what it has inherited: the lock, and
//! addresses.

use std::time::Duration;

use nix::poll::{PollTimeout, poll};

/// How long they may need to notice it.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How often they are looked for meanwhile.
const GAP: Duration = Duration::from_millis(5);

/// Lets a moment go by. Nothing else is to be done at a start.
pub fn wait() {
    let _ = poll(&mut [], PollTimeout::try_from(GAP).unwrap_or(PollTimeout::ZERO));
}
