//! What each tier has of this family, on every architecture.

use super::entries::{Entries, Takes, Tile, Tiles};
use super::pack::Packing;
use super::scalar;
#[cfg(target_arch = "x86_64")]
use super::{
    avx2, avx512vnni,
    vnni256::{avx512vl, avxvnni},
};
use crate::isa::{Entry, code};

const fn own(kernel: usize, stride: usize) -> Takes {
    Takes::Shape([kernel; 2], [stride; 2])
}

/// A weight a word.
const ONES: Packing = Packing { taps: 1, bytes: 1, lanes: 16, of_rows: false };
/// Two weights of 16 bits a word.
const PAIRS: Packing = Packing { taps: 2, bytes: 2, lanes: 8, of_rows: false };
/// The same of rows.
const ROW_PAIRS: Packing = Packing { of_rows: true, ..PAIRS };
/// Four weights a word.
const FOURS: Packing = Packing { taps: 4, bytes: 1, lanes: 16, of_rows: false };
/// The same of rows.
const ROW_FOURS: Packing = Packing { of_rows: true, ..FOURS };
/// Four weights a word, for 8 channels.
const HALF_FOURS: Packing = Packing { lanes: 8, ..FOURS };
/// The same of rows.
const ROW_HALF_FOURS: Packing = Packing { of_rows: true, ..HALF_FOURS };

pub(crate) const SCALAR: Entries = Entries {
    to_bytes: Tiles {
        all: &[Tile {
            takes: Takes::Any,
            packing: ONES,
            entry: Entry { name: "scalar-u8i8-depthwise-any", code: Some(scalar::to_bytes) },
        }],
    },
    to_floats: Tiles {
        all: &[Tile {
            takes: Takes::Any,
            packing: ONES,
            entry: Entry { name: "scalar-u8i8f32-depthwise-any", code: Some(scalar::to_floats) },
        }],
    },
};

/// The entries of a tier of 256-bit registers, whose functions have the names that [`tier`](super::ymm::tier) gives them.
macro_rules! of_256_bits {
    ($isa:ident, $packing:expr, $rows:expr) => {
        Entries {
            to_bytes: Tiles {
                all: &[
                    of_256_bits!(@ $isa, Takes::Rows, $rows, "u8i8", "row", bytes_row),
                    of_256_bits!(@ $isa, own(3, 1), $packing, "u8i8", "3x3s1", bytes_3x3s1),
                    of_256_bits!(@ $isa, own(3, 2), $packing, "u8i8", "3x3s2", bytes_3x3s2),
                    of_256_bits!(@ $isa, own(5, 1), $packing, "u8i8", "5x5s1", bytes_5x5s1),
                    of_256_bits!(@ $isa, own(5, 2), $packing, "u8i8", "5x5s2", bytes_5x5s2),
                    of_256_bits!(@ $isa, Takes::Any, $packing, "u8i8", "any", bytes_any),
                ],
            },
            to_floats: Tiles {
                all: &[
                    of_256_bits!(@ $isa, Takes::Rows, $rows, "u8i8f32", "row", floats_row),
                    of_256_bits!(@ $isa, own(3, 1), $packing, "u8i8f32", "3x3s1", floats_3x3s1),
                    of_256_bits!(@ $isa, own(3, 2), $packing, "u8i8f32", "3x3s2", floats_3x3s2),
                    of_256_bits!(@ $isa, own(5, 1), $packing, "u8i8f32", "5x5s1", floats_5x5s1),
                    of_256_bits!(@ $isa, own(5, 2), $packing, "u8i8f32", "5x5s2", floats_5x5s2),
                    of_256_bits!(@ $isa, Takes::Any, $packing, "u8i8f32", "any", floats_any),
                ],
            },
        }
    };
    (@ $isa:ident, $takes:expr, $packing:expr, $types:literal, $form:literal, $code:ident) => {
        Tile {
            takes: $takes,
            packing: $packing,
            entry: Entry {
                name: concat!(stringify!($isa), "-", $types, "-depthwise-", $form),
                code: code!("x86_64": $isa::$code),
            },
        }
    };
}

pub(crate) const AVX2: Entries = of_256_bits!(avx2, PAIRS, ROW_PAIRS);
pub(crate) const AVXVNNI: Entries = of_256_bits!(avxvnni, HALF_FOURS, ROW_HALF_FOURS);
pub(crate) const AVX512VL: Entries = of_256_bits!(avx512vl, HALF_FOURS, ROW_HALF_FOURS);

pub(crate) const AVX512VNNI: Entries = Entries {
    to_bytes: Tiles {
        all: &[
            Tile {
                takes: Takes::Rows,
                packing: ROW_FOURS,
                entry: Entry {
                    name: "avx512vnni-u8i8-depthwise-row",
                    code: code!("x86_64": avx512vnni::bytes_row),
                },
            },
            Tile {
                takes: own(3, 1),
                packing: FOURS,
                entry: Entry {
                    name: "avx512vnni-u8i8-depthwise-3x3s1",
                    code: code!("x86_64": avx512vnni::run_3x3s1),
                },
            },
            Tile {
                takes: own(3, 2),
                packing: FOURS,
                entry: Entry {
                    name: "avx512vnni-u8i8-depthwise-3x3s2",
                    code: code!("x86_64": avx512vnni::run_3x3s2),
                },
            },
            Tile {
                takes: own(5, 1),
                packing: FOURS,
                entry: Entry {
                    name: "avx512vnni-u8i8-depthwise-5x5s1",
                    code: code!("x86_64": avx512vnni::run_5x5s1),
                },
            },
            Tile {
                takes: own(5, 2),
                packing: FOURS,
                entry: Entry {
                    name: "avx512vnni-u8i8-depthwise-5x5s2",
                    code: code!("x86_64": avx512vnni::run_5x5s2),
                },
            },
            Tile {
                takes: Takes::Any,
                packing: FOURS,
                entry: Entry {
                    name: "avx512vnni-u8i8-depthwise-any",
                    code: code!("x86_64": avx512vnni::run_any),
                },
            },
        ],
    },
    to_floats: Tiles {
        all: &[
            Tile {
                takes: Takes::Rows,
                packing: ROW_FOURS,
                entry: Entry {
                    name: "avx512vnni-u8i8f32-depthwise-row",
                    code: code!("x86_64": avx512vnni::floats_row),
                },
            },
            Tile {
                takes: own(3, 1),
                packing: FOURS,
                entry: Entry {
                    name: "avx512vnni-u8i8f32-depthwise-3x3s1",
                    code: code!("x86_64": avx512vnni::floats_3x3s1),
                },
            },
            Tile {
                takes: own(3, 2),
                packing: FOURS,
                entry: Entry {
                    name: "avx512vnni-u8i8f32-depthwise-3x3s2",
                    code: code!("x86_64": avx512vnni::floats_3x3s2),
                },
            },
            Tile {
                takes: own(5, 1),
                packing: FOURS,
                entry: Entry {
                    name: "avx512vnni-u8i8f32-depthwise-5x5s1",
                    code: code!("x86_64": avx512vnni::floats_5x5s1),
                },
            },
            Tile {
                takes: own(5, 2),
                packing: FOURS,
                entry: Entry {
                    name: "avx512vnni-u8i8f32-depthwise-5x5s2",
                    code: code!("x86_64": avx512vnni::floats_5x5s2),
                },
            },
            Tile {
                takes: Takes::Any,
                packing: FOURS,
                entry: Entry {
                    name: "avx512vnni-u8i8f32-depthwise-any",
                    code: code!("x86_64": avx512vnni::floats_any),
                },
            },
        ],
    },
};
