//! Ops of two or more operands, element by element, with numpy's broadcasting.

use octavo_exec::{cast, cast_mut};
use octavo_kernels::elementwise::{self, AddParams, MulParams};
use octavo_kernels::float::binary::{self, Binary};
use octavo_kernels::isa::Kernels;

use crate::error::Error;
use crate::ops::movement::strides;
use crate::ops::{broadcast, error, integers, left_padded, made, spatial_last};
use crate::plan::TensorType;
use crate::plan::builder::{Builder, Placed};
use crate::plan::fusion::{add_params, int32};
use crate::plan::layout::Layout;
use crate::program::{DType, Node, Op, ValueId};

/// What two runs of elements become.
enum Function {
    Add(AddParams),
    Mul(MulParams),
    MaxU8,
    MinU8,
    Float(Binary),
    Integer(Op, DType),
}

impl Function {
    fn of(node: &Node, dtype: DType) -> Result<Function, Error> {
        Ok(match (node.op, dtype) {
            (Op::QAdd, _) => Function::Add(add_params(node)?),
            (Op::QMul, _) => Function::Mul(mul_params(node)?),
            (Op::Max, DType::U8) => Function::MaxU8,
            (Op::Min, DType::U8) => Function::MinU8,
            (op, DType::F32) => Function::Float(match op {
                Op::Add => Binary::Add,
                Op::Sub => Binary::Sub,
                Op::Mul => Binary::Mul,
                Op::Div => Binary::Div,
                Op::Pow => Binary::Pow,
                Op::Max => Binary::Max,
                Op::Min => Binary::Min,
                _ => Binary::PRelu,
            }),
            (op, DType::I32 | DType::I64) => Function::Integer(op, dtype),
            (_, other) => return Err(error(node, &format!("tensors of {} do not run", other.name()))),
        })
    }

    /// Runs on bytes of whole elements; one side may be a single element.
    fn run(&self, kernels: Kernels, a: &[u8], b: &[u8], y: &mut [u8]) {
        match self {
            Function::Add(params) => elementwise::add(kernels, a, b, params, y),
            Function::Mul(params) => elementwise::mul(kernels, a, b, params, y),
            Function::MaxU8 => elementwise::max(kernels, a, b, y),
            Function::MinU8 => elementwise::min(kernels, a, b, y),
            Function::Float(op) => binary::run(kernels, *op, cast(a), cast(b), cast_mut(y)),
            Function::Integer(op, dtype) => integers::binary(*op, *dtype, a, b, y),
        }
    }

    fn name(&self, kernels: Kernels) -> &'static str {
        let row = kernels.row();
        match self {
            Function::Add(_) => row.elementwise.add.name,
            Function::Mul(_) => row.elementwise.mul.name,
            Function::MaxU8 => row.elementwise.max.name,
            Function::MinU8 => row.elementwise.min.name,
            Function::Float(_) => row.float.binary.name,
            Function::Integer(_, dtype) => integers::name(*dtype),
        }
    }
}

fn mul_params(node: &Node) -> Result<MulParams, Error> {
    let a = &node.attributes;
    Ok(MulParams {
        a_zero_point: int32(node, a.int("a_zero_point")?)?,
        b_zero_point: int32(node, a.int("b_zero_point")?)?,
        y_zero_point: int32(node, a.int("y_zero_point")?)?,
        multiplier: int32(node, a.int("multiplier")?)?,
        shift: int32(node, a.int("shift")?)?.unsigned_abs(),
        lo: int32(node, a.int("lo")?)?,
        hi: int32(node, a.int("hi")?)?,
    })
}

/// Plans the op: operands beyond two (Max, Min) are taken one after the other.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
    let values: Vec<_> = node.inputs.iter().flatten().copied().collect();
    let mut shapes = Vec::with_capacity(values.len());
    for &value in &values {
        shapes.push(b.tensor(value)?.shape);
    }
    let rank = shapes.iter().map(Vec::len).max().unwrap_or(0);
    // Operands of less dimensions stand at the end of the logical shape, so only a row-major one can be padded in
    // front as it lies; a constant or a scalar can in any layout.
    let common = spatial_last(b, &values);
    let fits =
        values.iter().zip(&shapes).all(|(&v, s)| s.len() == rank || b.placed(v).is_none() || s.is_empty());
    let layout = if fits { common } else { Layout::RowMajor };
    let mut operands = Vec::with_capacity(values.len());
    for (&value, shape) in values.iter().zip(&shapes) {
        operands.push(if shape.len() == rank {
            b.input_as(value, layout)?
        } else {
            padded_operand(b, value, shape, rank, layout)?
        });
    }
    let mut whole = left_padded(&shapes[0], rank);
    for shape in &shapes[1..] {
        whole = broadcast(node, &whole, &left_padded(shape, rank))?;
    }
    let output = made(node, 0)?;
    if operands.len() == 1 {
        return b.alias(output, &operands[0], whole, layout);
    }
    check_divisor(b, node)?;
    let y = b.output(output, whole.clone(), layout)?;
    let mut so_far = operands[0].clone();
    for (index, operand) in operands[1..].iter().enumerate() {
        let is_last = index + 2 == operands.len();
        let target = if is_last {
            y.clone()
        } else {
            // No larger than the two need, so that one of them moves along every dimension.
            let shape = broadcast(node, so_far.shape(), operand.shape())?;
            let tensor = TensorType { dtype: y.dtype(), shape };
            Placed { buffer: b.temporary(tensor.bytes()), tensor, layout: y.layout }
        };
        push_pair(b, node, &so_far, operand, &target)?;
        so_far = target;
    }
    Ok(())
}

/// A step cannot fail, so what an integer is divided by must be known not to be 0.
fn check_divisor(b: &Builder<'_>, node: &Node) -> Result<(), Error> {
    let is_integer = |value: ValueId| b.program.value(value).dtype != DType::F32;
    if node.op == Op::Div && node.input(1).is_some_and(is_integer) && b.known_ints(node, 1)?.contains(&0) {
        return Err(error(node, "an integer division by zero"));
    }
    Ok(())
}

/// An operand of less dimensions, as if ones stood in front of its shape.
fn padded_operand(
    b: &mut Builder<'_>,
    value: ValueId,
    shape: &[usize],
    rank: usize,
    layout: Layout,
) -> Result<Placed, Error> {
    let placed = b.input_as(value, Layout::RowMajor)?;
    let full = left_padded(shape, rank);
    let tensor = TensorType { dtype: placed.dtype(), shape: full };
    let padded = Placed { tensor, layout: Layout::RowMajor, buffer: placed.buffer };
    // More than one dimension above 1 lies in another order when channels are last.
    let moves = layout == Layout::ChannelsLast && !crate::plan::layout::is_same_bytes(padded.shape());
    if !moves {
        return Ok(Placed { layout, ..padded });
    }
    let buffer = b.temporary(padded.tensor.bytes());
    let name = b.name(value).to_owned();
    crate::ops::movement::convert_layout(b, name, &padded, layout, buffer);
    Ok(Placed { layout, buffer, ..padded })
}

/// The loops of a broadcast: outer dimensions with byte strides of both operands, and an inner run.
struct Loops {
    /// Extent, stride of a, stride of b; outer to inner.
    outer: Vec<(usize, usize, usize)>,
    /// Elements of the inner run, and whether each operand moves in it.
    run: usize,
    a_moves: bool,
    b_moves: bool,
    element: usize,
}

impl Loops {
    fn new(a: &Placed, b: &Placed, y: &Placed) -> Loops {
        let (whole, p, q) = (y.physical(), a.physical(), b.physical());
        let rank = whole.len();
        let element = y.dtype().size();
        let order: Vec<usize> = (0..rank).collect();
        let (sa, sb) = (strides(&p, &order, element), strides(&q, &order, element));
        let mut loops = Loops { outer: Vec::new(), run: 1, a_moves: true, b_moves: true, element };
        let mut at = rank;
        // The innermost dimensions in which both operands move, or the same one of them stands still, are one run.
        let mut kind = None;
        while at > 0 {
            let d = at - 1;
            if whole[d] != 1 {
                let moves = (p[d] != 1, q[d] != 1);
                if kind.is_some_and(|kind| kind != moves) {
                    break;
                }
                kind = Some(moves);
                loops.run *= whole[d];
            }
            at -= 1;
        }
        (loops.a_moves, loops.b_moves) = kind.unwrap_or((true, true));
        for d in 0..at {
            if whole[d] != 1 {
                let stride = |own: &[usize], steps: &[usize]| if own[d] == 1 { 0 } else { steps[d] };
                loops.outer.push((whole[d], stride(&p, &sa), stride(&q, &sb)));
            }
        }
        loops
    }

    /// Where both operands' runs of that number begin.
    fn starts(&self, mut index: usize) -> (usize, usize) {
        let (mut a, mut b) = (0, 0);
        for &(n, sa, sb) in self.outer.iter().rev() {
            a += index % n * sa;
            b += index % n * sb;
            index /= n;
        }
        (a, b)
    }

    /// Bytes of an operand's part from element `skip` of the run on.
    fn part<'x>(&self, x: &'x [u8], start: usize, moves: bool, skip: usize, count: usize) -> &'x [u8] {
        let (skip, count) = if moves { (skip, count) } else { (0, 1) };
        &x[start + skip * self.element..][..count * self.element]
    }
}

fn push_pair(
    b: &mut Builder<'_>,
    node: &Node,
    left: &Placed,
    right: &Placed,
    y: &Placed,
) -> Result<(), Error> {
    let function = Function::of(node, y.dtype())?;
    let loops = Loops::new(left, right, y);
    if y.elements() == 0 {
        return Ok(());
    }
    let kernel = function.name(b.kernels);
    let (ab, bb, yb) = (left.buffer, right.buffer, y.buffer);
    let element = loops.element;
    let is_one_run = loops.outer.is_empty();
    let chunk = if is_one_run {
        b.chunk_elements(loops.run)
    } else {
        b.chunk(y.elements() / loops.run, loops.run as f64 * 0.1, 1)
    };
    b.push(
        node.name.clone(),
        node.op.name(),
        kernel,
        0,
        &[ab, bb],
        &[yb],
        Box::new(move |run| {
            let (kernels, pool) = (run.kernels, run.pool);
            let ([a, b], [y]) = run.get([ab, bb], [yb]);
            if is_one_run {
                pool.slices(y, chunk * element, |i, y| {
                    let count = y.len() / element;
                    let a = loops.part(a, 0, loops.a_moves, i * chunk, count);
                    let b = loops.part(b, 0, loops.b_moves, i * chunk, count);
                    function.run(kernels, a, b, y);
                });
            } else {
                pool.slices(y, chunk * loops.run * element, |i, y| {
                    for (index, y) in y.chunks_exact_mut(loops.run * element).enumerate() {
                        let (sa, sb) = loops.starts(i * chunk + index);
                        let a = loops.part(a, sa, loops.a_moves, 0, loops.run);
                        let b = loops.part(b, sb, loops.b_moves, 0, loops.run);
                        function.run(kernels, a, b, y);
                    }
                });
            }
        }),
    );
    Ok(())
}
