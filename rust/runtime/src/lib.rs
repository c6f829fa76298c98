//! octavo-runtime: a Program in, answers out. Usable without Python.
#![forbid(unsafe_code)]

pub mod error;
pub mod observe;
mod ops;
pub mod plan;
pub mod program;
pub mod rounding;
pub mod session;
mod walk;

pub use error::{Error, ErrorKind};
pub use octavo_exec::{Arena, Pod, Pool, bytes_of, bytes_of_mut, cast, cast_mut};
pub use octavo_kernels::isa;
pub use session::{Options, Session, threads_of};
