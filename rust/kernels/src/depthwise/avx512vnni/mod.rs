//! Depthwise convolution on AVX-512 VNNI: a word is 4 taps, one int32 lane a channel, so that one vpdpbusd adds 4
//! products of each of 16 channels.
//!
//! For 3x3 and 5x5, the input columns that neighbouring outputs share stay in registers: a [`Column`] holds the rows
//! that an output row or a pair of them needs, interleaved in fours, and serves every output that it meets.

mod wide;

use std::arch::asm;
use std::arch::x86_64::*;
use std::ops::Range;

use crate::depthwise::general::{self, Lanes, TAPS_MAX};
use crate::depthwise::pack::{Layout, first_channel};
use crate::depthwise::{self, Depthwise, Entries, GROUP, Tile};
use crate::isa::Entry;
use crate::requantize::Requantize;

pub(crate) const ENTRIES: Entries = Entries {
    layout: Layout { taps: TAPS, bytes: 1 },
    tiles: &[
        tile([3, 3], [1, 1], "avx512vnni-u8i8-depthwise-3x3s1", run_3x3s1),
        tile([3, 3], [2, 2], "avx512vnni-u8i8-depthwise-3x3s2", run_3x3s2),
        tile([5, 5], [1, 1], "avx512vnni-u8i8-depthwise-5x5s1", run_5x5s1),
        tile([5, 5], [2, 2], "avx512vnni-u8i8-depthwise-5x5s2", run_5x5s2),
        Tile { shape: None, entry: Entry { name: "avx512vnni-u8i8-depthwise-any", run: run_any } },
    ],
};

const fn tile(kernel: [usize; 2], stride: [usize; 2], name: &'static str, run: depthwise::Run) -> Tile {
    Tile { shape: Some((kernel, stride)), entry: Entry { name, run } }
}

/// Taps of a word.
const TAPS: usize = 4;
/// Bytes of a word.
const WORD: usize = GROUP * TAPS;
/// The smallest shift at which the high half of the product is all that the rounding needs.
const HIGH_SHIFT: i32 = 33;

/// Defines a kernel for one square shape: `$kernel`, `$stride`, and the `$down` x `$right` outputs that a step makes.
macro_rules! sliding {
    ($name:ident, $kernel:literal, $stride:literal, $down:literal, $right:literal $(, $wide:path)?) => {
        /// # Safety
        /// The CPU has the tier; the bounds that [`depthwise::run`] asserts.
        #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
        unsafe fn $name(x: &[u8], d: &Depthwise<'_>, rows: Range<usize>, out: &mut [u8]) {
            let high = d.requantize.shift.iter().all(|&shift| shift >= HIGH_SHIFT);
            // SAFETY: the caller's promise.
            unsafe {
                if d.window.channels < GROUP || !high {
                    general::run::<Fours>(x, d, rows, out)
                } else {
                    #[allow(unused_mut, unused_assignments)]
                    let mut from = 0;
                    $(
                        if d.window.output[1] >= wide::STEP {
                            $wide(x, d, rows.clone(), out);
                            from = d.window.channels / wide::WIDE * 2;
                        }
                    )?
                    slide::<$kernel, $stride, $down, $right>(x, d, rows, out, from)
                }
            }
        }
    };
}
sliding!(run_3x3s1, 3, 1, 2, 2, wide::run::<1, 2>);
sliding!(run_3x3s2, 3, 2, 1, 2, wide::run::<2, 1>);
sliding!(run_5x5s1, 5, 1, 2, 2);
sliding!(run_5x5s2, 5, 2, 1, 2);

/// # Safety
/// The CPU has the tier; the bounds that [`depthwise::run`] asserts.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn run_any(x: &[u8], d: &Depthwise<'_>, rows: Range<usize>, out: &mut [u8]) {
    // SAFETY: the caller's promise.
    unsafe { general::run::<Fours>(x, d, rows, out) }
}

/// The words of a column: rows 0..4, and rows 4..8 where there are so many.
type Column = [__m512i; 2];

/// The input rows that a step reads, at the group's first channel.
struct Rows {
    /// A row of the image; any of them where the row lies outside.
    places: [*const u8; 8],
    /// Where a row goes in its word: 4 lanes of int32, or none where it lies outside the image.
    lanes: [__mmask16; 8],
    width: usize,
    channels: usize,
    /// The zero point in each byte.
    padding: __m512i,
    /// Brings the 4 rows of a word together, channel by channel.
    interleave: Interleave,
}

impl Rows {
    /// The rows `top..top + count`, of 16 channels from `first` on.
    ///
    /// # Safety
    /// `x` is the image of `d`'s window and `first + 16` channels are in it.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn new(x: &[u8], d: &Depthwise<'_>, top: isize, count: usize, first: usize) -> Rows {
        let [height, width] = d.window.input;
        let mut rows = Rows {
            places: [x.as_ptr(); 8],
            lanes: [0; 8],
            width,
            channels: d.window.channels,
            padding: _mm512_set1_epi8(d.x_zero_point as i8),
            interleave: Interleave::new(),
        };
        for row in 0..count {
            let y = top + row as isize;
            if (y as usize) < height {
                // SAFETY: a row of the image, and a channel of its first pixel.
                rows.places[row] = unsafe { x.as_ptr().add(d.window.pixel(y as usize, 0) + first) };
                rows.lanes[row] = 0xf << (4 * (row % TAPS));
            }
        }
        rows
    }

    /// One column of the first `COUNT` rows; the zero point where it lies outside the image.
    ///
    /// # Safety
    /// The promise of [`Rows::new`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn column<const COUNT: usize>(&self, x: isize) -> Column {
        let mut column = [self.padding; 2];
        if (x as usize) < self.width {
            let pixel = x as usize * self.channels;
            for row in 0..COUNT {
                let word = &mut column[row / TAPS];
                // SAFETY: 16 channels of a pixel of the image; where the row lies outside, of any row.
                let values = unsafe { _mm_loadu_si128(self.places[row].add(pixel).cast()) };
                *word = _mm512_mask_broadcast_i32x4(*word, self.lanes[row], values);
            }
            for word in 0..COUNT.div_ceil(TAPS) {
                column[word] = self.interleave.apply(column[word]);
            }
        }
        column
    }
}

/// Turns 4 rows of 16 bytes into 16 lanes of 4: a transposition of 4 x 4 lanes, then one of 4 x 4 bytes in each
/// quarter.
#[derive(Clone, Copy)]
struct Interleave {
    lanes: __m512i,
    bytes: __m512i,
}

impl Interleave {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    fn new() -> Interleave {
        let bytes = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        Interleave { lanes: transpose_lanes(), bytes: opaque(_mm512_broadcast_i32x4(bytes)) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    fn apply(self, rows: __m512i) -> __m512i {
        _mm512_shuffle_epi8(_mm512_permutexvar_epi32(self.lanes, rows), self.bytes)
    }
}

/// The indices of a transposition of 4 x 4 lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn transpose_lanes() -> __m512i {
    opaque(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15))
}

/// The same value, unknown to the compiler: of a permutation whose indices it knows it makes several slower ones.
#[inline]
#[target_feature(enable = "avx512f")]
fn opaque(mut value: __m512i) -> __m512i {
    // SAFETY: no instruction.
    unsafe { asm!("/* {0} */", inout(zmm_reg) value, options(pure, nomem, nostack, preserves_flags)) };
    value
}

/// The words of a kernel's columns: for an output row `down` rows further down, the taps move along by so many.
type Weights<const KERNEL: usize, const DOWN: usize> = [[Column; DOWN]; KERNEL];

/// # Safety
/// The CPU has the tier; a group of packed weights at `packed`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn load_weights<const KERNEL: usize, const DOWN: usize>(packed: *const u8) -> Weights<KERNEL, DOWN> {
    let words = KERNEL.div_ceil(TAPS);
    let mut weights = [[[_mm512_setzero_si512(); 2]; DOWN]; KERNEL];
    for kx in 0..KERNEL {
        for word in 0..words {
            // SAFETY: the packed group has that many words.
            weights[kx][0][word] =
                unsafe { _mm512_loadu_si512(packed.add((kx * words + word) * WORD).cast()) };
        }
        if DOWN == 2 {
            let [first, second] = weights[kx][0];
            let moved = _mm512_slli_epi32::<8>(first);
            let carried = _mm512_or_si512(_mm512_slli_epi32::<8>(second), _mm512_srli_epi32::<24>(first));
            weights[kx][1] = [moved, carried];
        }
    }
    weights
}

/// Some rows of the output image, `DOWN` x `RIGHT` outputs of a group at a time.
///
/// # Safety
/// The CPU has the tier; the bounds that [`depthwise::run`] asserts; at least 16 channels; every shift at least 33.
#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn slide<const KERNEL: usize, const STRIDE: usize, const DOWN: usize, const RIGHT: usize>(
    x: &[u8],
    d: &Depthwise<'_>,
    rows: Range<usize>,
    out: &mut [u8],
    from: usize,
) {
    let channels = d.window.channels;
    let line = d.window.output[1] * channels;
    let group_bytes = KERNEL * KERNEL.div_ceil(TAPS) * WORD;
    for oy in rows.clone().step_by(DOWN) {
        let down = DOWN.min(rows.end - oy);
        let out = &mut out[(oy - rows.start) * line..][..down * line];
        for group in from..channels.div_ceil(GROUP) {
            let first = first_channel(group, channels);
            // SAFETY: `first + 16` channels are in the image, the parameters and the output; the packed weights have
            // a group for each group of channels.
            unsafe {
                let top = d.window.start(0, oy);
                let source = Rows::new(x, d, top, (DOWN - 1) * STRIDE + KERNEL, first);
                let weights = load_weights::<KERNEL, DOWN>(d.packed.as_ptr().add(group * group_bytes));
                let epilogue = Epilogue::new(&d.requantize, first);
                slide_row::<KERNEL, STRIDE, DOWN, RIGHT>(
                    &source,
                    &weights,
                    &epilogue,
                    d,
                    down,
                    out.as_mut_ptr().add(first),
                );
            }
        }
    }
}

/// One group of `down` output rows, at most `DOWN`, along their whole width.
///
/// # Safety
/// As [`slide`]; `out` is the group's first channel of the first output.
#[inline(always)]
unsafe fn slide_row<const KERNEL: usize, const STRIDE: usize, const DOWN: usize, const RIGHT: usize>(
    source: &Rows,
    weights: &Weights<KERNEL, DOWN>,
    epilogue: &Epilogue,
    d: &Depthwise<'_>,
    down: usize,
    out: *mut u8,
) {
    // SAFETY: the caller's promise; an output is written only where it is one.
    unsafe {
        let (columns, channels) = (d.window.output[1], d.window.channels);
        let kept = KERNEL - STRIDE;
        let mut x = d.window.start(1, 0);
        // KERNEL + (RIGHT - 1) * STRIDE columns are in use.
        let mut window = [[_mm512_setzero_si512(); 2]; 8];
        for column in 0..kept {
            window[column] = column_of::<KERNEL, STRIDE, DOWN>(source, x + column as isize);
        }
        let mut ox = 0;
        while ox < columns {
            for column in kept..kept + RIGHT * STRIDE {
                window[column] = column_of::<KERNEL, STRIDE, DOWN>(source, x + column as isize);
            }
            let mut sums = [[epilogue.bias; RIGHT]; DOWN];
            for kx in 0..KERNEL {
                for word in 0..((DOWN - 1) * STRIDE + KERNEL).div_ceil(TAPS) {
                    for row in 0..DOWN {
                        for right in 0..RIGHT {
                            let values = window[right * STRIDE + kx][word];
                            sums[row][right] =
                                _mm512_dpbusd_epi32(sums[row][right], values, weights[kx][row][word]);
                        }
                    }
                }
            }
            let at = out.add(ox * channels);
            let line = columns * channels;
            let bytes = epilogue.apply(sums);
            for row in 0..DOWN {
                for right in 0..RIGHT {
                    if row < down && ox + right < columns {
                        _mm_storeu_si128(at.add(row * line + right * channels).cast(), bytes[row][right]);
                    }
                }
            }
            for column in 0..kept {
                window[column] = window[column + RIGHT * STRIDE];
            }
            x += (RIGHT * STRIDE) as isize;
            ox += RIGHT;
        }
    }
}

/// # Safety
/// As [`Rows::column`].
#[inline(always)]
unsafe fn column_of<const KERNEL: usize, const STRIDE: usize, const DOWN: usize>(
    source: &Rows,
    x: isize,
) -> Column {
    // SAFETY: the caller's promise.
    unsafe {
        match (DOWN - 1) * STRIDE + KERNEL {
            3 => source.column::<3>(x),
            4 => source.column::<4>(x),
            5 => source.column::<5>(x),
            _ => source.column::<6>(x),
        }
    }
}

/// The requantization of a group, every shift at least 33: from the high half of the product.
struct Epilogue {
    bias: __m512i,
    /// The multipliers of the even lanes.
    even: __m512i,
    /// The multipliers of the odd lanes, one lane down.
    odd: __m512i,
    round: __m512i,
    shift: __m512i,
    zero_point: __m512i,
    lo: __m512i,
    hi: __m512i,
    transpose: __m512i,
    /// A bit for each even lane.
    even_lanes: __mmask16,
}

impl Epilogue {
    /// # Safety
    /// The CPU has the tier; 16 channels from `first` on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn new(r: &Requantize<'_>, first: usize) -> Epilogue {
        // SAFETY: the caller's promise.
        let load = |values: &[i32]| unsafe { _mm512_loadu_si512(values.as_ptr().add(first).cast()) };
        let multiplier = load(r.multiplier);
        let shift = load(r.shift);
        Epilogue {
            bias: load(r.bias),
            even: multiplier,
            odd: _mm512_srli_epi64::<32>(multiplier),
            round: _mm512_sllv_epi32(_mm512_set1_epi32(1), _mm512_sub_epi32(shift, _mm512_set1_epi32(33))),
            shift: _mm512_sub_epi32(shift, _mm512_set1_epi32(32)),
            zero_point: _mm512_set1_epi16(r.zero_point as i16),
            lo: _mm512_set1_epi8(r.lo as i8),
            hi: _mm512_set1_epi8(r.hi as i8),
            transpose: transpose_lanes(),
            even_lanes: even_lanes(),
        }
    }

    /// `floor((acc * multiplier + 2^(shift-1)) / 2^shift)`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    fn scale(&self, acc: __m512i) -> __m512i {
        let even = _mm512_mul_epi32(acc, self.even);
        let odd = _mm512_mul_epi32(_mm512_srli_epi64::<32>(acc), self.odd);
        _mm512_srav_epi32(_mm512_add_epi32(high_halves(even, odd, self.even_lanes), self.round), self.shift)
    }

    /// The bytes of the sums. Packs saturate, which the clamp at the end makes good.
    #[inline(always)]
    unsafe fn apply<const DOWN: usize, const RIGHT: usize>(
        &self,
        sums: [[__m512i; RIGHT]; DOWN],
    ) -> [[__m128i; RIGHT]; DOWN] {
        // SAFETY: the CPU has the tier.
        unsafe {
            let at = |i: usize| self.scale(sums[i / RIGHT][i % RIGHT]);
            let first = _mm512_adds_epi16(_mm512_packs_epi32(at(0), at(1)), self.zero_point);
            let second = if DOWN * RIGHT == 4 {
                _mm512_adds_epi16(_mm512_packs_epi32(at(2), at(3)), self.zero_point)
            } else {
                first
            };
            let bytes = _mm512_packus_epi16(first, second);
            let bytes = _mm512_min_epu8(_mm512_max_epu8(bytes, self.lo), self.hi);
            // In each quarter are 4 channels of each output; now each output has a quarter.
            let bytes = _mm512_permutexvar_epi32(self.transpose, bytes);
            let quarters = [
                _mm512_castsi512_si128(bytes),
                _mm512_extracti32x4_epi32::<1>(bytes),
                _mm512_extracti32x4_epi32::<2>(bytes),
                _mm512_extracti32x4_epi32::<3>(bytes),
            ];
            std::array::from_fn(|row| std::array::from_fn(|right| quarters[row * RIGHT + right]))
        }
    }
}

/// The odd lanes, one lane down: by a move of lanes, which more ports take than a shift.
#[inline]
#[target_feature(enable = "avx512f")]
fn odd_lanes(value: __m512i) -> __m512i {
    let odd;
    // SAFETY: the instruction is AVX-512 F and touches registers alone.
    unsafe {
        asm!("vmovshdup {0}, {1}", out(zmm_reg) odd, in(zmm_reg) value,
             options(pure, nomem, nostack, preserves_flags));
    }
    odd
}

/// A bit for each even lane, kept in a register because the compiler does not know it.
#[inline]
#[target_feature(enable = "avx512f")]
fn even_lanes() -> __mmask16 {
    let mut lanes = 0x5555;
    // SAFETY: no instruction.
    unsafe { asm!("/* {0} */", inout(kreg) lanes, options(pure, nomem, nostack, preserves_flags)) };
    lanes
}

/// The high halves of the products of the even lanes and of the odd lanes, in the lanes' order.
#[inline]
#[target_feature(enable = "avx512f")]
fn high_halves(even: __m512i, odd: __m512i, even_lanes: __mmask16) -> __m512i {
    let mut high = odd;
    // One masked move; the compiler would make a slower permutation of two registers of it.
    // SAFETY: the instruction is AVX-512 F and touches registers alone.
    unsafe {
        asm!(
            "vmovshdup {high}{{{even_lanes}}}, {even}",
            high = inout(zmm_reg) high,
            even = in(zmm_reg) even,
            even_lanes = in(kreg) even_lanes,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    high
}

/// Four taps a word, int8.
struct Fours;

impl Lanes for Fours {
    type Sums = __m512i;
    const TAPS: usize = TAPS;
    const WORD: usize = WORD;

    #[inline(always)]
    unsafe fn start(bias: *const i32, channels: usize) -> __m512i {
        // SAFETY: the caller's promise; only the channels' lanes are read.
        unsafe { _mm512_maskz_loadu_epi32(first_lanes(channels), bias) }
    }

    #[inline(always)]
    unsafe fn multiply_add(
        sums: __m512i,
        taps: [*const u8; TAPS_MAX],
        weights: *const u8,
        channels: usize,
    ) -> __m512i {
        // SAFETY: the caller's promise; only the channels' bytes are read.
        unsafe {
            let load = |tap: usize| -> __m128i {
                if channels == GROUP {
                    _mm_loadu_si128(taps[tap].cast())
                } else {
                    _mm_maskz_loadu_epi8(first_lanes(channels), taps[tap].cast())
                }
            };
            let rows = _mm512_castsi128_si512(load(0));
            let rows = _mm512_inserti32x4::<1>(rows, load(1));
            let rows = _mm512_inserti32x4::<2>(rows, load(2));
            let rows = _mm512_inserti32x4::<3>(rows, load(3));
            let values = Interleave::new().apply(rows);
            _mm512_dpbusd_epi32(sums, values, _mm512_loadu_si512(weights.cast()))
        }
    }

    #[inline(always)]
    unsafe fn finish(sums: __m512i, d: &Depthwise<'_>, first: usize, channels: usize, out: *mut u8) {
        let r = &d.requantize;
        // SAFETY: the caller's promise; only the channels' lanes are read and written.
        unsafe {
            let lanes = first_lanes(channels);
            let multiplier = _mm512_maskz_loadu_epi32(lanes, r.multiplier.as_ptr().add(first));
            let shift = _mm512_maskz_loadu_epi32(lanes, r.shift.as_ptr().add(first));
            let scaled = scale_any(sums, multiplier, shift);
            let y = _mm512_add_epi32(scaled, _mm512_set1_epi32(r.zero_point));
            let y = _mm512_min_epi32(_mm512_max_epi32(y, _mm512_set1_epi32(r.lo)), _mm512_set1_epi32(r.hi));
            _mm_mask_storeu_epi8(out.cast(), lanes, _mm512_cvtepi32_epi8(y));
        }
    }
}

/// A bit for each of the first `channels` lanes.
#[inline(always)]
fn first_lanes(channels: usize) -> __mmask16 {
    (u32::MAX >> (32 - channels as u32)) as u16
}

/// `floor((acc * multiplier + 2^(shift-1)) / 2^shift)` for every shift, held to the int16 that are far beyond a byte.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn scale_any(acc: __m512i, multiplier: __m512i, shift: __m512i) -> __m512i {
    let even = scale_in_64_bits(acc, multiplier, _mm512_and_si512(shift, _mm512_set1_epi64(0xffff_ffff)));
    let down = _mm512_srli_epi64::<32>;
    let odd = scale_in_64_bits(down(acc), down(multiplier), down(shift));
    _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64::<32>(odd))
}

/// The lower int32 of 8 lanes of 64 bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn scale_in_64_bits(acc: __m512i, multiplier: __m512i, shift: __m512i) -> __m512i {
    let one = _mm512_set1_epi64(1);
    let round = _mm512_sllv_epi64(one, _mm512_sub_epi64(shift, one));
    let sum = _mm512_add_epi64(_mm512_mul_epi32(acc, multiplier), round);
    let scaled = _mm512_srav_epi64(sum, shift);
    let limit = i64::from(i16::MAX);
    _mm512_max_epi64(_mm512_min_epi64(scaled, _mm512_set1_epi64(limit)), _mm512_set1_epi64(-limit))
}
