//! 3x3 and 5x5 for as many channels at a time as a register has lanes.
//!
//! A [`Column`] holds the rows that an output row or a pair of them needs, interleaved word by word, and serves every
//! output that it meets.

use std::ops::Range;

use super::dot::{Channels, Dot, groups};
use super::entries::Depthwise;
use super::finish::Finish;
use super::general::TAPS_MAX;
use super::pack::GROUP;

/// Most rows of a column.
const ROWS: usize = 6;
/// Most words of a column.
const WORDS: usize = 3;
/// The words of a column's rows.
type Column<D> = [D; WORDS];

/// The input rows that a step reads, a block of channels of them, column by column from left to right.
struct Columns<D, C> {
    /// The next column's number.
    x: isize,
    width: usize,
    /// A row at the next column inside the image, or the padding where the row lies outside.
    places: [*const u8; ROWS],
    /// From one column to the next: nothing in the padding.
    steps: [usize; ROWS],
    padding: D,
    channels: C,
}

impl<D: Dot, C: Channels<D>> Columns<D, C> {
    /// The rows from `top` on, of a block of channels from `first` on.
    ///
    /// # Safety
    /// The CPU has the tier of `D`; `x` is the image of `d`'s window and the block's channels are in it; as many bytes at
    /// `padding`, which stay.
    #[inline(always)]
    unsafe fn new<E>(
        x: &[u8],
        d: &Depthwise<'_, E>,
        top: isize,
        first: usize,
        padding: *const u8,
        channels: C,
    ) -> Self {
        let [height, width] = d.window.input;
        let mut columns = Columns {
            x: d.window.start(1, 0),
            width,
            places: [padding; ROWS],
            steps: [0; ROWS],
            // SAFETY: the caller's promise.
            padding: unsafe { D::padding(d.x_zero_point) },
            channels,
        };
        for row in 0..ROWS {
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
    #[inline(always)]
    unsafe fn next<const COUNT: usize>(&mut self) -> Column<D> {
        let mut column = [self.padding; WORDS];
        if (self.x as usize) < self.width {
            for word in 0..COUNT.div_ceil(D::TAPS) {
                let count = D::TAPS.min(COUNT - word * D::TAPS);
                let mut taps = [self.places[0]; TAPS_MAX];
                for (tap, place) in taps.iter_mut().enumerate().take(count) {
                    let row = word * D::TAPS + tap;
                    *place = self.places[row];
                    self.places[row] = self.places[row].wrapping_add(self.steps[row]);
                }
                // SAFETY: the block's channels of pixels of the image, or of the padding.
                column[word] = unsafe { self.channels.interleave(taps, count) };
            }
        }
        self.x += 1;
        column
    }
}

/// The words of a kernel's columns: for an output row one further down, the taps move along by one.
type Weights<D, const KERNEL: usize, const DOWN: usize> = [[Column<D>; DOWN]; KERNEL];

/// # Safety
/// The CPU has the tier of `D`; a block's packed weights at `packed`.
#[inline(always)]
unsafe fn load_weights<D: Dot, const KERNEL: usize, const DOWN: usize>(
    packed: *const u8,
) -> Weights<D, KERNEL, DOWN> {
    let words = KERNEL.div_ceil(D::TAPS);
    // SAFETY: the caller's promise; a group has that many words.
    unsafe {
        let mut weights = [[[D::splat(0); WORDS]; DOWN]; KERNEL];
        for kx in 0..KERNEL {
            let mut before = D::splat(0);
            for word in 0..words {
                let taps = D::load_bytes(packed.add((kx * words + word) * D::WORD));
                weights[kx][0][word] = taps;
                if DOWN == 2 {
                    weights[kx][1][word] = taps.one_later(before);
                    before = taps;
                }
            }
        }
        weights
    }
}

/// Some rows of the output image, `DOWN` x `RIGHT` outputs of a block of channels at a time.
///
/// # Safety
/// As [`run_from`].
#[inline(always)]
pub(super) unsafe fn run<
    D: Dot,
    F: Finish<D>,
    const KERNEL: usize,
    const STRIDE: usize,
    const DOWN: usize,
    const RIGHT: usize,
>(
    x: &[u8],
    d: &Depthwise<'_, F::Of<'_>>,
    rows: Range<usize>,
    out: &mut [F::Out],
    of_block: F::Channels,
) {
    // SAFETY: the caller's promise.
    unsafe { run_from::<D, F, KERNEL, STRIDE, DOWN, RIGHT>(x, d, rows, out, of_block, 0) }
}

/// [`run`] for the blocks of channels from the one numbered `from` on.
///
/// # Safety
/// The CPU has the tier of `D`; the bounds that [`super::run`] asserts; blocks of the channels `of_block`; what the
/// finish asks for.
#[inline(always)]
pub(super) unsafe fn run_from<
    D: Dot,
    F: Finish<D>,
    const KERNEL: usize,
    const STRIDE: usize,
    const DOWN: usize,
    const RIGHT: usize,
>(
    x: &[u8],
    d: &Depthwise<'_, F::Of<'_>>,
    rows: Range<usize>,
    out: &mut [F::Out],
    of_block: F::Channels,
    from: usize,
) {
    let channels = d.window.channels;
    let line = d.window.output[1] * channels;
    let padding = [d.x_zero_point; GROUP];
    for oy in rows.clone().step_by(DOWN) {
        let down = DOWN.min(rows.end - oy);
        let out = &mut out[(oy - rows.start) * line..][..down * line];
        for (first, packed) in groups::<D>(channels, KERNEL * KERNEL.div_ceil(D::TAPS), from) {
            // SAFETY: the block's channels are in the image, the parameters and the output; the packed weights have
            // a group for each group of channels.
            unsafe {
                let source = Columns::new(x, d, d.window.start(0, oy), first, padding.as_ptr(), of_block);
                let weights = load_weights::<D, KERNEL, DOWN>(d.packed.as_ptr().add(packed));
                let finish = F::new(&d.epilogue, first, of_block);
                let frame = Frame { columns: d.window.output[1], channels, down };
                let out = out.as_mut_ptr().add(first);
                slide_row::<D, F, KERNEL, STRIDE, DOWN, RIGHT>(source, &weights, &finish, frame, out);
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

/// A block of channels of the frame's rows, at most `DOWN`, along their whole width.
///
/// # Safety
/// As [`run_from`]; `out` is the first of the channels of the first output.
#[inline(always)]
unsafe fn slide_row<
    D: Dot,
    F: Finish<D>,
    const KERNEL: usize,
    const STRIDE: usize,
    const DOWN: usize,
    const RIGHT: usize,
>(
    mut source: Columns<D, F::Channels>,
    weights: &Weights<D, KERNEL, DOWN>,
    finish: &F,
    frame: Frame,
    out: *mut F::Out,
) {
    // SAFETY: the caller's promise; an output is written only where it is one.
    unsafe {
        let Frame { columns, channels, down } = frame;
        let kept = KERNEL - STRIDE;
        let mut start = finish.start();
        for column in weights {
            for word in 0..KERNEL.div_ceil(D::TAPS) {
                start = D::begin(start, column[0][word]);
            }
        }
        // KERNEL + (RIGHT - 1) * STRIDE columns are in use.
        let mut window = [[D::splat(0); WORDS]; 7];
        for column in 0..kept {
            window[column] = next_column::<D, _, KERNEL, STRIDE, DOWN>(&mut source);
        }
        let mut ox = 0;
        while ox < columns {
            for column in kept..kept + RIGHT * STRIDE {
                window[column] = next_column::<D, _, KERNEL, STRIDE, DOWN>(&mut source);
            }
            let mut sums = [[start; RIGHT]; DOWN];
            for kx in 0..KERNEL {
                for word in 0..((DOWN - 1) * STRIDE + KERNEL).div_ceil(D::TAPS) {
                    for row in 0..DOWN {
                        for right in 0..RIGHT {
                            let values = window[right * STRIDE + kx][word];
                            sums[row][right] = sums[row][right].dot(values, weights[kx][row][word]);
                        }
                    }
                }
            }
            finish.write(sums, |row, right| {
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
unsafe fn next_column<D: Dot, C: Channels<D>, const KERNEL: usize, const STRIDE: usize, const DOWN: usize>(
    source: &mut Columns<D, C>,
) -> Column<D> {
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
