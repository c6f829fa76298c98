//! Right sides of float products that are stored in integers of few bits. A product of few rows, which memory bounds,
//! multiplies by them as they are; one of more rows by the floats that they stand for, which are unpacked once. Both
//! are the same chains of the same float32 numbers.

use std::sync::Arc;

use octavo_exec::Arena;
use octavo_kernels::float::gemm::stored::{Form, Weights};
use octavo_kernels::isa::Isa;
use octavo_kernels::quantize::weights::{Width, unpack};

use crate::error::Error;
use crate::plan::builder::Builder;
use crate::plan::packing::Key;
use crate::program::{DType, Node, Op, Tensor, ValueId};

/// Most rows that read large weights as they are stored: of more, arithmetic takes longer than memory.
const MOST_ROWS: usize = 4;
/// Weights of which several rows do, and constants of which one row does on AVX2, which unpacks slowly: in float32, they
/// are beyond a core's share of the caches.
const LARGE: usize = 1 << 22;
/// Fewest steps that share a scale.
const LEAST_BLOCK: usize = 8;
/// Integers that are unpacked at a time.
const AT_A_TIME: usize = 256;

/// Weights that a Dequantize of constants gives to products alone, as their right side.
pub struct Stored<'p> {
    codes: &'p Tensor,
    scales: &'p Tensor,
    zeros: Option<&'p Tensor>,
    /// The Dequantize.
    pub maker: usize,
    /// What it gives.
    value: ValueId,
    /// Of the integers, from one column and from one step to the next.
    strides: [usize; 2],
    /// Of the scales, from one column and from one block to the next.
    scale_strides: [usize; 2],
    /// How a product reads them.
    pub form: Form,
}

impl<'p> Stored<'p> {
    /// The right side of a product, if it is such; the product itself may have too many rows for it.
    pub fn of(b: &Builder<'p>, product: &Node) -> Option<Stored<'p>> {
        let value = right_side(product)?;
        let maker = b.maker_index(value)?;
        let node = &b.program.nodes[maker];
        if node.op != Op::Dequantize || b.is_seen(value) {
            return None;
        }
        let is_product = |&reader: &usize| {
            let reader = &b.program.nodes[reader];
            right_side(reader) == Some(value)
                && reader.input(0) != Some(value)
                && reader.input(2) != Some(value)
        };
        if !b.readers(value).iter().all(is_product) {
            return None;
        }
        let constant = |place| node.input(place).and_then(|value| b.program.value(value).constant.as_ref());
        let (codes, scales) = (constant(0)?, constant(1)?);
        let zeros = constant(2);
        if node.input(2).is_some() && zeros.is_none() {
            return None;
        }
        let &[rows, columns] = codes.shape() else { return None };
        let of_scales = node.scales_shape(codes.shape()).ok()?.unwrap_or_default();
        if [Some(scales), zeros].into_iter().flatten().any(|of| *of.shape() != *of_scales) {
            return None;
        }
        if codes.dtype().integer_range().is_none() || codes.dtype().bits() > 8 || scales.dtype() != DType::F32
        {
            return None;
        }
        let is_turned = product.op == Op::Gemm && product.attributes.int("transB").ok()? != 0;
        let [n, k, column, step] =
            if is_turned { [rows, columns, columns, 1] } else { [columns, rows, 1, columns] };
        let (block, scale_strides) = blocks_of(node, is_turned, n, k)?;
        let form = Form { bits: if codes.dtype().bits() > 4 { 8 } else { 4 }, n, k, block };
        Some(Stored { codes, scales, zeros, maker, value, strides: [column, step], scale_strides, form })
    }

    /// Whether a product multiplies by the integers, which is known once its left side is.
    pub fn is_read_by(&self, b: &Builder<'_>, product: &Node) -> bool {
        let Some(left) = product.input(0).filter(|&left| b.strided(left).is_none()) else { return false };
        let Ok(mut shape) = b.tensor(left).map(|tensor| tensor.shape) else { return false };
        let is_turned =
            product.op == Op::Gemm && product.attributes.int("transA").is_ok_and(|turned| turned != 0);
        let k = if is_turned { (!shape.is_empty()).then(|| shape.remove(0)) } else { shape.pop() };
        let rows: usize = shape.iter().product();
        let unpacks_slowly = matches!(b.steps.kernels.isa(), Isa::Avx2 | Isa::AvxVnni | Isa::Avx512Vl);
        let is_few = match rows {
            1 => !unpacks_slowly || b.uses.constant_elements >= LARGE,
            _ => rows <= MOST_ROWS && self.form.n.saturating_mul(self.form.k) >= LARGE,
        };
        !shape.is_empty() && k == Some(self.form.k) && is_few
    }

    /// The weights as the kernels read them.
    pub fn packed(&self, b: &mut Builder<'_>) -> Result<Arc<Arena>, Error> {
        let form = self.form;
        let scales = self.scales.f32s()?;
        let (least, _) = self.codes.dtype().integer_range().unwrap_or_default();
        let offset = -least as i32;
        let zeros: Vec<u8> = match self.zeros {
            Some(zeros) => zeros.integers()?.into_iter().map(|zero| (zero + offset) as u8).collect(),
            None => vec![offset as u8; scales.len()],
        };
        let name = if self.strides[0] == 1 { "stored [k, n]" } else { "stored [n, k]" };
        let key = Key { weight: self.value.0, form: name, part: 0, parts: 1 };
        b.packing.get(key, form.packed_len(), |out| {
            let codes = self.bytes(offset);
            let Stored { strides, scale_strides, .. } = *self;
            form.pack(
                &Weights { codes: &codes, strides, scales: &scales, zeros: &zeros, scale_strides },
                out,
            );
        })
    }

    /// The integers less the least one, `offset`, a byte each.
    fn bytes(&self, offset: i32) -> Vec<u8> {
        let dtype = self.codes.dtype();
        let width = Width { bits: dtype.bits(), is_signed: offset != 0 };
        let (mut bytes, mut q) = (vec![0; self.codes.len()], [0; AT_A_TIME]);
        for (part, bytes) in bytes.chunks_mut(AT_A_TIME).enumerate() {
            unpack(self.codes.bytes(), width, part * AT_A_TIME, &mut q[..bytes.len()]);
            for (byte, &q) in bytes.iter_mut().zip(&q) {
                *byte = (q + offset) as u8;
            }
        }
        bytes
    }
}

/// Whether a node does nothing but to dequantize such weights, so that its readers see to it.
pub fn is_left_to_readers(b: &Builder<'_>, index: usize) -> bool {
    let node = &b.program.nodes[index];
    let Some(value) = node.outputs.first().copied().flatten().filter(|_| node.op == Op::Dequantize) else {
        return false;
    };
    let readers = b.readers(value);
    !readers.is_empty() && readers.iter().all(|&reader| Stored::of(b, &b.program.nodes[reader]).is_some())
}

/// The Dequantize that a product needs planned before it, because it multiplies by floats.
pub fn needed_first(b: &Builder<'_>, product: usize) -> Option<usize> {
    let node = &b.program.nodes[product];
    let stored = Stored::of(b, node).filter(|_| right_side(node).is_some())?;
    let is_there = b.known(stored.value).is_some() || b.placed(stored.value).is_some();
    (!is_there && is_left_to_readers(b, stored.maker) && !stored.is_read_by(b, node)).then_some(stored.maker)
}

/// The second operand of a float product of matrices.
fn right_side(node: &Node) -> Option<ValueId> {
    node.input(1).filter(|_| matches!(node.op, Op::MatMul | Op::Gemm))
}

/// The steps that share a scale, and how scales lie for a column and a block.
fn blocks_of(node: &Node, is_turned: bool, n: usize, k: usize) -> Option<(usize, [usize; 2])> {
    if !node.attributes.has("axis") {
        return Some((k.max(1), [0, 0]));
    }
    let axis = node.attributes.int("axis").ok()?.rem_euclid(2);
    let is_of_columns = (axis == 0) == is_turned;
    if !node.attributes.has("block") {
        return is_of_columns.then_some((k.max(1), [1, 0]));
    }
    let block = node.attributes.size("block").ok()?;
    let strides = if is_turned { [k.div_ceil(block), 1] } else { [1, n] };
    (!is_of_columns && block >= LEAST_BLOCK).then_some((block, strides))
}
