//! 3x3 and 5x5 for 8 channels at a time.
//!
//! A [`Column`] holds the rows that an output row or a pair of them needs, interleaved in pairs and widened, and
//! serves every output that it meets.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{HighScale, TAPS, WORD};
use crate::depthwise::pack::first_channel;
use crate::depthwise::{Depthwise, GROUP, HIGH_SHIFT};
use crate::requantize::Requantize;

/// Channels of a register of sums: half a group.
const HALF: usize = 8;
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
/// The CPU has the tier; the bounds that [`crate::depthwise::run`] asserts; at least 16 channels; every shift at least
/// 33, or where `RAISED` [`crate::depthwise::can_raise_shifts`].
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn run<
    const KERNEL: usize,
    const STRIDE: usize,
    const DOWN: usize,
    const RIGHT: usize,
    const RAISED: bool,
>(
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
                let epilogue = Epilogue::<RAISED>::new(&d.requantize, first);
                let out = out.as_mut_ptr().add(first);
                slide_row::<KERNEL, STRIDE, DOWN, RIGHT, RAISED>(source, &weights, &epilogue, d, down, out);
            }
        }
    }
}

/// 8 channels of `down` output rows, at most `DOWN`, along their whole width.
///
/// # Safety
/// As [`run`]; `out` is the first of the channels of the first output.
#[inline(always)]
unsafe fn slide_row<
    const KERNEL: usize,
    const STRIDE: usize,
    const DOWN: usize,
    const RIGHT: usize,
    const RAISED: bool,
>(
    mut source: Columns,
    weights: &Weights<KERNEL, DOWN>,
    epilogue: &Epilogue<RAISED>,
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

/// The requantization of 8 channels. A shift below 33, which there is only where `RAISED`, is raised to 33 and the sum
/// moved left by as much: the same quotient.
struct Epilogue<const RAISED: bool> {
    bias: __m256i,
    /// By how much each sum moves left.
    left: __m256i,
    scale: HighScale,
    zero_point: __m256i,
    lo: __m256i,
    hi: __m256i,
}

impl<const RAISED: bool> Epilogue<RAISED> {
    /// # Safety
    /// The CPU has the tier; 8 channels from `first` on.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn new(r: &Requantize<'_>, first: usize) -> Self {
        // SAFETY: the caller's promise.
        let load = |values: &[i32]| unsafe { _mm256_loadu_si256(values.as_ptr().add(first).cast()) };
        let given = load(r.shift);
        let shift = _mm256_max_epi32(given, _mm256_set1_epi32(HIGH_SHIFT));
        Epilogue {
            bias: load(r.bias),
            left: _mm256_sub_epi32(shift, given),
            scale: HighScale::new(load(r.multiplier), shift),
            zero_point: _mm256_set1_epi16(r.zero_point as i16),
            lo: _mm256_set1_epi8(r.lo as i8),
            hi: _mm256_set1_epi8(r.hi as i8),
        }
    }

    /// The bytes of 2 or 4 vectors of sums, 8 each. Packs saturate, which the clamp at the end makes good.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn apply<const DOWN: usize, const RIGHT: usize>(&self, sums: [[__m256i; RIGHT]; DOWN]) -> [u64; 4] {
        let at = |i: usize| {
            let sum = sums[i / RIGHT][i % RIGHT];
            self.scale.apply(if RAISED { _mm256_sllv_epi32(sum, self.left) } else { sum })
        };
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
