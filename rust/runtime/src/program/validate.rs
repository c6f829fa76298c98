//! What holds for every Program: names, order, dtypes, and the inputs and attributes that each op has.

use super::bodies;
use super::checks;
use super::faults::{bad, wrong};
use super::signature::{AttributeSlot, Signature, Slot, signatures};
use super::{Attribute, DType, Dim, MAX_DEPTH, MAX_RANK, Node, OPSET, Program, Value, ValueId};
use crate::error::Error;

impl Program {
    /// Checks everything that can be checked without shapes of feeds.
    pub fn validate(&self) -> Result<(), Error> {
        validate(self)
    }
}

/// Checks a whole Program.
fn validate(program: &Program) -> Result<(), Error> {
    if program.opset != OPSET {
        return Err(wrong(format_args!("its opset is {}, this octavo has {OPSET}", program.opset)));
    }
    program.nodes.iter().try_for_each(|node| depth(node, 0))?;
    let nodes = program.all_nodes();
    let ids = program.inputs.iter().chain(&program.outputs);
    let of_nodes = nodes.iter().flat_map(|node| node.inputs.iter().chain(&node.outputs)).flatten();
    let bodies = nodes.iter().flat_map(|node| &node.bodies);
    let of_bodies = bodies.flat_map(|body| body.inputs.iter().chain(&body.outputs));
    if let Some(id) = ids.chain(of_nodes).chain(of_bodies).find(|id| id.index() >= program.values.len()) {
        return Err(wrong(format_args!("it has {} values and uses number {}", program.values.len(), id.0)));
    }
    program.values.iter().try_for_each(value)?;
    nodes.iter().try_for_each(|node| bodies::shape(node))?;
    order(program)?;
    nodes
        .iter()
        .try_for_each(|node| self::node(program, node).map_err(|error| error.of_node(&node.name, Vec::new)))
}

/// What recurses over bodies relies on it.
fn depth(node: &Node, around: usize) -> Result<(), Error> {
    if !node.bodies.is_empty() && around == MAX_DEPTH {
        return Err(wrong(format_args!(
            "the {} has bodies, and lies within {around}: there are {around} at most",
            node.label()
        )));
    }
    node.bodies.iter().flat_map(|body| &body.nodes).try_for_each(|inner| depth(inner, around + 1))
}

fn node(program: &Program, node: &Node) -> Result<(), Error> {
    let form = form(program, node)?;
    dtypes(program, node, form)?;
    attributes(node, form)?;
    checks::check(program, node)
}

fn value(value: &Value) -> Result<(), Error> {
    let name = &value.name;
    if name.is_empty() {
        return Err(wrong("a value has no name"));
    }
    if let Some(shape) = &value.shape {
        let fixed = shape.iter().filter_map(|dim| if let Dim::Fixed(n) = dim { Some(*n) } else { None });
        let bytes = fixed.filter(|&n| n > 0).try_fold(value.dtype.size(), usize::checked_mul);
        if shape.len() > MAX_RANK || bytes.is_none_or(|bytes| i64::try_from(bytes).is_err()) {
            return Err(wrong(format_args!("the shape of the value {name:?} is too large")));
        }
        if shape.contains(&Dim::Symbol(String::new())) {
            return Err(wrong(format_args!("the shape of the value {name:?} has a symbol without a name")));
        }
    }
    if let Some(constant) = &value.constant {
        let shape: Vec<Dim> = constant.shape().iter().copied().map(Dim::Fixed).collect();
        if constant.dtype() != value.dtype || value.shape.as_deref() != Some(&shape) {
            return Err(wrong(format_args!(
                "the constant {name:?} is {} {:?}, its value says otherwise",
                constant.dtype().name(),
                constant.shape()
            )));
        }
        let spare = 8 * constant.bytes().len() - constant.len() * value.dtype.bits();
        if constant.bytes().last().is_some_and(|&last| u32::from(last) >> (8 - spare) != 0) && spare > 0 {
            return Err(wrong(format_args!(
                "the constant {name:?} of {} has bits set behind its last element",
                value.dtype.name()
            )));
        }
        if value.dtype == DType::Bool && constant.bytes().iter().any(|&byte| byte > 1) {
            return Err(wrong(format_args!(
                "the constant {name:?} of bool has a byte that is neither 0 nor 1"
            )));
        }
    }
    quant(value)
}

fn quant(value: &Value) -> Result<(), Error> {
    let Some(quant) = &value.quant else { return Ok(()) };
    let name = &value.name;
    let range = value.dtype.integer_range();
    let (least, greatest) =
        range.ok_or_else(|| wrong(format_args!("the value {name:?} is no integer but has a scale")))?;
    let count = quant.scale.len();
    if count == 0 || quant.zero_point.len() != count || (quant.axis.is_none() && count != 1) {
        return Err(wrong(format_args!(
            "the value {name:?} has {count} scales and {} zero points",
            quant.zero_point.len()
        )));
    }
    if !quant.scale.iter().all(|scale| scale.is_finite() && *scale > 0.0) {
        return Err(wrong(format_args!("a scale of the value {name:?} is not a positive number")));
    }
    if !quant.zero_point.iter().all(|zero| (least as f64..=greatest as f64).contains(zero)) {
        return Err(wrong(format_args!("a zero point of the value {name:?} is outside {least}..{greatest}")));
    }
    if quant.block.is_some_and(|block| block == 0 || quant.axis.is_none()) {
        return Err(wrong(format_args!("the value {name:?} has a block without an axis, or of no elements")));
    }
    let (Some(axis), Some(shape)) = (quant.axis, &value.shape) else { return Ok(()) };
    let block = quant.block.unwrap_or(1);
    match shape.get(axis) {
        None => Err(wrong(format_args!("the value {name:?} has no axis {axis} for its scales"))),
        Some(Dim::Fixed(n)) if n.div_ceil(block) != count => {
            Err(wrong(format_args!("the value {name:?} has {count} scales for an axis of {n}")))
        }
        Some(_) => Ok(()),
    }
}

/// Every value comes from one place, and before it is read.
fn order(program: &Program) -> Result<(), Error> {
    let name = |id: ValueId| &program.value(id).name;
    let mut known: Vec<bool> = program.values.iter().map(|value| value.constant.is_some()).collect();
    for &id in &program.inputs {
        if std::mem::replace(&mut known[id.index()], true) {
            return Err(wrong(format_args!("the input {:?} is listed twice, or is a constant", name(id))));
        }
    }
    let outermost = bodies::order(program, &mut known)?;
    if let Some(at) = known.iter().position(|known| !known) {
        return Err(wrong(format_args!("nothing makes the value {:?}", program.values[at].name)));
    }
    let is_misplaced = |value: &&Value| value.dtype.is_packed() && value.constant.is_none();
    let given = program.outputs.iter().map(|&id| program.value(id)).find(|value| value.dtype.is_packed());
    if let Some(value) = program.values.iter().find(is_misplaced).or(given) {
        return Err(wrong(format_args!(
            "the value {:?} of {}, which is packed, must be a constant inside the program",
            value.name,
            value.dtype.name()
        )));
    }
    let mut seen = vec![false; program.values.len()];
    for &id in &program.outputs {
        if std::mem::replace(&mut seen[id.index()], true) {
            return Err(wrong(format_args!("the output {:?} is listed twice", name(id))));
        }
    }
    if let Some(&id) = program.outputs.iter().find(|id| !outermost.contains(id)) {
        return Err(wrong(format_args!("the output {:?} is made inside a body alone", name(id))));
    }
    if program.outputs.is_empty() { Err(wrong("it has no outputs")) } else { Ok(()) }
}

/// The form of its op that a node is of, its inputs and outputs counted.
fn form(program: &Program, node: &Node) -> Result<&'static Signature, Error> {
    let count = node.inputs.len();
    let mut forms = signatures(node.op).iter().filter(|form| form.accepts(count));
    let made = node.outputs.first().copied().flatten().map(|id| program.value(id).dtype);
    let form =
        forms.clone().find(|form| made.is_some_and(|dtype| form.makes(dtype))).or_else(|| forms.next());
    let form = form.ok_or_else(|| wrong(format_args!("the {} cannot have {count} inputs", node.label())))?;
    for (slot, input) in slots(&form.inputs, count).zip(&node.inputs) {
        if input.is_none() && !slot.optional {
            return Err(wrong(format_args!("the {} lacks its input {:?}", node.label(), slot.name)));
        }
    }
    let variadic = form.outputs.iter().any(|slot| slot.variadic);
    let made = node.outputs.iter().flatten().count();
    let least = form.outputs.iter().filter(|slot| !slot.optional).count();
    let fits = (least..=form.outputs.len()).contains(&node.outputs.len());
    if made == 0 || !(variadic || fits) {
        return Err(wrong(format_args!("the {} cannot have {} outputs", node.label(), node.outputs.len())));
    }
    Ok(form)
}

/// One slot for each of `count` inputs or outputs: the last, if variadic, as often as needed.
fn slots(slots: &[Slot], count: usize) -> impl Iterator<Item = &Slot> {
    let last = slots.last().filter(|slot| slot.variadic);
    let fixed = slots.iter().take(slots.len() - usize::from(last.is_some()));
    fixed.chain(last.into_iter().cycle()).take(count)
}

fn dtypes(program: &Program, node: &Node, form: &Signature) -> Result<(), Error> {
    let mut bound: Vec<(&str, DType)> = Vec::new();
    let inputs = slots(&form.inputs, node.inputs.len()).zip(&node.inputs);
    let outputs = slots(&form.outputs, node.outputs.len()).zip(&node.outputs);
    for (slot, id) in inputs.chain(outputs) {
        let Some(value) = id.map(|id| program.value(id)) else { continue };
        let fits = match bound.iter().find(|(letter, _)| *letter == slot.dtype) {
            _ if slot.mixed => slot.allowed.contains(&value.dtype),
            Some((_, dtype)) => *dtype == value.dtype,
            None => {
                bound.push((slot.dtype, value.dtype));
                slot.allowed.contains(&value.dtype)
            }
        };
        let (label, name) = (node.label(), &value.name);
        if !fits {
            let dtype = value.dtype.name();
            return Err(wrong(format_args!(
                "the {label} cannot have {name:?} of {dtype} as its {:?}",
                slot.name
            )));
        }
        if slot.constant && value.constant.is_none() {
            return Err(wrong(format_args!(
                "the {label} needs a constant as its {:?}, not {name:?}",
                slot.name
            )));
        }
    }
    Ok(())
}

fn attributes(node: &Node, form: &Signature) -> Result<(), Error> {
    for (name, attribute) in node.attributes.iter() {
        let slot = form.attributes.iter().find(|slot| slot.name == name);
        let slot = slot
            .ok_or_else(|| wrong(format_args!("the {} has the unknown attribute {name:?}", node.label())))?;
        if attribute.kind() != slot.kind {
            return Err(wrong(format_args!(
                "the attribute {name:?} of the {} is of type {}, not {}",
                node.label(),
                attribute.kind(),
                slot.kind
            )));
        }
        may_be(node, slot, attribute)?;
    }
    match form.attributes.iter().find(|slot| !slot.optional && !node.attributes.has(slot.name)) {
        Some(slot) => Err(wrong(format_args!("the {} lacks the attribute {:?}", node.label(), slot.name))),
        None => Ok(()),
    }
}

/// An attribute of the right kind is what the table of ops lets it be.
fn may_be(node: &Node, slot: &AttributeSlot, attribute: &Attribute) -> Result<(), Error> {
    let AttributeSlot { name, choices, limits, .. } = slot;
    let outside = |what: &dyn std::fmt::Debug, least, greatest| {
        Err(bad(node, format_args!("{name} is {what:?}, outside {least}..{greatest}")))
    };
    match (attribute, limits) {
        (Attribute::Int(value), Some(limits)) if !limits.contains(value) => {
            outside(value, limits.start(), limits.end())
        }
        (Attribute::Ints(values), Some(limits)) if !values.iter().all(|value| limits.contains(value)) => {
            outside(values, limits.start(), limits.end())
        }
        (Attribute::Str(value), _) if !choices.is_empty() && !choices.contains(&value.as_str()) => {
            Err(bad(node, format_args!("{name} is {value:?}, not one of {choices:?}")))
        }
        _ => Ok(()),
    }
}
