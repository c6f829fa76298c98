//! QConv of 3x3 by steps of 1 through Winograd's transforms, where the weights prove that this is exact and it is faster.

use octavo_kernels::gemm::winograd::{self, Image, TILE};

use super::convolution::Convolution;
use crate::ops::node::needed;
use crate::ops::product::{Beside, Epilogue, settle};
use crate::plan::buffers::Placed;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::plan::packing::Key;
use crate::program::Node;

/// Whether a convolution goes this way.
pub fn suits(b: &Builder<'_>, conv: &Convolution, weights: &[i8]) -> bool {
    let g = &conv.geometry;
    let form = ([3, 3], [1, 1], [1, 1], 1);
    (g.kernel, g.stride, g.dilation, conv.groups) == form
        && winograd::pays(&b.steps.kernels.row().gemm, conv.kc, conv.outputs, g.output)
        && winograd::is_exact(weights, conv.outputs)
}

/// Plans a convolution that suits; `zeros` is what padding holds: a number, or one a channel.
pub fn plan(
    b: &mut Builder<'_>,
    node: &Node,
    conv: &Convolution,
    x: &Placed,
    (weights, zeros): (&[i8], &[u8]),
    mut epilogue: Epilogue,
) -> Result<(), Stop> {
    let (g, kc, outputs) = (&conv.geometry, conv.kc, conv.outputs);
    let key = Key { weight: needed(node, 1)?.0, form: "winograd", part: 0, parts: 1 };
    let packed = b.packing.get(key, winograd::packed_len(outputs, kc), |out| {
        winograd::pack(&conv.of_group(weights, 0), outputs, kc, out);
    })?;
    let (y, residual, name) = settle(b, node, g.output_shape(outputs), Layout::ChannelsLast, &mut epilogue)?;
    if y.elements() == 0 {
        return Ok(());
    }
    let fill: Vec<u8> = zeros.iter().copied().cycle().take(kc).collect();
    let [height, width] = g.output;
    let (rows, [in_height, in_width], pad, output) = (height.div_ceil(TILE), g.input, g.pad, g.output);
    let image_macs = conv.macs() as f64 / g.images as f64;
    let cost = image_macs / rows as f64 * b.steps.costs.mac;
    let chunk = b.steps.chunk(rows, cost, 1);
    let scratch_len = winograd::scratch_len(kc);
    let scratch = b.steps.temporary(rows.div_ceil(chunk) * scratch_len * size_of::<i32>());
    let kernel = b.steps.kernels.row().gemm.winograd.as_ref().map_or("", |code| code.name);
    let (element, image) = (epilogue.element(), in_height * in_width * kc);
    let draft = b.steps.step(name, "QConv", kernel).macs(conv.macs());
    draft.run_optional(
        [x.buffer],
        [residual],
        [y.buffer, scratch],
        move |run, [x], [residual], [y, scratch]| {
            let beside = Beside { residual: residual.unwrap_or_default(), ..Beside::NOTHING };
            let scratch: &mut [i32] = octavo_exec::cast_mut(scratch);
            for (number, y) in y.chunks_exact_mut(height * width * outputs * element).enumerate() {
                let data = &x[number * image..][..image];
                let image =
                    Image { data, size: [in_height, in_width], channels: kc, pad, fill: &fill, output };
                let piece = chunk * TILE * width * outputs * element;
                run.pool.pairs_of_slices((y, piece), (&mut *scratch, scratch_len), |i, y, scratch| {
                    let first = (number * height + i * chunk * TILE) * width * outputs;
                    let out = epilogue.out(
                        epilogue.bias(0..outputs),
                        0..outputs,
                        beside.at_element(first),
                        outputs,
                        y,
                    );
                    let rows = i * chunk..rows.min((i + 1) * chunk);
                    winograd::run(run.kernels, &image, rows, packed.bytes(), outputs, scratch, out);
                    epilogue.look_up(run.kernels, y);
                });
            }
        },
    );
    Ok(())
}
