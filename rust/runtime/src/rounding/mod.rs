//! Weights as integers or halves, chosen by the error of the product that they are in rather than each by its own.
//!
//! A product's rows of weights w, in real numbers, meet columns x whose covariance is C. Where integers q at the scale s
//! stand in for w, the products of a row err by a variance of `e C e'`, with `e = s q - w`. Rounding to nearest minimizes
//! the sum of e squared alone; here the later weights of a row make up for the errors of the earlier ones (GPTQ, Frantar
//! and others, 2022, which is Babai's nearest plane of 1986), and coordinate descent follows.
//!
//! What is left of the mean error, the product's bias takes up (`shifts`).
//!
//! Everything is float64 in one order, without fused operations: the same integers on every machine.

mod curve;
mod descent;
mod factor;
mod feedback;
mod halves;
mod lanes;
mod problem;
mod regression;
mod shift;
mod step;
mod windows;

pub use halves::Halves;
pub use problem::{Fit, Problem, Solution};
pub use regression::{Moments, Regression};
pub use shift::{MOST_RESULTS, shifts};
pub use windows::Geometry;
