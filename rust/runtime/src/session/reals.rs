//! The reals that a value's elements stand for, as float32.

use octavo_exec::{Pod, cast};
use octavo_kernels::float::half;

use crate::error::Error;
use crate::plan::layout::Layout;
use crate::program::{DType, Quant, Value};

/// Room for the reals of one value, used again for the next.
#[derive(Default)]
pub struct Reals(Vec<f32>);

impl Reals {
    /// The reals of a value of this shape, whose bytes are whole and aligned, in the order in which they lie: float32
    /// where it lies, other floats rounded to float32, integers as `scale * (q - zero_point)` in float64, rounded.
    pub fn of<'r>(
        &'r mut self,
        value: &Value,
        shape: &[usize],
        layout: Layout,
        bytes: &'r [u8],
    ) -> Result<&'r [f32], Error> {
        self.0.clear();
        let scales = || Scales::of(value, shape, layout);
        match value.dtype {
            DType::F32 => return Ok(cast(bytes)),
            DType::F16 => self.0.extend(cast(bytes).iter().map(|&bits| half::to_f32(bits))),
            DType::F64 => self.0.extend(cast::<f64>(bytes).iter().map(|&x| x as f32)),
            DType::U8 => self.dequantize(&scales()?, cast::<u8>(bytes), f64::from),
            DType::I8 => self.dequantize(&scales()?, cast::<i8>(bytes), f64::from),
            DType::I16 => self.dequantize(&scales()?, cast::<i16>(bytes), f64::from),
            DType::I32 => self.dequantize(&scales()?, cast::<i32>(bytes), f64::from),
            DType::I64 => self.dequantize(&scales()?, cast::<i64>(bytes), |q| q as f64),
            DType::Bool | DType::Packed(_) => {
                return Err(Error::run(format!("value '{}' stands for no reals", value.name)));
            }
        }
        Ok(&self.0)
    }

    fn dequantize<T: Pod>(&mut self, scales: &Scales<'_>, integers: &[T], number: impl Fn(T) -> f64) {
        for (index, run) in integers.chunks(scales.run).enumerate() {
            let channel = index % scales.channels / scales.block;
            let (scale, zero) = (f64::from(scales.quant.scale[channel]), scales.quant.zero_point[channel]);
            self.0.extend(run.iter().map(|&q| (scale * (number(q) - zero)) as f32));
        }
    }
}

/// Which scale an element has: every `run` elements that lie side by side have one, and the runs go through the channels.
struct Scales<'v> {
    quant: &'v Quant,
    run: usize,
    channels: usize,
    block: usize,
}

impl Scales<'_> {
    fn of<'v>(value: &'v Value, shape: &[usize], layout: Layout) -> Result<Scales<'v>, Error> {
        let quant = value.quant.as_ref();
        let quant = quant.ok_or_else(|| Error::run(format!("value '{}' stands for no reals", value.name)))?;
        let (physical, block) = (layout.physical(shape), quant.block.unwrap_or(1));
        let Some(axis) = quant.axis else {
            return Ok(Scales { quant, run: physical.iter().product::<usize>().max(1), channels: 1, block });
        };
        // A Program whose shapes are free may promise scales for an axis of another length.
        if shape.get(axis).is_none_or(|channels| channels.div_ceil(block) != quant.scale.len()) {
            return Err(Error::run(format!(
                "value '{}' of shape {shape:?} has {} scales on axis {axis}: they do not fit",
                value.name,
                quant.scale.len()
            )));
        }
        let run = physical[layout.axis(axis, shape.len()) + 1..].iter().product::<usize>().max(1);
        Ok(Scales { quant, run, channels: shape[axis].max(1), block })
    }
}

#[cfg(test)]
mod tests {
    use octavo_exec::{Arena, bytes_of};

    use super::*;

    fn value(dtype: DType, quant: Option<Quant>) -> Value {
        Value { name: "v".to_owned(), dtype, shape: None, quant, constant: None }
    }

    fn reals<T: Pod>(of: &Value, shape: &[usize], layout: Layout, elements: &[T]) -> Result<Vec<f32>, Error> {
        let bytes = Arena::from_bytes(bytes_of(elements)).unwrap();
        let mut room = Reals(vec![7.0; 3]);
        room.of(of, shape, layout, bytes.bytes()).map(<[f32]>::to_vec)
    }

    fn scales(scale: &[f32], zero_point: &[f64], axis: Option<usize>, block: Option<usize>) -> Option<Quant> {
        Some(Quant { scale: scale.to_vec(), zero_point: zero_point.to_vec(), axis, block })
    }

    #[test]
    fn floats_of_every_width() {
        let of = |dtype| value(dtype, None);
        let rows = Layout::RowMajor;
        assert_eq!(reals(&of(DType::F32), &[2], rows, &[-0.5f32, 1e-45]).unwrap(), [-0.5, 1e-45]);
        assert_eq!(
            reals(&of(DType::F16), &[3], rows, &[0x3c00u16, 0x0001, 0xfc00]).unwrap(),
            [1.0, 2f32.powi(-24), f32::NEG_INFINITY]
        );
        let seen = reals(&of(DType::F64), &[3], rows, &[1.0 + 2f64.powi(-24) * 1.5, 1e300, -1e-60]).unwrap();
        assert_eq!(seen, [1.0 + f32::EPSILON, f32::INFINITY, 0.0]);
        assert!(reals(&of(DType::F32), &[0], rows, &[0f32; 0]).unwrap().is_empty());
    }

    #[test]
    fn integers_of_every_width() {
        let rows = Layout::RowMajor;
        let of = |dtype, zero: i64| value(dtype, scales(&[0.1], &[zero as f64], None, None));
        let tenth = |q: f64| (f64::from(0.1f32) * q) as f32;
        assert_eq!(
            reals(&of(DType::U8, 200), &[2], rows, &[0u8, 255]).unwrap(),
            [tenth(-200.0), tenth(55.0)]
        );
        assert_eq!(reals(&of(DType::I8, -128), &[2], rows, &[-128i8, 127]).unwrap(), [0.0, tenth(255.0)]);
        assert_eq!(reals(&of(DType::I16, 1), &[1], rows, &[i16::MIN]).unwrap(), [tenth(-32769.0)]);
        assert_eq!(
            reals(&of(DType::I32, i64::from(i32::MAX)), &[1], rows, &[i32::MIN]).unwrap(),
            [tenth(-4_294_967_295.0)]
        );
        assert_eq!(
            reals(&of(DType::I64, i64::MAX), &[1], rows, &[i64::MIN]).unwrap(),
            [tenth(-(2f64.powi(64)))]
        );
        assert!(reals(&of(DType::U8, 3), &[4, 0], rows, &[0u8; 0]).unwrap().is_empty());
        assert_eq!(reals(&of(DType::U8, 3), &[], rows, &[13u8]).unwrap(), [1.0]);
    }

    /// Integers 0 to 11 of shape [2, 3, 2], with scales 1, 10, 100 along the middle axis.
    #[test]
    fn channels_wherever_they_lie() {
        let of = value(DType::U8, scales(&[1.0, 10.0, 100.0], &[0.0, 1.0, 0.0], Some(1), None));
        let integers: Vec<u8> = (0..12).collect();
        let (shape, rows) = ([2, 3, 2], Layout::RowMajor);
        let seen = reals(&of, &shape, rows, &integers).unwrap();
        assert_eq!(seen, [0.0, 1.0, 10.0, 20.0, 400.0, 500.0, 6.0, 7.0, 70.0, 80.0, 1000.0, 1100.0]);
        let seen = reals(&of, &shape, Layout::ChannelsLast, &integers).unwrap();
        assert_eq!(seen, [0.0, 0.0, 200.0, 3.0, 30.0, 500.0, 6.0, 60.0, 800.0, 9.0, 90.0, 1100.0]);
        let of = value(DType::U8, scales(&[1.0, 10.0], &[0.0, 0.0], Some(0), None));
        let seen = reals(&of, &shape, Layout::ChannelsLast, &integers).unwrap();
        assert_eq!(seen[5..7], [5.0, 60.0]);
        let of = value(DType::U8, scales(&[1.0, 10.0], &[0.0, 0.0], Some(2), None));
        assert_eq!(reals(&of, &shape, rows, &integers).unwrap()[..4], [0.0, 10.0, 2.0, 30.0]);
        let seen = reals(&of, &shape, Layout::ChannelsLast, &integers).unwrap();
        assert_eq!(seen[..7], [0.0, 1.0, 2.0, 30.0, 40.0, 50.0, 6.0]);
    }

    #[test]
    fn blocks_of_channels() {
        let of = value(DType::I8, scales(&[1.0, 10.0], &[0.0, 0.0], Some(1), Some(2)));
        let seen = reals(&of, &[2, 3], Layout::RowMajor, &[1i8, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(seen, [1.0, 2.0, 30.0, 4.0, 5.0, 60.0]);
    }

    #[test]
    fn what_stands_for_no_reals_and_scales_that_do_not_fit() {
        let text = |of: &Value, shape: &[usize]| {
            reals(of, shape, Layout::RowMajor, &[0u8; 6]).unwrap_err().to_string()
        };
        assert!(text(&value(DType::U8, None), &[6]).contains("stands for no reals"));
        assert!(text(&value(DType::Bool, None), &[6]).contains("stands for no reals"));
        let two = scales(&[1.0, 2.0], &[0.0, 0.0], Some(1), None);
        assert!(text(&value(DType::U8, two.clone()), &[2, 3]).contains("[2, 3] has 2 scales on axis 1"));
        assert!(text(&value(DType::U8, two), &[6]).contains("do not fit"));
        let blocks = scales(&[1.0, 2.0], &[0.0, 0.0], Some(1), Some(3));
        assert!(text(&value(DType::U8, blocks), &[2, 3]).contains("do not fit"));
    }
}
