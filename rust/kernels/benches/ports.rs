//! What a core multiplies at most: the dot products of each tier from registers to registers, nothing read or written. A line
//! a tier that the CPU has: its name, its multiply-accumulates of bytes in billions a second, the same of float32.
//!
//! A kernel that takes each product by the tier's instruction can be no faster. AVX2's fast inner product takes as many
//! instructions for a product as its pairs; Winograd's transforms take fewer, and may be faster than this.

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;
    use std::time::Instant;

    /// Steps of a loop of 12 sums.
    const STEPS: u64 = 1 << 18;

    /// Defines a function that runs one instruction on 12 sums, and the sums behind it, in a loop.
    macro_rules! port {
        ($name:ident, $features:literal, $($line:literal)*) => {
            #[target_feature(enable = $features)]
            fn $name() {
                // SAFETY: the function's features are those of the instructions, which touch registers alone.
                unsafe {
                    asm!(
                        "2:",
                        $($line,)*
                        "dec {steps}",
                        "jnz 2b",
                        steps = inout(reg) STEPS => _,
                        out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                        out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                        out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                        options(nomem, nostack),
                    );
                }
            }
        };
    }
    port!(pairs, "avx2",
        "vpmaddwd ymm12, ymm15, ymm14" "vpaddd ymm0, ymm0, ymm12" "vpmaddwd ymm13, ymm15, ymm14" "vpaddd ymm1, ymm1, ymm13"
        "vpmaddwd ymm12, ymm15, ymm14" "vpaddd ymm2, ymm2, ymm12" "vpmaddwd ymm13, ymm15, ymm14" "vpaddd ymm3, ymm3, ymm13"
        "vpmaddwd ymm12, ymm15, ymm14" "vpaddd ymm4, ymm4, ymm12" "vpmaddwd ymm13, ymm15, ymm14" "vpaddd ymm5, ymm5, ymm13"
        "vpmaddwd ymm12, ymm15, ymm14" "vpaddd ymm6, ymm6, ymm12" "vpmaddwd ymm13, ymm15, ymm14" "vpaddd ymm7, ymm7, ymm13"
        "vpmaddwd ymm12, ymm15, ymm14" "vpaddd ymm8, ymm8, ymm12" "vpmaddwd ymm13, ymm15, ymm14" "vpaddd ymm9, ymm9, ymm13"
        "vpmaddwd ymm12, ymm15, ymm14" "vpaddd ymm10, ymm10, ymm12" "vpmaddwd ymm13, ymm15, ymm14" "vpaddd ymm11, ymm11, ymm13");
    port!(fours, "avx512f,avx512vnni",
        "vpdpbusd zmm0, zmm12, zmm13" "vpdpbusd zmm1, zmm12, zmm13" "vpdpbusd zmm2, zmm12, zmm13"
        "vpdpbusd zmm3, zmm12, zmm13" "vpdpbusd zmm4, zmm12, zmm13" "vpdpbusd zmm5, zmm12, zmm13"
        "vpdpbusd zmm6, zmm12, zmm13" "vpdpbusd zmm7, zmm12, zmm13" "vpdpbusd zmm8, zmm12, zmm13"
        "vpdpbusd zmm9, zmm12, zmm13" "vpdpbusd zmm10, zmm12, zmm13" "vpdpbusd zmm11, zmm12, zmm13");
    port!(short_fours, "avx2,avxvnni",
        "{{vex}} vpdpbusd ymm0, ymm12, ymm13" "{{vex}} vpdpbusd ymm1, ymm12, ymm13" "{{vex}} vpdpbusd ymm2, ymm12, ymm13"
        "{{vex}} vpdpbusd ymm3, ymm12, ymm13" "{{vex}} vpdpbusd ymm4, ymm12, ymm13" "{{vex}} vpdpbusd ymm5, ymm12, ymm13"
        "{{vex}} vpdpbusd ymm6, ymm12, ymm13" "{{vex}} vpdpbusd ymm7, ymm12, ymm13" "{{vex}} vpdpbusd ymm8, ymm12, ymm13"
        "{{vex}} vpdpbusd ymm9, ymm12, ymm13" "{{vex}} vpdpbusd ymm10, ymm12, ymm13" "{{vex}} vpdpbusd ymm11, ymm12, ymm13");
    port!(masked_fours, "avx512f,avx512vl,avx512vnni",
        "{{evex}} vpdpbusd ymm0, ymm12, ymm13" "{{evex}} vpdpbusd ymm1, ymm12, ymm13" "{{evex}} vpdpbusd ymm2, ymm12, ymm13"
        "{{evex}} vpdpbusd ymm3, ymm12, ymm13" "{{evex}} vpdpbusd ymm4, ymm12, ymm13" "{{evex}} vpdpbusd ymm5, ymm12, ymm13"
        "{{evex}} vpdpbusd ymm6, ymm12, ymm13" "{{evex}} vpdpbusd ymm7, ymm12, ymm13" "{{evex}} vpdpbusd ymm8, ymm12, ymm13"
        "{{evex}} vpdpbusd ymm9, ymm12, ymm13" "{{evex}} vpdpbusd ymm10, ymm12, ymm13" "{{evex}} vpdpbusd ymm11, ymm12, ymm13");
    port!(floats, "avx2,fma",
        "vfmadd231ps ymm0, ymm12, ymm13" "vfmadd231ps ymm1, ymm12, ymm13" "vfmadd231ps ymm2, ymm12, ymm13"
        "vfmadd231ps ymm3, ymm12, ymm13" "vfmadd231ps ymm4, ymm12, ymm13" "vfmadd231ps ymm5, ymm12, ymm13"
        "vfmadd231ps ymm6, ymm12, ymm13" "vfmadd231ps ymm7, ymm12, ymm13" "vfmadd231ps ymm8, ymm12, ymm13"
        "vfmadd231ps ymm9, ymm12, ymm13" "vfmadd231ps ymm10, ymm12, ymm13" "vfmadd231ps ymm11, ymm12, ymm13");
    port!(wide_floats, "avx512f",
        "vfmadd231ps zmm0, zmm12, zmm13" "vfmadd231ps zmm1, zmm12, zmm13" "vfmadd231ps zmm2, zmm12, zmm13"
        "vfmadd231ps zmm3, zmm12, zmm13" "vfmadd231ps zmm4, zmm12, zmm13" "vfmadd231ps zmm5, zmm12, zmm13"
        "vfmadd231ps zmm6, zmm12, zmm13" "vfmadd231ps zmm7, zmm12, zmm13" "vfmadd231ps zmm8, zmm12, zmm13"
        "vfmadd231ps zmm9, zmm12, zmm13" "vfmadd231ps zmm10, zmm12, zmm13" "vfmadd231ps zmm11, zmm12, zmm13");

    /// Billions of multiply-accumulates a second: of the best of some runs, `macs` an instruction.
    fn rate(run: impl Fn(), macs: u64) -> f64 {
        let seconds = || {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        };
        let best = (0..50).map(|_| seconds()).fold(f64::MAX, f64::min);
        (12 * STEPS * macs) as f64 / best / 1e9
    }

    pub fn main() {
        let line = |tier: &str, bytes: f64, floats: f64| println!("{tier} {bytes:.1} {floats:.1}");
        // SAFETY: the CPU has the features of what is run.
        unsafe {
            if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
                return;
            }
            let short_floats = rate(|| floats(), 8);
            line("avx2", rate(|| pairs(), 16), short_floats);
            if is_x86_feature_detected!("avxvnni") {
                line("avxvnni", rate(|| short_fours(), 32), short_floats);
            }
            if is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512vl") {
                line("avx512vl", rate(|| masked_fours(), 32), short_floats);
                line("avx512vnni", rate(|| fours(), 64), rate(|| wide_floats(), 16));
            }
        }
    }
}

fn main() {
    #[cfg(target_arch = "x86_64")]
    x86::main();
}
