//! What a tier has of this family.

use super::panel::{Floats, Panel};
use super::stored::Stored;

/// A tier's kernels of this family.
#[derive(Debug)]
pub struct Entries {
    /// By weights in float32.
    pub floats: Tiles<Floats>,
    /// By stored weights of 4 bits.
    pub nibbles: Tiles<Stored<4>>,
    /// By stored weights of 8 bits.
    pub bytes: Tiles<Stored<8>>,
}

/// Kernels that multiply the same sides, `S`.
#[derive(Debug)]
pub struct Tiles<S: 'static> {
    /// Narrow to wide; the first is one unit wide.
    pub all: &'static [Tile<S>],
    /// The most units of a panel for products of 1, 2, 3 and more rows: few rows need many columns, or each
    /// multiply-add waits for the one before it.
    pub units: [usize; 4],
}

/// A kernel: up to `rows x units * 16` sums at a time.
#[derive(Debug)]
pub struct Tile<S> {
    /// Most rows held in registers.
    pub rows: usize,
    /// Units of a panel.
    pub units: usize,
    /// `<isa>-f32-gemm-<rows>x<columns>`, of stored weights with their bits: `f32u4`.
    pub name: &'static str,
    /// The code, as of an [`Entry`](crate::isa::Entry); it asks for a panel that has been checked.
    pub(super) code: Option<unsafe fn(&Panel<S>)>,
}

impl<S> Tiles<S> {
    /// The tile for the next panel of a product of `m` rows that has `left` units left.
    pub(super) fn tile(&self, m: usize, left: usize) -> &'static Tile<S> {
        let most = self.units[m.clamp(1, 4) - 1].min(left);
        self.all.iter().rfind(|tile| tile.units <= most).unwrap_or(&self.all[0])
    }
}

impl<S> Tile<S> {
    /// The code of a tier that the CPU has.
    pub(super) fn code(&self) -> unsafe fn(&Panel<S>) {
        self.code.expect("a tier that the CPU has is compiled for its architecture")
    }
}
