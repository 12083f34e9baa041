//! The only room with system calls and `unsafe`. Raw descriptors never leave it.

pub mod accounts;
pub mod changes;
pub mod clock;
pub mod connect;
pub mod daemon;
pub mod drop;
pub mod ear;
pub mod epoll;
pub mod files;
pub mod fork;
pub mod handover;
pub mod line;
pub mod listen;
pub mod locks;
pub mod memory;
pub mod notify;
pub mod pidfd;
pub mod reap;
pub mod rotate;
pub mod seccomp;
pub mod shared;
pub mod signals;
pub mod spawn;
pub mod stderr;
pub mod terminal;
