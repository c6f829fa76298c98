//! Planes to pixels.

use crate::isa::{Entry, Has};

type Run = unsafe fn(&[f32], usize, usize, &mut [f32]);

/// A tier's kernels of this family.
#[derive(Debug)]
pub struct Entries {
    /// Planes to pixels.
    pub interleave: Entry<Run>,
}

crate::plain::plain_tiers!(Entries {
    interleave(planes: &[f32], stride: usize, channels: usize, out: &mut [f32]) = kernel as "f32-interleave";
});

/// `out[i * channels + c] = planes[c * stride + i]` for every pixel i of `out`, of 1 to 4 channels.
///
/// # Panics
/// Where the planes or the pixels are not whole, or there are other channels.
pub fn run(k: impl Has<Entries>, planes: &[f32], stride: usize, channels: usize, out: &mut [f32]) {
    assert!((1..=4).contains(&channels) && out.len().is_multiple_of(channels), "{channels} channels");
    assert!(planes.len() >= (channels - 1) * stride + out.len() / channels, "planes");
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.entries().interleave.code())(planes, stride, channels, out) }
}

#[inline(always)]
pub(super) fn kernel(planes: &[f32], stride: usize, channels: usize, out: &mut [f32]) {
    let n = out.len() / channels;
    let plane = |c: usize| &planes[c * stride..][..n];
    match channels {
        1 => out.copy_from_slice(plane(0)),
        2 => {
            for ((pixel, &a), &b) in out.as_chunks_mut::<2>().0.iter_mut().zip(plane(0)).zip(plane(1)) {
                *pixel = [a, b];
            }
        }
        3 => {
            let pixels = out.as_chunks_mut::<3>().0.iter_mut();
            for (((pixel, &a), &b), &c) in pixels.zip(plane(0)).zip(plane(1)).zip(plane(2)) {
                *pixel = [a, b, c];
            }
        }
        _ => {
            let pixels = out.as_chunks_mut::<4>().0.iter_mut();
            for ((((pixel, &a), &b), &c), &d) in
                pixels.zip(plane(0)).zip(plane(1)).zip(plane(2)).zip(plane(3))
            {
                *pixel = [a, b, c, d];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::available;
    use crate::table::Kernels;

    #[test]
    fn pixels_have_their_channels_in_order() {
        for k in available().into_iter().filter_map(Kernels::new) {
            for channels in 1..=4 {
                for n in [0, 1, 7, 33] {
                    let planes: Vec<f32> = (0..4 * 40).map(|i| i as f32).collect();
                    let mut out = vec![-1.0; n * channels];
                    run(k, &planes, 40, channels, &mut out);
                    for (at, &y) in out.iter().enumerate() {
                        assert_eq!(
                            y,
                            planes[at % channels * 40 + at / channels],
                            "{channels} channels, {n} pixels"
                        );
                    }
                }
            }
        }
    }
}
