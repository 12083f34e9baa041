//! The loop that joins the rooms, and what is said to it.

pub mod control;
