//! The errors of the runtime, one variant for each exception of the Python package.

/// What went wrong: each text says what, where, and what to do about it.
///
/// Shown, it is one line: names from files and callers may hold anything, so control characters are escaped, and words
/// and texts that nobody would read to the end are cut in the middle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A saved program is damaged, of a newer format, or inconsistent with itself.
    #[error("{}", line(.0))]
    Artifact(String),
    /// A program uses something that this build cannot plan.
    #[error("{}", line(.0))]
    Model(String),
    /// Data for calibration does not fit the model.
    #[error("{}", line(.0))]
    Data(String),
    /// A program cannot be run with these feeds or settings.
    #[error("{}", line(.0))]
    Run(String),
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
        let errors = [Error::Artifact, Error::Model, Error::Data, Error::Run].map(|of| of(text.to_owned()));
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
}
