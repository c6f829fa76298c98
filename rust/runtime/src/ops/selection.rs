//! Ops whose output's shape depends on what the input holds: NonZero, Compress, Unique. They are computed while planning.

use std::cmp::Ordering;

use crate::error::Error;
use crate::ops::lines::Lines;
use crate::ops::node::{axis, error, made};
use crate::ops::numbers::{Element, Number, elements, with_element};
use crate::plan::builder::{Builder, Stop};
use crate::plan::relocation::permuted;
use crate::program::{DType, Node, Tensor};

/// Most bytes of indices that one node can make while planning.
const MOST_BYTES: usize = 1 << 28;

/// Plans NonZero: `[rank, count]`, the coordinates of what is not 0 in row-major order.
pub fn plan_nonzero(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    fn places<E: Element>(x: &Tensor) -> Vec<usize> {
        let is_set = |bits: E::Bits| E::load(bits) != E::Number::ZERO;
        elements::<E::Bits>(x).into_iter().zip(0..).filter(|&(x, _)| is_set(x)).map(|(_, at)| at).collect()
    }
    let x = b.known_input(node, 0)?;
    let places = with_element!(x.dtype(), E => places::<E>(&x));
    let shape = x.shape();
    if places.len().saturating_mul(shape.len()) > MOST_BYTES / size_of::<i64>() {
        return Err(error(node, &format!("{} elements are not 0, too many to plan with", places.len())));
    }
    let mut coordinates = Vec::with_capacity(places.len() * shape.len());
    for (d, &n) in shape.iter().enumerate() {
        let inner: usize = shape[d + 1..].iter().product();
        coordinates.extend(places.iter().map(|at| (at / inner % n) as i64));
    }
    Ok(b.know(made(node, 0)?, Tensor::from_i64s(&[shape.len(), places.len()], &coordinates)?)?)
}

/// Plans Compress: the slices along the axis, or the elements, where the condition is true.
pub fn plan_compress(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let (x, condition) = (b.known_input(node, 0)?, b.known_input(node, 1)?);
    let (lines, mut shape, along) = if node.attributes.has("axis") {
        let along = axis(node, node.attributes.int("axis")?, x.shape().len())?;
        (Lines::of(x.shape(), along), x.shape().to_vec(), along)
    } else {
        (Lines::of(&[x.len()], 0), vec![x.len()], 0)
    };
    if condition.shape().len() != 1 || condition.len() > lines.n {
        let what = format!("a condition of shape {:?} for {} elements", condition.shape(), lines.n);
        return Err(error(node, &what));
    }
    let taken: Vec<usize> = (0..condition.len()).filter(|&i| condition.bytes()[i] != 0).collect();
    shape[along] = taken.len();
    let bytes = taken_along(&x, lines, &taken);
    Ok(b.know(made(node, 0)?, Tensor::new(x.dtype(), shape, bytes)?)?)
}

/// The bytes of the slices at these indices.
fn taken_along(x: &Tensor, lines: Lines, indices: &[usize]) -> Vec<u8> {
    let slice = lines.inner * x.dtype().size();
    let mut bytes = Vec::new();
    if slice == 0 {
        return bytes; // the other axes may be of any length
    }
    for row in x.bytes().chunks_exact((lines.n * slice).max(1)) {
        indices.iter().for_each(|i| bytes.extend_from_slice(&row[i * slice..][..slice]));
    }
    bytes
}

/// The distinct slices of a tensor, by the index of the first of each.
struct Distinct {
    /// In the order of the output.
    firsts: Vec<usize>,
    /// For each slice of the input, its place in the output.
    inverse: Vec<i64>,
    counts: Vec<i64>,
}

/// Plans Unique: the distinct elements, or slices along the axis, rising or in the order in which they first occur.
///
/// All NaN are one, greater than every number; of equal zeros the first stands for both.
pub fn plan_unique(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.known_input(node, 0)?;
    let (lines, mut shape, along) = if node.attributes.has("axis") {
        let along = axis(node, node.attributes.int("axis")?, x.shape().len())?;
        (Lines::of(x.shape(), along), x.shape().to_vec(), along)
    } else {
        (Lines::of(&[x.len()], 0), vec![x.len()], 0)
    };
    // Each slice's elements beside each other.
    let dims = [lines.outer, lines.n, lines.inner];
    let slices =
        Tensor::new(x.dtype(), vec![x.len()], permuted(x.bytes(), x.dtype().size(), &dims, &[1, 0, 2]))?;
    let is_sorted = node.attributes.int("sorted")? != 0;
    let distinct = with_element!(x.dtype(), E => distinct::<E>(&slices, lines.n, is_sorted));
    shape[along] = distinct.firsts.len();
    let bytes = taken_along(&x, lines, &distinct.firsts);
    let places: Vec<i64> = distinct.firsts.iter().map(|&at| at as i64).collect();
    let answers = [
        Tensor::new(x.dtype(), shape, bytes)?,
        Tensor::from_i64s(&[places.len()], &places)?,
        Tensor::from_i64s(&[distinct.inverse.len()], &distinct.inverse)?,
        Tensor::from_i64s(&[distinct.counts.len()], &distinct.counts)?,
    ];
    for (output, answer) in node.outputs.iter().zip(answers) {
        if let Some(output) = output {
            b.know(*output, answer)?;
        }
    }
    Ok(())
}

fn distinct<E: Element>(slices: &Tensor, n: usize, is_sorted: bool) -> Distinct {
    let elements: Vec<E::Number> = elements::<E::Bits>(slices).into_iter().map(E::load).collect();
    let length = elements.len().checked_div(n).unwrap_or(0);
    let slice = |at: usize| &elements[at * length..][..length];
    let order = |a: usize, b: usize| -> Ordering {
        let pairs = slice(a).iter().zip(slice(b));
        pairs.map(|(a, b)| a.order(*b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    };
    let mut by_value: Vec<usize> = (0..n).collect();
    by_value.sort_by(|&a, &b| order(a, b)); // stable: of equal slices the first comes first
    let groups: Vec<&[usize]> = by_value.chunk_by(|&a, &b| order(a, b).is_eq()).collect();
    let mut groups_in_order = groups;
    if !is_sorted {
        groups_in_order.sort_unstable_by_key(|group| group[0]);
    }
    let mut inverse = vec![0; n];
    for (place, group) in groups_in_order.iter().enumerate() {
        group.iter().for_each(|&at| inverse[at] = place as i64);
    }
    Distinct {
        firsts: groups_in_order.iter().map(|group| group[0]).collect(),
        inverse,
        counts: groups_in_order.iter().map(|group| group.len() as i64).collect(),
    }
}

/// The integers or floats of an input of one element, where it is there.
pub fn single<T>(
    b: &Builder<'_>,
    node: &Node,
    place: usize,
    dtype: DType,
    read: impl Fn(&Tensor) -> Result<Vec<T>, Error>,
) -> Result<Option<T>, Stop> {
    if node.input(place).is_none() {
        return Ok(None);
    }
    let tensor = b.known_input(node, place)?;
    let mut numbers = if tensor.dtype() == dtype { read(&tensor)? } else { Vec::new() };
    match (numbers.pop(), numbers.is_empty()) {
        (Some(number), true) => Ok(Some(number)),
        _ => Err(error(node, &format!("input {place} is of shape {:?}, not one number", tensor.shape()))),
    }
}
