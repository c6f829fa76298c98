//! The errors of the runtime: one kind for each exception of the Python package.

/// What went wrong: the text says what, where, and what to do about it.
///
/// Shown, it is one line: names from files and callers may hold anything, so control characters are escaped, and words
/// and texts that nobody would read to the end are cut in the middle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", line(&.0.text))]
pub struct Error(Box<Parts>);

/// Boxed, so that results stay small.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    kind: ErrorKind,
    text: String,
    node: Option<String>,
    operands: Vec<Operand>,
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A saved program is damaged, of a newer format, or inconsistent with itself.
    Artifact,
    /// A program uses something that this build cannot plan.
    Model,
    /// Data, or statistics of them, do not fit the model.
    Data,
    /// A program cannot be run with these feeds or settings.
    Run,
}

/// What a node was given, where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operand {
    /// The name of the value; empty where an optional input was left out.
    pub name: String,
    /// The type of its elements, as an artifact names it.
    pub dtype: &'static str,
    /// The length of each axis.
    pub shape: Vec<usize>,
}

macro_rules! constructors {
    ($($name:ident: $kind:ident;)*) => { $(
        #[doc = concat!("An error of the kind [`ErrorKind::", stringify!($kind), "`].")]
        pub fn $name(text: impl Into<String>) -> Error {
            let parts = Parts { kind: ErrorKind::$kind, text: text.into(), node: None, operands: Vec::new() };
            Error(Box::new(parts))
        }
    )* };
}

impl Error {
    constructors! {
        artifact: Artifact;
        model: Model;
        data: Data;
        run: Run;
    }

    /// The same, of this node and what it was given. An error that is of a node already stays of that one.
    pub fn of_node(mut self, name: &str, operands: impl FnOnce() -> Vec<Operand>) -> Error {
        if self.0.node.is_none() {
            self.0.node = Some(name.to_owned());
            self.0.operands = operands();
        }
        self
    }

    /// Whose fault it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The text as it was made, of any length; shown, it is shortened.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The name of the node that failed, where one did.
    pub fn node(&self) -> Option<&str> {
        self.0.node.as_deref()
    }

    /// What that node was given, as far as it was known: dtypes and shapes of its inputs.
    pub fn operands(&self) -> &[Operand] {
        &self.0.operands
    }
}

/// Most characters of a word; `octavo.errors` has the same two bounds.
const MOST_OF_A_WORD: usize = 200;
/// Most characters of a line.
const MOST_OF_A_LINE: usize = 2000;

/// A text on one line of bounded length, every character to be seen.
fn line(text: &str) -> String {
    let mut line = String::new();
    for (index, word) in text.split(' ').enumerate() {
        if index > 0 {
            line.push(' ');
        }
        line.push_str(&shortened(&visible(word), MOST_OF_A_WORD));
    }
    shortened(&line, MOST_OF_A_LINE)
}

/// A text whose control characters and the like are escaped; quotes and backslashes stay.
fn visible(text: &str) -> String {
    let is_kept = |c: char| matches!(c, '\'' | '"' | '\\');
    let mut visible = String::with_capacity(text.len());
    for piece in text.split_inclusive(is_kept) {
        let plain = piece.trim_end_matches(is_kept);
        visible.extend(plain.escape_debug());
        visible.push_str(&piece[plain.len()..]);
    }
    visible
}

/// A text of at most so many characters: of a longer one, both ends.
fn shortened(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let head = most / 2;
    let tail = most - 1 - head;
    let end: String = text.chars().skip(count - tail).collect();
    text.chars().take(head).chain(['…']).chain(end.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let errors = [Error::artifact(text), Error::model(text), Error::data(text), Error::run(text)];
        let lines = errors.map(|error| error.to_string());
        assert!(lines.iter().all(|line| *line == lines[0]));
        lines[0].clone()
    }

    #[test]
    fn plain_texts_stay_as_they_are() {
        for text in ["", "a  b", r#"the Conv node "a\\b": input 'größe' of shape [1, 2]"#, "…", "'\"\\\\"]
        {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            shown("node 'a\nb\r\u{1b}[31m\0': \t\u{202e}\u{2028}'x\u{7f}'"),
            r"node 'a\nb\r\u{1b}[31m\0': \t\u{202e}\u{2028}'x\u{7f}'"
        );
    }

    #[test]
    fn long_names_are_cut_and_what_is_said_of_them_stays() {
        let name = "ä".repeat(1_000_000);
        let shown_name = shown(&format!("input '{name}' is missing: feed it"));
        let (start, end) = (format!("input '{}", "ä".repeat(99)), "ä' is missing: feed it");
        assert!(shown_name.starts_with(&start) && shown_name.ends_with(end), "{shown_name}");
        assert_eq!(shown_name.chars().count(), "input  is missing: feed it".len() + MOST_OF_A_WORD);
        assert_eq!(shown(&"w".repeat(MOST_OF_A_WORD)), "w".repeat(MOST_OF_A_WORD));
        assert_eq!(shown(&"\n".repeat(MOST_OF_A_WORD)).chars().count(), MOST_OF_A_WORD);

        let list = shown(&format!("'{}' is no input", "a b ".repeat(1_000_000)));
        assert!(list.starts_with("'a b a b") && list.ends_with("a b ' is no input"));
        assert_eq!(list.chars().count(), MOST_OF_A_LINE);
    }

    #[test]
    fn the_innermost_node_is_told() {
        let operand = |name: &str| Operand { name: name.to_owned(), dtype: "f32", shape: vec![1, 2] };
        let plain = Error::run("what");
        assert_eq!((plain.node(), plain.operands()), (None, [].as_slice()));
        let inner = plain.of_node("inner", || vec![operand("x")]);
        let outer = inner.clone().of_node("outer", || panic!("not asked for"));
        assert_eq!(inner, outer);
        assert_eq!((outer.kind(), outer.text(), outer.node()), (ErrorKind::Run, "what", Some("inner")));
        assert_eq!(outer.operands(), [operand("x")]);
    }
}
