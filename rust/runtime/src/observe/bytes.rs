//! Reading states from bytes that anybody may have written.

use crate::error::Error;

/// The bytes that are left to read. Numbers are little-endian; nothing is allocated for what is only promised.
pub struct Reader<'b> {
    rest: &'b [u8],
    most: u64,
}

impl<'b> Reader<'b> {
    /// A reader of these bytes, in which no count is above `most`.
    pub fn new(rest: &'b [u8], most: u64) -> Reader<'b> {
        Reader { rest, most }
    }

    /// The next bytes, so many of them.
    pub fn bytes(&mut self, count: usize) -> Result<&'b [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| damaged("they end too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next bytes, as many as the array has.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.array::<1>()?[0])
    }

    /// A length, in 4 bytes.
    pub fn length(&mut self) -> Result<usize, Error> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    /// A count of elements or samples, in 8 bytes: no more than the statistics are of, so that no sum of counts
    /// overflows.
    pub fn count(&mut self) -> Result<u64, Error> {
        let count = u64::from_le_bytes(self.array()?);
        if count > self.most {
            return Err(damaged("a count is above the number of elements"));
        }
        Ok(count)
    }

    /// A float32.
    pub fn float(&mut self) -> Result<f32, Error> {
        Ok(f32::from_le_bytes(self.array()?))
    }

    /// A text: its length in 4 bytes, and that many of UTF-8.
    pub fn text(&mut self) -> Result<&'b str, Error> {
        let length = self.length()?;
        std::str::from_utf8(self.bytes(length)?).map_err(|_| damaged("a name is not UTF-8"))
    }

    /// Nothing may be left.
    pub fn end(&self) -> Result<(), Error> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(damaged("they go on behind their end"))
    }
}

/// Appends a text as [`Reader::text`] reads it.
pub fn push_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// The error for bytes that no accumulator gave.
pub fn damaged(what: &str) -> Error {
    Error::data(format!("the bytes of the statistics are damaged: {what}; collect the statistics again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_promised_must_be_there() {
        let mut bytes = Vec::new();
        push_text(&mut bytes, "größe");
        bytes.extend([7]);
        let mut reader = Reader::new(&bytes, 0);
        assert_eq!(reader.text().unwrap(), "größe");
        assert!(reader.end().unwrap_err().to_string().contains("behind their end"));
        assert_eq!(reader.byte().unwrap(), 7);
        reader.end().unwrap();
        assert!(reader.byte().unwrap_err().to_string().contains("too early"));
        // A length of 4 GiB, and nothing behind it.
        assert!(Reader::new(&[0xff; 4], 0).text().unwrap_err().to_string().contains("too early"));
        assert!(Reader::new(&[1, 0, 0, 0, 0xff], 0).text().unwrap_err().to_string().contains("UTF-8"));
    }

    #[test]
    fn counts_are_bounded() {
        let bytes = 7u64.to_le_bytes();
        assert_eq!(Reader::new(&bytes, 7).count().unwrap(), 7);
        assert!(Reader::new(&bytes, 6).count().unwrap_err().to_string().contains("above"));
    }
}
