//! What stands behind a product of two computed matrices and is taken into its step: a factor and a mask, as attention has
//! them before a softmax; a Quantize; a Transpose.

use octavo_kernels::float::scores::Factor;

use crate::ops::node::{made, perm};
use crate::plan::builder::{Builder, Stop};
use crate::program::{DType, Node, Op, ValueId};

/// The nodes behind a product that scale and mask it.
pub struct MaskedBehind<'p> {
    /// The nodes, to be taken into the product's step.
    pub indices: Vec<usize>,
    /// What the product is multiplied by or divided by.
    pub factor: Option<Factor>,
    /// What is then added to it: a float32 tensor that is there already, and that broadcasts to the product.
    pub mask: Option<ValueId>,
    /// Who alone reads what they make.
    pub reader: (usize, &'p Node),
}

/// What a product's step can take in.
#[derive(Clone, Copy)]
pub struct Takes {
    /// A factor.
    pub factor: bool,
    /// A mask of one element a row.
    pub mask_of_columns: bool,
}

/// What follows the product that a node makes, of that shape, where one node alone reads the end of it.
pub fn masked_behind<'p>(
    b: &Builder<'p>,
    node: &Node,
    shape: &[usize],
    takes: Takes,
) -> Result<Option<MaskedBehind<'p>>, Stop> {
    let (mut value, mut indices) = (made(node, 0)?, Vec::new());
    let mut factor = None;
    if takes.factor
        && let Some((index, found, output)) = factor_behind(b, value)
    {
        (value, factor) = (output, Some(found));
        indices.push(index);
    }
    let mut mask = None;
    if let Some((index, other, output)) = mask_behind(b, value, shape)
        && (takes.mask_of_columns || b.tensor(other)?.shape.last() == shape.last())
    {
        (value, mask) = (output, Some(other));
        indices.push(index);
    }
    Ok(b.only_reader(value).map(|reader| MaskedBehind { indices, factor, mask, reader }))
}

/// The multiplication or division by one known number that alone reads a value.
fn factor_behind(b: &Builder<'_>, value: ValueId) -> Option<(usize, Factor, ValueId)> {
    let (index, node) = b.only_reader(value)?;
    let [Some(left), Some(right)] = node.inputs[..] else { return None };
    let other = if left == value { right } else { left };
    let known = b.known(other).filter(|known| known.len() == 1 && known.shape().len() <= 1)?;
    let number = known.f32s().ok()?[0];
    let factor = match node.op {
        Op::Mul => Factor::Times(number),
        Op::Div if left == value => Factor::Over(number),
        _ => return None,
    };
    Some((index, factor, made(node, 0).ok()?))
}

/// The Add that alone reads a value of that shape, the other tensor, which broadcasts to it, and the sum.
fn mask_behind(b: &Builder<'_>, value: ValueId, shape: &[usize]) -> Option<(usize, ValueId, ValueId)> {
    let (index, node) = b.only_reader(value)?;
    let [Some(left), Some(right)] = node.inputs[..] else { return None };
    let other = if left == value { right } else { left };
    let is_there = b.placed(other).is_some() || b.known(other).is_some();
    if node.op != Op::Add || !is_there || b.program.value(other).dtype != DType::F32 {
        return None;
    }
    let own = b.tensor(other).ok()?.shape;
    let padding = shape.len().checked_sub(own.len())?;
    let fits = own.iter().zip(&shape[padding..]).all(|(&n, &all)| n == 1 || n == all);
    fits.then_some((index, other, made(node, 0).ok()?))
}

/// The Quantize to bytes of one scale that alone reads what a node makes: its index and itself.
pub fn quantize_behind<'p>(b: &Builder<'p>, node: &Node) -> Result<Option<(usize, &'p Node)>, Stop> {
    let Some((index, quantize)) = b.only_reader(made(node, 0)?) else { return Ok(None) };
    let is_one_scale = quantize.op == Op::Quantize && quantize.inputs.len() == 1;
    let is_of_bytes = is_one_scale && b.program.value(made(quantize, 0)?).dtype == DType::U8;
    Ok(is_of_bytes.then_some((index, quantize)))
}

/// A Transpose behind the product that leaves the columns last.
pub struct TransposeBehind {
    /// The node.
    pub index: usize,
    /// Its order.
    pub perm: Vec<usize>,
    /// What it makes.
    pub value: ValueId,
}

/// The Transpose behind a product of that many dimensions that leaves the columns last, where nobody else sees it.
pub fn transpose_behind(b: &Builder<'_>, node: &Node, rank: usize) -> Result<Option<TransposeBehind>, Stop> {
    let Some((index, transpose)) = b.only_reader(made(node, 0)?) else { return Ok(None) };
    if transpose.op != Op::Transpose {
        return Ok(None);
    }
    let perm = perm(transpose, rank)?;
    if perm[rank - 1] != rank - 1 {
        return Ok(None);
    }
    Ok(Some(TransposeBehind { index, perm, value: made(transpose, 0)? }))
}
