//! Depthwise convolution of any kernel, stride and dilation: for each output pixel the places of its taps, which all
//! channels share, then the groups of channels one after the other.

use std::ops::Range;

use super::entries::Depthwise;
use super::pack::{GROUP, Lines, first_channel};
use crate::geometry::Window;

/// What a tier does with the channels of a group.
pub(super) trait GroupDot {
    /// An int32 sum a channel.
    type Sums: Copy;
    /// Channels of a group, at most [`GROUP`].
    const LANES: usize;
    /// Taps of a word of packed weights; at most [`TAPS_MAX`].
    const TAPS: usize;
    /// Bytes of a word of packed weights.
    const WORD: usize;

    /// The sums' first values, from `channels` values.
    ///
    /// # Safety
    /// The tier's CPU features; `channels` values at `bias`, at most `LANES`.
    unsafe fn start(bias: *const i32, channels: usize) -> Self::Sums;

    /// Adds the products of a word's taps.
    ///
    /// # Safety
    /// The tier's CPU features; `channels` values, at most `LANES`, at each of the first `TAPS` places; a word at `weights`.
    unsafe fn multiply_add(
        sums: Self::Sums,
        taps: [*const u8; TAPS_MAX],
        weights: *const u8,
        channels: usize,
    ) -> Self::Sums;
}

/// What becomes of the sums of a group's channels.
pub(super) trait GroupFinish<L: GroupDot> {
    /// An element of the output.
    type Out;

    /// What each channel's sum begins with.
    fn start(&self) -> &[i32];

    /// Writes the results of `channels` channels from `first` on.
    ///
    /// # Safety
    /// The tier's CPU features; `first + channels` parameters; room for `channels` elements, at most `LANES`, at `out`.
    unsafe fn finish(&self, sums: L::Sums, first: usize, channels: usize, out: *mut Self::Out);
}

/// The most taps that a word holds.
pub(super) const TAPS_MAX: usize = 4;
/// Places of taps that are listed at a time: whole words for every tier.
const LISTED: usize = 64;
/// Groups whose sums wait while the list of taps is made anew.
const GROUPS: usize = 16;

/// Some rows of the output image.
///
/// # Safety
/// The tier's CPU features, and the bounds that [`super::run`] asserts.
#[inline(always)]
pub(super) unsafe fn run<L: GroupDot, E: GroupFinish<L>>(
    x: &[u8],
    d: &Depthwise<'_, E>,
    rows: Range<usize>,
    out: &mut [E::Out],
) {
    let columns = d.window.output[1];
    for (row, oy) in rows.enumerate() {
        for ox in 0..columns {
            let at = (row * columns + ox) * d.window.channels;
            let pixel = &mut out[at..][..d.window.channels];
            // SAFETY: the caller's promise; the slice is one pixel.
            unsafe { run_pixel::<L, E>(x, d, [oy, ox], pixel) };
        }
    }
}

/// One output pixel.
///
/// # Safety
/// As [`run`]; `pixel` has one element a channel.
#[inline(always)]
unsafe fn run_pixel<L: GroupDot, E: GroupFinish<L>>(
    x: &[u8],
    d: &Depthwise<'_, E>,
    output: [usize; 2],
    pixel: &mut [E::Out],
) {
    let channels = d.window.channels;
    let lanes = channels.min(L::LANES);
    let words = slots::<L>(d.window.kernel) / L::TAPS;
    let padding = [d.x_zero_point; GROUP];
    let mut taps = Taps::new(x, d.window, output, &padding);
    let groups = channels.div_ceil(L::LANES);
    for block in (0..groups).step_by(GROUPS) {
        let block_groups = GROUPS.min(groups - block);
        // SAFETY: a group's first channel has `lanes` channels from it on, for bias and output alike. A listed place
        // has one byte a channel from it on, or 16 of padding, which a step of 0 keeps. The packed weights hold
        // `words` words a group.
        unsafe {
            let start = d.epilogue.start().as_ptr();
            let mut sums = [L::start(start, lanes); GROUPS];
            for group in 0..block_groups {
                let first = first_channel(block + group, channels, L::LANES);
                sums[group] = L::start(start.add(first), lanes);
            }
            for word in (0..words).step_by(LISTED / L::TAPS) {
                let listed_words = (words - word).min(LISTED / L::TAPS);
                taps.list::<L>(word * L::TAPS, listed_words * L::TAPS);
                for w in 0..listed_words {
                    let places = &taps.places[w * L::TAPS..][..L::TAPS];
                    let inside = &taps.inside[w * L::TAPS..][..L::TAPS];
                    let weights = d.packed.as_ptr().add((block * words + word + w) * L::WORD);
                    for group in 0..block_groups {
                        let first = first_channel(block + group, channels, L::LANES);
                        let mut of_group = [padding.as_ptr(); TAPS_MAX];
                        for tap in 0..L::TAPS {
                            of_group[tap] = places[tap].add(first & inside[tap]);
                        }
                        let weights = weights.add(group * words * L::WORD);
                        sums[group] = L::multiply_add(sums[group], of_group, weights, lanes);
                    }
                }
            }
            for group in 0..block_groups {
                let first = first_channel(block + group, channels, L::LANES);
                d.epilogue.finish(sums[group], first, lanes, pixel.as_mut_ptr().add(first));
            }
        }
    }
}

/// Slots for taps in the packed weights of a group, padding of words included.
#[inline(always)]
fn slots<L: GroupDot>(kernel: [usize; 2]) -> usize {
    let lines = Lines::of(kernel);
    lines.count * lines.length.next_multiple_of(L::TAPS)
}

/// The places of some taps of one output pixel, in the order of the packed weights.
struct Taps<'a> {
    x: &'a [u8],
    window: Window,
    output: [usize; 2],
    padding: &'a [u8; GROUP],
    /// The first slot and the number of those listed.
    listed: Range<usize>,
    /// The first channel of the input pixel, or the padding.
    places: [*const u8; LISTED],
    /// All ones for an input pixel, 0 for the padding, which is the same for all channels.
    inside: [usize; LISTED],
}

impl<'a> Taps<'a> {
    #[inline(always)]
    fn new(x: &'a [u8], window: Window, output: [usize; 2], padding: &'a [u8; GROUP]) -> Self {
        let (places, inside) = ([padding.as_ptr(); LISTED], [0; LISTED]);
        Taps { x, window, output, padding, listed: 0..0, places, inside }
    }

    /// Lists the places of `count` slots from `first` on, unless they are listed already.
    #[inline(always)]
    fn list<L: GroupDot>(&mut self, first: usize, count: usize) {
        if self.listed == (first..first + count) {
            return;
        }
        self.listed = first..first + count;
        let window = self.window;
        let lines = Lines::of(window.kernel);
        let slots = lines.length.next_multiple_of(L::TAPS);
        let [mut line, mut place] = [first / slots, first % slots];
        for slot in 0..count {
            let [ky, kx] = lines.tap(line, place);
            let y = window.start(0, self.output[0]) + (ky * window.dilation[0]) as isize;
            let x = window.start(1, self.output[1]) + (kx * window.dilation[1]) as isize;
            let [height, width] = window.input;
            let is_tap = line < lines.count && place < lines.length;
            if is_tap && (y as usize) < height && (x as usize) < width {
                self.places[slot] = self.x[window.pixel(y as usize, x as usize)..].as_ptr();
                self.inside[slot] = usize::MAX;
            } else {
                self.places[slot] = self.padding.as_ptr();
                self.inside[slot] = 0;
            }
            place += 1;
            if place == slots {
                (line, place) = (line + 1, 0);
            }
        }
    }
}
