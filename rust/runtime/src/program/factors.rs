//! int8 constants that an artifact holds as integers of few bits, those of each group of a row times a factor.

use octavo_kernels::quantize::weights::{Width, unpack};
use serde::Deserialize;

use crate::error::Error;
use crate::program::faults::invalid;
use crate::program::{DType, Dim, Tensor, Value};

/// How such a constant lies in bytes: the integers, row after row, then a byte for each group of each row. A row's elements
/// are those of one index of `axis`, in the order of the other axes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Factored {
    bits: usize,
    group: usize,
    axis: usize,
}

impl Factored {
    /// The constant that a value says, of the tensor that the file has for it.
    pub fn multiplied(
        &self,
        value: &Value,
        dtype: DType,
        stored: &[usize],
        bytes: &[u8],
    ) -> Result<Tensor, Error> {
        let &Factored { bits, group, axis } = self;
        if !(2..=4).contains(&bits) || group < 1 {
            return Err(invalid(format_args!(
                "there are no factors of {bits} bits, groups of {group} and the axis {axis}"
            )));
        }
        let name = &value.name;
        let fixed = |dim: &Dim| if let Dim::Fixed(n) = dim { Some(*n) } else { None };
        let shape: Option<Vec<usize>> =
            value.shape.as_ref().and_then(|dims| dims.iter().map(fixed).collect());
        let shape = shape.filter(|shape| value.dtype == DType::I8 && axis < shape.len());
        let sizes = shape.as_ref().and_then(|shape| {
            let all = shape.iter().try_fold(1usize, |n, &dim| n.checked_mul(dim.max(1)))?;
            (all < 1 << 60).then(|| (shape[axis], shape.iter().product::<usize>() / shape[axis].max(1)))
        });
        let (Some(shape), Some((rows, length))) = (shape, sizes) else {
            return Err(invalid(format_args!(
                "the constant {name:?} is factored, but no int8 of a known shape"
            )));
        };
        if dtype != DType::U8 || stored.len() != 1 {
            return Err(invalid(format_args!("the constant {name:?} is factored, but no bytes")));
        }
        let groups = length.div_ceil(group);
        let end = (rows * length * bits).div_ceil(8);
        if bytes.len() != end + rows * groups {
            return Err(invalid(format_args!(
                "the constant {name:?} of i8 {shape:?} has {} bytes where {} are due",
                bytes.len(),
                end + rows * groups
            )));
        }
        let inner: usize = shape[axis + 1..].iter().product();
        let mut elements = vec![0i8; rows * length];
        let mut row = vec![0; length];
        for r in 0..if length > 0 { rows } else { 0 } {
            unpack(&bytes[..end], Width { bits, is_signed: true }, r * length, &mut row);
            for (at, &q) in row.iter().enumerate() {
                let product = q * i32::from(bytes[end + r * groups + at / group]);
                let place = at / inner * rows * inner + r * inner + at % inner;
                elements[place] = i8::try_from(product).map_err(|_| {
                    invalid(format_args!("the constant {name:?} of i8 {shape:?} holds a product beyond int8"))
                })?;
            }
        }
        Tensor::from_i8s(&shape, &elements)
    }
}
