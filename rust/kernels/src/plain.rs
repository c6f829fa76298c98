//! One plain source, compiled once a tier.
//!
//! A loop that the compiler vectorises well needs no intrinsics: it is written once as an `#[inline(always)]`
//! function, and compiled here under each tier's target features.

/// Defines the constants `SCALAR`, `AVX2` and `AVX512VNNI` of a family's `Entries`, every field one plain function.
///
/// A tier with code of its own for one field replaces it: `Entries { add: .., ..plain::AVX2 }`.
macro_rules! plain_tiers {
    ($entries:ident { $($field:ident($($arg:ident: $type:ty),*) = $source:path as $label:literal;)* }) => {
        /// Compiled for the machine that every build supports.
        pub(crate) const SCALAR: $entries = $entries {
            $($field: {
                fn compiled($($arg: $type),*) {
                    $source($($arg),*)
                }
                $crate::isa::Entry { name: concat!("scalar-", $label), run: compiled }
            }),*
        };
        /// Compiled for AVX2.
        #[cfg(target_arch = "x86_64")]
        pub(crate) const AVX2: $entries = $entries {
            $($field: {
                #[target_feature(enable = "avx2,fma")]
                fn compiled($($arg: $type),*) {
                    $source($($arg),*)
                }
                $crate::isa::Entry { name: concat!("avx2-", $label), run: compiled }
            }),*
        };
        /// Compiled for AVX-512.
        #[cfg(target_arch = "x86_64")]
        pub(crate) const AVX512VNNI: $entries = $entries {
            $($field: {
                #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
                fn compiled($($arg: $type),*) {
                    $source($($arg),*)
                }
                $crate::isa::Entry { name: concat!("avx512vnni-", $label), run: compiled }
            }),*
        };
    };
}
pub(crate) use plain_tiers;
