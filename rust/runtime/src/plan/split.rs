//! How much of a step one thread takes at a time.

/// Work below this many nanoseconds stays on one thread: a fork and join costs up to one microsecond.
const SERIAL_NANOSECONDS: f64 = 3000.0;
/// Chunks a thread: enough that a thread that starts late costs little.
const CHUNKS_PER_THREAD: usize = 4;
/// Chunks are no shorter, but for a thread's only one: a chunk costs a tenth of a microsecond beyond its work, or more where
/// it is of another thread's part of the tensors.
const CHUNK_NANOSECONDS: f64 = 3000.0;

/// Tiles of a chunk of which the last may be incomplete without costing much.
const TILES: usize = 4;

/// Rows that one chunk takes of `rows`, where a row costs `nanoseconds`; a multiple of `multiple` but for the end.
pub fn chunk(rows: usize, nanoseconds: f64, multiple: usize, threads: usize) -> usize {
    if threads <= 1 || rows as f64 * nanoseconds < SERIAL_NANOSECONDS {
        return rows.max(1);
    }
    let chunks = threads * chunks_per_thread(rows as f64 * nanoseconds, threads);
    rows.div_ceil(chunks).next_multiple_of(multiple).min(rows.max(1))
}

/// How many chunks each thread's share of the work is worth.
fn chunks_per_thread(nanoseconds: f64, threads: usize) -> usize {
    ((nanoseconds / (threads as f64 * CHUNK_NANOSECONDS)) as usize).clamp(1, CHUNKS_PER_THREAD)
}

/// As [`chunk`], where a kernel goes through `tile` rows at a time but takes any number: every thread gets as many rows,
/// and where there are few of them, few chunks, each of which reads all the weights.
pub fn chunk_of_tiles(rows: usize, nanoseconds: f64, tile: usize, threads: usize) -> usize {
    if threads <= 1 || rows as f64 * nanoseconds < SERIAL_NANOSECONDS {
        return rows.max(1);
    }
    let even = |chunks: usize| rows.div_ceil(threads * chunks).max(1);
    let is_long = |&chunks: &usize| even(chunks) >= TILES * tile;
    let most = chunks_per_thread(rows as f64 * nanoseconds, threads);
    even((1..=most).rev().find(is_long).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_steps_and_single_threads_are_not_cut() {
        assert_eq!(chunk(1000, 1.0, 8, 4), 1000);
        assert_eq!(chunk(1000, 100.0, 8, 1), 1000);
        assert_eq!(chunk_of_tiles(1000, 1.0, 8, 4), 1000);
        assert_eq!(chunk_of_tiles(1000, 100.0, 8, 1), 1000);
        assert_eq!(chunk_of_tiles(0, 100.0, 8, 1), 1);
    }

    #[test]
    fn chunks_of_tiles_give_threads_the_same_share() {
        for rows in [49, 169, 196, 729, 784, 3025, 3136, 12544] {
            for (tile, threads) in [(6, 2), (12, 2), (16, 2), (6, 3), (6, 4)] {
                let chunk = chunk_of_tiles(rows, 1000.0, tile, threads);
                let rounds = rows.div_ceil(chunk).div_ceil(threads);
                let longest = rounds * chunk;
                assert!(longest <= rows.div_ceil(threads) + CHUNKS_PER_THREAD, "{rows} rows: {chunk}");
            }
        }
    }
}
