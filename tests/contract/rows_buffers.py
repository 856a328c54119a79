"""'Buffers, named view' of the contract."""

from tests.contract.rows_common import POLARS
from tests.contract.rows_common import create as create_polars
from tests.contract.rule import Rule

BUFFERS = "/v1/ml/buffers"
ROWS = [{"cpu": float(n), "mem": 2.0 * n} for n in range(1, 7)]


def create(name, **fields):
    return ("POST", BUFFERS, {"name": name, "columns": ["cpu", "mem"], "max_size": 100} | fields)


def append(name, data):
    return ("POST", f"{BUFFERS}/{name}/append", {"data": data})


def get(name, what):
    return ("GET", f"{BUFFERS}/{name}/{what}")


def filled(name, **fields):
    return (create(name, **fields), append(name, ROWS))


RULES = [
    Rule(
        "a named buffer is created",
        create("n1", rolling_windows=[2], lag_periods=[1]),
        keys="name max_size columns rolling_windows lag_periods current_size created_at",
        expect={
            "name": "n1",
            "max_size": 100,
            "columns": ["cpu", "mem"],
            "rolling_windows": [2],
            "lag_periods": [1],
            "current_size": 0,
            "created_at": str,
        },
    ),
    Rule(
        "max_size is 10000 unless sent",
        ("POST", BUFFERS, {"name": "n2", "columns": ["a"]}),
        expect={"max_size": 10_000, "rolling_windows": [], "lag_periods": []},
    ),
    Rule("columns are required", ("POST", BUFFERS, {"name": "n3"}), 422, loc=["columns"]),
    Rule("at least one column", create("n3", columns=[]), 422, loc=["columns"]),
    Rule("columns are texts", create("n3", columns=["a", 1]), 422, loc=["columns", 1]),
    Rule("columns are distinct", create("n3", columns=["a", "a"]), 422, loc=["columns", 1]),
    Rule("columns have a limit", create("n3", columns=[f"c{n}" for n in range(2001)]), 422, loc=["columns"]),
    Rule("a million columns are refused at once", create("n3", columns=["a"] * 1_000_000), 422, loc=["columns"]),
    Rule(
        "declared features have a limit",
        create("n3", columns=[f"c{n}" for n in range(1500)], rolling_windows=[2, 3]),
        422,
        loc=["rolling_windows"],
    ),
    Rule("max_size is at least 10", create("n3", max_size=9), 422, loc=["max_size"]),
    Rule("windows fit max_size", create("n3", rolling_windows=[101]), 422, loc=["rolling_windows", 0]),
    Rule("a name that exists is 409", create("n4"), 409, setup=(create("n4"),)),
    Rule("both views share one store", create("n5"), 409, setup=(create_polars("n5"),)),
    Rule(
        "... and see each other's buffers",
        ("GET", POLARS + "/buffers/n6"),
        setup=filled("n6"),
        expect={"buffer_id": "n6", "size": 6, "window_size": 100, "columns": ["cpu", "mem"]},
    ),
    Rule(
        "named buffers are listed",
        ("GET", BUFFERS),
        setup=filled("n7"),
        keys="buffers total_buffers total_memory_bytes",
        expect={"buffers": list, "total_buffers": int, "total_memory_bytes": int},
    ),
    Rule(
        "named rows are appended",
        append("n8", ROWS),
        setup=(create("n8"),),
        keys="rows_appended current_size rows_dropped",
        expect={"rows_appended": 6, "current_size": 6, "rows_dropped": 0},
    ),
    Rule(
        "the rows that leave are counted",
        append("n9", ROWS),
        setup=filled("n9", max_size=10),
        expect={"rows_appended": 6, "current_size": 10, "rows_dropped": 2},
    ),
    Rule("at least one row", append("n10", []), 422, setup=filled("n10"), loc=["data"]),
    Rule("a named append takes a list", append("n11", {"cpu": 1, "mem": 2}), 422, setup=filled("n11"), loc=["data"]),
    Rule(
        "exactly the declared columns: one is missing",
        append("n12", [{"cpu": 1}]),
        422,
        setup=filled("n12"),
        unchanged=BUFFERS + "/n12/data",
    ),
    Rule(
        "exactly the declared columns: one too many",
        append("n13", [{"cpu": 1, "mem": 2, "disk": 3}]),
        422,
        setup=filled("n13"),
        unchanged=BUFFERS + "/n13/data",
    ),
    Rule(
        "numbers or null",
        append("n14", [{"cpu": 1, "mem": "x"}]),
        422,
        setup=filled("n14"),
        loc=["data", 0, "mem"],
        unchanged=BUFFERS + "/n14/data",
    ),
    Rule("null is taken", append("n15", [{"cpu": None, "mem": 2}]), setup=filled("n15"), expect={"rows_appended": 1}),
    Rule("append to an unknown name is 404", append("n-none", ROWS), 404, says=("n-none",)),
    Rule(
        "the newest row's features",
        get("n16", "features"),
        setup=filled("n16", rolling_windows=[2], lag_periods=[1]),
        keys="name row_count feature_count features",
        expect={
            "name": "n16",
            "row_count": 6,
            "feature_count": 12,
            "features": {
                "cpu_rolling_mean_2": 5.5,
                "cpu_rolling_std_2": 0.5**0.5,
                "cpu_rolling_min_2": 5.0,
                "cpu_rolling_max_2": 6.0,
                "cpu_lag_1": 5.0,
                "cpu_delta_1": 1.0,
                "mem_rolling_mean_2": 11.0,
                "mem_lag_1": 10.0,
                "mem_delta_1": 2.0,
            },
        },
    ),
    Rule(
        "features are null while there are too few rows",
        get("n17", "features"),
        setup=filled("n17", rolling_windows=[10], lag_periods=[6]),
        expect={"feature_count": 12, "features": {"cpu_rolling_mean_10": None, "cpu_lag_6": None, "cpu_delta_6": None}},
    ),
    Rule(
        "features of no rows",
        get("n18", "features"),
        setup=(create("n18", rolling_windows=[2]),),
        expect={"row_count": 0, "feature_count": 8, "features": {"cpu_rolling_mean_2": None}},
    ),
    Rule("features of an unknown name are 404", get("n-none", "features"), 404),
    Rule(
        "named rows are read",
        get("n19", "data"),
        setup=filled("n19"),
        keys="name current_size returned_rows offset columns data",
        expect={
            "name": "n19",
            "current_size": 6,
            "returned_rows": 6,
            "offset": 0,
            "columns": ["cpu", "mem"],
            "data": ROWS,
        },
    ),
    Rule(
        "offset and limit choose rows",
        get("n20", "data?offset=1&limit=2"),
        setup=filled("n20"),
        expect={"returned_rows": 2, "offset": 1, "data": ROWS[1:3]},
    ),
    Rule(
        "last chooses the newest",
        get("n21", "data?last=2"),
        setup=filled("n21"),
        expect={"returned_rows": 2, "offset": 4, "data": ROWS[4:]},
    ),
    Rule(
        "an offset beyond the rows reads none",
        get("n22", "data?offset=100"),
        setup=filled("n22"),
        expect={"returned_rows": 0, "data": []},
    ),
    Rule("an offset is not negative", get("n23", "data?offset=-1"), 422, setup=filled("n23"), loc=["offset"]),
    Rule(
        "last and offset exclude each other", get("n24", "data?last=1&offset=1"), 422, setup=filled("n24"), loc=["last"]
    ),
    Rule("rows of an unknown name are 404", get("n-none", "data"), 404),
    Rule(
        "a named buffer is deleted",
        ("DELETE", BUFFERS + "/n25"),
        setup=filled("n25"),
        keys="deleted memory_freed_bytes",
        expect={"deleted": "n25", "memory_freed_bytes": int},
    ),
    Rule("a deleted name is gone", get("n26", "data"), 404, setup=(*filled("n26"), ("DELETE", BUFFERS + "/n26"))),
    Rule("delete of an unknown name is 404", ("DELETE", BUFFERS + "/n-none"), 404),
    Rule("max_size is at most ten million", create("n27", max_size=10_000_001), 422, loc=["max_size"]),
    Rule("max_size may be ten million", create("n28", max_size=10_000_000), expect={"current_size": 0}),
    Rule("named view: windows are distinct", create("n29", rolling_windows=[5, 5]), 422, loc=["rolling_windows", 1]),
    Rule("named view: lags fit max_size", create("n29", lag_periods=[101]), 422, loc=["lag_periods", 0]),
    Rule("named view: lags are positive", create("n29", lag_periods=[0]), 422, loc=["lag_periods", 0]),
    Rule("a column has a name", create("n29", columns=[""]), 422, loc=["columns", 0]),
    Rule(
        "named view: a column may not have the name of a declared feature",
        create("n29", columns=["a", "a_lag_1"], lag_periods=[1]),
        409,
    ),
    Rule("named view: what was refused was not created", get("n29", "data"), 404),
    Rule(
        "named view: an unknown field is ignored with a warning",
        create("n30", colour="red"),
        expect={"warnings": ["unknown field 'colour' was ignored"]},
    ),
    Rule(
        "named view: rows are required", ("POST", BUFFERS + "/n31/append", {}), 422, setup=filled("n31"), loc=["data"]
    ),
    Rule(
        "named view: a batch with a bad row appends nothing",
        append("n32", [{"cpu": 1, "mem": 2}, {"cpu": True, "mem": 2}]),
        422,
        setup=filled("n32"),
        loc=["data", 1, "cpu"],
        unchanged=BUFFERS + "/n32/data",
    ),
    Rule(
        "limit alone reads from the oldest",
        get("n33", "data?limit=2"),
        setup=filled("n33"),
        expect={"returned_rows": 2, "offset": 0, "data": ROWS[:2]},
    ),
    Rule(
        "a last beyond the rows is all rows",
        get("n34", "data?last=100"),
        setup=filled("n34"),
        expect={"returned_rows": 6, "offset": 0, "data": ROWS},
    ),
    Rule("named view: limit is at least 1", get("n35", "data?limit=0"), 422, setup=filled("n35"), loc=["limit"]),
    Rule("named view: last is at least 1", get("n36", "data?last=0"), 422, setup=filled("n36"), loc=["last"]),
    Rule(
        "declared columns are exact in the other view too",
        ("POST", POLARS + "/append", {"buffer_id": "n37", "data": [{"cpu": 1, "mem": 2, "new": 3}]}),
        422,
        setup=filled("n37"),
        loc=["data", 0, "new"],
        unchanged=BUFFERS + "/n37/data",
    ),
    Rule(
        "declared features of the newest rows are live after the rows turned over",
        get("n38", "features"),
        setup=(
            create("n38", max_size=10, columns=["a"], rolling_windows=[10], lag_periods=[10]),
            append("n38", [{"a": float(n)} for n in range(25)]),
        ),
        expect={
            "row_count": 10,
            "features": {
                "a_rolling_mean_10": 19.5,
                "a_rolling_min_10": 15.0,
                "a_rolling_max_10": 24.0,
                "a_lag_10": 14.0,
                "a_delta_10": 10.0,
            },
        },
    ),
]
