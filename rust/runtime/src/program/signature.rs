//! The one table of the ops, read: inputs, outputs, attributes and what these may be. The text, `ops.txt`, says how it is
//! written. Its marks are for rooms of the Python package, which reads the same text.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::OnceLock;

use super::{DType, Op};

const TABLE: &str = include_str!("ops.txt");

/// An input or output of an op. `dtype` names a dtype or a set of them.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) name: &'static str,
    pub(super) dtype: &'static str,
    pub(super) allowed: Vec<DType>,
    pub(super) constant: bool,
    pub(super) optional: bool,
    pub(super) variadic: bool,
    /// Any number may stand there, none too, each of a dtype of its own.
    pub(super) mixed: bool,
}

/// One form of an op.
#[derive(Debug)]
pub(super) struct Signature {
    pub(super) inputs: Vec<Slot>,
    pub(super) outputs: Vec<Slot>,
    pub(super) attributes: Vec<AttributeSlot>,
}

/// An attribute of an op.
#[derive(Debug)]
pub(super) struct AttributeSlot {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) optional: bool,
    /// What a text may be; empty where it may be anything.
    pub(super) choices: Vec<&'static str>,
    /// What an integer, or each of a list of them, may be.
    pub(super) limits: Option<RangeInclusive<i64>>,
}

impl Signature {
    /// Whether a node with this many inputs, left-out ones counted, can be of this form.
    pub(super) fn accepts(&self, inputs: usize) -> bool {
        let least = self.inputs.iter().filter(|slot| !slot.optional).count();
        let variadic = self.inputs.iter().any(|slot| slot.variadic);
        least <= inputs && (variadic || inputs <= self.inputs.len())
    }

    /// Whether the first output can be of that dtype.
    pub(super) fn makes(&self, dtype: DType) -> bool {
        self.outputs.first().is_some_and(|slot| slot.allowed.contains(&dtype))
    }
}

/// The forms of an op.
pub(super) fn signatures(op: Op) -> &'static [Signature] {
    static FORMS: OnceLock<HashMap<Op, Vec<Signature>>> = OnceLock::new();
    FORMS.get_or_init(parse).get(&op).map_or(&[], Vec::as_slice)
}

/// The dtypes that each capital letter stands for.
type Sets = HashMap<&'static str, Vec<DType>>;

fn parse() -> HashMap<Op, Vec<Signature>> {
    let sets = sets();
    let mut forms: HashMap<Op, Vec<Signature>> = HashMap::new();
    for (op, form) in lines().filter_map(|line| parse_form(line, &sets)) {
        forms.entry(op).or_default().push(form);
    }
    forms
}

/// The lines of the table, without what is said beside them.
fn lines() -> impl Iterator<Item = &'static str> {
    let said = |line: &'static str| line.split('#').next().unwrap_or_default().trim_end();
    TABLE.lines().map(said).filter(|line| !line.is_empty())
}

fn sets() -> Sets {
    lines().filter_map(parse_set).collect()
}

fn parse_set(line: &'static str) -> Option<(&'static str, Vec<DType>)> {
    let (letter, names) = line.strip_prefix("set ")?.split_once(" = ")?;
    Some((letter, names.split(' ').map(DType::from_name).collect::<Option<_>>()?))
}

fn parse_form(line: &'static str, sets: &Sets) -> Option<(Op, Signature)> {
    let (op, rest) = line.split_once('(')?;
    let (inputs, rest) = rest.split_once(") -> ")?;
    let (outputs, rest) = rest.split_once(" |")?;
    let attributes = rest.split_once(" ~").map_or(rest, |(attributes, _)| attributes);
    let slot = |text| parse_slot(text, sets);
    let signature = Signature {
        inputs: inputs.split_whitespace().map(slot).collect::<Option<_>>()?,
        outputs: outputs.split_whitespace().map(slot).collect::<Option<_>>()?,
        attributes: attributes.split_whitespace().map(parse_attribute).collect::<Option<_>>()?,
    };
    Some((Op::from_name(op)?, signature))
}

fn parse_slot(text: &'static str, sets: &Sets) -> Option<Slot> {
    let (name, rest) = text.split_once(':')?;
    let dtype = rest.trim_end_matches(['!', '?', '*', '&']);
    let allowed = match sets.get(dtype) {
        Some(set) => set.clone(),
        None => vec![DType::from_name(dtype)?],
    };
    let marks = &rest[dtype.len()..];
    let (constant, mixed) = (marks.contains('!'), marks.contains('&'));
    let (optional, variadic) = (mixed || marks.contains('?'), mixed || marks.contains('*'));
    Some(Slot { name, dtype, allowed, constant, optional, variadic, mixed })
}

fn parse_attribute(text: &'static str) -> Option<AttributeSlot> {
    let (name, rest) = text.split_once(':')?;
    let whole = rest.trim_end_matches('?');
    let (kind, may_be) = whole.split_at(whole.find(['[', '{']).unwrap_or(whole.len()));
    let between = |open, close| may_be.strip_prefix(open).and_then(|text| text.strip_suffix(close));
    let choices = between('{', '}').map_or(Vec::new(), |text| text.split(',').collect());
    let (kind, limits) = match (kind, between('[', ']')) {
        ("flag", None) => ("int", Some(0..=1)),
        (kind, None) => (kind, None),
        (kind, Some(limits)) => (kind, Some(parse_limits(limits)?)),
    };
    Some(AttributeSlot { name, kind, optional: rest.ends_with('?'), choices, limits })
}

fn parse_limits(text: &str) -> Option<RangeInclusive<i64>> {
    let (least, greatest) = text.split_once("..")?;
    let greatest = if greatest.is_empty() { i64::from(i32::MAX) } else { greatest.parse().ok()? };
    Some(least.parse().ok()?..=greatest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(slots: &[Slot]) -> String {
        let mark = |is: bool, mark: &'static str| if is { mark } else { "" };
        let each = slots.iter().map(|slot| {
            let (constant, optional) = (mark(slot.constant, "!"), mark(slot.optional && !slot.mixed, "?"));
            let many = if slot.mixed { "&" } else { mark(slot.variadic, "*") };
            format!("{}:{}{constant}{optional}{many}", slot.name, slot.dtype)
        });
        each.collect::<Vec<_>>().join(" ")
    }

    fn written_attribute(slot: &AttributeSlot) -> String {
        let may_be = match (&slot.limits, &slot.choices[..]) {
            (None, []) => String::new(),
            (None, choices) => format!("{{{}}}", choices.join(",")),
            (Some(limits), _) if *limits.end() == 2_147_483_647 => format!("[{}..]", limits.start()),
            (Some(limits), _) => format!("[{}..{}]", limits.start(), limits.end()),
        };
        let kind = format!("{}{may_be}", slot.kind).replace("int[0..1]", "flag");
        format!(" {}:{kind}{}", slot.name, if slot.optional { "?" } else { "" })
    }

    #[test]
    fn every_line_is_read_as_it_stands() {
        let sets = sets();
        for line in lines() {
            if let Some((letter, dtypes)) = parse_set(line) {
                let names: Vec<&str> = dtypes.iter().map(|dtype| dtype.name()).collect();
                assert_eq!(line, format!("set {letter} = {}", names.join(" ")));
                continue;
            }
            let (op, form) = parse_form(line, &sets).unwrap_or_else(|| panic!("{line}"));
            let attributes: String = form.attributes.iter().map(written_attribute).collect();
            let (inputs, outputs) = (written(&form.inputs), written(&form.outputs));
            let marks = line.find(" ~").map_or("", |at| &line[at..]);
            assert_eq!(line, format!("{}({inputs}) -> {outputs} |{attributes}{marks}", op.name()));
        }
    }

    #[test]
    fn the_ops_are_those_of_the_table_in_its_order() {
        let mut named: Vec<&str> = lines().filter_map(|line| Some(line.split_once('(')?.0)).collect();
        named.dedup();
        assert_eq!(named, Op::ALL.iter().map(|op| op.name()).collect::<Vec<_>>());
        for &op in Op::ALL {
            assert_eq!(Op::from_name(op.name()), Some(op));
        }
    }

    #[test]
    fn attributes_are_of_known_kinds() {
        for slot in Op::ALL.iter().flat_map(|&op| signatures(op)).flat_map(|form| &form.attributes) {
            let kind = if slot.limits.is_some() {
                &["int", "ints"][..]
            } else {
                &["int", "ints", "f32", "f64", "str"]
            };
            assert!(kind.contains(&slot.kind) && (slot.choices.is_empty() || slot.kind == "str"), "{slot:?}");
        }
    }
}
