//! Where the rows of the left side lie: evenly spaced, or found through a table of offsets.

use std::ops::Range;

/// The offset of a tap that lies in the padding: the pad row is read instead.
pub const PAD: u32 = u32::MAX;

/// The left side of a product: `m` rows of `taps * kc` bytes.
///
/// A row's (or tap's) bytes from `kc` up to the next multiple of 4 are read too; they may hold anything, for their
/// weights are 0, but they must lie inside the slice.
#[derive(Clone, Copy, Debug)]
pub enum Rows<'a> {
    /// Row `r` is the `kc` bytes at `r * stride`, one tap: a 1x1 convolution, a matrix product.
    Dense {
        /// The rows.
        data: &'a [u8],
        /// Bytes from one row to the next.
        stride: usize,
    },
    /// Tap `t` of row `r` is the `kc` bytes at the table's offset, or `pad` where that is [`PAD`].
    Indirect {
        /// What the offsets count from.
        data: &'a [u8],
        /// One row of `taps` offsets for each row of the product.
        offsets: Offsets<'a>,
        /// `kc` bytes of the input's zero point, and up to 3 more of anything.
        pad: &'a [u8],
    },
}

/// The offsets of a convolution's taps, `rows x taps`, checked once: it knows the largest, so that a run can assert
/// its bounds without reading the table.
#[derive(Clone, Debug)]
pub struct OffsetTable {
    offsets: Vec<u32>,
    taps: usize,
    largest: Option<u32>,
}

impl OffsetTable {
    /// A table of `offsets.len() / taps` rows; [`PAD`] stands for a tap in the padding.
    ///
    /// # Panics
    /// Where `taps` is 0 or does not divide the number of offsets.
    pub fn new(offsets: Vec<u32>, taps: usize) -> OffsetTable {
        assert!(taps > 0 && offsets.len().is_multiple_of(taps), "an offset table holds whole rows");
        let largest = offsets.iter().copied().filter(|&offset| offset != PAD).max();
        OffsetTable { offsets, taps, largest }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.offsets.len() / self.taps
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// The offsets of one row after the other.
    pub fn as_slice(&self) -> &[u32] {
        &self.offsets
    }

    /// A range of rows.
    pub fn rows(&self, rows: Range<usize>) -> Offsets<'_> {
        Offsets {
            offsets: &self.offsets[rows.start * self.taps..rows.end * self.taps],
            taps: self.taps,
            largest: self.largest,
        }
    }
}

/// A range of rows of an [`OffsetTable`].
#[derive(Clone, Copy, Debug)]
pub struct Offsets<'a> {
    offsets: &'a [u32],
    taps: usize,
    /// The largest offset of the whole table, if any is not [`PAD`].
    largest: Option<u32>,
}

/// Rows whose bounds have been checked, as the kernels read them.
#[derive(Clone, Copy)]
pub(crate) struct Left {
    data: *const u8,
    stride: usize,
    /// Null for dense rows.
    offsets: *const u32,
    taps: usize,
    pad: *const u8,
}

impl Left {
    /// No rows.
    pub(crate) const NONE: Left =
        Left { data: std::ptr::null(), stride: 0, offsets: std::ptr::null(), taps: 0, pad: std::ptr::null() };

    /// Checks that `m` rows of `taps` taps of `group_bytes` bytes (`kc` rounded up to 4) lie inside the slices.
    ///
    /// # Panics
    /// Where they do not.
    pub(crate) fn new(rows: &Rows, m: usize, taps: usize, group_bytes: usize) -> Left {
        match *rows {
            Rows::Dense { data, stride } => {
                assert_eq!(taps, 1, "dense rows have one tap");
                let end = stride.checked_mul(m - 1).and_then(|start| start.checked_add(group_bytes));
                assert!(end.is_some_and(|end| end <= data.len()), "the rows leave the data");
                Left { data: data.as_ptr(), stride, offsets: std::ptr::null(), taps, pad: std::ptr::null() }
            }
            Rows::Indirect { data, offsets, pad } => {
                assert_eq!(offsets.taps, taps, "the offset table is of another kernel shape");
                assert!(offsets.offsets.len() / taps >= m, "the offset table has fewer rows");
                assert!(pad.len() >= group_bytes, "the pad row is short");
                let end = offsets.largest.map_or(0, |largest| largest as usize + group_bytes);
                assert!(end <= data.len(), "an offset leaves the data");
                Left {
                    data: data.as_ptr(),
                    stride: 0,
                    offsets: offsets.offsets.as_ptr(),
                    taps,
                    pad: pad.as_ptr(),
                }
            }
        }
    }

    /// The first byte of a tap of a row.
    ///
    /// # Safety
    /// `row < m` and `tap < taps` of [`Left::new`], whose slices are still borrowed.
    #[inline(always)]
    pub(crate) unsafe fn tap(&self, row: usize, tap: usize) -> *const u8 {
        // SAFETY: new() checked that the table has m rows of taps offsets, and that the bytes at every row, offset
        // and in the pad row lie inside the slices.
        unsafe {
            if self.offsets.is_null() {
                return self.data.add(row * self.stride);
            }
            let offset = *self.offsets.add(row * self.taps + tap);
            if offset == PAD { self.pad } else { self.data.add(offset as usize) }
        }
    }
}
