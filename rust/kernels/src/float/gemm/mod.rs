//! Matrix products and convolutions: every output is one chain of fused multiply-adds.
//!
//! Weights are packed once into units of 16 columns, `[ceil(n / 16)][taps * kc][16]`; the last unit's missing columns
//! are zeros, computed and dropped. A product runs panel by panel of some neighbouring units; a tile keeps the sums of
//! some rows by a panel in registers over the whole chain. All tiers read the same packing.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
mod entries;
#[cfg(target_arch = "aarch64")]
mod neon;
mod panel;
mod scalar;
pub mod stored;
#[cfg(test)]
mod tests;
mod tiers;
mod tile;

pub use entries::{Entries, Tile, Tiles};
pub use panel::{Floats, UNIT};
pub(crate) use tiers::{AVX2, AVX512VNNI, NEON, SCALAR};

use super::epilogue::{Clamp, Epilogue, Residual, apply_to_rows};
use super::unary;
use crate::isa::Has;
use panel::{Left, PANEL_UNITS, Panel};
use stored::{Form, Stored};

/// Bytes of rows, read and written, that one pass over all panels takes, to stay in the second-level cache.
const ROW_BYTES: usize = 384 << 10;

/// Where the rows of the left side lie.
#[derive(Clone, Copy, Debug)]
pub enum Rows<'a> {
    /// Row i is `data[i * stride..][..kc]`: one tap.
    Dense {
        /// The matrix.
        data: &'a [f32],
        /// Elements from one row to the next.
        stride: usize,
    },
    /// Tap t of row i is `data[offsets[i * taps + t]..][..kc]`, or kc times +0 where that leaves the data: `u32::MAX`
    /// does.
    Indirect {
        /// The image.
        data: &'a [f32],
        /// `[m][taps]`, in elements.
        offsets: &'a [u32],
        /// Taps of a row.
        taps: usize,
    },
}

impl Rows<'_> {
    fn taps(&self) -> usize {
        match *self {
            Rows::Dense { .. } => 1,
            Rows::Indirect { taps, .. } => taps,
        }
    }
}

/// The length of packed weights, in elements.
pub fn packed_len(n: usize, taps: usize, kc: usize) -> usize {
    n.div_ceil(UNIT) * taps * kc * UNIT
}

/// Packs weights, `[n][taps][kc]`, into `out`, [`packed_len`] long.
pub fn pack(weights: &[f32], n: usize, taps: usize, kc: usize, out: &mut [f32]) {
    let k = taps * kc;
    assert_eq!(weights.len(), n * k, "weights");
    assert_eq!(out.len(), packed_len(n, taps, kc), "packed weights");
    if k == 0 {
        return;
    }
    for (unit, out) in out.chunks_exact_mut(k * UNIT).enumerate() {
        for column in 0..UNIT {
            let source = unit * UNIT + column;
            for step in 0..k {
                out[step * UNIT + column] = if source < n { weights[source * k + step] } else { 0.0 };
            }
        }
    }
}

/// As [`pack`], of weights that lie `column` elements from one column to the next and `step` from one step to the next.
pub fn pack_strided(weights: &[f32], n: usize, k: usize, column: usize, step: usize, out: &mut [f32]) {
    assert_eq!(out.len(), packed_len(n, 1, k), "packed weights");
    if k == 0 {
        return;
    }
    for (unit, out) in out.chunks_exact_mut(k * UNIT).enumerate() {
        let first = unit * UNIT;
        let width = UNIT.min(n - first);
        let weights = &weights[first * column..];
        let (steps, _) = out.as_chunks_mut::<UNIT>();
        if width < UNIT {
            steps.fill([0.0; UNIT]);
        }
        if column == 1 {
            for (s, out) in steps.iter_mut().enumerate() {
                out[..width].copy_from_slice(&weights[s * step..][..width]);
            }
            continue;
        }
        for j in 0..width {
            let weights = &weights[j * column..];
            for (s, out) in steps.iter_mut().enumerate() {
                out[j] = weights[s * step];
            }
        }
    }
}

/// The tile that does most of a product's work on that tier: a function of the shape alone.
pub fn select<S>(tiles: &'static Tiles<S>, m: usize, n: usize) -> &'static Tile<S> {
    tiles.tile(m, n.div_ceil(UNIT))
}

/// `out[i][j] = epilogue(sum over k of x[i][k] * w[j][k])`: a chain from +0 with k rising (tap, then step), then what
/// the epilogue says.
///
/// Row i of `out` begins at `i * out_stride`; its n elements are written, what lies between rows is not.
///
/// # Panics
/// Where a slice is shorter than its contract says.
pub fn run<K: Has<Entries> + Has<unary::Entries>>(
    k: K,
    m: usize,
    rows: &Rows<'_>,
    packed: &[f32],
    n: usize,
    kc: usize,
    epilogue: &Epilogue<'_>,
    out: &mut [f32],
    out_stride: usize,
) {
    if m == 0 || n == 0 {
        return;
    }
    let taps = rows.taps();
    assert_eq!(packed.len(), packed_len(n, taps, kc), "packed weights");
    // A chain of no steps has no taps; a dense one would read its first.
    let (left, taps) = if taps * kc == 0 { (Left::NOTHING, 0) } else { (checked(rows, m, kc), taps) };
    let unit_stride = taps * kc * UNIT;
    let sides =
        |unit: usize| Floats { left, packed: packed[unit * unit_stride..].as_ptr(), unit_stride, taps, kc };
    let tiles = &Has::<Entries>::entries(k).floats;
    // SAFETY: the rows of the left side lie in their data and the units in `packed` (checked above).
    unsafe { panels(k, tiles, sides, m, n, kc, epilogue, out, out_stride) };
}

/// The same of dense rows, `x_stride` elements apart, by stored weights of that form: `w = fl32(scale * (code - zero))`.
///
/// # Panics
/// Where a slice is shorter than its contract says.
pub fn run_stored<K: Has<Entries> + Has<unary::Entries>>(
    k: K,
    m: usize,
    x: &[f32],
    x_stride: usize,
    packed: &[u8],
    form: Form,
    epilogue: &Epilogue<'_>,
    out: &mut [f32],
    out_stride: usize,
) {
    let Form { n, k: steps, .. } = form;
    if m == 0 || n == 0 {
        return;
    }
    assert_eq!(packed.len(), form.packed_len(), "packed weights");
    checked(&Rows::Dense { data: x, stride: x_stride }, m, steps);
    let entries = Has::<Entries>::entries(k);
    match form.bits {
        4 => {
            let sides = |unit| Stored::<4>::of(x, x_stride, packed, form, unit);
            // SAFETY: the rows lie in `x` and the units in `packed` (checked above).
            unsafe { panels(k, &entries.nibbles, sides, m, n, steps, epilogue, out, out_stride) };
        }
        8 => {
            let sides = |unit| Stored::<8>::of(x, x_stride, packed, form, unit);
            // SAFETY: as above.
            unsafe { panels(k, &entries.bytes, sides, m, n, steps, epilogue, out, out_stride) };
        }
        bits => panic!("stored weights of {bits} bits"),
    }
}

/// A product, panel by panel. `sides`: what is multiplied, from a unit on.
///
/// # Safety
/// Each of m rows and every unit of n columns is there behind the pointers of `sides`.
unsafe fn panels<K: Has<Entries> + Has<unary::Entries>, S>(
    k: K,
    tiles: &Tiles<S>,
    sides: impl Fn(usize) -> S,
    m: usize,
    n: usize,
    kc: usize,
    epilogue: &Epilogue<'_>,
    out: &mut [f32],
    out_stride: usize,
) {
    epilogue.check(m, n);
    let end = out_stride.checked_mul(m - 1).and_then(|start| start.checked_add(n));
    assert!(end.is_some_and(|end| end <= out.len()) && (m == 1 || out_stride >= n), "output");
    let (clamp, after) = epilogue.split();
    // What each row reads and writes; neighbouring rows of a convolution share most of their taps.
    let row_bytes = (kc + n).saturating_mul(size_of::<f32>());
    let chunk = (ROW_BYTES / row_bytes.max(1)).max(ROW_LEAST);
    let chunk = m.div_ceil(m.div_ceil(chunk));
    for from in (0..m).step_by(chunk) {
        let to = m.min(from + chunk);
        let mut unit = 0;
        while unit * UNIT < n {
            let column = unit * UNIT;
            let tile = tiles.tile(m, (n - column).div_ceil(UNIT));
            let columns = (tile.units * UNIT).min(n - column);
            let mut panel = Panel {
                sides: sides(unit),
                from,
                to,
                n: columns,
                bias: [-0.0; PANEL_UNITS * UNIT],
                residual: epilogue.residual.map_or(std::ptr::null(), |r| r.data[column..].as_ptr()),
                residual_stride: epilogue.residual.map_or(0, |Residual { stride, .. }| stride),
                clamp: (clamp != Clamp::NONE).then_some(clamp),
                out: out[column..].as_mut_ptr(),
                out_stride,
            };
            if let Some(bias) = epilogue.bias {
                panel.bias[..columns].copy_from_slice(&bias[column..column + columns]);
            }
            if clamp.lo == 0.0 {
                panel.bias.iter_mut().for_each(|bias| *bias += 0.0);
            }
            // SAFETY: `k` proves that the CPU has the tier. The output and the residual lie in their slices (checked
            // above), and so do the left side's rows and the tile's units (the caller's promise).
            unsafe { tile.code()(&panel) };
            unit += tile.units;
        }
        if let Some(function) = after {
            let rows = &mut out[from * out_stride..];
            let end = (to - from - 1) * out_stride + n;
            apply_to_rows(k, function, &mut rows[..end], n, out_stride);
        }
    }
}

/// Fewest rows of a pass: the panels' weights are read once a pass.
const ROW_LEAST: usize = 96;

/// Asserts that every row lies in its data.
fn checked(rows: &Rows<'_>, m: usize, kc: usize) -> Left {
    match *rows {
        Rows::Dense { data, stride } => {
            let end = stride.checked_mul(m - 1).and_then(|start| start.checked_add(kc));
            assert!(end.is_some_and(|end| end <= data.len()), "the rows leave the data");
            Left::Dense { data: data.as_ptr(), stride }
        }
        Rows::Indirect { data, offsets, taps } => {
            assert!(m.checked_mul(taps).is_some_and(|count| count <= offsets.len()), "offsets");
            let reach = (data.len() + 1).saturating_sub(kc).min(u32::MAX as usize);
            Left::Indirect { data: data.as_ptr(), reach, offsets: offsets.as_ptr() }
        }
    }
}
