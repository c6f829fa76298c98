//! What each tier has of this family, on every architecture.

use super::entries::{Entries, Tile, Tiles};
use super::pack::Packing;
use super::scalar;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512vnni};
use crate::isa::{Entry, code};

/// A square kernel and its stride.
type Shape = ([usize; 2], [usize; 2]);

const fn own(kernel: usize, stride: usize) -> Option<Shape> {
    Some(([kernel; 2], [stride; 2]))
}

/// A weight a word.
const ONES: Packing = Packing { taps: 1, bytes: 1 };
/// Two weights of 16 bits a word.
const PAIRS: Packing = Packing { taps: 2, bytes: 2 };
/// Four weights a word.
const FOURS: Packing = Packing { taps: 4, bytes: 1 };

pub(crate) const SCALAR: Entries = Entries {
    to_bytes: Tiles {
        packing: ONES,
        all: &[Tile {
            shape: None,
            entry: Entry { name: "scalar-u8i8-depthwise-any", code: Some(scalar::to_bytes) },
        }],
    },
    to_floats: Tiles {
        packing: ONES,
        all: &[Tile {
            shape: None,
            entry: Entry { name: "scalar-u8i8f32-depthwise-any", code: Some(scalar::to_floats) },
        }],
    },
};

pub(crate) const AVX2: Entries = Entries {
    to_bytes: Tiles {
        packing: PAIRS,
        all: &[
            Tile {
                shape: own(3, 1),
                entry: Entry { name: "avx2-u8i8-depthwise-3x3s1", code: code!("x86_64": avx2::bytes_3x3s1) },
            },
            Tile {
                shape: own(3, 2),
                entry: Entry { name: "avx2-u8i8-depthwise-3x3s2", code: code!("x86_64": avx2::bytes_3x3s2) },
            },
            Tile {
                shape: own(5, 1),
                entry: Entry { name: "avx2-u8i8-depthwise-5x5s1", code: code!("x86_64": avx2::bytes_5x5s1) },
            },
            Tile {
                shape: own(5, 2),
                entry: Entry { name: "avx2-u8i8-depthwise-5x5s2", code: code!("x86_64": avx2::bytes_5x5s2) },
            },
            Tile {
                shape: None,
                entry: Entry { name: "avx2-u8i8-depthwise-any", code: code!("x86_64": avx2::bytes_any) },
            },
        ],
    },
    to_floats: Tiles {
        packing: PAIRS,
        all: &[
            Tile {
                shape: own(3, 1),
                entry: Entry {
                    name: "avx2-u8i8f32-depthwise-3x3s1",
                    code: code!("x86_64": avx2::floats_3x3s1),
                },
            },
            Tile {
                shape: own(3, 2),
                entry: Entry {
                    name: "avx2-u8i8f32-depthwise-3x3s2",
                    code: code!("x86_64": avx2::floats_3x3s2),
                },
            },
            Tile {
                shape: own(5, 1),
                entry: Entry {
                    name: "avx2-u8i8f32-depthwise-5x5s1",
                    code: code!("x86_64": avx2::floats_5x5s1),
                },
            },
            Tile {
                shape: own(5, 2),
                entry: Entry {
                    name: "avx2-u8i8f32-depthwise-5x5s2",
                    code: code!("x86_64": avx2::floats_5x5s2),
                },
            },
            Tile {
                shape: None,
                entry: Entry { name: "avx2-u8i8f32-depthwise-any", code: code!("x86_64": avx2::floats_any) },
            },
        ],
    },
};

pub(crate) const AVX512VNNI: Entries = Entries {
    to_bytes: Tiles {
        packing: FOURS,
        all: &[
            Tile {
                shape: own(3, 1),
                entry: Entry {
                    name: "avx512vnni-u8i8-depthwise-3x3s1",
                    code: code!("x86_64": avx512vnni::run_3x3s1),
                },
            },
            Tile {
                shape: own(3, 2),
                entry: Entry {
                    name: "avx512vnni-u8i8-depthwise-3x3s2",
                    code: code!("x86_64": avx512vnni::run_3x3s2),
                },
            },
            Tile {
                shape: own(5, 1),
                entry: Entry {
                    name: "avx512vnni-u8i8-depthwise-5x5s1",
                    code: code!("x86_64": avx512vnni::run_5x5s1),
                },
            },
            Tile {
                shape: own(5, 2),
                entry: Entry {
                    name: "avx512vnni-u8i8-depthwise-5x5s2",
                    code: code!("x86_64": avx512vnni::run_5x5s2),
                },
            },
            Tile {
                shape: None,
                entry: Entry {
                    name: "avx512vnni-u8i8-depthwise-any",
                    code: code!("x86_64": avx512vnni::run_any),
                },
            },
        ],
    },
    to_floats: Tiles {
        packing: FOURS,
        all: &[
            Tile {
                shape: own(3, 1),
                entry: Entry {
                    name: "avx512vnni-u8i8f32-depthwise-3x3s1",
                    code: code!("x86_64": avx512vnni::floats_3x3s1),
                },
            },
            Tile {
                shape: own(3, 2),
                entry: Entry {
                    name: "avx512vnni-u8i8f32-depthwise-3x3s2",
                    code: code!("x86_64": avx512vnni::floats_3x3s2),
                },
            },
            Tile {
                shape: own(5, 1),
                entry: Entry {
                    name: "avx512vnni-u8i8f32-depthwise-5x5s1",
                    code: code!("x86_64": avx512vnni::floats_5x5s1),
                },
            },
            Tile {
                shape: own(5, 2),
                entry: Entry {
                    name: "avx512vnni-u8i8f32-depthwise-5x5s2",
                    code: code!("x86_64": avx512vnni::floats_5x5s2),
                },
            },
            Tile {
                shape: None,
                entry: Entry {
                    name: "avx512vnni-u8i8f32-depthwise-any",
                    code: code!("x86_64": avx512vnni::floats_any),
                },
            },
        ],
    },
};
