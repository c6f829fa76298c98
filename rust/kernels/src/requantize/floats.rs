//! When, and by which factor, a product in float32 has the rule's bits.

/// `1.5 * 2^23` as float32 and as its bits: from here to `2^22` away float32 has the integers and nothing between them.
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    expect(dead_code, reason = "no tier of this architecture asks")
)]
pub const MAGIC: (f32, i32) = (12_582_912.0, 0x4B40_0000);

/// Whether float32 gives the rule's bytes for all sums up to `reach` in magnitude by all shifts from `least` to
/// `most`: formula (9e) of docs/arithmetic.md.
///
/// A multiplier is below `2^31`, so the first condition holds each product below `2^23`, where the bits of the sum with
/// [`MAGIC`] are still in order. A sum beyond `2^24` is rounded on its way to float32; the second lets that be only where
/// the product is then beyond 256, where the clamp decides.
pub fn is_exact_in_floats(reach: i64, least: i32, most: i32) -> bool {
    let product = (reach << (31 - least).max(0)) >> (least - 31).max(0);
    product < 1 << 23 && (most <= 46 || reach <= 1 << 24)
}

/// `M / 2^S` as the float32 that it is: M is `2^7` times an integer of 24 bits.
#[inline(always)]
pub fn float_factor(multiplier: i32, shift: i32) -> f32 {
    (multiplier >> 7) as f32 * f32::from_bits(((127 + 7 - shift) as u32) << 23)
}
