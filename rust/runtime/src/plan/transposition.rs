//! Transposition of a matrix whose rows are a stride apart, in tiles: every line of the caches, of the source as of the
//! output, is taken up once, even where the stride is a power of two and all lines of a tile fall into one set.

/// Bytes of a tile's side.
const SIDE: usize = 64;

/// `[rows, columns]`, its rows `stride` elements apart, becomes `[columns, rows]`.
pub fn transpose<T: Copy + Default>(x: &[T], stride: usize, rows: usize, columns: usize, out: &mut [T]) {
    let side = SIDE / size_of::<T>();
    let mut tile = vec![T::default(); side * side];
    for r0 in (0..rows).step_by(side) {
        let height = side.min(rows - r0);
        for c0 in (0..columns).step_by(side) {
            let width = side.min(columns - c0);
            for r in 0..height {
                let line = &x[(r0 + r) * stride + c0..][..width];
                for (to, from) in tile[r..].iter_mut().step_by(side).zip(line) {
                    *to = *from;
                }
            }
            for (c, line) in tile.chunks_exact(side).take(width).enumerate() {
                out[(c0 + c) * rows + r0..][..height].copy_from_slice(&line[..height]);
            }
        }
    }
}

/// Bytes between lines of which a tile's fall into few sets of a cache.
const APART: usize = 512;

/// [`transpose`] of bytes, sixteen by sixteen or eight by eight in registers; where lines do not collide, without a tile.
pub fn transpose_bytes(x: &[u8], stride: usize, rows: usize, columns: usize, out: &mut [u8]) {
    let (whole_rows, whole_columns) = (rows / 8 * 8, columns / 8 * 8);
    let collides = stride.is_multiple_of(APART) || rows.is_multiple_of(APART);
    let mut tile = vec![0; if collides { SIDE * SIDE } else { 0 }];
    for r0 in (0..whole_rows).step_by(SIDE) {
        let height = SIDE.min(whole_rows - r0);
        for c0 in (0..whole_columns).step_by(SIDE) {
            let width = SIDE.min(whole_columns - c0);
            let from = &x[r0 * stride + c0..];
            if !collides {
                squares(from, stride, [height, width], &mut out[c0 * rows + r0..], rows);
                continue;
            }
            squares(from, stride, [height, width], &mut tile, SIDE);
            for (c, line) in tile.chunks_exact(SIDE).take(width).enumerate() {
                out[(c0 + c) * rows + r0..][..height].copy_from_slice(&line[..height]);
            }
        }
    }
    for (column, line) in out.chunks_exact_mut(rows.max(1)).enumerate() {
        let from = if column < whole_columns { whole_rows } else { 0 };
        for (r, y) in line.iter_mut().enumerate().skip(from) {
            *y = x[r * stride + column];
        }
    }
}

/// [`transpose`] of whole squares of eight by eight, to columns `step` apart: four of them as one.
#[inline(always)]
fn squares(x: &[u8], stride: usize, [rows, columns]: [usize; 2], out: &mut [u8], step: usize) {
    for (r, c) in (0..rows).step_by(16).flat_map(|r| (0..columns).step_by(16).map(move |c| (r, c))) {
        let (height, width) = (16.min(rows - r), 16.min(columns - c));
        if (height, width) == (16, 16) {
            let mut lines = [[0; 16]; 16];
            for (row, line) in lines.iter_mut().enumerate() {
                *line = *x[(r + row) * stride + c..].first_chunk().expect("sixteen bytes");
            }
            for (column, line) in sixteen_transposed(lines).iter().enumerate() {
                out[(c + column) * step + r..][..16].copy_from_slice(line);
            }
            continue;
        }
        for (r, c) in [(r, c), (r, c + 8), (r + 8, c)] {
            if r >= rows || c >= columns {
                continue;
            }
            let mut lines = [0; 8];
            for (row, line) in lines.iter_mut().enumerate() {
                let bytes = x[(r + row) * stride + c..].first_chunk().expect("eight bytes");
                *line = u64::from_le_bytes(*bytes);
            }
            for (column, line) in transposed(lines).into_iter().enumerate() {
                out[(c + column) * step + r..][..8].copy_from_slice(&line.to_le_bytes());
            }
        }
    }
}

/// Sixteen lines as sixteen columns: lines that are eight apart, four times interleaved, which each takes an instruction.
#[inline(always)]
fn sixteen_transposed(mut lines: [[u8; 16]; 16]) -> [[u8; 16]; 16] {
    for _ in 0..4 {
        let mut next = lines;
        for i in 0..8 {
            let (a, b) = (lines[i], lines[i + 8]);
            for lane in 0..8 {
                (next[2 * i][2 * lane], next[2 * i][2 * lane + 1]) = (a[lane], b[lane]);
                (next[2 * i + 1][2 * lane], next[2 * i + 1][2 * lane + 1]) = (a[8 + lane], b[8 + lane]);
            }
        }
        lines = next;
    }
    lines
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_comes_to_its_place() {
        for rows in [0, 1, 3, 8, 9, 16, 63, 64, 70, 137, 512] {
            for (columns, stride) in
                [(0, 0), (1, 1), (7, 9), (8, 8), (15, 15), (16, 40), (49, 49), (130, 131), (70, 512)]
            {
                let length = if rows == 0 { 0 } else { (rows - 1) * stride + columns };
                let x: Vec<u32> = (0..length).map(|i| i as u32 * 37 % 251).collect();
                let bytes: Vec<u8> = x.iter().map(|&x| x as u8).collect();
                let plain: Vec<u32> = (0..rows * columns).map(|i| x[i % rows * stride + i / rows]).collect();
                let (mut y, mut of_bytes) = (vec![0; plain.len()], vec![0; plain.len()]);
                transpose(&x, stride, rows, columns, &mut y);
                transpose_bytes(&bytes, stride, rows, columns, &mut of_bytes);
                assert_eq!(y, plain, "{rows} rows of {columns}, {stride} apart");
                assert!(of_bytes.iter().zip(&plain).all(|(&byte, &x)| u32::from(byte) == x));
            }
        }
    }
}
