//! The only room with system calls and `unsafe`. Raw descriptors never leave it.

pub mod changes;
pub mod clock;
pub mod daemon;
pub mod epoll;
pub mod files;
pub mod fork;
pub mod listen;
pub mod locks;
pub mod memory;
pub mod notify;
pub mod shared;
pub mod signals;
pub mod terminal;
