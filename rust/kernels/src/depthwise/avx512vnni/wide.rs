//! 3x3 for 32 channels at a time, each register with 8 of them of two neighbouring outputs.
//!
//! A [`Pair`] holds two columns of the input, one in each half of its registers: unpacking the bytes of 4 rows, then
//! the words, leaves 4 taps a lane with no permutation across lanes. Outputs at x and x + 1 see the same tap in two
//! columns that are one stride apart, so the halves of a register are two such columns; those that straddle two pairs
//! come from both by one alignment.

use std::arch::x86_64::*;
use std::array::from_fn;
use std::ops::Range;

use super::fours::WORD;
use crate::depthwise::entries::Depthwise;
use crate::depthwise::finish::Scale;
use crate::depthwise::pack::GROUP;
use crate::requantize::{Clamp, FloatScale, Requantize};
use crate::simd::{Vector, Zmm};

/// A convolution whose results are bytes.
pub(super) type ByteDepthwise<'a> = Depthwise<'a, Requantize<'a>>;

/// Channels that go through together: two groups.
pub(super) const WIDE: usize = 2 * GROUP;
/// Registers of a block: 8 channels each, of two columns.
const REGISTERS: usize = 4;
/// Bytes of input that a strip of rows reads: a part of the second-level cache.
const STRIP: usize = 1 << 18;
/// Pairs of outputs that a step makes in a row.
const PAIRS: usize = 2;
/// Outputs that a step makes in a row; a row has at least so many.
pub(super) const STEP: usize = 2 * PAIRS;
/// Columns of the kernel; a column is one word.
const KERNEL: usize = 3;

/// Two columns of 4 rows, 8 channels a register: in the lower half channels 4j..4j+4 and 16+4j..20+4j of the left
/// column, in the upper half of the right one.
type Pair = [__m512i; REGISTERS];

/// What a block of channels needs beside its input, each register in the order of a [`Pair`].
struct Block<const DOWN: usize> {
    /// For an output row further down, the taps move along by one.
    weights: [[Pair; DOWN]; KERNEL],
    bias: Pair,
    scale: [FloatScale<Zmm>; REGISTERS],
    clamp: Clamp<Zmm>,
}

impl<const DOWN: usize> Block<DOWN> {
    /// # Safety
    /// The CPU has the tier; 32 channels from `first` on; two groups of packed weights at `packed`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn new(r: &Requantize<'_>, first: usize, packed: *const u8) -> Block<DOWN> {
        // SAFETY: the caller's promise.
        unsafe {
            let of_channels = |values: &[i32]| spread(values.as_ptr().add(first).cast(), GROUP * 4);
            let (multiplier, shift) = (of_channels(r.multiplier), of_channels(r.shift));
            let mut weights = [[[_mm512_setzero_si512(); REGISTERS]; DOWN]; KERNEL];
            for kx in 0..KERNEL {
                weights[kx][0] = spread(packed.add(kx * WORD), KERNEL * WORD);
                if DOWN == 2 {
                    weights[kx][1] = weights[kx][0].map(|taps| _mm512_slli_epi32::<8>(taps));
                }
            }
            Block {
                weights,
                bias: of_channels(r.bias),
                scale: from_fn(|i| Scale::new(Zmm(multiplier[i]), Zmm(shift[i]), r.zero_point)),
                clamp: Clamp::new(0, r.lo, r.hi),
            }
        }
    }
}

/// Brings 16 and 16 lanes of 32 channels into the order of a [`Pair`].
///
/// # Safety
/// The CPU has the tier; 64 bytes at `lanes`, and at `distance` bytes from it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn spread(lanes: *const u8, distance: usize) -> Pair {
    // SAFETY: the caller's promise.
    let (low, high) =
        unsafe { (_mm512_loadu_si512(lanes.cast()), _mm512_loadu_si512(lanes.add(distance).cast())) };
    let four = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 0, 1, 2, 3, 16, 17, 18, 19);
    [0, 4, 8, 12]
        .map(|from| _mm512_permutex2var_epi32(low, _mm512_add_epi32(four, _mm512_set1_epi32(from)), high))
}

/// The input rows that a step reads, 32 channels of them.
struct InputRows {
    /// The first pixel of a row of the image, or the padding where the row lies outside.
    places: [*const u8; 4],
    /// All ones for a row of the image, 0 for the padding, which has no further pixels.
    inside: [usize; 4],
    width: usize,
    channels: usize,
    padding: *const u8,
}

impl InputRows {
    /// The rows from `top` on, of 32 channels from `first` on.
    ///
    /// # Safety
    /// `x` is the image of `d`'s window and `first + 32` channels are in it; 32 bytes at `padding`, which stay.
    unsafe fn new(
        x: &[u8],
        d: &ByteDepthwise<'_>,
        top: isize,
        first: usize,
        padding: *const u8,
    ) -> InputRows {
        let [height, width] = d.window.input;
        let (places, inside) = ([padding; 4], [0; 4]);
        let mut rows = InputRows { places, inside, width, channels: d.window.channels, padding };
        for row in 0..4 {
            let y = top + row as isize;
            if (y as usize) < height {
                // SAFETY: a row of the image, and a channel of its first pixel.
                rows.places[row] = unsafe { x.as_ptr().add(d.window.pixel(y as usize, 0) + first) };
                rows.inside[row] = usize::MAX;
            }
        }
        rows
    }

    /// Whether all rows are the image's, and the columns from `x` to `last` too.
    #[inline(always)]
    fn hold(&self, x: isize, last: isize) -> bool {
        self.inside == [usize::MAX; 4] && x >= 0 && last < self.width as isize
    }

    /// A pixel of each row; the padding where it lies outside the image, unless nothing does: `INSIDE`.
    #[inline(always)]
    fn column<const INSIDE: bool>(&self, x: isize) -> [*const u8; 4] {
        if INSIDE {
            let offset = x as usize * self.channels;
            self.places.map(|place| place.wrapping_add(offset))
        } else if (x as usize) < self.width {
            let offset = x as usize * self.channels;
            std::array::from_fn(|row| self.places[row].wrapping_add(offset & self.inside[row]))
        } else {
            [self.padding; 4]
        }
    }

    /// The columns `x` and `x + STRIDE` of the rows that the stride needs: 4, or 3 and nothing in particular.
    ///
    /// # Safety
    /// The promise of [`InputRows::new`]; where `INSIDE`, the rows needed and both columns are the image's.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn pair<const STRIDE: usize, const INSIDE: bool>(&self, x: isize) -> Pair {
        let (left, right) = (self.column::<INSIDE>(x), self.column::<INSIDE>(x + STRIDE as isize));
        // SAFETY: 32 channels of a pixel of the image, or of the padding.
        let row = |row: usize| unsafe {
            let left = _mm512_castsi256_si512(_mm256_loadu_si256(left[row].cast()));
            _mm512_inserti64x4::<1>(left, _mm256_loadu_si256(right[row].cast()))
        };
        let [first, second, third] = [row(0), row(1), row(2)];
        let fourth = if STRIDE == 1 { row(3) } else { third };
        let [top_low, top_high] = [_mm512_unpacklo_epi8(first, second), _mm512_unpackhi_epi8(first, second)];
        let [low, high] = [_mm512_unpacklo_epi8(third, fourth), _mm512_unpackhi_epi8(third, fourth)];
        [
            _mm512_unpacklo_epi16(top_low, low),
            _mm512_unpackhi_epi16(top_low, low),
            _mm512_unpacklo_epi16(top_high, high),
            _mm512_unpackhi_epi16(top_high, high),
        ]
    }
}

/// The first channels of some rows of the output image, whole blocks of 32, `DOWN` rows at a time.
///
/// # Safety
/// The CPU has the tier; the bounds that [`crate::depthwise::run`] asserts; float32 is exact; rows of at least
/// `STEP` outputs.
#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) unsafe fn run<const STRIDE: usize, const DOWN: usize>(
    x: &[u8],
    d: &ByteDepthwise<'_>,
    rows: Range<usize>,
    out: &mut [u8],
) {
    let channels = d.window.channels;
    let line = d.window.output[1] * channels;
    let padding = [d.x_zero_point; WIDE];
    // The blocks of a strip of rows follow each other while its input is in the cache.
    let input_line = d.window.input[1] * channels * STRIDE;
    let strip = (STRIP / input_line.max(1)).next_multiple_of(DOWN).max(DOWN);
    for top in rows.clone().step_by(strip) {
        for block in 0..channels / WIDE {
            let first = block * WIDE;
            // SAFETY: `first + 32` channels are in the image, the parameters and the output, their two groups are not
            // the last one that overlaps; a row of the output is written only where it is one of `rows`.
            unsafe {
                let packed = d.packed.as_ptr().add(block * 2 * KERNEL * WORD);
                let block = Block::<DOWN>::new(&d.epilogue, first, packed);
                for oy in (top..rows.end.min(top + strip)).step_by(DOWN) {
                    let source = InputRows::new(x, d, d.window.start(0, oy), first, padding.as_ptr());
                    let out = out.as_mut_ptr().add((oy - rows.start) * line + first);
                    run_row::<STRIDE, DOWN>(&source, &block, d, DOWN.min(rows.end - oy), out);
                }
            }
        }
    }
}

/// A block of `down` output rows, at most `DOWN`, along their whole width.
///
/// # Safety
/// As [`run`]; `out` is the block's first channel of the first output.
#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn run_row<const STRIDE: usize, const DOWN: usize>(
    source: &InputRows,
    block: &Block<DOWN>,
    d: &ByteDepthwise<'_>,
    down: usize,
    out: *mut u8,
) {
    let (columns, channels) = (d.window.output[1], d.window.channels);
    // A row that is none is written where the first one is, before it.
    let line = if down == DOWN { columns * channels } else { 0 };
    // SAFETY: the caller's promise; `ox` is at most the 4th last column.
    unsafe {
        let mut left = source.pair::<STRIDE, false>(d.window.start(1, 0));
        for ox in (0..columns).step_by(STEP) {
            let mut ox = ox;
            if ox + STEP > columns {
                // The last step begins early: what it writes a second time is the same.
                ox = columns - STEP;
                left = source.pair::<STRIDE, false>(d.window.start(1, ox));
            }
            let (x, place) = (d.window.start(1, ox), out.add(ox * channels));
            // The last column that the step loads.
            let last = x + ((STEP + 1) * STRIDE) as isize;
            left = if source.hold(x, last) {
                step::<STRIDE, DOWN, true>(source, block, left, x, place, line)
            } else {
                step::<STRIDE, DOWN, false>(source, block, left, x, place, line)
            };
        }
    }
}

/// `DOWN` rows of 4 outputs, whose columns begin at `x`, where the pair `left` is. Returns the pair at which the next
/// 4 begin.
///
/// # Safety
/// As [`run_row`] and [`InputRows::pair`]; 4 outputs at `place` and, for a second row, `line` bytes from it.
#[inline(always)]
unsafe fn step<const STRIDE: usize, const DOWN: usize, const INSIDE: bool>(
    source: &InputRows,
    block: &Block<DOWN>,
    left: Pair,
    x: isize,
    place: *mut u8,
    line: usize,
) -> Pair {
    // SAFETY: the caller's promise.
    unsafe {
        // The pairs of outputs begin 2 * STRIDE columns apart; at stride 2, the columns between are pairs of their own.
        let next = |columns: usize| source.pair::<STRIDE, INSIDE>(x + columns as isize);
        let outer = [left, next(2 * STRIDE), next(4 * STRIDE)];
        let between = if STRIDE == 2 { [next(1), next(5)] } else { [left; 2] };
        // Not a loop, which the compiler would leave rolled, with the pairs in memory.
        let low = words::<STRIDE, DOWN, 0>(block, &outer, &between);
        let high = words::<STRIDE, DOWN, 2>(block, &outer, &between);
        for row in (0..DOWN).rev() {
            for pair in 0..PAIRS {
                let ([x0, x1], [x2, x3]) = (low[row][pair], high[row][pair]);
                let bytes = block.clamp.bytes([x0, x1, x2, x3]).0;
                let place = place.add(row * line + 2 * pair * source.channels);
                _mm256_storeu_si256(place.cast(), _mm512_castsi512_si256(bytes));
                let right = _mm512_extracti64x4_epi64::<1>(bytes);
                _mm256_storeu_si256(place.add(source.channels).cast(), right);
            }
        }
        outer[PAIRS]
    }
}

/// Two registers of each pair of outputs, from `REGISTER` on, requantized but for the clamp.
///
/// # Safety
/// The CPU has the tier.
#[inline(always)]
unsafe fn words<const STRIDE: usize, const DOWN: usize, const REGISTER: usize>(
    block: &Block<DOWN>,
    outer: &[Pair; PAIRS + 1],
    between: &[Pair; PAIRS],
) -> [[[Zmm; 2]; PAIRS]; DOWN] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut scaled = [[[Zmm::splat(0); 2]; PAIRS]; DOWN];
        for of_two in 0..2 {
            let register = REGISTER + of_two;
            let taps: [[__m512i; KERNEL]; PAIRS] = std::array::from_fn(|pair| {
                let [left, right] = [outer[pair][register], outer[pair + 1][register]];
                // The upper half of the left pair, then the lower one of the right pair.
                let middle = _mm512_alignr_epi64::<4>(right, left);
                if STRIDE == 1 { [left, middle, right] } else { [left, between[pair][register], middle] }
            });
            let mut sums = [[block.bias[register]; PAIRS]; DOWN];
            for kx in 0..KERNEL {
                for row in 0..DOWN {
                    for pair in 0..PAIRS {
                        let weights = block.weights[kx][row][register];
                        sums[row][pair] = _mm512_dpbusd_epi32(sums[row][pair], taps[pair][kx], weights);
                    }
                }
            }
            for row in 0..DOWN {
                for pair in 0..PAIRS {
                    scaled[row][pair][of_two] = block.scale[register].apply(Zmm(sums[row][pair]));
                }
            }
        }
        scaled
    }
}
