//! A Program as JSON, and the lists of floats beside it: what an artifact holds but for the constants.
//!
//! Single floats are hexadecimal texts of their bits. Lists of floats, such as the scales of channels, stand one after the
//! other in a table, in the order in which the JSON, its keys sorted, comes to them; the JSON says how many each has.

use std::collections::{HashMap, HashSet};

use safetensors::tensor::Dtype;
use serde::Deserialize;

use super::derived::{self, Scales};
use super::factors::Factored;
use super::faults::invalid;
use super::json::{Entries, Item};
use super::{
    Attribute, Attributes, Body, DType, Dim, MAX_DEPTH, Node, Op, Program, Quant, Tensor, Value, ValueId,
};
use crate::error::Error;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) crc32: String,
    pub(super) format: u32,
    pub(super) opset: u32,
    pub(super) producer: String,
    /// How pictures become the inputs: for those who read pictures, which the runtime does not.
    #[serde(default, rename = "preprocessing")]
    _preprocessing: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
    values: Vec<RawValue>,
    nodes: Vec<RawNode>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawValue {
    name: String,
    dtype: String,
    shape: Option<Vec<Item>>,
    quant: Option<RawQuant>,
    factored: Option<Factored>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuant {
    scale: Count,
    zero_point: ZeroPoints,
    axis: Option<usize>,
    block: Option<usize>,
}

/// Integers, one for all scales where they are the same, or floats where they are fractional.
#[derive(Deserialize)]
#[serde(untagged)]
enum ZeroPoints {
    Integer(i64),
    Integers(Vec<i64>),
    Fractions(Count),
}

/// How many floats a list takes from the table of floats.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Count {
    f32: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNode {
    op: String,
    name: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
    attributes: Entries<Item>,
    #[serde(default = "no_bodies")]
    bodies: Entries<RawBody>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBody {
    inputs: Vec<String>,
    outputs: Vec<String>,
    nodes: Vec<RawNode>,
}

fn no_bodies() -> Entries<RawBody> {
    Entries(Vec::new())
}

/// A node whose attributes are read.
struct DraftNode {
    raw: RawNode,
    attributes: Vec<(String, Attribute)>,
    bodies: Vec<(String, DraftBody)>,
}

struct DraftBody {
    inputs: Vec<String>,
    outputs: Vec<String>,
    nodes: Vec<DraftNode>,
}

/// The lists of floats that belong to no constant, one after the other, in the order in which the program comes to them.
pub(super) struct Floats {
    table: Vec<f32>,
    place: usize,
}

impl Floats {
    pub(super) fn new(table: Vec<f32>) -> Floats {
        Floats { table, place: 0 }
    }

    /// The next list. what: its name in messages.
    fn next(&mut self, count: usize, what: impl std::fmt::Display) -> Result<Vec<f32>, Error> {
        let rest = &self.table[self.place..];
        let Some(list) = rest.get(..count) else {
            return Err(invalid(format_args!(
                "{what} has {count} floats, and {} are left of those in the file",
                rest.len()
            )));
        };
        self.place += count;
        Ok(list.to_vec())
    }

    /// All of the table must have been read.
    fn end(&self) -> Result<(), Error> {
        if self.place == self.table.len() {
            return Ok(());
        }
        let (all, taken) = (self.table.len(), self.place);
        Err(invalid(format_args!("it has {all} floats, and its program takes {taken}")))
    }
}

/// What a document says, its constants still to come.
pub(super) struct Draft {
    values: Vec<Value>,
    ids: HashMap<String, ValueId>,
    /// Those with fractional zero points a channel.
    grids: HashSet<ValueId>,
    /// Those that lie in the file by factors, until their constant is read.
    forms: HashMap<ValueId, Factored>,
    nodes: Vec<DraftNode>,
    inputs: Vec<String>,
    outputs: Vec<String>,
    opset: u32,
    producer: String,
}

impl Draft {
    /// Reads a document and its table of floats.
    pub(super) fn new(document: Document, mut floats: Floats) -> Result<Draft, Error> {
        let Document { inputs, outputs, opset, producer, .. } = document;
        let (values, ids, nodes) = (Vec::new(), HashMap::new(), Vec::new());
        let (grids, forms) = (HashSet::new(), HashMap::new());
        let mut draft = Draft { values, ids, grids, forms, nodes, inputs, outputs, opset, producer };
        for mut raw in document.values {
            let form = raw.factored.take();
            let is_grid = raw.quant.as_ref().is_some_and(RawQuant::is_grid);
            let value = value(raw, &mut floats)?;
            let name = value.name.clone();
            let id = draft
                .add(value)?
                .ok_or_else(|| invalid(format_args!("the value {name:?} is defined twice")))?;
            if is_grid {
                draft.grids.insert(id);
            }
            if let Some(form) = form {
                draft.forms.insert(id, form);
            }
        }
        draft.nodes = draft_nodes(document.nodes, &mut floats, 0)?;
        floats.end()?;
        Ok(draft)
    }

    /// Adds a value; `None` where there is one of its name.
    fn add(&mut self, value: Value) -> Result<Option<ValueId>, Error> {
        let id = ValueId(u32::try_from(self.values.len()).map_err(|_| invalid("it has too many values"))?);
        if self.ids.contains_key(&value.name) {
            return Ok(None);
        }
        self.ids.insert(value.name.clone(), id);
        self.values.push(value);
        Ok(Some(id))
    }

    /// Whether the constant of a name is to be what the file has for it, of that dtype, and nothing made from it.
    pub(super) fn takes_as_stored(&self, name: &str, stored: Dtype) -> bool {
        self.ids.get(name).is_some_and(|id| {
            let is_widened = stored == Dtype::F16 && self.values[id.index()].dtype == DType::F32;
            !is_widened && !self.forms.contains_key(id)
        })
    }

    /// The value of a name whose constant is to be read, and how that lies in the file where it does so by factors.
    pub(super) fn value(&mut self, name: &str) -> Option<(&mut Value, Option<Factored>)> {
        let &id = self.ids.get(name)?;
        Some((&mut self.values[id.index()], self.forms.remove(&id)))
    }

    /// The Program, with what its file left out.
    pub(super) fn program(mut self) -> Result<Program, Error> {
        if let Some(id) = self.forms.keys().min_by_key(|id| id.0) {
            let name = &self.values[id.index()].name;
            return Err(invalid(format_args!("the value {name:?} is factored, but no constant")));
        }
        for value in self.left_out()? {
            self.add(value)?;
        }
        let Draft { values, ids, nodes, inputs, outputs, opset, producer, .. } = self;
        let find = |name: &String| {
            ids.get(name)
                .copied()
                .ok_or_else(|| invalid(format_args!("the value {name:?} is used but not described")))
        };
        Ok(Program {
            inputs: inputs.iter().map(find).collect::<Result<_, _>>()?,
            outputs: outputs.iter().map(find).collect::<Result<_, _>>()?,
            nodes: nodes.into_iter().map(|of| node(of, &find)).collect::<Result<_, _>>()?,
            values,
            opset,
            producer,
        })
    }

    /// The multipliers and shifts that are not described and that scales give.
    ///
    /// Only the first product that reads some weights has its own, so that there are no more of them than scales.
    fn left_out(&self) -> Result<Vec<Value>, Error> {
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        for node in raw_nodes(&self.nodes) {
            let requantizes =
                Op::from_name(&node.op).is_some_and(|op| derived::requantizes(op, node.inputs.len()));
            if !requantizes || !seen.insert(&node.inputs[1]) {
                continue;
            }
            let names = derived::PLACES.into_iter().filter_map(|place| node.inputs.get(place));
            let Some(given) = self.given(node) else { continue };
            for (name, integers) in names.zip(given) {
                if !self.ids.contains_key(name) {
                    let shape = vec![integers.len()];
                    found.push(Value {
                        name: name.clone(),
                        dtype: DType::I32,
                        constant: Some(Tensor::from_i32s(&shape, &integers)?),
                        shape: Some(shape.into_iter().map(Dim::Fixed).collect()),
                        quant: None,
                    });
                }
            }
        }
        Ok(found)
    }

    fn given(&self, node: &RawNode) -> Option<Vec<Vec<i32>>> {
        let scales = |name: &String| {
            let id = self.ids.get(name)?;
            let quant = self.values[id.index()].quant.as_ref()?;
            Some(Scales { scale: &quant.scale, is_grid: self.grids.contains(id) })
        };
        let residual = match node.inputs.get(5) {
            Some(name) => Some(scales(name)?),
            None => None,
        };
        derived::given(
            scales(&node.inputs[0])?,
            scales(&node.inputs[1])?,
            scales(node.outputs.first()?)?,
            residual,
        )
    }
}

impl RawQuant {
    fn is_grid(&self) -> bool {
        self.axis.is_some() && matches!(self.zero_point, ZeroPoints::Fractions(_))
    }
}

fn value(raw: RawValue, floats: &mut Floats) -> Result<Value, Error> {
    let RawValue { name, dtype, shape, quant, .. } = raw;
    let dtype = DType::from_name(&dtype)
        .ok_or_else(|| invalid(format_args!("the value {name:?} is of the unknown dtype {dtype:?}")))?;
    let dim = |axis: Item| match axis {
        Item::Text(symbol) => Some(Dim::Symbol(symbol)),
        Item::Int(length) => usize::try_from(length).ok().map(Dim::Fixed),
        _ => None,
    };
    let shape = match shape {
        None => None,
        Some(dims) => Some(dims.into_iter().map(dim).collect::<Option<Vec<_>>>().ok_or_else(|| {
            invalid(format_args!("the shape of the value {name:?} has an axis that is no size and no symbol"))
        })?),
    };
    let quant = quant.map(|raw| quant_of(raw, &name, floats)).transpose()?;
    Ok(Value { name, dtype, shape, quant, constant: None })
}

fn quant_of(raw: RawQuant, name: &str, floats: &mut Floats) -> Result<Quant, Error> {
    let scale = floats.next(raw.scale.f32, format_args!("the scale of the value {name:?}"))?;
    let zero_point = match raw.zero_point {
        ZeroPoints::Integer(zero) => vec![zero as f64; scale.len()],
        ZeroPoints::Integers(zeros) => zeros.iter().map(|&zero| zero as f64).collect(),
        ZeroPoints::Fractions(count) => {
            let zeros = floats.next(count.f32, format_args!("the zero point of the value {name:?}"))?;
            zeros.into_iter().map(f64::from).collect()
        }
    };
    Ok(Quant { scale, zero_point, axis: raw.axis, block: raw.block })
}

/// Nodes with their attributes and bodies, which lie within so many others.
fn draft_nodes(nodes: Vec<RawNode>, floats: &mut Floats, depth: usize) -> Result<Vec<DraftNode>, Error> {
    let mut found = Vec::with_capacity(nodes.len());
    for mut raw in nodes {
        let attributes = attributes(&mut raw, floats)?;
        let Entries(entries) = std::mem::replace(&mut raw.bodies, no_bodies());
        if !entries.is_empty() && depth == MAX_DEPTH {
            return Err(invalid(format_args!(
                "the node {:?} has bodies, and lies within {depth}: there are {depth} at most",
                raw.name
            )));
        }
        let mut bodies = Vec::with_capacity(entries.len());
        for (name, RawBody { inputs, outputs, nodes }) in entries {
            let nodes = draft_nodes(nodes, floats, depth + 1)?;
            bodies.push((name, DraftBody { inputs, outputs, nodes }));
        }
        found.push(DraftNode { raw, attributes, bodies });
    }
    Ok(found)
}

/// All of these nodes, each before what its bodies hold.
fn raw_nodes(nodes: &[DraftNode]) -> Vec<&RawNode> {
    let mut found = Vec::new();
    for DraftNode { raw, bodies, .. } in nodes {
        found.push(raw);
        bodies.iter().for_each(|(_, body)| found.extend(raw_nodes(&body.nodes)));
    }
    found
}

/// The attributes of a node, in the order of their names.
fn attributes(raw: &mut RawNode, floats: &mut Floats) -> Result<Vec<(String, Attribute)>, Error> {
    let entries = std::mem::take(&mut raw.attributes.0);
    let mut found = Vec::with_capacity(entries.len());
    for (key, item) in entries {
        let read = match item {
            Item::Count(kind, count) if kind == "f32" => usize::try_from(count).ok().map(|count| {
                let what = format_args!("the attribute {key:?} of the node {:?}", raw.name);
                floats.next(count, what).map(Attribute::F32s)
            }),
            item => attribute(item).map(Ok),
        };
        let Some(read) = read else {
            return Err(invalid(format_args!(
                "the attribute {key:?} of the {} node {:?} is of no type that the format has",
                raw.op, raw.name
            )));
        };
        found.push((key, read?));
    }
    Ok(found)
}

fn node(draft: DraftNode, find: &impl Fn(&String) -> Result<ValueId, Error>) -> Result<Node, Error> {
    let DraftNode { raw, attributes, bodies } = draft;
    let RawNode { op, name, inputs, outputs, .. } = raw;
    let op = Op::from_name(&op)
        .ok_or_else(|| invalid(format_args!("the node {name:?} is of the unknown op {op:?}")))?;
    let ids = |names: &[String]| {
        let id = |value: &String| if value.is_empty() { Ok(None) } else { find(value).map(Some) };
        names.iter().map(id).collect::<Result<Vec<_>, _>>()
    };
    let (inputs, outputs) = (ids(&inputs)?, ids(&outputs)?);
    let given: Vec<&str> = bodies.iter().map(|(name, _)| name.as_str()).collect();
    if given != op.bodies() {
        let wanted = op.bodies();
        return Err(invalid(format_args!(
            "the {} node {name:?} has the bodies {given:?}, not {wanted:?}",
            op.name()
        )));
    }
    let bodies = bodies.into_iter().map(|(_, of)| body(of, find)).collect::<Result<_, _>>()?;
    Ok(Node { op, inputs, outputs, attributes: Attributes::new(op, &name, attributes), name, bodies })
}

fn body(draft: DraftBody, find: &impl Fn(&String) -> Result<ValueId, Error>) -> Result<Body, Error> {
    Ok(Body {
        inputs: draft.inputs.iter().map(find).collect::<Result<_, _>>()?,
        outputs: draft.outputs.iter().map(find).collect::<Result<_, _>>()?,
        nodes: draft.nodes.into_iter().map(|of| node(of, find)).collect::<Result<_, _>>()?,
    })
}

fn attribute(item: Item) -> Option<Attribute> {
    match item {
        Item::Int(integer) => Some(Attribute::Int(integer)),
        Item::Ints(integers) => Some(Attribute::Ints(integers)),
        Item::Text(text) => Some(Attribute::Str(text)),
        Item::Bits(kind, digits) if kind == "f32" => f32_bits(&digits).map(Attribute::F32),
        Item::Bits(kind, digits) if kind == "f64" => hex(&digits, 16).map(f64::from_bits).map(Attribute::F64),
        Item::Bits(..) | Item::Count(..) | Item::Unknown => None,
    }
}

fn f32_bits(digits: &str) -> Option<f32> {
    hex(digits, 8).and_then(|bits| u32::try_from(bits).ok()).map(f32::from_bits)
}

/// The number of exactly so many lower-case hexadecimal digits.
fn hex(digits: &str, count: usize) -> Option<u64> {
    let plain = digits.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    (plain && digits.len() == count).then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}
