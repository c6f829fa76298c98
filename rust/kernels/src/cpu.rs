//! Which of its tiers a CPU is best at: the richest one, but for CPUs whose 512-bit registers gain nothing.

use crate::isa::Isa;

/// Who made a CPU and which it is, as CPUID tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// `GenuineIntel`, `AuthenticAMD`...
    pub maker: String,
    /// The family, its extension added.
    pub family: u32,
    /// The model, its extension in the upper 4 bits.
    pub model: u32,
    /// What it is sold as.
    pub name: String,
}

/// Models of Intel's family 6 with AVX-512 VNNI whose 512-bit multiplications go through one port, while two take 256 bits: as
/// many products a cycle, at a lower clock. Ice Lake client: a Core i5-1035G4 does 3592 million FMA of 512 bits a second and
/// 7383 of 256, at 3.59 and 3.69 GHz (T. Downs, avx-turbo). Tiger Lake, Rocket Lake and Alder Lake have that core's ports (A.
/// Fog, The microarchitecture of Intel, AMD and VIA CPUs; uops.info, VPDPBUSD). Numbers: Linux, arch/x86/include/asm/intel-family.h.
const ONE_WIDE_PORT: [u32; 7] = [0x7D, 0x7E, 0x8C, 0x8D, 0xA7, 0x97, 0x9A];
/// Cascade Lake and Cooper Lake. Intel's ARK lists one 512-bit unit for the names that hold one of [`ONE_UNIT_NAMES`].
const CASCADE_LAKE: u32 = 0x55;
const ONE_UNIT_NAMES: [&str; 3] = ["Silver", "Bronze", "Gold 5"];

impl Cpu {
    /// This one; nothing in particular where there is no CPUID.
    pub fn here() -> Cpu {
        #[cfg(target_arch = "x86_64")]
        return x86::here();
        #[cfg(not(target_arch = "x86_64"))]
        Cpu::default()
    }

    /// Whether 512-bit registers multiply no faster than 256-bit ones, at a lower clock. AMD's never do: Zen 4 and the Zen 5 of
    /// notebooks take two cycles for 512 bits and lose nothing by it (AMD, Software Optimization Guides 57647 and 58455).
    fn has_poor_wide_registers(&self) -> bool {
        self.maker == "GenuineIntel"
            && self.family == 6
            && (ONE_WIDE_PORT.contains(&self.model)
                || self.model == CASCADE_LAKE && ONE_UNIT_NAMES.iter().any(|name| self.name.contains(name)))
    }
}

/// The tier that a session runs on unless it is told one: of the tiers given, poorest first, the last that suits the CPU.
/// `None` of no tiers.
pub fn best(available: &[Isa], cpu: &Cpu) -> Option<Isa> {
    let suits = |isa: &&Isa| **isa != Isa::Avx512Vnni || !cpu.has_poor_wide_registers();
    available.iter().rev().find(suits).copied()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::__cpuid;

    use super::Cpu;

    /// The leaves of the name, 16 bytes each.
    const NAME: [u32; 3] = [0x8000_0002, 0x8000_0003, 0x8000_0004];

    pub(super) fn here() -> Cpu {
        let maker = __cpuid(0);
        let (family, model) = family_and_model(__cpuid(1).eax);
        let has_name = __cpuid(0x8000_0000).eax >= NAME[2];
        let name = NAME.into_iter().filter(|_| has_name).map(__cpuid);
        Cpu {
            maker: text([maker.ebx, maker.edx, maker.ecx]),
            family,
            model,
            name: text(name.flat_map(|leaf| [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx])),
        }
    }

    /// The characters of registers, without what fills them up.
    fn text(registers: impl IntoIterator<Item = u32>) -> String {
        let bytes: Vec<u8> = registers.into_iter().flat_map(u32::to_le_bytes).collect();
        String::from_utf8_lossy(&bytes).trim_matches(['\0', ' ']).to_owned()
    }

    /// Of leaf 1's `eax`: families below 15 have no extension; models of the families 6 and from 15 on have one.
    pub(super) fn family_and_model(eax: u32) -> (u32, u32) {
        let (base, extension) = (eax >> 8 & 15, eax >> 20 & 255);
        let family = if base == 15 { base + extension } else { base };
        let upper = if base == 6 || base == 15 { eax >> 12 & 0xF0 } else { 0 };
        (family, upper | eax >> 4 & 15)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Isa::{Avx2, Avx512Vl, Avx512Vnni, AvxVnni, Scalar};

    fn intel(model: u32, name: &str) -> Cpu {
        Cpu { maker: "GenuineIntel".to_owned(), family: 6, model, name: name.to_owned() }
    }

    fn amd(family: u32, model: u32) -> Cpu {
        Cpu { maker: "AuthenticAMD".to_owned(), family, model, name: "AMD EPYC".to_owned() }
    }

    #[test]
    fn machines_run_what_they_are_best_at() {
        let (wide, both) =
            (vec![Scalar, Avx2, Avx512Vl, Avx512Vnni], vec![Scalar, Avx2, AvxVnni, Avx512Vl, Avx512Vnni]);
        let cases = [
            ("Haswell", vec![Scalar, Avx2], intel(0x3C, ""), Avx2),
            ("Core of 2008", vec![Scalar], intel(0x17, ""), Scalar),
            (
                "Alder Lake",
                vec![Scalar, Avx2, AvxVnni],
                intel(0x97, "12th Gen Intel(R) Core(TM) i7"),
                AvxVnni,
            ),
            ("Alder Lake with AVX-512", both.clone(), intel(0x97, "12th Gen Intel(R) Core(TM) i7"), Avx512Vl),
            ("Ice Lake client", wide.clone(), intel(0x7E, "Intel(R) Core(TM) i5-1035G4"), Avx512Vl),
            ("Tiger Lake", wide.clone(), intel(0x8C, "11th Gen Intel(R) Core(TM) i7-1165G7"), Avx512Vl),
            ("Rocket Lake", wide.clone(), intel(0xA7, "11th Gen Intel(R) Core(TM) i9"), Avx512Vl),
            (
                "Cascade Lake",
                wide.clone(),
                intel(0x55, "Intel(R) Xeon(R) Silver 4210 CPU @ 2.20GHz"),
                Avx512Vl,
            ),
            ("Cascade Lake", wide.clone(), intel(0x55, "Intel(R) Xeon(R) Gold 5218 CPU @ 2.30GHz"), Avx512Vl),
            ("Cascade Lake", wide.clone(), intel(0x55, "Intel(R) Xeon(R) Platinum 8259CL CPU"), Avx512Vnni),
            ("Cascade Lake, rented", wide.clone(), intel(0x55, "Intel(R) Xeon(R) CPU @ 2.80GHz"), Avx512Vnni),
            ("Ice Lake server", wide.clone(), intel(0x6A, "Intel(R) Xeon(R) Silver 4310"), Avx512Vnni),
            ("Sapphire Rapids", both.clone(), intel(0x8F, "Intel(R) Xeon(R) Platinum 8488C"), Avx512Vnni),
            ("Granite Rapids", both.clone(), intel(0xAD, ""), Avx512Vnni),
            ("Zen 3", vec![Scalar, Avx2], amd(25, 1), Avx2),
            ("Zen 4", wide, amd(25, 0x11), Avx512Vnni),
            ("Zen 5 server", both.clone(), amd(26, 2), Avx512Vnni),
            ("Zen 5 notebook", both.clone(), amd(26, 0x24), Avx512Vnni),
            ("unknown", both, Cpu::default(), Avx512Vnni),
        ];
        for (machine, available, cpu, expected) in cases {
            assert_eq!(best(&available, &cpu), Some(expected), "{machine}: {cpu:?}");
        }
        assert_eq!(best(&[], &Cpu::default()), None);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn families_and_models_are_read_from_leaf_1() {
        // Ice Lake client, Cascade Lake, Zen 5 server, Zen 3, the first Pentium.
        for (eax, expected) in [
            (0x706E5, (6, 0x7E)),
            (0x50657, (6, 0x55)),
            (0x00B0_0F21, (26, 2)),
            (0x00A2_0F10, (25, 0x21)),
            (0x0517, (5, 1)),
        ] {
            assert_eq!(x86::family_and_model(eax), expected, "{eax:#x}");
        }
    }

    /// Against what the kernel read.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    #[test]
    fn this_cpu_is_the_one_that_linux_names() {
        let text = std::fs::read_to_string("/proc/cpuinfo").expect("Linux has this file");
        let field = |name: &str| {
            let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
        };
        let Cpu { maker, family, model, name } = Cpu::here();
        assert_eq!(Some(maker), field("vendor_id"));
        assert_eq!(Some(family.to_string()), field("cpu family"));
        assert_eq!(Some(model.to_string()), field("model"));
        assert_eq!(Some(name), field("model name"));
    }
}
