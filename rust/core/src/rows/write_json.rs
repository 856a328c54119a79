//! JSON out, written from columns: an array of row objects, missing values as null.

/// The values of one column, as the writer reads them.
pub enum Cells<'a> {
    /// Nothing but missing values.
    Missing,
    /// Numbers; what is not finite is written as null.
    Numbers(&'a [f64]),
    /// The boolean of a row.
    Booleans(&'a dyn Fn(usize) -> Option<bool>),
    /// The text of a row.
    Texts(&'a dyn Fn(usize) -> Option<&'a str>),
}

/// Writes rows one run after the other into one array.
pub struct Writer {
    out: Vec<u8>,
    leads: Vec<Lead>,
}

impl Writer {
    /// A writer for rows of these columns. `out` is memory to write into; what it holds is forgotten.
    #[must_use]
    pub fn new<'a>(columns: impl Iterator<Item = &'a str>, mut out: Vec<u8>) -> Self {
        out.clear();
        out.push(b'[');
        Self { out, leads: columns.enumerate().map(|(place, name)| Lead::new(place, name)).collect() }
    }

    /// Writes `rows` rows; `cells` are in the order of the columns.
    ///
    /// # Panics
    /// If there are fewer cells than columns, or a column's numbers are fewer than `rows`.
    pub fn rows(&mut self, rows: usize, cells: &[Cells<'_>]) {
        for row in 0..rows {
            if self.out.len() > 1 {
                self.out.push(b',');
            }
            self.out.push(b'{');
            for (lead, cells) in self.leads.iter().zip(cells) {
                lead.write(&mut self.out);
                cell(&mut self.out, cells, row);
            }
            self.out.push(b'}');
        }
    }

    /// Everything written.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.out.push(b']');
        self.out
    }
}

/// What stands before a value: comma, key and colon. Most are short: those are written 32 bytes at a time, of which
/// the rest is taken back, because a copy of a fixed length is two moves and one of any length a call.
struct Lead {
    start: [u8; Self::SHORT],
    text: Vec<u8>,
}

impl Lead {
    const SHORT: usize = 32;

    fn new(place: usize, name: &str) -> Self {
        let mut text = Vec::new();
        if place > 0 {
            text.push(b',');
        }
        string(&mut text, name);
        text.push(b':');
        let mut start = [0; Self::SHORT];
        let short = text.len().min(Self::SHORT);
        start[..short].copy_from_slice(&text[..short]);
        Self { start, text }
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        if self.text.len() > Self::SHORT {
            return out.extend_from_slice(&self.text);
        }
        let end = out.len() + self.text.len();
        out.extend_from_slice(&self.start);
        out.truncate(end);
    }
}

#[inline]
fn cell(out: &mut Vec<u8>, cells: &Cells<'_>, row: usize) {
    match cells {
        Cells::Missing => out.extend_from_slice(b"null"),
        Cells::Numbers(values) => number(out, values[row]),
        Cells::Booleans(value) => out.extend_from_slice(match value(row) {
            Some(true) => b"true",
            Some(false) => b"false",
            None => b"null",
        }),
        Cells::Texts(value) => match value(row) {
            Some(text) => string(out, text),
            None => out.extend_from_slice(b"null"),
        },
    }
}

/// Writes a number in the fewest digits that read back as the same; `null` if it is not finite.
#[inline]
pub fn number(out: &mut Vec<u8>, number: f64) {
    if number.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(number).as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}

/// Writes `text` as a JSON string.
pub fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut written = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[written..at]);
        escape(out, byte);
        written = at + 1;
    }
    out.extend_from_slice(&text.as_bytes()[written..]);
    out.push(b'"');
}

#[cold]
fn escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Cells, Writer, number};
    use proptest::prelude::*;

    #[test]
    fn rows_are_objects_with_every_column() {
        let mut writer = Writer::new(["a", "b\"", "c", "d"].into_iter(), b"old".to_vec());
        let booleans = |row| [Some(true), None, Some(false)][row];
        let texts = |row| [Some("x\n\u{1}é\\"), Some(""), None][row];
        let numbers = [1.0, f64::NAN, -2.5e-9];
        let cells =
            [Cells::Numbers(&numbers), Cells::Booleans(&booleans), Cells::Texts(&texts), Cells::Missing];
        writer.rows(3, &cells);
        writer.rows(1, &[Cells::Numbers(&[f64::INFINITY]), Cells::Missing, Cells::Missing, Cells::Missing]);
        let want = [
            r#"[{"a":1.0,"b\"":true,"c":"x\n\u0001é\\","d":null},"#,
            r#"{"a":null,"b\"":null,"c":"","d":null},{"a":-2.5e-9,"b\"":false,"c":null,"d":null},"#,
            r#"{"a":null,"b\"":null,"c":null,"d":null}]"#,
        ];
        assert_eq!(String::from_utf8(writer.finish()).unwrap(), want.concat());
    }

    #[test]
    fn no_rows_are_an_empty_array_and_no_columns_empty_objects() {
        assert_eq!(Writer::new(["a"].into_iter(), Vec::new()).finish(), b"[]");
        let mut writer = Writer::new(std::iter::empty(), Vec::new());
        writer.rows(2, &[]);
        assert_eq!(writer.finish(), b"[{},{}]");
    }

    #[test]
    fn names_may_have_any_length() {
        for length in 0..40 {
            let name = "n".repeat(length);
            let mut writer = Writer::new([&*name, "b"].into_iter(), Vec::new());
            writer.rows(1, &[Cells::Missing, Cells::Missing]);
            assert_eq!(writer.finish(), format!("[{{\"{name}\":null,\"b\":null}}]").as_bytes());
        }
    }

    proptest! {
        #[test]
        fn values_read_back_as_they_were(x in any::<f64>(), text in "\\PC*|[\\x00-\\x7f]*") {
            let mut out = Vec::new();
            number(&mut out, x);
            let read: Option<f64> = serde_json::from_slice::<serde_json::Value>(&out).unwrap().as_f64();
            let std_read = std::str::from_utf8(&out).unwrap().parse::<f64>().ok();
            prop_assert_eq!(std_read.map(f64::to_bits), x.is_finite().then_some(x.to_bits()));
            prop_assert_eq!(read.is_some(), x.is_finite());
            let mut out = Vec::new();
            super::string(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}
