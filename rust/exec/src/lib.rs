//! octavo-exec: a fork-join thread pool, an aligned arena with disjoint views, and the float mode of a thread.
//!
//! Everything here is about memory and threads; nothing knows of tensors or operators. Besides the kernels this
//! is the only crate with `unsafe`. The pool's protocol (`team`) takes its locks and atomics from `sync`, so
//! that loom can model it; AddressSanitizer runs over all the tests.

mod arena;
mod cast;
mod float_mode;
mod pool;
mod sync;
mod team;
mod views;

pub use arena::{Arena, OutOfMemory};
pub use cast::{Pod, bytes_of, bytes_of_mut, cast, cast_mut};
pub use float_mode::FloatMode;
pub use pool::{Inference, Pool, default_threads};
pub use views::{Place, Slot, Views};
