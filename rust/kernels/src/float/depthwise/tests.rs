//! Every tier gives the bits of one plain chain an output.

use super::run;
use crate::float::epilogue::{Epilogue, Residual};
use crate::float::unary::{Unary, run_in_place};
use crate::geometry::Window;
use crate::isa::{Isa, available};
use crate::table::Kernels;

/// A chain from +0 over the window, rows first, whose taps in the padding are +0.
fn chain(x: &[f32], weights: &[f32], w: &Window) -> Vec<f32> {
    let [height, width] = w.input.map(|n| n as isize);
    let mut out = Vec::new();
    for (y, column) in (0..w.output[0]).flat_map(|y| (0..w.output[1]).map(move |column| (y, column))) {
        for c in 0..w.channels {
            let mut sum = 0.0f32;
            for (i, j) in (0..w.kernel[0]).flat_map(|i| (0..w.kernel[1]).map(move |j| (i, j))) {
                let row = (y * w.stride[0] + i * w.dilation[0]) as isize - w.pad[0] as isize;
                let at = (column * w.stride[1] + j * w.dilation[1]) as isize - w.pad[1] as isize;
                let inside = (0..height).contains(&row) && (0..width).contains(&at);
                let x = if inside { x[((row * width + at) as usize) * w.channels + c] } else { 0.0 };
                sum = x.mul_add(weights[(i * w.kernel[1] + j) * w.channels + c], sum);
            }
            out.push(sum);
        }
    }
    out
}

/// Numbers of either sign, some of them so small that their products vanish, some infinite where asked.
fn numbers(len: usize, seed: usize, infinities: bool) -> Vec<f32> {
    (0..len)
        .map(|i| {
            let bits = (i * 7919 + seed * 104_729) % 65_521;
            let value = bits as f32 / 32_768.0 - 1.0;
            match bits % 61 {
                0 => value * 1e-30,
                1 if infinities => f32::INFINITY,
                _ => value,
            }
        })
        .collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() }).collect()
}

/// With a residual and an activation or without, by the window's numbers.
fn check(w: &Window, has_bias: bool, infinities: bool) {
    let x = numbers(w.input[0] * w.input[1] * w.channels, 1, false);
    let weights = numbers(w.kernel[0] * w.kernel[1] * w.channels, 2, infinities);
    let bias = has_bias.then(|| numbers(w.channels, 3, false));
    let mut expected = chain(&x, &weights, w);
    let residual = (w.channels % 2 == 1).then(|| numbers(expected.len(), 4, false));
    let clip = |lo, hi| Some(Unary::Clip { lo, hi });
    let activations = [
        Some(Unary::Relu),
        None,
        clip(-0.25, 0.5),
        Some(Unary::HardSwish),
        clip(0.125, f32::INFINITY),
        clip(f32::NEG_INFINITY, 0.0),
        clip(-0.0, 0.25),
    ];
    let activation = activations[(w.output[1] + w.channels) % 7];
    if let Some(bias) = &bias {
        expected.iter_mut().enumerate().for_each(|(i, y)| *y += bias[i % w.channels]);
    }
    if let Some(residual) = &residual {
        expected.iter_mut().zip(residual).for_each(|(y, r)| *y += r);
    }
    if let Some(activation) = activation {
        run_in_place(Kernels::new(Isa::Scalar).expect("everywhere"), activation, &mut expected);
    }
    let expected = bits(&expected);
    for isa in available() {
        let k = Kernels::new(isa).expect("available");
        const GUARD: usize = 40;
        let mut guarded = vec![77.0; GUARD + expected.len() + GUARD];
        let y = &mut guarded[GUARD..][..expected.len()];
        let middle = w.output[0] / 2;
        let (top, bottom) = y.split_at_mut(middle * w.output[1] * w.channels);
        let epilogue = |residual| Epilogue { bias: bias.as_deref(), residual, activation };
        let half = |from: usize| residual.as_ref().map(|r| Residual { data: &r[from..], stride: w.channels });
        run(k, &x, &weights, w, &epilogue(half(0)), 0..middle, top);
        run(k, &x, &weights, w, &epilogue(half(top.len())), middle..w.output[0], bottom);
        let wrong = bits(y).iter().zip(&expected).position(|(a, b)| a != b);
        assert_eq!(wrong, None, "{isa}: {w:?}, bias {has_bias}, infinities {infinities}");
        let beside = guarded[..GUARD].iter().chain(&guarded[GUARD + expected.len()..]);
        assert!(beside.copied().all(|y| y == 77.0), "{isa}: {w:?}: written beside the output");
    }
}

/// Input, kernel, stride, dilation, padding before and after.
type Axis = (usize, usize, usize, usize, usize, usize);

fn window(channels: usize, axes: [Axis; 2]) -> Window {
    let output = axes.map(|(n, k, s, d, before, after)| (n + before + after - (k - 1) * d - 1) / s + 1);
    Window {
        input: axes.map(|a| a.0),
        channels,
        output,
        kernel: axes.map(|a| a.1),
        stride: axes.map(|a| a.2),
        dilation: axes.map(|a| a.3),
        pad: axes.map(|a| a.4),
    }
}

#[test]
fn windows_of_every_width_and_step_give_the_chain_s_bits() {
    for (k, s) in [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (1, 1), (2, 2), (4, 3), (7, 2)] {
        for width in [1, 2, 3, 5, 8, 12, 13, 21, 34] {
            let pad = k / 2;
            if width + 2 * pad >= k {
                let axes = [(4, 3, s, 1, 1, 1), (width, k, s, 1, pad, pad)];
                check(&window(17, axes), width % 2 == 0, width == 12);
            }
        }
    }
}

/// Every step, dilation and padding, more of it than the window reaches among them.
#[test]
fn windows_of_few_channels_give_the_chain_s_bits() {
    for channels in 1..8 {
        for (k, s, d) in [
            (3, 1, 1),
            (5, 1, 1),
            (3, 2, 1),
            (5, 2, 1),
            (2, 3, 1),
            (3, 1, 2),
            (3, 2, 3),
            (4, 3, 2),
            (9, 1, 1),
        ] {
            for (width, before, after) in [(1, 12, 12), (5, 12, 13), (9, 0, 17), (17, 3, 0), (33, 20, 20)] {
                if width + before + after > (k - 1) * d {
                    let axes = [(6, 3, s, d, 2, 2), (width, k, s, d, before, after)];
                    check(&window(channels, axes), width % 2 == 0, width == 5);
                }
            }
        }
    }
}

#[test]
fn any_number_of_channels_gives_the_chain_s_bits() {
    for channels in (1..=34).chain([40, 72]) {
        check(&window(channels, [(5, 3, 1, 1, 1, 1), (11, 3, 1, 1, 1, 1)]), true, false);
        check(&window(channels, [(6, 5, 2, 1, 2, 2), (14, 5, 2, 1, 1, 2)]), false, true);
    }
}

#[test]
fn padding_and_dilation_of_any_size_give_the_chain_s_bits() {
    let rows: [Axis; 4] = [(1, 3, 1, 1, 1, 1), (4, 3, 2, 2, 3, 5), (2, 5, 1, 1, 9, 7), (5, 1, 3, 1, 0, 0)];
    let columns: [Axis; 6] = [
        (1, 3, 1, 1, 1, 1),
        (3, 3, 1, 1, 12, 20),
        (20, 3, 1, 3, 3, 3),
        (9, 5, 3, 2, 4, 4),
        (2, 5, 2, 1, 30, 1),
        (19, 3, 2, 1, 0, 1),
    ];
    for (vertical, horizontal) in rows.iter().flat_map(|&v| columns.iter().map(move |&h| (v, h))) {
        check(&window(19, [vertical, horizontal]), true, true);
        check(&window(8, [vertical, horizontal]), false, false);
        check(&window(3, [vertical, horizontal]), true, false);
    }
}

/// Products so small that sums vanish to -0, which a clamp to 0 makes +0 and nothing else touches.
#[test]
fn zeros_keep_their_signs() {
    for channels in [3, 8, 16, 19] {
        let w = window(channels, [(3, 3, 1, 1, 0, 0), (9, 3, 1, 1, 0, 0)]);
        let x = vec![1e-30; 27 * channels];
        let weights = vec![-1e-30; 9 * channels];
        for k in available().into_iter().filter_map(Kernels::new) {
            let clip = |lo, hi| Some(Unary::Clip { lo, hi });
            for (activation, expected) in [
                (None, -0.0f32),
                (Some(Unary::Relu), 0.0),
                (clip(0.0, 1.0), 0.0),
                (clip(-1.0, 1.0), -0.0),
                (clip(f32::NEG_INFINITY, 0.0), -0.0),
            ] {
                let epilogue = Epilogue { activation, ..Epilogue::default() };
                let mut y = vec![9.0; 7 * channels];
                run(k, &x, &weights, &w, &epilogue, 0..1, &mut y);
                let is_right = |y: &f32| y.to_bits() == expected.to_bits();
                assert!(y.iter().all(is_right), "{} {channels} {activation:?}: {y:?}", k.isa());
            }
        }
    }
}
