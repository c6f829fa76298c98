//! What each tier has of this family, on every architecture.

use super::entries::{Entries, Tile, Tiles};
#[cfg(target_arch = "aarch64")]
use super::neon;
use super::scalar;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512vnni};
use crate::isa::code;

pub(crate) const SCALAR: Entries = Entries {
    floats: Tiles {
        all: &[Tile { name: "scalar-f32-gemm-4x16", code: Some(scalar::tile_1), rows: 4, units: 1 }],
        units: [1; 4],
    },
    nibbles: Tiles {
        all: &[Tile { name: "scalar-f32u4-gemm-4x16", code: Some(scalar::nibbles_1), rows: 4, units: 1 }],
        units: [1; 4],
    },
    bytes: Tiles {
        all: &[Tile { name: "scalar-f32u8-gemm-4x16", code: Some(scalar::bytes_1), rows: 4, units: 1 }],
        units: [1; 4],
    },
};

pub(crate) const AVX2: Entries = Entries {
    floats: Tiles {
        all: &[
            Tile { name: "avx2-f32-gemm-6x16", code: code!("x86_64": avx2::tile_1), rows: 6, units: 1 },
            Tile { name: "avx2-f32-gemm-3x32", code: code!("x86_64": avx2::tile_2), rows: 3, units: 2 },
            Tile { name: "avx2-f32-gemm-1x64", code: code!("x86_64": avx2::tile_4), rows: 1, units: 4 },
        ],
        units: [4, 2, 2, 1],
    },
    nibbles: Tiles {
        all: &[
            Tile { name: "avx2-f32u4-gemm-6x16", code: code!("x86_64": avx2::nibbles_1), rows: 6, units: 1 },
            Tile { name: "avx2-f32u4-gemm-3x32", code: code!("x86_64": avx2::nibbles_2), rows: 3, units: 2 },
        ],
        units: [2, 2, 2, 1],
    },
    bytes: Tiles {
        all: &[
            Tile { name: "avx2-f32u8-gemm-6x16", code: code!("x86_64": avx2::bytes_1), rows: 6, units: 1 },
            Tile { name: "avx2-f32u8-gemm-3x32", code: code!("x86_64": avx2::bytes_2), rows: 3, units: 2 },
            Tile { name: "avx2-f32u8-gemm-1x64", code: code!("x86_64": avx2::bytes_4), rows: 1, units: 4 },
        ],
        units: [4, 2, 2, 1],
    },
};

pub(crate) const AVX512VNNI: Entries = Entries {
    floats: Tiles {
        all: &[
            Tile {
                name: "avx512vnni-f32-gemm-14x16",
                code: code!("x86_64": avx512vnni::tile_1),
                rows: 14,
                units: 1,
            },
            Tile {
                name: "avx512vnni-f32-gemm-14x32",
                code: code!("x86_64": avx512vnni::tile_2),
                rows: 14,
                units: 2,
            },
            Tile {
                name: "avx512vnni-f32-gemm-8x48",
                code: code!("x86_64": avx512vnni::tile_3),
                rows: 8,
                units: 3,
            },
            Tile {
                name: "avx512vnni-f32-gemm-6x64",
                code: code!("x86_64": avx512vnni::tile_4),
                rows: 6,
                units: 4,
            },
            Tile {
                name: "avx512vnni-f32-gemm-1x128",
                code: code!("x86_64": avx512vnni::tile_8),
                rows: 1,
                units: 8,
            },
        ],
        units: [8, 4, 4, 2],
    },
    nibbles: Tiles {
        all: &[
            Tile {
                name: "avx512vnni-f32u4-gemm-6x16",
                code: code!("x86_64": avx512vnni::nibbles_1),
                rows: 6,
                units: 1,
            },
            Tile {
                name: "avx512vnni-f32u4-gemm-6x64",
                code: code!("x86_64": avx512vnni::nibbles_4),
                rows: 6,
                units: 4,
            },
            Tile {
                name: "avx512vnni-f32u4-gemm-1x128",
                code: code!("x86_64": avx512vnni::nibbles_8),
                rows: 1,
                units: 8,
            },
        ],
        units: [8, 4, 4, 4],
    },
    bytes: Tiles {
        all: &[
            Tile {
                name: "avx512vnni-f32u8-gemm-6x16",
                code: code!("x86_64": avx512vnni::bytes_1),
                rows: 6,
                units: 1,
            },
            Tile {
                name: "avx512vnni-f32u8-gemm-6x64",
                code: code!("x86_64": avx512vnni::bytes_4),
                rows: 6,
                units: 4,
            },
            Tile {
                name: "avx512vnni-f32u8-gemm-1x128",
                code: code!("x86_64": avx512vnni::bytes_8),
                rows: 1,
                units: 8,
            },
        ],
        units: [8, 4, 4, 4],
    },
};

pub(crate) const NEON: Entries = Entries {
    floats: Tiles {
        all: &[
            Tile { name: "neon-f32-gemm-6x16", code: code!("aarch64": neon::tile_1), rows: 6, units: 1 },
            Tile { name: "neon-f32-gemm-2x32", code: code!("aarch64": neon::tile_2), rows: 2, units: 2 },
        ],
        units: [2, 2, 1, 1],
    },
    nibbles: Tiles {
        all: &[
            Tile { name: "neon-f32u4-gemm-4x16", code: code!("aarch64": neon::nibbles_1), rows: 4, units: 1 },
            Tile { name: "neon-f32u4-gemm-2x32", code: code!("aarch64": neon::nibbles_2), rows: 2, units: 2 },
        ],
        units: [2, 2, 1, 1],
    },
    bytes: Tiles {
        all: &[
            Tile { name: "neon-f32u8-gemm-4x16", code: code!("aarch64": neon::bytes_1), rows: 4, units: 1 },
            Tile { name: "neon-f32u8-gemm-2x32", code: code!("aarch64": neon::bytes_2), rows: 2, units: 2 },
        ],
        units: [2, 2, 1, 1],
    },
};
