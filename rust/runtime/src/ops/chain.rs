//! Chains of float32 functions, element by element: one step that takes every node's turn on a block that stays in the
//! first-level cache. The bits are those of the nodes one by one.

use octavo_exec::{cast, cast_mut};
use octavo_kernels::float::binary::{self, Binary};
use octavo_kernels::float::unary::{self, Unary};
use octavo_kernels::table::Kernels;

use crate::ops::broadcast::{layout_of, operand};
use crate::ops::node::{broadcast, left_padded, made};
use crate::ops::{elementwise, unary as functions};
use crate::plan::buffers::{BufferId, Placed};
use crate::plan::builder::{Builder, Stop};
use crate::program::{DType, Node, Op, ValueId};

/// Elements that all nodes see before the next ones.
const BLOCK: usize = 512;
/// Values that a block holds at once.
const SLOTS: usize = 4;
/// Tensors that a chain reads.
const MOST_OPERANDS: usize = 8;
/// Nodes that may lie between two of a chain.
const REACH: usize = 64;

/// What a node does.
#[derive(Clone, Copy)]
enum Function {
    One(Unary),
    Two(Binary),
}

impl Function {
    fn of(b: &Builder<'_>, node: &Node) -> Option<Function> {
        let is_float = |value: ValueId| b.program.value(value).dtype == DType::F32;
        let values = node.inputs.iter().flatten().chain(node.outputs.iter().flatten());
        if !values.copied().all(is_float) || node.outputs.len() != 1 {
            return None;
        }
        if let Some(function) = elementwise::of_two(node.op) {
            return (node.inputs.iter().flatten().count() == 2).then_some(Function::Two(function));
        }
        let bounds = node.inputs.iter().skip(1).flatten();
        let are_known = bounds.copied().all(|bound| b.known(bound).is_some());
        (node.op == Op::Clip || node.inputs.len() == 1)
            .then_some(())
            .filter(|()| are_known)
            .and_then(|()| functions::function(b, node).ok())
            .map(Function::One)
    }

    /// The values that the function is of.
    fn arguments(self, node: &Node) -> impl Iterator<Item = ValueId> {
        let count = match self {
            Function::One(_) => 1,
            Function::Two(_) => 2,
        };
        node.inputs.iter().flatten().copied().take(count)
    }
}

/// A node of a chain.
#[derive(Clone)]
struct Link {
    index: usize,
    function: Function,
    output: ValueId,
}

/// Plans the node and those that go on from it as one step; false where there are none.
pub fn plan(b: &mut Builder<'_>, index: usize) -> Result<bool, Stop> {
    let Some((links, shape)) = find(b, index) else { return Ok(false) };
    let nodes = &b.program.nodes;
    let is_inner = |value: ValueId| links.iter().any(|link| link.output == value);
    let mut outer: Vec<ValueId> = Vec::new();
    for value in links.iter().flat_map(|link| link.function.arguments(&nodes[link.index])) {
        if !is_inner(value) && !outer.contains(&value) {
            outer.push(value);
        }
    }
    let layout = layout_of(b, &outer, shape.len())?;
    let whole = layout.physical(&shape);
    let mut views = Vec::with_capacity(outer.len());
    for &value in &outer {
        let own = left_padded(&b.tensor(value)?.shape, shape.len());
        let Some(view) = View::of(&layout.physical(&own), &whole) else { return Ok(false) };
        views.push(view);
    }
    let Some(turns) = turns(b, &links, &outer) else { return Ok(false) };
    let Some(last) = links.last() else { return Ok(false) };
    let mut buffers = Vec::with_capacity(outer.len());
    for &value in &outer {
        buffers.push(operand(b, value, shape.len(), layout)?.buffer);
    }
    let y = b.output(last.output, shape, layout)?;
    links.iter().for_each(|link| b.absorb(link.index));
    push(b, &links, &buffers, views, turns, &y);
    Ok(true)
}

/// The longest chain from a node on: only its last value is read by others. None where it is the node alone.
fn find(b: &Builder<'_>, index: usize) -> Option<(Vec<Link>, Vec<usize>)> {
    let nodes = &b.program.nodes;
    let first = link(b, index, &[], None)?;
    let shape = first.1;
    let mut links = vec![first.0];
    let mut outer = 0;
    let mut closed = 1;
    for next in index + 1..nodes.len().min(index + REACH) {
        let is_inner = |value: ValueId| links.iter().any(|link| link.output == value);
        if !nodes[next].inputs.iter().flatten().any(|&value| is_inner(value)) || b.is_planned(next) {
            continue;
        }
        let Some((link, _)) = link(b, next, &links, Some(&shape)) else { continue };
        outer += link.function.arguments(&nodes[next]).filter(|&value| !is_inner(value)).count();
        if outer + 2 > MOST_OPERANDS {
            break;
        }
        links.push(link);
        let is_member = |reader: &usize| links.iter().any(|link| link.index == *reader);
        let is_closed = |link: &Link| !b.is_seen(link.output) && b.readers(link.output).iter().all(is_member);
        if links[..links.len() - 1].iter().all(is_closed) {
            closed = links.len();
        }
    }
    links.truncate(closed);
    (closed > 1).then_some((links, shape))
}

/// A node as a link behind others, and the shape that it makes: that of the chain.
fn link(
    b: &Builder<'_>,
    index: usize,
    links: &[Link],
    shape: Option<&[usize]>,
) -> Option<(Link, Vec<usize>)> {
    let node = &b.program.nodes[index];
    let function = Function::of(b, node)?;
    let mut whole: Vec<usize> = Vec::new();
    for value in function.arguments(node) {
        let own = match shape.filter(|_| links.iter().any(|link| link.output == value)) {
            Some(shape) => shape.to_vec(),
            None if b.placed(value).is_some() || b.known(value).is_some() => b.tensor(value).ok()?.shape,
            None => return None,
        };
        let rank = own.len().max(whole.len());
        whole = broadcast(node, &left_padded(&whole, rank), &left_padded(&own, rank)).ok()?;
    }
    let fits = shape.is_none_or(|shape| shape == whole);
    fits.then_some((Link { index, function, output: made(node, 0).ok()? }, whole))
}

/// Which element of an operand stands at a place of the chain's output: `place / inner % period`.
#[derive(Clone, Copy)]
struct View {
    inner: usize,
    period: usize,
}

impl View {
    /// Of an operand whose dimensions beside those of 1 lie together; shapes as they lie in memory.
    fn of(own: &[usize], whole: &[usize]) -> Option<View> {
        let moving: Vec<usize> = (0..whole.len()).filter(|&d| own[d] != 1).collect();
        let (Some(&first), Some(&last)) = (moving.first(), moving.last()) else {
            return Some(View { inner: 1, period: 1 });
        };
        let is_whole = (first..=last).all(|d| own[d] == whole[d]);
        is_whole.then(|| View {
            inner: whole[last + 1..].iter().product(),
            period: whole[first..=last].iter().product(),
        })
    }

    /// The elements at the `room.len()` places from `start` on, or one where they are all the same: in the operand
    /// where they lie together, else in the room.
    fn part<'x>(self, x: &'x [f32], start: usize, room: &'x mut [f32]) -> &'x [f32] {
        if self.period == 1 {
            return &x[..1];
        }
        let mut at = 0;
        while at < room.len() {
            let (place, left) = (start + at, room.len() - at);
            let element = place / self.inner % self.period;
            // Elements that stand together, and how often each stands there.
            let (elements, times) = match self.inner {
                1 => (left.min(self.period - element), 1),
                inner => (1, left.min(inner - place % inner)),
            };
            let elements = &x[element..element + elements];
            let count = elements.len() * times;
            if count == room.len() {
                return elements;
            }
            match times {
                1 => room[at..at + count].copy_from_slice(elements),
                _ => room[at..at + count].fill(elements[0]),
            }
            at += count;
        }
        room
    }
}

/// Where an argument of a node is.
#[derive(Clone, Copy)]
enum Source {
    Slot(usize),
    Operand(usize),
}

/// A node's turn on a block.
struct Turn {
    function: Function,
    sources: [Source; 2],
    /// Where the result goes; the last one goes to the output.
    slot: usize,
}

/// The nodes' turns, with a slot for each value until its last reader; `None` where there are too few slots.
fn turns(b: &Builder<'_>, links: &[Link], outer: &[ValueId]) -> Option<Vec<Turn>> {
    let nodes = &b.program.nodes;
    let mut held: [Option<ValueId>; SLOTS] = [None; SLOTS];
    let mut turns = Vec::with_capacity(links.len());
    for (at, link) in links.iter().enumerate() {
        let source = |value: ValueId| match held.iter().position(|&slot| slot == Some(value)) {
            Some(slot) => Some(Source::Slot(slot)),
            None => outer.iter().position(|&operand| operand == value).map(Source::Operand),
        };
        let mut arguments = link.function.arguments(&nodes[link.index]).map(source);
        let first = arguments.next()??;
        let second = arguments.next().unwrap_or(Some(first))?;
        let slot = held.iter().position(Option::is_none)?;
        turns.push(Turn { function: link.function, sources: [first, second], slot });
        held[slot] = Some(link.output);
        let is_read_later = |value: ValueId| {
            links[at + 1..]
                .iter()
                .any(|later| later.function.arguments(&nodes[later.index]).any(|v| v == value))
        };
        for slot in &mut held {
            *slot = slot.filter(|&value| is_read_later(value));
        }
    }
    Some(turns)
}

fn push(
    b: &mut Builder<'_>,
    links: &[Link],
    buffers: &[BufferId],
    views: Vec<View>,
    turns: Vec<Turn>,
    y: &Placed,
) {
    if y.elements() == 0 {
        return;
    }
    let nodes = &b.program.nodes;
    let names: Vec<&str> = links.iter().map(|link| nodes[link.index].name.as_str()).collect();
    let (name, op) = (names.join(" + "), nodes[links[0].index].op.name());
    let kernel = match links[0].function {
        Function::One(_) => b.steps.kernels.row().float.unary.unary.name,
        Function::Two(_) => b.steps.kernels.row().float.binary.binary.name,
    };
    let chunk = b.steps.chunk(y.elements(), 0.1 * links.len() as f64, 64);
    let reads: [Option<BufferId>; MOST_OPERANDS] = std::array::from_fn(|i| buffers.get(i).copied());
    let view = move |i: usize| views.get(i).copied().unwrap_or(View { inner: 1, period: 1 });
    let target = y.buffer;
    b.steps.step(name, op, kernel).run_optional([], reads, [target], move |run, [], x, [y]| {
        let (kernels, pool) = (run.kernels, run.pool);
        let x: [(View, &[f32]); MOST_OPERANDS] =
            std::array::from_fn(|i| (view(i), cast(x[i].unwrap_or_default())));
        pool.slices(cast_mut::<f32>(y), chunk, |i, y| {
            let mut rooms = [[0.0; BLOCK]; SLOTS + 2];
            for (at, y) in y.chunks_mut(BLOCK).enumerate() {
                block(kernels, &turns, &x, i * chunk + at * BLOCK, &mut rooms, y);
            }
        });
    });
}

/// Every node's turn on the elements from `start` on.
fn block(
    kernels: Kernels,
    turns: &[Turn],
    operands: &[(View, &[f32])],
    start: usize,
    rooms: &mut [[f32; BLOCK]; SLOTS + 2],
    y: &mut [f32],
) {
    let len = y.len();
    let [slots @ .., left, right] = rooms;
    for (at, turn) in turns.iter().enumerate() {
        let (before, rest) = slots.split_at_mut(turn.slot);
        let Some((own, after)) = rest.split_first_mut() else { return };
        let slot =
            |i: usize| if i < turn.slot { &before[i][..len] } else { &after[i - turn.slot - 1][..len] };
        let [first, second] = turn.sources;
        let out = if at + 1 == turns.len() { &mut *y } else { &mut own[..len] };
        let left = match first {
            Source::Slot(i) => slot(i),
            Source::Operand(i) => operands[i].0.part(operands[i].1, start, &mut left[..len]),
        };
        match turn.function {
            Function::One(function) => unary::run(kernels, function, left, out),
            Function::Two(function) => {
                let right = match second {
                    Source::Slot(i) => slot(i),
                    Source::Operand(i) => operands[i].0.part(operands[i].1, start, &mut right[..len]),
                };
                binary::run(kernels, function, left, right, out);
            }
        }
    }
}
