//! How much of a step one thread takes at a time.

/// Work below this many nanoseconds stays on one thread: a fork and join costs about one microsecond.
const SERIAL_NANOSECONDS: f64 = 3000.0;
/// Chunks a thread: enough that a thread that starts late costs little.
const CHUNKS_PER_THREAD: usize = 4;

/// Rows that one chunk takes of `rows`, where a row costs `nanoseconds`; a multiple of `multiple` but for the end.
pub fn chunk(rows: usize, nanoseconds: f64, multiple: usize, threads: usize) -> usize {
    if threads <= 1 || rows as f64 * nanoseconds < SERIAL_NANOSECONDS {
        return rows.max(1);
    }
    rows.div_ceil(threads * CHUNKS_PER_THREAD).next_multiple_of(multiple).min(rows.max(1))
}
