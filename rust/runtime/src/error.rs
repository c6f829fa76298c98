//! The errors of the runtime, one variant for each exception of the Python package.

/// What went wrong: each text says what, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A saved program is damaged, of a newer format, or inconsistent with itself.
    #[error("{0}")]
    Artifact(String),
    /// A program uses something that this build cannot plan.
    #[error("{0}")]
    Model(String),
    /// Data for calibration does not fit the model.
    #[error("{0}")]
    Data(String),
    /// A program cannot be run with these feeds or settings.
    #[error("{0}")]
    Run(String),
}
