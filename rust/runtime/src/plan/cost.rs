//! What the integer products of a tier cost on one thread, to tell where a second one pays: rough, within a factor of two
//! or so, as measured on a Zen 5 at each tier, and on 64-bit ARM by the instructions that docs/performance.md counts.

use octavo_kernels::isa::Isa;

/// Nanoseconds on one thread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Costs {
    /// A multiply-accumulate of a product of uint8 and int8.
    pub mac: f64,
    /// One of a depthwise convolution.
    pub depthwise_mac: f64,
    /// An element of a product's result, of those that tiles compute: whole units of columns.
    pub element: f64,
}

impl Costs {
    /// Those of a tier.
    pub fn of(isa: Isa) -> Costs {
        match isa {
            Isa::Scalar => Costs { mac: 0.3, depthwise_mac: 0.5, element: 2.0 },
            Isa::Avx2 => Costs { mac: 0.008, depthwise_mac: 0.03, element: 0.15 },
            Isa::AvxVnni | Isa::Avx512Vl => Costs { mac: 0.005, depthwise_mac: 0.016, element: 0.1 },
            Isa::Avx512Vnni => Costs { mac: 0.003, depthwise_mac: 0.012, element: 0.08 },
            Isa::Neon => Costs { mac: 0.08, depthwise_mac: 0.1, element: 0.4 },
            Isa::DotProd => Costs { mac: 0.015, depthwise_mac: 0.05, element: 0.2 },
            Isa::I8mm => Costs { mac: 0.006, depthwise_mac: 0.04, element: 0.15 },
        }
    }
}
