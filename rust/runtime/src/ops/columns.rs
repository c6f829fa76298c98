//! Col2Im: columns of blocks added up into the image that they overlap on.

use octavo_exec::{cast, cast_mut};

use crate::ops::node::{checked_elements, error, made, needed};
use crate::ops::numbers::{Element, Number, with_element};
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::Node;

/// One axis of the image.
#[derive(Clone, Copy)]
struct BlockAxis {
    image: usize,
    /// Elements of a block.
    block: usize,
    /// Blocks side by side.
    blocks: usize,
    stride: i64,
    dilation: i64,
    pad: i64,
}

impl BlockAxis {
    /// Where an element of a block lies, unless in the padding.
    fn place(&self, block: usize, element: usize) -> Option<usize> {
        let at = block as i64 * self.stride - self.pad + element as i64 * self.dilation;
        usize::try_from(at).ok().filter(|&at| at < self.image)
    }
}

/// Plans Col2Im; image and block are known before the run.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let (image, block) = (b.known_shape(node, 1)?, b.known_shape(node, 2)?);
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let &[batch, rows, columns] = x.shape() else {
        return Err(error(node, &format!("needs 3 axes, got shape {:?}", x.shape())));
    };
    let axes = axes(node, &image, &block)?;
    let product = |all: usize, n: usize| all.checked_mul(n);
    let size =
        block.iter().copied().try_fold(1, product).filter(|&size| size > 0 && rows.is_multiple_of(size));
    let blocks = axes.iter().map(|axis| axis.blocks).try_fold(1, product);
    let (Some(size), Some(_)) = (size, blocks.filter(|&blocks| blocks == columns)) else {
        let what = format!("columns of shape {:?} are not those of blocks {block:?} in {image:?}", x.shape());
        return Err(error(node, &what));
    };
    let shape = [&[batch, rows / size], &image[..]].concat();
    checked_elements(node, x.shape(), &shape)?;
    let y = b.output(made(node, 0)?, shape, Layout::RowMajor)?;
    if y.elements() == 0 {
        return Ok(());
    }
    let plane: usize = image.iter().product();
    let chunk = b.steps.chunk(batch * (rows / size), (size * columns) as f64 * 2.0, 1);
    let (xb, yb, dtype) = (x.buffer, y.buffer, x.dtype());
    b.steps.of_node(node, "scalar-col2im").run([xb], [yb], move |run, [x], [y]| {
        let pool = run.pool;
        with_element!(dtype, E => {
            let x = cast::<<E as Element>::Bits>(x);
            pool.slices(cast_mut::<<E as Element>::Bits>(y), chunk * plane, |i, y| {
                let mut sums = vec![<<E as Element>::Number as Number>::ZERO; plane];
                for (at, y) in y.chunks_exact_mut(plane).enumerate() {
                    let x = &x[(i * chunk + at) * size * columns..][..size * columns];
                    sums.fill(Number::ZERO);
                    add_blocks::<E>(x, &axes, columns, &mut sums);
                    y.iter_mut().zip(&sums).for_each(|(y, &sum)| *y = E::store(sum));
                }
            });
        });
    });
    Ok(())
}

/// The attributes by axis, and how many blocks fit.
fn axes(node: &Node, image: &[usize], block: &[usize]) -> Result<Vec<BlockAxis>, Stop> {
    let rank = image.len();
    let (ones, zeros) = (vec![1; rank], vec![0; 2 * rank]);
    let strides = node.attributes.ints_or("strides", &ones)?;
    let dilations = node.attributes.ints_or("dilations", &ones)?;
    let pads = node.attributes.ints_or("pads", &zeros)?;
    if rank == 0 || [block.len(), strides.len(), dilations.len()] != [rank; 3] || pads.len() != 2 * rank {
        return Err(error(
            node,
            &format!("an image {image:?} and blocks {block:?} do not fit its attributes"),
        ));
    }
    (0..rank)
        .map(|d| {
            // In 128 bits, where nothing overflows.
            let padded = image[d] as i128 + i128::from(pads[d]) + i128::from(pads[rank + d]);
            let reach = i128::from(dilations[d]) * (block[d] as i128 - 1) + 1;
            let blocks = if padded >= reach { (padded - reach) / i128::from(strides[d]) + 1 } else { 0 };
            let blocks = usize::try_from(blocks).map_err(|_| error(node, "has too many blocks"))?;
            let (stride, dilation, pad) = (strides[d], dilations[d], pads[d]);
            Ok(BlockAxis { image: image[d], block: block[d], blocks, stride, dilation, pad })
        })
        .collect()
}

/// Adds `[block elements, blocks]`, both in row-major order, into one plane: element by element of the block.
fn add_blocks<E: Element>(x: &[E::Bits], axes: &[BlockAxis], columns: usize, sums: &mut [E::Number]) {
    if columns == 0 {
        return;
    }
    for (element, x) in x.chunks_exact(columns).enumerate() {
        for (column, &x) in x.iter().enumerate() {
            let (mut element, mut column, mut step) = (element, column, 1);
            let mut place = Some(0);
            for axis in axes.iter().rev() {
                let at = axis.place(column % axis.blocks, element % axis.block);
                place = place.zip(at).map(|(place, at)| place + at * step);
                (column, element, step) = (column / axis.blocks, element / axis.block, step * axis.image);
            }
            if let Some(place) = place {
                sums[place] = sums[place].plus(E::load(x));
            }
        }
    }
}
