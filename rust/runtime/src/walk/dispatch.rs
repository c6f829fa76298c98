//! Which operator family plans a node: one line an operator.

use crate::error::Error;
use crate::ops::node::needed;
use crate::ops::{
    attention, cast, chain, columns, comparison, conv, cumulative, detection, dot, dynamic, elementwise,
    gather, gemm, grid, int16, movement, normalization, order, patterns, pool, qmatmul, quantize, reduce,
    roi, scatter, selection, shape, softmax, unary, unpool, windows,
};
use crate::plan::builder::{Builder, Planned, Stop};
use crate::plan::rest::End;
use crate::program::{DType, Op};

/// Plans the node that was begun, of that index: adds its steps, or settles what its outputs are.
pub fn plan(b: &mut Builder<'_>, index: usize) -> Result<Planned, Error> {
    if !b.program.nodes[index].bodies.is_empty() {
        return Ok(Planned::Ends(End::Bodies));
    }
    match of_family(b, index) {
        Ok(()) => Ok(Planned::Done),
        Err(Stop::Waits(value)) => Ok(Planned::Ends(End::Value(value))),
        Err(Stop::Failed(error)) => Err(error),
    }
}

fn of_family(b: &mut Builder<'_>, index: usize) -> Result<(), Stop> {
    let program = b.program;
    let node = &program.nodes[index];
    if chain::plan(b, index)? {
        return Ok(());
    }
    match node.op {
        Op::Quantize => quantize::plan_quantize(b, node),
        Op::DynamicQuantize => dynamic::plan(b, node),
        Op::Dequantize => quantize::plan_dequantize(b, node),
        Op::Requantize => quantize::plan_requantize(b, node),
        Op::QConv | Op::QConvTranspose | Op::Conv | Op::ConvTranspose => conv::plan(b, index),
        Op::QGemm if program.value(needed(node, 0)?).dtype == DType::I16 => int16::plan_qgemm(b, node),
        Op::QGemm => gemm::plan_qgemm(b, index),
        Op::QMatMul => qmatmul::plan(b, node),
        Op::Gemm => gemm::plan_gemm(b, node),
        Op::MatMul if program.value(needed(node, 0)?).dtype != DType::F32 => dot::plan(b, node),
        Op::MatMul => gemm::plan_matmul(b, node),
        Op::QAdd
        | Op::QMul
        | Op::Add
        | Op::Sub
        | Op::Mul
        | Op::Div
        | Op::Pow
        | Op::Max
        | Op::Min
        | Op::Mod
        | Op::BitShift
        | Op::BitwiseAnd
        | Op::BitwiseOr
        | Op::BitwiseXor
        | Op::PRelu => elementwise::plan(b, node),
        Op::Equal
        | Op::Less
        | Op::LessOrEqual
        | Op::Greater
        | Op::GreaterOrEqual
        | Op::And
        | Op::Or
        | Op::Xor => comparison::plan(b, node),
        Op::Where => comparison::plan_where(b, node),
        Op::QAveragePool => pool::plan(b, node),
        Op::MaxPool | Op::AveragePool if !windows::is_general(b, node)? => pool::plan(b, node),
        Op::MaxPool | Op::AveragePool | Op::LpPool | Op::GlobalLpPool => windows::plan(b, node),
        Op::MaxUnpool => unpool::plan(b, node),
        Op::GridSample => grid::plan(b, node),
        Op::GlobalAveragePool | Op::GlobalMaxPool => reduce::plan_global(b, node),
        Op::QReduceMean
        | Op::ReduceMean
        | Op::ReduceSum
        | Op::ReduceMax
        | Op::ReduceMin
        | Op::ReduceProd
        | Op::ReduceL1
        | Op::ReduceL2
        | Op::ReduceLogSum
        | Op::ReduceLogSumExp
        | Op::ReduceSumSquare => reduce::plan(b, node),
        Op::QSoftmax | Op::Softmax | Op::LogSoftmax => softmax::plan(b, node),
        Op::QExponentials => attention::plan(b, node),
        Op::BatchNormalization => normalization::plan_batch(b, node),
        Op::LayerNormalization | Op::RMSNormalization => normalization::plan_layer(b, node),
        Op::InstanceNormalization | Op::GroupNormalization => normalization::plan_group(b, node),
        Op::LpNormalization => normalization::plan_lp(b, node),
        Op::Identity => movement::identity(b, node),
        Op::Reshape => movement::reshape(b, node),
        Op::Flatten => movement::flatten(b, node),
        Op::Squeeze => movement::squeeze(b, node),
        Op::Unsqueeze => movement::unsqueeze(b, node),
        Op::Transpose => movement::plan_transpose(b, index),
        Op::Slice => movement::plan_slice(b, node),
        Op::Split => movement::plan_split(b, node),
        Op::Pad => movement::plan_pad(b, node),
        Op::Expand => movement::plan_expand(b, node),
        Op::Tile => movement::plan_tile(b, node),
        Op::Gather => movement::plan_gather(b, node),
        Op::Concat => movement::plan_concat(b, node),
        Op::Resize => movement::plan_resize(b, node),
        Op::DepthToSpace | Op::SpaceToDepth => movement::plan_depth_space(b, node),
        Op::Cast => cast::plan(b, node),
        Op::Shape => shape::plan_shape(b, node),
        Op::ConstantOfShape => shape::plan_constant(b, node),
        Op::Range => shape::plan_range(b, node),
        Op::ArgMax | Op::ArgMin => order::plan_arg(b, node),
        Op::TopK => order::plan_topk(b, node),
        Op::CumSum => cumulative::plan(b, node),
        Op::OneHot => patterns::plan_one_hot(b, node),
        Op::GatherElements => gather::plan_elements(b, node),
        Op::GatherND => gather::plan_nd(b, node),
        Op::ReverseSequence => gather::plan_reverse(b, node),
        Op::ScatterElements => scatter::plan_elements(b, node),
        Op::ScatterND => scatter::plan_nd(b, node),
        Op::TensorScatter => scatter::plan_cache(b, node),
        Op::Trilu => patterns::plan_trilu(b, node),
        Op::EyeLike => patterns::plan_eye_like(b, node),
        Op::Size => patterns::plan_size(b, node),
        Op::NonZero => selection::plan_nonzero(b, node),
        Op::Compress => selection::plan_compress(b, node),
        Op::Unique => selection::plan_unique(b, node),
        Op::NonMaxSuppression => detection::plan_nms(b, node),
        Op::RoiAlign => roi::plan(b, node),
        Op::Col2Im => columns::plan(b, node),
        _ => unary::plan(b, node),
    }
}
