//! Constants: a dtype, a shape, and little-endian bytes.

use octavo_exec::{bytes_of, cast};
use octavo_kernels::quantize::weights::{Width, unpack};

use super::Bytes;
use crate::error::Error;

/// The type of a value's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// Unsigned 8-bit integers.
    U8,
    /// Signed 8-bit integers.
    I8,
    /// Signed 16-bit integers.
    I16,
    /// Signed 32-bit integers.
    I32,
    /// Signed 64-bit integers.
    I64,
    /// Bytes that are 0 or 1.
    Bool,
    /// IEEE half precision.
    F16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
    /// Integers of which several share a byte: of constants alone.
    Packed(Packed),
}

/// Integers of fewer bits than a byte has, one after the other, the lowest bits of a byte first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the name says all")]
pub enum Packed {
    U4,
    I4,
    U3,
    I3,
    U2,
    I2,
}

impl Packed {
    /// Every one.
    pub const ALL: [Packed; 6] = [Packed::U4, Packed::I4, Packed::U3, Packed::I3, Packed::U2, Packed::I2];

    fn bits(self) -> usize {
        match self {
            Packed::U4 | Packed::I4 => 4,
            Packed::U3 | Packed::I3 => 3,
            Packed::U2 | Packed::I2 => 2,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Packed::U4 => "u4",
            Packed::I4 => "i4",
            Packed::U3 => "u3",
            Packed::I3 => "i3",
            Packed::U2 => "u2",
            Packed::I2 => "i2",
        }
    }
}

impl DType {
    /// The dtypes whose elements are whole bytes.
    pub const WHOLE: [DType; 9] = [
        DType::U8,
        DType::I8,
        DType::I16,
        DType::I32,
        DType::I64,
        DType::Bool,
        DType::F16,
        DType::F32,
        DType::F64,
    ];

    /// Bits an element.
    pub fn bits(self) -> usize {
        match self {
            DType::Packed(packed) => packed.bits(),
            DType::U8 | DType::I8 | DType::Bool => 8,
            DType::I16 | DType::F16 => 16,
            DType::I32 | DType::F32 => 32,
            DType::I64 | DType::F64 => 64,
        }
    }

    /// Whether several elements share a byte.
    pub fn is_packed(self) -> bool {
        matches!(self, DType::Packed(_))
    }

    /// Bytes an element; a byte where several share it.
    pub fn size(self) -> usize {
        self.bits().div_ceil(8)
    }

    /// Bytes of a tensor of this shape; `None` where their number has no 64 bits.
    pub fn bytes_of(self, shape: &[usize]) -> Option<usize> {
        let bits = shape.iter().try_fold(self.bits(), |n, &dim| n.checked_mul(dim))?;
        Some(bits.div_ceil(8))
    }

    /// The name in an artifact.
    pub fn name(self) -> &'static str {
        match self {
            DType::U8 => "u8",
            DType::I8 => "i8",
            DType::I16 => "i16",
            DType::I32 => "i32",
            DType::I64 => "i64",
            DType::Bool => "bool",
            DType::F16 => "f16",
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::Packed(packed) => packed.name(),
        }
    }

    /// The dtype of a name in an artifact.
    pub fn from_name(name: &str) -> Option<DType> {
        DType::WHOLE.into_iter().chain(Packed::ALL.map(DType::Packed)).find(|dtype| dtype.name() == name)
    }

    /// The number that ONNX's TensorProto gives the dtype; Cast names its target so. No tensor that is cast is packed.
    pub fn onnx(self) -> i64 {
        match self {
            DType::Packed(_) => 0,
            DType::F32 => 1,
            DType::U8 => 2,
            DType::I8 => 3,
            DType::I16 => 5,
            DType::I32 => 6,
            DType::I64 => 7,
            DType::Bool => 9,
            DType::F16 => 10,
            DType::F64 => 11,
        }
    }

    /// The least and the greatest integer; `None` for floats and booleans.
    pub fn integer_range(self) -> Option<(i64, i64)> {
        match self {
            DType::U8 | DType::Packed(Packed::U4 | Packed::U3 | Packed::U2) => {
                Some((0, (1 << self.bits()) - 1))
            }
            DType::I8 | DType::I16 | DType::I32 | DType::I64 | DType::Packed(_) => {
                let greatest = i64::MAX >> (64 - self.bits());
                Some((-greatest - 1, greatest))
            }
            DType::Bool | DType::F16 | DType::F32 | DType::F64 => None,
        }
    }
}

/// A tensor known in advance, in C order; of a packed dtype, its bits one element after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    data: Bytes,
}

impl Tensor {
    /// A tensor of little-endian bytes, as many as dtype and shape need.
    pub fn new(dtype: DType, shape: Vec<usize>, data: impl Into<Bytes>) -> Result<Tensor, Error> {
        let data = data.into();
        if dtype.bytes_of(&shape) != Some(data.len()) {
            return Err(Error::artifact(format!(
                "a tensor of {} and shape {shape:?} cannot have {} bytes",
                dtype.name(),
                data.len()
            )));
        }
        Ok(Tensor { dtype, shape, data })
    }

    /// The same elements in another shape of as many.
    pub fn reshaped(&self, shape: Vec<usize>) -> Result<Tensor, Error> {
        if shape.iter().try_fold(1usize, |n, &dim| n.checked_mul(dim)) != Some(self.len()) {
            return Err(Error::artifact(format!("{} elements have no shape {shape:?}", self.len())));
        }
        Ok(Tensor { dtype: self.dtype, shape, data: self.data.clone() })
    }

    /// The type of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The length of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The little-endian bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }

    fn expect(&self, dtype: DType) -> Result<(), Error> {
        if self.dtype == dtype {
            return Ok(());
        }
        Err(Error::artifact(format!(
            "a constant of {} and shape {:?} stands where one of {} is needed",
            self.dtype.name(),
            self.shape,
            dtype.name()
        )))
    }

    /// The elements of a tensor of u8.
    pub fn u8s(&self) -> Result<&[u8], Error> {
        self.expect(DType::U8)?;
        Ok(&self.data)
    }

    /// The elements of a tensor of i8.
    pub fn i8s(&self) -> Result<&[i8], Error> {
        self.expect(DType::I8)?;
        Ok(cast(&self.data))
    }

    /// A tensor of these i8s.
    pub fn from_i8s(shape: &[usize], elements: &[i8]) -> Result<Tensor, Error> {
        Tensor::new(DType::I8, shape.to_vec(), bytes_of(elements))
    }

    /// The elements of a tensor of integers of 32 bits at most, packed ones among them.
    pub fn integers(&self) -> Result<Vec<i32>, Error> {
        let bits = self.dtype.bits();
        let Some((least, _)) = self.dtype.integer_range().filter(|_| bits <= 32) else {
            return self.i32s();
        };
        let mut integers = vec![0; self.len()];
        unpack(&self.data, Width { bits, is_signed: least < 0 }, 0, &mut integers);
        Ok(integers)
    }
}

macro_rules! elements {
    ($($read:ident, $make:ident, $element:ty, $dtype:ident;)*) => { impl Tensor { $(
        #[doc = concat!("The elements of a tensor of ", stringify!($element), ".")]
        pub fn $read(&self) -> Result<Vec<$element>, Error> {
            self.expect(DType::$dtype)?;
            let (chunks, _) = self.data.as_chunks();
            Ok(chunks.iter().map(|&bytes| <$element>::from_le_bytes(bytes)).collect())
        }

        #[doc = concat!("A tensor of these ", stringify!($element), "s.")]
        pub fn $make(shape: &[usize], elements: &[$element]) -> Result<Tensor, Error> {
            let data: Vec<_> = elements.iter().map(|x| x.to_le_bytes()).collect();
            Tensor::new(DType::$dtype, shape.to_vec(), data.into_flattened())
        }
    )* } };
}

elements! {
    i16s, from_i16s, i16, I16;
    i32s, from_i32s, i32, I32;
    i64s, from_i64s, i64, I64;
    f32s, from_f32s, f32, F32;
    f64s, from_f64s, f64, F64;
}
