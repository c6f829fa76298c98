//! The packed right side: units of 16 columns, each unit whole in k, so that a range of units is a sub-slice.
//!
//! Inside a unit the k of a tap come in groups of 4 (the last one filled with zeros), column by column. A dot-product
//! tier reads a group as 4 bytes of each column; AVX2 as 2 bytes of each column, then the other 2. A group has 64 bytes.

/// Columns of a unit.
pub const UNIT: usize = 16;
/// Consecutive k of a group.
pub const GROUP: usize = 4;

/// How a tier wants a group of 16 columns x 4 k.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Column by column, 4 bytes each.
    Fours,
    /// k 0 and 1 of each column, then k 2 and 3.
    Pairs,
}

/// Bytes of a group.
pub(super) const GROUP_BYTES: usize = UNIT * GROUP;

impl Packing {
    /// Writes a column's 4 weights into a group.
    fn write(self, four: [i8; GROUP], column: usize, group: &mut [u8]) {
        let four = four.map(|weight| weight as u8);
        match self {
            Packing::Fours => group[column * GROUP..][..GROUP].copy_from_slice(&four),
            Packing::Pairs => {
                for (pair, two) in four.chunks_exact(2).enumerate() {
                    group[2 * (pair * UNIT + column)..][..2].copy_from_slice(two);
                }
            }
        }
    }

    /// Bytes of a unit of `taps x kc`.
    pub(crate) fn unit_bytes(self, taps: usize, kc: usize) -> usize {
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
        let groups = kc.div_ceil(GROUP);
        for (index, group) in out.chunks_exact_mut(GROUP_BYTES).enumerate() {
            let (unit, tap, first) = (index / (taps * groups), index / groups % taps, index % groups * GROUP);
            let len = GROUP.min(kc - first);
            for column in 0..UNIT {
                let row = unit * UNIT + column;
                let mut four = [0; GROUP];
                if row < n {
                    four[..len].copy_from_slice(&weights[(row * taps + tap) * kc + first..][..len]);
                }
                self.write(four, column, group);
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
