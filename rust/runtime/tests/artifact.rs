//! Artifacts that are damaged, newer or lie: an error that names what is wrong, never a panic.
//!
//! The artifact is written by the Python package's tests, which compare it with what they write today.

use octavo_runtime::ErrorKind;
use octavo_runtime::program::{Attribute, DType, Dim, Op, Program};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

const ARTIFACT: &[u8] = include_bytes!("data/every_encoding.octavo");
const MARK: &[u8] = br#"crc32\":\""#;

/// The bytes with the checksum that they give.
fn seal(mut data: Vec<u8>) -> Vec<u8> {
    if let Some(at) = data.windows(MARK.len()).position(|window| window == MARK) {
        let digits = at + MARK.len()..at + MARK.len() + 8;
        if digits.end <= data.len() {
            data[digits.clone()].fill(b'0');
            let sum = format!("{:08x}", crc32fast::hash(&data));
            data[digits].copy_from_slice(sum.as_bytes());
        }
    }
    data
}

fn split() -> (Json, Json, &'static [u8]) {
    let length = usize::try_from(u64::from_le_bytes(ARTIFACT[..8].try_into().unwrap())).unwrap();
    let mut header: Json = serde_json::from_slice(&ARTIFACT[8..8 + length]).unwrap();
    let metadata = header.as_object_mut().unwrap().remove("__metadata__").unwrap();
    let document = serde_json::from_str(metadata["octavo"].as_str().unwrap()).unwrap();
    (header, document, &ARTIFACT[8 + length..])
}

/// The program's JSON as it stands in the file.
fn written() -> String {
    let length = ARTIFACT.len() - split().2.len();
    let header: Json = serde_json::from_slice(&ARTIFACT[8..length]).unwrap();
    header["__metadata__"]["octavo"].as_str().unwrap().to_string()
}

/// An artifact changed and sealed again.
fn forge(edit: impl FnOnce(&mut Json, &mut Json)) -> Vec<u8> {
    let (mut header, mut document, tensors) = split();
    edit(&mut document, &mut header);
    document["crc32"] = json!("00000000");
    header["__metadata__"]["octavo"] = json!(document.to_string());
    assemble(&header.to_string(), tensors)
}

fn assemble(header: &str, tensors: &[u8]) -> Vec<u8> {
    let mut data = (header.len() as u64).to_le_bytes().to_vec();
    data.extend(header.as_bytes());
    data.extend(tensors);
    seal(data)
}

fn message(data: &[u8]) -> String {
    match Program::from_bytes(data) {
        Err(error) if error.kind() == ErrorKind::Artifact => error.text().to_owned(),
        other => panic!("{other:?} where an artifact error was due"),
    }
}

#[test]
fn everything_in_the_artifact_is_read() {
    let program = Program::from_bytes(ARTIFACT).unwrap();
    assert_eq!((program.opset, program.producer.as_str()), (25, "octavo test"));
    let name = |id: &octavo_runtime::program::ValueId| program.value(*id).name.as_str();
    assert_eq!(program.inputs.iter().map(name).collect::<Vec<_>>(), ["x"]);
    assert_eq!(program.outputs.iter().map(name).collect::<Vec<_>>(), ["y", "r"]);
    let find = |wanted: &str| program.values.iter().find(|value| value.name == wanted).unwrap();
    let x = find("x");
    let symbol = |name: &str| Dim::Symbol(name.to_string());
    assert_eq!(x.shape, Some(vec![symbol("N"), Dim::Fixed(3), symbol("höhe"), Dim::Fixed(4)]));
    assert_eq!(find("c").shape, None);
    let weights = find("weights");
    let quant = weights.quant.as_ref().unwrap();
    assert_eq!(
        (quant.scale.as_slice(), quant.zero_point.as_slice()),
        ([0.5, 0.25].as_slice(), [0.0, 0.0].as_slice())
    );
    assert_eq!((quant.axis, quant.block), (Some(0), None));
    let constant = |name: &str| find(name).constant.as_ref().unwrap();
    assert_eq!(constant("weights").shape(), [2, 3, 1, 1]);
    assert_eq!(constant("weights").i8s().unwrap(), [-127, 5, 0, 1, 127, -3]);
    assert_eq!(constant("bias").i32s().unwrap(), [100, -100]);
    assert_eq!(constant("multiplier").i32s().unwrap(), [(1 << 30) + 128, i32::MAX - 127]);
    assert_eq!(constant("shape").i64s().unwrap(), [0, -1]);
    assert_eq!(constant("table").u8s().unwrap(), (0..=255).rev().collect::<Vec<u8>>());
    assert_eq!(constant("scalar f32").f32s().unwrap(), [1.0]);
    assert_eq!(constant("scalar f64").f64s().unwrap(), [1.0]);
    assert_eq!(constant("scalar i16").i16s().unwrap(), [1]);
    assert_eq!(
        (constant("scalar f16").dtype(), constant("scalar f16").bytes()),
        (DType::F16, [0, 0x3c].as_slice())
    );
    assert_eq!((constant("empty").shape(), constant("empty").len()), ([0, 3].as_slice(), 0));
    let ops: Vec<Op> = program.nodes.iter().map(|node| node.op).collect();
    assert_eq!(
        ops,
        [
            Op::Quantize,
            Op::QConv,
            Op::QAveragePool,
            Op::Lookup,
            Op::Reshape,
            Op::Resize,
            Op::Dequantize,
            Op::QConv,
            Op::Dequantize
        ]
    );
    let factored = constant("factored").i8s().unwrap().to_vec();
    let integer = |at: i32| (at - 7).rem_euclid(15) - 7;
    let expected: Vec<i8> = (0..64).map(|at| (integer(at) * if at < 32 { 18 } else { 5 }) as i8).collect();
    assert_eq!((constant("factored").shape(), factored), ([2, 32].as_slice(), expected));
    // What scales give is not in the file.
    assert_eq!(
        constant("more multiplier").i32s().unwrap(),
        [2_061_584_256, (1 << 30) + 128, (1 << 30) + 128]
    );
    assert_eq!(constant("more shift").i32s().unwrap(), [36, 31, 29]);
    let packed = constant("packed");
    assert_eq!((packed.dtype().name(), packed.shape(), packed.len()), ("i3", [3, 2, 1].as_slice(), 6));
    assert_eq!(packed.bytes(), [0b1101_1100, 0b1010_0001, 0]);
    assert_eq!(program.nodes[0].attributes.f32("scale"), Ok(0.1));
    assert_eq!(program.nodes[1].name, "conv \"1\" \\ ☃");
    assert_eq!(program.nodes[1].attributes.ints("pads"), Ok([0, 1, 0, 1].as_slice()));
    assert_eq!(program.nodes[2].attributes.f64("ratio"), Ok(1.0 / 3.0));
    assert_eq!(
        program.nodes[5].attributes.get("extrapolation_value"),
        Some(&Attribute::F32(f32::NEG_INFINITY))
    );
    assert_eq!(program.nodes[5].attributes.str("nearest_mode"), Ok("floor"));
    assert_eq!(
        program.nodes[5].inputs.iter().map(Option::is_some).collect::<Vec<_>>(),
        [true, false, false, true]
    );
}

#[test]
fn every_change_of_a_byte_is_an_error() {
    let mut data = ARTIFACT.to_vec();
    for at in 0..data.len() {
        let original = data[at];
        for change in (0..8).map(|bit| 1 << bit).chain([0xff]) {
            data[at] = original ^ change;
            message(&data);
        }
        data[at] = original;
    }
}

#[test]
fn every_truncation_and_every_addition_is_an_error() {
    for length in 0..ARTIFACT.len() {
        message(&ARTIFACT[..length]);
    }
    let mut data = ARTIFACT.to_vec();
    data.push(0);
    message(&data);
}

#[test]
fn an_unchanged_forgery_is_read() {
    assert_eq!(Program::from_bytes(forge(|_, _| ())), Program::from_bytes(ARTIFACT));
}

/// The list of lies that the Python package's tests read too.
///
/// `program` and `header`: values by their JSON pointers. `text`: a part of the program's JSON, and what it becomes.
/// `tail`: bytes behind the last, in hexadecimal. `bytes`: bytes of the constants, by place. `floats`: elements of the table
/// of floats. `says`: parts of the error's text.
#[test]
fn a_sealed_lie_is_named() {
    let lies: Vec<Json> = serde_json::from_str(include_str!("data/lies.json")).unwrap();
    for lie in &lies {
        let (mut header, mut document, tensors) = split();
        document["crc32"] = json!("00000000");
        change(&mut document, &lie["program"]);
        let text = match lie["text"].as_array() {
            None => document.to_string(),
            Some(part) => {
                let [old, new] = [0, 1].map(|at| part[at].as_str().unwrap());
                assert_eq!(written().matches(old).count(), 1, "{lie}");
                written().replace(old, new)
            }
        };
        header["__metadata__"] = json!({"octavo": text});
        change(&mut header, &lie["header"]);
        let tail = lie["tail"].as_str().unwrap_or_default();
        let tail = (0..tail.len()).step_by(2).map(|at| u8::from_str_radix(&tail[at..at + 2], 16).unwrap());
        let mut data: Vec<u8> = tensors.iter().copied().chain(tail).collect();
        for (at, byte) in lie["bytes"].as_object().into_iter().flatten() {
            data[at.parse::<usize>().unwrap()] = byte.as_u64().unwrap() as u8;
        }
        for (place, bits) in lie["floats"].as_object().into_iter().flatten() {
            let start = split().0["__floats__"]["data_offsets"][0].as_u64().unwrap() as usize;
            let at = start + 4 * place.parse::<usize>().unwrap();
            let bits = u32::from_str_radix(bits.as_str().unwrap(), 16).unwrap();
            data[at..at + 4].copy_from_slice(&bits.to_le_bytes());
        }
        let found = message(&assemble(&header.to_string(), &data));
        for part in lie["says"].as_array().unwrap() {
            assert!(found.contains(part.as_str().unwrap()), "{lie}: {found}");
        }
    }
}

/// Sets what is at each JSON pointer; a key that is not there is added.
fn change(json: &mut Json, edits: &Json) {
    for (pointer, value) in edits.as_object().into_iter().flatten() {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match json.pointer_mut(parent).unwrap() {
            Json::Array(items) => items[key.parse::<usize>().unwrap()] = value.clone(),
            place => place[key] = value.clone(),
        }
    }
}

/// A Program of one node, as `nodes.json` describes it: see the Python package's tests, which read it too.
fn one_node(case: &Json, change: &Json) -> Vec<u8> {
    let mut case = case.clone();
    for (key, value) in change.as_object().unwrap() {
        let place = key.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<usize>();
        match (key.trim_end_matches(|c: char| c.is_ascii_digit()), place) {
            ("in", Ok(place)) => case["inputs"][place] = value.clone(),
            ("out", Ok(place)) => case["outputs"][place] = value.clone(),
            ("inputs" | "outputs" | "bodies", _) => case[key] = value.clone(),
            _ => case["attributes"][key] = value.clone(),
        }
    }
    let (mut values, mut header, mut tensors) = (Vec::new(), json!({}), Vec::new());
    let mut names = |kind: &str, fed: &mut Vec<String>| {
        let slots = case[format!("{kind}puts")].as_array().unwrap().iter().enumerate();
        let name = |(place, slot): (usize, &Json)| {
            let name = format!("{kind}{place}");
            let (dtype, shape) = match slot {
                Json::Null => return String::new(),
                Json::String(dtype) => {
                    fed.push(name.clone());
                    (dtype.clone(), Json::Null)
                }
                constant => {
                    let dtype = constant
                        .as_object()
                        .unwrap()
                        .keys()
                        .find(|key| !["at", "fill"].contains(&key.as_str()));
                    let dtype = dtype.unwrap().clone();
                    let data = elements(constant, &dtype);
                    let data_len = data.len();
                    let span = json!([tensors.len(), tensors.len() + data_len]);
                    tensors.extend(data);
                    let (stored, shape) = match bits(&dtype) {
                        Some(_) => ("U8".to_owned(), json!([data_len])),
                        None => (dtype.to_uppercase(), constant[&dtype].clone()),
                    };
                    header[&name] = json!({"dtype": stored, "shape": shape, "data_offsets": span});
                    (dtype.clone(), constant[&dtype].clone())
                }
            };
            values.push(json!({"name": name, "dtype": dtype, "shape": shape}));
            name
        };
        slots.map(name).collect::<Vec<String>>()
    };
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    let (reads, makes) = (names("in", &mut inputs), names("out", &mut outputs));
    let mut bodies = serde_json::Map::new();
    for (key, body) in case["bodies"].as_object().into_iter().flatten() {
        let takes = body["takes"].as_array().unwrap().iter().enumerate();
        let takes: Vec<(String, &Json)> = takes.map(|(at, dtype)| (format!("{key}{at}"), dtype)).collect();
        values.extend(takes.iter().map(|(name, dtype)| json!({"name": name, "dtype": dtype})));
        let names: Vec<&String> = takes.iter().map(|(name, _)| name).collect();
        bodies.insert(key.clone(), json!({"inputs": names, "outputs": body["gives"], "nodes": []}));
    }
    let attributes = case["attributes"].as_object().unwrap().clone();
    let mut attributes: Vec<(String, Json)> =
        attributes.into_iter().filter(|(_, value)| !value.is_null()).collect();
    attributes.sort_by(|a, b| a.0.cmp(&b.0));
    let (start, mut count) = (tensors.len(), 0);
    for (_, value) in &mut attributes {
        // A list of floats lies in the table of floats.
        let Some(list) = value["f32"].as_array().cloned() else { continue };
        value["f32"] = json!(list.len());
        count += list.len();
        for digits in &list {
            tensors.extend(u32::from_str_radix(digits.as_str().unwrap(), 16).unwrap().to_le_bytes());
        }
    }
    if count > 0 {
        header["__floats__"] =
            json!({"dtype": "F32", "shape": [count], "data_offsets": [start, tensors.len()]});
    }
    let attributes: serde_json::Map<_, _> = attributes.into_iter().collect();
    let node = json!({
        "op": case["op"], "name": "node", "inputs": reads, "outputs": makes, "attributes": attributes, "bodies": bodies,
    });
    let document = json!({
        "crc32": "00000000", "format": 3, "opset": 25, "producer": "octavo test",
        "inputs": inputs, "outputs": outputs, "values": values, "nodes": [node],
    });
    header["__metadata__"] = json!({"octavo": document.to_string()});
    assemble(&header.to_string(), &tensors)
}

/// The bits of a dtype of which several elements share a byte.
fn bits(dtype: &str) -> Option<usize> {
    dtype[1..].parse().ok().filter(|&bits| bits < 8)
}

/// The bytes of a constant: one element everywhere, but for those of `at`.
fn elements(constant: &Json, dtype: &str) -> Vec<u8> {
    let count = constant[dtype].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).product::<u64>();
    let mut data = vec![constant["fill"].clone(); usize::try_from(count).unwrap()];
    for (place, element) in constant["at"].as_object().into_iter().flatten() {
        data[place.parse::<usize>().unwrap()] = element.clone();
    }
    if let Some(bits) = bits(dtype) {
        let of =
            |element: &Json| (0..bits).map(|bit| element.as_i64().unwrap() >> bit & 1).collect::<Vec<_>>();
        let all: Vec<i64> = data.iter().flat_map(of).collect();
        return all.chunks(8).map(|byte| byte.iter().rev().fold(0, |n, &bit| n << 1 | bit as u8)).collect();
    }
    let bytes = |element: &Json| {
        let number = element.as_i64().unwrap_or_default();
        match (dtype, element.as_str()) {
            ("u8" | "i8", _) => vec![number.to_le_bytes()[0]],
            ("i16", _) => number.to_le_bytes()[..2].to_vec(),
            ("i32", _) => number.to_le_bytes()[..4].to_vec(),
            ("i64", _) => number.to_le_bytes().to_vec(),
            ("f32", Some(digits)) => u32::from_str_radix(digits, 16).unwrap().to_le_bytes().to_vec(),
            ("f32", None) => (element.as_f64().unwrap() as f32).to_le_bytes().to_vec(),
            ("f64", None) => element.as_f64().unwrap().to_le_bytes().to_vec(),
            _ => panic!("{dtype}"),
        }
    };
    data.iter().flat_map(bytes).collect()
}

/// What each op asks of its attributes and constants, on both sides of every bound.
#[test]
fn a_node_is_read_or_named() {
    let nodes: Json = serde_json::from_str(include_str!("data/nodes.json")).unwrap();
    for case in nodes.as_object().unwrap().values() {
        for change in case["valid"].as_array().unwrap() {
            let read = Program::from_bytes(one_node(case, change));
            assert!(read.is_ok(), "{} {change}: {read:?}", case["op"]);
        }
        for invalid in case["invalid"].as_array().unwrap() {
            let found = message(&one_node(case, &invalid[0]));
            assert!(found.contains(invalid[1].as_str().unwrap()), "{} {invalid}: {found}", case["op"]);
            assert!(found.contains(&format!("{} node \"node\"", case["op"].as_str().unwrap())), "{found}");
        }
    }
}

#[test]
fn json_nested_without_end_is_an_error() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let header = format!(r#"{{"__metadata__":{{"octavo":"{{\"crc32\":\"00000000\"}}"}},"x":{deep}}}"#);
    message(&assemble(&header, &[]));
    let document = format!(r#"{{\"crc32\":\"00000000\",\"nodes\":{deep}}}"#);
    message(&assemble(&format!(r#"{{"__metadata__":{{"octavo":"{document}"}}}}"#), &[]));
}

/// Every place in a JSON value, as pointers.
fn places(json: &Json, here: &str, found: &mut Vec<String>) {
    found.push(here.to_string());
    match json {
        Json::Array(list) => {
            list.iter().enumerate().for_each(|(i, item)| places(item, &format!("{here}/{i}"), found))
        }
        Json::Object(entries) => entries.iter().for_each(|(key, item)| {
            places(item, &format!("{here}/{}", key.replace('~', "~0").replace('/', "~1")), found);
        }),
        _ => {}
    }
}

fn scalars() -> impl Strategy<Value = Json> {
    prop_oneof![
        any::<i64>().prop_map(Json::from),
        (-3i64..300).prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        any::<bool>().prop_map(Json::from),
        Just(Json::Null),
        Just(json!([])),
        Just(json!({})),
        Just(json!("")),
        Just(json!("x")),
        prop::sample::select(Op::ALL).prop_map(|op| json!(op.name())),
        prop::sample::select(&DType::WHOLE[..]).prop_map(|dtype| json!(dtype.name())),
        any::<u32>().prop_map(|bits| json!({"f32": format!("{bits:08x}")})),
        prop::collection::vec(-2i64..1 << 33, 0..5).prop_map(Json::from),
        "[a-z]{0,3}".prop_map(Json::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Bytes changed at random, then sealed, so that what is behind the checksum is reached.
    #[test]
    fn sealed_noise_never_panics(
        changes in prop::collection::vec((0..ARTIFACT.len(), any::<u8>()), 1..6),
        cut in prop::option::of(0..ARTIFACT.len()),
    ) {
        let mut data = ARTIFACT.to_vec();
        for (at, byte) in changes {
            data[at] = byte;
        }
        data.truncate(cut.unwrap_or(data.len()));
        let _ = Program::from_bytes(seal(data));
    }

    /// Places of the JSON that get another value, then sealed.
    #[test]
    fn sealed_nonsense_never_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), scalars()), 1..4)) {
        let _ = Program::from_bytes(forge(|document, header| {
            for (place, value) in changes {
                let mut found = Vec::new();
                places(document, "", &mut found);
                let inside = found.len();
                places(header, "", &mut found);
                let at = place.index(found.len());
                let target = if at < inside { &mut *document } else { &mut *header };
                if found[at].is_empty() {
                    continue;
                }
                *target.pointer_mut(&found[at]).unwrap() = value;
            }
        }));
    }
}
