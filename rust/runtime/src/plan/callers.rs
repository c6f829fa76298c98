//! The caller's tensors, checked before a run: no step meets bytes that are not what it was planned for.

use crate::error::Error;
use crate::plan::buffers::TensorType;

/// Whether the tensors given for one side of a plan, "input" or "output", are as many as it has, whole and aligned.
pub(super) fn check<'a>(
    side: &str,
    types: &[TensorType],
    names: &[String],
    given: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Result<(), Error> {
    if given.len() != types.len() {
        return Err(Error::run(format!(
            "{} {side}s are given, the plan has {} {names:?}: give the bytes of each, in this order",
            given.len(),
            types.len()
        )));
    }
    for ((of, name), bytes) in types.iter().zip(names).zip(given) {
        let (dtype, shape) = (of.dtype.name(), &of.shape);
        if bytes.len() != of.bytes() {
            return Err(Error::run(format!(
                "{side} {name:?} has {} bytes, but {dtype} of shape {shape:?} has {}: give the whole tensor, or ask \
                 for the plan of its shape",
                bytes.len(),
                of.bytes()
            )));
        }
        // Of no bytes there is none that could lie wrong.
        if !bytes.is_empty() && !bytes.as_ptr().addr().is_multiple_of(of.dtype.size()) {
            return Err(Error::run(format!(
                "{side} {name:?} lies at an address that is not a multiple of {}, as {dtype} needs: give the bytes of a \
                 slice of numbers or of an Arena",
                of.dtype.size()
            )));
        }
    }
    Ok(())
}
