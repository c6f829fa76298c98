//! MatMul of float64 and of integers: each product and each sum rounded, k rising; integers wrap.

use octavo_exec::{Pod, cast, cast_mut};

use crate::ops::batches::{Batches, Products, View};
use crate::ops::node::{error, made};
use crate::ops::numbers::Number;
use crate::plan::buffers::BufferId;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::{DType, Node};

/// Plans a MatMul of any ranks, with numpy's broadcasting of the leading dimensions.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let (left, right) = (View::of(b, node, 0)?, View::of(b, node, 1)?);
    let batches = Batches::of(node, left, right)?;
    let y = b.output(made(node, 0)?, batches.shape(), Layout::RowMajor)?;
    if y.elements() == 0 {
        return Ok(());
    }
    let products = batches.products();
    let buffers = [batches.left.buffer, batches.right.buffer, y.buffer];
    match y.dtype() {
        DType::F64 => push::<f64>(b, node, products, buffers),
        DType::I64 => push::<i64>(b, node, products, buffers),
        DType::I32 => push::<i32>(b, node, products, buffers),
        DType::I16 => push::<i16>(b, node, products, buffers),
        DType::I8 => push::<i8>(b, node, products, buffers),
        DType::U8 => push::<u8>(b, node, products, buffers),
        dtype => return Err(error(node, &format!("a tensor of {} does not run", dtype.name()))),
    }
    Ok(())
}

/// Pushes products of matrices that lie row-major, one after the other: a Transpose leaves no other tensor as it lay.
fn push<T: Pod + Number>(
    b: &mut Builder<'_>,
    node: &Node,
    products: Products,
    [left, right, y]: [BufferId; 3],
) {
    let Products { n, k, .. } = products;
    let chunk = b.steps.chunk(products.rows(), (n * k) as f64 * 0.3, 1);
    let step = b.steps.of_node(node, "plain-product").macs(products.macs());
    step.run([left, right], [y], move |run, [left, right], [y]| {
        let pool = run.pool;
        let (left, right) = (cast::<T>(left), cast::<T>(right));
        pool.slices(cast_mut::<T>(y), chunk * n, |i, y| {
            for (j, y) in y.chunks_exact_mut(n).enumerate() {
                let piece = products.piece(i * chunk + j, 1);
                let (number, from) = products.of_piece(&piece, 0);
                let first = products.rights[number] * k;
                y.fill(T::ZERO);
                for (step, &a) in left[from..][..k].iter().enumerate() {
                    for (y, &w) in y.iter_mut().zip(&right[(first + step) * n..][..n]) {
                        *y = y.plus(a.times(w));
                    }
                }
            }
        });
    });
}
