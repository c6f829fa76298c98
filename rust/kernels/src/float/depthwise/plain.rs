//! Any window, 16 channels of one output pixel at a time.

use super::arguments::Arguments;

/// Channels accumulated at once.
const LANES: usize = 16;

/// At most 16 elements, zeros after them.
#[inline(always)]
fn lanes(x: &[f32]) -> [f32; LANES] {
    if let Some(lanes) = x.first_chunk() {
        return *lanes;
    }
    let mut lanes = [0.0; LANES];
    lanes[..x.len()].copy_from_slice(x);
    lanes
}

/// Channels `first..first + out.len()`, at most 16, of one output pixel; `tap` is where a tap's pixel begins, if it is
/// inside the image.
#[inline(always)]
fn pixel(a: &Arguments<'_>, first: usize, tap: impl Fn(usize, usize) -> Option<usize>, out: &mut [f32]) {
    let width = out.len();
    let mut sums = [0.0; LANES];
    let mut at = first;
    for i in 0..a.window.kernel[0] {
        for j in 0..a.window.kernel[1] {
            let x = tap(i, j).map_or([0.0; LANES], |pixel| lanes(&a.x[pixel + first..][..width]));
            let w = lanes(&a.weights[at..][..width]);
            for lane in 0..LANES {
                sums[lane] = x[lane].mul_add(w[lane], sums[lane]);
            }
            at += a.window.channels;
        }
    }
    if let Some(bias) = a.bias {
        let bias = lanes(&bias[first..][..width]);
        for lane in 0..LANES {
            sums[lane] += bias[lane];
        }
    }
    out.copy_from_slice(&sums[..width]);
}

/// All channels of one output pixel.
#[inline(always)]
fn channels(a: &Arguments<'_>, tap: impl Fn(usize, usize) -> Option<usize>, out: &mut [f32]) {
    let (blocks, rest) = out.as_chunks_mut::<LANES>();
    let whole = blocks.len() * LANES;
    for (block, out) in blocks.iter_mut().enumerate() {
        pixel(a, block * LANES, &tap, out);
    }
    if !rest.is_empty() {
        pixel(a, whole, &tap, rest);
    }
}

#[inline(always)]
pub(super) fn kernel(a: &Arguments<'_>, out: &mut [f32]) {
    let window = a.window;
    let (c, width) = (window.channels, window.output[1]);
    if c == 0 || width == 0 {
        return;
    }
    for (y, out) in a.rows.clone().zip(out.chunks_exact_mut(width * c)) {
        let vertical = window.taps_inside(0, y);
        for (x, out) in out.chunks_exact_mut(c).enumerate() {
            let horizontal = window.taps_inside(1, x);
            if vertical.len() * horizontal.len() == window.kernel[0] * window.kernel[1] {
                channels(a, |i, j| Some(window.tap(y, x, i, j)), out);
            } else {
                let inside = |i, j| vertical.contains(&i) && horizontal.contains(&j);
                channels(a, |i, j| inside(i, j).then(|| window.tap(y, x, i, j)), out);
            }
        }
    }
    if let Some(residual) = a.residual {
        for (y, &r) in out.iter_mut().zip(residual) {
            *y += r;
        }
    }
    for y in out {
        *y = a.clamp.apply(*y);
    }
}
