//! Where the elements of a shape lie, by strides.

/// The place of each index of a shape, in index order, for these strides.
pub fn offsets(shape: &[usize], strides: &[usize]) -> Vec<usize> {
    let step = |all: Vec<usize>, (&n, &stride): (&usize, &usize)| {
        all.iter().flat_map(|&at| (0..n).map(move |i| at + i * stride)).collect()
    };
    shape.iter().zip(strides).fold(vec![0], step)
}

/// The strides of dimensions that broadcast to `rank` ones: 0 along those that are repeated.
pub fn broadcast_strides(own: &[usize], strides: &[usize], rank: usize) -> Vec<usize> {
    let moving = own.iter().zip(strides).map(|(&n, &stride)| if n == 1 { 0 } else { stride });
    std::iter::repeat_n(0, rank - own.len()).chain(moving).collect()
}
