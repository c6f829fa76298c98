//! Rows that are evenly spaced, by one unit: four addresses and two distances stand in registers for sixteen rows, whose
//! addresses would not all find room.

use std::arch::asm;

use crate::simd::Zmm;

/// Rows of a tile.
pub(super) const ROWS: usize = 16;

/// Adds the products of `groups` groups of k.
///
/// # Safety
/// The CPU has the tier; row `r` is at `rows + r * stride` and has so many groups of 4 bytes, the weights have as many of 64; there
/// is at least one.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) unsafe fn multiply(
    sums: &mut [Zmm; ROWS],
    rows: *const u8,
    stride: usize,
    weights: *const u8,
    groups: usize,
) {
    macro_rules! row {
        ($place:literal, $x:literal, $sum:literal) => {
            concat!(
                "vpbroadcastd ",
                $x,
                ", dword ptr [",
                $place,
                "]\n",
                "vpdpbusd ",
                $sum,
                ", ",
                $x,
                ", zmm16\n"
            )
        };
    }
    // SAFETY: the caller's; the code reads 64 bytes of weights and 4 of each row for each group, and writes registers alone.
    unsafe {
        let [s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15] = sums;
        asm!(
            "2:",
            "vmovdqu64 zmm16, zmmword ptr [{w}]",
            row!("{a}", "zmm17", "zmm0"),
            row!("{a} + {stride}", "zmm18", "zmm1"),
            row!("{a} + 2 * {stride}", "zmm19", "zmm2"),
            row!("{a} + {three}", "zmm20", "zmm3"),
            row!("{b}", "zmm21", "zmm4"),
            row!("{b} + {stride}", "zmm22", "zmm5"),
            row!("{b} + 2 * {stride}", "zmm23", "zmm6"),
            row!("{b} + {three}", "zmm24", "zmm7"),
            row!("{c}", "zmm17", "zmm8"),
            row!("{c} + {stride}", "zmm18", "zmm9"),
            row!("{c} + 2 * {stride}", "zmm19", "zmm10"),
            row!("{c} + {three}", "zmm20", "zmm11"),
            row!("{d}", "zmm21", "zmm12"),
            row!("{d} + {stride}", "zmm22", "zmm13"),
            row!("{d} + 2 * {stride}", "zmm23", "zmm14"),
            row!("{d} + {three}", "zmm24", "zmm15"),
            "add {w}, 64",
            "add {a}, 4",
            "add {b}, 4",
            "add {c}, 4",
            "add {d}, 4",
            "dec {groups}",
            "jnz 2b",
            w = inout(reg) weights => _,
            a = inout(reg) rows => _,
            b = inout(reg) rows.wrapping_add(4 * stride) => _,
            c = inout(reg) rows.wrapping_add(8 * stride) => _,
            d = inout(reg) rows.wrapping_add(12 * stride) => _,
            groups = inout(reg) groups => _,
            stride = in(reg) stride,
            three = in(reg) 3 * stride,
            inout("zmm0") s0.0, inout("zmm1") s1.0, inout("zmm2") s2.0, inout("zmm3") s3.0,
            inout("zmm4") s4.0, inout("zmm5") s5.0, inout("zmm6") s6.0, inout("zmm7") s7.0,
            inout("zmm8") s8.0, inout("zmm9") s9.0, inout("zmm10") s10.0, inout("zmm11") s11.0,
            inout("zmm12") s12.0, inout("zmm13") s13.0, inout("zmm14") s14.0, inout("zmm15") s15.0,
            out("zmm16") _, out("zmm17") _, out("zmm18") _, out("zmm19") _, out("zmm20") _, out("zmm21") _,
            out("zmm22") _, out("zmm23") _, out("zmm24") _,
            options(pure, readonly, nostack),
        );
    }
}
