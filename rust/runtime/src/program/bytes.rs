//! Bytes that several tensors share: the file that holds them is read once, and its constants stay where they are.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A part of some bytes that never change. Clones share them.
#[derive(Clone)]
pub struct Bytes {
    whole: Arc<dyn AsRef<[u8]> + Send + Sync>,
    range: Range<usize>,
}

impl Bytes {
    /// The bytes of whoever owns them, such as a mapped file or an object of another language: none is copied.
    ///
    /// `owner` must show the same bytes each time that it is asked.
    pub fn of(owner: impl AsRef<[u8]> + Send + Sync + 'static) -> Bytes {
        let range = 0..owner.as_ref().len();
        Bytes { whole: Arc::new(owner), range }
    }

    /// A part of them; `None` where it leaves them.
    pub fn part(&self, range: Range<usize>) -> Option<Bytes> {
        let all = self.get(range.clone())?.len();
        let start = self.range.start + range.start;
        Some(Bytes { whole: Arc::clone(&self.whole), range: start..start + all })
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &(*self.whole).as_ref()[self.range.clone()]
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Bytes {
        Bytes::of(bytes)
    }
}

/// A copy.
impl<B: AsRef<[u8]> + ?Sized> From<&B> for Bytes {
    fn from(bytes: &B) -> Bytes {
        Bytes::of(bytes.as_ref().to_vec())
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Bytes) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_where_the_whole_does() {
        let whole = Bytes::from(vec![1, 2, 3, 4, 5]);
        let part = whole.part(1..4).unwrap();
        assert_eq!(*part, [2, 3, 4]);
        assert_eq!(part.as_ptr(), whole[1..].as_ptr());
        let inner = part.part(1..3).unwrap();
        assert_eq!((&*inner, inner.as_ptr()), (&[3, 4][..], whole[2..].as_ptr()));
        assert_eq!(whole.part(5..5).as_deref(), Some(&[][..]));
        for outside in [2..4, 4..4, 0..usize::MAX, usize::MAX..usize::MAX] {
            assert!(part.part(outside).is_none());
        }
    }

    #[test]
    fn equal_bytes_are_equal_wherever_they_lie() {
        let (one, other) = (Bytes::from(vec![7, 8, 9]), Bytes::from(&[8, 9, 7][..]));
        assert_eq!(one.part(1..3), other.part(0..2));
        assert_ne!(one, other);
    }
}
