//! The Program: what is saved, and what the plan is made from.
//!
//! Nodes are in ONNX's logical layout and terms; integer nodes carry every integer that they need. A Program that
//! [`Program::from_bytes`] or [`Program::validate`] let through has known ops with the right inputs and attributes in
//! topological order, constants that agree with their values, and parameters within the bounds of the arithmetic.

mod attributes;
mod bodies;
mod bytes;
mod checks;
mod compression;
mod derived;
mod document;
mod factors;
mod faults;
mod integers;
mod json;
mod magnitudes;
mod op;
mod read;
mod signature;
mod tensor;
mod types;
mod validate;
mod windows;

pub use attributes::{Attribute, Attributes};
pub use bytes::Bytes;
pub use compression::{compress, expand};
pub use integers::Integers;
pub use magnitudes::{magnitudes, magnitudes_by_output};
pub use op::Op;
pub use tensor::{DType, Packed, Tensor};
pub use types::{
    Body, COUNTED, Dim, FORMAT_VERSION, MAX_DEPTH, MAX_RANK, Node, OPSET, Program, Quant, Value, ValueId,
};
