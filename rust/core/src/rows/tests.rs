use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::json::{Form, MAX_DEPTH, read_body, read_rows};
use super::{Mode, Wanted};
use crate::error::{Error, Step};

fn cells(table: &super::Rows) -> Vec<(String, Vec<Value>)> {
    let values = |values: &super::column::Values| match values {
        super::column::Values::Unknown => vec![Value::Null; table.rows],
        super::column::Values::Number(v) => v.iter().map(|x| json!(x)).collect(),
        super::column::Values::Boolean(v) => v.iter().map(|x| json!(x)).collect(),
        super::column::Values::Text { present, texts } => {
            present.iter().zip(texts.iter()).map(|(p, t)| p.then_some(t).into()).collect()
        }
    };
    table.columns.iter().map(|column| (column.name.to_string(), values(&column.values))).collect()
}

fn columns(rows: &str, mode: Mode) -> Vec<(String, Vec<Value>)> {
    cells(&read_rows(rows.as_bytes(), mode, &Wanted::default()).unwrap())
}

fn column(name: &str, values: Value) -> (String, Vec<Value>) {
    (name.to_owned(), values.as_array().unwrap().clone())
}

/// The place of the first refused cell of `data`.
fn refused(data: &str, mode: Mode) -> (Vec<Step>, String) {
    let body = format!("{{\"data\":{data}}}");
    match read_body(body.as_bytes(), Some("data"), mode).unwrap().into_rows(&Wanted::default()) {
        Err(Error::Invalid { message, mut at }) => {
            assert_eq!(at.remove(0), Step::Key("data".to_owned()));
            (at, message)
        }
        other => panic!("{data}: {:?}", other.err()),
    }
}

fn is_json_error<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Json { .. }))
}

#[test]
fn a_body_is_split_into_envelope_and_rows() {
    let read = |body: &str| read_body(body.as_bytes(), Some("data"), Mode::Typed).unwrap();
    let body = read(r#" {"model" : "a\n\u00e9", "data": [{"x": 1}], "n": {"k": [1, 2]} } "#);
    assert_eq!(
        std::str::from_utf8(body.envelope()).unwrap(),
        "{\"model\":\"a\\n\\u00e9\",\"n\":{\"k\": [1, 2]}}"
    );
    assert_eq!(body.form(), Form::Mappings);
    assert_eq!(cells(&body.into_rows(&Wanted::default()).unwrap()), [column("x", json!([1.0]))]);
    for (data, form) in [
        ("null", Form::Null),
        ("{}", Form::Mapping),
        ("[]", Form::Empty),
        ("[[1]]", Form::Lists),
        ("[1]", Form::Other),
        ("5", Form::Other),
        ("\"x\"", Form::Other),
        ("[{\"a\":[]}]", Form::Mappings),
    ] {
        assert_eq!(read(&format!("{{\"data\":{data}}}")).form(), form, "{data}");
    }
    assert_eq!(read("{}").form(), Form::Absent);
    assert_eq!(read("{}").envelope(), b"{}");
    let whole = read_body(b"{\"data\":[1],\"a\":2}", None, Mode::Typed).unwrap();
    assert_eq!((whole.envelope(), whole.form()), (&b"{\"data\":[1],\"a\":2}"[..], Form::Absent));
}

#[test]
fn of_a_key_that_comes_twice_the_last_counts() {
    let body = r#"{"a":1,"data":[{"x":"text","y":[]}],"b":2,"a":3,"data":[{"x":"no","x":1e999,"x":4}]}"#;
    let body = read_body(body.as_bytes(), Some("data"), Mode::Typed).unwrap();
    assert_eq!(body.envelope(), br#"{"a":3,"b":2}"#);
    assert_eq!(cells(&body.into_rows(&Wanted::default()).unwrap()), [column("x", json!([4.0]))]);
}

#[test]
fn what_is_not_json_is_refused_at_once() {
    let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    assert!(read_body(deep(MAX_DEPTH).as_bytes(), None, Mode::Typed).is_ok());
    let deep_row = |levels: usize| {
        format!("{{\"data\":[{{\"a\":{}{}}}]}}", "[".repeat(levels - 3), "]".repeat(levels - 3))
    };
    assert!(read_body(deep_row(MAX_DEPTH).as_bytes(), Some("data"), Mode::Typed).is_ok());
    let hopeless = "[".repeat(1_000_000);
    for body in [
        "",
        "  ",
        "{",
        "{\"a\":1",
        "{\"a\":1}}",
        "{} x",
        "nul",
        "{\"a\":NaN}",
        "{\"data\":[{\"a\":NaN}]}",
        "{\"data\":[{\"a\":-Infinity}]}",
        "{\"data\":[[Infinity]]}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":+1}",
        "{'a':1}",
        "{\"a\":1,}",
        "{\"data\":[{\"a\":1,}]}",
        "{\"data\":[1,]}",
        "{\"a\":\"\\ud800\"}",
        "{\"\\udc00\":1}",
        "{\"data\":[{\"a\":\"\\ud83d\"}]}",
        "{\"a\":\"\n\"}",
        "\u{feff}{}",
        "{\"data\":[{\"a\":[}]}",
        "[1",
        "5 5",
        // A refused row does not hide what follows it.
        "{\"data\":[{\"a\":[]},{\"a\":NaN}]}",
        "{\"data\":[{\"a\":1e999}]",
        "{\"data\":5,\"b\":}",
        &deep(MAX_DEPTH + 1),
        &deep_row(MAX_DEPTH + 1),
        &hopeless,
    ] {
        assert!(is_json_error(read_body(body.as_bytes(), Some("data"), Mode::Typed)), "{body:.60}");
    }
    for body in [&b"{\"a\":\"\xff\"}"[..], b"\xff", b"{\"data\":[{\"\xc3\":1}]}", b"\xef\xbb\xbf{}"] {
        assert!(is_json_error(read_body(body, Some("data"), Mode::Typed)), "{body:?}");
    }
}

#[test]
fn json_that_is_no_object_is_an_invalid_request() {
    for body in ["[1]", "5", "null", "\"x\"", "[{\"a\":1}]"] {
        assert!(
            matches!(read_body(body.as_bytes(), Some("data"), Mode::Typed), Err(Error::Invalid { .. })),
            "{body}"
        );
    }
}

#[test]
fn rows_of_mappings_line_up_by_key() {
    let rows = r#"[{"a":1,"b":true},{"b":null,"a":2.5,"c":"x"},{},{"c":"é\n","a":-0.0}]"#;
    let want = [
        column("a", json!([1.0, 2.5, null, -0.0])),
        column("b", json!([true, null, null, null])),
        column("c", json!([null, "x", null, "é\n"])),
    ];
    assert_eq!(columns(rows, Mode::Typed), want);
    assert_eq!(
        columns(r#"{"b":1,"a":null}"#, Mode::Typed),
        [column("b", json!([1.0])), column("a", json!([null]))]
    );
    assert_eq!(
        columns("{\"b\":1}\n{\"b\":2}\r\n \n{\"b\":3}\n", Mode::Typed),
        [column("b", json!([1.0, 2.0, 3.0]))]
    );
    assert_eq!(columns("[]", Mode::Typed), []);
}

#[test]
fn rows_of_lists_go_by_position() {
    let table = read_rows(b"[[1,null,3],[4,5,6]]", Mode::Numeric, &Wanted::default()).unwrap();
    assert!(!table.named);
    let want = [
        column("column_0", json!([1.0, 4.0])),
        column("column_1", json!([null, 5.0])),
        column("column_2", json!([3.0, 6.0])),
    ];
    assert_eq!(cells(&table), want);
    assert_eq!(read_rows(b"[[],[]]", Mode::Typed, &Wanted::default()).unwrap().rows, 2);
}

#[test]
fn text_on_its_own_lines_is_not_rows() {
    for bad in ["{\"a\":1}{\"a\":2}", "{\"a\":1} {\"a\":2}", "{\"a\":1}\n[1]", "{\"a\":1}\n5", ""] {
        assert!(is_json_error(read_rows(bad.as_bytes(), Mode::Typed, &Wanted::default())), "{bad}");
    }
    for bad in ["5", "null", "\"a\"", "[5]", "[null]"] {
        assert!(
            matches!(read_rows(bad.as_bytes(), Mode::Typed, &Wanted::default()), Err(Error::Invalid { .. })),
            "{bad}"
        );
    }
}

#[test]
fn refused_cells_say_where_and_why() {
    let cell = |row, name: &str| vec![Step::Index(row), Step::Key(name.to_owned())];
    for (data, mode, at, part) in [
        (r#"[{"a":1},{"a":"x"}]"#, Mode::Typed, cell(1, "a"), "'x'"),
        (r#"[{"a":true},{"a":1}]"#, Mode::Typed, cell(1, "a"), "1.0"),
        (r#"[{"a":1},{"a":false}]"#, Mode::Typed, cell(1, "a"), "false"),
        (r#"[{"a":null},{"a":"x"}]"#, Mode::Numeric, cell(1, "a"), "numbers"),
        (r#"{"a":true}"#, Mode::Numeric, cell(0, "a"), "true"),
        (r#"[{"a":1},{"a":{}}]"#, Mode::Text, cell(1, "a"), "array or object"),
        (r#"[[1,[2]]]"#, Mode::Typed, cell(0, "column_1"), "array or object"),
        (r#"[{"a":1e999}]"#, Mode::Typed, cell(0, "a"), "1e999"),
        (r#"[{"a":-1e999}]"#, Mode::Text, cell(0, "a"), "beyond float64"),
        (r#"[{"a":9007199254740993}]"#, Mode::Typed, cell(0, "a"), "9007199254740993"),
        (r#"[{"a":-9223372036854775809}]"#, Mode::Typed, cell(0, "a"), "exactly"),
        (r#"[[1,2],[3]]"#, Mode::Typed, vec![Step::Index(1)], "fewer than 2"),
        (r#"[[1,2],[3,4,5]]"#, Mode::Typed, vec![Step::Index(1)], "more than 2 values,"),
        (r#"[[1],[2,3]]"#, Mode::Typed, vec![Step::Index(1)], "more than 1 value,"),
        (r#"[{"a":1},[3]]"#, Mode::Typed, vec![Step::Index(1)], "one form"),
        (r#"[[1],{"a":1}]"#, Mode::Typed, vec![Step::Index(1)], "one form"),
        (r#"[{"a":1},7]"#, Mode::Typed, vec![Step::Index(1)], "neither"),
        ("7", Mode::Typed, vec![], "no rows"),
    ] {
        let (got, message) = refused(data, mode);
        assert_eq!(got, at, "{data}: {message}");
        assert!(message.contains(part), "{data}: {message}");
    }
    let long = format!("[[{}]]", "9".repeat(400));
    assert!(refused(&long, Mode::Typed).1.contains("beyond float64"));
}

#[test]
fn integers_that_float64_holds_are_numbers() {
    for integer in
        ["9007199254740992", "-9007199254740994", "9223372036854775808", "1180591620717411303424", "0", "-0"]
    {
        let want: f64 = integer.parse().unwrap();
        assert_eq!(
            columns(&format!("[[{integer}]]"), Mode::Typed),
            [column("column_0", json!([want]))],
            "{integer}"
        );
    }
}

#[test]
fn columns_that_mix_types_become_text_in_text_mode() {
    let rows = r#"[{"a":1.50,"n":1,"b":true},{"a":null,"n":null,"b":false},{"a":"x\"y","n":2,"b":1},{"a":1e3,"n":3.0}]"#;
    let want = [
        column("a", json!(["1.50", null, "x\"y", "1e3"])),
        column("n", json!([1.0, null, 2.0, 3.0])),
        column("b", json!(["true", "false", "1", null])),
    ];
    assert_eq!(columns(rows, Mode::Text), want);
    let body = format!("{{\"data\":{rows}}}");
    let body = read_body(body.as_bytes(), Some("data"), Mode::Text).unwrap();
    let table = body.into_rows(&Wanted { text: vec!["n".to_owned()], only: None }).unwrap();
    assert_eq!(cells(&table)[1], column("n", json!(["1", null, "2", "3.0"])));
}

#[test]
fn what_is_not_allowed_matters_only_where_it_is_wanted() {
    let rows = r#"[{"a":1,"b":2},{"a":[1, 2],"b":3},{"a":12345678901234567890,"b":9007199254740993}]"#;
    let read = |text: &[&str], only: Option<&[&str]>| {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        read_rows(rows.as_bytes(), Mode::Text, &Wanted { text: owned(text), only: only.map(owned) })
    };
    let at = |result: Result<super::Rows, Error>| match result {
        Err(Error::Invalid { at, .. }) => at,
        other => panic!("{:?}", other.err()),
    };
    let cell = |row, column: &str| vec![Step::Index(row), Step::Key(column.to_owned())];
    assert_eq!(at(read(&[], None)), cell(1, "a"));
    assert_eq!(at(read(&["a"], None)), cell(2, "b"));
    assert_eq!(at(read(&[], Some(&["b"]))), cell(2, "b"));
    let texts = column("a", json!(["1", "[1, 2]", "12345678901234567890"]));
    assert_eq!(cells(&read(&["a"], Some(&["a", "c"])).unwrap()), [texts]);
}

#[test]
fn columns_and_cells_have_a_limit() {
    let wide: String = (0..=2000).map(|i| format!("\"c{i}\":1,")).collect();
    let wide = format!("[{{{}}}]", wide.trim_end_matches(','));
    assert!(refused(&wide, Mode::Typed).1.contains("2000 columns"));
    let sparse: String = (0..2000).map(|i| format!("\"c{i}\":1,")).collect();
    let sparse = format!("[{{{}}}{}]", sparse.trim_end_matches(','), ",{}".repeat(40_000));
    assert!(matches!(
        read_rows(sparse.as_bytes(), Mode::Typed, &Wanted::default()),
        Err(Error::TooLarge { .. })
    ));
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (-1e6..1e6).prop_map(|x: f64| json!(x)),
        2 => any::<i32>().prop_map(|x| json!(x)),
        2 => any::<f64>().prop_filter_map("finite", |x| x.is_finite().then(|| json!(x))),
        1 => Just(Value::Null),
        1 => "\\PC{0,8}".prop_map(Value::String),
        1 => any::<bool>().prop_map(Value::Bool),
    ]
}

fn row() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map(prop_oneof![4 => "[a-d]", 1 => "\\PC{0,4}"], scalar(), 0..6)
        .prop_map(|cells| cells.into_iter().collect())
}

/// What a column of values is in typed mode: itself with numbers as floats, or the row that is refused.
fn typed(values: &[Value]) -> Result<Vec<Value>, usize> {
    let kind = |value: &Value| std::mem::discriminant(value);
    let first = values.iter().find(|value| !value.is_null());
    let fits = |value: &Value| value.is_null() || first.is_some_and(|first| kind(first) == kind(value));
    match values.iter().position(|value| !fits(value)) {
        Some(row) => Err(row),
        None => Ok(values.iter().map(|value| value.as_f64().map_or(value.clone(), |x| json!(x))).collect()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn rows_are_what_serde_json_reads(rows in prop::collection::vec(row(), 0..12), pretty in any::<bool>()) {
        let sent = if pretty { serde_json::to_string_pretty(&rows) } else { serde_json::to_string(&rows) }.unwrap();
        let names: Vec<&String> = {
            let mut seen = std::collections::HashSet::new();
            rows.iter().flat_map(Map::keys).filter(|name| seen.insert(*name)).collect()
        };
        let column = |name: &String| -> Vec<Value> {
            rows.iter().map(|row| row.get(name).cloned().unwrap_or(Value::Null)).collect()
        };
        let want: Vec<_> = names.iter().map(|name| (name.to_string(), typed(&column(name)))).collect();
        let first_bad = want.iter().filter_map(|(_, column)| column.as_ref().err()).min();
        match (read_rows(sent.as_bytes(), Mode::Typed, &Wanted::default()), first_bad) {
            (Ok(table), None) => {
                let want: Vec<_> = want.into_iter().map(|(name, column)| (name, column.unwrap())).collect();
                prop_assert_eq!(cells(&table), want);
            }
            (Err(Error::Invalid { at, .. }), Some(row)) => prop_assert_eq!(&at[0], &Step::Index(*row as u64)),
            (got, want) => prop_assert!(false, "{:?} for {:?}: {}", got.err(), want, sent),
        }
    }

    #[test]
    fn damaged_bytes_are_json_exactly_when_serde_json_says_so(
        rows in prop::collection::vec(row(), 0..4),
        damage in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![
            3 => prop::sample::select(&b"{}[]\",:\\eE+-.0123456789 truefalsn\n"[..]), 1 => any::<u8>()]), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut body = serde_json::to_vec(&json!({"id": "x", "data": rows, "n": [1, {"k": null}]})).unwrap();
        for (place, byte) in damage {
            let at = place.index(body.len());
            body[at] = byte;
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len()));
        }
        let reference = serde_json::from_slice::<Value>(&body);
        let huge = reference.as_ref().is_err_and(|error| error.to_string().contains("out of range"));
        for mode in [Mode::Typed, Mode::Numeric, Mode::Text] {
            let read = read_body(&body, Some("data"), mode);
            prop_assert!(huge || is_json_error(read) == reference.is_err(), "{:?}", String::from_utf8_lossy(&body));
        }
        let _ = read_rows(&body, Mode::Typed, &Wanted::default());
    }
}
