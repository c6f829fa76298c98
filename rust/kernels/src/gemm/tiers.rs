//! What each tier has of this family, on every architecture.

#[cfg(target_arch = "aarch64")]
use super::arm;
use super::entries::{Entries, Tile, Winograd};
use super::pack::Packing;
use super::scalar;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512vnni, vnni256::avx512vl, vnni256::avxvnni};
use crate::isa::{Entry, code};

pub(crate) const SCALAR: Entries = Entries {
    types: ["u8", "i8"],
    packing: Packing::Fours,
    tiles: [plain(1), plain(2), plain(3), plain(4)],
    fast: None,
    winograd: None,
    derive: Entry { name: "scalar-columns", code: Some(scalar::derive) },
    pack: Entry { name: "scalar-u8-pack", code: Some(scalar::pack) },
    row_sums: Entry { name: "scalar-u8-row-sums", code: Some(scalar::row_sums) },
};

const fn plain(units: usize) -> Tile {
    Tile { name: "scalar-u8i8-gemm-1x16c4", code: Some(scalar::panel), rows: 1, units }
}

pub(crate) const AVX2: Entries = Entries {
    types: ["u8", "i8"],
    packing: Packing::Pairs,
    tiles: [wide(1), wide(2), wide(3), wide(4)],
    fast: Some(Tile { name: "avx2-u8i8-gemm-4x16c4", code: code!("x86_64": avx2::panel), rows: 4, units: 1 }),
    winograd: Some(Winograd {
        name: "avx2-u8i8-winograd-4x4",
        channels: 16,
        tiles: 2,
        input: Entry { name: "avx2-u8-winograd-pixels", code: code!("x86_64": avx2::winograd::input) },
        output: Entry { name: "avx2-u8i8-winograd-outputs", code: code!("x86_64": avx2::winograd::output) },
    }),
    derive: Entry { name: "avx2-columns", code: code!("x86_64": avx2::derive) },
    pack: Entry { name: "avx2-u8-pack", code: code!("x86_64": avx2::pack) },
    row_sums: Entry { name: "avx2-u8-row-sums", code: code!("x86_64": avx2::row_sums) },
};

const fn wide(units: usize) -> Tile {
    Tile { name: "avx2-u8i8-gemm-6x16c2", code: code!("x86_64": avx2::panel), rows: 6, units }
}

pub(crate) const AVXVNNI: Entries = Entries {
    types: ["u8", "i8"],
    packing: Packing::Fours,
    tiles: [vex(1), vex(2), vex(3), vex(4)],
    fast: None,
    winograd: Some(Winograd {
        name: "avxvnni-u8i8-winograd-4x4",
        channels: 32,
        tiles: 2,
        input: Entry { name: "avxvnni-u8-winograd-pixels", code: code!("x86_64": avxvnni::winograd_input) },
        output: Entry {
            name: "avxvnni-u8i8-winograd-outputs",
            code: code!("x86_64": avxvnni::winograd_output),
        },
    }),
    derive: Entry { name: "avxvnni-columns", code: code!("x86_64": avxvnni::derive) },
    pack: Entry { name: "avxvnni-u8-pack", code: code!("x86_64": avxvnni::pack) },
    row_sums: Entry { name: "avxvnni-u8-row-sums", code: code!("x86_64": avxvnni::row_sums) },
};

const fn vex(units: usize) -> Tile {
    Tile { name: "avxvnni-u8i8-gemm-6x16c4", code: code!("x86_64": avxvnni::panel), rows: 6, units }
}

pub(crate) const AVX512VL: Entries = Entries {
    types: ["u8", "i8"],
    packing: Packing::Fours,
    tiles: [evex(1), evex(2), evex(3), evex(4)],
    fast: None,
    winograd: Some(Winograd {
        name: "avx512vl-u8i8-winograd-4x4",
        channels: 32,
        tiles: 2,
        input: Entry { name: "avx512vl-u8-winograd-pixels", code: code!("x86_64": avx512vl::winograd_input) },
        output: Entry {
            name: "avx512vl-u8i8-winograd-outputs",
            code: code!("x86_64": avx512vl::winograd_output),
        },
    }),
    derive: Entry { name: "avx512vl-columns", code: code!("x86_64": avx512vl::derive) },
    pack: Entry { name: "avx512vl-u8-pack", code: code!("x86_64": avx512vl::pack) },
    row_sums: Entry { name: "avx512vl-u8-row-sums", code: code!("x86_64": avx512vl::row_sums) },
};

const fn evex(units: usize) -> Tile {
    let name = if units == 1 { "avx512vl-u8i8-gemm-12x16c4" } else { "avx512vl-u8i8-gemm-6x32c4" };
    Tile { name, code: code!("x86_64": avx512vl::panel), rows: if units == 1 { 12 } else { 6 }, units }
}

pub(crate) const AVX512VNNI: Entries = Entries {
    types: ["u8", "i8"],
    packing: Packing::Fours,
    tiles: [
        Tile {
            name: "avx512vnni-u8i8-gemm-16x16c4",
            code: code!("x86_64": avx512vnni::panel_1),
            rows: 16,
            units: 1,
        },
        Tile {
            name: "avx512vnni-u8i8-gemm-12x32c4",
            code: code!("x86_64": avx512vnni::panel_2),
            rows: 12,
            units: 2,
        },
        Tile {
            name: "avx512vnni-u8i8-gemm-8x48c4",
            code: code!("x86_64": avx512vnni::panel_3),
            rows: 8,
            units: 3,
        },
        Tile {
            name: "avx512vnni-u8i8-gemm-6x64c4",
            code: code!("x86_64": avx512vnni::panel_4),
            rows: 6,
            units: 4,
        },
    ],
    fast: None,
    winograd: Some(Winograd {
        name: "avx512vnni-u8i8-winograd-4x4",
        channels: 64,
        tiles: 36,
        input: Entry {
            name: "avx512vnni-u8-winograd-pixels",
            code: code!("x86_64": avx512vnni::winograd::input),
        },
        output: Entry {
            name: "avx512vnni-u8i8-winograd-4x4",
            code: code!("x86_64": avx512vnni::winograd::output),
        },
    }),
    derive: Entry { name: "avx512vnni-columns", code: code!("x86_64": avx512vnni::derive) },
    pack: Entry { name: "avx512vnni-u8-pack", code: code!("x86_64": avx512vnni::pack) },
    row_sums: Entry { name: "avx512vnni-u8-row-sums", code: code!("x86_64": avx512vnni::row_sums) },
};

pub(crate) const NEON: Entries = Entries {
    types: ["u8", "i8"],
    packing: Packing::HalvesAndSums,
    tiles: [products(1), products(2), products(3), products(4)],
    fast: None,
    winograd: Some(Winograd {
        name: "neon-u8i8-winograd-4x4",
        channels: 8,
        tiles: 2,
        input: Entry { name: "neon-u8-winograd-pixels", code: code!("aarch64": arm::winograd::input) },
        output: Entry { name: "neon-u8i8-winograd-outputs", code: code!("aarch64": arm::winograd::output) },
    }),
    derive: Entry { name: "neon-columns", code: code!("aarch64": arm::derive) },
    pack: Entry { name: "neon-u8-pack", code: code!("aarch64": arm::pack::<arm::neon::Neon>) },
    row_sums: Entry { name: "neon-u8-row-sums", code: code!("aarch64": arm::row_sums) },
};

const fn products(units: usize) -> Tile {
    Tile { name: "neon-u8i8-gemm-4x16c2", code: code!("aarch64": arm::neon::panel), rows: 4, units }
}

/// By Winograd's transforms a quarter of the products would take as many instructions, for words have no such dot product.
pub(crate) const DOTPROD: Entries = Entries {
    packing: Packing::FoursAndSums,
    tiles: [dots(1), dots(2), dots(3), dots(4)],
    winograd: None,
    pack: Entry { name: "neon-u8-pack-fours", code: code!("aarch64": arm::pack::<arm::dotprod::DotProd>) },
    ..NEON
};

const fn dots(units: usize) -> Tile {
    Tile { name: "dotprod-u8i8-gemm-5x16c4", code: code!("aarch64": arm::dotprod::panel), rows: 5, units }
}

pub(crate) const I8MM: Entries = Entries {
    packing: Packing::Eights,
    tiles: [squares(1), squares(2), squares(3), squares(4)],
    pack: Entry { name: "neon-u8-pack-eights", code: code!("aarch64": arm::pack::<arm::i8mm::I8mm>) },
    ..DOTPROD
};

const fn squares(units: usize) -> Tile {
    Tile { name: "i8mm-u8i8-gemm-6x16c8", code: code!("aarch64": arm::i8mm::panel), rows: 6, units }
}
