//! Copies of runs of bytes that lie evenly apart.

/// Copies runs of that many bytes, from every `x_step` bytes of `x` to every `y_step` bytes of `y`; steps are not less
/// than a run.
pub fn copy_runs(x: &[u8], x_step: usize, y: &mut [u8], y_step: usize, bytes: usize) {
    match bytes {
        0 => {}
        1 => in_blocks::<1>(x, x_step, y, y_step, bytes),
        2..4 => in_blocks::<2>(x, x_step, y, y_step, bytes),
        4..8 => in_blocks::<4>(x, x_step, y, y_step, bytes),
        8..16 => in_blocks::<8>(x, x_step, y, y_step, bytes),
        16..32 => in_blocks::<16>(x, x_step, y, y_step, bytes),
        32..64 => in_blocks::<32>(x, x_step, y, y_step, bytes),
        64..512 => in_blocks::<64>(x, x_step, y, y_step, bytes),
        _ => {
            for (x, y) in x.chunks(x_step).zip(y.chunks_mut(y_step)) {
                y[..bytes].copy_from_slice(&x[..bytes]);
            }
        }
    }
}

/// [`copy_runs`] in registers, for a call a run costs more than the copy; the last block overlaps the one before.
fn in_blocks<const BLOCK: usize>(x: &[u8], x_step: usize, y: &mut [u8], y_step: usize, bytes: usize) {
    for (x, y) in x.chunks(x_step).zip(y.chunks_mut(y_step)) {
        let (x, y) = (&x[..bytes], &mut y[..bytes]);
        let mut at = 0;
        while at + BLOCK < bytes {
            y[at..][..BLOCK].copy_from_slice(&x[at..][..BLOCK]);
            at += BLOCK;
        }
        y[bytes - BLOCK..].copy_from_slice(&x[bytes - BLOCK..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_every_length_are_copied_and_nothing_else() {
        for bytes in (0..140).chain([511, 512, 513]) {
            let (x_step, y_step) = (bytes + 3, bytes + 5);
            let x: Vec<u8> = (0..3 * x_step + bytes).map(|i| (i % 251) as u8).collect();
            let mut y = vec![255; 3 * y_step + bytes];
            copy_runs(&x, x_step, &mut y, y_step, bytes);
            for (i, &y) in y.iter().enumerate() {
                let (run, at) = (i / y_step, i % y_step);
                assert_eq!(
                    y,
                    if at < bytes { x[run * x_step + at] } else { 255 },
                    "{bytes} bytes, place {i}"
                );
            }
        }
    }
}
