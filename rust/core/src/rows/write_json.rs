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
    /// What stands before each value: comma, key and colon.
    leads: Vec<Vec<u8>>,
}

impl Writer {
    /// A writer for rows of these columns.
    #[must_use]
    pub fn new<'a>(columns: impl Iterator<Item = &'a str>) -> Self {
        Self { out: vec![b'['], leads: columns.enumerate().map(|(place, name)| lead(place, name)).collect() }
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
                self.out.extend_from_slice(lead);
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

fn lead(place: usize, name: &str) -> Vec<u8> {
    let mut lead = Vec::new();
    if place > 0 {
        lead.push(b',');
    }
    string(&mut lead, name);
    lead.push(b':');
    lead
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
        let mut writer = Writer::new(["a", "b\"", "c", "d"].into_iter());
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
        assert_eq!(Writer::new(["a"].into_iter()).finish(), b"[]");
        let mut writer = Writer::new(std::iter::empty());
        writer.rows(2, &[]);
        assert_eq!(writer.finish(), b"[{},{}]");
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
