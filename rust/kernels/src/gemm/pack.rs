//! The packed right side: units of 16 columns, each unit whole in k, so that a range of units is a sub-slice.
//!
//! Inside a unit the k come in groups of 4, column by column. A dot-product tier reads the left side where it lies: each tap
//! begins a group, and its last one is filled with zeros. AVX2 copies it, and its groups go on from tap to tap. A group has
//! 64 bytes.

/// Columns of a unit.
pub const UNIT: usize = 16;
/// Consecutive k of a group.
pub const GROUP: usize = 4;

/// How a tier wants a group of 16 columns x 4 k.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Column by column, 4 bytes each; a tap is groups of its own.
    Fours,
    /// k 0 and 1 of each column, then k 2 and 3; the taps are one row of k.
    Pairs,
}

/// Bytes of a group.
pub(super) const GROUP_BYTES: usize = UNIT * GROUP;

impl Packing {
    /// Writes a column's 4 weights into a group.
    #[inline(always)]
    fn write(self, four: [i8; GROUP], column: usize, group: &mut [u8]) {
        let four = four.map(|weight| weight as u8);
        match self {
            Packing::Fours => group[column * GROUP..][..GROUP].copy_from_slice(&four),
            Packing::Pairs => {
                for pair in 0..GROUP / 2 {
                    let two = [four[2 * pair], four[2 * pair + 1]];
                    group[2 * (pair * UNIT + column)..][..2].copy_from_slice(&two);
                }
            }
        }
    }

    /// What the groups of `taps x kc` are of: so many taps of so many k.
    fn grouped(self, taps: usize, kc: usize) -> [usize; 2] {
        match self {
            Packing::Fours => [taps, kc],
            Packing::Pairs => [1, taps * kc],
        }
    }

    /// Bytes of a unit of `taps x kc`.
    pub(crate) fn unit_bytes(self, taps: usize, kc: usize) -> usize {
        let [taps, kc] = self.grouped(taps, kc);
        taps * kc.div_ceil(GROUP) * GROUP_BYTES
    }

    /// See [`packed_len`](super::packed_len).
    pub(super) fn packed_len(self, n: usize, taps: usize, kc: usize) -> usize {
        n.div_ceil(UNIT) * self.unit_bytes(taps, kc)
    }

    /// See [`pack`](super::pack()).
    pub(super) fn pack(self, weights: &[i8], n: usize, taps: usize, kc: usize, out: &mut [u8]) {
        assert_eq!(weights.len(), n * taps * kc, "weights are n x taps x kc");
        assert_eq!(out.len(), n.div_ceil(UNIT) * self.unit_bytes(taps, kc), "out is packed_len bytes");
        let len = self.unit_bytes(taps, kc);
        let [taps, kc] = self.grouped(taps, kc);
        let k = taps * kc;
        if len == 0 {
            return;
        }
        for (unit, out) in out.chunks_exact_mut(len).enumerate() {
            let first = unit * UNIT;
            let width = UNIT.min(n - first);
            // Columns that are not there are empty: their weights are 0.
            let columns: [&[i8]; UNIT] = std::array::from_fn(|column| match column < width {
                true => &weights[(first + column) * k..][..k],
                false => &[],
            });
            let taps = out.chunks_exact_mut(kc.div_ceil(GROUP) * GROUP_BYTES);
            for (tap, out) in taps.enumerate() {
                let whole = if width == UNIT { kc / GROUP } else { 0 };
                let (groups, rest) = out.split_at_mut(whole * GROUP_BYTES);
                let columns = columns.map(|column| column.get(tap * kc..(tap + 1) * kc).unwrap_or(&[]));
                self.write_whole(columns, groups);
                for (at, group) in rest.chunks_exact_mut(GROUP_BYTES).enumerate() {
                    for (column, weights) in columns.iter().enumerate() {
                        let mut four = [0; GROUP];
                        let given = weights.get((whole + at) * GROUP..).unwrap_or(&[]);
                        four.iter_mut().zip(given).for_each(|(to, &weight)| *to = weight);
                        self.write(four, column, group);
                    }
                }
            }
        }
    }

    /// Writes whole groups of whole columns, so many at a time that they stay in the first cache.
    fn write_whole(self, columns: [&[i8]; UNIT], groups: &mut [u8]) {
        const BLOCK: usize = 64;
        for (block, groups) in groups.chunks_mut(BLOCK * GROUP_BYTES).enumerate() {
            for (column, weights) in columns.iter().enumerate() {
                let (fours, _) = weights[block * BLOCK * GROUP..].as_chunks();
                for (group, &four) in groups.chunks_exact_mut(GROUP_BYTES).zip(fours) {
                    self.write(four, column, group);
                }
            }
        }
    }
}

/// The packed right side: `n` columns of `taps x kc`.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// What [`pack`](super::pack()) wrote for the tier that will run.
    pub packed: &'a [u8],
    /// Columns.
    pub n: usize,
    /// Taps of the kernel: 1 for a matrix product.
    pub taps: usize,
    /// Elements of a tap: the input channels of a group.
    pub kc: usize,
}

impl<'a> Columns<'a> {
    /// The columns of a range of units of [`UNIT`] columns; the last unit may be cut short by `n`.
    pub fn slice(&self, units: std::ops::Range<usize>) -> Columns<'a> {
        let all = self.n.div_ceil(UNIT);
        assert!(units.start < units.end && units.end <= all, "{units:?} of {all} units");
        let bytes = self.packed.len() / all;
        Columns {
            packed: &self.packed[units.start * bytes..units.end * bytes],
            n: (units.end * UNIT).min(self.n) - units.start * UNIT,
            ..*self
        }
    }
}
