//! The tiers, their detection, and the one table of kernels that a session is given.
//!
//! A tier is an instruction set that kernels are written for. [`TABLE`] has one row a tier, one entry a kernel
//! family; dispatch, tests, benches and profiles read it. A row can be looked at on any machine (what would an
//! AVX-512 machine run?), but run only through [`Kernels`], which exists only where the CPU has the tier.

use std::fmt;

use crate::depthwise;
use crate::elementwise;
use crate::float;
use crate::gemm;
use crate::lookup;
use crate::pool;
use crate::quantize;
use crate::softmax;

/// An instruction set that kernels are written for, poorest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain Rust, on every machine.
    Scalar,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512 F, BW, VL, DQ and VNNI, on 512-bit registers.
    Avx512Vnni,
}

impl Isa {
    /// Every tier that this source knows, poorest first.
    pub const ALL: [Isa; 3] = [Isa::Scalar, Isa::Avx2, Isa::Avx512Vnni];

    /// The name that `OCTAVO_ISA`, kernel names and profiles use.
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Avx512Vnni => "avx512vnni",
        }
    }

    /// The tier of that name, if this source knows it.
    pub fn from_name(name: &str) -> Option<Isa> {
        Isa::ALL.into_iter().find(|isa| isa.name() == name)
    }

    /// Whether this CPU can run the tier.
    #[cfg(target_arch = "x86_64")]
    pub fn is_available(self) -> bool {
        match self {
            Isa::Scalar => true,
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Isa::Avx512Vnni => {
                Isa::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vnni")
            }
        }
    }

    /// Whether this CPU can run the tier.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn is_available(self) -> bool {
        self == Isa::Scalar
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The tiers that this build and this CPU can run, poorest first.
pub fn available() -> Vec<Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available()).collect()
}

/// A named kernel of one family.
#[derive(Debug)]
pub struct Entry<F> {
    /// `<isa>-<types>-<family>-<tile>`; the isa is that of the code, which a richer tier may share.
    pub name: &'static str,
    /// The code. Calling it needs the CPU features of `name`'s isa and the bounds that the family's safe entry checks.
    pub(crate) run: F,
}

/// One tier's kernels: one field a family.
#[derive(Debug)]
pub struct Row {
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
}

/// The one table of kernels, poorest tier first.
pub static TABLE: [Row; 3] = [
    Row {
        isa: Isa::Scalar,
        gemm: gemm::scalar::ENTRIES,
        float: float::SCALAR,
        float_gemm: float::gemm::scalar::ENTRIES,
        depthwise: depthwise::SCALAR,
        elementwise: elementwise::SCALAR,
        lookup: lookup::SCALAR,
        pool: pool::SCALAR,
        quantize: quantize::SCALAR,
        softmax: softmax::SCALAR,
    },
    Row {
        isa: Isa::Avx2,
        gemm: gemm::avx2::ENTRIES,
        float: float::AVX2,
        float_gemm: float::gemm::avx2::ENTRIES,
        depthwise: depthwise::AVX2,
        elementwise: elementwise::AVX2,
        lookup: lookup::AVX2,
        pool: pool::AVX2,
        quantize: quantize::AVX2,
        softmax: softmax::AVX2,
    },
    Row {
        isa: Isa::Avx512Vnni,
        gemm: gemm::avx512vnni::ENTRIES,
        float: float::AVX512VNNI,
        float_gemm: float::gemm::avx512vnni::ENTRIES,
        depthwise: depthwise::AVX512VNNI,
        elementwise: elementwise::AVX512VNNI,
        lookup: lookup::AVX512VNNI,
        pool: pool::AVX512VNNI,
        quantize: quantize::AVX512VNNI,
        softmax: softmax::AVX512VNNI,
    },
];

/// A tier's row on a machine that has the tier: holding one proves that its kernels may be called.
#[derive(Clone, Copy, Debug)]
pub struct Kernels(&'static Row);

impl Kernels {
    /// The kernels of a tier, or `None` where this CPU lacks it.
    pub fn new(isa: Isa) -> Option<Kernels> {
        let row = TABLE.iter().find(|row| row.isa == isa)?;
        isa.is_available().then_some(Kernels(row))
    }

    /// The kernels of the richest tier here.
    pub fn best() -> Kernels {
        let best = TABLE.iter().rev().find(|row| row.isa.is_available());
        Kernels(best.expect("the scalar tier is everywhere"))
    }

    /// The tier.
    pub fn isa(self) -> Isa {
        self.0.isa
    }

    /// The tier's row of the table.
    pub fn row(self) -> &'static Row {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_have_names_ranks_and_rows() {
        assert_eq!(Isa::ALL.map(Isa::name), ["scalar", "avx2", "avx512vnni"]);
        assert!(Isa::ALL.is_sorted());
        for (row, isa) in TABLE.iter().zip(Isa::ALL) {
            assert_eq!(row.isa, isa);
            assert_eq!((Isa::from_name(isa.name()), isa.to_string()), (Some(isa), isa.name().to_owned()));
        }
        for name in
            ["", "avx", "avx2 ", " avx2", "avx2x", "AVX2", "scala", "scalar-", "avx512", "avx512vnni2"]
        {
            assert_eq!(Isa::from_name(name), None, "{name:?}");
        }
    }

    #[test]
    fn a_tier_that_is_here_has_kernels_and_the_best_is_the_richest() {
        let here = available();
        assert_eq!(here[0], Isa::Scalar);
        assert!(here.is_sorted() && here.iter().all(|isa| isa.is_available()));
        for isa in Isa::ALL {
            assert_eq!(Kernels::new(isa).map(Kernels::isa), here.contains(&isa).then_some(isa));
        }
        assert_eq!(Some(&Kernels::best().isa()), here.last());
    }

    /// An entry's name begins with the instruction set of its code, which is the row's own or a poorer one's.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn rows_hold_their_own_kernels() {
        for (rank, row) in TABLE.iter().enumerate() {
            let own = row.isa.name();
            let plain = [
                row.float.unary.name,
                row.float.binary.name,
                row.float.reduce_last.name,
                row.float.softmax.name,
                row.float.depthwise.name,
                row.elementwise.add.name,
                row.elementwise.min.name,
                row.lookup.lookup.name,
                row.pool.max.name,
                row.pool.mean.name,
                row.quantize.quantize.name,
                row.softmax.softmax.name,
                row.gemm.tiles[0].name,
                row.gemm.tiles[3].name,
                row.gemm.pack.name,
                row.gemm.row_sums.name,
                row.float_gemm.tiles[0].name,
                row.depthwise.to_bytes.select([1, 1], [9, 9], [1, 1]).name,
                row.depthwise.to_floats.select([1, 1], [9, 9], [1, 1]).name,
            ];
            for name in plain {
                let of = Isa::from_name(name.split('-').next().unwrap_or_default()).expect(name);
                assert!(of == row.isa || rank == 2 && of == Isa::Avx2, "{name} in the row of {own}");
            }
            for (units, tile) in (1..).zip(&row.gemm.tiles) {
                assert_eq!(tile.units, units, "{}", tile.name);
            }
        }
    }
}
