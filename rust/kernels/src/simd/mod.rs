//! The registers of the tiers, behind one trait: what families compute alike on every tier is written once
//! over [`Vector`], and compiled for a tier where a family calls it from a function with the tier's features.
//!
//! A register is so many lanes of 32 bits; *words* are its 16-bit halves of lanes, *pairs* are two lanes side by side, and
//! what is named after floats takes lanes as the bits of float32. What unpacks and packs works in each 128 bits by itself,
//! as the instructions do: a pack undoes an unpack.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod vnni256;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::{Product, Ymm, YmmOf};
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512vnni::{Zmm, opaque};
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::{Apart, Bytes, Product, Qs, SignedBytes};
#[cfg(target_arch = "x86_64")]
pub(crate) use vnni256::{Evex, Fours, Vex};

/// Writes 16 bytes: those of the 16 at `from` that lie at these places, which are below 16.
///
/// # Safety
/// The CPU has SSSE3 or NEON; the bytes can be read and written.
#[inline(always)]
pub(crate) unsafe fn pick(from: *const u8, places: &[u8; 16], to: *mut u8) {
    #[cfg(target_arch = "x86_64")]
    use std::arch::x86_64::*;
    // SAFETY: the caller's.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        let places = _mm_loadu_si128(places.as_ptr().cast());
        _mm_storeu_si128(to.cast(), _mm_shuffle_epi8(_mm_loadu_si128(from.cast()), places));
    }
    #[cfg(target_arch = "aarch64")]
    use std::arch::aarch64::*;
    // SAFETY: the caller's.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        vst1q_u8(to, vqtbl1q_u8(vld1q_u8(from), vld1q_u8(places.as_ptr())));
    }
}

/// A register of integers, or of the bits of floats.
///
/// # Safety
/// The methods need the tier's CPU features, and pointers to as many elements as they read or write, at any alignment.
/// They are inlined into functions that are compiled for the tier.
pub(crate) trait Vector: Copy {
    /// Lanes of a register.
    const LANES: usize;
    /// Bytes of a register.
    const BYTES: usize = 4 * Self::LANES;
    /// What [`Vector::high_halves`] tells even lanes by, best kept outside of loops.
    type Even: Copy;

    /// The same number in every lane.
    unsafe fn splat(x: i32) -> Self;
    /// The same number in every word.
    unsafe fn splat_words(x: i16) -> Self;
    /// The same number in every byte.
    unsafe fn splat_bytes(x: u8) -> Self;
    /// A register of bytes.
    unsafe fn load_bytes(from: *const u8) -> Self;
    /// Writes a register of bytes.
    unsafe fn store_bytes(self, to: *mut u8);
    /// Writes one of the four quarters of the bytes.
    unsafe fn store_quarter(self, quarter: usize, to: *mut u8);
    /// Writes the 128 bits of that number.
    unsafe fn store_part(self, part: usize, to: *mut u8);

    /// The sum of lanes, modulo 2^32.
    unsafe fn add(self, other: Self) -> Self;
    /// The difference of lanes, modulo 2^32.
    unsafe fn sub(self, other: Self) -> Self;
    /// The greater of signed lanes.
    unsafe fn max(self, other: Self) -> Self;
    /// Each lane moved left by a number of its own.
    unsafe fn shift_left(self, by: Self) -> Self;
    /// Each signed lane moved right by a number of its own.
    unsafe fn shift_right(self, by: Self) -> Self;
    /// The low halves of the products of lanes.
    unsafe fn mul_low(self, other: Self) -> Self;
    /// The 64-bit products of the signed even lanes.
    unsafe fn mul_even(self, other: Self) -> Self;
    /// The odd lanes, one lane down; the rest is whatever.
    unsafe fn odd_lanes(self) -> Self;
    /// See [`Vector::high_halves`].
    unsafe fn even() -> Self::Even;
    /// The high halves of the products of the even lanes and of the odd lanes, in the lanes' order.
    unsafe fn high_halves(even_products: Self, odd_products: Self, even: Self::Even) -> Self;
    /// In the even lanes, `floor((acc * multiplier + 2^(shift-1)) / 2^shift)` of the even lanes for any shift in `1..=62`,
    /// held to the int16 that are far beyond a byte.
    unsafe fn scale_even(acc: Self, multiplier: Self, shift: Self) -> Self;
    /// The even lanes of one register, and those of another one lane up.
    unsafe fn join_even(even: Self, odd: Self) -> Self;

    /// Signed lanes as float32, rounded to nearest.
    unsafe fn to_floats(self) -> Self;
    /// Floats as signed lanes, rounded to nearest, ties to even; what lies below int32 becomes the least one, what lies above
    /// anything.
    unsafe fn to_integers(self) -> Self;
    /// The sums of floats.
    unsafe fn add_floats(self, other: Self) -> Self;
    /// The products of floats.
    unsafe fn mul_floats(self, other: Self) -> Self;
    /// The quotients of floats.
    unsafe fn div_floats(self, other: Self) -> Self;
    /// The greater of floats; `other` where one is NaN or both are zeros.
    unsafe fn max_floats(self, other: Self) -> Self;
    /// The lesser of floats; `other` where one is NaN or both are zeros.
    unsafe fn min_floats(self, other: Self) -> Self;
    /// `self * factor + sum` of floats, rounded once.
    unsafe fn fma_floats(self, factor: Self, sum: Self) -> Self;
    /// Floats clamped: `lo` where one is at most that, then `hi` where it is above that; NaN stays.
    unsafe fn clamp_floats(self, lo: Self, hi: Self) -> Self;
    /// The same, with 0 in the lanes where a float of `of` is NaN.
    unsafe fn where_number(self, of: Self) -> Self;

    /// The sum of the words of each lane's products.
    unsafe fn dot_words(self, other: Self) -> Self;
    /// `self`, and in each lane the sum of its products added, of as many values and weights as a tier's dot product takes:
    /// bytes and signed bytes, or signed words.
    unsafe fn dot(self, values: Self, weights: Self) -> Self;
    /// The difference of words, modulo 2^16.
    unsafe fn sub_words(self, other: Self) -> Self;
    /// The sum of words, modulo 2^16.
    unsafe fn sum_words(self, other: Self) -> Self;
    /// The sum of signed words, saturated.
    unsafe fn add_words(self, other: Self) -> Self;
    /// The low halves of the products of words.
    unsafe fn mul_low_words(self, other: Self) -> Self;
    /// The high halves of the products of signed words.
    unsafe fn mul_high_words(self, other: Self) -> Self;
    /// The greater of unsigned bytes.
    unsafe fn max_bytes(self, other: Self) -> Self;
    /// The lesser of unsigned bytes.
    unsafe fn min_bytes(self, other: Self) -> Self;

    /// The lower 8 bytes of each 128 bits, in turns from both.
    unsafe fn unpack_low_bytes(self, other: Self) -> Self;
    /// The upper 8 bytes of each 128 bits, in turns from both.
    unsafe fn unpack_high_bytes(self, other: Self) -> Self;
    /// The lower 4 words of each 128 bits, in turns from both.
    unsafe fn unpack_low_words(self, other: Self) -> Self;
    /// The upper 4 words of each 128 bits, in turns from both.
    unsafe fn unpack_high_words(self, other: Self) -> Self;
    /// The lower 2 lanes of each 128 bits, in turns from both.
    unsafe fn unpack_low_lanes(self, other: Self) -> Self;
    /// The upper 2 lanes of each 128 bits, in turns from both.
    unsafe fn unpack_high_lanes(self, other: Self) -> Self;
    /// The lower pair of each 128 bits from both.
    unsafe fn unpack_low_pairs(self, other: Self) -> Self;
    /// The upper pair of each 128 bits from both.
    unsafe fn unpack_high_pairs(self, other: Self) -> Self;
    /// Signed lanes as signed words, saturated.
    unsafe fn pack_words(self, other: Self) -> Self;
    /// Signed words as unsigned bytes, saturated.
    unsafe fn pack_bytes(self, other: Self) -> Self;
    /// The lower three bytes of each lane, side by side in each 128 bits; the rest of these is whatever.
    unsafe fn pack_threes(self) -> Self;
    /// Of four registers of lanes that packs made one of bytes: their bytes, register by register.
    unsafe fn in_order(self) -> Self;

    /// Unsigned bytes from memory, half as many as a register has, as words.
    unsafe fn words(from: *const u8) -> Self;

    /// Lanes from memory.
    #[inline(always)]
    unsafe fn load(from: *const i32) -> Self {
        // SAFETY: the caller's.
        unsafe { Self::load_bytes(from.cast()) }
    }
}
