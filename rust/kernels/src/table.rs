//! The one table of kernels that a session is given.
//!
//! [`TABLE`] has one row a tier, one entry a kernel family; dispatch, tests, benches and profiles read it. A row can be
//! looked at on any machine (what would an AVX-512 machine run?), but run only through [`Kernels`], which exists only
//! where the CPU has the tier.

use std::sync::LazyLock;

use crate::cpu::{self, Cpu};
use crate::isa::{Has, Isa, available};
use crate::{depthwise, elementwise, float, gemm, int16, lookup, pool, quantize, softmax};

/// One tier's kernels: one field a family.
#[derive(Debug)]
pub struct TableRow {
    /// The tier.
    pub isa: Isa,
    /// Matrix products and convolutions of bytes.
    pub gemm: gemm::Entries,
    /// Float32 kernels.
    pub float: float::Entries,
    /// Matrix products and convolutions of float32.
    pub float_gemm: float::gemm::Entries,
    /// Depthwise convolutions.
    pub depthwise: depthwise::Entries,
    /// Sums, products, maxima and minima of bytes.
    pub elementwise: elementwise::Entries,
    /// Table lookup.
    pub lookup: lookup::Entries,
    /// Pools of bytes.
    pub pool: pool::Entries,
    /// Conversions between float32 and bytes.
    pub quantize: quantize::Entries,
    /// Softmax of bytes.
    pub softmax: softmax::Entries,
    /// Kernels of int16.
    pub int16: int16::Entries,
}

/// The one table of kernels, poorest tier first.
pub static TABLE: [TableRow; 8] = [
    TableRow {
        isa: Isa::Scalar,
        gemm: gemm::SCALAR,
        float: float::SCALAR,
        float_gemm: float::gemm::SCALAR,
        depthwise: depthwise::SCALAR,
        elementwise: elementwise::SCALAR,
        lookup: lookup::SCALAR,
        pool: pool::SCALAR,
        quantize: quantize::SCALAR,
        softmax: softmax::SCALAR,
        int16: int16::SCALAR,
    },
    TableRow {
        isa: Isa::Avx2,
        gemm: gemm::AVX2,
        float: float::AVX2,
        float_gemm: float::gemm::AVX2,
        depthwise: depthwise::AVX2,
        elementwise: elementwise::AVX2,
        lookup: lookup::AVX2,
        pool: pool::AVX2,
        quantize: quantize::AVX2,
        softmax: softmax::AVX2,
        int16: int16::AVX2,
    },
    TableRow {
        isa: Isa::AvxVnni,
        gemm: gemm::AVXVNNI,
        float: float::AVX2,
        float_gemm: float::gemm::AVX2,
        depthwise: depthwise::AVXVNNI,
        elementwise: elementwise::AVX2,
        lookup: lookup::AVX2,
        pool: pool::AVX2,
        quantize: quantize::AVX2,
        softmax: softmax::AVX2,
        int16: int16::AVX2,
    },
    TableRow {
        isa: Isa::Avx512Vl,
        gemm: gemm::AVX512VL,
        float: float::AVX2,
        float_gemm: float::gemm::AVX2,
        depthwise: depthwise::AVX512VL,
        elementwise: elementwise::AVX2,
        lookup: lookup::AVX512VNNI,
        pool: pool::AVX2,
        quantize: quantize::AVX2,
        softmax: softmax::AVX2,
        int16: int16::AVX2,
    },
    TableRow {
        isa: Isa::Avx512Vnni,
        gemm: gemm::AVX512VNNI,
        float: float::AVX512VNNI,
        float_gemm: float::gemm::AVX512VNNI,
        depthwise: depthwise::AVX512VNNI,
        elementwise: elementwise::AVX512VNNI,
        lookup: lookup::AVX512VNNI,
        pool: pool::AVX512VNNI,
        quantize: quantize::AVX512VNNI,
        softmax: softmax::AVX512VNNI,
        int16: int16::AVX512VNNI,
    },
    NEON,
    TableRow { isa: Isa::DotProd, gemm: gemm::DOTPROD, depthwise: depthwise::DOTPROD, ..NEON },
    TableRow { isa: Isa::I8mm, gemm: gemm::I8MM, depthwise: depthwise::I8MM, ..NEON },
];

const NEON: TableRow = TableRow {
    isa: Isa::Neon,
    gemm: gemm::NEON,
    float: float::NEON,
    float_gemm: float::gemm::NEON,
    depthwise: depthwise::NEON,
    elementwise: elementwise::NEON,
    lookup: lookup::NEON,
    pool: pool::NEON,
    quantize: quantize::NEON,
    softmax: softmax::NEON,
    int16: int16::NEON,
};

/// A tier's row on a machine that has the tier: holding one proves that its kernels may be called.
#[derive(Clone, Copy, Debug)]
pub struct Kernels(&'static TableRow);

impl Kernels {
    /// The kernels of a tier, or `None` where this CPU lacks it.
    pub fn new(isa: Isa) -> Option<Kernels> {
        let row = TABLE.iter().find(|row| row.isa == isa)?;
        isa.is_available().then_some(Kernels(row))
    }

    /// The kernels of the tier that this CPU is best at.
    pub fn best() -> Kernels {
        static BEST: LazyLock<Option<Isa>> = LazyLock::new(|| cpu::best(&available(), &Cpu::here()));
        BEST.and_then(Kernels::new).expect("the scalar tier is everywhere")
    }

    /// The tier.
    pub fn isa(self) -> Isa {
        self.0.isa
    }

    /// The tier's row of the table.
    pub fn row(self) -> &'static TableRow {
        self.0
    }
}

/// Families by their entries: what a kernel is called through.
macro_rules! families {
    ($($field:ident $(. $inner:ident)?: $entries:ty;)*) => {
        $(
            // SAFETY: a `Kernels` is made only where the CPU has the row's tier, which has all isas of its entries.
            unsafe impl Has<$entries> for Kernels {
                fn entries(self) -> &'static $entries {
                    &self.0.$field$(.$inner)?
                }
            }
        )*
    };
}
families! {
    gemm: gemm::Entries;
    float_gemm: float::gemm::Entries;
    depthwise: depthwise::Entries;
    elementwise: elementwise::Entries;
    lookup: lookup::Entries;
    pool: pool::Entries;
    quantize: quantize::Entries;
    softmax: softmax::Entries;
    int16.product: int16::product::Entries;
    int16.depthwise: int16::depthwise::Entries;
    int16.elementwise: int16::elementwise::Entries;
    int16.pool: int16::pool::Entries;
    int16.convert: int16::convert::Entries;
    float.interleave: float::interleave::Entries;
    float.depthwise: float::depthwise::Entries;
    float.unary: float::unary::Entries;
    float.half: float::half::Entries;
    float.binary: float::binary::Entries;
    float.reduce: float::reduce::Entries;
    float.interpolate: float::interpolate::Entries;
    float.softmax: float::softmax::Entries;
    float.exponentials: float::exponentials::Entries;
    float.scores: float::scores::Entries;
    float.normalization: float::normalization::Entries;
    float.pool: float::pool::Entries;
    float.transpose: float::transpose::Entries;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tier_has_its_row() {
        assert_eq!(TABLE.each_ref().map(|row| row.isa), Isa::ALL);
    }

    /// A row says the same on every machine; its code is there where the architecture has the instructions that an entry is
    /// named after.
    #[test]
    fn code_is_there_on_its_architecture() {
        for row in &TABLE {
            macro_rules! found {
                ($($entry:expr),* $(,)?) => { [$(($entry.name, $entry.code.is_some())),*] };
            }
            let bytes = row.depthwise.to_bytes.all.iter();
            let bytes = bytes.map(|tile| (tile.entry.name, tile.entry.code.is_some()));
            let floats = row.depthwise.to_floats.all.iter();
            let floats = floats.map(|tile| (tile.entry.name, tile.entry.code.is_some()));
            let found = found![
                row.gemm.row_sums,
                row.lookup.lookup,
                row.pool.mean,
                row.pool.mean_to_floats,
                row.float.transpose.transpose,
                row.float.depthwise.depthwise,
                row.float.unary.unary,
                row.int16.product.product,
                row.int16.depthwise.depthwise,
                row.int16.convert.lookup,
            ];
            for (name, is_there) in found.into_iter().chain(bytes).chain(floats) {
                let isa = Isa::from_name(name.split('-').next().unwrap_or_default()).expect(name);
                let is_here = isa.architecture().is_none_or(|here| here == std::env::consts::ARCH);
                assert_eq!(is_there, is_here, "{name} in the row of {}", row.isa);
            }
        }
    }

    /// `OCTAVO_TIERS_EXPECTED` names the tiers of a machine that is known, so that none is left out of the tests unseen.
    #[test]
    fn a_machine_that_is_known_has_its_tiers() {
        let Ok(expected) = std::env::var("OCTAVO_TIERS_EXPECTED") else { return };
        let found: Vec<&str> =
            Isa::ALL.into_iter().filter_map(Kernels::new).map(|k| k.isa().name()).collect();
        assert_eq!(found.join(" "), expected);
    }

    #[test]
    fn a_tier_that_is_here_has_kernels_and_the_best_is_one_of_them() {
        let here = available();
        assert_eq!(here[0], Isa::Scalar);
        assert!(here.is_sorted() && here.iter().all(|isa| isa.is_available()));
        for isa in Isa::ALL {
            assert_eq!(Kernels::new(isa).map(Kernels::isa), here.contains(&isa).then_some(isa));
        }
        assert_eq!(Some(Kernels::best().isa()), cpu::best(&here, &Cpu::here()));
    }

    /// An entry's name begins with the instruction set of its code, which is the row's own or one that the row's has all of.
    #[test]
    fn rows_hold_their_own_kernels() {
        let shared = |isa: Isa| match isa {
            Isa::Scalar | Isa::Avx2 | Isa::Neon => vec![isa],
            Isa::AvxVnni | Isa::Avx512Vnni => vec![isa, Isa::Avx2],
            Isa::Avx512Vl => vec![isa, Isa::Avx2, Isa::Avx512Vnni],
            Isa::DotProd => vec![isa, Isa::Neon],
            Isa::I8mm => vec![isa, Isa::DotProd, Isa::Neon],
        };
        for row in &TABLE {
            let own = row.isa.name();
            let plain = [
                row.float.unary.unary.name,
                row.float.binary.binary.name,
                row.float.reduce.last.name,
                row.float.softmax.softmax.name,
                row.float.exponentials.exponentials.name,
                row.float.depthwise.depthwise.name,
                row.elementwise.add.name,
                row.elementwise.min.name,
                row.lookup.lookup.name,
                row.pool.max.name,
                row.pool.mean.name,
                row.pool.mean_to_floats.name,
                row.quantize.quantize.name,
                row.softmax.softmax.name,
                row.gemm.tiles[0].name,
                row.gemm.tiles[3].name,
                row.gemm.pack.name,
                row.gemm.row_sums.name,
                row.float_gemm.floats.all[0].name,
                row.float_gemm.nibbles.all[0].name,
                row.float_gemm.bytes.all[0].name,
                row.depthwise.to_bytes.all[0].entry.name,
                row.depthwise.to_floats.all[0].entry.name,
                row.int16.product.product.name,
                row.int16.depthwise.depthwise.name,
                row.int16.depthwise.to_floats.name,
                row.int16.elementwise.add.name,
                row.int16.pool.mean.name,
                row.int16.convert.quantize.name,
            ];
            for name in plain {
                let of = Isa::from_name(name.split('-').next().unwrap_or_default()).expect(name);
                assert!(shared(row.isa).contains(&of), "{name} in the row of {own}");
            }
            for (units, tile) in (1..).zip(&row.gemm.tiles) {
                assert_eq!(tile.units, units, "{}", tile.name);
            }
        }
    }
}
