"""'Common rules' and 'Service' of the contract."""

from tests.contract.rule import Rule

POLARS = "/v1/ml/polars"


def create(name, **fields):
    return ("POST", POLARS + "/buffers", {"buffer_id": name, "window_size": 100} | fields)


def append(name, data):
    return ("POST", POLARS + "/append", {"buffer_id": name, "data": data})


def raw(name, text):
    return ("POST", POLARS + "/append", b'{"buffer_id":"%s","data":%s}' % (name.encode(), text))


RULES = [
    Rule("the process is live", ("GET", "/health"), keys="status"),
    Rule("the process is ready", ("GET", "/ready"), keys="status"),
    Rule("a page shows the description", ("GET", "/docs")),
    Rule("the description is OpenAPI", ("GET", "/openapi.json"), expect={"openapi": str, "paths": dict}),
    Rule("an unknown route is 404", ("GET", "/v1/nope"), 404),
    Rule("an unknown route under a known one is 404", ("POST", POLARS + "/append/more", {}), 404),
    Rule("a slash at the end is another route", ("GET", "/health/"), 404),
    Rule("routes are matched by case", ("GET", "/HEALTH"), 404),
    Rule("an encoded route is another route", ("GET", "/%68ealth"), 404),
    Rule("a wrong method is 405", ("DELETE", "/health"), 405, says=("GET",)),
    Rule(
        "a wrong method on a route with a name is 405", ("POST", POLARS + "/buffers/x", {}), 405, says=("GET", "DELETE")
    ),
    Rule("method is looked at before the body", ("PUT", POLARS + "/append", b"{"), 405),
    Rule("OPTIONS is 405", ("OPTIONS", "/health"), 405),
    Rule("an encoded slash is part of the name", ("GET", POLARS + "/buffers/a%2Fb"), 422, loc=["buffer_id"]),
    Rule("dots up are no path", ("GET", POLARS + "/buffers/..%2F..%2Fetc"), 422, loc=["buffer_id"]),
    Rule(
        "a body is read as JSON whatever its type",
        (*create("ct"), {"content-type": "application/x-www-form-urlencoded"}),
    ),
    Rule("text/plain too", (*create("ct2"), {"content-type": "text/plain"})),
    Rule("content-encoding is 415", (*create("ce"), {"content-encoding": "gzip"}), 415),
    Rule("identity is no encoding", (*create("ci"), {"content-encoding": "identity"})),
    *(
        Rule(f"{kind} is 415", (*create("mt"), {"content-type": kind}), 415, unchanged=POLARS + "/buffers")
        for kind in (
            "multipart/form-data; boundary=x",
            "text/csv",
            "application/csv",
            "application/x-ndjson",
            "application/vnd.apache.arrow.stream",
            "application/vnd.apache.parquet",
        )
    ),
    Rule("an empty body is 400", ("POST", POLARS + "/append", b""), 400),
    Rule("no body is 400", ("POST", POLARS + "/append"), 400),
    Rule("a body of blanks is 400", ("POST", POLARS + "/append", b" \n"), 400),
    Rule("what is no JSON is 400", ("POST", POLARS + "/append", b"{"), 400),
    Rule("text after the JSON is 400", ("POST", POLARS + "/append", b'{"buffer_id":"x"} x'), 400),
    Rule("a byte-order mark is 400", ("POST", POLARS + "/append", b'\xef\xbb\xbf{"buffer_id":"x"}'), 400),
    Rule("bytes that are no UTF-8 are 400", ("POST", POLARS + "/append", b'{"buffer_id":"\xff"}'), 400),
    Rule("a lone surrogate is 400", ("POST", POLARS + "/append", rb'{"buffer_id":"\ud800"}'), 400),
    Rule("JSON deeper than 64 is 400", ("POST", POLARS + "/buffers", b'{"x":' + b"[" * 64 + b"]" * 64 + b"}"), 400),
    Rule(
        "JSON of depth 64 is read",
        ("POST", POLARS + "/buffers", b'{"buffer_id":"d","x":' + b"[" * 63 + b"]" * 63 + b"}"),
    ),
    Rule("JSON of a million levels is 400", ("POST", POLARS + "/buffers", b"[" * 1_000_000), 400),
    Rule(
        "NaN is 400 and says what to send",
        raw("x", b'[{"a":NaN}]'),
        400,
        says=(" at line 1 column ", "send null for a missing value."),
    ),
    Rule("a list as body is 422", ("POST", POLARS + "/append", b"[]"), 422),
    Rule("a number as body is 422", ("POST", POLARS + "/append", b"1"), 422),
    Rule("JSON comes before the envelope", ("POST", POLARS + "/append", b'{"buffer_id":"a b",'), 400),
    Rule(
        "the envelope comes before existence",
        ("POST", POLARS + "/append", {"buffer_id": "unknown", "data": 3}),
        422,
        loc=["data"],
    ),
    Rule("existence comes before rows", raw("unknown", b'[{"a":"x"},{"a":1}]'), 404),
    Rule(
        "all values that are not allowed are named",
        ("POST", POLARS + "/buffers", {"buffer_id": "a b", "window_size": 1}),
        422,
        loc=["window_size"],
    ),
    Rule(
        "... each with its place",
        ("POST", POLARS + "/buffers", {"buffer_id": "a b", "window_size": 1}),
        422,
        loc=["buffer_id"],
    ),
    Rule("the place goes into lists", create("loc", rolling_windows=[5, 0]), 422, loc=["rolling_windows", 1]),
    Rule(
        "unknown fields are ignored with a warning",
        create("warned", colour="red"),
        expect={"warnings": ["unknown field 'colour' was ignored"]},
    ),
    Rule("null for an optional field means not sent", create("nulls", window_size=None), expect={"window_size": 1000}),
    Rule("null for a required field is missing", create(None), 422, loc=["buffer_id"]),
    Rule("whole floats are integers", create("whole", window_size=20.0), expect={"window_size": 20}),
    Rule("other floats are not", create("half", window_size=20.5), 422, loc=["window_size"]),
    Rule("a text is no integer", create("text", window_size="20"), 422, loc=["window_size"]),
    Rule("a boolean is no integer", create("bool", window_size=True), 422, loc=["window_size"]),
    Rule(
        "the last of two keys counts",
        ("POST", POLARS + "/buffers", b'{"buffer_id":"one","buffer_id":"two"}'),
        expect={"buffer_id": "two"},
    ),
    *(
        Rule(f"{name[:20]!r} is no name", create(name), 422, loc=["buffer_id"])
        for name in ("", ".a", "-a", "_a", "a b", "a/b", "../a", "a\n", "a\x00", "é", "a" * 129)
    ),
    *(Rule(f"{name[:20]!r} is a name", create(name)) for name in ("a", "0", "A.b_c-9", "a" * 128)),
    Rule(
        "an integer that float64 cannot hold is 422",
        raw("big", b'[{"a":9007199254740993}]'),
        422,
        setup=(create("big"),),
        unchanged=POLARS + "/buffers/big",
    ),
    Rule(
        "an integer that float64 holds exactly is fine",
        raw("exact", b'[{"a":9007199254740994}]'),
        setup=(create("exact"),),
    ),
    Rule(
        "a number beyond float64 is refused",
        raw("huge", b'[{"a":1},{"a":1e999}]'),
        422,
        setup=(create("huge"),),
        unchanged=POLARS + "/buffers/huge",
    ),
    *(
        Rule(
            f"a number beyond float64 in {where} is refused",
            ("POST", POLARS + "/buffers", b'{"buffer_id":"beyond",%s}' % text),
            422,
            loc=[field],
            unchanged=POLARS + "/buffers",
        )
        for where, field, text in (
            ("a field", "window_size", b'"window_size":1e400'),
            ("an unknown field", "x", b'"x":{"a":[1e400]}'),
        )
    ),
    Rule("sizes have a limit", create("large", window_size=10_000_001), 422, loc=["window_size"]),
    Rule(
        "a field of megabytes is refused unread", create("large", window_size=[[1]] * 300_000), 422, loc=["window_size"]
    ),
    Rule(
        "an unknown field of megabytes is ignored unread",
        create("wide", colour=[[1]] * 300_000),
        expect={"warnings": ["unknown field 'colour' was ignored"]},
    ),
    Rule(
        "of many unknown fields some are named",
        create("fields", **{f"c{n}": n for n in range(100_000)}),
        expect={
            "warnings": [
                *(f"unknown field 'c{n}' was ignored" for n in range(20)),
                "99980 more unknown fields were ignored",
            ]
        },
    ),
    Rule(
        "windows have a limit",
        create("many", window_size=2000, rolling_windows=list(range(1, 1002))),
        422,
        loc=["rolling_windows"],
    ),
]
