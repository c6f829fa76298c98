//! The layout of packed weights.
//!
//! A *word* is a few taps of the 16 channels of a group, channel by channel, the taps of a channel side by side as the
//! tier's multiply instruction takes them; what a word has no tap for is 0. Taps go down the columns of the kernel.
//! The kernels with code of their own (3x3, 5x5) begin each column with a new word; in the others, words run on.

use super::GROUP;

/// How a tier packs its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Taps in a word.
    pub(super) taps: usize,
    /// Bytes of a weight: 1, or 2 where it is widened to int16.
    pub(super) bytes: usize,
}

impl Layout {
    /// Bytes of a word.
    pub(super) const fn word(&self) -> usize {
        GROUP * self.taps * self.bytes
    }

    /// Words of a group.
    pub(super) fn words(&self, kernel: [usize; 2]) -> usize {
        if starts_words_at_columns(kernel) {
            kernel[1] * kernel[0].div_ceil(self.taps)
        } else {
            kernel[0].checked_mul(kernel[1]).expect("kh * kw is a number").div_ceil(self.taps)
        }
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
            let mut slot = 0;
            for kx in 0..kernel[1] {
                for ky in 0..kernel[0] {
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
                if starts_words_at_columns(kernel) {
                    slot = slot.next_multiple_of(self.taps);
                }
            }
        }
    }
}

/// Whether each column of the kernel begins with a new word.
pub(super) fn starts_words_at_columns(kernel: [usize; 2]) -> bool {
    kernel == [3, 3] || kernel == [5, 5]
}

/// The first channel of a group.
#[inline(always)]
pub(super) fn first_channel(group: usize, channels: usize) -> usize {
    (group * GROUP).min(channels.saturating_sub(GROUP))
}
