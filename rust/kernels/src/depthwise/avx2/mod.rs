//! Depthwise convolution on AVX2: a word is 2 taps, widened to int16, so that one vpmaddwd adds 2 products of each of
//! 8 channels. The products and their sums are exact: 2 * 255 * 128 is far inside int32.

mod pairs;

use super::ymm::tier;
use crate::simd::Ymm;
pub(super) use pairs::{Pairs, load_bytes};

tier!("avx2,fma", Ymm);
