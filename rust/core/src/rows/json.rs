//! JSON in: one pass over a body, rows into columns and everything else handed on as bytes.
//!
//! Two kinds of refusal. What is not JSON is refused at once, wherever it stands. What is JSON but not a row
//! is kept until the rows are asked for, because other rules of the request come first.

use std::collections::HashMap;
use std::ops::Range;

use jiter::{Jiter, JiterError, LinePosition, Peek};

use super::json_fast::{self, Fast};
use super::{Builder, Cell, Mode, Refusal, Rows, Wanted, write_json};
use crate::error::{Error, Result, Step};

/// The most levels of arrays and objects in each other.
pub const MAX_DEPTH: usize = 64;

/// Below 2**53 float64 holds every integer.
const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;

/// What stands under the key of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The key is not there.
    Absent,
    /// `null`.
    Null,
    /// One object.
    Mapping,
    /// An array whose first element is an object.
    Mappings,
    /// An array whose first element is an array.
    Lists,
    /// `[]`.
    Empty,
    /// Anything else.
    Other,
}

impl Form {
    /// As the Python side calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Null => "null",
            Self::Mapping => "mapping",
            Self::Mappings => "mappings",
            Self::Lists => "lists",
            Self::Empty => "empty",
            Self::Other => "other",
        }
    }
}

/// A request body, read once.
pub struct Body {
    envelope: Vec<u8>,
    key: Option<String>,
    form: Form,
    rows: Result<Builder>,
}

impl Body {
    /// The object without its rows, as JSON; of a key that came twice the last.
    #[must_use]
    pub fn envelope(&self) -> &[u8] {
        &self.envelope
    }

    /// What stands under the key of the rows.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// The rows, of the columns that are `wanted`.
    ///
    /// # Errors
    /// The first cell or row that is not allowed, as key, row, column; or that there are no rows.
    pub fn into_rows(self, wanted: &Wanted) -> Result<Rows> {
        let key = self.key.unwrap_or_default();
        let rows = match self.form {
            Form::Absent | Form::Null => Err(Error::invalid(format!(
                "'{key}' is missing. Send an object, an array of objects or an array of arrays."
            ))),
            _ => self.rows,
        };
        rows.and_then(|builder| builder.finish(wanted)).map_err(|error| under(&key, error))
    }
}

fn under(key: &str, error: Error) -> Error {
    match error {
        Error::Invalid { message, mut at } => {
            at.insert(0, Step::Key(key.to_owned()));
            Error::Invalid { message, at }
        }
        other => other,
    }
}

/// Reads a body whose rows stand under `key` (`None`: it has no rows).
///
/// # Errors
/// [`Error::Json`] if it is not UTF-8 or not JSON, or deeper than [`MAX_DEPTH`]; [`Error::Invalid`] if it is
/// not an object. What is wrong with the rows themselves comes from [`Body::into_rows`].
pub fn read_body(body: &[u8], key: Option<&str>, mode: Mode) -> Result<Body> {
    fast_or_plain(|fast| read_body_with(body, key, mode, fast))
}

/// The short way through rows loses count of where it is, which only an error asks for.
fn fast_or_plain<T>(read: impl Fn(bool) -> Result<T>) -> Result<T> {
    read(true).or_else(|_| read(false))
}

pub(super) fn read_body_with(body: &[u8], key: Option<&str>, mode: Mode, fast: bool) -> Result<Body> {
    let mut reader = Reader::new(body, fast)?;
    let peek = reader.peek()?;
    if peek != Peek::Object {
        reader.skip(peek, 1)?;
        reader.finish()?;
        return Err(Error::invalid("The body is JSON but not an object. Send an object, {...}."));
    }
    let mut read = Body {
        envelope: Vec::new(),
        key: key.map(str::to_owned),
        form: Form::Absent,
        rows: Ok(Builder::new(mode)),
    };
    let mut members = Members::default();
    let mut next = reader.first_key()?;
    while let Some(name) = next {
        let peek = reader.peek()?;
        if key == Some(name.as_str()) {
            (read.form, read.rows) = reader.rows_or_refusal(peek, mode)?;
        } else {
            let start = reader.index();
            reader.skip(peek, 2)?;
            members.insert(name, start..reader.index());
        }
        next = reader.next_key()?;
    }
    reader.finish()?;
    read.envelope = members.write(body);
    Ok(read)
}

/// Reads rows on their own, of the columns that are `wanted`: one object, an array of objects or of arrays, or
/// objects on a line each.
///
/// # Errors
/// [`Error::Json`] if it is not JSON, [`Error::Invalid`] for the first cell or row that is not allowed.
pub fn read_rows(bytes: &[u8], mode: Mode, wanted: &Wanted) -> Result<Rows> {
    fast_or_plain(|fast| read_rows_with(bytes, mode, wanted, fast))
}

fn read_rows_with(bytes: &[u8], mode: Mode, wanted: &Wanted, fast: bool) -> Result<Rows> {
    let mut reader = Reader::new(bytes, fast)?;
    let mut builder = Builder::new(mode);
    let peek = reader.peek()?;
    if peek == Peek::Object {
        reader.lines(&mut builder)?;
    } else if matches!(reader.rows(peek, &mut builder)?, Form::Other | Form::Null) {
        return Err(no_rows());
    }
    reader.finish()?;
    builder.finish(wanted)
}

fn no_rows() -> Error {
    Error::invalid("JSON that is no rows. Send an object, an array of objects or an array of arrays.")
}

/// The members of the envelope in the order they came.
#[derive(Default)]
struct Members {
    entries: Vec<(String, Range<usize>)>,
    places: HashMap<String, usize>,
}

impl Members {
    fn insert(&mut self, name: String, value: Range<usize>) {
        let place = *self.places.entry(name.clone()).or_insert(self.entries.len());
        match self.entries.get_mut(place) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((name, value)),
        }
    }

    fn write(&self, body: &[u8]) -> Vec<u8> {
        let mut out = vec![b'{'];
        for (name, value) in &self.entries {
            if out.len() > 1 {
                out.push(b',');
            }
            write_json::string(&mut out, name);
            out.push(b':');
            out.extend_from_slice(&body[value.clone()]);
        }
        out.push(b'}');
        out
    }
}

struct Reader<'j> {
    /// The body, and what is left of it.
    whole: &'j str,
    text: &'j str,
    jiter: Jiter<'j>,
    /// Where `text` starts in the body.
    offset: usize,
    /// Whether rows of plain numbers take the short way.
    fast: bool,
}

/// What to do about JSON that cannot go on with `rest`. Python's `json.dumps` writes NaN and Infinity as they stand.
fn advice(rest: &[u8]) -> &'static str {
    let number = rest.strip_prefix(b"-").unwrap_or(rest);
    if [&b"NaN"[..], b"nan", b"Inf", b"inf"].iter().any(|name| number.starts_with(name)) {
        "JSON has neither NaN nor Infinity; send null for a missing value."
    } else {
        "Correct it there."
    }
}

impl<'j> Reader<'j> {
    fn new(bytes: &'j [u8], fast: bool) -> Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|error| Error::Json {
            message: format!("JSON is UTF-8, but byte {} is not. Send UTF-8.", error.valid_up_to()),
        })?;
        if text.starts_with('\u{feff}') {
            return Err(Error::Json {
                message: "The JSON starts with a byte-order mark. Send it without one.".to_owned(),
            });
        }
        Ok(Self { whole: text, text, jiter: Jiter::new(bytes), offset: 0, fast })
    }

    /// Where in the body it is.
    fn index(&self) -> usize {
        self.offset + self.jiter.current_index()
    }

    /// Leaves out the next `length` bytes.
    fn pass(&mut self, length: usize) {
        let here = self.jiter.current_index() + length;
        self.offset += here;
        self.text = &self.text[here..];
        self.jiter = Jiter::new(self.text.as_bytes());
    }

    fn json(&self, error: &JiterError) -> Error {
        let at = self.offset + error.index;
        let place = LinePosition::find(self.whole.as_bytes(), at);
        let advice = advice(self.whole.as_bytes().get(at..).unwrap_or_default());
        Error::Json { message: format!("Not valid JSON: {} at {place}. {advice}", error.error_type) }
    }

    fn peek(&mut self) -> Result<Peek> {
        self.jiter.peek().map_err(|error| self.json(&error))
    }

    fn finish(&mut self) -> Result<()> {
        self.jiter.finish().map_err(|error| self.json(&error))
    }

    fn first_key(&mut self) -> Result<Option<String>> {
        let key = self.jiter.known_object().map(|key| key.map(str::to_owned));
        key.map_err(|error| self.json(&error))
    }

    fn next_key(&mut self) -> Result<Option<String>> {
        let key = self.jiter.next_key().map(|key| key.map(str::to_owned));
        key.map_err(|error| self.json(&error))
    }

    /// Rows, or why they are none; an error only where it is not JSON.
    fn rows_or_refusal(&mut self, peek: Peek, mode: Mode) -> Result<(Form, Result<Builder>)> {
        let start = self.jiter.clone();
        let mut builder = Builder::new(mode);
        let refusal = match self.rows(peek, &mut builder) {
            Ok(Form::Other) => no_rows(),
            Ok(form) => return Ok((form, Ok(builder))),
            Err(error @ Error::Json { .. }) => return Err(error),
            Err(error) => error,
        };
        // What follows the refused cell must still be JSON: once more from the start, only looking.
        self.jiter = start;
        let form = self.form(peek)?;
        self.skip(peek, 2)?;
        Ok((form, Err(refusal)))
    }

    /// The form of the value ahead, which stays ahead.
    fn form(&self, peek: Peek) -> Result<Form> {
        Ok(match peek {
            Peek::Null => Form::Null,
            Peek::Object => Form::Mapping,
            Peek::Array => match self.jiter.clone().known_array().map_err(|error| self.json(&error))? {
                None => Form::Empty,
                Some(Peek::Object) => Form::Mappings,
                Some(Peek::Array) => Form::Lists,
                Some(_) => Form::Other,
            },
            _ => Form::Other,
        })
    }

    /// Takes the value ahead into `builder` as rows.
    fn rows(&mut self, peek: Peek, builder: &mut Builder) -> Result<Form> {
        let form = self.form(peek)?;
        match form {
            Form::Mapping => self.row(peek, builder, 2)?,
            Form::Mappings if self.plain_numbers(builder) => {}
            Form::Mappings | Form::Lists | Form::Empty => self.array_of_rows(builder)?,
            _ => self.skip(peek, 2)?,
        }
        Ok(form)
    }

    /// Takes the array ahead if it holds rows of plain numbers.
    fn plain_numbers(&mut self, builder: &mut Builder) -> bool {
        if !self.fast || builder.wants_text() {
            return false;
        }
        let Some(Fast { names, columns, end }) = json_fast::rows(&self.text[self.jiter.current_index()..])
        else {
            return false;
        };
        builder.take_in(&names, columns);
        self.pass(end);
        true
    }

    fn array_of_rows(&mut self, builder: &mut Builder) -> Result<()> {
        let mut next = self.jiter.known_array().map_err(|error| self.json(&error))?;
        while let Some(peek) = next {
            self.row(peek, builder, 3)?;
            next = self.jiter.array_step().map_err(|error| self.json(&error))?;
        }
        Ok(())
    }

    /// One object, and further ones on lines of their own.
    fn lines(&mut self, builder: &mut Builder) -> Result<()> {
        loop {
            self.row(Peek::Object, builder, 1)?;
            let end = self.jiter.current_index();
            let rest = &self.text[end..];
            let gap = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
            if !(rest[..gap].contains('\n') && rest[gap..].starts_with('{')) {
                return Ok(());
            }
            self.peek()?;
        }
    }

    fn row(&mut self, peek: Peek, builder: &mut Builder, depth: usize) -> Result<()> {
        match peek {
            Peek::Object => self.mapping(builder, depth)?,
            Peek::Array => self.list(builder, depth)?,
            _ => {
                self.skip(peek, depth)?;
                return Err(Error::Invalid {
                    message: "A row that is neither an object nor an array. Send rows as objects or arrays."
                        .to_owned(),
                    at: vec![Step::Index(builder.rows() as u64)],
                });
            }
        }
        builder.end_row()
    }

    fn mapping(&mut self, builder: &mut Builder, depth: usize) -> Result<()> {
        builder.begin_mapping()?;
        let mut place = match self.jiter.known_object() {
            Ok(key) => key.map(|key| builder.column(key)),
            Err(error) => return Err(self.json(&error)),
        };
        while let Some(column) = place {
            let peek = self.peek()?;
            self.cell(peek, builder, column?, depth)?;
            place = match self.jiter.next_key() {
                Ok(key) => key.map(|key| builder.column(key)),
                Err(error) => return Err(self.json(&error)),
            };
        }
        Ok(())
    }

    fn list(&mut self, builder: &mut Builder, depth: usize) -> Result<()> {
        builder.begin_list()?;
        let mut next = self.jiter.known_array().map_err(|error| self.json(&error))?;
        while let Some(peek) = next {
            let place = builder.position()?;
            self.cell(peek, builder, place, depth)?;
            next = self.jiter.array_step().map_err(|error| self.json(&error))?;
        }
        Ok(())
    }

    #[inline]
    fn cell(&mut self, peek: Peek, builder: &mut Builder, place: usize, depth: usize) -> Result<()> {
        let start = self.jiter.current_index();
        let cell = match peek {
            Peek::String => {
                let text = match self.jiter.known_str() {
                    Ok(text) => text,
                    Err(error) => return Err(self.json(&error)),
                };
                builder.stage_text(place, Cell::Text, text);
                return Ok(());
            }
            Peek::Null => {
                self.jiter.known_null().map_err(|error| self.json(&error))?;
                Cell::Missing
            }
            Peek::True | Peek::False => {
                Cell::Boolean(self.jiter.known_bool(peek).map_err(|error| self.json(&error))?)
            }
            Peek::Array | Peek::Object => {
                self.skip(peek, depth + 1)?;
                Cell::Refused(Refusal::Nested)
            }
            _ => self.number(peek)?,
        };
        if builder.wants_text() || matches!(cell, Cell::Refused(_)) {
            builder.stage_text(place, cell, &self.text[start..self.jiter.current_index()]);
        } else {
            builder.stage(place, cell);
        }
        Ok(())
    }

    #[inline]
    fn number(&mut self, peek: Peek) -> Result<Cell> {
        let start = self.jiter.current_index();
        match self.jiter.known_float(peek) {
            Ok(number) if number.abs() < EXACT_BELOW => Ok(Cell::Number(number)),
            Ok(number) => Ok(self.large(number, start)),
            Err(error) => Err(self.json(&error)),
        }
    }

    /// A number so large that its text must be looked at: was it an integer, and was it rounded?
    #[cold]
    fn large(&self, number: f64, start: usize) -> Cell {
        let sent = &self.text[start..self.jiter.current_index()];
        if number.is_infinite() {
            Cell::Refused(Refusal::BeyondFloat)
        } else if sent.contains(['.', 'e', 'E']) || format!("{number:.0}") == sent {
            Cell::Number(number)
        } else {
            Cell::Refused(Refusal::InexactInteger)
        }
    }

    /// Walks over a value at `depth`, checking all of it.
    fn skip(&mut self, peek: Peek, depth: usize) -> Result<()> {
        match peek {
            Peek::Array | Peek::Object if depth > MAX_DEPTH => Err(Error::Json {
                message: format!("JSON deeper than {MAX_DEPTH} levels. Send it with less nesting."),
            }),
            Peek::Array => self.skip_array(depth),
            Peek::Object => self.skip_object(depth),
            Peek::Null => self.jiter.known_null().map_err(|error| self.json(&error)),
            Peek::True | Peek::False => {
                self.jiter.known_bool(peek).map(|_| ()).map_err(|error| self.json(&error))
            }
            Peek::String => match self.jiter.known_str() {
                Ok(_) => Ok(()),
                Err(error) => Err(self.json(&error)),
            },
            _ => match self.jiter.known_number_bytes(peek) {
                Ok(_) => Ok(()),
                Err(error) => Err(self.json(&error)),
            },
        }
    }

    fn skip_array(&mut self, depth: usize) -> Result<()> {
        let mut next = self.jiter.known_array().map_err(|error| self.json(&error))?;
        while let Some(peek) = next {
            self.skip(peek, depth + 1)?;
            next = self.jiter.array_step().map_err(|error| self.json(&error))?;
        }
        Ok(())
    }

    fn skip_object(&mut self, depth: usize) -> Result<()> {
        let mut next = self.first_key()?;
        while next.is_some() {
            let peek = self.peek()?;
            self.skip(peek, depth + 1)?;
            next = self.next_key()?;
        }
        Ok(())
    }
}
