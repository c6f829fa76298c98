//! Windows that a convolution's weights meet, copied out of its input.

/// Where a convolution's windows lie in its input, `[images, channels, sizes...]`; one entry an axis of space.
#[derive(Debug)]
pub struct Geometry<'a> {
    /// Of the input.
    pub sizes: &'a [usize],
    /// Of the weights.
    pub kernel: &'a [usize],
    /// From a window to the next.
    pub strides: &'a [usize],
    /// From a tap to the next.
    pub dilations: &'a [usize],
    /// Elements before the input's first.
    pub begins: &'a [usize],
    /// Windows.
    pub counts: &'a [usize],
}

impl Geometry<'_> {
    /// The windows at `places`, counted image by image: `[groups, places, channels of a group * taps]`.
    ///
    /// padding: a channel's, of which the windows hold as much as lies outside. Panics where the lengths do not agree.
    pub fn windows(&self, x: &[u8], padding: &[u8], groups: usize, places: &[usize]) -> Vec<u8> {
        let (channels, plane) = (padding.len(), self.sizes.iter().product::<usize>());
        let (of_group, taps) = (channels / groups, self.kernel.iter().product::<usize>());
        let length = of_group * taps;
        let mut found = vec![0; channels * places.len() * taps];
        let offsets: Vec<usize> = places.iter().flat_map(|place| self.offsets(*place, channels)).collect();
        for (channel, padding) in padding.iter().enumerate() {
            let (group, within) = (channel / of_group, channel % of_group);
            let elements = &x[channel * plane..];
            let rows = found[group * places.len() * length..].chunks_exact_mut(length);
            for (row, offsets) in rows.zip(offsets.chunks_exact(taps)) {
                for (to, offset) in row[within * taps..].iter_mut().zip(offsets) {
                    *to = *elements.get(*offset).unwrap_or(padding);
                }
            }
        }
        found
    }

    /// Where each tap of a window is, from the first element of a channel of the first image on; beyond all elements where it
    /// is outside.
    fn offsets(&self, window: usize, channels: usize) -> Vec<usize> {
        let mut behind: usize = self.counts.iter().product();
        let mut offsets = vec![Some(window / behind * channels)];
        for axis in 0..self.sizes.len() {
            behind /= self.counts[axis];
            let first = window / behind % self.counts[axis] * self.strides[axis];
            let along = |tap: usize| {
                let place = (first + tap * self.dilations[axis]).checked_sub(self.begins[axis])?;
                (place < self.sizes[axis]).then_some(place)
            };
            let steps: Vec<_> = (0..self.kernel[axis]).map(along).collect();
            let joined = |offset: &Option<usize>| {
                let offset = offset.map(|offset| offset * self.sizes[axis]);
                steps.iter().map(move |step| Some(offset? + (*step)?)).collect::<Vec<_>>()
            };
            offsets = offsets.iter().flat_map(joined).collect();
        }
        offsets.into_iter().map(|offset| offset.unwrap_or(usize::MAX)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_hold_the_input_and_padding_outside() {
        let x: Vec<u8> = (0..2 * 2 * 3 * 4).collect();
        let of = Geometry {
            sizes: &[3, 4],
            kernel: &[2, 2],
            strides: &[2, 1],
            dilations: &[1, 2],
            begins: &[1, 1],
            counts: &[2, 3],
        };
        // The first window of image 0, and the last of image 1.
        let found = of.windows(&x, &[100, 200], 1, &[0, 11]);
        assert_eq!(found[..8], [100, 100, 100, 1, 200, 200, 200, 13]);
        assert_eq!(found[8..], [24 + 5, 24 + 7, 24 + 9, 24 + 11, 36 + 5, 36 + 7, 36 + 9, 36 + 11]);
        let grouped = of.windows(&x, &[100, 200], 2, &[0, 11]);
        assert_eq!(grouped, [&found[..4], &found[8..12], &found[4..8], &found[12..]].concat());
        assert!(of.windows(&x, &[1, 2], 2, &[]).is_empty());
    }
}
