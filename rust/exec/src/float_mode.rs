//! The float mode of a thread.

use std::marker::PhantomData;

/// While it lives, its thread's float arithmetic is IEEE 754's default: round to nearest even, subnormals kept,
/// no traps. Whoever linked a library with `-ffast-math` into this process may have changed that for all threads.
///
/// Dropping it puts back what was found. It stays on its thread; guards may be nested.
#[must_use = "the mode is put back when this is dropped"]
pub struct FloatMode {
    found: Register,
    stays: PhantomData<*const ()>,
}

impl FloatMode {
    /// Sets the default mode on this thread.
    pub fn set() -> FloatMode {
        let found = read();
        if found != DEFAULT {
            write(DEFAULT);
        }
        FloatMode { found, stays: PhantomData }
    }
}

impl Drop for FloatMode {
    fn drop(&mut self) {
        write(self.found);
    }
}

#[cfg(target_arch = "x86_64")]
use x86_64::{DEFAULT, Register, read, write};

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::asm;

    /// MXCSR: bits 0..5 what has happened, 6 denormals are zero, 7..12 which exceptions are masked, 13..14 rounding,
    /// 15 flush to zero (Intel SDM vol. 1, 10.2.3).
    pub type Register = u32;
    /// All exceptions masked, all else 0.
    pub const DEFAULT: Register = 0x1f80;

    pub fn read() -> Register {
        let mut value: Register = 0;
        // SAFETY: every x86-64 has SSE; the instruction stores four bytes to `value`.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack, preserves_flags)) };
        value
    }

    pub fn write(value: Register) {
        // SAFETY: `value` is DEFAULT or was read from the register, so no reserved bit is set. Rust assumes the
        // default mode: any other was there before, and is put back where it was found.
        unsafe {
            asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack, preserves_flags, readonly))
        };
    }
}

#[cfg(target_arch = "aarch64")]
use aarch64::{DEFAULT, Register, read, write};

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    use std::arch::asm;

    /// FPCR: bits 22..23 rounding, 24 flush to zero, 19 the same for half precision, 8..15 traps
    /// (Arm ARM, C5.2.8).
    pub type Register = u64;
    pub const DEFAULT: Register = 0;

    pub fn read() -> Register {
        let value: Register;
        // SAFETY: reading FPCR has no effect.
        unsafe { asm!("mrs {}, fpcr", out(reg) value, options(nomem, nostack, preserves_flags)) };
        value
    }

    pub fn write(value: Register) {
        // SAFETY: `value` is DEFAULT or was read from the register. Rust assumes the default mode: any other was
        // there before, and is put back where it was found.
        unsafe { asm!("msr fpcr, {}", in(reg) value, options(nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use other::{DEFAULT, Register, read, write};

/// Elsewhere the mode is taken as it is.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod other {
    pub type Register = ();
    pub const DEFAULT: Register = ();

    pub fn read() -> Register {}

    pub fn write((): Register) {}
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use super::*;
    use std::hint::black_box;

    /// Flush to zero, and round towards zero.
    #[cfg(target_arch = "x86_64")]
    const STRANGE: Register = DEFAULT | 1 << 15 | 1 << 6 | 3 << 13;
    #[cfg(target_arch = "aarch64")]
    const STRANGE: Register = 1 << 24 | 3 << 22;

    fn half(x: f32) -> f32 {
        black_box(x) * black_box(0.5)
    }

    fn third() -> f32 {
        black_box(2.0) / black_box(3.0)
    }

    #[test]
    fn the_default_mode_holds_while_the_guard_lives() {
        let found = read();
        write(STRANGE);
        let (flushed, cut) = (half(f32::MIN_POSITIVE), third());
        let (kept, rounded) = {
            let _mode = FloatMode::set();
            (half(f32::MIN_POSITIVE), third())
        };
        let put_back = read();
        write(found);
        assert_eq!((flushed.to_bits(), cut.to_bits()), (0, 0x3f2a_aaaa), "the strange mode was not in force");
        assert_eq!((kept.to_bits(), rounded.to_bits()), (0x0040_0000, 0x3f2a_aaab));
        assert_eq!(put_back & STRANGE, STRANGE);
    }

    #[test]
    fn guards_may_be_nested() {
        let found = read();
        write(STRANGE);
        let outer = FloatMode::set();
        drop(FloatMode::set());
        let kept = half(f32::MIN_POSITIVE);
        drop(outer);
        let put_back = read();
        write(found);
        assert_eq!(kept.to_bits(), 0x0040_0000, "the inner guard has ended the outer one's mode");
        assert_eq!(put_back & STRANGE, STRANGE);
    }

    /// A thread begins with the mode of the one that starts it, which may be a strange one.
    // Under loom a pool exists inside a model alone.
    #[cfg(not(loom))]
    #[test]
    fn workers_have_the_default_mode_whoever_starts_them() {
        let found = read();
        write(STRANGE);
        let pool = crate::Pool::new(2);
        let (caller, meet) = (std::thread::current().id(), std::sync::Barrier::new(2));
        let seen = std::sync::Mutex::new(Vec::new());
        pool.run(2, &|_| {
            // Each thread takes one chunk.
            meet.wait();
            let is_worker = std::thread::current().id() != caller;
            let answers = (half(f32::MIN_POSITIVE).to_bits(), third().to_bits());
            seen.lock().unwrap().push((is_worker, answers));
        });
        drop(pool);
        write(found);
        let mut seen = seen.into_inner().unwrap();
        seen.sort_unstable();
        // The caller's mode is the caller's business.
        assert_eq!(seen, [(false, (0, 0x3f2a_aaaa)), (true, (0x0040_0000, 0x3f2a_aaab))]);
    }
}
