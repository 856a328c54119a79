//! Rows of plain numbers under known keys, read in one go; whatever else comes up is left to [`super::json`].
//!
//! Machines write rows all alike. So what stands between two values of the first row, key, quotes, colon and spaces,
//! is looked for in each row that follows by one comparison of 16 bytes, and a number of up to seven characters is
//! read from one 8-byte word. A row that differs (its keys in another order, other spaces) is read key by key. On the
//! first surprise the answer is `None` and the reader that knows all of JSON starts from the first row, so what is
//! refused and how is told in one place.

use super::MAX_CELLS;

/// The most columns: names are looked for one by one.
const WIDEST: usize = 256;

/// Columns read, and where in the text the array ends.
pub(super) struct Fast<'t> {
    pub(super) names: Vec<&'t str>,
    /// NaN where null.
    pub(super) columns: Vec<Vec<f64>>,
    pub(super) end: usize,
}

/// Reads the array of objects that `text` starts with, if every object has the same keys, each once, and every value
/// is null or a number that float64 holds (an integer: exactly).
pub(super) fn rows(text: &str) -> Option<Fast<'_>> {
    let mut reader = Reader { text, at: 0, names: Vec::new(), columns: Vec::new(), leads: Vec::new() };
    reader.byte(b'[')?;
    reader.first_row()?;
    let mut rows = 1;
    while reader.another_row()? {
        reader.row(rows)?;
        rows += 1;
    }
    let cells = rows.checked_mul(reader.columns.len())?;
    (cells <= MAX_CELLS).then_some(Fast { names: reader.names, columns: reader.columns, end: reader.at })
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    names: Vec<&'t str>,
    columns: Vec<Vec<f64>>,
    /// What stood before each value of the first row.
    leads: Vec<Lead>,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t [u8] {
        &self.text.as_bytes()[self.at..]
    }

    #[inline]
    fn skip_spaces(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.rest().first() {
            self.at += 1;
        }
    }

    /// Takes this byte, after any spaces.
    #[inline]
    fn byte(&mut self, byte: u8) -> Option<()> {
        self.skip_spaces();
        (*self.rest().first()? == byte).then(|| self.at += 1)
    }

    /// Takes a comma, or the end of the array or object; whether it was a comma.
    #[inline]
    fn comma_or(&mut self, end: u8) -> Option<bool> {
        self.skip_spaces();
        let byte = *self.rest().first()?;
        self.at += 1;
        (byte == b',' || byte == end).then_some(byte == b',')
    }

    #[inline]
    fn another_row(&mut self) -> Option<bool> {
        let another = self.comma_or(b']')?;
        if another {
            self.skip_spaces();
        }
        Some(another)
    }

    fn first_row(&mut self) -> Option<()> {
        self.skip_spaces();
        let mut start = self.at;
        self.byte(b'{')?;
        loop {
            let name = self.key()?;
            if self.names.contains(&name) || self.names.len() == WIDEST {
                return None;
            }
            self.leads.push(Lead::new(&self.text.as_bytes()[start..self.at]));
            self.names.push(name);
            let value = self.value()?;
            self.columns.push(vec![value]);
            start = self.at;
            if !self.comma_or(b'}')? {
                return Some(());
            }
        }
    }

    /// Reads row `row`.
    #[inline]
    fn row(&mut self, row: usize) -> Option<()> {
        for place in 0..self.leads.len() {
            if !self.leads[place].starts(self.rest()) {
                return self.odd_row(row, place);
            }
            self.at += self.leads[place].len;
            let value = self.value()?;
            self.columns[place].push(value);
        }
        self.byte(b'}')
    }

    /// Reads the rest of row `row`, `read` values of which are read.
    #[cold]
    fn odd_row(&mut self, row: usize, read: usize) -> Option<()> {
        for value in read..self.names.len() {
            self.byte(if value == 0 { b'{' } else { b',' })?;
            let name = self.key()?;
            let place = self.names.iter().position(|known| *known == name)?;
            if self.columns[place].len() != row {
                return None; // a key that comes twice
            }
            let value = self.value()?;
            self.columns[place].push(value);
        }
        self.byte(b'}')
    }

    /// Takes a key without escapes and the colon after it, up to its value.
    fn key(&mut self) -> Option<&'t str> {
        self.byte(b'"')?;
        let plain = |byte: &u8| *byte >= b' ' && *byte != b'"' && *byte != b'\\';
        let length = self.rest().iter().position(|byte| !plain(byte))?;
        let name = self.text.get(self.at..self.at + length)?;
        self.at += length;
        self.byte_here(b'"')?;
        self.byte(b':')?;
        self.skip_spaces();
        Some(name)
    }

    fn byte_here(&mut self, byte: u8) -> Option<()> {
        (*self.rest().first()? == byte).then(|| self.at += 1)
    }

    /// Takes a value, which starts here.
    #[inline]
    fn value(&mut self) -> Option<f64> {
        let rest = self.rest();
        let (value, length) = match short_number(rest) {
            Some(read) => read,
            None if rest.starts_with(b"null") => (f64::NAN, 4),
            None => any_number(&self.text[self.at..])?,
        };
        self.at += length;
        Some(value)
    }
}

/// What stands before a value.
struct Lead {
    len: usize,
    /// The first 16 bytes, and which of them count.
    head: u128,
    mask: u128,
    /// Those after them.
    more: Box<[u8]>,
}

impl Lead {
    fn new(bytes: &[u8]) -> Self {
        let (mut head, mut mask) = ([0; 16], [0; 16]);
        let count = bytes.len().min(16);
        head[..count].copy_from_slice(&bytes[..count]);
        mask[..count].fill(u8::MAX);
        Self {
            len: bytes.len(),
            head: u128::from_le_bytes(head),
            mask: u128::from_le_bytes(mask),
            more: bytes[count..].into(),
        }
    }

    #[inline]
    fn starts(&self, text: &[u8]) -> bool {
        let Some((head, rest)) = text.split_first_chunk::<16>() else { return false };
        (u128::from_le_bytes(*head) ^ self.head) & self.mask == 0
            && (self.more.is_empty() || rest.starts_with(&self.more))
    }
}

const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// A number of at most seven digits and point, with its length; `None` for anything else. What follows it is the
/// caller's to look at.
#[inline]
fn short_number(text: &[u8]) -> Option<(f64, usize)> {
    let negative = *text.first()? == b'-';
    let sign = usize::from(negative);
    let word = u64::from_le_bytes(*text.get(sign..)?.first_chunk()?);
    // Digits become 0 to 9, and of everything else the high bit is set in `other`.
    let digits = word ^ 0x3030_3030_3030_3030;
    let beyond_nine = (digits & 0x7f7f_7f7f_7f7f_7f7f) + 0x7676_7676_7676_7676;
    let other = (beyond_nine | digits) & 0x8080_8080_8080_8080;
    let whole = other.trailing_zeros() / 8;
    if whole == 0 || whole == 8 || (whole > 1 && digits & 0xff == 0) {
        return None; // no number, a long one, or one that starts with a needless 0
    }
    let byte = |at: u32| (word >> (8 * at)) as u8;
    let (count, fraction) = if byte(whole) == b'.' {
        let end = (other & (other - 1)).trailing_zeros() / 8;
        if end == 8 || end == whole + 1 {
            return None; // a long number, or no digit after the point
        }
        (end - 1, end - 1 - whole)
    } else {
        (whole, 0)
    };
    let end = if fraction > 0 { count + 1 } else { count };
    if byte(end) | 0x20 == b'e' {
        return None; // an exponent
    }
    let before_point = (1_u64 << (8 * whole)) - 1;
    let together =
        if fraction > 0 { (digits & before_point) | ((digits >> 8) & !before_point) } else { digits };
    let number = eight_digits(together << (64 - 8 * count)) / POWERS[fraction as usize];
    Some((if negative { -number } else { number }, sign + end as usize))
}

/// The number that eight digits make, the first in the lowest byte.
#[inline]
fn eight_digits(digits: u64) -> f64 {
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    let eight = fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff;
    eight as f64
}

/// Below 2**53 float64 holds every integer.
const EXACT: u64 = 1 << 53;

/// A number that JSON allows, with its length; `None` for anything else, and for one beyond 2**53, of which it must be
/// looked up whether float64 holds it.
fn any_number(text: &str) -> Option<(f64, usize)> {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let start = usize::from(bytes.first() == Some(&b'-'));
    let whole = digits(start);
    if whole == 0 || (whole > 1 && bytes[start] == b'0') {
        return None;
    }
    let mut end = start + whole;
    let mut fraction = 0;
    if bytes.get(end) == Some(&b'.') {
        fraction = digits(end + 1);
        end += 1 + fraction;
        if fraction == 0 {
            return None;
        }
    }
    let mut number = exactly(&bytes[start..end], fraction);
    if let Some(b'e' | b'E') = bytes.get(end) {
        end += 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end);
        if exponent == 0 {
            return None;
        }
        end += exponent;
        number = None;
    }
    let number = match number {
        Some(number) if start == 1 => -number,
        Some(number) => number,
        None => text[..end].parse().ok()?,
    };
    (number.abs() < EXACT as f64).then_some((number, end))
}

/// The number that digits with a point in them make, where one division of two exact numbers rounds it rightly
/// (Clinger 1990).
fn exactly(digits: &[u8], fraction: usize) -> Option<f64> {
    if digits.len() > 19 {
        return None;
    }
    let digits = digits.iter().filter(|byte| **byte != b'.');
    let number = digits.fold(0_u64, |number, digit| 10 * number + u64::from(digit - b'0'));
    (number <= EXACT).then(|| number as f64 / POWERS[fraction])
}

#[cfg(test)]
mod tests {
    use super::super::json::read_body_with;
    use super::super::{Mode, Values, Wanted};
    use super::rows;
    use crate::error::Error;
    use proptest::prelude::*;

    /// Columns with the bits of their values (`None`: all missing), and the first row without each.
    type Read = Vec<(String, Option<Vec<u64>>, Option<usize>)>;

    fn read(body: &str, mode: Mode, fast: bool) -> Result<(Read, Vec<u8>), Error> {
        let body = read_body_with(body.as_bytes(), Some("data"), mode, fast)?;
        let envelope = body.envelope().to_vec();
        let bits = |values| match values {
            Values::Number(values) => Some(values.iter().map(|x: &f64| x.to_bits()).collect()),
            Values::Unknown => None,
            Values::Boolean(values) => Some(values.iter().map(|x| u64::from(*x == Some(true))).collect()),
            Values::Text { present, .. } => Some(present.into_iter().map(u64::from).collect()),
        };
        let columns = body.into_rows(&Wanted::default())?.columns.into_iter();
        Ok((
            columns.map(|column| (column.name.to_string(), bits(column.values), column.absent)).collect(),
            envelope,
        ))
    }

    fn number() -> impl Strategy<Value = String> {
        prop_oneof![
            12 => (-1e5..1e5).prop_map(|x: f64| format!("{x:.2}")),
            4 => (-1e7..1e7).prop_map(|x: f64| format!("{x:.3}")),
            3 => any::<i32>().prop_map(|x| x.to_string()),
            3 => any::<f64>().prop_filter("JSON has no others", |x| x.is_finite()).prop_map(|x| format!("{x:?}")),
            2 => "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?",
            1 => "-?[0-9]{0,8}\\.?[0-9]{0,8}e?[0-9]{0,2}",
        ]
    }

    fn value() -> impl Strategy<Value = String> {
        let odd = prop::sample::select(vec!["true", "\"a\"", "{}", "[1]", "nul", "", "NaN", "-", "-0", "é"]);
        prop_oneof![60 => number(), 6 => Just("null".to_owned()), 1 => odd.prop_map(str::to_owned)]
    }

    const KEYS: [&str; 6] = ["cpu", "a key of more than sixteen bytes", "é", "x\\n", "m", ""];

    /// A row, its keys now and then in another order, twice or missing, with spaces of its own.
    fn row() -> impl Strategy<Value = String> {
        let plain = Just((0..4).collect::<Vec<usize>>());
        let keys = prop_oneof![12 => plain, 1 => prop::collection::vec(0..KEYS.len(), 0..6)];
        let space = prop_oneof![9 => Just(""), 1 => Just(" "), 1 => Just("\n\t")];
        (keys, prop::collection::vec(value(), 6), space).prop_map(|(keys, values, space)| {
            let members: Vec<_> = keys
                .iter()
                .zip(values)
                .map(|(key, value)| format!("{space}\"{}\":{space}{value}", KEYS[*key]))
                .collect();
            format!("{{{}{space}}}", members.join(","))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn both_ways_read_and_refuse_the_same(
            rows in prop::collection::vec(row(), 1..6), after in prop::sample::select(vec!["", ",\"n\":5", ",\"data\":[{}]", "]"]),
            mode in prop::sample::select(vec![Mode::Typed, Mode::Numeric]),
            cut in any::<prop::sample::Index>(), with in prop::option::weighted(0.3, "[ -~]?"),
        ) {
            let mut body: Vec<char> = format!("{{\"a\": 1, \"data\": [{}]{after}}}", rows.join(",")).chars().collect();
            if let Some(with) = with {
                let at = cut.index(body.len());
                body.splice(at..=at, with.chars());
            }
            let body: String = body.iter().collect();
            let plain = read(&body, mode, false);
            match read(&body, mode, true) {
                Ok(fast) => prop_assert_eq!(Ok(fast), plain, "{}", body),
                Err(_) => prop_assert!(plain.is_err(), "{}", body),
            }
        }

        #[test]
        fn numbers_are_rounded_rightly(number in number(), after in "[,}] {0,9}") {
            let text = format!("[{{\"x\":{number}{after}");
            let text = format!("{}]", text.replace(',', "}"));
            if let Some(fast) = rows(&text) {
                let want: f64 = number.parse().unwrap();
                prop_assert_eq!(fast.columns[0][0].to_bits(), want.to_bits(), "{}", number);
            }
        }
    }

    #[test]
    fn what_machines_write_goes_the_short_way() {
        for text in [
            r#"[{"a":1,"b":-2.5},{"a":0.25,"b":1000000.125}]"#,
            r#"[{"a": 1, "b": -2.5}, {"b": 1e-7, "a": null}, {"a": 12345678.5, "b": 3}] , "n": 1"#,
            "[\n  {\"a key of more than sixteen bytes\": 0.1},\n  {\"a key of more than sixteen bytes\": 0.30000000000000004}\n]",
        ] {
            assert!(rows(text).is_some(), "{text}");
        }
    }

    #[test]
    fn surprises_are_left_to_the_other_reader() {
        let big = format!("[{{\"a\":{}}}]", 1_u64 << 53);
        for text in [
            "[]",
            "[{}]",
            "[{\"a\":1},{\"b\":1}]",
            "[{\"a\":1,\"a\":2}]",
            "[{\"a\":1},{}]",
            "[{\"a\":01}]",
            "[{\"a\":true}]",
            "[{\"a\":1},{\"a\":1,\"b\":2}]",
            "[{\"a\\n\":1}]",
            "[{\"a\":1}",
            "[{\"a\":1},]",
            "[{\"a\":1.}]",
            &big,
        ] {
            assert!(rows(text).is_none(), "{text}");
        }
    }
}
