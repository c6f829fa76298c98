//! How the columns that a kernel meets lie in a strip.
//!
//! A *column* holds the input rows that an output row needs at one place, interleaved word by word, a register of each word
//! for as many lanes; a kernel of one row has words of neighbouring taps instead. The columns that outputs meet with the same
//! tap are one stride apart: a strip has a line for each remainder that the taps' distances leave by the stride, so
//! that neighbouring outputs find theirs side by side, and columns that no output meets are not made.

use super::pack::{Lines, Packing};
use crate::geometry::Window;

/// Bytes of a strip: half of the smallest first-level cache.
pub(super) const BYTES: usize = 1 << 14;
/// Bytes of a lane of a word.
pub(super) const LANE: usize = 4;
/// Outputs that go through together, where there are as many.
pub(super) const RIGHT: usize = 4;
/// Rows of a kernel at most.
const ROWS: usize = 32;
/// Distance at which no strip holds two columns.
const FARTHEST: usize = 1 << 31;
/// Columns that an output meets at most.
const COLUMNS: usize = 64;

/// Channels below which rows take a convolution: fewer than any tier's registers have lanes.
pub(super) const ROW_CHANNELS: usize = 8;

impl Packing {
    /// Whether the kernels of rows take the convolution by weights of this packing.
    pub(super) fn takes_rows(&self, window: &Window) -> bool {
        let channels = window.channels;
        (1..ROW_CHANNELS).contains(&channels) && Steps::new(window, self.taps, channels, self.lanes).is_some()
    }
}

/// The lines of a strip, and where an output's columns lie in them.
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    expect(dead_code, reason = "no tier of this architecture asks")
)]
pub(super) struct Steps {
    /// Words of a column.
    pub(super) words: usize,
    /// Lanes of a pixel.
    pub(super) width: usize,
    /// Outputs of a piece.
    pub(super) piece: usize,
    /// Whether the last word of a column has room for one more row: for that of the output row below.
    pub(super) is_paired: bool,
    /// Lanes of a word of a line.
    length: usize,
    /// Pixels of a line beyond one for each output.
    beyond: usize,
    /// The pixel that each line begins with.
    firsts: [usize; COLUMNS],
    lines: usize,
    /// Where the first output's columns lie, in bytes.
    columns: [u32; COLUMNS],
    count: usize,
}

#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    expect(dead_code, reason = "no tier of this architecture asks")
)]
impl Steps {
    /// For pixels of so many lanes; `None` where a strip is too short for a few registers of outputs, or the kernel too large.
    #[inline(always)]
    pub(super) fn new(window: &Window, taps: usize, width: usize, lanes: usize) -> Option<Steps> {
        let (lines, stride) = (Lines::of(window.kernel), window.stride[1]);
        let words = lines.length.div_ceil(taps);
        let (words, count, distance) = if lines.lie {
            (1, words, window.dilation[1].checked_mul(taps).filter(|&distance| distance < FARTHEST)?)
        } else {
            (words, lines.count, window.dilation[1])
        };
        if window.kernel[0] > ROWS || count > COLUMNS {
            return None;
        }
        let beyond = (count - 1).checked_mul(distance)? / stride;
        // A column's line, at first.
        let (mut columns, mut firsts, mut found) = ([0; COLUMNS], [0; COLUMNS], 0);
        let mut first = 0;
        for column in &mut columns[..count] {
            let line = firsts[..found].iter().position(|&known| known == first).unwrap_or(found);
            (firsts[line], found) = (first, found.max(line + 1));
            *column = line as u32;
            first = (first + distance) % stride;
        }
        let room = (BYTES / LANE / words / found).checked_sub(lanes)? / width;
        let piece = room.checked_sub(beyond)?;
        if piece * width < RIGHT * lanes {
            return None;
        }
        let piece = piece.min(window.output[1].max(1));
        let length = (piece + beyond) * width + lanes;
        let [kh, ..] = window.kernel;
        let has_room = kh > 1 && !kh.is_multiple_of(taps);
        let is_paired = has_room && window.stride[0] == 1 && window.dilation[0] == 1;
        for (number, column) in columns[..count].iter_mut().enumerate() {
            let (line, ahead) = (*column as usize, number * distance / stride);
            *column = ((line * words * length + ahead * width) * LANE) as u32;
        }
        Some(Steps { words, width, piece, is_paired, length, beyond, firsts, lines: found, columns, count })
    }

    /// The pixel of a window that each line begins with; from one to the next is a stride.
    pub(super) fn lines(&self) -> &[usize] {
        &self.firsts[..self.lines]
    }

    /// Where the first output's columns lie, in bytes.
    pub(super) fn columns(&self) -> &[u32] {
        &self.columns[..self.count]
    }

    /// The pixels of a line for so many outputs.
    pub(super) fn pixels(&self, outputs: usize) -> usize {
        outputs + self.beyond
    }

    /// The lanes that a word of a line has room for.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Where a lane of a line's word lies in a strip, in bytes.
    #[inline(always)]
    pub(super) fn at(&self, line: usize, word: usize, lane: usize) -> usize {
        ((line * self.words + word) * self.length + lane) * LANE
    }
}
