//! Depthwise convolution by usdot: 4 taps of 4 channels an instruction, of unsigned values.

use super::dots::Group;
use super::kernels;
use crate::simd::{Bytes, Qs};

kernels!("neon,i8mm", Qs<Bytes>, Qs<Bytes>, Group);
