//! What a tier has of this family.

use super::panel::Panel;

/// A tier's kernels of this family.
#[derive(Debug)]
pub struct Entries {
    /// The tiles, narrow to wide; the first is one unit wide.
    pub tiles: &'static [Tile],
    /// The most units of a panel for products of 1, 2, 3 and more rows: few rows need many columns, or each
    /// multiply-add waits for the one before it.
    pub units: [usize; 4],
}

/// A kernel: up to `rows x units * 16` sums at a time.
#[derive(Debug)]
pub struct Tile {
    /// Most rows held in registers.
    pub rows: usize,
    /// Units of a panel.
    pub units: usize,
    /// `<isa>-f32-gemm-<rows>x<columns>`.
    pub name: &'static str,
    /// The code, as of an [`Entry`](crate::isa::Entry); it asks for a panel that has been checked.
    pub(super) code: Option<unsafe fn(&Panel)>,
}

impl Entries {
    /// The tile for the next panel of a product of `m` rows that has `left` units left.
    pub(super) fn tile(&self, m: usize, left: usize) -> &'static Tile {
        let most = self.units[m.clamp(1, 4) - 1].min(left);
        self.tiles.iter().rfind(|tile| tile.units <= most).unwrap_or(&self.tiles[0])
    }
}

impl Tile {
    /// The code of a tier that the CPU has.
    pub(super) fn code(&self) -> unsafe fn(&Panel) {
        self.code.expect("a tier that the CPU has is compiled for its architecture")
    }
}
