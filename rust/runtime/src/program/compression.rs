//! Compressed artifacts: a mark, then the artifact as one frame of Zstandard (RFC 8878).
//!
//! The mark is a skippable frame, so that `zstd -d` gives the artifact as well.

use std::borrow::Cow;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{find_frame_compressed_size, get_frame_content_size};

use super::faults::damaged;
use crate::error::Error;

/// A skippable frame: its magic number, the length of what it holds, and that.
const MARK: &[u8] = b"\x50\x2a\x4d\x18\x06\0\0\0octavo";
/// Bytes that one byte of a compressed artifact can stand for: what says that there are more is not believed.
const MOST: usize = 256;
/// Weights have few repetitions; where most are 0, the search for them pays.
const LEVEL: i32 = 19;

/// An artifact compressed; as it is, where so little is left of it that [`expand`] would not believe it.
pub fn compress(artifact: &[u8]) -> Result<Vec<u8>, Error> {
    let frame = Compressor::new(LEVEL)
        .and_then(|mut compressor| compressor.compress(artifact))
        .map_err(|e| Error::artifact(format!("the artifact cannot be compressed: {e}")))?;
    let whole = [MARK, &frame].concat();
    Ok(if whole.len() * MOST < artifact.len() { artifact.to_vec() } else { whole })
}

/// The artifact that a compressed one holds; another as it is. It takes no more memory than the file says, and that is
/// within bounds.
pub fn expand(data: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
    let Some(frame) = data.strip_prefix(MARK) else { return Ok(Cow::Borrowed(data)) };
    let length = get_frame_content_size(frame).ok().flatten();
    let length = length
        .and_then(|length| usize::try_from(length).ok())
        .ok_or_else(|| damaged("it is compressed, and does not say how long it is"))?;
    if length > data.len().saturating_mul(MOST) {
        return Err(damaged(format_args!("{} bytes cannot hold the {length} that it says", data.len())));
    }
    if find_frame_compressed_size(frame).ok() != Some(frame.len()) {
        return Err(damaged("its compressed bytes end elsewhere than the file"));
    }
    let mut artifact = Vec::new();
    let made = artifact
        .try_reserve_exact(length)
        .map_err(|_| std::io::Error::from(std::io::ErrorKind::OutOfMemory))
        .and_then(|()| Decompressor::new())
        .and_then(|mut decompressor| decompressor.decompress_to_buffer(frame, &mut artifact))
        .map_err(|e| damaged(format_args!("it cannot be expanded: {e}")))?;
    if made != length {
        return Err(damaged(format_args!("it says that it holds {length} bytes, and holds {made}")));
    }
    Ok(Cow::Owned(artifact))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        (0..length as u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).count_ones() as u8).collect()
    }

    #[test]
    fn what_is_compressed_comes_back() {
        for length in [0, 1, 7, 1000, 300_000] {
            let data = noise(length);
            assert_eq!(*expand(&compress(&data).unwrap()).unwrap(), data);
        }
        assert!(compress(&noise(300_000)).unwrap().len() < 200_000);
        assert!(matches!(expand(b"as it is"), Ok(Cow::Borrowed(b"as it is"))));
    }

    #[test]
    fn what_would_not_be_believed_is_not_compressed() {
        let zeros = vec![0; 1 << 20];
        assert_eq!(compress(&zeros).unwrap(), zeros);
        let frame = Compressor::new(1).unwrap().compress(&zeros).unwrap();
        let bomb = [MARK, &frame].concat();
        assert!(expand(&bomb).unwrap_err().text().contains("cannot hold the 1048576 that it says"));
    }

    #[test]
    fn no_change_of_a_byte_panics_and_no_end_but_its_own_is_taken() {
        let data = compress(&noise(5000)).unwrap();
        for at in 0..data.len() {
            for change in (0..8).map(|bit| 1u8 << bit) {
                let mut changed = data.clone();
                changed[at] ^= change;
                let _ = expand(&changed);
            }
            if at >= MARK.len() {
                assert!(expand(&data[..at]).is_err(), "{at}");
            }
        }
        let more = [&data[..], &data[MARK.len()..]].concat();
        assert!(expand(&more).unwrap_err().text().contains("end elsewhere"));
        assert!(expand(&[&data[..], &[0]].concat()).is_err());
    }
}
