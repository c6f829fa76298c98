//! Depthwise convolution by sdot: 4 taps of 4 channels an instruction.

use super::dots::Group;
use super::kernels;
use crate::simd::{Qs, SignedBytes};

kernels!("neon,dotprod", Qs<SignedBytes>, Qs<SignedBytes>, Group);
