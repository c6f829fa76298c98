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
