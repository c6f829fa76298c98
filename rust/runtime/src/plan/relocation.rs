//! The one engine of movement ops: each output element comes from a place that is a sum of one offset a dimension.
//!
//! Slice, Split, Pad, Expand, Tile, Gather, nearest Resize, Transpose, DepthToSpace are all of that form, in any
//! layout and of any element size.

/// In a table: nothing is read there, the fill value is written.
pub const FILL: usize = usize::MAX;

/// Where the bytes of each output element come from.
pub struct Relocation {
    base: usize,
    /// For each dimension of the output in memory order: the source's byte offset of each index, or [`FILL`].
    tables: Vec<Vec<usize>>,
    /// Bytes that lie together in source and output.
    run: usize,
    /// Where the innermost table is of few pieces: the place of each in the source, or [`FILL`], and its bytes.
    pieces: Option<Vec<(usize, usize)>>,
    /// Where the innermost table is one place again and again: that place.
    repeated: Option<usize>,
}

impl Relocation {
    /// From one table a dimension of the output (memory order) and the bytes of an element.
    pub fn new(element: usize, mut tables: Vec<Vec<usize>>) -> Relocation {
        let (mut run, mut base) = (element, 0);
        while let Some(last) = tables.last() {
            let Some(&first) = last.first() else { break };
            let is_whole =
                first != FILL && last.iter().enumerate().all(|(i, &at)| at == first.wrapping_add(i * run));
            if !is_whole {
                break;
            }
            base += first;
            run *= last.len();
            tables.pop();
        }
        if tables.is_empty() {
            tables.push(vec![0]);
        }
        let pieces = tables.last().and_then(|last| long_pieces(last, run));
        let one = tables.last().and_then(|last| Some((last, *last.first().filter(|&&at| at != FILL)?)));
        let repeated = one.and_then(|(last, first)| last.iter().all(|&at| at == first).then_some(first));
        Relocation { base, tables, run, pieces, repeated }
    }

    /// From the output's dimensions in memory order and the source's byte stride of each.
    pub fn strided(element: usize, dims: &[usize], strides: &[usize]) -> Relocation {
        let tables = dims.iter().zip(strides).map(|(&n, &s)| (0..n).map(|i| i * s).collect()).collect();
        Relocation::new(element, tables)
    }

    /// The bytes of one row of the output: its innermost dimension that is not in one piece.
    pub fn row_bytes(&self) -> usize {
        self.tables.last().map_or(0, Vec::len) * self.run
    }

    /// Writes whole rows of the output from row `first` on. `fill` is one element.
    pub fn rows(&self, x: &[u8], fill: &[u8], first: usize, out: &mut [u8]) {
        let row_bytes = self.row_bytes();
        if row_bytes == 0 {
            return;
        }
        let (inner, outer) = self.tables.split_last().expect("a relocation has a table");
        for (row, y) in out.chunks_exact_mut(row_bytes).enumerate() {
            let mut rest = first + row;
            let mut offset = Some(self.base);
            for table in outer.iter().rev() {
                let at = table[rest % table.len()];
                rest /= table.len();
                offset = offset.and_then(|sum| (at != FILL).then(|| sum + at));
            }
            match offset {
                None => filled(y, fill),
                Some(base) => self.row(&x[base..], inner, fill, y),
            }
        }
    }

    fn row(&self, x: &[u8], table: &[usize], fill: &[u8], y: &mut [u8]) {
        if let Some(at) = self.repeated {
            return filled(y, &x[at..at + self.run]);
        }
        if let Some(pieces) = &self.pieces {
            let mut rest = y;
            for &(at, bytes) in pieces {
                let (piece, later) = rest.split_at_mut(bytes);
                if at == FILL {
                    filled(piece, fill);
                } else {
                    piece.copy_from_slice(&x[at..at + bytes]);
                }
                rest = later;
            }
            return;
        }
        match self.run {
            1 => pieces::<1>(x, table, fill, y),
            2 => pieces::<2>(x, table, fill, y),
            4 => pieces::<4>(x, table, fill, y),
            8 => pieces::<8>(x, table, fill, y),
            run => {
                for (piece, &at) in y.chunks_exact_mut(run).zip(table) {
                    if at == FILL {
                        filled(piece, fill);
                    } else {
                        piece.copy_from_slice(&x[at..at + run]);
                    }
                }
            }
        }
    }
}

/// The pieces of a table whose entries are of `run` bytes, where they are at least four entries long on average.
fn long_pieces(table: &[usize], run: usize) -> Option<Vec<(usize, usize)>> {
    let mut pieces: Vec<(usize, usize)> = Vec::new();
    for &at in table {
        match pieces.last_mut() {
            Some((from, bytes)) if at == FILL && *from == FILL => *bytes += run,
            Some((from, bytes)) if at != FILL && *from != FILL && at == *from + *bytes => *bytes += run,
            _ => pieces.push((at, run)),
        }
    }
    (4 * pieces.len() <= table.len()).then_some(pieces)
}

/// Writes an element again and again.
fn filled(y: &mut [u8], fill: &[u8]) {
    fn with<const N: usize>(y: &mut [u8], fill: [u8; N]) {
        y.as_chunks_mut().0.fill(fill);
    }
    match *fill {
        [a] => y.fill(a),
        [a, b] => with(y, [a, b]),
        [a, b, c, d] => with(y, [a, b, c, d]),
        _ => y.chunks_exact_mut(fill.len()).for_each(|e| e.copy_from_slice(fill)),
    }
}

/// [`Relocation::row`] for a run of `RUN` bytes, which the compiler copies in a register.
fn pieces<const RUN: usize>(x: &[u8], table: &[usize], fill: &[u8], y: &mut [u8]) {
    for (piece, &at) in y.chunks_exact_mut(RUN).zip(table) {
        if at == FILL {
            filled(piece, fill);
        } else {
            piece.copy_from_slice(&x[at..at + RUN]);
        }
    }
}

/// Copies runs of that many bytes, from every `x_step` bytes of `x` to every `y_step` bytes of `y`; steps are not less
/// than a run.
pub fn copy_runs(x: &[u8], x_step: usize, y: &mut [u8], y_step: usize, bytes: usize) {
    match bytes {
        0 => {}
        1 => in_blocks::<1>(x, x_step, y, y_step, bytes),
        2..4 => in_blocks::<2>(x, x_step, y, y_step, bytes),
        4..8 => in_blocks::<4>(x, x_step, y, y_step, bytes),
        8..16 => in_blocks::<8>(x, x_step, y, y_step, bytes),
        16..32 => in_blocks::<16>(x, x_step, y, y_step, bytes),
        32..64 => in_blocks::<32>(x, x_step, y, y_step, bytes),
        64..512 => in_blocks::<64>(x, x_step, y, y_step, bytes),
        _ => {
            for (x, y) in x.chunks(x_step).zip(y.chunks_mut(y_step)) {
                y[..bytes].copy_from_slice(&x[..bytes]);
            }
        }
    }
}

/// [`copy_runs`] in registers, for a call a run costs more than the copy; the last block overlaps the one before.
fn in_blocks<const BLOCK: usize>(x: &[u8], x_step: usize, y: &mut [u8], y_step: usize, bytes: usize) {
    for (x, y) in x.chunks(x_step).zip(y.chunks_mut(y_step)) {
        let (x, y) = (&x[..bytes], &mut y[..bytes]);
        let mut at = 0;
        while at + BLOCK < bytes {
            y[at..][..BLOCK].copy_from_slice(&x[at..][..BLOCK]);
            at += BLOCK;
        }
        y[bytes - BLOCK..].copy_from_slice(&x[bytes - BLOCK..]);
    }
}

/// The byte strides of a shape that lies in the given order.
pub fn strides(shape: &[usize], order: &[usize], element: usize) -> Vec<usize> {
    let mut strides = vec![0; shape.len()];
    let mut step = element;
    for &dim in order.iter().rev() {
        strides[dim] = step;
        step *= shape[dim];
    }
    strides
}

/// `[rows, columns]` becomes `[columns, rows]`, in blocks that stay in the first cache, four columns at a time.
pub fn transpose<T: Copy>(x: &[T], rows: usize, columns: usize, out: &mut [T]) {
    const BLOCK: usize = 32;
    for r0 in (0..rows).step_by(BLOCK) {
        let r1 = (r0 + BLOCK).min(rows);
        for (group, out) in out.chunks_mut(4 * rows).enumerate() {
            let from = x[r0 * columns + 4 * group..].chunks(columns);
            let mut lines = out.chunks_exact_mut(rows).map(|line| &mut line[r0..r1]);
            if let [Some(a), Some(b), Some(c), Some(d)] = std::array::from_fn(|_| lines.next()) {
                for ((((x, a), b), c), d) in from.zip(a).zip(b).zip(c).zip(d) {
                    [*a, *b, *c, *d] = [x[0], x[1], x[2], x[3]];
                }
            } else {
                for (column, line) in out.chunks_exact_mut(rows).enumerate() {
                    line[r0..r1].iter_mut().zip(from.clone()).for_each(|(y, x)| *y = x[column]);
                }
            }
        }
    }
}

/// [`transpose`] of bytes, eight by eight in registers.
pub fn transpose_bytes(x: &[u8], rows: usize, columns: usize, out: &mut [u8]) {
    const BLOCK: usize = 64;
    let (whole_rows, whole_columns) = (rows / 8 * 8, columns / 8 * 8);
    for r0 in (0..whole_rows).step_by(BLOCK) {
        for c in (0..whole_columns).step_by(8) {
            for r in (r0..whole_rows.min(r0 + BLOCK)).step_by(8) {
                let at = |row: usize| (r + row) * columns + c;
                let lines = std::array::from_fn(|row| {
                    u64::from_le_bytes(x[at(row)..][..8].try_into().expect("eight bytes"))
                });
                for (column, line) in transposed(lines).into_iter().enumerate() {
                    out[(c + column) * rows + r..][..8].copy_from_slice(&line.to_le_bytes());
                }
            }
        }
    }
    for (column, line) in out.chunks_exact_mut(rows.max(1)).enumerate() {
        let from = if column < whole_columns { whole_rows } else { 0 };
        for (y, x) in line[from..].iter_mut().zip(x[from * columns..].chunks_exact(columns)) {
            *y = x[column];
        }
    }
}

/// Eight lines of eight bytes, the first the lowest, as eight columns of them: squares of four, two and one bytes change
/// places across the diagonal (Warren, "Hacker's Delight", 2nd edition, section 7-3).
fn transposed(mut lines: [u64; 8]) -> [u64; 8] {
    for (size, mask) in [(4, 0x0000_0000_ffff_ffff), (2, 0x0000_ffff_0000_ffff), (1, 0x00ff_00ff_00ff_00ff)] {
        for upper in (0..8).filter(|line| line & size == 0) {
            let (one, other) = (lines[upper], lines[upper + size]);
            let changed = (one >> (8 * size) ^ other) & mask;
            lines[upper] = one ^ changed << (8 * size);
            lines[upper + size] = other ^ changed;
        }
    }
    lines
}

/// Bytes in row-major order, taken to another order of dimensions, before any run.
pub fn permuted(bytes: &[u8], element: usize, shape: &[usize], order: &[usize]) -> Vec<u8> {
    if bytes.is_empty() {
        return Vec::new(); // its other axes may be of any length
    }
    let steps = strides(shape, &(0..shape.len()).collect::<Vec<_>>(), element);
    let dims: Vec<usize> = order.iter().map(|&d| shape[d]).collect();
    let source: Vec<usize> = order.iter().map(|&d| steps[d]).collect();
    let mut out = vec![0; bytes.len()];
    Relocation::strided(element, &dims, &source).rows(bytes, &vec![0; element], 0, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_dimensions_become_one_run() {
        let r = Relocation::strided(4, &[2, 3, 5], &[60, 20, 4]);
        assert_eq!(r.row_bytes(), 120);
        assert_eq!(r.tables, [[0]]);
    }

    #[test]
    fn a_transpose_and_a_fill() {
        // Source [2,3] bytes 0..6; output [3,3] = transpose with a filled last column.
        let r = Relocation::new(1, vec![vec![0, 1, 2], vec![0, 3, FILL]]);
        let mut out = [0; 9];
        r.rows(&[0, 1, 2, 3, 4, 5], &[9], 0, &mut out);
        assert_eq!(out, [0, 3, 9, 1, 4, 9, 2, 5, 9]);
        let mut tail = [0; 3];
        r.rows(&[0, 1, 2, 3, 4, 5], &[9], 2, &mut tail);
        assert_eq!(tail, [2, 5, 9]);
    }

    #[test]
    fn long_pieces_are_copied_whole() {
        let inner = [[FILL; 3].to_vec(), (2..10).collect(), [FILL; 2].to_vec(), (0..7).collect()].concat();
        let r = Relocation::new(1, vec![vec![10, 0, FILL], inner.clone()]);
        assert_eq!(r.pieces.as_ref().expect("few pieces").len(), 4);
        let x: Vec<u8> = (0..20).collect();
        let mut out = vec![0; 60];
        r.rows(&x, &[99], 0, &mut out);
        for (i, &y) in out.iter().enumerate() {
            let (row, at) = ([10, 0, FILL][i / 20], inner[i % 20]);
            assert_eq!(y, if row == FILL || at == FILL { 99 } else { x[row + at] }, "place {i}");
        }
    }

    #[test]
    fn an_element_or_a_run_is_repeated() {
        for run in [1, 2, 3, 4, 8] {
            let x: Vec<u8> = (0..2 * run as u8).collect();
            let r = Relocation::new(run, vec![vec![run, 0], vec![0; 5]]);
            let mut out = vec![0; 10 * run];
            r.rows(&x, &vec![9; run], 0, &mut out);
            assert_eq!(out, [x[run..].repeat(5), x[..run].repeat(5)].concat());
        }
    }

    #[test]
    fn a_filled_outer_row_fills_every_element() {
        let r = Relocation::new(2, vec![vec![FILL, 0], vec![2, 0]]);
        let mut out = [0; 8];
        r.rows(&[1, 2, 3, 4], &[7, 8], 0, &mut out);
        assert_eq!(out, [7, 8, 7, 8, 3, 4, 1, 2]);
    }

    #[test]
    fn runs_of_every_length_are_copied_and_nothing_else() {
        for bytes in (0..140).chain([511, 512, 513]) {
            let (x_step, y_step) = (bytes + 3, bytes + 5);
            let x: Vec<u8> = (0..3 * x_step + bytes).map(|i| (i % 251) as u8).collect();
            let mut y = vec![255; 3 * y_step + bytes];
            copy_runs(&x, x_step, &mut y, y_step, bytes);
            for (i, &y) in y.iter().enumerate() {
                let (run, at) = (i / y_step, i % y_step);
                assert_eq!(
                    y,
                    if at < bytes { x[run * x_step + at] } else { 255 },
                    "{bytes} bytes, place {i}"
                );
            }
        }
    }

    #[test]
    fn blocks_transpose() {
        let (rows, columns) = (70, 45);
        let x: Vec<u32> = (0..rows * columns).map(|i| i as u32).collect();
        let mut y = vec![0; x.len()];
        transpose(&x, rows, columns, &mut y);
        for r in 0..rows {
            for c in 0..columns {
                assert_eq!(y[c * rows + r], x[r * columns + c]);
            }
        }
    }

    #[test]
    fn bytes_transpose_in_any_shape() {
        for rows in [0, 1, 3, 8, 9, 63, 64, 70, 137] {
            for columns in [0, 1, 7, 8, 15, 16, 49] {
                let x: Vec<u8> = (0..rows * columns).map(|i| (i * 37 % 251) as u8).collect();
                let (mut y, mut plain) = (vec![0; x.len()], vec![0; x.len()]);
                transpose_bytes(&x, rows, columns, &mut y);
                for (i, &byte) in x.iter().enumerate() {
                    plain[i % columns * rows + i / columns] = byte;
                }
                assert_eq!(y, plain, "{rows} rows of {columns}");
            }
        }
    }
}
