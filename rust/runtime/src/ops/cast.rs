//! Cast between any two types. Floats become integers without fraction, saturating, NaN 0; integers wrap.

use octavo_exec::{Pod, cast, cast_mut};
use octavo_kernels::float::half;

use crate::ops::node::{error, made, needed, push_map};
use crate::plan::builder::{Builder, Stop};
use crate::program::{DType, Node};

/// Plans a Cast.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let (value, output) = (needed(node, 0)?, made(node, 0)?);
    let to = node.attributes.int("to")?;
    let to = DType::WHOLE.into_iter().find(|dtype| dtype.onnx() == to);
    let to = to.ok_or_else(|| error(node, "casts to a type that is not known"))?;
    let x = b.input(value)?;
    let from = x.dtype();
    if from == to {
        return Ok(b.alias(output, &x, x.shape().to_vec(), x.layout)?);
    }
    let y = b.output(output, x.shape().to_vec(), x.layout)?;
    let chunk = b.steps.chunk_elements(y.elements());
    let floats = &b.steps.kernels.row().float;
    if (from, to) == (DType::F16, DType::F32) {
        push_map(b, node, floats.half.widen.name, &x, &y, chunk, half::widen);
        return Ok(());
    }
    if (from, to) == (DType::F32, DType::F16) {
        push_map(b, node, floats.half.narrow.name, &x, &y, chunk, half::narrow);
        return Ok(());
    }
    let (xb, yb) = (x.buffer, y.buffer);
    b.steps.step(node.name.clone(), "Cast", "cast").run([xb], [yb], move |run, [x], [y]| {
        let pool = run.pool;
        pool.slices(y, chunk * to.size(), |i, y| {
            let count = y.len() / to.size();
            convert(from, &x[i * chunk * from.size()..][..count * from.size()], to, y);
        });
    });
    Ok(())
}

/// A number on its way from one type to another.
#[derive(Clone, Copy)]
enum Converted {
    Whole(i64),
    Real(f64),
}

/// How numbers are stored.
trait Format {
    type Bits: Pod;
    fn read(bits: Self::Bits) -> Converted;
    fn write(number: Converted) -> Self::Bits;
}

macro_rules! formats {
    ($($type:ty, $kind:ident, $wide:ty;)*) => { $(impl Format for $type {
        type Bits = $type;

        fn read(bits: $type) -> Converted {
            Converted::$kind(<$wide>::from(bits))
        }

        fn write(number: Converted) -> $type {
            match number {
                Converted::Whole(number) => number as $type,
                Converted::Real(number) => number as $type,
            }
        }
    })* };
}

formats! {
    u8, Whole, i64;
    i8, Whole, i64;
    i16, Whole, i64;
    i32, Whole, i64;
    i64, Whole, i64;
    f32, Real, f64;
    f64, Real, f64;
}

/// A byte that is 0 or 1.
struct Bool;

impl Format for Bool {
    type Bits = u8;

    fn read(bits: u8) -> Converted {
        Converted::Whole((bits != 0).into())
    }

    fn write(number: Converted) -> u8 {
        match number {
            Converted::Whole(number) => (number != 0).into(),
            Converted::Real(number) => (number != 0.0).into(),
        }
    }
}

/// IEEE half precision.
struct Half;

impl Format for Half {
    type Bits = u16;

    fn read(bits: u16) -> Converted {
        Converted::Real(half::to_f32(bits).into())
    }

    /// Rounded once, to nearest, ties to even.
    fn write(number: Converted) -> u16 {
        let x = match number {
            Converted::Whole(number) => number as f64,
            Converted::Real(number) => number,
        };
        let magnitude = x.abs();
        // A mantissa that rounds up to the next power of two carries into the exponent, as it should.
        let bits = if magnitude.is_nan() {
            0x7e00
        } else if magnitude >= 65520.0 {
            0x7c00
        } else if magnitude < 2f64.powi(-14) {
            (magnitude * 2f64.powi(24)).round_ties_even() as u16
        } else {
            let exponent = (magnitude.to_bits() >> 52) as i32 - 1023;
            let mantissa = (magnitude * 2f64.powi(10 - exponent)).round_ties_even() as u16;
            ((exponent + 14) as u16) * 1024 + mantissa
        };
        bits | u16::from(x.is_sign_negative()) << 15
    }
}

fn convert(from: DType, x: &[u8], to: DType, y: &mut [u8]) {
    match from {
        DType::U8 => convert_to::<u8>(x, to, y),
        DType::I8 => convert_to::<i8>(x, to, y),
        DType::I16 => convert_to::<i16>(x, to, y),
        DType::I32 => convert_to::<i32>(x, to, y),
        DType::I64 => convert_to::<i64>(x, to, y),
        DType::Bool => convert_to::<Bool>(x, to, y),
        DType::F16 => convert_to::<Half>(x, to, y),
        DType::F32 => convert_to::<f32>(x, to, y),
        DType::F64 => convert_to::<f64>(x, to, y),
        DType::Packed(_) => unreachable!("Dequantize alone reads packed constants"),
    }
}

fn convert_to<F: Format>(x: &[u8], to: DType, y: &mut [u8]) {
    match to {
        DType::U8 => convert_all::<F, u8>(x, y),
        DType::I8 => convert_all::<F, i8>(x, y),
        DType::I16 => convert_all::<F, i16>(x, y),
        DType::I32 => convert_all::<F, i32>(x, y),
        DType::I64 => convert_all::<F, i64>(x, y),
        DType::Bool => convert_all::<F, Bool>(x, y),
        DType::F16 => convert_all::<F, Half>(x, y),
        DType::F32 => convert_all::<F, f32>(x, y),
        DType::F64 => convert_all::<F, f64>(x, y),
        DType::Packed(_) => unreachable!("Dequantize alone reads packed constants"),
    }
}

fn convert_all<F: Format, T: Format>(x: &[u8], y: &mut [u8]) {
    for (y, &x) in cast_mut::<T::Bits>(y).iter_mut().zip(cast::<F::Bits>(x)) {
        *y = T::write(F::read(x));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_once() {
        let cases = [
            (0.0, 0x0000),
            (-0.0, 0x8000),
            (1.0, 0x3c00),
            (-2.0, 0xc000),
            (65504.0, 0x7bff),
            (65519.999, 0x7bff),
            (65520.0, 0x7c00),
            (1.0 + 2f64.powi(-11), 0x3c00),
            (1.0 + 3.0 * 2f64.powi(-11), 0x3c02),
            // Through float32 this would become a tie first.
            (1.0 + 2f64.powi(-11) + 2f64.powi(-40), 0x3c01),
            (2047.9 / 2048.0, 0x3c00),
            (2f64.powi(-14), 0x0400),
            (2f64.powi(-24), 0x0001),
            (2f64.powi(-25), 0x0000),
            (1023.9 * 2f64.powi(-24), 0x0400),
            (f64::NEG_INFINITY, 0xfc00),
        ];
        for (x, bits) in cases {
            assert_eq!(Half::write(Converted::Real(x)), bits, "{x}");
        }
    }

    #[test]
    fn every_half_is_itself() {
        for bits in 0..=u16::MAX {
            let Converted::Real(x) = Half::read(bits) else { panic!("a half is real") };
            if !x.is_nan() {
                assert_eq!(Half::write(Converted::Real(x)), bits, "{x}");
            }
        }
    }
}
