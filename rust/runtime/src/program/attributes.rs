//! The attributes of a node, read by name and type.

use std::collections::BTreeMap;

use super::Op;
use crate::error::Error;

/// One attribute. Booleans are the integers 0 and 1. Floats are equal where their bits are.
#[derive(Clone, Debug)]
pub enum Attribute {
    /// An integer.
    Int(i64),
    /// A list of integers.
    Ints(Vec<i64>),
    /// A float32.
    F32(f32),
    /// A list of float32.
    F32s(Vec<f32>),
    /// A float64.
    F64(f64),
    /// A text.
    Str(String),
}

impl PartialEq for Attribute {
    fn eq(&self, other: &Attribute) -> bool {
        let bits = |list: &[f32]| list.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        match (self, other) {
            (Attribute::Int(a), Attribute::Int(b)) => a == b,
            (Attribute::Ints(a), Attribute::Ints(b)) => a == b,
            (Attribute::F32(a), Attribute::F32(b)) => a.to_bits() == b.to_bits(),
            (Attribute::F32s(a), Attribute::F32s(b)) => bits(a) == bits(b),
            (Attribute::F64(a), Attribute::F64(b)) => a.to_bits() == b.to_bits(),
            (Attribute::Str(a), Attribute::Str(b)) => a == b,
            _ => false,
        }
    }
}

impl Attribute {
    /// The name of the type in signatures and messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Attribute::Int(_) => "int",
            Attribute::Ints(_) => "ints",
            Attribute::F32(_) => "f32",
            Attribute::F32s(_) => "f32s",
            Attribute::F64(_) => "f64",
            Attribute::Str(_) => "str",
        }
    }
}

/// The attributes of one node, by name. Errors name the node and the attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    owner: String,
    by_name: BTreeMap<String, Attribute>,
}

impl Attributes {
    /// Attributes for the node of this op and name.
    pub fn new(op: Op, node: &str, attributes: impl IntoIterator<Item = (String, Attribute)>) -> Attributes {
        let owner = format!("{} node {node:?}", op.name());
        Attributes { owner, by_name: attributes.into_iter().collect() }
    }

    /// Names and attributes, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Attribute)> {
        self.by_name.iter().map(|(name, attribute)| (name.as_str(), attribute))
    }

    /// The attribute of a name, if it is there.
    pub fn get(&self, name: &str) -> Option<&Attribute> {
        self.by_name.get(name)
    }

    /// Whether there is an attribute of this name.
    pub fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    fn need(&self, name: &str) -> Result<&Attribute, Error> {
        self.get(name)
            .ok_or_else(|| Error::artifact(format!("{}: the attribute {name:?} is missing", self.owner)))
    }

    fn wrong(&self, name: &str, attribute: &Attribute, wanted: &str) -> Error {
        Error::artifact(format!(
            "{}: the attribute {name:?} is of type {}, not {wanted}",
            self.owner,
            attribute.kind()
        ))
    }

    /// An integer.
    pub fn int(&self, name: &str) -> Result<i64, Error> {
        match self.need(name)? {
            Attribute::Int(value) => Ok(*value),
            other => Err(self.wrong(name, other, "int")),
        }
    }

    /// An integer of 32 bits.
    pub fn int32(&self, name: &str) -> Result<i32, Error> {
        let value = self.int(name)?;
        i32::try_from(value).map_err(|_| {
            Error::artifact(format!("{}: the attribute {name:?} is {value}, not an int32", self.owner))
        })
    }

    /// An integer that counts something or is the index of something.
    pub fn size(&self, name: &str) -> Result<usize, Error> {
        let value = self.int(name)?;
        usize::try_from(value).map_err(|_| {
            Error::artifact(format!("{}: the attribute {name:?} is {value}, not a size", self.owner))
        })
    }

    /// A list of integers.
    pub fn ints(&self, name: &str) -> Result<&[i64], Error> {
        match self.need(name)? {
            Attribute::Ints(values) => Ok(values),
            other => Err(self.wrong(name, other, "ints")),
        }
    }

    /// A list of counts or indices.
    pub fn sizes(&self, name: &str) -> Result<Vec<usize>, Error> {
        let values = self.ints(name)?;
        values.iter().map(|&value| usize::try_from(value).ok()).collect::<Option<_>>().ok_or_else(|| {
            Error::artifact(format!(
                "{}: the attribute {name:?} is {values:?}: a size is negative or too large",
                self.owner
            ))
        })
    }

    /// A float32.
    pub fn f32(&self, name: &str) -> Result<f32, Error> {
        match self.need(name)? {
            Attribute::F32(value) => Ok(*value),
            other => Err(self.wrong(name, other, "f32")),
        }
    }

    /// A list of float32.
    pub fn f32s(&self, name: &str) -> Result<&[f32], Error> {
        match self.need(name)? {
            Attribute::F32s(values) => Ok(values),
            other => Err(self.wrong(name, other, "f32s")),
        }
    }

    /// A float64.
    pub fn f64(&self, name: &str) -> Result<f64, Error> {
        match self.need(name)? {
            Attribute::F64(value) => Ok(*value),
            other => Err(self.wrong(name, other, "f64")),
        }
    }

    /// A text.
    pub fn str(&self, name: &str) -> Result<&str, Error> {
        match self.need(name)? {
            Attribute::Str(value) => Ok(value),
            other => Err(self.wrong(name, other, "str")),
        }
    }

    /// An integer, or `default` where it was left out.
    pub fn int_or(&self, name: &str, default: i64) -> Result<i64, Error> {
        if self.has(name) { self.int(name) } else { Ok(default) }
    }

    /// A list of integers, or `default` where it was left out.
    pub fn ints_or<'a>(&'a self, name: &str, default: &'a [i64]) -> Result<&'a [i64], Error> {
        if self.has(name) { self.ints(name) } else { Ok(default) }
    }

    /// A float32, or `default` where it was left out.
    pub fn f32_or(&self, name: &str, default: f32) -> Result<f32, Error> {
        if self.has(name) { self.f32(name) } else { Ok(default) }
    }

    /// A text, or `default` where it was left out.
    pub fn str_or<'a>(&'a self, name: &str, default: &'a str) -> Result<&'a str, Error> {
        if self.has(name) { self.str(name) } else { Ok(default) }
    }
}
