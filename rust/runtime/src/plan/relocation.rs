//! The one engine of movement ops: each output element comes from a place that is a sum of one offset a dimension.
//!
//! Slice, Split, Pad, Expand, Tile, Gather, nearest Resize, Transpose, DepthToSpace are all of that form, in any
//! layout and of any element size.

use octavo_exec::{cast, cast_mut};
use octavo_kernels::float;
use octavo_kernels::table::Kernels;

use crate::plan::transposition::{transpose, transpose_bytes};

/// In a table: nothing is read there, the fill value is written.
pub const FILL: usize = usize::MAX;

/// Where the bytes of each output element come from.
pub struct Relocation {
    base: usize,
    /// For each dimension of the output in memory order: the source's byte offset of each index, or [`FILL`].
    tables: Vec<Vec<usize>>,
    /// Bytes that lie together in source and output.
    run: usize,
    /// How the innermost dimension is written.
    inner: Inner,
}

/// The ways to write what the innermost table says.
enum Inner {
    /// Together with the dimension before it, the columns of a matrix in the source whose rows are so many runs apart.
    Columns(usize),
    /// One place again and again.
    Repeated(usize),
    /// A few pieces: the place of each in the source, or [`FILL`], and its bytes.
    Pieces(Vec<(usize, usize)>),
    /// Neighbouring runs, each so many times.
    Stretched(usize),
    /// Run by run, none of which is filled.
    Runs,
    /// Run by run.
    Gaps,
}

/// Entries of an innermost table below which it is joined with the one before: a row costs some time beside its runs.
const SHORT: usize = 32;

/// Entries up to which tables are joined.
const LONG: usize = 1 << 12;

/// Bytes of a run from which a short row is no matter.
const WIDE: usize = 64;

/// Rows and columns from which a matrix is transposed as one.
const SIDE: usize = 8;

/// Each element twice: as a number of twice its size, so that the compiler interleaves vectors.
macro_rules! doubled {
    ($x:expr, $y:expr, $one:ty, $two:ty) => {
        for (y, x) in $y.as_chunks_mut().0.iter_mut().zip($x.as_chunks().0) {
            let x = <$two>::from(<$one>::from_le_bytes(*x));
            *y = (x | x << <$one>::BITS).to_le_bytes();
        }
    };
}

impl Relocation {
    /// From one table a dimension of the output (memory order) and the bytes of an element.
    pub fn new(element: usize, mut tables: Vec<Vec<usize>>) -> Relocation {
        let (mut run, mut base) = (element, 0);
        tables.retain(|table| match **table {
            [at] if at != FILL => {
                base += at;
                false
            }
            _ => true,
        });
        while let Some(last) = tables.last() {
            let Some(&first) = last.first().filter(|&&at| at != FILL) else { break };
            if step(last) != Some(run) {
                break;
            }
            base += first;
            run *= last.len();
            tables.pop();
        }
        if tables.is_empty() {
            tables.push(vec![0]);
        }
        for outer in (0..tables.len() - 1).rev() {
            let inner = &tables[outer + 1];
            let is_even = step(inner).is_some_and(|by| step(&tables[outer]) == Some(by * inner.len()));
            if is_even && tables[outer].len() * inner.len() <= LONG {
                let inner = tables.remove(outer + 1);
                tables[outer] = joined(&tables[outer], &inner);
            }
        }
        let columns = columns(&tables, run).filter(|_| base.is_multiple_of(run));
        while columns.is_none() && run < WIDE {
            let [.., outer, inner] = tables.as_slice() else { break };
            if inner.len() >= SHORT || outer.len() * inner.len() > LONG {
                break;
            }
            let table = joined(outer, inner);
            tables.truncate(tables.len() - 2);
            tables.push(table);
        }
        let last = tables.last().expect("there is a table");
        let inner = columns.map(Inner::Columns).unwrap_or_else(|| Inner::of(last, run));
        Relocation { base, tables, run, inner }
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

    /// How many rows the output has.
    pub fn count(&self) -> usize {
        self.tables.iter().rev().skip(1).map(Vec::len).product()
    }

    /// The kernel's name in a profile.
    pub fn kernel(&self, kernels: Kernels) -> &'static str {
        match (&self.inner, self.run) {
            (Inner::Columns(_), 4) => kernels.row().float.transpose.transpose.name,
            (Inner::Columns(_), _) => "transpose",
            _ => "relocate",
        }
    }

    /// Writes whole rows of the output from row `first` on. `fill` is one element.
    pub fn rows(&self, kernels: Kernels, x: &[u8], fill: &[u8], first: usize, out: &mut [u8]) {
        let row_bytes = self.row_bytes();
        if row_bytes == 0 {
            return;
        }
        if let Inner::Columns(stride) = self.inner {
            return self.columns(kernels, x, fill, stride, first, out);
        }
        let (outer, turns, inner) = match self.tables.as_slice() {
            [outer @ .., turns, inner] => (outer, turns.as_slice(), inner),
            [inner] => (&[][..], &[0][..], inner),
            [] => unreachable!("a relocation has a table"),
        };
        let (mut row, mut out) = (first, out);
        while !out.is_empty() {
            let (group, turn) = (row / turns.len(), row % turns.len());
            let now = &turns[turn..turns.len().min(turn + out.len() / row_bytes)];
            let (y, later) = out.split_at_mut(now.len() * row_bytes);
            match self.offset(outer, group) {
                None => filled(y, fill),
                Some(base) => self.turns(&x[base..], now, inner, fill, y),
            }
            (row, out) = (row + now.len(), later);
        }
    }

    /// Rows that lie at these places; one at the place of the row before it is copied from there.
    fn turns(&self, x: &[u8], turns: &[usize], inner: &[usize], fill: &[u8], out: &mut [u8]) {
        let row_bytes = self.row_bytes();
        for (row, &at) in turns.iter().enumerate() {
            let (written, y) = out.split_at_mut(row * row_bytes);
            let y = &mut y[..row_bytes];
            if at == FILL {
                filled(y, fill);
            } else if row > 0 && turns[row - 1] == at {
                y.copy_from_slice(&written[(row - 1) * row_bytes..]);
            } else {
                self.row(&x[at..], inner, fill, y);
            }
        }
    }

    /// Where a row lies in the source; `None` where it is to be filled.
    fn offset(&self, outer: &[Vec<usize>], row: usize) -> Option<usize> {
        let (mut rest, mut sum) = (row, self.base);
        for table in outer.iter().rev() {
            let at = table[rest % table.len()];
            rest /= table.len();
            sum = if at == FILL { return None } else { sum + at };
        }
        Some(sum)
    }

    /// [`Relocation::rows`] where these are columns of matrices.
    fn columns(
        &self,
        kernels: Kernels,
        x: &[u8],
        fill: &[u8],
        stride: usize,
        first: usize,
        mut out: &mut [u8],
    ) {
        let [outer @ .., columns, inner] = self.tables.as_slice() else { unreachable!("it has columns") };
        let (mut row, rows) = (first, inner.len());
        while !out.is_empty() {
            let column = row % columns.len();
            let count = (columns.len() - column).min(out.len() / self.row_bytes());
            let (y, rest) = out.split_at_mut(count * self.row_bytes());
            match self.offset(outer, row / columns.len()) {
                None => filled(y, fill),
                Some(base) => {
                    let elements = (rows - 1) * stride + count;
                    let x = &x[base + columns[column] + inner[0]..][..elements * self.run];
                    match self.run {
                        1 => transpose_bytes(x, stride, rows, count, y),
                        2 => transpose(cast::<u16>(x), stride, rows, count, cast_mut(y)),
                        4 => float::transpose::run(kernels, cast(x), stride, rows, count, cast_mut(y)),
                        _ => transpose(cast::<i64>(x), stride, rows, count, cast_mut(y)),
                    }
                }
            }
            (row, out) = (row + count, rest);
        }
    }

    fn row(&self, x: &[u8], table: &[usize], fill: &[u8], y: &mut [u8]) {
        match &self.inner {
            Inner::Repeated(at) => filled(y, &x[*at..at + self.run]),
            Inner::Pieces(pieces) => {
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
            }
            Inner::Stretched(times) => {
                let x = &x[table[0]..][..y.len() / times];
                match (self.run, times) {
                    (1, 2) => doubled!(x, y, u8, u16),
                    (2, 2) => doubled!(x, y, u16, u32),
                    (4, 2) => doubled!(x, y, u32, u64),
                    (run, times) => {
                        for (y, x) in y.chunks_exact_mut(run * times).zip(x.chunks_exact(run)) {
                            filled(y, x);
                        }
                    }
                }
            }
            Inner::Columns(_) | Inner::Runs => match self.run {
                1 => runs::<1>(x, table, y),
                2 => runs::<2>(x, table, y),
                4 => runs::<4>(x, table, y),
                8 => runs::<8>(x, table, y),
                run => {
                    for (piece, &at) in y.chunks_exact_mut(run).zip(table) {
                        piece.copy_from_slice(&x[at..at + run]);
                    }
                }
            },
            Inner::Gaps => {
                for (piece, &at) in y.chunks_exact_mut(self.run).zip(table) {
                    if at == FILL {
                        filled(piece, fill);
                    } else {
                        piece.copy_from_slice(&x[at..at + self.run]);
                    }
                }
            }
        }
    }
}

impl Inner {
    fn of(table: &[usize], run: usize) -> Inner {
        if let [first, ..] = *table
            && first != FILL
            && table.iter().all(|&at| at == first)
        {
            return Inner::Repeated(first);
        }
        if let Some(pieces) = long_pieces(table, run) {
            return Inner::Pieces(pieces);
        }
        let times = table.iter().take_while(|&&at| at == table[0]).count();
        let is_stretched = times > 1
            && table[0] != FILL
            && table.len().is_multiple_of(times)
            && table.iter().enumerate().all(|(i, &at)| at == table[0].wrapping_add(i / times * run));
        match table.contains(&FILL) {
            true => Inner::Gaps,
            false if is_stretched => Inner::Stretched(times),
            false => Inner::Runs,
        }
    }
}

/// By how much each entry of a table is beyond the one before; `None` where that differs, or something is filled.
fn step(table: &[usize]) -> Option<usize> {
    let by = match *table {
        [_] => return None,
        [first, second, ..] if first != FILL && second != FILL => second.checked_sub(first)?,
        _ => return None,
    };
    let is_even = table.windows(2).all(|pair| pair[1] != FILL && pair[1].checked_sub(pair[0]) == Some(by));
    is_even.then_some(by)
}

/// Two dimensions as one.
fn joined(outer: &[usize], inner: &[usize]) -> Vec<usize> {
    let sum = |a: usize, b: usize| if a == FILL || b == FILL { FILL } else { a + b };
    outer.iter().flat_map(|&a| inner.iter().map(move |&b| sum(a, b))).collect()
}

/// Where the last two dimensions are the columns and the rows of a matrix: how many runs apart its rows are.
fn columns(tables: &[Vec<usize>], run: usize) -> Option<usize> {
    let [.., columns, rows] = tables else { return None };
    let by = step(rows).filter(|by| by.is_multiple_of(run) && matches!(run, 1 | 2 | 4 | 8))?;
    let fits = step(columns) == Some(run) && columns.len() * run <= by;
    let are_whole = || tables.iter().flatten().all(|&at| at == FILL || at.is_multiple_of(run));
    (fits && rows.len() >= SIDE && columns.len() >= SIDE && are_whole()).then_some(by / run)
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

/// Runs of `RUN` bytes, which the compiler copies in a register.
#[inline(never)] // within its caller, it is half as fast
fn runs<const RUN: usize>(x: &[u8], table: &[usize], y: &mut [u8]) {
    for (piece, &at) in y.as_chunks_mut::<RUN>().0.iter_mut().zip(table) {
        *piece = *x[at..].first_chunk().expect("a run lies within the source");
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

/// Bytes in row-major order, taken to another order of dimensions, before any run.
pub fn permuted(bytes: &[u8], element: usize, shape: &[usize], order: &[usize]) -> Vec<u8> {
    if bytes.is_empty() {
        return Vec::new(); // its other axes may be of any length
    }
    let steps = strides(shape, &(0..shape.len()).collect::<Vec<_>>(), element);
    let dims: Vec<usize> = order.iter().map(|&d| shape[d]).collect();
    let source: Vec<usize> = order.iter().map(|&d| steps[d]).collect();
    let mut out = vec![0; bytes.len()];
    Relocation::strided(element, &dims, &source).rows(Kernels::best(), bytes, &vec![0; element], 0, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use octavo_kernels::isa::available;

    use super::*;

    /// Compares an output, written in chunks of rows of every length, with what the tables say element by element.
    fn check(element: usize, tables: &[Vec<usize>]) -> Relocation {
        let greatest: usize =
            tables.iter().map(|table| table.iter().filter(|&&at| at != FILL).max().unwrap_or(&0)).sum();
        let x: Vec<u8> = (0..greatest + element).map(|i| (i * 31 % 239) as u8).collect();
        let fill: Vec<u8> = (0..element).map(|i| 240 + (i % 16) as u8).collect();
        let places = tables.iter().fold(vec![0], |places, table| joined(&places, table));
        let wanted: Vec<u8> = places
            .iter()
            .flat_map(|&at| if at == FILL { &fill } else { &x[at..at + element] })
            .copied()
            .collect();
        let relocation = Relocation::new(element, tables.to_vec());
        assert_eq!(relocation.count() * relocation.row_bytes(), wanted.len());
        for kernels in available().into_iter().filter_map(Kernels::new) {
            for rows in [1, 2, 3, 7, relocation.count().max(1)] {
                let mut out = vec![0; wanted.len()];
                for (chunk, out) in out.chunks_mut((rows * relocation.row_bytes()).max(1)).enumerate() {
                    relocation.rows(kernels, &x, &fill, chunk * rows, out);
                }
                assert_eq!(out, wanted, "{element} bytes, {tables:?}, {rows} rows");
            }
        }
        relocation
    }

    fn even(count: usize, step: usize) -> Vec<usize> {
        (0..count).map(|i| i * step).collect()
    }

    #[test]
    fn whole_dimensions_become_one_run() {
        let r = check(4, &[even(2, 60), even(3, 20), even(5, 4)]);
        assert_eq!((r.row_bytes(), r.count()), (120, 1));
    }

    #[test]
    fn dimensions_that_turn_are_columns() {
        for element in [1, 2, 4, 8] {
            for (rows, columns) in [(8, 8), (9, 64), (70, 13), (100, 45)] {
                let [a, b, c] = [(2, rows * columns + 3), (columns, 1), (rows, columns)]
                    .map(|(count, step)| even(count, element * step));
                assert!(matches!(check(element, &[a, b, c]).inner, Inner::Columns(_)));
            }
            // Two axes that are one, rows that are farther apart than they are long, images that are filled.
            let tables =
                [vec![0, FILL, 12 * element], even(4, 9 * element), even(9, element), even(10, 40 * element)];
            assert!(matches!(check(element, &tables).inner, Inner::Columns(40)));
        }
        // What lies together is not aligned as what is moved at once.
        for first in [0, 1, 2] {
            check(1, &[vec![first, first + 8], even(9, 2), even(9, 18), even(2, 1)]);
        }
    }

    #[test]
    fn long_pieces_are_copied_whole() {
        let inner = [[FILL; 3].to_vec(), (2..10).collect(), [FILL; 2].to_vec(), (0..7).collect()].concat();
        let r = check(1, &[vec![10, 0, FILL, 3, 7], inner.repeat(2)]);
        assert!(matches!(r.inner, Inner::Pieces(pieces) if pieces.len() == 8));
    }

    #[test]
    fn an_element_or_a_run_is_repeated() {
        for element in [1, 2, 3, 4, 8] {
            for run in [1, 2] {
                let tables = [vec![3 * element, 0, 0, FILL], vec![run * element; 40], even(run, element)];
                assert!(matches!(check(element, &tables).inner, Inner::Repeated(_)));
            }
        }
    }

    #[test]
    fn neighbours_are_stretched() {
        for element in [1, 2, 3, 4, 8] {
            for times in [2, 3, 5] {
                let inner: Vec<usize> = (0..40 * times).map(|i| (i / times + 1) * element).collect();
                let r = check(element, &[vec![0, 0, 4 * element, FILL, FILL, 0], inner]);
                assert!(matches!(r.inner, Inner::Stretched(found) if found == times));
            }
        }
    }

    #[test]
    fn short_rows_are_joined() {
        for element in [1, 2, 3, 4, 8] {
            let r = check(element, &[even(5, element), even(7, 30 * element), vec![FILL, 0, 11 * element]]);
            assert_eq!(r.count(), 1);
            check(element, &[vec![FILL, 0], vec![2 * element, 0]]);
            check(element, &[even(3, element), vec![]]);
            check(element, &[vec![FILL], even(4, element)]);
        }
        // Neither where a row is long by its runs, nor to tables without end.
        assert_eq!(check(64, &[vec![0, 128], vec![64, 0]]).count(), 2);
        assert_eq!(check(1, &[even(5000, 1), vec![1, 0]]).count(), 5000);
    }
}
