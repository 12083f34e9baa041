//! The only room with system calls and `unsafe`. Raw descriptors never leave it.

pub mod clock;
pub mod files;
pub mod shared;
