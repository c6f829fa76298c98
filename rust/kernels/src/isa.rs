//! The tiers, their detection, and what a family needs to be called: its entries, of a tier that the CPU has.
//!
//! A tier is an instruction set that kernels are written for.

use std::fmt;

/// An instruction set that kernels are written for, poorest first among those of an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain Rust, on every machine.
    Scalar,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-VNNI: the dot products of bytes in AVX2's encoding.
    AvxVnni,
    /// What [`Isa::Avx512Vnni`] has, on 256-bit registers.
    Avx512Vl,
    /// AVX-512 F, BW, VL, DQ and VNNI, on 512-bit registers.
    Avx512Vnni,
    /// NEON of 64-bit ARM.
    Neon,
    /// NEON with the dot products of bytes.
    DotProd,
    /// NEON with the dot products and the matrix products of bytes.
    I8mm,
}

impl Isa {
    /// Every tier that this source knows, an architecture's poorest first.
    pub const ALL: [Isa; 8] = [
        Isa::Scalar,
        Isa::Avx2,
        Isa::AvxVnni,
        Isa::Avx512Vl,
        Isa::Avx512Vnni,
        Isa::Neon,
        Isa::DotProd,
        Isa::I8mm,
    ];

    /// The name that `OCTAVO_ISA`, kernel names and profiles use.
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::AvxVnni => "avxvnni",
            Isa::Avx512Vl => "avx512vl",
            Isa::Avx512Vnni => "avx512vnni",
            Isa::Neon => "neon",
            Isa::DotProd => "dotprod",
            Isa::I8mm => "i8mm",
        }
    }

    /// The architecture whose instruction set it is, as Rust names it; `None` of the one on every machine.
    pub const fn architecture(self) -> Option<&'static str> {
        match self {
            Isa::Scalar => None,
            Isa::Avx2 | Isa::AvxVnni | Isa::Avx512Vl | Isa::Avx512Vnni => Some("x86_64"),
            Isa::Neon | Isa::DotProd | Isa::I8mm => Some("aarch64"),
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
            Isa::AvxVnni => Isa::Avx2.is_available() && is_x86_feature_detected!("avxvnni"),
            Isa::Avx512Vl | Isa::Avx512Vnni => {
                Isa::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vnni")
            }
            Isa::Neon | Isa::DotProd | Isa::I8mm => false,
        }
    }

    /// Whether this CPU can run the tier.
    #[cfg(target_arch = "aarch64")]
    pub fn is_available(self) -> bool {
        use std::arch::is_aarch64_feature_detected;
        match self {
            Isa::Scalar => true,
            Isa::Neon => is_aarch64_feature_detected!("neon"),
            Isa::DotProd => Isa::Neon.is_available() && is_aarch64_feature_detected!("dotprod"),
            Isa::I8mm => Isa::DotProd.is_available() && is_aarch64_feature_detected!("i8mm"),
            Isa::Avx2 | Isa::AvxVnni | Isa::Avx512Vl | Isa::Avx512Vnni => false,
        }
    }

    /// Whether this CPU can run the tier.
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
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
    /// The code, where this architecture has the isa. Calling it needs the CPU features of `name`'s isa and the bounds
    /// that the family's safe entry checks.
    pub(crate) code: Option<F>,
}

impl<F: Copy> Entry<F> {
    /// The code of a tier that the CPU has.
    pub(crate) fn code(&self) -> F {
        self.code.expect("a tier that the CPU has is compiled for its architecture")
    }
}

/// `Some` of a path on one architecture, `None` on all others: `code!(x86_64: path)`.
macro_rules! code {
    ($arch:literal: $path:expr) => {{
        #[cfg(target_arch = $arch)]
        let code = Some($path as _);
        #[cfg(not(target_arch = $arch))]
        let code = None;
        code
    }};
}
pub(crate) use code;

/// The entries of a family, `E`, of a tier that the CPU has.
///
/// # Safety
/// The CPU has the features of the isa of every entry that is given.
pub unsafe trait Has<E>: Copy {
    /// The entries.
    fn entries(self) -> &'static E;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_have_names_and_ranks() {
        let names = ["scalar", "avx2", "avxvnni", "avx512vl", "avx512vnni", "neon", "dotprod", "i8mm"];
        assert_eq!(Isa::ALL.map(Isa::name), names);
        assert!(Isa::ALL.is_sorted());
        for isa in Isa::ALL {
            assert_eq!((Isa::from_name(isa.name()), isa.to_string()), (Some(isa), isa.name().to_owned()));
        }
        for unknown in
            ["", "avx", "avx2 ", " avx2", "avx2x", "AVX2", "scala", "scalar-", "avx512", "avx512vnni2"]
        {
            assert_eq!(Isa::from_name(unknown), None);
        }
    }
}
