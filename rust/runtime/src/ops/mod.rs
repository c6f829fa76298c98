//! How each operator family is planned: one file a family, one line an operator in [`plan`].

pub mod arithmetic;
pub mod attention;
pub mod broadcast;
pub mod cast;
pub mod chain;
pub mod columns;
pub mod comparison;
pub mod conv;
pub mod cumulative;
pub mod detection;
pub mod dot;
pub mod elementwise;
pub mod gather;
pub mod gemm;
pub mod geometry;
pub mod grid;
pub mod indices;
pub mod interpolate;
pub mod matmul;
pub mod movement;
pub mod normalization;
pub mod numbers;
pub mod order;
pub mod patterns;
pub mod pool;
pub mod product;
pub mod qmatmul;
pub mod quantize;
pub mod reduce;
pub mod resize;
pub mod roi;
pub mod scatter;
pub mod scores;
pub mod selection;
pub mod shape;
pub mod softmax;
pub mod spatial;
pub mod unary;
pub mod windows;

use octavo_exec::{Pod, cast, cast_mut};
use octavo_kernels::isa::Kernels;

use crate::error::Error;
use crate::plan::builder::{Builder, Placed};
use crate::plan::known;
use crate::plan::layout::Layout;
use crate::program::{DType, Node, Op, Tensor, ValueId};

/// Plans the node of that index: pushes its steps, or settles what its outputs are.
pub fn plan(b: &mut Builder<'_>, index: usize) -> Result<(), Error> {
    let program = b.program;
    let node = &program.nodes[index];
    if known::evaluate(b, node)? {
        return Ok(());
    }
    if chain::plan(b, index)? {
        return Ok(());
    }
    match node.op {
        Op::Quantize => quantize::plan_quantize(b, node),
        Op::Dequantize => quantize::plan_dequantize(b, node),
        Op::Requantize => quantize::plan_requantize(b, node),
        Op::QConv | Op::Conv | Op::ConvTranspose => conv::plan(b, index),
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

/// Pushes a step that makes each `chunk` elements of `y` from those of `x` at the same places, and from no others.
pub fn push_map<X: Pod, Y: Pod>(
    b: &mut Builder<'_>,
    node: &Node,
    kernel: &'static str,
    x: &Placed,
    y: &Placed,
    chunk: usize,
    map: impl Fn(Kernels, &[X], &mut [Y]) + Send + Sync + 'static,
) {
    let (xb, yb) = (x.buffer, y.buffer);
    b.push(
        node.name.clone(),
        node.op.name(),
        kernel,
        0,
        &[xb],
        &[yb],
        Box::new(move |run| {
            let (kernels, pool) = (run.kernels, run.pool);
            let ([x], [y]) = run.get([xb], [yb]);
            let x = cast::<X>(x);
            pool.slices(cast_mut::<Y>(y), chunk, |i, y| map(kernels, &x[i * chunk..][..y.len()], y));
        }),
    );
}

/// An error of this node.
pub fn error(node: &Node, what: &str) -> Error {
    Error::Run(format!("{}: {what}", node.label()))
}

/// A node's input that must be there.
pub fn needed(node: &Node, place: usize) -> Result<ValueId, Error> {
    node.input(place).ok_or_else(|| error(node, &format!("input {place} is missing")))
}

/// A node's output that must be there.
pub fn made(node: &Node, place: usize) -> Result<ValueId, Error> {
    node.outputs
        .get(place)
        .copied()
        .flatten()
        .ok_or_else(|| error(node, &format!("output {place} is missing")))
}

/// An error unless an input is a vector of that many elements, one a channel.
pub fn check_vector(node: &Node, place: usize, shape: &[usize], count: usize) -> Result<(), Error> {
    if *shape == [count] {
        return Ok(());
    }
    Err(error(node, &format!("input {place} is of shape {shape:?}, it must be a vector of {count} elements")))
}

/// An axis that may count from the end, as an index.
pub fn axis(node: &Node, axis: i64, rank: usize) -> Result<usize, Error> {
    let rank = rank as i64;
    if (-rank..rank).contains(&axis) {
        return Ok(axis.rem_euclid(rank) as usize);
    }
    Err(error(node, &format!("axis {axis} of a tensor of {rank} dimensions")))
}

/// Axes that may count from the end, as indices; none twice.
pub fn axes(node: &Node, axes: &[i64], rank: usize) -> Result<Vec<usize>, Error> {
    let found = axes.iter().map(|&a| axis(node, a, rank)).collect::<Result<Vec<_>, _>>()?;
    let mut sorted = found.clone();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(error(node, &format!("an axis is there twice: {axes:?}")));
    }
    Ok(found)
}

/// A shape with dimensions of 1 in front, up to a rank.
pub fn left_padded(shape: &[usize], rank: usize) -> Vec<usize> {
    std::iter::repeat_n(1, rank - shape.len()).chain(shape.iter().copied()).collect()
}

/// The shape that two shapes of one rank broadcast to.
pub fn broadcast(node: &Node, a: &[usize], b: &[usize]) -> Result<Vec<usize>, Error> {
    a.iter()
        .zip(b)
        .map(|(&m, &n)| match (m, n) {
            _ if m == n => Ok(m),
            (1, n) => Ok(n),
            (m, 1) => Ok(m),
            _ => Err(error(node, &format!("shapes {a:?} and {b:?} do not broadcast"))),
        })
        .collect()
}

/// The layout for an op that works in any, given its inputs: that of the first that has channels last.
pub fn spatial_last(b: &Builder<'_>, values: &[ValueId]) -> Layout {
    let last = values.iter().filter_map(|&v| b.placed(v)).any(|x| x.layout == Layout::ChannelsLast);
    if last { Layout::ChannelsLast } else { Layout::RowMajor }
}

impl Builder<'_> {
    /// The tensor of an input that the plan depends on. Where steps have yet to compute it, or the caller feeds it,
    /// the plan ends before this node, and the rest is planned when a run knows the tensor.
    pub fn known_input(&self, node: &Node, place: usize) -> Result<Tensor, Error> {
        let value = needed(node, place)?;
        self.known(value).cloned().ok_or_else(|| {
            self.want(value);
            error(node, &format!("'{}' is not known before the run", self.name(value)))
        })
    }

    /// The integers of an input that must be known before the run.
    pub fn known_ints(&self, node: &Node, place: usize) -> Result<Vec<i64>, Error> {
        whole_numbers(node, &self.known_input(node, place)?)
    }

    /// [`Builder::known_ints`] of an input that may be left out.
    pub fn known_ints_opt(&self, node: &Node, place: usize) -> Result<Option<Vec<i64>>, Error> {
        match node.input(place) {
            Some(_) => self.known_ints(node, place).map(Some),
            None => Ok(None),
        }
    }

    /// A shape or repeats: [`Builder::known_ints`], none negative.
    pub fn known_shape(&self, node: &Node, place: usize) -> Result<Vec<usize>, Error> {
        let ints = self.known_ints(node, place)?;
        ints.iter()
            .map(|&n| usize::try_from(n).map_err(|_| error(node, &format!("{n} in the shape {ints:?}"))))
            .collect()
    }
}

/// The elements of an integer tensor as int64.
pub fn whole_numbers(node: &Node, tensor: &Tensor) -> Result<Vec<i64>, Error> {
    use crate::program::DType;
    match tensor.dtype() {
        DType::I64 => tensor.i64s(),
        DType::I32 => Ok(tensor.i32s()?.into_iter().map(i64::from).collect()),
        other => Err(error(node, &format!("needs integers, got a tensor of {}", other.name()))),
    }
}
