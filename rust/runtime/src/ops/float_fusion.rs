//! Which later nodes a float product takes into its epilogue: a constant a column, a tensor that is there already, then
//! an activation. The bits are those of the nodes one by one.

use octavo_kernels::float::epilogue::{Clamp, Epilogue, Residual};
use octavo_kernels::float::unary::Unary;

use crate::ops::unary;
use crate::plan::buffers::Placed;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::{DType, Node, Op, Tensor, ValueId};

/// What a product does with its sums, and the value that it makes.
pub struct FusedFloats {
    /// The value of the last fused node, or the product's own.
    pub output: ValueId,
    /// The names of the nodes.
    pub names: String,
    /// The tensor to add, in the product's own layout.
    pub residual: Option<Placed>,
    /// The rest, for the step.
    pub finish: Finish,
}

/// What a step keeps of its epilogue.
pub struct Finish {
    /// One number a column.
    pub bias: Option<Vec<f32>>,
    /// The last function.
    pub activation: Option<Unary>,
}

impl Finish {
    /// The epilogue of `n` columns from `column` on; `residual` begins at their first row, its rows are `stride` apart.
    pub fn epilogue<'a>(
        &'a self,
        column: usize,
        n: usize,
        residual: Option<&'a [f32]>,
        stride: usize,
    ) -> Epilogue<'a> {
        Epilogue {
            bias: self.bias.as_ref().map(|bias| &bias[column..column + n]),
            residual: residual.map(|data| Residual { data: &data[column..], stride }),
            activation: self.activation,
        }
    }
}

/// The nodes to fuse behind a product that makes `output`, with that shape, layout and axis of columns, and adds `bias`;
/// they are marked as planned.
pub fn after_product(
    b: &mut Builder<'_>,
    node: &Node,
    output: ValueId,
    shape: &[usize],
    layout: Layout,
    columns: usize,
    bias: Option<Vec<f32>>,
) -> Result<FusedFloats, Stop> {
    let mut fused = FusedFloats::alone(node, output, bias);
    if fused.finish.bias.is_none()
        && let Some(sum) = sum_behind(b, fused.output)
        && let Some(bias) = b.known(sum.other).and_then(|known| by_column(known, shape, columns))
    {
        fused.finish.bias = Some(bias);
        fused.take(b, sum.index, sum.output);
    }
    if let Some(sum) = sum_behind(b, fused.output)
        && b.placed(sum.other).is_some_and(|other| other.shape() == shape)
    {
        fused.residual = Some(b.input_as(sum.other, layout)?);
        fused.take(b, sum.index, sum.output);
    }
    fused.take_activation(b);
    Ok(fused)
}

/// The activation alone to fuse behind a product that makes `output` and adds `bias`; it is marked as planned.
pub fn activation_after(
    b: &mut Builder<'_>,
    node: &Node,
    output: ValueId,
    bias: Option<Vec<f32>>,
) -> FusedFloats {
    let mut fused = FusedFloats::alone(node, output, bias);
    fused.take_activation(b);
    fused
}

impl FusedFloats {
    /// A product that makes `output`, and nothing behind it.
    pub fn alone(node: &Node, output: ValueId, bias: Option<Vec<f32>>) -> FusedFloats {
        let finish = Finish { bias, activation: None };
        FusedFloats { output, names: node.name.clone(), residual: None, finish }
    }

    fn take_activation(&mut self, b: &mut Builder<'_>) {
        if let Some((indices, function, output)) = activation_behind(b, self.output) {
            self.finish.activation = Some(function);
            for index in indices {
                self.take(b, index, output);
            }
        }
    }

    fn take(&mut self, b: &mut Builder<'_>, index: usize, output: ValueId) {
        b.absorb(index);
        self.names = format!("{} + {}", self.names, b.program.nodes[index].name);
        self.output = output;
    }
}

struct Sum {
    index: usize,
    other: ValueId,
    output: ValueId,
}

/// The float Add of two different values that alone reads a value.
fn sum_behind(b: &Builder<'_>, value: ValueId) -> Option<Sum> {
    let (index, add) = b.only_reader(value)?;
    let [Some(left), Some(right)] = add.inputs[..] else { return None };
    let output = made_in_float(b, add, Op::Add)?;
    (left != right).then_some(Sum { index, other: if left == value { right } else { left }, output })
}

/// The float output of a node of that op.
fn made_in_float(b: &Builder<'_>, node: &Node, op: Op) -> Option<ValueId> {
    let output = node.outputs.first().copied().flatten()?;
    (node.op == op && b.program.value(output).dtype == DType::F32).then_some(output)
}

/// The numbers of a constant that has one for each place on an axis of a shape and does not move along the others.
fn by_column(constant: &Tensor, shape: &[usize], axis: usize) -> Option<Vec<f32>> {
    let own = constant.shape();
    let padding = shape.len().checked_sub(own.len())?;
    let is_by_column =
        own.iter().enumerate().all(|(at, &n)| n == if at + padding == axis { shape[axis] } else { 1 });
    (is_by_column && (padding <= axis || shape[axis] == 1)).then(|| constant.f32s().ok())?
}

/// Takes a function that clamps and alone reads `output` into the product that makes it: gives back what it makes, the
/// nodes' names, and the clamp.
pub fn clamp_after(b: &mut Builder<'_>, node: &Node, output: ValueId) -> (ValueId, String, Clamp) {
    let mut fused = FusedFloats::alone(node, output, None);
    let behind = activation_behind(b, output);
    let clamp = behind.as_ref().and_then(|&(_, function, _)| Clamp::of(function));
    if let (Some(clamp), Some((indices, _, clamped))) = (clamp, behind) {
        for index in indices {
            fused.take(b, index, clamped);
        }
        return (fused.output, fused.names, clamp);
    }
    (fused.output, fused.names, Clamp::NONE)
}

/// The activation that alone reads a value: the nodes that make it up, the function, and what it makes.
fn activation_behind(b: &Builder<'_>, value: ValueId) -> Option<(Vec<usize>, Unary, ValueId)> {
    if b.program.value(value).dtype != DType::F32 {
        return None;
    }
    if let Some((index, node)) = b.only_reader(value) {
        let [Some(first), parameters @ ..] = &node.inputs[..] else { return None };
        if *first != value || parameters.iter().flatten().any(|&value| b.known(value).is_none()) {
            return None;
        }
        let function = unary::function(b, node).ok()?;
        return Some((vec![index], function, made_in_float(b, node, node.op)?));
    }
    gate_behind(b, value)
}

/// `x * sigmoid(x)` and `x * hard_sigmoid(x)` written out in two nodes.
fn gate_behind(b: &Builder<'_>, value: ValueId) -> Option<(Vec<usize>, Unary, ValueId)> {
    let &[first, second] = b.readers(value) else { return None };
    let nodes = &b.program.nodes;
    let (gate, product) = if nodes[first].op == Op::Mul { (second, first) } else { (first, second) };
    if !matches!(nodes[gate].op, Op::Sigmoid | Op::HardSigmoid) {
        return None;
    }
    let function = match unary::function(b, &nodes[gate]).ok()? {
        Unary::Sigmoid => Unary::Swish { alpha: 1.0 },
        Unary::HardSigmoid { alpha, beta } if (alpha, beta) == (1.0 / 6.0, 0.5) => Unary::HardSwish,
        _ => return None,
    };
    let gated = made_in_float(b, &nodes[gate], nodes[gate].op)?;
    let output = made_in_float(b, &nodes[product], Op::Mul)?;
    let is_its_own = b.only_reader(gated).is_some_and(|(index, _)| index == product) && !b.is_seen(value);
    is_its_own.then_some((vec![gate, product], function, output))
}
