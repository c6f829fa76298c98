//! A shape seen as lines along one axis.

/// A row-major shape around one of its axes: `[outer, n, inner]`.
#[derive(Clone, Copy)]
pub struct Lines {
    /// Elements before the axis.
    pub outer: usize,
    /// The axis.
    pub n: usize,
    /// Elements behind it.
    pub inner: usize,
}

impl Lines {
    /// A shape around one of its axes.
    pub fn of(shape: &[usize], along: usize) -> Lines {
        Lines {
            outer: shape[..along].iter().product(),
            n: shape[along],
            inner: shape[along + 1..].iter().product(),
        }
    }
}
