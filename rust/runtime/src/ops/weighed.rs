//! What attention has behind the products of its exponentials: two digits become one number, which is divided by the sum of
//! its row, and quantized where a Quantize follows.

use octavo_exec::{bytes_of, bytes_of_mut};
use octavo_kernels::float::exponentials::weigh;
use octavo_kernels::quantize::quantize;
use octavo_kernels::table::Kernels;

use crate::ops::batches::Batches;
use crate::ops::behind::quantize_behind;
use crate::ops::node::{error, made, needed};
use crate::plan::buffers::Placed;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::plan::runs::copy_runs;
use crate::program::Node;

/// Most columns that go through a block at once: whole units of the packing.
pub const COLUMNS: usize = 1024;
/// Numbers of a block, each of two products of digits.
const NUMBERS: usize = 2048;

/// Rows that go through a block at once, of a product of n columns.
pub fn rows_of_a_block(n: usize) -> usize {
    NUMBERS / n.clamp(1, COLUMNS)
}

/// What becomes of products in the same step.
pub struct Weighed {
    /// Divided by the sums.
    pub scale: f32,
    /// The scale and the zero point of the bytes that the floats become.
    pub quantize: Option<(f32, i32)>,
}

/// Room for what a block of rows becomes.
#[repr(align(64))]
pub struct Blocks {
    digits: [f32; 2 * NUMBERS],
    numbers: [f32; NUMBERS],
    bytes: [u8; NUMBERS],
}

impl Blocks {
    /// Nothing yet.
    pub const EMPTY: Blocks =
        Blocks { digits: [0.0; 2 * NUMBERS], numbers: [0.0; NUMBERS], bytes: [0; NUMBERS] };

    /// The bytes of the products of so many rows of both digits, of n columns each.
    pub fn digits(&mut self, rows: usize, n: usize) -> &mut [u8] {
        bytes_of_mut(&mut self.digits[..2 * rows * n])
    }
}

impl Weighed {
    /// The bytes of an element of the result.
    pub fn element(&self) -> usize {
        if self.quantize.is_some() { 1 } else { size_of::<f32>() }
    }

    /// Finishes the rows of n columns that are in a block, one a pair of sums. y begins with the first, `width` bytes before
    /// the next.
    pub fn finish(
        &self,
        kernels: Kernels,
        blocks: &mut Blocks,
        n: usize,
        sums: &[[i32; 2]],
        y: &mut [u8],
        width: usize,
    ) {
        let elements = sums.len() * n;
        let numbers = &mut blocks.numbers[..elements];
        weigh(kernels, &blocks.digits[..2 * elements], n, self.scale, sums, numbers);
        let Some((scale, zero_point)) = self.quantize else {
            return copy_runs(bytes_of(numbers), size_of::<f32>() * n, y, width, size_of::<f32>() * n);
        };
        let bytes = &mut blocks.bytes[..elements];
        quantize(kernels, numbers, scale, zero_point, bytes);
        copy_runs(bytes, n, y, width, n);
    }
}

/// The sums that the left side's rows are weighed by, two a row, of its shape but for the last dimension.
pub fn sums(b: &mut Builder<'_>, node: &Node) -> Result<Placed, Stop> {
    let mut wanted = b.tensor(needed(node, 0)?)?.shape;
    let sums = b.input_as(needed(node, 2)?, Layout::RowMajor)?;
    wanted.pop();
    wanted.push(2);
    if sums.shape() != wanted {
        let what = format!("its sums are of shape {:?}, not {wanted:?}", sums.shape());
        return Err(error(node, &what));
    }
    Ok(sums)
}

/// Takes in a Quantize and a Transpose behind the product, and declares what they make: the names of all, and where it is.
pub fn behind(
    b: &mut Builder<'_>,
    node: &Node,
    batches: &mut Batches,
) -> Result<(String, Weighed, Placed), Stop> {
    let (mut last, mut weighed) = (node, Weighed { scale: node.attributes.f32("b_scale")?, quantize: None });
    if let Some((index, quantize)) = quantize_behind(b, node)? {
        b.absorb(index);
        let by = (quantize.attributes.f32("scale")?, quantize.attributes.int32("zero_point")?);
        (last, weighed.quantize) = (quantize, Some(by));
    }
    let transpose = batches.absorb_transpose(b, last)?;
    let (names, value) = transpose.map_or((last.name.clone(), made(last, 0)?), |transpose| transpose);
    let names = if weighed.quantize.is_some() { format!("{} + {names}", node.name) } else { names };
    let y = b.output(value, batches.shape(), Layout::RowMajor)?;
    Ok((names, weighed, y))
}
