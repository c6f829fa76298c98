//! The integers that activations are held in: their zero points, clamps and sums.

use super::DType;

/// What a dtype of activations may hold, and what sums of its products need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Integers {
    /// The least integer that quantization uses.
    pub low: i64,
    /// The greatest.
    pub high: i64,
    /// Whether the zero point is always 0.
    pub is_symmetric: bool,
    /// The dtype of sums of products.
    pub accumulator: DType,
    /// What the magnitude of such a sum must stay below.
    pub sum_end: i64,
    /// The least shift of a requantization.
    pub shift_min: i64,
    range: (i64, i64),
}

impl Integers {
    /// Unsigned bytes.
    pub const UINT8: Integers = Integers {
        low: 0,
        high: 255,
        is_symmetric: false,
        accumulator: DType::I32,
        sum_end: 1 << 31,
        shift_min: 1,
        range: (0, 255),
    };

    /// 16 bits with a sign. 64 bits hold the product of such a sum and the 24 bits of a multiplier.
    pub const INT16: Integers = Integers {
        low: -32767,
        high: 32767,
        is_symmetric: true,
        accumulator: DType::I64,
        sum_end: 1 << 38,
        shift_min: 8,
        range: (-32768, 32767),
    };

    /// Of a dtype that activations are held in; `None` of every other.
    pub fn of(dtype: DType) -> Option<Integers> {
        match dtype {
            DType::U8 => Some(Integers::UINT8),
            DType::I16 => Some(Integers::INT16),
            _ => None,
        }
    }

    /// The least and the greatest zero point.
    pub fn zero_points(&self) -> (i64, i64) {
        if self.is_symmetric { (0, 0) } else { (self.low, self.high) }
    }

    /// The greatest magnitude of `q - zero_point` over all integers of the dtype.
    pub fn reach(&self, zero_point: i64) -> i64 {
        (zero_point - self.range.0).max(self.range.1 - zero_point)
    }

    /// How many integers the dtype has: the entries of a table over them.
    pub fn count(&self) -> usize {
        (self.range.1 - self.range.0 + 1) as usize
    }

    /// How many steps there are from the least integer to the greatest.
    pub fn steps(&self) -> i64 {
        self.high - self.low
    }
}
