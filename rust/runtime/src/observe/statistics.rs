//! The accumulator: some statistics of some values.

use std::sync::Arc;

use octavo_exec::FloatMode;

use crate::error::Error;
use crate::observe::bytes::{Reader, damaged, push_text};
use crate::observe::sample::{Axes, Sample};
use crate::observe::statistic::Readings;
use crate::observe::table::{Kind, State, named};

/// What the bytes begin with, and the version of what follows.
const MAGIC: &[u8; 8] = b"OCTSTATS";
const VERSION: u32 = 1;

/// Statistics of values, by their names. Two of the same names and statistics can be merged.
pub struct Statistics {
    kinds: Vec<&'static Kind>,
    /// In order, so that it does not matter in which they were given.
    names: Arc<[String]>,
    /// Of each value in turn, each statistic in turn.
    states: Vec<Box<dyn State>>,
    /// All elements seen: no count of any state is above that, so where this one fits, all do.
    elements: u64,
}

impl Statistics {
    /// Statistics of no samples.
    pub fn new(names: Vec<String>, statistics: &[&str]) -> Result<Statistics, Error> {
        let kinds = named(statistics.iter().copied())?;
        let mut names = names;
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::data(format!("the value '{}' is named twice", pair[0])));
        }
        Ok(Statistics::of_nothing(kinds, names.into()))
    }

    fn of_nothing(kinds: Vec<&'static Kind>, names: Arc<[String]>) -> Statistics {
        let states = names.iter().flat_map(|_| &kinds).map(|kind| (kind.empty)()).collect();
        Statistics { kinds, names, states, elements: 0 }
    }

    /// Statistics of no samples, of the same names and kinds.
    pub fn like(&self) -> Statistics {
        Statistics::of_nothing(self.kinds.clone(), Arc::clone(&self.names))
    }

    /// The names of the values, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The names of the statistics, in the order of the table.
    pub fn statistics(&self) -> impl Iterator<Item = &'static str> {
        self.kinds.iter().map(|kind| kind.name)
    }

    /// Whether something is kept of a value.
    pub fn holds(&self, name: &str) -> bool {
        self.place(name).is_some()
    }

    /// Takes in one sample of a value, whose elements lie so; of one that nothing is kept of, nothing.
    pub fn see(&mut self, name: &str, values: &[f32], axes: Axes) {
        let Some(place) = self.place(name) else { return };
        let _float_mode = FloatMode::set();
        let sample = Sample::of(values, axes);
        self.elements = self.elements.saturating_add(values.len() as u64);
        let count = self.kinds.len();
        self.states[place * count..][..count].iter_mut().for_each(|state| state.see(&sample));
    }

    /// Takes in what others saw. An error where they are of other values or statistics, or too many; nothing has
    /// changed then.
    pub fn merge(&mut self, other: &Statistics) -> Result<(), Error> {
        self.check_alike(other)?;
        let Some(elements) = self.elements.checked_add(other.elements) else {
            return Err(Error::data("statistics of 2^64 elements or more cannot be kept".to_owned()));
        };
        self.elements = elements;
        let _float_mode = FloatMode::set();
        for (state, other) in self.states.iter_mut().zip(&other.states) {
            state.merge(&**other);
        }
        Ok(())
    }

    fn check_alike(&self, other: &Statistics) -> Result<(), Error> {
        let listed = |of: &Statistics| of.statistics().collect::<Vec<_>>().join(", ");
        let (ours, theirs) = (listed(self), listed(other));
        if ours != theirs {
            return Err(Error::data(format!(
                "statistics of one kind cannot be merged with those of another: [{ours}] and [{theirs}]"
            )));
        }
        let alone =
            |one: &Statistics, of: &Statistics| one.names.iter().find(|name| !of.holds(name)).cloned();
        match alone(self, other).or_else(|| alone(other, self)) {
            None => Ok(()),
            Some(name) => Err(Error::data(format!(
                "statistics of other values cannot be merged: only one of the two has the value '{name}'"
            ))),
        }
    }

    /// What a statistic of a value tells; nothing where no element was seen that it is about.
    pub fn read(&self, name: &str, statistic: &str) -> Result<Readings, Error> {
        let place = self.place(name);
        let place = place.ok_or_else(|| Error::data(format!("nothing is kept of a value '{name}'")))?;
        let kind = self.statistics().position(|kind| kind == statistic).ok_or_else(|| {
            let kept: Vec<&str> = self.statistics().collect();
            Error::data(format!("'{statistic}' is not kept; kept are: {}", kept.join(", ")))
        })?;
        let _float_mode = FloatMode::set();
        Ok(self.states[place * self.kinds.len() + kind].read())
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.names.binary_search_by(|known| known.as_str().cmp(name)).ok()
    }

    /// The whole state. Equal states have equal bytes, on every machine.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = [&MAGIC[..], &VERSION.to_le_bytes(), &self.elements.to_le_bytes()].concat();
        bytes.extend((self.kinds.len() as u32).to_le_bytes());
        self.statistics().for_each(|name| push_text(&mut bytes, name));
        bytes.extend((self.names.len() as u32).to_le_bytes());
        self.names.iter().for_each(|name| push_text(&mut bytes, name));
        self.states.iter().for_each(|state| state.to_bytes(&mut bytes));
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// The statistics of bytes that [`Statistics::to_bytes`] gave; an error where it gives none such.
    pub fn from_bytes(bytes: &[u8]) -> Result<Statistics, Error> {
        let Some(rest) = bytes.strip_prefix(MAGIC) else {
            return Err(Error::data("these bytes are not those of statistics".to_owned()));
        };
        let version = u32::from_le_bytes(Reader::new(rest, 0).array()?);
        if version != VERSION {
            return Err(Error::data(format!(
                "the statistics are of version {version}, and this octavo reads version {VERSION}: use the octavo that \
                 wrote them"
            )));
        }
        let (rest, checksum) = bytes.split_last_chunk().ok_or_else(|| damaged("they end too early"))?;
        if crc32fast::hash(rest) != u32::from_le_bytes(*checksum) {
            return Err(damaged("their checksum is that of other bytes"));
        }
        let _float_mode = FloatMode::set();
        body(rest.get(MAGIC.len() + 4..).unwrap_or_default())
    }
}

/// What stands between the version and the checksum. Nobody vouches for it: whoever can change the bytes can write the
/// checksum as well.
fn body(bytes: &[u8]) -> Result<Statistics, Error> {
    let elements = u64::from_le_bytes(Reader::new(bytes, 0).array()?);
    let mut bytes = Reader::new(&bytes[8..], elements);
    let statistics = texts(&mut bytes)?;
    let kinds = named(statistics.iter().copied())?;
    if !kinds.iter().map(|kind| kind.name).eq(statistics) {
        return Err(damaged("the statistics are out of order"));
    }
    let names = texts(&mut bytes)?;
    if !names.is_sorted_by(|one, next| one < next) {
        return Err(damaged("the values are out of order"));
    }
    let mut states = Vec::new();
    for _ in &names {
        for kind in &kinds {
            states.push((kind.from_bytes)(&mut bytes)?);
        }
    }
    bytes.end()?;
    let names = names.into_iter().map(str::to_owned).collect();
    Ok(Statistics { kinds, names, states, elements })
}

/// A list of texts, its length before it.
fn texts<'b>(bytes: &mut Reader<'b>) -> Result<Vec<&'b str>, Error> {
    let count = bytes.length()?;
    let mut texts = Vec::new();
    for _ in 0..count {
        texts.push(bytes.text()?);
    }
    Ok(texts)
}

impl Clone for Statistics {
    fn clone(&self) -> Statistics {
        Statistics {
            kinds: self.kinds.clone(),
            names: Arc::clone(&self.names),
            states: self.states.iter().map(|state| state.copy()).collect(),
            elements: self.elements,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::sample::Axis;
    use crate::observe::statistic::Reading;
    use crate::observe::table;

    /// Two channels, runs of one element.
    const AXES: Axes = Axes { channels: Some(Axis { run: 1, length: 2 }), features: None };

    fn all(names: &[&str]) -> Statistics {
        let kinds: Vec<&str> = table::names().collect();
        Statistics::new(names.iter().map(|&name| name.to_owned()).collect(), &kinds).unwrap()
    }

    fn refused(result: Result<impl Sized, Error>) -> String {
        result.err().expect("an error").to_string()
    }

    /// The bytes with a checksum that fits.
    fn forged(bytes: &[u8]) -> Vec<u8> {
        [bytes, &crc32fast::hash(bytes).to_le_bytes()].concat()
    }

    fn filled() -> Statistics {
        let mut statistics = all(&["y", "größe"]);
        statistics.see("y", &[1.0, -2.5, f32::NAN, 0.0, -1e-45], AXES);
        statistics.see("größe", &[f32::INFINITY, f32::MAX], AXES);
        statistics.see("nobody", &[1.0], AXES);
        statistics.see("y", &[], AXES);
        statistics
    }

    #[test]
    fn the_samples_decide_and_no_order() {
        let samples: [(&str, &[f32]); 5] = [
            ("x", &[1e30, -1e30, 3.0]),
            ("y", &[f32::NAN, -0.0]),
            ("x", &[1e-30, -1e-38]),
            ("x", &[0.0, f32::NEG_INFINITY]),
            ("y", &[-7.5; 40]),
        ];
        let mut whole = all(&["x", "y"]);
        samples.iter().for_each(|(name, values)| whole.see(name, values, AXES));
        for first in 0..samples.len() {
            for split in 0..=samples.len() {
                let mut parts = [all(&["y", "x"]), whole.like()];
                for at in 0..samples.len() {
                    let (name, values) = samples[(first + 2 * at) % samples.len()];
                    parts[usize::from(at >= split)].see(name, values, AXES);
                }
                let [mut one, mut other] = parts;
                one.merge(&other).unwrap();
                assert_eq!(one.to_bytes(), whole.to_bytes());
                other.merge(&all(&["x", "y"])).unwrap();
                assert_eq!(Statistics::from_bytes(&other.to_bytes()).unwrap().to_bytes(), other.to_bytes());
            }
        }
        assert_ne!(whole.to_bytes(), whole.like().to_bytes());
        assert_eq!(whole.clone().to_bytes(), whole.to_bytes());
    }

    #[test]
    fn others_are_not_merged() {
        let mut ours = filled();
        let before = ours.to_bytes();
        let text = refused(ours.merge(&all(&["y", "größe", "z"])));
        assert!(text.ends_with("has the value 'z'"), "{text}");
        assert!(refused(ours.merge(&all(&["größe"]))).ends_with("has the value 'y'"));
        let fewer = Statistics::new(vec!["y".to_owned(), "größe".to_owned()], &["extremes"]).unwrap();
        assert!(refused(ours.merge(&fewer)).contains("and [extremes]"));
        let mut many = ours.like();
        many.elements = u64::MAX - 6;
        assert!(refused(ours.merge(&many)).contains("2^64"));
        assert_eq!(ours.to_bytes(), before);
        many.elements -= 1;
        ours.merge(&many).unwrap();
    }

    #[test]
    fn what_is_asked_for_must_be_there() {
        let names = vec!["x".to_owned(), "y".to_owned(), "x".to_owned()];
        assert!(refused(Statistics::new(names, &[])).contains("'x' is named twice"));
        let text = refused(Statistics::new(Vec::new(), &["extremes", "entropy"]));
        assert!(text.contains("'entropy'; there are counts, extremes"), "{text}");
        let some = Statistics::new(vec!["x".to_owned()], &["extremes", "counts", "extremes"]).unwrap();
        assert_eq!(some.statistics().collect::<Vec<_>>(), ["counts", "extremes"]);
        assert!(refused(some.read("z", "counts")).contains("'z'"));
        assert!(refused(some.read("x", "sample_extremes")).contains("kept are: counts, extremes"));
        assert_eq!(some.read("x", "extremes").unwrap(), []);
        assert_eq!(filled().read("y", "counts").unwrap()[1], ("nans", Reading::Count(1)));
    }

    #[test]
    fn damaged_bytes_are_an_error() {
        let bytes = filled().to_bytes();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x41;
            refused(Statistics::from_bytes(&damaged));
            refused(Statistics::from_bytes(&bytes[..at]));
            if at + 4 != bytes.len() {
                refused(Statistics::from_bytes(&forged(&bytes[..at])));
            }
        }
        assert!(refused(Statistics::from_bytes(&[&bytes[..], b"\0"].concat())).contains("checksum"));
        let whole = &bytes[..bytes.len() - 4];
        assert!(
            refused(Statistics::from_bytes(&forged(&[whole, b"\0"].concat()))).contains("behind their end")
        );
        let mut newer = bytes.clone();
        newer[8] = 2;
        assert!(refused(Statistics::from_bytes(&newer)).contains("version 2"));
        assert!(refused(Statistics::from_bytes(b"")).contains("not those of statistics"));
    }

    /// A checksum is no proof: whatever byte is changed, an error or a state that can be used comes of it.
    #[test]
    fn forged_bytes_are_an_error_or_a_state() {
        let bytes = filled().to_bytes();
        let body = &bytes[..bytes.len() - 4];
        for at in 0..body.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = body.to_vec();
                changed[at] = value;
                let Ok(mut state) = Statistics::from_bytes(&forged(&changed)) else { continue };
                assert_eq!(state.to_bytes(), forged(&changed), "byte {at}");
                let names = state.names().to_vec();
                names.iter().for_each(|name| state.see(name, &[3.0, f32::NAN], AXES));
                let _ = state.merge(&state.clone());
                for (name, kind) in names.iter().zip(table::names()) {
                    state.read(name, kind).unwrap();
                }
            }
        }
    }

    #[test]
    fn lists_out_of_order_and_lists_without_end_are_refused() {
        let head = |lists: &[&[&str]]| {
            let mut bytes = [&MAGIC[..], &VERSION.to_le_bytes(), &[0; 8]].concat();
            for list in lists {
                bytes.extend((list.len() as u32).to_le_bytes());
                list.iter().for_each(|text| push_text(&mut bytes, text));
            }
            bytes
        };
        let read = |bytes: &[u8]| Statistics::from_bytes(&forged(bytes));
        assert!(read(&head(&[&[], &["a", "b"]])).is_ok());
        assert!(refused(read(&head(&[&[], &["b", "a"]]))).contains("values are out of order"));
        assert!(refused(read(&head(&[&[], &["a", "a"]]))).contains("values are out of order"));
        assert!(
            refused(read(&head(&[&["extremes", "counts"], &[]]))).contains("statistics are out of order")
        );
        assert!(refused(read(&head(&[&["counts", "counts"], &[]]))).contains("statistics are out of order"));
        assert!(refused(read(&head(&[&["entropy"], &[]]))).contains("'entropy'"));
        // 2^32 - 1 texts, none of them there.
        assert!(refused(read(&[&head(&[&[]])[..], &[0xff; 4]].concat())).contains("too early"));
    }
}
