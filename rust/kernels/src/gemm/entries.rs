//! What a tier has of this family, and a panel as its tiles take it.

use super::activations::Right;
use super::epilogue::{ColumnParams, PANEL_UNITS, Target};
use super::pack::Packing;
use super::winograd::tiles::Tiles;
use crate::isa::Entry;
use crate::rows::Left;

/// A tier's kernels of this family.
#[derive(Debug)]
pub struct Entries {
    /// What the left and the right side are: `u8`, `i8`...
    pub types: [&'static str; 2],
    /// How the tier's tiles want the right side.
    pub packing: Packing,
    /// The tile for panels of 1, 2, 3 and 4 units.
    pub tiles: [Tile; PANEL_UNITS],
    /// The tile of the fast inner product, which the code of `tiles` goes over to where it is the faster one.
    pub fast: Option<Tile>,
    /// What [`winograd::run`](super::winograd::run) runs, where the tier has it.
    pub winograd: Option<Winograd>,
    /// [`ColumnParams::derive`], compiled for the tier.
    pub(super) derive: Entry<unsafe fn(&mut ColumnParams)>,
    /// What [`pack_activations`](super::pack_activations) runs.
    pub pack: Entry<PackActivations>,
    /// What [`row_sums`](super::row_sums) runs.
    pub row_sums: Entry<RowSums>,
}

/// A tier's part of [`winograd`](super::winograd).
#[derive(Debug)]
pub struct Winograd {
    /// The name of the whole.
    pub name: &'static str,
    /// Channels and outputs from which it is faster than a product through offsets.
    pub channels: usize,
    /// Tiles from which it is faster.
    pub tiles: usize,
    /// The transform of the pixels.
    pub(super) input: Entry<unsafe fn(&Tiles)>,
    /// The products, the transform of their sums and the epilogue.
    pub(super) output: Entry<Outputs>,
}

/// The code of a [`Winograd`]'s outputs. Calling it needs the CPU features of its isa, and a panel and tiles that have been checked.
type Outputs = unsafe fn(&Panel, &Tiles, usize);
/// The code of [`pack_activations`](super::pack_activations). Calling it needs the CPU features of its isa.
type PackActivations = unsafe fn(&Right, &mut [u8], &mut [i32]);
/// The code of [`row_sums`](super::row_sums). Calling it needs the CPU features of its isa.
type RowSums = unsafe fn(&[u8], usize, usize, i32, &mut [i32]);

/// A kernel: up to `rows x units * 16` results at a time.
#[derive(Debug)]
pub struct Tile {
    /// Most rows held in registers.
    pub rows: usize,
    /// Units of a panel.
    pub units: usize,
    /// `<isa>-u8i8-gemm-<rows>x<columns>c<k of a dot product>`.
    pub name: &'static str,
    /// The code, as of an [`Entry`]; it asks for a panel that has been checked.
    pub(super) code: Option<unsafe fn(&Panel)>,
}

/// Whether a panel of so many rows, units and groups of k goes by the fast inner product, where a tier has it. Few rows do not
/// pay for weights widened beforehand; nor do few groups times units for the sums of rows.
pub(super) fn is_fast(m: usize, units: usize, groups: usize) -> bool {
    m >= 8 && groups * units >= 32
}

/// One panel of a checked product, as the tiles take it.
pub(super) struct Panel<'a> {
    pub left: Left,
    /// A number a row, added to its sums; empty for none.
    pub row_bias: &'a [i32],
    /// Rows of the product, at least 1.
    pub m: usize,
    /// The panel's first unit; the next is `unit_bytes` on.
    pub packed: *const u8,
    pub unit_bytes: usize,
    /// Whether another panel follows this one's units in memory, and is next.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "no tier of this architecture asks"))]
    pub followed: bool,
    pub taps: usize,
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "no tier of this architecture asks"))]
    pub kc: usize,
    /// Groups of 4 k in a tap.
    pub groups: usize,
    /// Columns: more than fill all units but one.
    pub n: usize,
    pub columns: &'a ColumnParams,
    pub joining: Option<Joining>,
    pub target: Target,
}

/// A residual that joins the sums of a panel, by the parameters of its columns. Its bounds have been checked.
#[derive(Clone, Copy)]
pub(super) struct Joining {
    pub data: *const u8,
    pub stride: usize,
}

impl Joining {
    /// A row's residuals, of `n` columns.
    ///
    /// # Safety
    /// The row and the columns are the panel's, whose slices are still borrowed.
    pub(super) unsafe fn row<'a>(&self, row: usize, n: usize) -> &'a [u8] {
        // SAFETY: the bounds have been checked for all rows and columns of the panel.
        unsafe { std::slice::from_raw_parts(self.data.add(row * self.stride), n) }
    }
}

impl Tile {
    /// The code of a tier that the CPU has.
    pub(super) fn code(&self) -> unsafe fn(&Panel) {
        self.code.expect("a tier that the CPU has is compiled for its architecture")
    }
}
