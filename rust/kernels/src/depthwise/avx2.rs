//! Depthwise convolution on AVX2: a word is 2 taps, widened to int16, so that one vpmaddwd adds 2 products of each of
//! 8 channels. The products and their sums are exact: 2 * 255 * 128 is far inside int32.

use std::arch::asm;
use std::arch::x86_64::*;
use std::ops::Range;

use super::general::{self, Lanes, TAPS_MAX};
use super::pack::{Layout, first_channel};
use super::{Depthwise, Entries, GROUP, Tile};
use crate::isa::Entry;
use crate::requantize::Requantize;

pub(crate) const ENTRIES: Entries = Entries {
    layout: Layout { taps: TAPS, bytes: 2 },
    tiles: &[
        tile([3, 3], [1, 1], "avx2-u8i8-depthwise-3x3s1", run_3x3s1),
        tile([3, 3], [2, 2], "avx2-u8i8-depthwise-3x3s2", run_3x3s2),
        tile([5, 5], [1, 1], "avx2-u8i8-depthwise-5x5s1", run_5x5s1),
        tile([5, 5], [2, 2], "avx2-u8i8-depthwise-5x5s2", run_5x5s2),
        Tile { shape: None, entry: Entry { name: "avx2-u8i8-depthwise-any", run: run_any } },
    ],
};

const fn tile(kernel: [usize; 2], stride: [usize; 2], name: &'static str, run: super::Run) -> Tile {
    Tile { shape: Some((kernel, stride)), entry: Entry { name, run } }
}

/// Taps of a word.
const TAPS: usize = 2;
/// Bytes of a word.
const WORD: usize = GROUP * TAPS * 2;
/// Channels of a register of sums: half a group.
const HALF: usize = 8;
/// The smallest shift at which the high half of the product is all that the rounding needs.
const HIGH_SHIFT: i32 = 33;

/// Defines a kernel for one square shape: `$kernel`, `$stride`, and the `$down` x `$right` outputs that a step makes.
macro_rules! sliding {
    ($name:ident, $kernel:literal, $stride:literal, $down:literal, $right:literal) => {
        /// # Safety
        /// The CPU has the tier; the bounds that [`super::run`] asserts.
        #[target_feature(enable = "avx2,fma")]
        unsafe fn $name(x: &[u8], d: &Depthwise<'_>, rows: Range<usize>, out: &mut [u8]) {
            let high = d.requantize.shift.iter().all(|&shift| shift >= HIGH_SHIFT);
            // SAFETY: the caller's promise.
            unsafe {
                if d.window.channels < GROUP || !high {
                    general::run::<Pairs>(x, d, rows, out)
                } else {
                    slide::<$kernel, $stride, $down, $right>(x, d, rows, out)
                }
            }
        }
    };
}
sliding!(run_3x3s1, 3, 1, 2, 2);
sliding!(run_3x3s2, 3, 2, 1, 2);
sliding!(run_5x5s1, 5, 1, 2, 2);
sliding!(run_5x5s2, 5, 2, 1, 2);

/// # Safety
/// The CPU has the tier; the bounds that [`super::run`] asserts.
#[target_feature(enable = "avx2,fma")]
unsafe fn run_any(x: &[u8], d: &Depthwise<'_>, rows: Range<usize>, out: &mut [u8]) {
    // SAFETY: the caller's promise.
    unsafe { general::run::<Pairs>(x, d, rows, out) }
}

/// Pairs of rows of a column, 8 channels of int16: rows 0 and 1, 2 and 3, 4 and 5.
type Column = [__m256i; 3];

/// The input rows that a step reads, 8 channels of them, column by column from left to right.
struct Columns {
    /// The next column's number.
    x: isize,
    width: usize,
    /// A row at the next column inside the image, or the padding where the row lies outside.
    places: [*const u8; 6],
    /// From one column to the next: nothing in the padding.
    steps: [usize; 6],
    /// The zero point, 8 times int16.
    padding: __m256i,
}

impl Columns {
    /// The rows from `top` on, of 8 channels from `first` on.
    ///
    /// # Safety
    /// `x` is the image of `d`'s window and `first + 8` channels are in it; 8 bytes at `padding`, which stay.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn new(x: &[u8], d: &Depthwise<'_>, top: isize, first: usize, padding: *const u8) -> Columns {
        let [height, width] = d.window.input;
        let mut columns = Columns {
            x: d.window.start(1, 0),
            width,
            places: [padding; 6],
            steps: [0; 6],
            padding: _mm256_set1_epi16(i16::from(d.x_zero_point)),
        };
        for row in 0..6 {
            let y = top + row as isize;
            if (y as usize) < height {
                // SAFETY: a row of the image, and a channel of its first pixel.
                columns.places[row] = unsafe { x.as_ptr().add(d.window.pixel(y as usize, 0) + first) };
                columns.steps[row] = d.window.channels;
            }
        }
        columns
    }

    /// The next column of the first `COUNT` rows; the zero point where it lies outside the image.
    ///
    /// # Safety
    /// The promise of [`Columns::new`].
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn next<const COUNT: usize>(&mut self) -> Column {
        let mut column = [self.padding; 3];
        if (self.x as usize) < self.width {
            let mut rows = [_mm_setzero_si128(); 6];
            for row in 0..COUNT {
                // SAFETY: 8 channels of a pixel of the image, or of the padding.
                rows[row] = unsafe { _mm_loadl_epi64(self.places[row].cast()) };
                self.places[row] = self.places[row].wrapping_add(self.steps[row]);
            }
            for pair in 0..COUNT.div_ceil(TAPS) {
                column[pair] =
                    _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(rows[TAPS * pair], rows[TAPS * pair + 1]));
            }
        }
        self.x += 1;
        column
    }
}

/// The words of a kernel's columns: for an output row one further down, the taps move along by one.
type Weights<const KERNEL: usize, const DOWN: usize> = [[Column; DOWN]; KERNEL];

/// # Safety
/// The CPU has the tier; half a group of packed weights at `packed`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_weights<const KERNEL: usize, const DOWN: usize>(packed: *const u8) -> Weights<KERNEL, DOWN> {
    let words = KERNEL.div_ceil(TAPS);
    let mut weights = [[[_mm256_setzero_si256(); 3]; DOWN]; KERNEL];
    for kx in 0..KERNEL {
        let mut carried = _mm256_setzero_si256();
        for word in 0..words {
            // SAFETY: the packed group has that many words.
            let taps = unsafe { _mm256_loadu_si256(packed.add((kx * words + word) * WORD).cast()) };
            weights[kx][0][word] = taps;
            if DOWN == 2 {
                weights[kx][1][word] = _mm256_or_si256(_mm256_slli_epi32::<16>(taps), carried);
                carried = _mm256_srli_epi32::<16>(taps);
            }
        }
    }
    weights
}

/// Some rows of the output image, `DOWN` x `RIGHT` outputs of 8 channels at a time.
///
/// # Safety
/// The CPU has the tier; the bounds that [`super::run`] asserts; at least 16 channels; every shift at least 33.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn slide<const KERNEL: usize, const STRIDE: usize, const DOWN: usize, const RIGHT: usize>(
    x: &[u8],
    d: &Depthwise<'_>,
    rows: Range<usize>,
    out: &mut [u8],
) {
    let channels = d.window.channels;
    let line = d.window.output[1] * channels;
    let group_bytes = KERNEL * KERNEL.div_ceil(TAPS) * WORD;
    let padding = [d.x_zero_point; GROUP];
    for oy in rows.clone().step_by(DOWN) {
        let down = DOWN.min(rows.end - oy);
        let out = &mut out[(oy - rows.start) * line..][..down * line];
        for half in 0..channels.div_ceil(GROUP) * 2 {
            let first = first_channel(half / 2, channels) + half % 2 * HALF;
            // SAFETY: `first + 8` channels are in the image, the parameters and the output; the packed weights have
            // a group for each group of channels, in two halves.
            unsafe {
                let source = Columns::new(x, d, d.window.start(0, oy), first, padding.as_ptr());
                let packed = d.packed.as_ptr().add(half / 2 * group_bytes + half % 2 * (WORD / 2));
                let weights = load_weights::<KERNEL, DOWN>(packed);
                let epilogue = Epilogue::new(&d.requantize, first);
                let out = out.as_mut_ptr().add(first);
                slide_row::<KERNEL, STRIDE, DOWN, RIGHT>(source, &weights, &epilogue, d, down, out);
            }
        }
    }
}

/// 8 channels of `down` output rows, at most `DOWN`, along their whole width.
///
/// # Safety
/// As [`slide`]; `out` is the first of the channels of the first output.
#[inline(always)]
unsafe fn slide_row<const KERNEL: usize, const STRIDE: usize, const DOWN: usize, const RIGHT: usize>(
    mut source: Columns,
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
        // KERNEL + (RIGHT - 1) * STRIDE columns are in use.
        let mut window = [[_mm256_setzero_si256(); 3]; 7];
        for column in 0..kept {
            window[column] = next_column::<KERNEL, STRIDE, DOWN>(&mut source);
        }
        let mut ox = 0;
        while ox < columns {
            for column in kept..kept + RIGHT * STRIDE {
                window[column] = next_column::<KERNEL, STRIDE, DOWN>(&mut source);
            }
            let mut sums = [[epilogue.bias; RIGHT]; DOWN];
            for kx in 0..KERNEL {
                for word in 0..((DOWN - 1) * STRIDE + KERNEL).div_ceil(TAPS) {
                    for row in 0..DOWN {
                        for right in 0..RIGHT {
                            let values = window[right * STRIDE + kx][word];
                            let products = _mm256_madd_epi16(values, weights[kx][row][word]);
                            sums[row][right] = _mm256_add_epi32(sums[row][right], products);
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
                        let place = at.add(row * line + right * channels).cast::<u64>();
                        place.write_unaligned(bytes[row * RIGHT + right]);
                    }
                }
            }
            for column in 0..kept {
                window[column] = window[column + RIGHT * STRIDE];
            }
            ox += RIGHT;
        }
    }
}

/// # Safety
/// As [`Columns::next`].
#[inline(always)]
unsafe fn next_column<const KERNEL: usize, const STRIDE: usize, const DOWN: usize>(
    source: &mut Columns,
) -> Column {
    // SAFETY: the caller's promise.
    unsafe {
        match (DOWN - 1) * STRIDE + KERNEL {
            3 => source.next::<3>(),
            4 => source.next::<4>(),
            5 => source.next::<5>(),
            _ => source.next::<6>(),
        }
    }
}

/// The requantization of 8 channels, every shift at least 33.
struct Epilogue {
    bias: __m256i,
    scale: HighScale,
    zero_point: __m256i,
    lo: __m256i,
    hi: __m256i,
}

impl Epilogue {
    /// # Safety
    /// The CPU has the tier; 8 channels from `first` on.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn new(r: &Requantize<'_>, first: usize) -> Epilogue {
        // SAFETY: the caller's promise.
        let load = |values: &[i32]| unsafe { _mm256_loadu_si256(values.as_ptr().add(first).cast()) };
        Epilogue {
            bias: load(r.bias),
            scale: HighScale::new(load(r.multiplier), load(r.shift)),
            zero_point: _mm256_set1_epi16(r.zero_point as i16),
            lo: _mm256_set1_epi8(r.lo as i8),
            hi: _mm256_set1_epi8(r.hi as i8),
        }
    }

    /// The bytes of 2 or 4 vectors of sums, 8 each. Packs saturate, which the clamp at the end makes good.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn apply<const DOWN: usize, const RIGHT: usize>(&self, sums: [[__m256i; RIGHT]; DOWN]) -> [u64; 4] {
        let at = |i: usize| self.scale.apply(sums[i / RIGHT][i % RIGHT]);
        let first = _mm256_adds_epi16(_mm256_packs_epi32(at(0), at(1)), self.zero_point);
        let second = if DOWN * RIGHT == 4 {
            _mm256_adds_epi16(_mm256_packs_epi32(at(2), at(3)), self.zero_point)
        } else {
            first
        };
        let bytes = _mm256_packus_epi16(first, second);
        let bytes = _mm256_min_epu8(_mm256_max_epu8(bytes, self.lo), self.hi);
        // In each half are 4 channels of each output; now the two fours of each output are neighbours.
        let bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        let (low, high) = (_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes));
        [
            _mm_cvtsi128_si64(low) as u64,
            _mm_extract_epi64::<1>(low) as u64,
            _mm_cvtsi128_si64(high) as u64,
            _mm_extract_epi64::<1>(high) as u64,
        ]
    }
}

/// The multipliers and shifts of 8 channels, every shift at least 33: the high half of the product, rounded.
struct HighScale {
    even: __m256i,
    /// The multipliers of the odd lanes, one lane down.
    odd: __m256i,
    round: __m256i,
    shift: __m256i,
}

impl HighScale {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(multiplier: __m256i, shift: __m256i) -> HighScale {
        let over = |less: i32| _mm256_sub_epi32(shift, _mm256_set1_epi32(less));
        HighScale {
            even: multiplier,
            odd: odd_lanes(multiplier),
            round: _mm256_sllv_epi32(_mm256_set1_epi32(1), over(33)),
            shift: over(32),
        }
    }

    /// `floor((acc * multiplier + 2^(shift-1)) / 2^shift)`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn apply(&self, acc: __m256i) -> __m256i {
        let even = _mm256_mul_epi32(acc, self.even);
        let odd = _mm256_mul_epi32(odd_lanes(acc), self.odd);
        let high = _mm256_blend_epi32::<0b1010_1010>(odd_lanes(even), odd);
        _mm256_srav_epi32(_mm256_add_epi32(high, self.round), self.shift)
    }
}

/// The odd lanes, one lane down. Not by a shift: the compiler would make a 64-bit multiplication of what follows.
#[inline]
#[target_feature(enable = "avx2")]
fn odd_lanes(value: __m256i) -> __m256i {
    let odd;
    // SAFETY: the instruction is AVX and touches registers alone.
    unsafe {
        asm!("vmovshdup {0}, {1}", out(ymm_reg) odd, in(ymm_reg) value,
             options(pure, nomem, nostack, preserves_flags));
    }
    odd
}

/// Two taps a word, int16; the sums of channels 0..8 and 8..16.
struct Pairs;

impl Lanes for Pairs {
    type Sums = [__m256i; 2];
    const TAPS: usize = TAPS;
    const WORD: usize = WORD;

    #[inline(always)]
    unsafe fn start(bias: *const i32, channels: usize) -> [__m256i; 2] {
        // SAFETY: the caller's promise.
        unsafe { load_lanes(bias, channels) }
    }

    #[inline(always)]
    unsafe fn multiply_add(
        sums: [__m256i; 2],
        taps: [*const u8; TAPS_MAX],
        weights: *const u8,
        channels: usize,
    ) -> [__m256i; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            let (first, second) = (load_bytes(taps[0], channels), load_bytes(taps[1], channels));
            let low = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(first, second));
            let high = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(first, second));
            let weights = weights.cast::<__m256i>();
            [
                _mm256_add_epi32(sums[0], _mm256_madd_epi16(low, _mm256_loadu_si256(weights))),
                _mm256_add_epi32(sums[1], _mm256_madd_epi16(high, _mm256_loadu_si256(weights.add(1)))),
            ]
        }
    }

    #[inline(always)]
    unsafe fn finish(sums: [__m256i; 2], d: &Depthwise<'_>, first: usize, channels: usize, out: *mut u8) {
        let r = &d.requantize;
        // SAFETY: the caller's promise.
        unsafe {
            let multiplier = load_lanes(r.multiplier.as_ptr().add(first), channels);
            let shift = load_lanes(r.shift.as_ptr().add(first), channels);
            let scaled = [0, 1].map(|half| scale(sums[half], multiplier[half], shift[half]));
            // The pack leaves the channels in the order 0..4, 8..12, 4..8, 12..16.
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(scaled[0], scaled[1]));
            let words = _mm256_adds_epi16(words, _mm256_set1_epi16(r.zero_point as i16));
            let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            let bytes = _mm_max_epu8(bytes, _mm_set1_epi8(r.lo as i8));
            store_bytes(_mm_min_epu8(bytes, _mm_set1_epi8(r.hi as i8)), out, channels);
        }
    }
}

/// `channels` int32, the rest 0.
///
/// # Safety
/// The CPU has the tier; `channels` values at `values`, at most 16.
#[inline(always)]
unsafe fn load_lanes(values: *const i32, channels: usize) -> [__m256i; 2] {
    // SAFETY: the caller's promise.
    unsafe {
        if channels == GROUP {
            [_mm256_loadu_si256(values.cast()), _mm256_loadu_si256(values.add(8).cast())]
        } else {
            let mut lanes = [0i32; GROUP];
            values.copy_to_nonoverlapping(lanes.as_mut_ptr(), channels);
            load_lanes(lanes.as_ptr(), GROUP)
        }
    }
}

/// `channels` bytes, the rest 0.
///
/// # Safety
/// The CPU has the tier; `channels` bytes at `bytes`, at most 16.
#[inline(always)]
unsafe fn load_bytes(bytes: *const u8, channels: usize) -> __m128i {
    // SAFETY: the caller's promise.
    unsafe {
        if channels == GROUP {
            _mm_loadu_si128(bytes.cast())
        } else {
            let mut lanes = [0u8; GROUP];
            bytes.copy_to_nonoverlapping(lanes.as_mut_ptr(), channels);
            _mm_loadu_si128(lanes.as_ptr().cast())
        }
    }
}

/// # Safety
/// The CPU has the tier; room for `channels` bytes at `out`, at most 16.
#[inline(always)]
unsafe fn store_bytes(bytes: __m128i, out: *mut u8, channels: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if channels == GROUP {
            _mm_storeu_si128(out.cast(), bytes);
        } else {
            let mut lanes = [0u8; GROUP];
            _mm_storeu_si128(lanes.as_mut_ptr().cast(), bytes);
            lanes.as_ptr().copy_to_nonoverlapping(out, channels);
        }
    }
}

/// `floor((acc * multiplier + 2^(shift-1)) / 2^shift)`, or what has the same int16 after saturation.
#[inline]
#[target_feature(enable = "avx2")]
fn scale(acc: __m256i, multiplier: __m256i, shift: __m256i) -> __m256i {
    let all_high = _mm256_movemask_epi8(_mm256_cmpgt_epi32(shift, _mm256_set1_epi32(HIGH_SHIFT - 1))) == -1;
    if all_high { HighScale::new(multiplier, shift).apply(acc) } else { scale_any(acc, multiplier, shift) }
}

/// For every shift, by 64-bit lanes: AVX2 has no arithmetic shift of those, so the sum is made positive for a logical
/// one by 2^62, a multiple of every 2^shift, and what that adds is taken off again.
#[inline]
#[target_feature(enable = "avx2")]
fn scale_any(acc: __m256i, multiplier: __m256i, shift: __m256i) -> __m256i {
    let in_64_bits = |acc, multiplier, shift| {
        let one = _mm256_set1_epi64x(1);
        let round = _mm256_sllv_epi64(one, _mm256_sub_epi64(shift, one));
        let lifted = _mm256_set1_epi64x(1 << 62);
        let sum = _mm256_add_epi64(_mm256_mul_epi32(acc, multiplier), round);
        let shifted = _mm256_srlv_epi64(_mm256_add_epi64(sum, lifted), shift);
        let scaled = _mm256_sub_epi64(shifted, _mm256_srlv_epi64(lifted, shift));
        let limit = _mm256_set1_epi64x(i64::from(i16::MAX));
        let below = _mm256_blendv_epi8(scaled, limit, _mm256_cmpgt_epi64(scaled, limit));
        let floor = _mm256_set1_epi64x(-i64::from(i16::MAX));
        _mm256_blendv_epi8(below, floor, _mm256_cmpgt_epi64(floor, below))
    };
    let down = |value| _mm256_srli_epi64::<32>(value);
    let low_half = _mm256_set1_epi64x(0xffff_ffff);
    let even = in_64_bits(acc, multiplier, _mm256_and_si256(shift, low_half));
    let odd = in_64_bits(down(acc), down(multiplier), down(shift));
    _mm256_blend_epi32::<0b1010_1010>(even, _mm256_slli_epi64::<32>(odd))
}
