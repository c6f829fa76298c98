//! Dictionary encoding: elements of few different values as these values, and for each element the index of its own.

/// The most values that there are indices for.
pub const MOST: usize = 1024;

/// Places of the hash table, a power of two: so many more than values that few of these share one.
const SLOTS: usize = 8192;

/// What stands for elements: the values in the order in which they come first, and an index an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The different values.
    pub values: Vec<u32>,
    /// Where each element's is among them.
    pub indices: Indices,
}

/// Indices in the smallest type that is enough for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Indices {
    /// Of at most 256 values.
    U8(Vec<u8>),
    /// Of at most `MOST`.
    U16(Vec<u16>),
}

/// The elements encoded; None where they have more than [`MOST`] values, or where that would take no less memory.
///
/// As soon as there are too many values, the rest is not looked at.
pub fn encode(elements: &[u32]) -> Option<Encoded> {
    let (values, indices, width) = match indexed::<u8, 256>(elements) {
        Some((values, indices)) => (values, Indices::U8(indices), size_of::<u8>()),
        None => {
            let (values, indices) = indexed::<u16, MOST>(elements)?;
            (values, Indices::U16(indices), size_of::<u16>())
        }
    };
    let bytes = size_of_val(values.as_slice()) + width * elements.len();
    (bytes < size_of_val(elements)).then_some(Encoded { values, indices })
}

/// The elements that these values and indices stand for. Panics where an index is beyond the values.
pub fn decode<I: Copy + Into<usize>>(values: &[u32], indices: &[I]) -> Vec<u32> {
    indices.iter().map(|&index| values[index.into()]).collect()
}

/// A place of the hash table: a value and its index, or nothing.
#[derive(Clone, Copy)]
struct Slot<I> {
    value: u32,
    index: Option<I>,
}

/// Values and indices of elements that have at most `MOST` values. In the hash table, a value lies in the first free place from
/// its hash on.
fn indexed<I: Copy + TryFrom<usize>, const MOST: usize>(elements: &[u32]) -> Option<(Vec<u32>, Vec<I>)> {
    const { assert!(SLOTS.is_power_of_two() && SLOTS > MOST) };
    let mut slots = [Slot { value: 0, index: None }; SLOTS];
    let mut values = Vec::with_capacity(MOST);
    let mut indices = Vec::with_capacity(elements.len());
    for &value in elements {
        let mut place = hash(value);
        let index = loop {
            match slots[place % SLOTS] {
                Slot { value: there, index: Some(index) } if there == value => break index,
                Slot { index: Some(_), .. } => place += 1,
                Slot { index: None, .. } => {
                    if values.len() == MOST {
                        return None;
                    }
                    let index = I::try_from(values.len()).ok()?;
                    slots[place % SLOTS] = Slot { value, index: Some(index) };
                    values.push(value);
                    break index;
                }
            }
        };
        indices.push(index);
    }
    values.shrink_to_fit();
    Some((values, indices))
}

/// A value times the golden ratio's fraction of 2^32, of which the highest bits depend on all of the value's (Knuth, "The Art of
/// Computer Programming", volume 3, section 6.4).
fn hash(value: u32) -> usize {
    (value.wrapping_mul(0x9E37_79B1) >> (32 - SLOTS.trailing_zeros())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many values, in which every element after the first of each comes again.
    fn of_values(count: usize, elements: usize) -> Vec<u32> {
        (0..elements).map(|i| ((i * 7 % count) as f32 / 127.5 - 1.0).to_bits()).collect()
    }

    fn decoded(of: &Encoded) -> Vec<u32> {
        match &of.indices {
            Indices::U8(indices) => decode(&of.values, indices),
            Indices::U16(indices) => decode(&of.values, indices),
        }
    }

    #[test]
    fn elements_come_back_and_indices_are_as_small_as_can_be() {
        for count in [1, 2, 255, 256, 257, 768, 1023, 1024] {
            let elements = of_values(count, 10_000);
            let found = encode(&elements).expect("few values");
            assert_eq!(found.values.len(), count);
            assert_eq!(matches!(found.indices, Indices::U8(_)), count <= 256, "{count} values");
            assert_eq!(decoded(&found), elements, "{count} values");
        }
        assert_eq!(encode(&of_values(1025, 10_000)), None);
        let mut late = of_values(1024, 10_000);
        late.push(u32::MAX);
        assert_eq!(encode(&late), None);
    }

    #[test]
    fn every_pattern_of_bits_is_a_value() {
        let patterns = [f32::NAN, -f32::NAN, 0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(1)];
        let mut patterns: Vec<u32> = patterns.iter().map(|x| x.to_bits()).collect();
        patterns.extend([0x7F80_0001, 0xFFC0_1234, u32::MAX]);
        let elements = patterns.repeat(9);
        let found = encode(&elements).expect("few values");
        assert_eq!((&found.values, decoded(&found)), (&patterns, elements));
    }

    /// Where many values have one hash, each is still found, round the table's end too.
    #[test]
    fn values_of_one_hash_are_told_apart() {
        let last = (0u32..).filter(|&value| hash(value) == SLOTS - 1);
        let elements: Vec<u32> = last.take(200).collect::<Vec<_>>().repeat(3);
        let found = encode(&elements).expect("few values");
        assert_eq!((found.values.len(), decoded(&found)), (200, elements));
    }

    #[test]
    fn what_would_be_no_smaller_stays() {
        assert_eq!(encode(&[]), None);
        assert_eq!(encode(&[7]), None);
        assert_eq!(encode(&[1, 2, 3]), None);
        assert!(encode(&[1, 1, 1]).is_some());
        assert_eq!(encode(&of_values(600, 1200)), None);
        assert!(encode(&of_values(600, 1201)).is_some());
    }

    #[test]
    #[should_panic(expected = "out of bounds")]
    fn indices_are_checked() {
        decode(&[1, 2], &[2u8]);
    }
}
