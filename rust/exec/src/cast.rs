//! Bytes as numbers.

mod sealed {
    pub trait Sealed {}
}

/// A number without padding for which any bits are a value.
pub trait Pod: sealed::Sealed + Copy + Send + Sync + 'static {}

macro_rules! pod {
    ($($number:ty)*) => {
        $(impl sealed::Sealed for $number {}
        impl Pod for $number {})*
    };
}
pod!(u8 i8 u16 i16 u32 i32 u64 i64 f32 f64);

/// The bytes as numbers in native order; of no bytes, none, wherever they lie.
///
/// # Panics
/// Unless the first byte is aligned for `T` and the last number is whole.
#[track_caller]
pub fn cast<T: Pod>(bytes: &[u8]) -> &[T] {
    if bytes.is_empty() {
        return &[];
    }
    check::<T>(bytes);
    // SAFETY: aligned and whole (checked); any bits are a T, which has no padding; the borrow goes over.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / size_of::<T>()) }
}

/// The bytes as numbers in native order, to write.
///
/// # Panics
/// As `cast`.
#[track_caller]
pub fn cast_mut<T: Pod>(bytes: &mut [u8]) -> &mut [T] {
    if bytes.is_empty() {
        return &mut [];
    }
    check::<T>(bytes);
    // SAFETY: as in `cast`; any T leaves initialised bytes behind; the exclusive borrow goes over.
    unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len() / size_of::<T>()) }
}

/// The bytes of numbers.
pub fn bytes_of<T: Pod>(numbers: &[T]) -> &[u8] {
    // SAFETY: a Pod has no padding, so every byte is initialised; bytes need no alignment; the borrow goes over.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) }
}

/// The bytes of numbers, to write.
pub fn bytes_of_mut<T: Pod>(numbers: &mut [T]) -> &mut [u8] {
    // SAFETY: as in `bytes_of`; any bits are a T, so whatever is written leaves numbers behind.
    unsafe { std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), size_of_val(numbers)) }
}

#[track_caller]
fn check<T: Pod>(bytes: &[u8]) {
    let name = std::any::type_name::<T>();
    assert!(
        bytes.len().is_multiple_of(size_of::<T>()),
        "{} bytes are no whole number of {name}",
        bytes.len()
    );
    assert!(bytes.as_ptr().cast::<T>().is_aligned(), "bytes are not aligned for {name}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arena;

    #[test]
    fn numbers_round_trip() {
        let mut arena = Arena::new(24).unwrap();
        cast_mut::<f32>(&mut arena.bytes_mut()[4..16]).copy_from_slice(&[1.5, -0.0, f32::INFINITY]);
        assert_eq!(arena.bytes()[4..8], 1.5f32.to_ne_bytes());
        assert_eq!(cast::<i32>(&arena.bytes()[..8])[1], 0x3fc0_0000);
        assert_eq!(cast::<u8>(&arena.bytes()[..3]), [0, 0, 0]);
        assert!(cast::<i64>(&arena.bytes()[8..8]).is_empty());
        assert!(cast::<i64>(&arena.bytes()[3..3]).is_empty());
        assert!(cast_mut::<f32>(&mut arena.bytes_mut()[5..5]).is_empty());
    }

    #[test]
    fn bytes_of_numbers_are_theirs() {
        let mut numbers = [0x0403_0201u32, 7];
        assert_eq!(bytes_of(&numbers)[..4], 0x0403_0201u32.to_ne_bytes());
        bytes_of_mut(&mut numbers)[4..].copy_from_slice(&9u32.to_ne_bytes());
        assert_eq!(numbers[1], 9);
    }

    #[test]
    #[should_panic(expected = "7 bytes are no whole number of i32")]
    fn a_broken_number_panics() {
        cast::<i32>(&Arena::new(8).unwrap().bytes()[..7]);
    }

    #[test]
    #[should_panic(expected = "not aligned for i64")]
    fn a_crooked_number_panics() {
        cast_mut::<i64>(&mut Arena::new(24).unwrap().bytes_mut()[4..12]);
    }
}
