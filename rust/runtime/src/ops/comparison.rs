//! Comparisons, logic, and what a condition picks.

use octavo_exec::{Pod, cast, cast_mut};

use crate::ops::arithmetic::{Map, NAME, Pair, map, zip};
use crate::ops::broadcast;
use crate::ops::node::{error, made};
use crate::plan::builder::{Builder, Stop};
use crate::program::{DType, Node, Op};

/// Plans a comparison or a function of two booleans.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let operands = broadcast::operands(b, node)?;
    let y = b.output(made(node, 0)?, operands.shape, operands.layout)?;
    let [left, right] = &operands.placed[..] else {
        return Err(error(node, "needs two operands"));
    };
    // a > b is b < a, also where one is NaN.
    let is_swapped = matches!(node.op, Op::Greater | Op::GreaterOrEqual);
    let (left, right) = if is_swapped { (right, left) } else { (left, right) };
    let function = pair(node, left.dtype())?;
    broadcast::push(b, node, NAME, [left, right], &y, move |_, [left, right], y| function(left, right, y));
    Ok(())
}

fn pair(node: &Node, dtype: DType) -> Result<Pair, Stop> {
    match (node.op, dtype) {
        (Op::And, _) => Ok(zip(|a: u8, b: u8| u8::from((a != 0) & (b != 0)))),
        (Op::Or, _) => Ok(zip(|a: u8, b: u8| u8::from(a | b != 0))),
        (Op::Xor, _) => Ok(zip(|a: u8, b: u8| u8::from((a != 0) ^ (b != 0)))),
        (Op::Equal, DType::Bool) => Ok(zip(|a: u8, b: u8| u8::from((a != 0) == (b != 0)))),
        (_, DType::U8) => order::<u8>(node),
        (_, DType::I8) => order::<i8>(node),
        (_, DType::I16) => order::<i16>(node),
        (_, DType::I32) => order::<i32>(node),
        (_, DType::I64) => order::<i64>(node),
        (_, DType::F32) => order::<f32>(node),
        (_, DType::F64) => order::<f64>(node),
        (_, DType::Bool | DType::F16 | DType::Packed(_)) => {
            Err(error(node, &format!("tensors of {} do not run", dtype.name())))
        }
    }
}

/// How two numbers compare, as 0 or 1; no way where one is NaN.
fn order<T: Pod + PartialOrd>(node: &Node) -> Result<Pair, Stop> {
    Ok(match node.op {
        Op::Equal => zip(|a: T, b: T| u8::from(a == b)),
        Op::Less | Op::Greater => zip(|a: T, b: T| u8::from(a < b)),
        Op::LessOrEqual | Op::GreaterOrEqual => zip(|a: T, b: T| u8::from(a <= b)),
        _ => return Err(error(node, "does not run in this version")),
    })
}

/// Not, IsNaN and IsInf: a function of one tensor that answers with booleans.
pub fn predicate(node: &Node, dtype: DType) -> Result<Map, Stop> {
    let doubles = dtype == DType::F64;
    Ok(match node.op {
        Op::Not => map(|x: u8| u8::from(x == 0)),
        Op::IsNaN if doubles => map(|x: f64| u8::from(x.is_nan())),
        Op::IsNaN => map(|x: f32| u8::from(x.is_nan())),
        _ => {
            let lowest = node.attributes.int("detect_negative")? != 0;
            let highest = node.attributes.int("detect_positive")? != 0;
            if doubles {
                map(move |x: f64| {
                    u8::from((lowest & (x == f64::NEG_INFINITY)) | (highest & (x == f64::INFINITY)))
                })
            } else {
                map(move |x: f32| {
                    u8::from((lowest & (x == f32::NEG_INFINITY)) | (highest & (x == f32::INFINITY)))
                })
            }
        }
    })
}

/// Plans a Where: elements of the second operand where the first is true, else of the third.
pub fn plan_where(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let operands = broadcast::operands(b, node)?;
    let y = b.output(made(node, 0)?, operands.shape, operands.layout)?;
    let [condition, left, right] = &operands.placed[..] else {
        return Err(error(node, "needs three operands"));
    };
    let choose = match y.dtype().size() {
        1 => choose::<u8>,
        2 => choose::<u16>,
        4 => choose::<u32>,
        _ => choose::<u64>,
    };
    broadcast::push(b, node, "where", [condition, left, right], &y, move |_, parts, y| choose(parts, y));
    Ok(())
}

/// Bits of elements.
trait Bits: Pod {
    /// One or the other, without a branch: conditions follow no pattern.
    fn picked(condition: u8, left: Self, right: Self) -> Self;
}

macro_rules! bits {
    ($($type:ty)*) => { $(
        impl Bits for $type {
            fn picked(condition: u8, left: $type, right: $type) -> $type {
                let mask = <$type>::from(condition != 0).wrapping_neg();
                right ^ ((left ^ right) & mask)
            }
        }
    )* };
}

bits!(u8 u16 u32 u64);

/// On bytes of whole elements: as many of each operand as of y, or one that stands for all.
fn choose<T: Bits>([condition, left, right]: [&[u8]; 3], y: &mut [u8]) {
    let (left, right, y) = (cast::<T>(left), cast::<T>(right), cast_mut::<T>(y));
    if let &[condition] = condition {
        let picked = if condition != 0 { left } else { right };
        return match picked {
            &[one] => y.fill(one),
            _ => y.copy_from_slice(picked),
        };
    }
    let conditions = y.iter_mut().zip(condition);
    match (left, right) {
        (&[left], &[right]) => conditions.for_each(|(y, &c)| *y = T::picked(c, left, right)),
        (&[left], _) => conditions.zip(right).for_each(|((y, &c), &right)| *y = T::picked(c, left, right)),
        (_, &[right]) => conditions.zip(left).for_each(|((y, &c), &left)| *y = T::picked(c, left, right)),
        _ => conditions
            .zip(left.iter().zip(right))
            .for_each(|((y, &c), (&left, &right))| *y = T::picked(c, left, right)),
    }
}
