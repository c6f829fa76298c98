//! Ranges that are found at run time, formula (3a): of a row, or of a sample in parts.
//!
//! The range of some numbers is that of 0 and of all of them. It is kept as the bits of its two ends, turned into integers
//! whose order is that of the floats, so that NaN and the infinities lie outside of all finite numbers, and a loop over
//! integers finds both ends.

/// The two ends of a range: the bits of the least and of the greatest, as integers in the order of the floats.
pub type Ends = [i32; 2];

/// The range of no numbers: 0 alone.
pub const NOTHING: Ends = [0, 0];

/// Adding this to a float64 of at most 2^51 in magnitude rounds it to an integer, ties to even.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// The range of what two ranges are of.
pub fn union(a: Ends, b: Ends) -> Ends {
    [a[0].min(b[0]), a[1].max(b[1])]
}

/// The scale and the zero point of a range: formulas (16) and (17). Where it holds NaN or an infinity, NaN and 0.
pub fn scale_of(ends: Ends) -> (f32, u8) {
    let [least, greatest] = ends.map(|end| f32::from_bits(ordered(end) as u32));
    if ordered(f32::NEG_INFINITY.to_bits() as i32) >= ends[0] || ends[1] >= f32::INFINITY.to_bits() as i32 {
        return (f32::NAN, 0);
    }
    let width = f64::from(greatest) - f64::from(least);
    if width == 0.0 {
        return (1.0, 0);
    }
    let scale = ((width / 255.0) as f32).max(f32::MIN_POSITIVE);
    let place = -f64::from(least) / f64::from(scale);
    (scale, (place + ROUND - ROUND).min(255.0) as u8)
}

/// Bits of a float32 as an integer in the order of the floats, and back: those below 0 have the more bits set the less they
/// are.
#[inline(always)]
fn ordered(bits: i32) -> i32 {
    bits ^ ((bits >> 31) as u32 >> 1) as i32
}

/// The text of [`range`](super::range), for a tier to compile: it widens `ends`.
#[inline(always)]
pub(super) fn range_source(x: &[f32], ends: &mut Ends) {
    let [mut least, mut greatest] = *ends;
    for x in x {
        let place = ordered(x.to_bits() as i32);
        least = least.min(place);
        greatest = greatest.max(place);
    }
    *ends = [least, greatest];
}

/// Goes through rows: finds the range of each, and has it quantized.
#[inline(always)]
pub(super) fn rows_source(
    x: &[f32],
    scales: &mut [f32],
    zero_points: &mut [u8],
    out: &mut [u8],
    quantize: impl Fn(&[f32], f32, i32, &mut [u8]),
) {
    let length = x.len() / scales.len().max(1);
    for (row, (scale, zero_point)) in scales.iter_mut().zip(zero_points).enumerate() {
        let (x, out) = (&x[row * length..][..length], &mut out[row * length..][..length]);
        let mut ends = NOTHING;
        range_source(x, &mut ends);
        (*scale, *zero_point) = scale_of(ends);
        quantize(x, *scale, i32::from(*zero_point), out);
    }
}
