//! Part of a checked product, as the tiles take it.

use crate::float::epilogue::Clamp;

/// Columns of a unit.
pub const UNIT: usize = 16;
/// Most units of a panel.
pub(super) const PANEL_UNITS: usize = 8;

/// [`Rows`](super::Rows) that have been checked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Left {
    Dense {
        data: *const f32,
        stride: usize,
    },
    /// An offset below `reach` has kc elements in the data.
    Indirect {
        data: *const f32,
        reach: usize,
        offsets: *const u32,
    },
}

impl Left {
    /// Rows without taps.
    pub const NOTHING: Left = Left::Indirect { data: std::ptr::null(), reach: 0, offsets: std::ptr::null() };
}

/// A left side, and a panel of weights in float32.
#[derive(Clone, Copy, Debug)]
pub struct Floats {
    pub(super) left: Left,
    /// The panel's first unit; the next is `unit_stride` elements on.
    pub(super) packed: *const f32,
    pub(super) unit_stride: usize,
    pub(super) taps: usize,
    pub(super) kc: usize,
}

/// Some rows of one panel of a checked product, as the tiles take them. sides: what is multiplied.
pub(super) struct Panel<S> {
    pub sides: S,
    /// The rows.
    pub from: usize,
    pub to: usize,
    /// Columns: more than fill all units but one.
    pub n: usize,
    /// Added to each column. Without a bias -0, which changes nothing; but where the clamp's lower bound is 0 no lane is
    /// -0, so that no sum is, and the clamp need not look at the signs of zeros.
    pub bias: [f32; PANEL_UNITS * UNIT],
    /// Row 0 of the tensor to add, or null.
    pub residual: *const f32,
    pub residual_stride: usize,
    pub clamp: Option<Clamp>,
    /// Row 0 of the output.
    pub out: *mut f32,
    pub out_stride: usize,
}
