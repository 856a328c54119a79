"""'Buffers, Polars view' of the contract."""

from tests.contract.rows_common import POLARS, append, create
from tests.contract.rule import Rule

ONE_TO_SIX = [{"a": float(n)} for n in range(1, 7)]
STATS = "buffer_id size window_size columns numeric_columns memory_bytes append_count avg_append_ms"
DATA = "object buffer_id rows columns data"


def features(name, **fields):
    return ("POST", POLARS + "/features", {"buffer_id": name} | fields)


def get(name, rest=""):
    return ("GET", f"{POLARS}/buffers/{name}{rest}")


def filled(name, rows=ONE_TO_SIX, **fields):
    return (create(name, **fields), append(name, rows))


CREATE = [
    Rule(
        "a buffer is created",
        create("c1"),
        keys="object buffer_id window_size status",
        expect={"object": "buffer_created", "buffer_id": "c1", "window_size": 100, "status": "created"},
    ),
    Rule(
        "window_size is 1000 unless sent",
        ("POST", POLARS + "/buffers", {"buffer_id": "c2"}),
        expect={"window_size": 1000},
    ),
    Rule(
        "a buffer that exists is 409",
        create("c3"),
        409,
        setup=(create("c3", window_size=50),),
        unchanged=POLARS + "/buffers/c3",
        says=("c3",),
    ),
    Rule("window_size is at least 10", create("c4", window_size=9), 422, loc=["window_size"]),
    Rule("a refused buffer is not created", get("c4"), 404, says=("c4",)),
    Rule("window_size may be ten million", create("c5", window_size=10_000_000)),
    Rule("memory does not grow with window_size", get("c5"), expect={"size": 0, "memory_bytes": int}),
    Rule("declared windows are positive", create("c6", rolling_windows=[0]), 422, loc=["rolling_windows", 0]),
    Rule("declared windows are distinct", create("c7", rolling_windows=[5, 5]), 422, loc=["rolling_windows", 1]),
    Rule("declared windows fit window_size", create("c8", rolling_windows=[101]), 422, loc=["rolling_windows", 0]),
    Rule("declared lags are positive", create("c9", lag_periods=[-1]), 422, loc=["lag_periods", 0]),
    Rule("declared lags are distinct", create("c10", lag_periods=[2, 2]), 422, loc=["lag_periods", 1]),
    Rule("declared lags fit window_size", create("c11", lag_periods=[101]), 422, loc=["lag_periods", 0]),
]

APPEND = [
    Rule(
        "several rows are appended",
        append("a1", ONE_TO_SIX),
        setup=(create("a1"),),
        keys="object buffer_id appended buffer_size avg_append_ms",
        expect={"object": "append_result", "buffer_id": "a1", "appended": 6, "buffer_size": 6, "avg_append_ms": float},
    ),
    Rule(
        "one row is appended", append("a2", {"a": 1}), setup=(create("a2"),), expect={"appended": 1, "buffer_size": 1}
    ),
    Rule("[] appends no rows", append("a3", []), setup=(create("a3"),), expect={"appended": 0, "buffer_size": 0}),
    Rule("{} appends a row of nulls", append("a4", {}), setup=filled("a4"), expect={"appended": 1, "buffer_size": 7}),
    Rule(
        "the row of nulls is there",
        get("a5", "/data?tail=1"),
        setup=(*filled("a5"), append("a5", {})),
        expect={"data": [{"a": None}]},
    ),
    Rule("appending to an unknown buffer is 404", append("a-none", [{"a": 1}]), 404, says=("a-none",)),
    Rule("nothing is created by it", get("a-none"), 404),
    Rule("rows are required", ("POST", POLARS + "/append", {"buffer_id": "a6"}), 422, loc=["data"]),
    Rule("null is no rows", append("a6", None), 422, loc=["data"]),
    Rule("lists are no rows here", append("a6", [[1, 2]]), 422, loc=["data"]),
    Rule("a number is no rows", append("a6", 1), 422, loc=["data"]),
    Rule(
        "the newest rows are kept",
        get("a7", "/data"),
        setup=(create("a7", window_size=10), append("a7", [{"a": n} for n in range(25)])),
        expect={"rows": 10, "data": [{"a": float(n)} for n in range(15, 25)]},
    ),
    Rule(
        "key order of a row never matters",
        get("a8", "/data"),
        setup=(create("a8"), append("a8", [{"a": 1, "b": 2}, {"b": 4, "a": 3}])),
        expect={"columns": ["a", "b"], "data": [{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.0}]},
    ),
    Rule(
        "a missing key is null",
        get("a9", "/data"),
        setup=(create("a9"), append("a9", [{"a": 1, "b": 2}, {"a": 3}])),
        expect={"data": [{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": None}]},
    ),
    Rule(
        "a new key adds a column, null before it",
        get("a10", "/data"),
        setup=(create("a10"), append("a10", {"a": 1}), append("a10", {"a": 2, "b": 3})),
        expect={"columns": ["a", "b"], "data": [{"a": 1.0, "b": None}, {"a": 2.0, "b": 3.0}]},
    ),
    Rule(
        "null is a missing value",
        get("a11", "/data"),
        setup=(create("a11"), append("a11", [{"a": None}, {"a": 2}])),
        expect={"data": [{"a": None}, {"a": 2.0}]},
    ),
    Rule(
        "a value of another type is 422",
        append("a12", [{"a": 1}, {"a": "x"}]),
        422,
        setup=filled("a12"),
        loc=["data", 1, "a"],
        unchanged=POLARS + "/buffers/a12/data",
    ),
    Rule(
        "a list in a cell is 422",
        append("a13", [{"a": [1]}]),
        422,
        setup=filled("a13"),
        loc=["data", 0, "a"],
        unchanged=POLARS + "/buffers/a13/data",
    ),
    Rule(
        "a batch with a bad row appends nothing",
        append("a14", [{"a": 1}, {"a": 2}, 3]),
        422,
        setup=filled("a14"),
        unchanged=POLARS + "/buffers/a14/data",
    ),
    Rule(
        "a refused batch adds no column",
        append("a15", [{"a": 1, "new": 1}, {"a": "x"}]),
        422,
        setup=filled("a15"),
        unchanged=POLARS + "/buffers/a15",
    ),
    Rule(
        "text columns are kept",
        get("a16", "/data"),
        setup=(create("a16"), append("a16", [{"a": "x"}, {"a": None}, {"a": "ü\n"}])),
        expect={"data": [{"a": "x"}, {"a": None}, {"a": "ü\n"}]},
    ),
    Rule(
        "boolean columns are kept",
        get("a17", "/data"),
        setup=(create("a17"), append("a17", [{"a": True}, {"a": None}, {"a": False}])),
        expect={"data": [{"a": True}, {"a": None}, {"a": False}]},
    ),
    Rule(
        "a number in a text column is 422",
        append("a18", [{"a": 1}]),
        422,
        setup=(create("a18"), append("a18", [{"a": "x"}])),
        loc=["data", 0, "a"],
    ),
    Rule(
        "a new key in a buffer with declared windows is taken",
        append("a19", [{"b": 1}]),
        setup=filled("a19", rolling_windows=[2]),
    ),
    Rule(
        "... unless it declares too many features",
        append("a20", [{f"c{n}": 1.0 for n in range(51)}]),
        422,
        setup=(create("a20", lag_periods=list(range(1, 101))),),
        loc=["data"],
        says=("10000",),
        unchanged=POLARS + "/buffers/a20",
    ),
]

FEATURES = [
    Rule(
        "features follow the rows, in order",
        features("f1", rolling_windows=[2], lag_periods=[1], include_deltas=True, tail=1),
        setup=filled("f1"),
        keys=DATA,
        expect={
            "object": "polars_data",
            "buffer_id": "f1",
            "rows": 1,
            "columns": [
                "a",
                "a_rolling_mean_2",
                "a_rolling_std_2",
                "a_rolling_min_2",
                "a_rolling_max_2",
                "a_lag_1",
                "a_delta_1",
            ],
            "data": [
                {
                    "a": 6.0,
                    "a_rolling_mean_2": 5.5,
                    "a_rolling_std_2": 0.5**0.5,
                    "a_rolling_min_2": 5.0,
                    "a_rolling_max_2": 6.0,
                    "a_lag_1": 5.0,
                    "a_delta_1": 1.0,
                }
            ],
        },
    ),
    Rule(
        "windows are 5, 10, 20 and lags 1, 2, 3 unless sent",
        features("f2", include_rolling_stats=["mean"], tail=1),
        setup=filled("f2"),
        expect={
            "columns": [
                "a",
                "a_rolling_mean_5",
                "a_rolling_mean_10",
                "a_rolling_mean_20",
                "a_lag_1",
                "a_lag_2",
                "a_lag_3",
            ]
        },
    ),
    Rule(
        "... without those above window_size",
        features("f3", include_rolling_stats=["mean"], include_lags=False),
        setup=filled("f3", window_size=10),
        expect={"columns": ["a", "a_rolling_mean_5", "a_rolling_mean_10"]},
    ),
    Rule(
        "... or those declared at creation",
        features("f4", include_rolling_stats=["max"], tail=1),
        setup=filled("f4", rolling_windows=[3], lag_periods=[2]),
        expect={
            "columns": ["a", "a_rolling_max_3", "a_lag_2"],
            "data": [{"a": 6.0, "a_rolling_max_3": 6.0, "a_lag_2": 4.0}],
        },
    ),
    Rule(
        "windows keep the order of the request",
        features("f5", rolling_windows=[3, 2], include_rolling_stats=["min"], include_lags=False, tail=1),
        setup=filled("f5"),
        expect={"columns": ["a", "a_rolling_min_3", "a_rolling_min_2"]},
    ),
    Rule(
        "statistics come in the order mean, std, min, max",
        features("f6", rolling_windows=[2], include_rolling_stats=["max", "mean"], include_lags=False, tail=1),
        setup=filled("f6"),
        expect={"columns": ["a", "a_rolling_mean_2", "a_rolling_max_2"]},
    ),
    Rule(
        "a rolling value needs its full window",
        features("f7", rolling_windows=[5], include_rolling_stats=["mean"], include_lags=False),
        setup=filled("f7"),
        expect={
            "data": [
                *({"a": float(n), "a_rolling_mean_5": None} for n in range(1, 5)),
                {"a": 5.0, "a_rolling_mean_5": 3.0},
                {"a": 6.0, "a_rolling_mean_5": 4.0},
            ]
        },
    ),
    Rule(
        "... or min_samples values",
        features("f8", rolling_windows=[5], include_rolling_stats=["mean"], include_lags=False, min_samples=1, tail=5),
        setup=filled("f8"),
        expect={
            "data": [
                {"a_rolling_mean_5": 1.5},
                {"a_rolling_mean_5": 2.0},
                {"a_rolling_mean_5": 2.5},
                {"a_rolling_mean_5": 3.0},
                {"a_rolling_mean_5": 4.0},
            ]
        },
    ),
    Rule(
        "the std of one value is null",
        features("f9", rolling_windows=[1], include_rolling_stats=["std"], include_lags=False, tail=1),
        setup=filled("f9"),
        expect={"data": [{"a": 6.0, "a_rolling_std_1": None}]},
    ),
    Rule(
        "constant values have std 0",
        features("f10", rolling_windows=[3], include_rolling_stats=["std"], include_lags=False, tail=1),
        setup=filled("f10", [{"a": 0.1}] * 4),
        expect={"data": [{"a": 0.1, "a_rolling_std_3": 0.0}]},
    ),
    Rule(
        "missing values do not count",
        features("f11", rolling_windows=[3], include_rolling_stats=["mean"], include_lags=False, min_samples=2, tail=1),
        setup=filled("f11", [{"a": 1}, {"a": None}, {"a": 3}]),
        expect={"data": [{"a": 3.0, "a_rolling_mean_3": 2.0}]},
    ),
    Rule(
        "text columns have no features",
        features("f12", rolling_windows=[1], include_rolling_stats=["mean"], include_lags=False),
        setup=filled("f12", [{"t": "x", "a": 1}]),
        expect={"columns": ["t", "a", "a_rolling_mean_1"]},
    ),
    Rule(
        "a window is positive",
        features("f13", rolling_windows=[0]),
        422,
        setup=filled("f13"),
        loc=["rolling_windows", 0],
    ),
    Rule(
        "windows are distinct",
        features("f14", rolling_windows=[3, 3]),
        422,
        setup=filled("f14"),
        loc=["rolling_windows", 1],
    ),
    Rule(
        "a window is at most window_size",
        features("f15", rolling_windows=[101]),
        422,
        setup=filled("f15"),
        loc=["rolling_windows", 0],
    ),
    Rule(
        "a lag is at most window_size",
        features("f16", lag_periods=[101]),
        422,
        setup=filled("f16"),
        loc=["lag_periods", 0],
    ),
    Rule("a lag is positive", features("f17", lag_periods=[0]), 422, setup=filled("f17"), loc=["lag_periods", 0]),
    Rule(
        "an unknown statistic is 422",
        features("f18", include_rolling_stats=["mean", "median"]),
        422,
        setup=filled("f18"),
        loc=["include_rolling_stats", 1],
    ),
    Rule("tail is at least 1", features("f19", tail=0), 422, setup=filled("f19"), loc=["tail"]),
    Rule("min_samples is at least 1", features("f20", min_samples=0), 422, setup=filled("f20"), loc=["min_samples"]),
    Rule("features of an unknown buffer are 404", features("f-none"), 404, says=("f-none",)),
    Rule(
        "a generated name that is a column is 409",
        features("f21", rolling_windows=[2]),
        409,
        setup=filled("f21", [{"a": 1, "a_rolling_mean_2": 2}]),
    ),
    Rule(
        "a tail is computed as if over all",
        features("f22", rolling_windows=[6], include_rolling_stats=["mean"], include_lags=False, tail=1),
        setup=filled("f22"),
        expect={"data": [{"a": 6.0, "a_rolling_mean_6": 3.5}]},
    ),
    Rule("a tail beyond the rows is all rows", features("f23", tail=1000), setup=filled("f23"), expect={"rows": 6}),
    Rule(
        "an empty buffer has no rows",
        features("f24"),
        setup=(create("f24"),),
        expect={"rows": 0, "columns": [], "data": []},
    ),
    Rule(
        "a declared window keeps the values a row arrived with",
        features("f25", tail=10),
        setup=(
            create("f25", window_size=10, rolling_windows=[10], lag_periods=[5]),
            append("f25", [{"a": n} for n in range(20)]),
        ),
        expect={"data": [{"a": float(n), "a_rolling_mean_10": n - 4.5, "a_lag_5": n - 5.0} for n in range(10, 20)]},
    ),
    Rule(
        "... also when the request sends the min_samples in force",
        features("f27", tail=10, min_samples=10, include_lags=False),
        setup=(
            create("f27", window_size=10, rolling_windows=[10]),
            append("f27", [{"a": n} for n in range(20)]),
        ),
        expect={"data": [{"a": float(n), "a_rolling_mean_10": n - 4.5} for n in range(10, 20)]},
    ),
    Rule(
        "... and no more when it sends another",
        features("f28", min_samples=9, include_lags=False, include_rolling_stats=["mean"]),
        setup=(
            create("f28", window_size=10, rolling_windows=[10]),
            append("f28", [{"a": n} for n in range(20)]),
        ),
        expect={
            "data": [
                *({"a": float(n), "a_rolling_mean_10": None} for n in range(10, 18)),
                {"a": 18.0, "a_rolling_mean_10": 14.0},
                {"a": 19.0, "a_rolling_mean_10": 14.5},
            ]
        },
    ),
    Rule(
        "an empty buffer that declares windows has no rows",
        features("f29", include_deltas=True),
        setup=(
            create("f29", rolling_windows=[2], lag_periods=[60]),
            append("f29", {"a": 1}),
            ("POST", POLARS + "/buffers/f29/clear"),
        ),
        expect={"rows": 0, "data": []},
    ),
    Rule(
        "other windows see only the rows held",
        features("f26", rolling_windows=[5], include_rolling_stats=["mean"], include_lags=False),
        setup=(create("f26", window_size=10), append("f26", [{"a": n} for n in range(20)])),
        expect={
            "data": [
                *({"a_rolling_mean_5": None} for _ in range(4)),
                *({"a_rolling_mean_5": n - 2.0} for n in range(14, 20)),
            ]
        },
    ),
]

READ = [
    Rule(
        "all buffers are listed",
        ("GET", POLARS + "/buffers"),
        setup=filled("r1"),
        keys="object data total",
        expect={"object": "list", "data": list, "total": int},
    ),
    Rule(
        "a buffer has statistics",
        get("r2"),
        setup=filled("r2", [{"a": 1, "t": "x"}]),
        keys=STATS,
        expect={
            "buffer_id": "r2",
            "size": 1,
            "window_size": 100,
            "columns": ["a", "t"],
            "numeric_columns": ["a"],
            "memory_bytes": int,
            "append_count": 1,
            "avg_append_ms": float,
        },
    ),
    Rule(
        "append_count counts rows ever appended",
        get("r3"),
        setup=(create("r3", window_size=10), append("r3", [{"a": n} for n in range(25)])),
        expect={"size": 10, "append_count": 25},
    ),
    Rule("statistics of an unknown buffer are 404", get("r-none"), 404, says=("r-none",)),
    Rule(
        "rows are read",
        get("r4", "/data"),
        setup=filled("r4"),
        keys=DATA,
        expect={"object": "polars_data", "rows": 6, "columns": ["a"], "data": ONE_TO_SIX},
    ),
    Rule(
        "tail reads the newest",
        get("r5", "/data?tail=2"),
        setup=filled("r5"),
        expect={"rows": 2, "data": ONE_TO_SIX[-2:]},
    ),
    Rule(
        "with_features reads features",
        get("r6", "/data?tail=1&with_features=true"),
        setup=filled("r6", lag_periods=[1], rolling_windows=[2]),
        expect={
            "columns": ["a", "a_rolling_mean_2", "a_rolling_std_2", "a_rolling_min_2", "a_rolling_max_2", "a_lag_1"]
        },
    ),
    Rule("tail in the query is at least 1", get("r7", "/data?tail=0"), 422, setup=filled("r7"), loc=["tail"]),
    Rule("tail in the query is a number", get("r8", "/data?tail=x"), 422, setup=filled("r8"), loc=["tail"]),
    Rule(
        "with_features is a boolean",
        get("r9", "/data?with_features=perhaps"),
        422,
        setup=filled("r9"),
        loc=["with_features"],
    ),
    Rule("rows of an unknown buffer are 404", get("r-none", "/data"), 404),
    Rule(
        "clear drops the rows",
        ("POST", POLARS + "/buffers/r10/clear"),
        setup=filled("r10"),
        keys="cleared buffer_id size",
        expect={"cleared": True, "buffer_id": "r10", "size": 0},
    ),
    Rule(
        "clear ignores a body",
        ("POST", POLARS + "/buffers/r11/clear", b"{no json"),
        setup=filled("r11"),
        expect={"cleared": True},
    ),
    Rule(
        "clear keeps columns and counts",
        get("r12"),
        setup=(*filled("r12"), ("POST", POLARS + "/buffers/r12/clear")),
        expect={"size": 0, "columns": ["a"], "append_count": 6},
    ),
    Rule(
        "clear keeps types",
        append("r13", {"a": "x"}),
        422,
        setup=(*filled("r13"), ("POST", POLARS + "/buffers/r13/clear")),
        loc=["data", 0, "a"],
    ),
    Rule("clear of an unknown buffer is 404", ("POST", POLARS + "/buffers/r-none/clear"), 404),
    Rule(
        "delete",
        ("DELETE", POLARS + "/buffers/r14"),
        setup=filled("r14"),
        keys="deleted buffer_id",
        expect={"deleted": True, "buffer_id": "r14"},
    ),
    Rule("what is deleted is gone", get("r15"), 404, setup=(*filled("r15"), ("DELETE", POLARS + "/buffers/r15"))),
    Rule(
        "a deleted name can be created anew", create("r16"), setup=(*filled("r16"), ("DELETE", POLARS + "/buffers/r16"))
    ),
    Rule("delete of an unknown buffer is 404", ("DELETE", POLARS + "/buffers/r-none"), 404),
    Rule(
        "an unknown query parameter is ignored with a warning",
        get("r17", "/data?colour=red"),
        setup=filled("r17"),
        expect={"warnings": ["unknown field 'colour' was ignored"]},
    ),
]

STAT = {"include_rolling_stats": ["mean"], "include_lags": False}
KEPT = (create("k", window_size=10, rolling_windows=[10]), append("k", [{"a": n} for n in range(20)]))

EDGES = [
    Rule(
        "min_samples is at most the window",
        features("e1", rolling_windows=[2], min_samples=5, tail=1, **STAT),
        setup=filled("e1"),
        expect={"data": [{"a": 6.0, "a_rolling_mean_2": 5.5}]},
    ),
    Rule(
        "a declared window asked with another min_samples sees the rows held",
        features("k", rolling_windows=[10], min_samples=1, **STAT),
        setup=KEPT,
        expect={"data": [{"a_rolling_mean_10": 10.0 + n / 2} for n in range(10)]},
    ),
    Rule(
        "deltas come without lags",
        features("e3", rolling_windows=[], include_lags=False, lag_periods=[2], include_deltas=True, tail=1),
        setup=filled("e3"),
        expect={"columns": ["a", "a_delta_2"], "data": [{"a": 6.0, "a_delta_2": 2.0}]},
    ),
    Rule(
        "lags and deltas that reach before the first row are null",
        features("e4", rolling_windows=[], lag_periods=[6], include_deltas=True, tail=1),
        setup=filled("e4"),
        expect={"data": [{"a": 6.0, "a_lag_6": None, "a_delta_6": None}]},
    ),
    Rule(
        "the lag of a missing value is null",
        features("e5", rolling_windows=[], lag_periods=[1], include_deltas=True, tail=1),
        setup=filled("e5", [{"a": None}, {"a": 2}]),
        expect={"data": [{"a": 2.0, "a_lag_1": None, "a_delta_1": None}]},
    ),
    Rule(
        "features come column by column, windows, lags, deltas",
        features("e6", rolling_windows=[2], include_rolling_stats=["mean"], lag_periods=[2, 1], include_deltas=True),
        setup=filled("e6", [{"b": 1, "a": 2}]),
        expect={
            "columns": [
                "b",
                "a",
                "b_rolling_mean_2",
                "b_lag_2",
                "b_lag_1",
                "b_delta_2",
                "b_delta_1",
                "a_rolling_mean_2",
                "a_lag_2",
                "a_lag_1",
                "a_delta_2",
                "a_delta_1",
            ]
        },
    ),
    Rule(
        "boolean columns have no features",
        features("e7", rolling_windows=[1], **STAT),
        setup=filled("e7", [{"on": True, "a": 1}]),
        expect={"columns": ["on", "a", "a_rolling_mean_1"]},
    ),
    Rule(
        "a column without a value has no features",
        features("e8", rolling_windows=[1], **STAT),
        setup=filled("e8", [{"n": None, "a": 1}]),
        expect={"columns": ["n", "a", "a_rolling_mean_1"], "data": [{"n": None, "a": 1.0, "a_rolling_mean_1": 1.0}]},
    ),
    Rule(
        "its first value gives it a type",
        append("e9", {"n": "x"}),
        422,
        setup=(*filled("e9", [{"n": None}]), append("e9", {"n": 1})),
        loc=["data", 0, "n"],
    ),
    Rule(
        "a late column counts as missing before",
        features("e10", rolling_windows=[2], min_samples=1, tail=2, **STAT),
        setup=(*filled("e10", [{"a": 1}]), append("e10", [{"a": 2, "b": 4}])),
        expect={"data": [{"b": None, "b_rolling_mean_2": None}, {"b": 4.0, "b_rolling_mean_2": 4.0}]},
    ),
    Rule(
        "more than a thousand windows are refused",
        features("e11", rolling_windows=list(range(1, 1002))),
        422,
        setup=filled("e11", window_size=2000),
        loc=["rolling_windows"],
    ),
    Rule("lags are distinct", features("e12", lag_periods=[1, 1]), 422, setup=filled("e12"), loc=["lag_periods", 1]),
    Rule(
        "a late column may not have the name of a declared feature",
        append("e13", {"a_lag_1": 1}),
        409,
        setup=filled("e13", lag_periods=[1]),
        unchanged=POLARS + "/buffers/e13",
    ),
    Rule(
        "clear keeps declared windows",
        features("e14", tail=1),
        setup=(
            *filled("e14", rolling_windows=[2], lag_periods=[1]),
            ("POST", POLARS + "/buffers/e14/clear"),
            append("e14", [{"a": 1}, {"a": 3}]),
        ),
        expect={"data": [{"a": 3.0, "a_rolling_mean_2": 2.0, "a_lag_1": 1.0}]},
    ),
    Rule(
        "what was cleared is in no window",
        features("e15", tail=1),
        setup=(
            *filled("e15", rolling_windows=[2], lag_periods=[1]),
            ("POST", POLARS + "/buffers/e15/clear"),
            append("e15", [{"a": 1}]),
        ),
        expect={"data": [{"a": 1.0, "a_rolling_mean_2": None, "a_lag_1": None}]},
    ),
    Rule(
        "buffers of streams are no buffers here",
        get("e16"),
        404,
        setup=(("POST", "/v1/ml/anomaly/stream", {"model": "e16", "data": {"a": 1}}),),
    ),
    Rule(
        "a field of features that is unknown is ignored with a warning",
        features("e17", colour="red"),
        setup=filled("e17"),
        expect={"warnings": ["unknown field 'colour' was ignored"]},
    ),
]

RULES = [*CREATE, *APPEND, *FEATURES, *READ, *EDGES]
