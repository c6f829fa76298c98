//! What is wrong with a Program, said in one way.

use super::{Node, Program, Tensor};
use crate::error::Error;

pub(super) type Checked = Result<(), Error>;

/// What is wrong with a file that is not as it was written.
pub(super) fn damaged(what: impl std::fmt::Display) -> Error {
    Error::artifact(format!("the artifact is damaged: {what}; copy or save it again"))
}

/// What is wrong with a file that is whole.
pub(super) fn invalid(what: impl std::fmt::Display) -> Error {
    Error::artifact(format!("the artifact is not valid: {what}"))
}

pub(super) fn wrong(what: impl std::fmt::Display) -> Error {
    Error::artifact(format!("the program is not valid: {what}"))
}

pub(super) fn bad(node: &Node, what: impl std::fmt::Display) -> Error {
    wrong(format_args!("the {}: {what}", node.label()))
}

/// The constant at a place, of this shape.
pub(super) fn shaped<'a>(program: &'a Program, node: &Node, place: usize, shape: &[usize]) -> Checked {
    constant(program, node, place).and_then(|tensor: &'a Tensor| {
        if tensor.shape() == shape {
            return Ok(());
        }
        Err(bad(node, format_args!("its constant {place} has the shape {:?}, not {shape:?}", tensor.shape())))
    })
}

pub(super) fn constant<'a>(program: &'a Program, node: &Node, place: usize) -> Result<&'a Tensor, Error> {
    program
        .constant(node, place)
        .ok_or_else(|| bad(node, format_args!("its input {place} is not a constant")))
}
