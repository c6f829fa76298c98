//! What each tier has of this family, on every architecture.

#[cfg(target_arch = "aarch64")]
use super::arm::{dotprod, i8mm, neon};
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
const ONES: Packing = Packing { taps: 1, bytes: 1, lanes: 16, of_rows: false, is_apart: false };
/// Two weights of 16 bits a word.
const PAIRS: Packing = Packing { taps: 2, bytes: 2, lanes: 8, of_rows: false, is_apart: false };
/// The same of rows.
const ROW_PAIRS: Packing = Packing { of_rows: true, ..PAIRS };
/// Two weights of 16 bits a word, apart.
const HALVES: Packing = Packing { is_apart: true, ..PAIRS };
/// Four weights a word, of 8 channels.
const SHORT_FOURS: Packing = Packing { lanes: 8, ..FOURS };
/// The same of rows.
const ROW_SHORT_FOURS: Packing = Packing { of_rows: true, ..SHORT_FOURS };
/// Four weights a word.
const FOURS: Packing = Packing { taps: 4, bytes: 1, lanes: 16, of_rows: false, is_apart: false };
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

pub(crate) const NEON: Entries = Entries {
    to_bytes: Tiles {
        all: &[
            Tile {
                takes: Takes::Rows,
                packing: ROW_PAIRS,
                entry: Entry { name: "neon-u8i8-depthwise-row", code: code!("aarch64": neon::bytes_row) },
            },
            Tile {
                takes: own(3, 1),
                packing: HALVES,
                entry: Entry { name: "neon-u8i8-depthwise-3x3s1", code: code!("aarch64": neon::bytes_3x3s1) },
            },
            Tile {
                takes: own(3, 2),
                packing: HALVES,
                entry: Entry { name: "neon-u8i8-depthwise-3x3s2", code: code!("aarch64": neon::bytes_3x3s2) },
            },
            Tile {
                takes: own(5, 1),
                packing: HALVES,
                entry: Entry { name: "neon-u8i8-depthwise-5x5s1", code: code!("aarch64": neon::bytes_5x5s1) },
            },
            Tile {
                takes: own(5, 2),
                packing: HALVES,
                entry: Entry { name: "neon-u8i8-depthwise-5x5s2", code: code!("aarch64": neon::bytes_5x5s2) },
            },
            Tile {
                takes: Takes::Any,
                packing: HALVES,
                entry: Entry { name: "neon-u8i8-depthwise-any", code: code!("aarch64": neon::bytes_any) },
            },
        ],
    },
    to_floats: Tiles {
        all: &[
            Tile {
                takes: Takes::Rows,
                packing: ROW_PAIRS,
                entry: Entry { name: "neon-u8i8f32-depthwise-row", code: code!("aarch64": neon::floats_row) },
            },
            Tile {
                takes: own(3, 1),
                packing: HALVES,
                entry: Entry {
                    name: "neon-u8i8f32-depthwise-3x3s1",
                    code: code!("aarch64": neon::floats_3x3s1),
                },
            },
            Tile {
                takes: own(3, 2),
                packing: HALVES,
                entry: Entry {
                    name: "neon-u8i8f32-depthwise-3x3s2",
                    code: code!("aarch64": neon::floats_3x3s2),
                },
            },
            Tile {
                takes: own(5, 1),
                packing: HALVES,
                entry: Entry {
                    name: "neon-u8i8f32-depthwise-5x5s1",
                    code: code!("aarch64": neon::floats_5x5s1),
                },
            },
            Tile {
                takes: own(5, 2),
                packing: HALVES,
                entry: Entry {
                    name: "neon-u8i8f32-depthwise-5x5s2",
                    code: code!("aarch64": neon::floats_5x5s2),
                },
            },
            Tile {
                takes: Takes::Any,
                packing: HALVES,
                entry: Entry { name: "neon-u8i8f32-depthwise-any", code: code!("aarch64": neon::floats_any) },
            },
        ],
    },
};

pub(crate) const DOTPROD: Entries = Entries {
    to_bytes: Tiles {
        all: &[
            Tile {
                takes: Takes::Rows,
                packing: ROW_SHORT_FOURS,
                entry: Entry {
                    name: "dotprod-u8i8-depthwise-row",
                    code: code!("aarch64": dotprod::bytes_row),
                },
            },
            Tile {
                takes: own(3, 1),
                packing: SHORT_FOURS,
                entry: Entry {
                    name: "dotprod-u8i8-depthwise-3x3s1",
                    code: code!("aarch64": dotprod::bytes_3x3s1),
                },
            },
            Tile {
                takes: own(3, 2),
                packing: SHORT_FOURS,
                entry: Entry {
                    name: "dotprod-u8i8-depthwise-3x3s2",
                    code: code!("aarch64": dotprod::bytes_3x3s2),
                },
            },
            Tile {
                takes: own(5, 1),
                packing: SHORT_FOURS,
                entry: Entry {
                    name: "dotprod-u8i8-depthwise-5x5s1",
                    code: code!("aarch64": dotprod::bytes_5x5s1),
                },
            },
            Tile {
                takes: own(5, 2),
                packing: SHORT_FOURS,
                entry: Entry {
                    name: "dotprod-u8i8-depthwise-5x5s2",
                    code: code!("aarch64": dotprod::bytes_5x5s2),
                },
            },
            Tile {
                takes: Takes::Any,
                packing: SHORT_FOURS,
                entry: Entry {
                    name: "dotprod-u8i8-depthwise-any",
                    code: code!("aarch64": dotprod::bytes_any),
                },
            },
        ],
    },
    to_floats: Tiles {
        all: &[
            Tile {
                takes: Takes::Rows,
                packing: ROW_SHORT_FOURS,
                entry: Entry {
                    name: "dotprod-u8i8f32-depthwise-row",
                    code: code!("aarch64": dotprod::floats_row),
                },
            },
            Tile {
                takes: own(3, 1),
                packing: SHORT_FOURS,
                entry: Entry {
                    name: "dotprod-u8i8f32-depthwise-3x3s1",
                    code: code!("aarch64": dotprod::floats_3x3s1),
                },
            },
            Tile {
                takes: own(3, 2),
                packing: SHORT_FOURS,
                entry: Entry {
                    name: "dotprod-u8i8f32-depthwise-3x3s2",
                    code: code!("aarch64": dotprod::floats_3x3s2),
                },
            },
            Tile {
                takes: own(5, 1),
                packing: SHORT_FOURS,
                entry: Entry {
                    name: "dotprod-u8i8f32-depthwise-5x5s1",
                    code: code!("aarch64": dotprod::floats_5x5s1),
                },
            },
            Tile {
                takes: own(5, 2),
                packing: SHORT_FOURS,
                entry: Entry {
                    name: "dotprod-u8i8f32-depthwise-5x5s2",
                    code: code!("aarch64": dotprod::floats_5x5s2),
                },
            },
            Tile {
                takes: Takes::Any,
                packing: SHORT_FOURS,
                entry: Entry {
                    name: "dotprod-u8i8f32-depthwise-any",
                    code: code!("aarch64": dotprod::floats_any),
                },
            },
        ],
    },
};

pub(crate) const I8MM: Entries = Entries {
    to_bytes: Tiles {
        all: &[
            Tile {
                takes: Takes::Rows,
                packing: ROW_SHORT_FOURS,
                entry: Entry { name: "i8mm-u8i8-depthwise-row", code: code!("aarch64": i8mm::bytes_row) },
            },
            Tile {
                takes: own(3, 1),
                packing: SHORT_FOURS,
                entry: Entry { name: "i8mm-u8i8-depthwise-3x3s1", code: code!("aarch64": i8mm::bytes_3x3s1) },
            },
            Tile {
                takes: own(3, 2),
                packing: SHORT_FOURS,
                entry: Entry { name: "i8mm-u8i8-depthwise-3x3s2", code: code!("aarch64": i8mm::bytes_3x3s2) },
            },
            Tile {
                takes: own(5, 1),
                packing: SHORT_FOURS,
                entry: Entry { name: "i8mm-u8i8-depthwise-5x5s1", code: code!("aarch64": i8mm::bytes_5x5s1) },
            },
            Tile {
                takes: own(5, 2),
                packing: SHORT_FOURS,
                entry: Entry { name: "i8mm-u8i8-depthwise-5x5s2", code: code!("aarch64": i8mm::bytes_5x5s2) },
            },
            Tile {
                takes: Takes::Any,
                packing: SHORT_FOURS,
                entry: Entry { name: "i8mm-u8i8-depthwise-any", code: code!("aarch64": i8mm::bytes_any) },
            },
        ],
    },
    to_floats: Tiles {
        all: &[
            Tile {
                takes: Takes::Rows,
                packing: ROW_SHORT_FOURS,
                entry: Entry { name: "i8mm-u8i8f32-depthwise-row", code: code!("aarch64": i8mm::floats_row) },
            },
            Tile {
                takes: own(3, 1),
                packing: SHORT_FOURS,
                entry: Entry {
                    name: "i8mm-u8i8f32-depthwise-3x3s1",
                    code: code!("aarch64": i8mm::floats_3x3s1),
                },
            },
            Tile {
                takes: own(3, 2),
                packing: SHORT_FOURS,
                entry: Entry {
                    name: "i8mm-u8i8f32-depthwise-3x3s2",
                    code: code!("aarch64": i8mm::floats_3x3s2),
                },
            },
            Tile {
                takes: own(5, 1),
                packing: SHORT_FOURS,
                entry: Entry {
                    name: "i8mm-u8i8f32-depthwise-5x5s1",
                    code: code!("aarch64": i8mm::floats_5x5s1),
                },
            },
            Tile {
                takes: own(5, 2),
                packing: SHORT_FOURS,
                entry: Entry {
                    name: "i8mm-u8i8f32-depthwise-5x5s2",
                    code: code!("aarch64": i8mm::floats_5x5s2),
                },
            },
            Tile {
                takes: Takes::Any,
                packing: SHORT_FOURS,
                entry: Entry { name: "i8mm-u8i8f32-depthwise-any", code: code!("aarch64": i8mm::floats_any) },
            },
        ],
    },
};
