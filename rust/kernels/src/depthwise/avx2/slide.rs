//! 3x3 and 5x5 for 8 channels at a time.
//!
//! A [`Column`] holds the rows that an output row or a pair of them needs, interleaved in pairs and widened, and
//! serves every output that it meets.

use std::arch::x86_64::*;
use std::ops::Range;

use super::eight::{Eight, TAPS, WORD, halves};
use crate::depthwise::entries::Depthwise;
use crate::depthwise::pack::GROUP;

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
    unsafe fn new<E>(
        x: &[u8],
        d: &Depthwise<'_, E>,
        top: isize,
        first: usize,
        padding: *const u8,
    ) -> Columns {
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
/// The CPU has the tier; the bounds that [`crate::depthwise::run`] asserts; [`super::have_halves`]; what the epilogue
/// asks for.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn run<
    const KERNEL: usize,
    const STRIDE: usize,
    const DOWN: usize,
    const RIGHT: usize,
    E: Eight,
>(
    x: &[u8],
    d: &Depthwise<'_, E::Of<'_>>,
    rows: Range<usize>,
    out: &mut [E::Out],
) {
    let channels = d.window.channels;
    let line = d.window.output[1] * channels;
    let group_bytes = KERNEL * KERNEL.div_ceil(TAPS) * WORD;
    let padding = [d.x_zero_point; GROUP];
    for oy in rows.clone().step_by(DOWN) {
        let down = DOWN.min(rows.end - oy);
        let out = &mut out[(oy - rows.start) * line..][..down * line];
        for (first, packed) in halves(channels, group_bytes) {
            // SAFETY: `first + 8` channels are in the image, the parameters and the output; the packed weights have
            // a group for each group of channels, in two halves.
            unsafe {
                let source = Columns::new(x, d, d.window.start(0, oy), first, padding.as_ptr());
                let weights = load_weights::<KERNEL, DOWN>(d.packed.as_ptr().add(packed));
                let epilogue = E::new(&d.epilogue, first);
                let frame = Frame { columns: d.window.output[1], channels, down };
                let out = out.as_mut_ptr().add(first);
                slide_row::<KERNEL, STRIDE, DOWN, RIGHT, E>(source, &weights, &epilogue, frame, out);
            }
        }
    }
}

/// The output rows that are made together.
struct Frame {
    /// Outputs of a row.
    columns: usize,
    channels: usize,
    /// Rows.
    down: usize,
}

/// 8 channels of the frame's rows, at most `DOWN`, along their whole width.
///
/// # Safety
/// As [`run`]; `out` is the first of the channels of the first output.
#[inline(always)]
unsafe fn slide_row<
    const KERNEL: usize,
    const STRIDE: usize,
    const DOWN: usize,
    const RIGHT: usize,
    E: Eight,
>(
    mut source: Columns,
    weights: &Weights<KERNEL, DOWN>,
    epilogue: &E,
    frame: Frame,
    out: *mut E::Out,
) {
    // SAFETY: the caller's promise; an output is written only where it is one.
    unsafe {
        let Frame { columns, channels, down } = frame;
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
            let mut sums = [[epilogue.start(); RIGHT]; DOWN];
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
            epilogue.write(sums, |row, right| {
                let is_there = row < down && ox + right < columns;
                is_there.then(|| out.add((row * columns + ox + right) * channels))
            });
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
