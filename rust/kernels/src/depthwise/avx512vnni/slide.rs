//! 3x3 and 5x5 for a group of 16 channels at a time.
//!
//! A [`Column`] holds the rows that an output row or a pair of them needs, interleaved in fours, and serves every
//! output that it meets.

use std::arch::x86_64::*;
use std::ops::Range;

use super::lanes::{ByteDepthwise, Interleave, TAPS, WORD, first_lanes};
use crate::depthwise::pack::{GROUP, first_channel};
use crate::requantize::{Clamp, HIGH_SHIFT, HighScale, Requantize};
use crate::simd::{Vector, Zmm};

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
    /// The group's channels: all 16, or those that there are.
    group: __mmask16,
    /// The zero point in each byte.
    padding: __m512i,
    /// Brings the 4 rows of a word together, channel by channel.
    interleave: Interleave,
}

impl Rows {
    /// The rows `top..top + count`, of the group's channels from `first` on.
    ///
    /// # Safety
    /// `x` is the image of `d`'s window and the group's channels are in it.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn new(x: &[u8], d: &ByteDepthwise<'_>, top: isize, count: usize, first: usize) -> Rows {
        let [height, width] = d.window.input;
        let mut rows = Rows {
            places: [x.as_ptr(); 8],
            lanes: [0; 8],
            width,
            channels: d.window.channels,
            group: first_lanes(d.window.channels.min(GROUP)),
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
    /// The promise of [`Rows::new`]; where `PLAIN`, the group has 16 channels.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn column<const COUNT: usize, const PLAIN: bool>(&self, x: isize) -> Column {
        let mut column = [self.padding; 2];
        if (x as usize) < self.width {
            let pixel = x as usize * self.channels;
            for row in 0..COUNT {
                let word = &mut column[row / TAPS];
                // SAFETY: the group's channels of a pixel of the image; where the row lies outside, of any row.
                let values = unsafe {
                    let place = self.places[row].add(pixel);
                    if PLAIN {
                        _mm_loadu_si128(place.cast())
                    } else {
                        _mm_maskz_loadu_epi8(self.group, place.cast())
                    }
                };
                *word = _mm512_mask_broadcast_i32x4(*word, self.lanes[row], values);
            }
            for word in 0..COUNT.div_ceil(TAPS) {
                column[word] = self.interleave.apply(column[word]);
            }
        }
        column
    }
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

/// The groups from `from` on of some rows of the output image, `DOWN` x `RIGHT` outputs of a group at a time.
///
/// # Safety
/// The CPU has the tier; the bounds that [`crate::depthwise::run`] asserts. Where `PLAIN`, at least 16 channels, and
/// every shift at least 33; elsewhere [`crate::depthwise::can_raise_shifts`].
#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) unsafe fn run<
    const KERNEL: usize,
    const STRIDE: usize,
    const DOWN: usize,
    const RIGHT: usize,
    const PLAIN: bool,
>(
    x: &[u8],
    d: &ByteDepthwise<'_>,
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
            // SAFETY: the group's channels are in the image, the parameters and the output; the packed weights have
            // a group for each group of channels.
            unsafe {
                let top = d.window.start(0, oy);
                let source = Rows::new(x, d, top, (DOWN - 1) * STRIDE + KERNEL, first);
                let weights = load_weights::<KERNEL, DOWN>(d.packed.as_ptr().add(group * group_bytes));
                let epilogue = Epilogue::<PLAIN>::new(&d.epilogue, first, source.group);
                slide_row::<KERNEL, STRIDE, DOWN, RIGHT, PLAIN>(
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
/// As [`run`]; `out` is the group's first channel of the first output.
#[inline(always)]
unsafe fn slide_row<
    const KERNEL: usize,
    const STRIDE: usize,
    const DOWN: usize,
    const RIGHT: usize,
    const PLAIN: bool,
>(
    source: &Rows,
    weights: &Weights<KERNEL, DOWN>,
    epilogue: &Epilogue<PLAIN>,
    d: &ByteDepthwise<'_>,
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
            window[column] = column_of::<KERNEL, STRIDE, DOWN, PLAIN>(source, x + column as isize);
        }
        let mut ox = 0;
        while ox < columns {
            for column in kept..kept + RIGHT * STRIDE {
                window[column] = column_of::<KERNEL, STRIDE, DOWN, PLAIN>(source, x + column as isize);
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
                        let place = at.add(row * line + right * channels);
                        if PLAIN {
                            _mm_storeu_si128(place.cast(), bytes[row][right]);
                        } else {
                            _mm_mask_storeu_epi8(place.cast(), source.group, bytes[row][right]);
                        }
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
unsafe fn column_of<const KERNEL: usize, const STRIDE: usize, const DOWN: usize, const PLAIN: bool>(
    source: &Rows,
    x: isize,
) -> Column {
    // SAFETY: the caller's promise.
    unsafe {
        match (DOWN - 1) * STRIDE + KERNEL {
            3 => source.column::<3, PLAIN>(x),
            4 => source.column::<4, PLAIN>(x),
            5 => source.column::<5, PLAIN>(x),
            _ => source.column::<6, PLAIN>(x),
        }
    }
}

/// The requantization of a group from the high half of the product, which takes shifts of at least 33. A smaller one,
/// which there is only where not `PLAIN`, is raised to 33 and the sum moved left by as much: the same quotient.
struct Epilogue<const PLAIN: bool> {
    bias: __m512i,
    /// By how much each sum moves left.
    left: Zmm,
    scale: HighScale<Zmm>,
    clamp: Clamp<Zmm>,
}

impl<const PLAIN: bool> Epilogue<PLAIN> {
    /// # Safety
    /// The CPU has the tier; the channels of `group` from `first` on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn new(r: &Requantize<'_>, first: usize, group: __mmask16) -> Epilogue<PLAIN> {
        // SAFETY: the caller's promise; only the group's lanes are read.
        unsafe {
            let load = |values: &[i32]| Zmm(_mm512_maskz_loadu_epi32(group, values.as_ptr().add(first)));
            let given = load(r.shift);
            let shift = given.max(Zmm::splat(HIGH_SHIFT));
            Epilogue {
                bias: load(r.bias).0,
                left: shift.sub(given),
                scale: HighScale::new(load(r.multiplier), shift),
                clamp: Clamp::new(r.zero_point, r.lo, r.hi),
            }
        }
    }

    /// The bytes of the sums.
    #[inline(always)]
    unsafe fn apply<const DOWN: usize, const RIGHT: usize>(
        &self,
        sums: [[__m512i; RIGHT]; DOWN],
    ) -> [[__m128i; RIGHT]; DOWN] {
        // SAFETY: the CPU has the tier.
        unsafe {
            let at = |i: usize| {
                let sum = Zmm(sums[i / RIGHT][i % RIGHT]);
                self.scale.apply(if PLAIN { sum } else { sum.shift_left(self.left) })
            };
            let bytes = if DOWN * RIGHT == 4 {
                self.clamp.bytes([at(0), at(1), at(2), at(3)])
            } else {
                self.clamp.bytes_of_two([at(0), at(1)])
            };
            // Each output has a quarter.
            let bytes = bytes.in_order().0;
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
