//! Reads an artifact: a safetensors file whose metadata holds the Program as JSON.
//!
//! Nothing in the file is believed: sizes are compared with the bytes that are there before anything is made from
//! them, names are looked up, and what the format does not have is an error that names it.

use std::borrow::Cow;

use octavo_kernels::float::half;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use super::compression::expand;
use super::document::{Document, Draft, Floats};
use super::faults::{damaged, invalid};
use super::json::{Entries, in_order};
use super::{Bytes, DType, Dim, FORMAT_VERSION, OPSET, Program, Tensor, Value};
use crate::error::Error;

/// The key of the safetensors metadata that holds the Program.
const METADATA_KEY: &str = "octavo";
/// The tensor of the lists of floats that belong to no constant.
const FLOATS: &str = "__floats__";
/// What stands before the checksum's digits: JSON within JSON, so the quotes are escaped.
const CHECKSUM_MARK: &[u8] = br#"crc32\":\""#;
const CHECKSUM_DIGITS: usize = 8;

/// What every format has: enough to say that a file is too new.
#[derive(serde::Deserialize)]
struct Versions {
    format: u32,
    opset: u32,
    producer: String,
}

impl Program {
    /// Reads an artifact, compressed or not, and checks all of it; damage, newer versions and inconsistencies are [`ErrorKind::Artifact`](crate::error::ErrorKind::Artifact).
    ///
    /// Constants stay in bytes that are given for good, such as a `Vec`, where most of the file is theirs.
    pub fn from_bytes(data: impl Into<Bytes>) -> Result<Program, Error> {
        let data = data.into();
        let expanded = match expand(&data)? {
            Cow::Owned(expanded) => Some(Bytes::from(expanded)),
            Cow::Borrowed(_) => None,
        };
        let program = read(&expanded.unwrap_or(data))?;
        program.validate()?;
        Ok(program)
    }
}

/// Reads an artifact; what it says is not yet validated beyond its structure.
fn read(data: &Bytes) -> Result<Program, Error> {
    let (header, tensors) = split(data)?;
    let (found, computed) = checksums(data, header)?;
    if found != computed {
        return Err(damaged(format_args!("its checksum is {found:?} but its bytes give {computed}")));
    }
    let text = std::str::from_utf8(header).map_err(|_| invalid("its header is not UTF-8"))?;
    let wrong = |e: serde_json::Error| invalid(format_args!("its header is wrong: {e}"));
    let Header { metadata, constants } = serde_json::from_str(text).map_err(wrong)?;
    let described = bytes_described(&constants)?;
    if described != tensors.len() {
        return Err(invalid(format_args!(
            "its header describes {described} bytes of constants, it has {}",
            tensors.len()
        )));
    }
    let document = document(metadata)?;
    if document.crc32 != computed {
        return Err(invalid("its checksum is not where the format has it"));
    }
    program(document, &constants, &tensors)
}

/// The JSON header and the bytes after it.
fn split(data: &Bytes) -> Result<(&[u8], Bytes), Error> {
    let (length, rest) =
        data.split_first_chunk().ok_or_else(|| damaged(format_args!("it has {} bytes", data.len())))?;
    let parts = usize::try_from(u64::from_le_bytes(*length)).ok().and_then(|length| {
        let (header, tensors) = rest.split_at_checked(length)?;
        Some((header, data.part(data.len() - tensors.len()..data.len())?))
    });
    parts.ok_or_else(|| {
        let length = u64::from_le_bytes(*length);
        damaged(format_args!("its header says {length} bytes, {} are there", rest.len()))
    })
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

/// What the header holds: the metadata, and the constants in the order of their names.
struct Header {
    metadata: Option<Entries<String>>,
    constants: Vec<(String, Constant)>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Constant {
    dtype: Dtype,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

impl Constant {
    fn size(&self) -> usize {
        self.data_offsets.1.saturating_sub(self.data_offsets.0)
    }

    fn bytes(&self, name: &str, tensors: &Bytes) -> Result<Bytes, Error> {
        let (from, to) = self.data_offsets;
        tensors
            .part(from..to)
            .ok_or_else(|| invalid(format_args!("the constant {name:?} lies outside the file")))
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Header, D::Error> {
        reader.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header { metadata: None, constants: Vec::new() };
        while let Some(key) = map.next_key::<String>()? {
            if key != "__metadata__" {
                header.constants.push((key, map.next_value()?));
            } else if header.metadata.replace(map.next_value()?).is_some() {
                return Err(A::Error::duplicate_field("__metadata__"));
            }
        }
        in_order(&mut header.constants)?;
        Ok(header)
    }
}

/// How many bytes the constants have, which lie one after the other without a gap.
fn bytes_described(constants: &[(String, Constant)]) -> Result<usize, Error> {
    let info = |constant: &Constant| TensorInfo {
        dtype: constant.dtype,
        shape: constant.shape.clone(),
        data_offsets: constant.data_offsets,
    };
    let mut infos: Vec<_> = constants.iter().map(|(name, constant)| (name.clone(), info(constant))).collect();
    infos.sort_by_key(|(_, info)| info.data_offsets);
    let metadata =
        Metadata::new(None, infos).map_err(|e| invalid(format_args!("its header is wrong: {e}")))?;
    Ok(metadata.data_len())
}

/// The Program as JSON; a newer one is told as such, whatever else is new in it.
fn document(metadata: Option<Entries<String>>) -> Result<Document, Error> {
    let entries = metadata.map_or(Vec::new(), |Entries(entries)| entries);
    let [(key, text)] = entries.as_slice() else {
        return Err(invalid("its metadata must have the one entry \"octavo\""));
    };
    if key != METADATA_KEY {
        return Err(invalid("its metadata must have the one entry \"octavo\""));
    }
    let wrong = |e: serde_json::Error| invalid(format_args!("its program is wrong: {e}"));
    match serde_json::from_str::<Document>(text) {
        Ok(document) => {
            check_versions(document.format, document.opset, &document.producer)?;
            Ok(document)
        }
        Err(error) => {
            let Versions { format, opset, producer } = serde_json::from_str(text).map_err(wrong)?;
            check_versions(format, opset, &producer)?;
            Err(wrong(error))
        }
    }
}

fn check_versions(format: u32, opset: u32, producer: &str) -> Result<(), Error> {
    if format == FORMAT_VERSION && opset == OPSET {
        return Ok(());
    }
    Err(Error::artifact(format!(
        "the artifact, written by {producer:?}, has format {format} and opset {opset}; this octavo reads format \
         {FORMAT_VERSION} and opset {OPSET}: use the octavo that wrote it, or quantize the model again"
    )))
}

fn program(document: Document, constants: &[(String, Constant)], tensors: &Bytes) -> Result<Program, Error> {
    let mut draft = Draft::new(document, floats(constants, tensors)?)?;
    // Else what their elements become would stand in memory beside the file.
    let stay = constants.iter().filter(|(name, constant)| draft.takes_as_stored(name, constant.dtype));
    let stays_put = stay.map(|(_, constant)| constant.size()).sum::<usize>() > tensors.len() / 2;
    for (name, constant) in constants.iter().filter(|(name, _)| name != FLOATS) {
        let (value, form) =
            draft.value(name).ok_or_else(|| invalid(format_args!("the constant {name:?} is no value")))?;
        let dtype = tensor_dtype(constant.dtype).ok_or_else(|| {
            invalid(format_args!("the constant {name:?} is of the dtype {}", constant.dtype))
        })?;
        let (shape, bytes) = (&constant.shape, constant.bytes(name, tensors)?);
        value.constant = Some(match (form, value.dtype, dtype) {
            (Some(form), _, _) => form.multiplied(value, dtype, shape, &bytes)?,
            (None, DType::F32, DType::F16) => widened(shape, &bytes)?,
            (None, _, _) => {
                let bytes = if stays_put { bytes } else { Bytes::from(&*bytes) };
                as_stored(value, dtype, shape, bytes)?
            }
        });
    }
    draft.program()
}

/// The lists of floats that belong to no constant; none where there is no such tensor.
fn floats(constants: &[(String, Constant)], tensors: &Bytes) -> Result<Floats, Error> {
    let Some((name, constant)) = constants.iter().find(|(name, _)| name == FLOATS) else {
        return Ok(Floats::new(Vec::new()));
    };
    match (constant.dtype, constant.shape.as_slice()) {
        (Dtype::F32, &[length]) => {
            let list = Tensor::new(DType::F32, vec![length], constant.bytes(name, tensors)?)?;
            Ok(Floats::new(list.f32s()?))
        }
        _ => Err(invalid(format_args!("its tensor {FLOATS:?} is not a list of float32"))),
    }
}

/// A constant as it is stored; of a packed dtype, that is as bytes, and its value says the shape.
fn as_stored(value: &Value, dtype: DType, stored: &[usize], bytes: Bytes) -> Result<Tensor, Error> {
    if !value.dtype.is_packed() {
        return Tensor::new(dtype, stored.to_vec(), bytes);
    }
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
