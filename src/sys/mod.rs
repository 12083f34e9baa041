//! The only room with system calls and `unsafe`. Raw descriptors never leave it.

pub mod shared;
