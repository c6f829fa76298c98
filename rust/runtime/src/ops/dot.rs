//! MatMul of float64 and of integers: each product and each sum rounded, k rising; integers wrap.

use octavo_exec::{Pod, cast, cast_mut};

use crate::ops::matmul::products;
use crate::ops::node::{error, left_padded, made, needed};
use crate::ops::numbers::Number;
use crate::plan::buffers::Placed;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::{DType, Node};

/// Plans a MatMul of any ranks, with numpy's broadcasting of the leading dimensions.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let left = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let right = b.input_as(needed(node, 1)?, Layout::RowMajor)?;
    let (mut p, mut q) = (left.shape().to_vec(), right.shape().to_vec());
    let (is_row, is_column) = (p.len() == 1, q.len() == 1);
    if is_row {
        p.insert(0, 1);
    }
    if is_column {
        q.push(1);
    }
    let (&[ref p @ .., m, k], &[ref q @ .., inner, n]) = (&p[..], &q[..]) else {
        return Err(error(node, "an operand without dimensions"));
    };
    if inner != k {
        let what = format!("shapes {:?} and {:?} do not multiply", left.shape(), right.shape());
        return Err(error(node, &what));
    }
    let rank = p.len().max(q.len());
    let (p, q) = (left_padded(p, rank), left_padded(q, rank));
    let leading = products(node, &p, &q)?;
    let mut shape = leading.clone();
    shape.extend((!is_row).then_some(m));
    shape.extend((!is_column).then_some(n));
    let y = b.output(made(node, 0)?, shape, Layout::RowMajor)?;
    if y.elements() == 0 {
        return Ok(());
    }
    let sources: Vec<[usize; 2]> =
        (0..leading.iter().product()).map(|i| [source(i, &leading, &p), source(i, &leading, &q)]).collect();
    match y.dtype() {
        DType::F64 => push::<f64>(b, node, sources, [m, n, k], [&left, &right, &y]),
        DType::I64 => push::<i64>(b, node, sources, [m, n, k], [&left, &right, &y]),
        DType::I32 => push::<i32>(b, node, sources, [m, n, k], [&left, &right, &y]),
        DType::I16 => push::<i16>(b, node, sources, [m, n, k], [&left, &right, &y]),
        DType::I8 => push::<i8>(b, node, sources, [m, n, k], [&left, &right, &y]),
        DType::U8 => push::<u8>(b, node, sources, [m, n, k], [&left, &right, &y]),
        dtype => return Err(error(node, &format!("a tensor of {} does not run", dtype.name()))),
    }
    Ok(())
}

/// Which matrix of a side is behind that one of the output.
fn source(mut index: usize, leading: &[usize], side: &[usize]) -> usize {
    let (mut at, mut step) = (0, 1);
    for (&n, &own) in leading.iter().zip(side).rev() {
        at += if own == 1 { 0 } else { index % n * step };
        index /= n;
        step *= own;
    }
    at
}

fn push<T: Pod + Number>(
    b: &mut Builder<'_>,
    node: &Node,
    sources: Vec<[usize; 2]>,
    [m, n, k]: [usize; 3],
    [left, right, y]: [&Placed; 3],
) {
    let chunk = b.steps.chunk(sources.len() * m, (n * k) as f64 * 0.3, 1);
    let (lb, rb, yb) = (left.buffer, right.buffer, y.buffer);
    let macs = [sources.len(), m, n, k].into_iter().fold(1u64, |all, n| all.saturating_mul(n as u64));
    b.steps.of_node(node, "plain-product").macs(macs).run([lb, rb], [yb], move |run, [left, right], [y]| {
        let pool = run.pool;
        let (left, right) = (cast::<T>(left), cast::<T>(right));
        pool.slices(cast_mut::<T>(y), chunk * n, |i, y| {
            for (j, y) in y.chunks_exact_mut(n).enumerate() {
                let row = i * chunk + j;
                let [l, r] = sources[row / m];
                y.fill(T::ZERO);
                for (step, &a) in left[(l * m + row % m) * k..][..k].iter().enumerate() {
                    for (y, &w) in y.iter_mut().zip(&right[(r * k + step) * n..][..n]) {
                        *y = y.plus(a.times(w));
                    }
                }
            }
        });
    });
}
