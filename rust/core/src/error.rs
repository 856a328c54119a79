//! The one error type of the crate.

use std::fmt;

/// One step on the way to the value that was refused, outermost first: `data`, row 3, column `cpu`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A field of an object, a column.
    Key(String),
    /// A position in an array, a row.
    Index(u64),
}

/// Why a call was refused. Nothing has changed when one comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Bytes that are not JSON (or JSON that is too deep, or not UTF-8).
    Json {
        /// What was wrong and where.
        message: String,
    },
    /// A value, a row or an argument that is not allowed; `at` says which.
    Invalid {
        /// What was given, what is allowed, what to do.
        message: String,
        /// Where the value stands: row and column, or the argument's name.
        at: Vec<Step>,
    },
    /// The call contradicts what exists: a name taken twice.
    Conflict {
        /// What contradicts what, and what to do.
        message: String,
    },
    /// The answer or the buffer would be larger than a limit.
    TooLarge {
        /// The limit, what was asked for, and what to do.
        message: String,
    },
    /// A second writer came while one was at work.
    WriterBusy,
}

/// A number with its noun, which takes an s unless there is one.
#[must_use]
pub fn counted(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

/// A text, or the first `most` characters of it, for messages.
#[must_use]
pub fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// What every fallible function of the crate returns.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An [`Error::Invalid`] without a place.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), at: Vec::new() }
    }

    /// An [`Error::Invalid`] about one row: `row` counts from 0 within the call's rows.
    pub fn row(row: u64, message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), at: vec![Step::Index(row)] }
    }

    /// An [`Error::Invalid`] about one cell: `row` counts from 0 within the call's rows.
    pub fn cell(row: u64, column: &str, message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), at: vec![Step::Index(row), Step::Key(column.to_owned())] }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json { message }
            | Self::Invalid { message, .. }
            | Self::Conflict { message }
            | Self::TooLarge { message } => f.write_str(message),
            Self::WriterBusy => f.write_str(
                "Another thread is appending to this buffer. A buffer has one writer at a time: append from one thread, or take a lock around append.",
            ),
        }
    }
}

impl std::error::Error for Error {}
