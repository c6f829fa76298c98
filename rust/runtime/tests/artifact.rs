//! Artifacts that are damaged, newer or lie: an error that names what is wrong, never a panic.
//!
//! The artifact is written by the Python package's tests, which compare it with what they write today.

use octavo_runtime::error::Error;
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
        Err(Error::Artifact(message)) => message,
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
        ([0.5, 0.25].as_slice(), [0, 0].as_slice())
    );
    assert_eq!((quant.axis, quant.block), (Some(0), None));
    let constant = |name: &str| find(name).constant.as_ref().unwrap();
    assert_eq!(constant("weights").shape(), [2, 3, 1, 1]);
    assert_eq!(constant("weights").i8s().unwrap(), [-127, 5, 0, 1, 127, -3]);
    assert_eq!(constant("bias").i32s().unwrap(), [100, -100]);
    assert_eq!(constant("multiplier").i32s().unwrap(), [1 << 30, i32::MAX]);
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
    assert_eq!(ops, [Op::Quantize, Op::QConv, Op::QAveragePool, Op::Lookup, Op::Reshape, Op::Resize]);
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
    assert_eq!(Program::from_bytes(&forge(|_, _| ())), Program::from_bytes(ARTIFACT));
}

#[test]
fn a_sealed_lie_in_the_program_is_named() {
    let cases: &[(&str, Json, &str)] = &[
        ("/format", json!(2), "format 2 and opset 25; this octavo reads format 1"),
        ("/format", json!(1.0), "floating point"),
        ("/opset", json!(26), "opset 26; this octavo reads format 1 and opset 25"),
        ("/nodes/0/op", json!("QuantizeMore"), "unknown op \"QuantizeMore\""),
        ("/nodes/0/attributes", json!({"zero_point": 3}), "lacks the attribute \"scale\""),
        (
            "/nodes/0/attributes/zero_point",
            json!("3"),
            "\"zero_point\" of the Quantize node \"quantize\" is of type str",
        ),
        ("/nodes/0/attributes/zero_point", json!(u64::MAX), "\"zero_point\" of the Quantize node"),
        ("/nodes/0/attributes/zero_point", json!(256), "zero_point is 256"),
        ("/nodes/0/attributes/scale", json!({"f32": "3F800000"}), "\"scale\" of the Quantize node"),
        ("/nodes/0/attributes/scale", json!({"f32": "7f800000"}), "scale is inf"),
        ("/nodes/0/inputs", json!(["z"]), "\"z\" is used but not described"),
        ("/nodes/0/inputs", json!(["y"]), "reads \"y\" before it is made"),
        ("/nodes/0/inputs", json!([""]), "lacks its input \"x\""),
        ("/nodes/0/inputs", json!(["x", "x"]), "cannot have 2 inputs"),
        ("/nodes/1/attributes/group", json!(3), "2 channels are no multiple of its 3 groups"),
        ("/nodes/1/attributes/pads", json!([0, 0]), "pads is [0, 0] for a kernel of 2 axes"),
        ("/nodes/1/attributes/strides", json!([0, 1]), "strides is [0, 1]"),
        ("/nodes/1/attributes/lo", json!(201), "lo is 201, above hi, 200"),
        ("/nodes/2/attributes/ratio", json!({"f64": "41d0000000000000"}), "ratio is 1073741824"),
        ("/nodes/2/attributes/kernel_shape", json!([65536, 65536]), "can leave 32 bits"),
        ("/nodes/3/inputs", json!(["x", "table"]), "\"x\" of f32 as its \"x\""),
        ("/nodes/4/outputs", json!(["p"]), "makes \"p\", which is there already"),
        ("/values/0/dtype", json!("u4"), "unknown dtype \"u4\""),
        ("/values/0/shape", json!([2, 3]), "the constant \"weights\""),
        ("/values/0/shape", json!([-1]), "the shape of the value \"weights\""),
        ("/values/0/quant/zero_point", json!([0, 128]), "outside -128..127"),
        ("/values/12/shape", json!([1u64 << 60, 1u64 << 60]), "too large"),
        ("/values/12/shape", json!(vec![1; 33]), "too large"),
        ("/inputs", json!(["x", "x"]), "\"x\" is there twice"),
        ("/outputs", json!([]), "no outputs"),
        ("/nodes", json!({}), "its program is wrong"),
    ];
    for (path, value, expected) in cases {
        let found = message(&forge(|document, _| *document.pointer_mut(path).unwrap() = value.clone()));
        assert!(found.contains(expected), "{path}: {found}");
    }
}

#[test]
fn an_unknown_key_or_attribute_is_named() {
    let cases: &[(&str, &str)] = &[
        ("", "unknown field `more`"),
        ("/nodes/0", "unknown field `more`"),
        ("/values/0", "unknown field `more`"),
        ("/nodes/0/attributes", "unknown attribute \"more\""),
    ];
    for (path, expected) in cases {
        let found = message(&forge(|document, _| document.pointer_mut(path).unwrap()["more"] = json!(1)));
        assert!(found.contains(expected), "{path}: {found}");
    }
}

#[test]
fn a_sealed_lie_about_the_constants_is_an_error() {
    let cases: &[(&str, Json)] = &[
        ("/bias/data_offsets", json!([0, 1u64 << 60])),
        ("/bias/data_offsets", json!([8, 0])),
        ("/bias/shape", json!([1u64 << 60])),
        ("/bias/shape", json!([1u64 << 32, 1u64 << 32])),
        ("/bias/shape", json!([3])),
        ("/bias/dtype", json!("I64")),
        ("/bias/dtype", json!("F32")),
        ("/bias/dtype", json!("BF16")),
        ("/__metadata__/more", json!("x")),
    ];
    for (path, value) in cases {
        message(&forge(|_, header| {
            let (parent, key) = path.rsplit_once('/').unwrap();
            if parent == "/__metadata__" {
                header["__metadata__"] = json!({});
            }
            header.pointer_mut(parent).unwrap()[key] = value.clone();
        }));
    }
}

#[test]
fn sizes_that_overflow_together_are_an_error() {
    // Eight constants of almost 2^61 bytes: their end, with the header's length added, wraps past 2^64.
    let size = (1u64 << 61) - 1;
    let data = forge(|document, header| {
        document["values"] = json!([]);
        let constants = header.as_object_mut().unwrap();
        constants.clear();
        for start in (0..8).map(|place| place * size) {
            let entry = json!({"dtype": "U8", "shape": [size], "data_offsets": [start, start + size]});
            constants.insert(format!("huge {start}"), entry);
        }
    });
    assert!(message(&data).contains("describes 18446744073709551608 bytes of constants"));
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
        prop::sample::select(&DType::ALL[..]).prop_map(|dtype| json!(dtype.name())),
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
        let _ = Program::from_bytes(&seal(data));
    }

    /// Places of the JSON that get another value, then sealed.
    #[test]
    fn sealed_nonsense_never_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), scalars()), 1..4)) {
        let _ = Program::from_bytes(&forge(|document, header| {
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
