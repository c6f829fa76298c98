//! octavo-exec: thread pool and aligned arena.
