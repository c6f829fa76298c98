//! Which later nodes a product takes into its epilogue: QAdd of a tensor that is there already, then a Lookup.

use octavo_kernels::gemm::AddParams;

use crate::ops::node::error;
use crate::plan::buffers::Placed;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::{Node, Op, ValueId};

/// What a product's epilogue does beyond requantizing, and the value that it makes.
pub struct Fused {
    /// The value of the last fused node, or the product's own.
    pub output: ValueId,
    /// QAdd: its parameters, with the product as `a`, and the other operand.
    pub residual: Option<(AddParams, Placed)>,
    /// Lookup.
    pub table: Option<Box<[u8; 256]>>,
    /// The names of the nodes.
    pub names: String,
}

/// The nodes to fuse behind `node`, whose output has that shape and layout; they are marked as planned. QAdd is not where
/// the node `adds` a residual of its own.
pub fn after_product(
    b: &mut Builder<'_>,
    node: &Node,
    output: ValueId,
    shape: &[usize],
    layout: Layout,
    adds: bool,
) -> Result<Fused, Stop> {
    let mut fused = Fused { output, residual: None, table: None, names: node.name.clone() };
    if !adds
        && let Some((index, add)) = b.only_reader(output)
        && add.op == Op::QAdd
        && let [Some(left), Some(right)] = add.inputs[..]
        && let Some(&Some(sum)) = add.outputs.first()
        && left != right
    {
        let other = if left == output { right } else { left };
        if b.placed(other).is_some_and(|other| other.shape() == shape) {
            let params = add_params(add)?;
            let params = if left == output { params } else { swapped(params) };
            let other = b.input_as(other, layout)?;
            b.absorb(index);
            fused.names = format!("{} + {}", fused.names, add.name);
            fused.residual = Some((params, other));
            fused.output = sum;
        }
    }
    if let Some(table) = table_after(b, fused.output)? {
        fused.output = table.output;
        fused.names = format!("{} + {}", fused.names, table.name);
        fused.table = Some(table.entries);
    }
    Ok(fused)
}

/// A Lookup.
pub struct Table {
    pub entries: Box<[u8; 256]>,
    pub output: ValueId,
    pub name: String,
}

/// The Lookup that alone reads a value, if one does; it is marked as planned.
pub fn table_after(b: &mut Builder<'_>, value: ValueId) -> Result<Option<Table>, Stop> {
    if let Some((index, lookup)) = b.only_reader(value)
        && lookup.op == Op::Lookup
        && let Some(&Some(output)) = lookup.outputs.first()
    {
        let entries = table(b, lookup)?;
        b.absorb(index);
        return Ok(Some(Table { entries, output, name: lookup.name.clone() }));
    }
    Ok(None)
}

/// The table of a Lookup.
pub fn table(b: &Builder<'_>, node: &Node) -> Result<Box<[u8; 256]>, Stop> {
    let tensor = b.known_input(node, 1)?;
    let bytes: [u8; 256] =
        tensor.u8s()?.try_into().map_err(|_| error(node, "the table must have 256 entries"))?;
    Ok(Box::new(bytes))
}

/// The parameters of a QAdd.
pub fn add_params(node: &Node) -> Result<AddParams, Stop> {
    let a = &node.attributes;
    Ok(AddParams {
        a_zero_point: a.int32("a_zero_point")?,
        b_zero_point: a.int32("b_zero_point")?,
        y_zero_point: a.int32("y_zero_point")?,
        a_multiplier: a.int32("a_multiplier")?,
        b_multiplier: a.int32("b_multiplier")?,
        shift: a.int32("shift")?.unsigned_abs(),
        lo: a.int32("lo")?,
        hi: a.int32("hi")?,
    })
}

fn swapped(p: AddParams) -> AddParams {
    AddParams {
        a_zero_point: p.b_zero_point,
        b_zero_point: p.a_zero_point,
        a_multiplier: p.b_multiplier,
        b_multiplier: p.a_multiplier,
        ..p
    }
}
