//! Whole networks have the same bits on every architecture, tier and number of threads: those of the numpy reference,
//! which the Python tests compute for the same pictures.

use octavo_runtime::{Options, Session, bytes_of, isa};

/// A network, the shape of its pictures, and the CRC-32 of what it makes of [`pictures`].
struct Network {
    name: &'static str,
    artifact: &'static [u8],
    shape: [usize; 4],
    digest: u32,
}

/// The network of the demo, quantized and in float, and one of convolutions of every kind (`tests/mixed.py`).
const NETWORKS: [Network; 3] = [
    Network {
        name: "digits in int8",
        artifact: include_bytes!("data/digits_int8.octavo"),
        shape: [8, 1, 28, 28],
        digest: 0xccc9_aaa9,
    },
    Network {
        name: "digits in float",
        artifact: include_bytes!("data/digits_float.octavo"),
        shape: [8, 1, 28, 28],
        digest: 0xadc2_612a,
    },
    Network {
        name: "mixed in int8",
        artifact: include_bytes!("data/mixed_int8.octavo"),
        shape: [4, 3, 26, 30],
        digest: 0x2de1_a7b2,
    },
];

/// Numbers from 0 to 1 that float32 holds exactly.
fn pictures(shape: [usize; 4]) -> Vec<f32> {
    (0..shape.iter().product::<usize>()).map(|i| (i * 40503 % 65536) as f32 / 65536.0).collect()
}

#[test]
fn networks_have_the_bits_of_the_reference() {
    for Network { name, artifact, shape, digest } in NETWORKS {
        let pictures = pictures(shape);
        for tier in isa::available() {
            for threads in [1, 2] {
                let options = Options { threads: Some(threads), isa: Some(tier.name().to_owned()) };
                let session = Session::new(artifact, &options).unwrap();
                let plan = session.plan(&[shape]).unwrap();
                let outputs = session.run_stages(&plan, &[bytes_of(&pictures)]).unwrap();
                let found = crc32fast::hash(outputs[0].1.bytes());
                assert_eq!(found, digest, "{name} on {tier}, {threads} threads: {found:08x}");
            }
        }
    }
}
