//! How a tensor lies in memory, and the steps that change it.
//!
//! The Program speaks ONNX's logical layout (N, C, spatial...). Convolutions and pools want the channels last.

/// The order of a tensor's dimensions in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// The logical order.
    RowMajor,
    /// Dimension 1 (channels) moved to the end; the logical order where there are less than three dimensions.
    ChannelsLast,
}

impl Layout {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Layout::RowMajor => "row-major",
            Layout::ChannelsLast => "channels last",
        }
    }

    /// The logical dimension at each place in memory.
    pub fn order(self, rank: usize) -> Vec<usize> {
        match self {
            Layout::ChannelsLast if rank > 2 => std::iter::once(0).chain(2..rank).chain([1]).collect(),
            _ => (0..rank).collect(),
        }
    }

    /// A shape as it lies in memory.
    pub fn physical(self, shape: &[usize]) -> Vec<usize> {
        self.order(shape.len()).into_iter().map(|d| shape[d]).collect()
    }

    /// Where a logical axis lies in memory.
    pub fn axis(self, axis: usize, rank: usize) -> usize {
        match (self, axis) {
            (Layout::ChannelsLast, 1) => rank - 1,
            (Layout::ChannelsLast, a) if a > 1 => a - 1,
            (_, a) => a,
        }
    }
}

/// Whether both layouts of this shape are the same bytes: one channel, or one spatial element.
pub fn is_same_bytes(shape: &[usize]) -> bool {
    shape.len() < 3 || shape[1] == 1 || shape[2..].iter().product::<usize>() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_come_last_from_three_dimensions_on() {
        let (rows, last) = (Layout::RowMajor, Layout::ChannelsLast);
        assert_eq!(last.order(4), [0, 2, 3, 1]);
        assert_eq!(last.order(3), [0, 2, 1]);
        assert_eq!((last.order(2), last.order(0)), (vec![0, 1], vec![]));
        assert_eq!(rows.order(4), [0, 1, 2, 3]);
        assert_eq!(last.physical(&[2, 3, 5, 7]), [2, 5, 7, 3]);
        assert_eq!(rows.physical(&[2, 3, 5, 7]), [2, 3, 5, 7]);
        for rank in 3..6 {
            for axis in 0..rank {
                assert_eq!(last.order(rank)[last.axis(axis, rank)], axis);
                assert_eq!(rows.axis(axis, rank), axis);
            }
        }
    }

    #[test]
    fn one_channel_or_one_place_is_the_same_in_both() {
        let same: [&[usize]; 7] =
            [&[], &[3, 4], &[2, 1, 5], &[2, 1, 5, 7], &[2, 3, 1], &[2, 3, 1, 1], &[0, 3, 1]];
        assert!(same.into_iter().all(is_same_bytes));
        let other: [&[usize]; 4] = [&[2, 3, 2], &[1, 2, 1, 2], &[1, 2, 2, 1], &[1, 3, 2, 2, 2]];
        assert!(!other.into_iter().any(is_same_bytes));
    }
}
