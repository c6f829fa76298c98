//! What each tier has of this family: code of its registers where that gains, compiled plain loops elsewhere.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::vector;
use super::{Entries, plain};

crate::plain::vector_tiers!(Entries {
    quantize(x: &[f32], scale: f32, zero_point: i32, out: &mut [u8]) = vector::quantize as "f32u8-quantize";
    quantize_rows(x: &[f32], scales: &mut [f32], zero_points: &mut [u8], out: &mut [u8])
        = vector::quantize_rows as "f32u8-quantize-rows";
    quantize_channels_last(x: &[f32], plane: usize, channels: usize, scale: f32, zero_point: i32, out: &mut [u8])
        = vector::channels_last as "f32u8-quantize-channels-last";
    quantize_to_grids(x: &[f32], scale: &[f32], zero: &[f32], out: &mut [u8])
        = vector::to_grids as "f32u8-quantize-to-grids";
    quantize_channels_last_to_grids(x: &[f32], plane: usize, scale: &[f32], zero: &[f32], out: &mut [u8])
        = vector::channels_last_to_grids as "f32u8-quantize-channels-last-to-grids";
});
