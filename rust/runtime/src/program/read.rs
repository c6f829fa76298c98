//! Reads an artifact: a safetensors file whose metadata holds the Program as JSON.
//!
//! Nothing in the file is believed: sizes are compared with the bytes that are there before anything is made from
//! them, names are looked up, and what the format does not have is an error that names it.

use std::collections::HashMap;

use octavo_kernels::float::half;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::compression::expand;
use super::document::{Document, Draft, Floats};
use super::faults::{damaged, invalid};
use super::json::UniqueKeys;
use super::{DType, Dim, FORMAT_VERSION, OPSET, Program, Tensor, Value};
use crate::error::Error;

/// The key of the safetensors metadata that holds the Program.
const METADATA_KEY: &str = "octavo";
/// The tensor of the lists of floats that belong to no constant.
const FLOATS: &str = "__floats__";
/// What stands before the checksum's digits: JSON within JSON, so the quotes are escaped.
const CHECKSUM_MARK: &[u8] = br#"crc32\":\""#;
const CHECKSUM_DIGITS: usize = 8;

/// What every format has: enough to say that a file is too new.
#[derive(Deserialize)]
struct Versions {
    format: u32,
    opset: u32,
    producer: String,
}

impl Program {
    /// Reads an artifact, compressed or not, and checks all of it; damage, newer versions and inconsistencies are [`ErrorKind::Artifact`](crate::error::ErrorKind::Artifact).
    pub fn from_bytes(data: &[u8]) -> Result<Program, Error> {
        let program = read(&expand(data)?)?;
        program.validate()?;
        Ok(program)
    }
}

/// Reads an artifact; what it says is not yet validated beyond its structure.
fn read(data: &[u8]) -> Result<Program, Error> {
    let (header, tensors) = split(data)?;
    let (found, computed) = checksums(data, header)?;
    if found != computed {
        return Err(damaged(format_args!("its checksum is {found:?} but its bytes give {computed}")));
    }
    let text = std::str::from_utf8(header).map_err(|_| invalid("its header is not UTF-8"))?;
    let metadata = header_of(text)?;
    if metadata.data_len() != tensors.len() {
        return Err(invalid(format_args!(
            "its header describes {} bytes of constants, it has {}",
            metadata.data_len(),
            tensors.len()
        )));
    }
    let document = document(&metadata)?;
    if document.crc32 != computed {
        return Err(invalid("its checksum is not where the format has it"));
    }
    program(document, &metadata, tensors)
}

/// The JSON header and the bytes after it.
fn split(data: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let (length, rest) =
        data.split_first_chunk().ok_or_else(|| damaged(format_args!("it has {} bytes", data.len())))?;
    let length = u64::from_le_bytes(*length);
    usize::try_from(length)
        .ok()
        .and_then(|length| rest.split_at_checked(length))
        .ok_or_else(|| damaged(format_args!("its header says {length} bytes, {} are there", rest.len())))
}

/// The checksum in the header, and that of the file with those digits read as zeros.
fn checksums(data: &[u8], header: &[u8]) -> Result<(String, String), Error> {
    let mark = header.windows(CHECKSUM_MARK.len()).position(|window| window == CHECKSUM_MARK);
    let start = mark.map(|at| data.len().min(8 + at + CHECKSUM_MARK.len()));
    let parts = start.and_then(|start| {
        let (before, rest) = data.split_at_checked(start)?;
        let (digits, after) = rest.split_at_checked(CHECKSUM_DIGITS)?;
        Some((before, digits, after))
    });
    let (before, digits, after) =
        parts.ok_or_else(|| invalid("it holds no checksum, so octavo did not write it"))?;
    let mut crc = crc32fast::Hasher::new();
    crc.update(before);
    crc.update(&[b'0'; CHECKSUM_DIGITS]);
    crc.update(after);
    Ok((String::from_utf8_lossy(digits).into_owned(), format!("{:08x}", crc.finalize())))
}

/// What the header says of the constants: nothing twice, nothing that the format does not have.
fn header_of(text: &str) -> Result<Metadata, Error> {
    let wrong = |e: serde_json::Error| invalid(format_args!("its header is wrong: {e}"));
    let UniqueKeys = serde_json::from_str(text).map_err(wrong)?;
    let entries: HashMap<String, HashMap<String, IgnoredAny>> = serde_json::from_str(text).map_err(wrong)?;
    for (name, entry) in entries.iter().filter(|(name, _)| *name != "__metadata__") {
        if let Some(key) =
            entry.keys().find(|key| !["dtype", "shape", "data_offsets"].contains(&key.as_str()))
        {
            return Err(invalid(format_args!("the constant {name:?} has the unknown key {key:?}")));
        }
    }
    serde_json::from_str(text).map_err(wrong)
}

/// The Program as JSON, its versions checked first so that a newer one is told as such.
fn document(metadata: &Metadata) -> Result<Document, Error> {
    let entries = metadata.metadata().as_ref().filter(|entries| entries.len() == 1);
    let text = entries
        .and_then(|entries| entries.get(METADATA_KEY))
        .ok_or_else(|| invalid("its metadata must have the one entry \"octavo\""))?;
    let wrong = |e: serde_json::Error| invalid(format_args!("its program is wrong: {e}"));
    let UniqueKeys = serde_json::from_str(text).map_err(wrong)?;
    let versions: Versions = serde_json::from_str(text).map_err(wrong)?;
    if versions.format != FORMAT_VERSION || versions.opset != OPSET {
        return Err(Error::artifact(format!(
            "the artifact, written by {:?}, has format {} and opset {}; this octavo reads format {FORMAT_VERSION} and \
             opset {OPSET}: use the octavo that wrote it, or quantize the model again",
            versions.producer, versions.format, versions.opset
        )));
    }
    serde_json::from_str(text).map_err(wrong)
}

fn program(document: Document, metadata: &Metadata, tensors: &[u8]) -> Result<Program, Error> {
    let mut draft = Draft::new(document, floats(metadata, tensors)?)?;
    let mut names: Vec<_> = metadata.tensors().into_iter().filter(|(name, _)| name != FLOATS).collect();
    names.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, info) in names {
        let (value, form) =
            draft.value(&name).ok_or_else(|| invalid(format_args!("the constant {name:?} is no value")))?;
        let dtype = tensor_dtype(info.dtype)
            .ok_or_else(|| invalid(format_args!("the constant {name:?} is of the dtype {}", info.dtype)))?;
        let bytes = bytes_of(info, tensors)
            .ok_or_else(|| invalid(format_args!("the constant {name:?} lies outside the file")))?;
        value.constant = Some(match (form, value.dtype, dtype) {
            (Some(form), _, _) => form.multiplied(value, dtype, &info.shape, bytes)?,
            (None, DType::Packed(_), _) => unpacked(value, dtype, &info.shape, bytes)?,
            (None, DType::F32, DType::F16) => widened(&info.shape, bytes)?,
            _ => Tensor::new(dtype, info.shape.clone(), bytes)?,
        });
    }
    draft.program()
}

fn bytes_of<'a>(info: &TensorInfo, tensors: &'a [u8]) -> Option<&'a [u8]> {
    tensors.get(info.data_offsets.0..info.data_offsets.1)
}

/// The lists of floats that belong to no constant; none where there is no such tensor.
fn floats(metadata: &Metadata, tensors: &[u8]) -> Result<Floats, Error> {
    let Some(info) = metadata.info(FLOATS) else { return Ok(Floats::new(Vec::new())) };
    match (info.dtype, info.shape.as_slice(), bytes_of(info, tensors)) {
        (Dtype::F32, &[length], Some(bytes)) => {
            Ok(Floats::new(Tensor::new(DType::F32, vec![length], bytes)?.f32s()?))
        }
        _ => Err(invalid(format_args!("its tensor {FLOATS:?} is not a list of float32"))),
    }
}

/// A constant of a packed dtype, which is stored as bytes: its value says the shape.
fn unpacked(value: &Value, dtype: DType, stored: &[usize], bytes: &[u8]) -> Result<Tensor, Error> {
    let (name, packed) = (&value.name, value.dtype.name());
    let fixed = |dim: &Dim| if let Dim::Fixed(n) = dim { Some(*n) } else { None };
    let shape: Option<Vec<usize>> = value.shape.as_ref().and_then(|dims| dims.iter().map(fixed).collect());
    let shape = shape.ok_or_else(|| {
        invalid(format_args!("the constant {name:?} of {packed} has a shape that is not known"))
    })?;
    if dtype != DType::U8 || Some(stored) != value.dtype.bytes_of(&shape).as_ref().map(std::slice::from_ref) {
        return Err(invalid(format_args!(
            "the constant {name:?} of {packed} {shape:?} is {} {stored:?}, not so many bytes",
            dtype.name()
        )));
    }
    Tensor::new(value.dtype, shape, bytes)
}

/// A constant of float32 that is stored as float16, which holds each of its elements.
fn widened(shape: &[usize], bytes: &[u8]) -> Result<Tensor, Error> {
    let (halves, _) = bytes.as_chunks();
    let reals: Vec<f32> = halves.iter().map(|&half| half::to_f32(u16::from_le_bytes(half))).collect();
    Tensor::from_f32s(shape, &reals)
}

fn tensor_dtype(dtype: Dtype) -> Option<DType> {
    match dtype {
        Dtype::U8 => Some(DType::U8),
        Dtype::I8 => Some(DType::I8),
        Dtype::I16 => Some(DType::I16),
        Dtype::I32 => Some(DType::I32),
        Dtype::I64 => Some(DType::I64),
        Dtype::BOOL => Some(DType::Bool),
        Dtype::F16 => Some(DType::F16),
        Dtype::F32 => Some(DType::F32),
        Dtype::F64 => Some(DType::F64),
        _ => None,
    }
}
