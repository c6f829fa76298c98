//! Batch normalization.

use crate::isa::Kernels;

/// A channel's parameters, one element a channel in each slice.
#[derive(Clone, Copy, Debug)]
pub struct Channels<'a> {
    /// What is taken away first.
    pub mean: &'a [f32],
    /// `scale / sqrt(variance + epsilon)`, each operation rounded.
    pub factor: &'a [f32],
    /// What is added last.
    pub bias: &'a [f32],
}

/// `out = fma(x - mean, factor, bias)`; x and `out` are `[outer, channels, run]`.
///
/// `run` is how many elements of a channel lie together: 1 where the channels are last, else an image's pixels.
pub fn batch(k: Kernels, x: &[f32], channels: &Channels<'_>, run: usize, out: &mut [f32]) {
    let count = channels.mean.len();
    assert!(channels.factor.len() == count && channels.bias.len() == count, "parameters");
    assert_eq!(x.len(), out.len(), "output");
    assert!(count > 0 && run > 0 && x.len().is_multiple_of(count * run), "input");
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.row().float.batch_normalization.run)(x, channels, run, out) }
}

#[inline(always)]
fn normalize(x: f32, mean: f32, factor: f32, bias: f32) -> f32 {
    (x - mean).mul_add(factor, bias)
}

#[inline(always)]
pub(super) fn kernel(x: &[f32], channels: &Channels<'_>, run: usize, out: &mut [f32]) {
    let Channels { mean, factor, bias } = *channels;
    let size = mean.len() * run;
    for (x, out) in x.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
        if run == 1 {
            let (factor, bias, out) = (&factor[..size], &bias[..size], &mut out[..size]);
            for c in 0..size {
                out[c] = normalize(x[c], mean[c], factor[c], bias[c]);
            }
            continue;
        }
        for (c, (x, out)) in x.chunks_exact(run).zip(out.chunks_exact_mut(run)).enumerate() {
            let (mean, factor, bias) = (mean[c], factor[c], bias[c]);
            for (y, &x) in out.iter_mut().zip(x) {
                *y = normalize(x, mean, factor, bias);
            }
        }
    }
}
