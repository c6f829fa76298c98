//! How many elements lie where: counts by the upper half of float32's bits.
//!
//! Sign, exponent and 7 bits of the fraction name a bin, which reaches from the float32 whose lower bits are 0 to the
//! next such one, away from zero; so no range need be known beforehand, and a bin is at most 1/128 of its distance from
//! zero wide.

use crate::error::Error;
use crate::observe::bytes::{Reader, damaged};
use crate::observe::sample::Sample;
use crate::observe::statistic::{Reading, Readings, Statistic};

/// Bins of a page, which have their upper 8 bits in common. A page is made when its first element comes.
const BINS: usize = 256;
const PAGES: usize = 256;
type Page = [u64; BINS];

/// Neighbours whose counts are kept apart: many have the same bits, as 0 behind a Relu, and one addition would wait for the
/// one before it.
const APART: usize = 4;
/// Rows of such neighbours from which on that is worth its memory, and what 32 bits count.
const ROWS: usize = 1024;
const MOST: usize = u32::MAX as usize;

const EXPONENT: u32 = 0x7f80_0000;
const NEGATIVE_ZERO: u32 = 0x8000_0000;

/// The finite elements of all samples by their bins. -0 counts as 0.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// None, or `PAGES` of them, each where its first 8 bits say.
    pages: Vec<Option<Box<Page>>>,
}

impl Histogram {
    fn page(&mut self, at: usize) -> &mut Page {
        if self.pages.is_empty() {
            self.pages.resize(PAGES, None);
        }
        self.pages[at].get_or_insert_with(|| Box::new([0; BINS]))
    }

    fn count(&mut self, x: f32) {
        let bin = bin(x);
        if !is_finite(bin) {
            return;
        }
        match self.pages.get_mut(bin / BINS) {
            Some(Some(page)) => page[bin % BINS] += 1,
            _ => self.page(bin / BINS)[bin % BINS] += 1,
        }
    }

    /// Many elements: each is counted by its bits alone, and what is not finite is left out in the end.
    fn count_rows(&mut self, rows: &[[f32; APART]]) {
        let mut counts = vec![[0u32; APART]; PAGES * BINS];
        let mut is_touched = [false; PAGES];
        for row in rows {
            for lane in 0..APART {
                let bin = bin(row[lane]);
                counts[bin][lane] += 1;
                is_touched[bin / BINS] = true;
            }
        }
        for at in (0..PAGES).filter(|&at| is_touched[at]) {
            let first = at * BINS;
            for (bin, counts) in counts[first..][..BINS].iter().enumerate() {
                let count: u64 = counts.iter().map(|&count| u64::from(count)).sum();
                if count > 0 && is_finite(first + bin) {
                    self.page(at)[bin] += count;
                }
            }
        }
    }

    /// The pages that there are, with their upper 8 bits.
    fn pages(&self) -> impl DoubleEndedIterator<Item = (usize, &Page)> {
        self.pages.iter().enumerate().filter_map(|(at, page)| Some((at, &**page.as_ref()?)))
    }

    /// The bins that are not empty, by the numbers that their bits are, with their counts.
    fn bins(&self) -> impl DoubleEndedIterator<Item = (u32, u64)> {
        let of = |(at, page): (usize, &Page)| {
            let bins = page.iter().enumerate().filter(|(_, count)| **count > 0);
            let bins = bins.map(|(bin, &count)| ((at * BINS + bin) as u32, count));
            bins.collect::<Vec<_>>()
        };
        self.pages().flat_map(of)
    }
}

impl Statistic for Histogram {
    const NAME: &'static str = "histogram";

    fn see(&mut self, sample: &Sample<'_>) {
        let (rows, rest) = sample.values().as_chunks::<APART>();
        if rows.len() >= ROWS {
            rows.chunks(MOST).for_each(|rows| self.count_rows(rows));
        } else {
            rows.as_flattened().iter().for_each(|&x| self.count(x));
        }
        rest.iter().for_each(|&x| self.count(x));
    }

    fn merge(&mut self, other: &Histogram) {
        for (at, page) in other.pages() {
            for (ours, theirs) in self.page(at).iter_mut().zip(page) {
                *ours += theirs;
            }
        }
    }

    fn to_bytes(&self, bytes: &mut Vec<u8>) {
        bytes.extend((self.pages().count() as u32).to_le_bytes());
        for (at, page) in self.pages() {
            bytes.push(at as u8);
            page.iter().for_each(|count| bytes.extend(count.to_le_bytes()));
        }
    }

    fn from_bytes(bytes: &mut Reader<'_>) -> Result<Histogram, Error> {
        let mut histogram = Histogram::default();
        let mut next = 0;
        for _ in 0..bytes.length()? {
            let at = usize::from(bytes.byte()?);
            let mut page = [0; BINS];
            for count in &mut page {
                *count = bytes.count()?;
            }
            let is_page = page.iter().any(|&count| count > 0)
                && page.iter().enumerate().all(|(bin, &count)| count == 0 || is_finite(at * BINS + bin));
            if at < next || !is_page {
                return Err(damaged("pages of a histogram that no elements make"));
            }
            next = at + 1;
            *histogram.page(at) = page;
        }
        Ok(histogram)
    }

    /// The bins that are not empty, in the order of the reals: the ends of each, and its count.
    fn read(&self) -> Readings {
        let is_negative = |&(bin, _): &(u32, u64)| bin << 16 & NEGATIVE_ZERO != 0;
        let (mut low, mut high, mut count) = (Vec::new(), Vec::new(), Vec::new());
        for (bin, found) in self.bins().filter(is_negative).collect::<Vec<_>>().into_iter().rev() {
            low.push(-edge((bin & 0x7fff) + 1));
            high.push(-edge(bin & 0x7fff));
            count.push(found);
        }
        for (bin, found) in self.bins().filter(|bin| !is_negative(bin)) {
            low.push(edge(bin));
            high.push(edge(bin + 1));
            count.push(found);
        }
        if count.is_empty() {
            return Vec::new();
        }
        vec![("low", Reading::Reals(low)), ("high", Reading::Reals(high)), ("count", Reading::Counts(count))]
    }
}

/// The bin of an element: its upper half.
fn bin(x: f32) -> usize {
    let bits = x.to_bits();
    (if bits == NEGATIVE_ZERO { 0 } else { bits >> 16 }) as usize
}

/// Whether finite elements have these upper halves.
fn is_finite(bin: usize) -> bool {
    (bin as u32) << 16 & EXPONENT != EXPONENT
}

/// Where a bin of positive numbers begins. Behind the last one is 2^128, which only float64 has.
fn edge(bin: u32) -> f64 {
    match bin << 16 {
        EXPONENT => 2f64.powi(128),
        bits => f64::from(f32::from_bits(bits)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(samples: &[&[f32]]) -> Histogram {
        let mut state = Histogram::default();
        samples.iter().for_each(|values| state.see(&Sample::new(values)));
        state
    }

    fn bytes(state: &Histogram) -> Vec<u8> {
        let mut bytes = Vec::new();
        state.to_bytes(&mut bytes);
        bytes
    }

    fn told(state: &Histogram) -> Vec<(f64, f64, u64)> {
        match &state.read()[..] {
            [] => Vec::new(),
            [
                ("low", Reading::Reals(low)),
                ("high", Reading::Reals(high)),
                ("count", Reading::Counts(count)),
            ] => (0..count.len()).map(|i| (low[i], high[i], count[i])).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bins_begin_where_the_lower_bits_are_0() {
        let step = 1.0 / 128.0;
        let below_one = f32::from_bits(1f32.to_bits() - 1);
        let state = seen(&[&[1.0, 1.007, -1.0, below_one, f32::NAN], &[1.0078125, -1.5, f32::INFINITY]]);
        let wanted = [
            (-1.5 - step, -1.5, 1),
            (-1.0 - step, -1.0, 1),
            (1.0 - step / 2.0, 1.0, 1),
            (1.0, 1.0 + step, 2),
            (1.0 + step, 1.0 + 2.0 * step, 1),
        ];
        assert_eq!(told(&state), wanted);
        assert!(told(&seen(&[&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY], &[]])).is_empty());
    }

    #[test]
    fn zeros_subnormals_and_the_greatest() {
        let tiny = 2f64.powi(-133);
        let state = seen(&[&[0.0, -0.0, 1e-45, -1e-45, f32::MAX, f32::MIN]]);
        let last = f64::from(f32::from_bits(0x7f7f_0000));
        let wanted =
            [(-(2f64.powi(128)), -last, 1), (-tiny, 0.0, 1), (0.0, tiny, 3), (last, 2f64.powi(128), 1)];
        assert_eq!(told(&state), wanted);
        assert_eq!(bytes(&seen(&[&[-0.0]])), bytes(&seen(&[&[0.0]])));
    }

    #[test]
    fn pages_are_made_on_first_use_and_merged() {
        let mut one = seen(&[&[1.0, 100.0, 1.0]]);
        assert_eq!(one.pages().count(), 2);
        one.merge(&seen(&[&[-2.0, 1.0], &[1.5]]));
        one.merge(&Histogram::default());
        assert_eq!(bytes(&one), bytes(&seen(&[&[1.5, 1.0, 1.0, 1.0], &[100.0, -2.0]])));
        assert_eq!(one.pages().map(|(at, _)| at).collect::<Vec<_>>(), [0x3f, 0x42, 0xc0]);
        assert_eq!(bytes(&one).len(), 4 + 3 * 2049);
    }

    #[test]
    fn bytes_of_impossible_pages_are_refused() {
        let read = |bytes: &[u8]| Histogram::from_bytes(&mut Reader::new(bytes, 9));
        let whole = bytes(&seen(&[&[1.0, 100.0, f32::MAX]]));
        assert_eq!(bytes(&read(&whole).unwrap()), whole);
        assert!(read(&bytes(&Histogram::default())).unwrap().read().is_empty());
        let refused = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut changed = whole.clone();
            change(&mut changed);
            assert!(read(&changed).is_err());
        };
        refused(&|bytes| bytes[4] = 0x42); // the page that comes next as well
        refused(&|bytes| bytes[4] = 0x43);
        refused(&|bytes| bytes[5..2053].fill(0));
        refused(&|bytes| bytes[5 + 7] = 1); // more than there are elements
        refused(&|bytes| bytes[5 + 2 * 2049 + 8 * 128] = 1); // infinity
        refused(&|bytes| bytes[5 + 2 * 2049 + 8 * 255] = 1); // NaN
        refused(&|bytes| bytes[..4].fill(0xff));
        refused(&|bytes| bytes.truncate(900));
    }

    /// Many elements are counted together; whatever their bits, each counts as it does alone.
    #[test]
    fn many_are_counted_as_few_are() {
        let length = APART * ROWS + 3;
        let values: Vec<f32> =
            (0..length as u32).map(|i| f32::from_bits(i.wrapping_mul(0x9e37_79b9) & 0xffff_8001)).collect();
        let special =
            [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1e-45, 1e-45, f32::MAX, f32::MIN];
        let values: Vec<f32> = special.into_iter().chain(values).collect();
        let mut alone = Histogram::default();
        values.iter().for_each(|&x| alone.count(x));
        assert_eq!(seen(&[&values]).read(), alone.read());
        let finite = values.iter().filter(|x| x.is_finite()).count() as u64;
        assert_eq!(alone.bins().map(|(_, count)| count).sum::<u64>(), finite);
        assert!(finite < values.len() as u64);
    }
}
