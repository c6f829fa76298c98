//! Reads an artifact: a safetensors file whose metadata holds the Program as JSON.
//!
//! Nothing in the file is believed: sizes are compared with the bytes that are there before anything is made from
//! them, names are looked up, and what the format does not have is an error that names it.

use std::collections::HashMap;

use octavo_kernels::float::half;
use safetensors::tensor::{Dtype, Metadata};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value as Json;

use super::factors::Factored;
use super::json::{UniqueKeys, invalid};
use super::{
    Attribute, Attributes, DType, Dim, FORMAT_VERSION, Node, OPSET, Op, Program, Quant, Tensor, Value,
    ValueId,
};
use crate::error::Error;

/// The key of the safetensors metadata that holds the Program.
const METADATA_KEY: &str = "octavo";
/// What stands before the checksum's digits: JSON within JSON, so the quotes are escaped.
const CHECKSUM_MARK: &[u8] = br#"crc32\":\""#;
const CHECKSUM_DIGITS: usize = 8;

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::artifact(format!("the artifact is damaged: {what}; copy or save it again"))
}

/// What every format has: enough to say that a file is too new.
#[derive(Deserialize)]
struct Versions {
    format: u32,
    opset: u32,
    producer: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    crc32: String,
    #[serde(rename = "format")]
    _format: u32,
    opset: u32,
    producer: String,
    /// How pictures become the inputs: for those who read pictures, which the runtime does not.
    #[serde(default, rename = "preprocessing")]
    _preprocessing: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
    values: Vec<RawValue>,
    nodes: Vec<RawNode>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawValue {
    name: String,
    dtype: String,
    #[serde(deserialize_with = "present")]
    shape: Option<Vec<Json>>,
    #[serde(deserialize_with = "present")]
    quant: Option<RawQuant>,
    factored: Option<Factored>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuant {
    scale: F32s,
    zero_point: ZeroPoints,
    #[serde(deserialize_with = "present")]
    axis: Option<usize>,
    #[serde(deserialize_with = "present")]
    block: Option<usize>,
}

/// Integers, or floats where they are fractional.
#[derive(Deserialize)]
#[serde(untagged)]
enum ZeroPoints {
    Integers(Vec<i64>),
    Fractions(F32s),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct F32s {
    f32: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNode {
    op: String,
    name: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
    attributes: serde_json::Map<String, Json>,
}

/// A field that may be null but not absent.
fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(reader: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(reader)
}

impl Program {
    /// Reads an artifact and checks all of it; damage, newer versions and inconsistencies are [`ErrorKind::Artifact`](crate::error::ErrorKind::Artifact).
    pub fn from_bytes(data: &[u8]) -> Result<Program, Error> {
        let program = read(data)?;
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
    let mut values = Vec::new();
    let mut ids = HashMap::new();
    let mut forms = HashMap::new();
    for mut raw in document.values {
        let id = u32::try_from(values.len()).map_err(|_| invalid("it has too many values"))?;
        if ids.insert(raw.name.clone(), ValueId(id)).is_some() {
            return Err(invalid(format_args!("the value {:?} is defined twice", raw.name)));
        }
        if let Some(form) = raw.factored.take() {
            forms.insert(ValueId(id), form);
        }
        values.push(value(raw)?);
    }
    let mut names: Vec<_> = metadata.tensors().into_iter().collect();
    names.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, info) in names {
        let id = ids.get(&name).ok_or_else(|| invalid(format_args!("the constant {name:?} is no value")))?;
        let dtype = tensor_dtype(info.dtype)
            .ok_or_else(|| invalid(format_args!("the constant {name:?} is of the dtype {}", info.dtype)))?;
        let (start, end) = info.data_offsets;
        let bytes = tensors
            .get(start..end)
            .ok_or_else(|| invalid(format_args!("the constant {name:?} lies outside the file")))?;
        let value = &mut values[id.index()];
        value.constant = Some(match (forms.remove(id), value.dtype, dtype) {
            (Some(form), _, _) => form.multiplied(value, dtype, &info.shape, bytes)?,
            (None, DType::Packed(_), _) => unpacked(value, dtype, &info.shape, bytes)?,
            (None, DType::F32, DType::F16) => widened(&info.shape, bytes)?,
            _ => Tensor::new(dtype, info.shape.clone(), bytes)?,
        });
    }
    if let Some(id) = forms.keys().min_by_key(|id| id.0) {
        let name = &values[id.index()].name;
        return Err(invalid(format_args!("the value {name:?} is factored, but no constant")));
    }
    let find = |name: &String| {
        ids.get(name)
            .copied()
            .ok_or_else(|| invalid(format_args!("the value {name:?} is used but not described")))
    };
    Ok(Program {
        inputs: document.inputs.iter().map(find).collect::<Result<_, _>>()?,
        outputs: document.outputs.iter().map(find).collect::<Result<_, _>>()?,
        nodes: document.nodes.into_iter().map(|raw| node(raw, &find)).collect::<Result<_, _>>()?,
        values,
        opset: document.opset,
        producer: document.producer,
    })
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

fn value(raw: RawValue) -> Result<Value, Error> {
    let RawValue { name, dtype, shape, quant, .. } = raw;
    let dtype = DType::from_name(&dtype)
        .ok_or_else(|| invalid(format_args!("the value {name:?} is of the unknown dtype {dtype:?}")))?;
    let dim = |json: &Json| match json {
        Json::String(symbol) => Some(Dim::Symbol(symbol.clone())),
        number => number.as_u64().and_then(|n| usize::try_from(n).ok()).map(Dim::Fixed),
    };
    let shape = match shape {
        None => None,
        Some(dims) => Some(dims.iter().map(dim).collect::<Option<Vec<_>>>().ok_or_else(|| {
            invalid(format_args!("the shape of the value {name:?} has an axis that is no size and no symbol"))
        })?),
    };
    let quant = match quant {
        None => None,
        Some(raw) => {
            let floats = |of: &F32s| of.f32.iter().map(|digits| f32_bits(digits)).collect::<Option<Vec<_>>>();
            let wrong = |what: &str| {
                invalid(format_args!("a {what} of the value {name:?} is not 8 hexadecimal digits"))
            };
            let scale = floats(&raw.scale).ok_or_else(|| wrong("scale"))?;
            let zero_point = match &raw.zero_point {
                ZeroPoints::Integers(zeros) => zeros.iter().map(|&zero| zero as f64).collect(),
                ZeroPoints::Fractions(zeros) => {
                    let zeros = floats(zeros).ok_or_else(|| wrong("zero point"))?;
                    zeros.into_iter().map(f64::from).collect()
                }
            };
            Some(Quant { scale, zero_point, axis: raw.axis, block: raw.block })
        }
    };
    Ok(Value { name, dtype, shape, quant, constant: None })
}

fn node(raw: RawNode, find: &impl Fn(&String) -> Result<ValueId, Error>) -> Result<Node, Error> {
    let RawNode { op, name, inputs, outputs, attributes } = raw;
    let op = Op::from_name(&op)
        .ok_or_else(|| invalid(format_args!("the node {name:?} is of the unknown op {op:?}")))?;
    let ids = |names: &[String]| {
        let id = |value: &String| if value.is_empty() { Ok(None) } else { find(value).map(Some) };
        names.iter().map(id).collect::<Result<Vec<_>, _>>()
    };
    let attributes = attributes.into_iter().map(|(key, json)| match attribute(&json) {
        Some(attribute) => Ok((key, attribute)),
        None => Err(invalid(format_args!(
            "the attribute {key:?} of the {} node {name:?} is of no type that the format has",
            op.name()
        ))),
    });
    let attributes = attributes.collect::<Result<Vec<_>, _>>()?;
    let (inputs, outputs) = (ids(&inputs)?, ids(&outputs)?);
    Ok(Node { op, inputs, outputs, attributes: Attributes::new(op, &name, attributes), name })
}

fn attribute(json: &Json) -> Option<Attribute> {
    match json {
        Json::Number(number) => number.as_i64().map(Attribute::Int),
        Json::String(text) => Some(Attribute::Str(text.clone())),
        Json::Array(list) => list.iter().map(Json::as_i64).collect::<Option<_>>().map(Attribute::Ints),
        Json::Object(entries) => {
            let mut entries = entries.iter();
            let (kind, bits) = entries.next()?;
            if entries.next().is_some() {
                return None;
            }
            match (kind.as_str(), bits) {
                ("f32", Json::String(digits)) => f32_bits(digits).map(Attribute::F32),
                ("f32", Json::Array(list)) => {
                    let floats = list.iter().map(|digits| f32_bits(digits.as_str()?));
                    floats.collect::<Option<_>>().map(Attribute::F32s)
                }
                ("f64", Json::String(digits)) => hex(digits, 16).map(f64::from_bits).map(Attribute::F64),
                _ => None,
            }
        }
        Json::Null | Json::Bool(_) => None,
    }
}

fn f32_bits(digits: &str) -> Option<f32> {
    hex(digits, 8).and_then(|bits| u32::try_from(bits).ok()).map(f32::from_bits)
}

/// The number of exactly so many lower-case hexadecimal digits.
fn hex(digits: &str, count: usize) -> Option<u64> {
    let plain = digits.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    (plain && digits.len() == count).then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}
