//! octavo-runtime: a Program in, answers out. Usable without Python.
#![forbid(unsafe_code)]

pub mod error;
pub mod program;
