//! One source, compiled once a tier.
//!
//! A loop that the compiler vectorises well needs no intrinsics: it is written once as an `#[inline(always)]`
//! function, and compiled here under each tier's target features. Others are written once over the tiers' registers.

/// Defines the constants `SCALAR`, `AVX2`, `AVX512VNNI` and `NEON` of a family's `Entries`, every field one plain function.
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
                $crate::isa::Entry { name: concat!("scalar-", $label), code: Some(compiled) }
            }),*
        };
        /// Compiled for AVX2.
        pub(crate) const AVX2: $entries = $entries {
            $($field: {
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx2,fma")]
                fn compiled($($arg: $type),*) {
                    $source($($arg),*)
                }
                $crate::isa::Entry { name: concat!("avx2-", $label), code: $crate::isa::code!("x86_64": compiled) }
            }),*
        };
        /// Compiled for AVX-512.
        pub(crate) const AVX512VNNI: $entries = $entries {
            $($field: {
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
                fn compiled($($arg: $type),*) {
                    $source($($arg),*)
                }
                $crate::isa::Entry { name: concat!("avx512vnni-", $label), code: $crate::isa::code!("x86_64": compiled) }
            }),*
        };
        /// Compiled for NEON.
        pub(crate) const NEON: $entries = $entries {
            $($field: {
                #[cfg(target_arch = "aarch64")]
                #[target_feature(enable = "neon")]
                fn compiled($($arg: $type),*) {
                    $source($($arg),*)
                }
                $crate::isa::Entry { name: concat!("neon-", $label), code: $crate::isa::code!("aarch64": compiled) }
            }),*
        };
    };
}
pub(crate) use plain_tiers;

/// Defines the constants `AVX2`, `AVX512VNNI` and `NEON` of a family's `Entries`: the fields named here from functions that are
/// written over [`Vector`](crate::simd::Vector), the others from the constants of the module `plain`.
///
/// The functions are unsafe for the CPU features alone.
macro_rules! vector_tiers {
    ($entries:ident { $($field:ident($($arg:ident: $type:ty),*) = $source:path as $label:literal;)* }) => {
        $crate::plain::vector_tiers!(@ AVX2, $entries, "x86_64", "avx2,fma", Ymm, "avx2-",
            $($field, ($($arg: $type),*), $source, $label;)*);
        $crate::plain::vector_tiers!(@ NEON, $entries, "aarch64", "neon", Qs, "neon-",
            $($field, ($($arg: $type),*), $source, $label;)*);
        $crate::plain::vector_tiers!(@ AVX512VNNI, $entries, "x86_64",
            "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni", Zmm, "avx512vnni-",
            $($field, ($($arg: $type),*), $source, $label;)*);
    };
    (@ $tier:ident, $entries:ident, $arch:literal, $features:literal, $vector:ident, $prefix:literal,
        $($field:ident, ($($arg:ident: $type:ty),*), $source:path, $label:literal;)*) => {
        /// Compiled for the tier's registers.
        pub(crate) const $tier: $entries = $entries {
            $($field: {
                #[cfg(target_arch = $arch)]
                #[target_feature(enable = $features)]
                fn compiled($($arg: $type),*) {
                    use $source as source;
                    // SAFETY: this function is called where the CPU has its features.
                    unsafe { source::<$crate::simd::$vector>($($arg),*) }
                }
                $crate::isa::Entry { name: concat!($prefix, $label), code: $crate::isa::code!($arch: compiled) }
            },)*
            ..plain::$tier
        };
    };
}
pub(crate) use vector_tiers;

/// Defines the constants `SCALAR`, `AVX2`, `AVX512VNNI` and `NEON` of a family's `Entries`, every field one function of a constant
/// that says whether the tier rounds a product and a sum of floats once, in one instruction.
macro_rules! fused_tiers {
    ($entries:ident { $($field:ident($($arg:ident: $type:ty),*) = $source:ident as $label:literal;)* }) => {
        /// Compiled for the machine that every build supports.
        pub(crate) const SCALAR: $entries = $entries {
            $($field: {
                fn compiled($($arg: $type),*) {
                    $source::<false>($($arg),*)
                }
                $crate::isa::Entry { name: concat!("scalar-", $label), code: Some(compiled) }
            }),*
        };
        $crate::plain::fused_tiers!(@ AVX2, $entries, "x86_64", "avx2,fma", "avx2-",
            $($field, ($($arg: $type),*), $source, $label;)*);
        $crate::plain::fused_tiers!(@ NEON, $entries, "aarch64", "neon", "neon-",
            $($field, ($($arg: $type),*), $source, $label;)*);
        $crate::plain::fused_tiers!(@ AVX512VNNI, $entries, "x86_64",
            "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni", "avx512vnni-",
            $($field, ($($arg: $type),*), $source, $label;)*);
    };
    (@ $tier:ident, $entries:ident, $arch:literal, $features:literal, $prefix:literal,
        $($field:ident, ($($arg:ident: $type:ty),*), $source:ident, $label:literal;)*) => {
        /// Compiled for the tier.
        pub(crate) const $tier: $entries = $entries {
            $($field: {
                #[cfg(target_arch = $arch)]
                #[target_feature(enable = $features)]
                fn compiled($($arg: $type),*) {
                    $source::<true>($($arg),*)
                }
                $crate::isa::Entry { name: concat!($prefix, $label), code: $crate::isa::code!($arch: compiled) }
            }),*
        };
    };
}
pub(crate) use fused_tiers;
