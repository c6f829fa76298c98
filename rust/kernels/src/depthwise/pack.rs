//! How weights are packed.
//!
//! A *word* is a few taps of the channels of a group, channel by channel, the taps of a channel side by side as the
//! tier's multiply instruction takes them, or apart; what a word has no tap for is 0. Taps go down the kernel's columns, each of
//! which begins with a new word; a kernel of one row is one line that lies down.

/// Channels that go through together at most.
pub const GROUP: usize = 16;

/// How a tier's kernels have their weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    /// Taps in a word.
    pub(crate) taps: usize,
    /// Bytes of a weight: 1, or 2 where it is widened to int16.
    pub(super) bytes: usize,
    /// Channels of a group: as many as a register of sums has lanes.
    pub(super) lanes: usize,
    /// Whether rows of all channels go through together: the words have all channels, then from the first one on again as many
    /// as there are lanes, so that a register of weights can begin with any channel.
    pub(super) of_rows: bool,
    /// Whether a word has its first tap of all channels, then the next, rather than all taps of the first channel.
    pub(super) is_apart: bool,
}

impl Packing {
    /// What tells this packing from the others of the tier.
    pub fn name(&self) -> &'static str {
        if self.of_rows { "depthwise-rows" } else { "depthwise" }
    }

    /// Words of a group.
    fn words(&self, kernel: [usize; 2]) -> usize {
        let lines = Lines::of(kernel);
        lines.count.checked_mul(lines.length.div_ceil(self.taps)).expect("kh * kw is a number")
    }

    /// Groups of channels, and the lanes of their words.
    fn groups(&self, channels: usize) -> (usize, usize) {
        if self.of_rows { (1, channels + self.lanes) } else { (channels.div_ceil(self.lanes), self.lanes) }
    }

    /// The bytes of the packed weights.
    pub fn packed_len(&self, channels: usize, kernel: [usize; 2]) -> usize {
        let (groups, lanes) = self.groups(channels);
        let words = groups.checked_mul(self.words(kernel));
        let length = words.and_then(|words| words.checked_mul(lanes * self.taps * self.bytes));
        length.expect("the packed length is a number")
    }

    /// Packs weights `[channels, kh, kw]`. Panics where a length is wrong; `out` has [`Packing::packed_len`] bytes.
    pub fn pack(&self, weights: &[i8], channels: usize, kernel: [usize; 2], out: &mut [u8]) {
        let taps = kernel[0].checked_mul(kernel[1]).expect("kh * kw is a number");
        assert_eq!(Some(weights.len()), channels.checked_mul(taps), "the weights' length");
        assert_eq!(out.len(), self.packed_len(channels, kernel), "the packed weights' length");
        out.fill(0);
        if weights.is_empty() {
            return;
        }
        let (_, lanes) = self.groups(channels);
        let word = lanes * self.taps * self.bytes;
        let filled = if self.of_rows { lanes } else { lanes.min(channels) };
        for (group, out) in out.chunks_exact_mut(self.words(kernel) * word).enumerate() {
            let first = if self.of_rows { 0 } else { first_channel(group, channels, lanes) };
            let lines = Lines::of(kernel);
            let mut slot = 0;
            for line in 0..lines.count {
                for place in 0..lines.length {
                    let [ky, kx] = lines.tap(line, place);
                    for lane in 0..filled {
                        let channel = (first + lane) % channels;
                        let weight = weights[channel * taps + ky * kernel[1] + kx];
                        let tap = slot % self.taps;
                        let place = if self.is_apart { tap * lanes + lane } else { lane * self.taps + tap };
                        let at = slot / self.taps * word + place * self.bytes;
                        match self.bytes {
                            1 => out[at] = weight as u8,
                            _ => out[at..at + 2].copy_from_slice(&i16::from(weight).to_le_bytes()),
                        }
                    }
                    slot += 1;
                }
                slot = slot.next_multiple_of(self.taps);
            }
        }
    }
}

/// The lines of a kernel's taps: its columns, or its only row.
#[derive(Clone, Copy)]
pub(super) struct Lines {
    /// How many there are.
    pub(super) count: usize,
    /// Taps of each.
    pub(super) length: usize,
    /// Whether the line is a row.
    pub(super) lie: bool,
}

impl Lines {
    #[inline(always)]
    pub(super) fn of(kernel: [usize; 2]) -> Lines {
        let [kh, kw] = kernel;
        if kh == 1 {
            Lines { count: 1, length: kw, lie: true }
        } else {
            Lines { count: kw, length: kh, lie: false }
        }
    }

    /// The row and column of a tap.
    #[inline(always)]
    pub(super) fn tap(self, line: usize, place: usize) -> [usize; 2] {
        if self.lie { [line, place] } else { [place, line] }
    }
}

/// The first channel of a group of so many lanes.
#[inline(always)]
pub(super) fn first_channel(group: usize, channels: usize, lanes: usize) -> usize {
    (group * lanes).min(channels.saturating_sub(lanes))
}
