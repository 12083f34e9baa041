//! How many of each a policy may have: the board has room for so many, and a policy with more is refused when it is read.

/// `[process.ID]` tables.
pub const SERVICES: usize = 128;
/// Classes that the policy can define, mention or derive.
pub const CLASSES: usize = 1024;
/// Promises of all types.
pub const PROMISES: usize = 512;
