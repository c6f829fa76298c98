//! The packed right side: units of 16 columns, each unit whole in k, so that a range of units is a sub-slice.
//!
//! Inside a unit the k come in groups of 4, column by column. A dot-product tier reads the left side where it lies: each tap
//! begins a group, and its last one is filled with zeros. AVX2 copies it, and its groups go on from tap to tap. A group has
//! 64 bytes. Where an instruction takes 8 k, two groups lie together. Behind a unit stands what a tier has to know of all its
//! weights.

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
    /// [`Packing::Fours`], with sums behind each unit.
    FoursAndSums,
    /// Of 4 columns k 0 and 1 of each, then k 2 and 3, then the next 4 columns; with sums behind each unit, and flags.
    HalvesAndSums,
    /// Of two groups, column by column, 8 bytes each.
    Eights,
}

/// Bytes of a group.
pub(super) const GROUP_BYTES: usize = UNIT * GROUP;
/// Bytes of the sums behind a unit: of each column 128 times that of its weights, modulo 2^32.
const SUMS_BYTES: usize = 4 * UNIT;
/// Bytes behind those, each of which is 1 where one of the unit's weights is -128, else 0.
const FLAG_BYTES: usize = 64;

impl Packing {
    /// Groups that lie together.
    #[inline(always)]
    pub(super) const fn together(self) -> usize {
        match self {
            Packing::Eights => 2,
            _ => 1,
        }
    }

    /// Writes a column's 4 weights into the groups that lie together, of which theirs is the one numbered `group`.
    #[inline(always)]
    pub(super) fn write(self, four: [u8; GROUP], column: usize, group: usize, to: &mut [u8]) {
        let halves = [[four[0], four[1]], [four[2], four[3]]];
        match self {
            Packing::Fours | Packing::FoursAndSums => to[column * GROUP..][..GROUP].copy_from_slice(&four),
            Packing::Pairs => {
                for (half, two) in halves.iter().enumerate() {
                    to[2 * (half * UNIT + column)..][..2].copy_from_slice(two);
                }
            }
            Packing::HalvesAndSums => {
                for (half, two) in halves.iter().enumerate() {
                    to[column / 4 * 16 + half * 8 + column % 4 * 2..][..2].copy_from_slice(two);
                }
            }
            Packing::Eights => to[(2 * column + group) * GROUP..][..GROUP].copy_from_slice(&four),
        }
    }

    /// What the groups of `taps x kc` are of: so many taps of so many k.
    fn grouped(self, taps: usize, kc: usize) -> [usize; 2] {
        match self {
            Packing::Pairs => [1, taps * kc],
            _ => [taps, kc],
        }
    }

    /// Bytes of a tap of `kc` in a unit.
    pub(super) fn tap_bytes(self, kc: usize) -> usize {
        kc.div_ceil(GROUP).next_multiple_of(self.together()) * GROUP_BYTES
    }

    /// Bytes behind a unit.
    const fn bytes_behind(self) -> usize {
        match self {
            Packing::Fours | Packing::Pairs | Packing::Eights => 0,
            Packing::FoursAndSums => SUMS_BYTES,
            Packing::HalvesAndSums => SUMS_BYTES + FLAG_BYTES,
        }
    }

    /// Where the sums of a unit of so many bytes stand, if there are any.
    #[cfg(target_arch = "aarch64")]
    #[inline(always)]
    pub(super) const fn sums_at(self, unit_bytes: usize) -> Option<usize> {
        match self.bytes_behind() {
            0 => None,
            behind => Some(unit_bytes - behind),
        }
    }

    /// Writes what stands behind a unit: `totals` are the sums of its columns' weights.
    #[inline(always)]
    pub(super) fn write_behind(self, totals: [i32; UNIT], has_least: bool, behind: &mut [u8]) {
        for (to, total) in behind.chunks_exact_mut(4).zip(totals) {
            to.copy_from_slice(&total.wrapping_mul(128).to_ne_bytes());
        }
        behind.iter_mut().skip(SUMS_BYTES).for_each(|flag| *flag = u8::from(has_least));
    }

    /// Bytes of a unit of `taps x kc`.
    pub(crate) fn unit_bytes(self, taps: usize, kc: usize) -> usize {
        let [taps, kc] = self.grouped(taps, kc);
        taps * self.tap_bytes(kc) + self.bytes_behind()
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
        if k == 0 {
            return out.fill(0);
        }
        let together = self.together() * GROUP_BYTES;
        for (unit, out) in out.chunks_exact_mut(len).enumerate() {
            let first = unit * UNIT;
            let width = UNIT.min(n - first);
            // Columns that are not there are empty: their weights are 0.
            let columns: [&[i8]; UNIT] = std::array::from_fn(|column| match column < width {
                true => &weights[(first + column) * k..][..k],
                false => &[],
            });
            let (out, behind) = out.split_at_mut(taps * self.tap_bytes(kc));
            for (tap, out) in out.chunks_exact_mut(self.tap_bytes(kc)).enumerate() {
                let whole = if width == UNIT { kc / GROUP / self.together() * self.together() } else { 0 };
                let (groups, rest) = out.split_at_mut(whole * GROUP_BYTES);
                let columns = columns.map(|column| column.get(tap * kc..(tap + 1) * kc).unwrap_or(&[]));
                self.write_whole(columns, groups);
                for (at, to) in rest.chunks_exact_mut(together).enumerate() {
                    for (column, weights) in columns.iter().enumerate() {
                        for group in 0..self.together() {
                            let mut four = [0; GROUP];
                            let from = (whole + at * self.together() + group) * GROUP;
                            let given = weights.get(from..).unwrap_or(&[]);
                            four.iter_mut().zip(given).for_each(|(to, &weight)| *to = weight as u8);
                            self.write(four, column, group, to);
                        }
                    }
                }
            }
            if !behind.is_empty() {
                let totals = columns.map(|column| column.iter().map(|&weight| i32::from(weight)).sum());
                let has_least = columns.iter().any(|column| column.contains(&i8::MIN));
                self.write_behind(totals, has_least, behind);
            }
        }
    }

    /// Writes whole groups of whole columns, so many at a time that they stay in the first cache.
    fn write_whole(self, columns: [&[i8]; UNIT], groups: &mut [u8]) {
        const BLOCK: usize = 64;
        let together = self.together();
        for (block, groups) in groups.chunks_mut(BLOCK * GROUP_BYTES).enumerate() {
            for (column, weights) in columns.iter().enumerate() {
                let (fours, _) = weights[block * BLOCK * GROUP..].as_chunks::<GROUP>();
                let steps = groups.chunks_exact_mut(together * GROUP_BYTES);
                for (to, fours) in steps.zip(fours.chunks_exact(together)) {
                    for (group, four) in fours.iter().enumerate() {
                        self.write(four.map(|weight| weight as u8), column, group, to);
                    }
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
