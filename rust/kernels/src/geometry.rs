//! The geometry of a sliding window over one image in NHWC.

use std::ops::Range;

/// A window that slides over one image: pooling and depthwise convolution. Pairs are (vertical, horizontal).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Height and width of the input image.
    pub input: [usize; 2],
    /// Channels of input and output.
    pub channels: usize,
    /// Height and width of the output image.
    pub output: [usize; 2],
    /// Taps of the window.
    pub kernel: [usize; 2],
    /// Steps of the window, at least 1.
    pub stride: [usize; 2],
    /// Distances between taps, at least 1.
    pub dilation: [usize; 2],
    /// Padding before the first row and column. What lies beyond the input's end is padding too.
    pub pad: [usize; 2],
}

impl Window {
    /// Panics unless every coordinate that the window reaches is a number that `isize` holds.
    fn assert_valid(&self) {
        for axis in 0..2 {
            assert!(self.kernel[axis] > 0 && self.stride[axis] > 0 && self.dilation[axis] > 0, "{self:?}");
            let last = self.output[axis].saturating_sub(1).checked_mul(self.stride[axis]);
            let reach = (self.kernel[axis] - 1).checked_mul(self.dilation[axis]);
            let end = last.zip(reach).and_then(|(last, reach)| last.checked_add(reach));
            let limit = isize::MAX as usize / 2;
            assert!(end.is_some_and(|end| end < limit) && self.pad[axis] < limit, "{self:?}");
        }
    }

    /// Panics unless `input` is one image and `output` the given rows of the output image.
    pub(crate) fn assert_slices<A, B>(&self, input: &[A], rows: &Range<usize>, output: &[B]) {
        self.assert_valid();
        let area = self.input[0].checked_mul(self.input[1]).and_then(|area| area.checked_mul(self.channels));
        assert_eq!(Some(input.len()), area, "{self:?}: the input's length");
        assert!(rows.start <= rows.end && rows.end <= self.output[0], "{self:?}: rows {rows:?}");
        let line = self.output[1].checked_mul(self.channels);
        let area = line.and_then(|line| line.checked_mul(rows.len()));
        assert_eq!(Some(output.len()), area, "{self:?}: the output's length");
    }

    /// The input coordinate of the first tap of an output coordinate; negative in the padding.
    #[inline(always)]
    pub(crate) fn start(&self, axis: usize, output: usize) -> isize {
        (output * self.stride[axis]) as isize - self.pad[axis] as isize
    }

    /// The taps of an output coordinate that lie inside the input.
    #[inline(always)]
    pub(crate) fn taps_inside(&self, axis: usize, output: usize) -> Range<usize> {
        self.taps_below(axis, output, 0)..self.taps_below(axis, output, self.input[axis] as isize)
    }

    /// The output coordinates whose taps all lie inside the input.
    #[inline(always)]
    pub(crate) fn whole(&self, axis: usize) -> Range<usize> {
        let first = self.pad[axis].div_ceil(self.stride[axis]).min(self.output[axis]);
        let reach = (self.kernel[axis] - 1) * self.dilation[axis] + 1;
        let outside = (self.input[axis] + self.pad[axis]).checked_sub(reach);
        let end = outside.map_or(0, |room| room / self.stride[axis] + 1);
        first..end.clamp(first, self.output[axis])
    }

    /// How many taps of an output coordinate lie below an input coordinate.
    #[inline(always)]
    pub(crate) fn taps_below(&self, axis: usize, output: usize, limit: isize) -> usize {
        let distance = (limit - self.start(axis, output)).max(0) as usize;
        distance.div_ceil(self.dilation[axis]).min(self.kernel[axis])
    }

    /// The offset of the first channel of the input pixel that a tap of an output pixel sees, which is inside.
    #[inline(always)]
    pub(crate) fn tap(&self, y: usize, x: usize, i: usize, j: usize) -> usize {
        let row = y * self.stride[0] + i * self.dilation[0] - self.pad[0];
        let column = x * self.stride[1] + j * self.dilation[1] - self.pad[1];
        self.pixel(row, column)
    }

    /// Runs a pool whose result is that of its columns' results, such as a maximum: over columns first, which a row of
    /// outputs shares, where that takes clearly fewer taps than over windows. `run` pools a whole image to some rows.
    pub(crate) fn run_by_columns<T: Copy + Default>(
        &self,
        x: &[T],
        rows: Range<usize>,
        out: &mut [T],
        run: impl Fn(&[T], &Window, Range<usize>, &mut [T]),
    ) {
        let [wide, narrow] = [self.input[1], self.output[1]];
        let ([height, width], pixels) = (self.kernel, narrow as u128);
        let apart = height as u128 * wide as u128 + width as u128 * pixels;
        if self.channels * narrow == 0 || 4 * apart >= 3 * height as u128 * width as u128 * pixels {
            return run(x, self, rows, out);
        }
        let ([rows_apart, columns_apart], [above, left]) = (self.dilation, self.pad);
        // Pixels that lie side by side are as good as more channels.
        let columns = Window {
            input: [self.input[0], 1],
            channels: wide * self.channels,
            output: [self.output[0], 1],
            kernel: [height, 1],
            stride: [self.stride[0], 1],
            dilation: [rows_apart, 1],
            pad: [above, 0],
        };
        let line = Window {
            input: [1, wide],
            output: [1, narrow],
            kernel: [1, width],
            stride: [1, self.stride[1]],
            dilation: [1, columns_apart],
            pad: [0, left],
            ..*self
        };
        let mut results = vec![T::default(); wide * self.channels];
        for (row, out) in rows.zip(out.chunks_exact_mut(narrow * self.channels)) {
            run(x, &columns, row..row + 1, &mut results);
            run(&results, &line, 0..1, out);
        }
    }

    /// The offset of the first channel of an input pixel.
    #[inline(always)]
    pub(crate) fn pixel(&self, y: usize, x: usize) -> usize {
        (y * self.input[1] + x) * self.channels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_inside_counts_each_coordinate_in_the_input() {
        let axes = (0..7usize).flat_map(|input| (1..5usize).map(move |kernel| (input, kernel)));
        let steps = (1..4usize).flat_map(|stride| (1..4usize).map(move |dilation| (stride, dilation)));
        let frames = axes.flat_map(|axis| (0..8usize).map(move |pad| (axis, pad)));
        for (((input, kernel), pad), (stride, dilation)) in
            frames.flat_map(|frame| steps.clone().map(move |step| (frame, step)))
        {
            let window = Window {
                input: [input; 2],
                channels: 1,
                output: [12; 2],
                kernel: [kernel; 2],
                stride: [stride; 2],
                dilation: [dilation; 2],
                pad: [pad; 2],
            };
            for output in 0..12 {
                let inside: Vec<usize> = (0..kernel)
                    .filter(|tap| (pad..pad + input).contains(&(output * stride + tap * dilation)))
                    .collect();
                let range = window.taps_inside(0, output);
                assert_eq!(range.clone().collect::<Vec<_>>(), inside, "{window:?} at {output}: {range:?}");
                assert_eq!(
                    window.whole(0).contains(&output),
                    inside.len() == kernel,
                    "{window:?} at {output}"
                );
            }
        }
    }

    /// Every number of a window, along either axis, on both sides of its bound; those whose products wrap as well.
    #[test]
    fn windows_that_overflow_are_refused() {
        const LIMIT: usize = isize::MAX as usize / 2;
        let refused = |change: &dyn Fn(&mut Window)| {
            let (input, output, kernel, stride, dilation, pad) =
                ([0; 2], [1; 2], [1; 2], [1; 2], [1; 2], [0; 2]);
            let mut window = Window { input, channels: 0, output, kernel, stride, dilation, pad };
            change(&mut window);
            std::panic::catch_unwind(|| window.assert_slices(&[0; 0], &(0..0), &[0; 0])).is_err()
        };
        for axis in 0..2 {
            assert!(!refused(&|w| w.pad[axis] = LIMIT - 1) && refused(&|w| w.pad[axis] = LIMIT));
            assert!(!refused(&|w| w.output[axis] = LIMIT) && refused(&|w| w.output[axis] = LIMIT + 1));
            assert!(!refused(&|w| w.kernel[axis] = LIMIT) && refused(&|w| w.kernel[axis] = LIMIT + 1));
            assert!(!refused(&|w| (w.stride[axis], w.dilation[axis]) = (usize::MAX, usize::MAX)));
            assert!(!refused(&|w| w.output[axis] = 0));
            let zeros: [fn(&mut Window) -> &mut [usize; 2]; 3] =
                [|w| &mut w.kernel, |w| &mut w.stride, |w| &mut w.dilation];
            for of in zeros {
                assert!(refused(&|w| of(w)[axis] = 0));
            }
            let reach = |outputs: usize, stride: usize, taps: usize, dilation: usize| {
                refused(&|w| {
                    (w.output[axis], w.stride[axis]) = (outputs, stride);
                    (w.kernel[axis], w.dilation[axis]) = (taps, dilation);
                })
            };
            assert!(!reach(3, LIMIT / 4, 3, LIMIT / 4) && reach(3, LIMIT / 4 + 1, 3, LIMIT / 4 + 1));
            assert!(reach(3, 1 << 63, 1, 1) && reach(1, 1, 3, 1 << 63) && reach(2, usize::MAX, 2, 1));
            assert!(reach(usize::MAX, 2, 1, 1) && reach(1, 1, usize::MAX, 2));
        }
    }

    #[test]
    fn slices_of_other_lengths_are_refused() {
        let window = Window {
            input: [3, 2],
            channels: 5,
            output: [4, 3],
            kernel: [1; 2],
            stride: [1; 2],
            dilation: [1; 2],
            pad: [0; 2],
        };
        let refused = |window: Window, input: usize, rows: Range<usize>, output: usize| {
            let run = || window.assert_slices(&vec![0u8; input], &rows, &vec![0u8; output]);
            std::panic::catch_unwind(run).is_err()
        };
        assert!(
            !refused(window, 30, 0..4, 60) && !refused(window, 30, 1..3, 30) && !refused(window, 30, 4..4, 0)
        );
        assert!(refused(window, 29, 0..4, 60) && refused(window, 31, 0..4, 60));
        assert!(refused(window, 30, 0..4, 59) && refused(window, 30, 0..4, 61));
        assert!(refused(window, 30, 2..5, 45) && refused(window, 30, Range { start: 3, end: 2 }, 0));
        // 2^66 and 2^64 elements are not the 0 that 64 bits hold of them.
        let huge = Window { input: [1 << 33, 1 << 33], ..window };
        assert!(refused(huge, 0, 0..0, 0));
        assert!(refused(Window { input: [1 << 32, 1], channels: 1 << 32, ..window }, 0, 0..0, 0));
        let (input, channels, output) = ([0, 0], 16, [1, 1 << 60]);
        assert!(refused(Window { input, channels, output, ..window }, 0, 0..1, 0));
    }
}
