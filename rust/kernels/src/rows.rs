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
/// its bounds without reading the table, and which rows are evenly spaced.
#[derive(Clone, Debug)]
pub struct OffsetTable {
    offsets: Vec<u32>,
    taps: usize,
    largest: Option<u32>,
    /// Bytes from a row to the next, and for each row how many from it on, at most 255, lie so: each tap so many bytes behind
    /// that of the row before.
    spacing: usize,
    even: Vec<u8>,
}

impl OffsetTable {
    /// A table of `offsets.len() / taps` rows; [`PAD`] stands for a tap in the padding.
    ///
    /// # Panics
    /// Where `taps` is 0 or does not divide the number of offsets.
    pub fn new(offsets: Vec<u32>, taps: usize) -> OffsetTable {
        assert!(taps > 0 && offsets.len().is_multiple_of(taps), "an offset table holds whole rows");
        let largest = offsets.iter().copied().filter(|&offset| offset != PAD).max();
        let spacing = match (offsets.first(), offsets.get(taps)) {
            (Some(&first), Some(&second)) if second != PAD => second.saturating_sub(first),
            _ => 0,
        };
        let even = even_rows(&offsets, taps, spacing);
        OffsetTable { offsets, taps, largest, spacing: spacing as usize, even }
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
            spacing: self.spacing,
            even: &self.even[rows],
        }
    }
}

/// How many rows from each on are evenly spaced: each tap of a row `spacing` behind that of the row before, none [`PAD`].
fn even_rows(offsets: &[u32], taps: usize, spacing: u32) -> Vec<u8> {
    let rows = offsets.len() / taps;
    let mut even = vec![1u8; rows];
    let is_next =
        |(&here, &next): (&u32, &u32)| here != PAD && next != PAD && here.checked_add(spacing) == Some(next);
    for row in (1..rows).rev() {
        let (here, next) = (&offsets[(row - 1) * taps..row * taps], &offsets[row * taps..(row + 1) * taps]);
        if here.iter().zip(next).all(is_next) {
            even[row - 1] = even[row].saturating_add(1);
        }
    }
    even
}

/// A range of rows of an [`OffsetTable`].
#[derive(Clone, Copy, Debug)]
pub struct Offsets<'a> {
    offsets: &'a [u32],
    taps: usize,
    /// The largest offset of the whole table, if any is not [`PAD`].
    largest: Option<u32>,
    spacing: usize,
    even: &'a [u8],
}

/// Rows whose bounds have been checked, as the kernels read them.
#[derive(Clone, Copy)]
pub(crate) struct Left {
    data: *const u8,
    /// Bytes from one dense or evenly spaced row to the next.
    stride: usize,
    /// Null for dense rows.
    offsets: *const u32,
    taps: usize,
    pad: *const u8,
    /// Of a row of offsets, null for dense rows.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "no tier of this architecture asks"))]
    even: *const u8,
}

impl Left {
    /// No rows.
    pub(crate) const NONE: Left = Left::dense(std::ptr::null(), 0);

    /// Rows of one tap, so many bytes apart.
    const fn dense(data: *const u8, stride: usize) -> Left {
        Left {
            data,
            stride,
            offsets: std::ptr::null(),
            taps: 1,
            pad: std::ptr::null(),
            even: std::ptr::null(),
        }
    }

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
                Left::dense(data.as_ptr(), stride)
            }
            Rows::Indirect { data, offsets, pad } => {
                assert_eq!(offsets.taps, taps, "the offset table is of another kernel shape");
                assert!(offsets.offsets.len() / taps >= m, "the offset table has fewer rows");
                assert!(pad.len() >= group_bytes, "the pad row is short");
                let end = offsets.largest.map_or(0, |largest| largest as usize + group_bytes);
                assert!(end <= data.len(), "an offset leaves the data");
                Left {
                    data: data.as_ptr(),
                    stride: offsets.spacing,
                    offsets: offsets.offsets.as_ptr(),
                    taps,
                    pad: pad.as_ptr(),
                    even: offsets.even.as_ptr(),
                }
            }
        }
    }

    /// How far apart so many rows from `row` on are, all taps of each from those of the one before, if that is one distance.
    ///
    /// # Safety
    /// They are rows of [`Left::new`], whose slices are still borrowed.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) unsafe fn spacing(&self, row: usize, rows: usize) -> Option<usize> {
        // SAFETY: the table has a number for each row.
        let is_even = self.even.is_null() || usize::from(unsafe { *self.even.add(row) }) >= rows;
        is_even.then_some(self.stride)
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
