//! Whole networks have the same bits on every architecture, tier and number of threads: those of the numpy reference,
//! which the Python tests compute for the same pictures.

use octavo_runtime::{Options, Session, bytes_of, isa};

/// The network of the demo, quantized and in float, and the CRC-32 of what it makes of [`pictures`].
const NETWORKS: [(&str, &[u8], u32); 2] = [
    ("int8", include_bytes!("data/digits_int8.octavo"), 0xccc9_aaa9),
    ("float", include_bytes!("data/digits_float.octavo"), 0xadc2_612a),
];
const SHAPE: [usize; 4] = [8, 1, 28, 28];

/// Numbers from 0 to 1 that float32 holds exactly.
fn pictures() -> Vec<f32> {
    (0..SHAPE.iter().product::<usize>()).map(|i| (i * 40503 % 65536) as f32 / 65536.0).collect()
}

#[test]
fn networks_have_the_bits_of_the_reference() {
    let pictures = pictures();
    for (name, artifact, digest) in NETWORKS {
        for tier in isa::available() {
            for threads in [1, 2] {
                let options = Options { threads: Some(threads), isa: Some(tier.name().to_owned()) };
                let session = Session::new(artifact, &options).unwrap();
                let plan = session.plan(&[SHAPE]).unwrap();
                let outputs = session.run_stages(&plan, &[bytes_of(&pictures)]).unwrap();
                let found = crc32fast::hash(outputs[0].1.bytes());
                assert_eq!(found, digest, "{name} on {tier}, {threads} threads: {found:08x}");
            }
        }
    }
}
