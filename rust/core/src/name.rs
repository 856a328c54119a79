//! Names of columns. Those of features stand side by side in one text: a piece of memory for each of them was more than
//! a third of the time that an answer of ten rows took.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// What a column is called.
#[derive(Clone)]
pub struct Name {
    text: Arc<str>,
    range: Range<usize>,
}

impl Name {
    /// Each of `columns` with each of some endings, column by column. `endings` stand one after the other, each of
    /// which ends where `ends` says.
    pub(crate) fn of_each<'a>(
        columns: impl ExactSizeIterator<Item = &'a str>,
        endings: &str,
        ends: &[usize],
    ) -> Vec<Self> {
        let mut text = String::with_capacity(columns.len() * (endings.len() + 16 * ends.len()));
        let mut places = Vec::with_capacity(columns.len() * ends.len());
        for column in columns {
            let mut from = 0;
            for to in ends {
                text.push_str(column);
                text.push_str(&endings[from..*to]);
                places.push(text.len());
                from = *to;
            }
        }
        let text: Arc<str> = text.into();
        let mut start = 0;
        let next = |end| Self { text: text.clone(), range: std::mem::replace(&mut start, end)..end };
        places.into_iter().map(next).collect()
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self { text: name.into(), range: 0..name.len() }
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text[self.range.clone()]
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn each_column_has_each_ending_in_turn() {
        let names = Name::of_each(["a", "ü"].into_iter(), "_é_2", &[0, 5]);
        assert_eq!(names.iter().map(|name| &**name).collect::<Vec<_>>(), ["a", "a_é_2", "ü", "ü_é_2"]);
        assert!(Name::of_each([].into_iter(), "_x", &[2]).is_empty());
    }
}
