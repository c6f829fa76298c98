//! How weights are packed.
//!
//! A *word* is a few taps of the 16 channels of a group, channel by channel, the taps of a channel side by side as the
//! tier's multiply instruction takes them; what a word has no tap for is 0. Taps go down the kernel's columns, each of
//! which begins with a new word; a kernel of one row is one line that lies down.

/// Channels that go through together.
pub const GROUP: usize = 16;

/// How a tier packs its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packing {
    /// Taps in a word.
    pub(crate) taps: usize,
    /// Bytes of a weight: 1, or 2 where it is widened to int16.
    pub(super) bytes: usize,
}

impl Packing {
    /// Bytes of a word.
    pub(super) const fn word(&self) -> usize {
        GROUP * self.taps * self.bytes
    }

    /// Words of a group.
    pub(super) fn words(&self, kernel: [usize; 2]) -> usize {
        let lines = Lines::of(kernel);
        lines.count.checked_mul(lines.length.div_ceil(self.taps)).expect("kh * kw is a number")
    }

    pub(super) fn packed_len(&self, channels: usize, kernel: [usize; 2]) -> usize {
        let length = channels.div_ceil(GROUP).checked_mul(self.words(kernel));
        length.and_then(|words| words.checked_mul(self.word())).expect("the packed length is a number")
    }

    pub(super) fn pack(&self, weights: &[i8], channels: usize, kernel: [usize; 2], out: &mut [u8]) {
        let taps = kernel[0].checked_mul(kernel[1]).expect("kh * kw is a number");
        assert_eq!(Some(weights.len()), channels.checked_mul(taps), "the weights' length");
        assert_eq!(out.len(), self.packed_len(channels, kernel), "the packed weights' length");
        out.fill(0);
        if weights.is_empty() {
            return;
        }
        for (group, out) in out.chunks_exact_mut(self.words(kernel) * self.word()).enumerate() {
            let first = first_channel(group, channels);
            let lines = Lines::of(kernel);
            let mut slot = 0;
            for line in 0..lines.count {
                for place in 0..lines.length {
                    let [ky, kx] = lines.tap(line, place);
                    for lane in 0..GROUP.min(channels) {
                        let weight = weights[(first + lane) * taps + ky * kernel[1] + kx];
                        let at = slot / self.taps * self.word()
                            + (lane * self.taps + slot % self.taps) * self.bytes;
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

/// The first channel of a group.
#[inline(always)]
pub(super) fn first_channel(group: usize, channels: usize) -> usize {
    (group * GROUP).min(channels.saturating_sub(GROUP))
}
