//! The scalar tier: one row of one unit at a time.

use super::activations::{Right, pack_source, row_sums_source};
use super::entries::Panel;
use super::epilogue::{ColumnParams, PANEL, finish};
use super::pack::{GROUP, Packing, UNIT};

/// [`ColumnParams::derive`].
pub(super) fn derive(params: &mut ColumnParams) {
    params.derive();
}

/// [`pack_source`].
pub(super) fn pack(right: &Right, out: &mut [u8], sums: &mut [i32]) {
    pack_source(Packing::Fours, right, out, sums);
}

/// [`row_sums_source`].
pub(super) fn row_sums(data: &[u8], stride: usize, k: usize, factor: i32, sums: &mut [i32]) {
    row_sums_source(data, stride, k, factor, sums);
}

/// # Safety
/// The panel's bounds have been checked.
pub(super) unsafe fn panel(panel: &Panel) {
    for row in 0..panel.m {
        // SAFETY: the caller's bounds: a residual for each of the panel's columns, in each of its rows.
        let residuals = panel.joining.map_or(&[][..], |joining| unsafe { joining.row(row, panel.n) });
        let mut acc = [0; PANEL];
        panel.columns.begin(panel.row_bias.get(row), residuals, &mut acc);
        for (unit, acc) in acc.chunks_exact_mut(UNIT).enumerate().take(panel.n.div_ceil(UNIT)) {
            // SAFETY: the caller's bounds: the row is below m, the unit one of the panel's.
            unsafe { accumulate(panel, row, unit, acc) };
        }
        // SAFETY: acc holds one row of at least n values.
        unsafe { finish(&panel.target, panel.columns, row, 1, 0..panel.n, acc.as_ptr(), acc.len()) };
    }
}

/// Adds a row's products with the 16 columns of a unit.
///
/// # Safety
/// `row` and `unit` are the panel's, whose bounds have been checked.
unsafe fn accumulate(panel: &Panel, row: usize, unit: usize, acc: &mut [i32]) {
    for tap in 0..panel.taps {
        for group in 0..panel.groups {
            // SAFETY: a tap has `groups` groups of 4 readable bytes; a unit has as many groups of 64 bytes a tap.
            let (a, w) = unsafe {
                let at = unit * panel.unit_bytes + (tap * panel.groups + group) * UNIT * GROUP;
                (
                    panel.left.tap(row, tap).add(group * GROUP).cast::<[u8; GROUP]>().read(),
                    &*panel.packed.add(at).cast::<[[i8; GROUP]; UNIT]>(),
                )
            };
            for (acc, w) in acc.iter_mut().zip(w) {
                let sum: i32 = (0..GROUP).map(|j| i32::from(a[j]) * i32::from(w[j])).sum();
                *acc = acc.wrapping_add(sum);
            }
        }
    }
}
