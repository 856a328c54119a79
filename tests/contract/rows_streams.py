"""'Streaming' of the contract."""

import random

from tests.contract.rows_anomaly import ANOMALY
from tests.contract.rule import Rule

STREAM = ANOMALY + "/stream"
_chance = random.Random(11)
CALM = [{"a": _chance.gauss(0, 1), "b": _chance.gauss(0, 1)} for _ in range(60)]
RESULT = "object model status results model_version samples_collected samples_until_ready threshold"
STATS = (
    "object model_id backend status model_version samples_collected total_processed samples_since_retrain"
    " min_samples retrain_interval window_size threshold is_ready"
)


def send(name, data, **fields):
    return ("POST", STREAM, {"model": name, "data": data} | fields)


def get(name):
    return ("GET", f"{STREAM}/{name}")


def started(name, rows=5, **fields):
    return (send(name, CALM[:rows], min_samples=50, **fields),)


STREAMING = [
    Rule(
        "the first call creates the detector",
        send("t1", CALM[0]),
        keys=RESULT,
        expect={
            "object": "streaming_result",
            "model": "t1",
            "status": "collecting",
            "results": [
                {
                    "index": 0,
                    "score": None,
                    "is_anomaly": None,
                    "is_alert": False,
                    "raw_score": None,
                    "samples_until_ready": 49,
                }
            ],
            "model_version": 0,
            "samples_collected": 1,
            "samples_until_ready": 49,
            "threshold": 0.5,
        },
    ),
    Rule(
        "the row that completes min_samples trains version 1 and has no score",
        send("t2", CALM[49]),
        setup=(send("t2", CALM[:49]),),
        expect={
            "status": "ready",
            "results": [{"score": None, "samples_until_ready": 0}],
            "model_version": 1,
            "samples_until_ready": 0,
        },
    ),
    Rule(
        "the next row is the first one scored",
        send("t3", CALM[50]),
        setup=(send("t3", CALM[:50]),),
        expect={"results": [{"index": 0, "score": float, "is_anomaly": bool, "is_alert": bool, "raw_score": float}]},
    ),
    Rule(
        "a batch may straddle that point",
        send("t4", CALM[:52]),
        expect={
            "status": "ready",
            "results": [*({"score": None} for _ in range(50)), {"score": float}, {"score": float}],
        },
    ),
    Rule(
        "min_samples beyond window_size is 422",
        send("t5", CALM[0], min_samples=100, window_size=50),
        422,
        loc=["min_samples"],
    ),
    Rule("a refused first call creates nothing", get("t5"), 404),
    Rule(
        "a message begins with the field as it is written",
        send("t4b", CALM[0], min_samples=60, window_size=50),
        422,
        loc=["min_samples"],
        says=("'min_samples' is 60 and 'window_size' 50",),
    ),
    Rule("min_samples is at least 10", send("t5", CALM[0], min_samples=9), 422, loc=["min_samples"]),
    Rule("retrain_interval is at least 10", send("t5", CALM[0], retrain_interval=9), 422, loc=["retrain_interval"]),
    Rule("window_size is at least 50", send("t5", CALM[0], window_size=49), 422, loc=["window_size"]),
    Rule("threshold is at most 1", send("t5", CALM[0], threshold=1.5), 422, loc=["threshold"]),
    Rule(
        "an unknown backend of a stream is 422",
        send("t5", CALM[0], backend="magic"),
        422,
        loc=["backend"],
        says=("ecod",),
    ),
    Rule("{} as the first row is 422", send("t5", {}), 422, loc=["data", 0]),
    Rule("text in the first row is 422", send("t5", {"a": "x"}), 422, loc=["data", 0, "a"]),
    Rule("the name detectors is reserved", send("detectors", CALM[0]), 422, loc=["model"]),
    Rule("... to reset too", ("POST", STREAM + "/detectors/reset"), 422, loc=["model"], says=("reserved",)),
    Rule("... and to delete", ("DELETE", STREAM + "/detectors"), 422, loc=["model"], says=("reserved",)),
    Rule("rows of a stream are required", ("POST", STREAM, {"model": "t5"}), 422, loc=["data"]),
    Rule(
        "an empty batch is 200 without results",
        send("t6", []),
        setup=started("t6"),
        expect={"results": [], "samples_collected": 5},
    ),
    Rule(
        "list rows follow mappings by position",
        send("t7", [[1.0, 2.0]]),
        setup=started("t7"),
        expect={"samples_collected": 6},
    ),
    Rule("list rows of another width are 422", send("t8", [[1.0]]), 422, setup=started("t8"), unchanged=STREAM + "/t8"),
    Rule(
        "a column that a row lacks is missing and marked",
        send("t9", {"a": 0.5}),
        setup=(send("t9", CALM[:50]),),
        expect={"results": [{"score": float, "imputed": ["b"]}]},
    ),
    Rule(
        "an extra column is ignored with a warning",
        send("t10", {"a": 1, "b": 2, "c": 3}),
        setup=started("t10"),
        expect={"samples_collected": 6, "warnings": list},
    ),
    *(
        Rule(
            f"an extra column is ignored whatever it holds: {value!r}",
            send(f"t10{at}", [{"a": 1, "b": 2, "host": value}, {"b": 3}]),
            setup=started(f"t10{at}"),
            expect={"samples_collected": 7, "warnings": ["column 'host' is none of the stream's and was ignored"]},
        )
        for at, value in enumerate(("web-1", True, [1], {"b": 1}, 2**53 + 1))
    ),
    Rule(
        "... from the second row on, whose columns the first has fixed",
        send("t10x", [{"a": 1}, {"a": 2, "host": "web-1"}]),
        expect={"samples_collected": 2, "warnings": list},
    ),
    Rule(
        "... but the first row's are the stream's",
        send("t10y", [{"host": "web-1", "a": 1}, {"a": 2}]),
        422,
        loc=["data", 0, "host"],
    ),
    Rule(
        "... and so is what the stream's own columns hold",
        send("t10z", [{"host": "web-1", "a": 1}, {"a": True}]),
        422,
        setup=started("t10z"),
        unchanged=STREAM + "/t10z",
    ),
    Rule(
        "a row of extra columns alone is a row without values",
        send("t10w", {"host": "web-1"}),
        setup=(send("t10w", CALM[:50]),),
        expect={"results": [{"score": float, "imputed": ["a", "b"]}]},
    ),
    Rule(
        "text in a later row is 422 and keeps nothing",
        send("t11", [CALM[0], {"a": 1, "b": "x"}]),
        422,
        setup=started("t11"),
        loc=["data", 1, "b"],
        unchanged=STREAM + "/t11",
    ),
    Rule("threshold may change", send("t12", CALM[5], threshold=0.7), setup=started("t12"), expect={"threshold": 0.7}),
    Rule(
        "what is not sent keeps its value",
        send("t13", CALM[5]),
        setup=started("t13", threshold=0.7),
        expect={"threshold": 0.7},
    ),
    Rule(
        "another backend is 409",
        send("t14", CALM[5], backend="isolation_forest"),
        409,
        setup=started("t14"),
        says=("reset or delete it first",),
        unchanged=STREAM + "/t14",
    ),
    Rule(
        "another window_size is 409",
        send("t15", CALM[5], window_size=500),
        409,
        setup=started("t15"),
        unchanged=STREAM + "/t15",
    ),
    Rule(
        "the same parameters are no conflict",
        send("t16", CALM[5], backend="ecod", window_size=1000, min_samples=50),
        setup=started("t16"),
    ),
    Rule(
        "other rolling_windows are 409",
        send("v1", CALM[5], rolling_windows=[5]),
        409,
        setup=started("v1"),
        says=("rolling_windows", "reset or delete it first"),
        unchanged=STREAM + "/v1",
    ),
    Rule(
        "other lags are 409",
        send("v2", CALM[5], lag_periods=[2]),
        409,
        setup=started("v2", lag_periods=[1]),
        unchanged=STREAM + "/v2",
    ),
    Rule(
        "include_lags alone means the lags 1, 2, 3",
        get("v3"),
        setup=started("v3", include_lags=True),
        expect={"lag_periods": [1, 2, 3]},
    ),
    Rule(
        "lag_periods implies include_lags",
        get("v4"),
        setup=started("v4", lag_periods=[2, 7]),
        expect={"lag_periods": [2, 7]},
    ),
    Rule(
        "lag_periods with include_lags false is 422",
        send("v5", CALM[5], lag_periods=[2], include_lags=False),
        422,
        loc=["include_lags"],
    ),
    Rule(
        "a window of a stream fits window_size",
        send("v5", CALM[5], window_size=60, rolling_windows=[61]),
        422,
        loc=["rolling_windows"],
    ),
    Rule(
        "a lag of a stream fits window_size",
        send("v5", CALM[5], window_size=60, lag_periods=[61]),
        422,
        loc=["lag_periods"],
    ),
    Rule("a window of a stream twice is 422", send("v5", CALM[5], rolling_windows=[5, 5]), 422),
    Rule(
        "windows and lags feed the backend",
        send("v6", CALM[50]),
        setup=(send("v6", CALM[:50], rolling_windows=[5, 10], lag_periods=[1, 2]),),
        expect={"status": "ready", "results": [{"score": float, "raw_score": float}]},
    ),
    Rule(
        "a name of a feature is no name of a column",
        send("v7", {"a": 1.0, "a_lag_1": 2.0}, lag_periods=[1]),
        409,
        says=("a_lag_1",),
    ),
    Rule(
        "a first row refused for its names changes neither columns nor parameters",
        send("v7b", {"a": 1.0, "a_lag_1": 2.0}, threshold=0.9),
        409,
        setup=(send("v7b", [], lag_periods=[1]),),
        unchanged=STREAM + "/v7b",
    ),
    Rule(
        "more features than the limit are 422, at the windows",
        send("v7c", {f"c{at}": 1.0 for at in range(500)}, rolling_windows=[2, 3, 4, 5, 6, 7]),
        422,
        loc=["rolling_windows"],
        says=("12000 features", "10000"),
    ),
    Rule(
        "... or at the lags",
        send("v7d", {f"c{at}": 1.0 for at in range(500)}, lag_periods=list(range(1, 31))),
        422,
        loc=["lag_periods"],
    ),
    Rule(
        "a row may bring the min_samples that make it the last one",
        send("v8b", CALM[20], min_samples=10),
        setup=(send("v8b", CALM[:20]),),
        expect={"status": "ready", "results": [{"score": None, "samples_until_ready": 0}], "model_version": 1},
    ),
    Rule(
        "min_samples may change until version 1",
        send("v8", CALM[5], min_samples=20),
        setup=started("v8"),
        expect={"samples_until_ready": 14},
    ),
    Rule(
        "a changed min_samples is 409 once version 1 exists",
        send("v9", CALM[5], min_samples=20),
        409,
        setup=(send("v9", CALM[:50]),),
        unchanged=STREAM + "/v9",
    ),
    Rule(
        "contamination, retrain_interval, quiet_rows and normalization may change",
        send("v10", CALM[5], contamination=0.02, retrain_interval=77, quiet_rows=3, normalization="raw"),
        setup=started("v10"),
        expect={"samples_collected": 6},
    ),
    Rule(
        "a change of parameters is kept",
        get("v11"),
        setup=(*started("v11"), send("v11", [], contamination=0.02, retrain_interval=77, quiet_rows=3)),
        expect={"contamination": 0.02, "retrain_interval": 77, "quiet_rows": 3, "samples_collected": 5},
    ),
    Rule(
        "null in a row of a stream is missing and marked",
        send("v12", {"a": None, "b": 0.1}),
        setup=(send("v12", CALM[:50]),),
        expect={"results": [{"score": float, "imputed": ["a"]}]},
    ),
    Rule(
        "a row without any value is scored",
        send("v13", {"a": None, "b": None}),
        setup=(send("v13", CALM[:50]),),
        expect={"results": [{"score": float, "is_anomaly": False, "imputed": ["a", "b"]}]},
    ),
    Rule(
        "true in a row of a stream is 422",
        send("v14", {"a": True, "b": 0.1}),
        422,
        setup=started("v14"),
        loc=["data", 0, "a"],
        unchanged=STREAM + "/v14",
    ),
    Rule(
        "NaN in a row of a stream is 400",
        ("POST", STREAM, b'{"model":"v15","data":{"a":NaN,"b":1}}'),
        400,
        setup=started("v15"),
        unchanged=STREAM + "/v15",
    ),
    Rule(
        "a number beyond float64 in a row of a stream is refused",
        ("POST", STREAM, b'{"model":"v16","data":{"a":1e999,"b":1}}'),
        422,
        setup=started("v16"),
        unchanged=STREAM + "/v16",
    ),
    Rule(
        "the largest numbers are scored like any other",
        send("v17", {"a": 1e308, "b": -1e308}),
        setup=(send("v17", CALM[:50]),),
        expect={"results": [{"score": float, "is_anomaly": True, "is_alert": True}]},
    ),
    Rule(
        "a constant stream is silent",
        send("v18", [{"a": 3.5}] * 70),
        setup=(send("v18", [{"a": 3.5}] * 50),),
        expect={"results": [{"score": float, "is_anomaly": False} for _ in range(70)]},
    ),
    Rule(
        "five hundred columns are taken",
        send("v19", [{f"c{at}": float(at * row % 7) for at in range(500)} for row in range(52)]),
        expect={"status": "ready", "samples_collected": 52},
    ),
    Rule(
        "more columns than the limit are 422",
        send("v20", {f"c{at}": 1.0 for at in range(2001)}),
        422,
        says=("2000",),
    ),
    Rule(
        "samples_collected counts the rows in the window",
        send("v21", CALM[:45]),
        setup=(send("v21", CALM, window_size=50),),
        expect={"samples_collected": 50},
    ),
    Rule("conflicts come before rows", send("t17", {"a": "x"}, backend="isolation_forest"), 409, setup=started("t17")),
]

MANAGING = [
    Rule(
        "detectors are listed",
        ("GET", STREAM + "/detectors"),
        setup=started("u1"),
        keys="object data total",
        expect={"object": "list", "data": list, "total": int},
    ),
    Rule(
        "a detector tells its state",
        get("u2"),
        setup=started("u2"),
        expect={
            "object": "streaming_detector",
            "model_id": "u2",
            "backend": "ecod",
            "status": "collecting",
            "model_version": 0,
            "samples_collected": 5,
            "total_processed": 5,
            "samples_since_retrain": 5,
            "min_samples": 50,
            "retrain_interval": 100,
            "window_size": 1000,
            "threshold": 0.5,
            "is_ready": False,
        },
    ),
    Rule(
        "a detector tells an operator how it is doing",
        get("u8"),
        setup=(send("u8", CALM),),
        expect={
            "contamination": 0.1,
            "alarm_rate": float,
            "retrain_failures": 0,
            "last_error": None,
            "last_retrain_at": str,
            "last_retrain_ms": float,
            "model_version": 1,
            "memory_bytes": int,
        },
    ),
    Rule("an unknown detector is 404", get("u-none"), 404, says=("u-none",)),
    Rule(
        "reset starts anew",
        ("POST", STREAM + "/u3/reset"),
        setup=started("u3"),
        keys="object model status reset",
        expect={"object": "reset_result", "model": "u3", "status": "collecting", "reset": True},
    ),
    Rule(
        "reset forgets the rows",
        get("u4"),
        setup=(*started("u4"), ("POST", STREAM + "/u4/reset")),
        expect={"samples_collected": 0, "model_version": 0},
    ),
    Rule(
        "after a reset any parameter may change",
        send("u5", {"z": 1}, backend="isolation_forest", window_size=100),
        setup=(*started("u5"), ("POST", STREAM + "/u5/reset")),
        expect={"samples_collected": 1},
    ),
    Rule("reset of an unknown detector is 404", ("POST", STREAM + "/u-none/reset"), 404),
    Rule(
        "a detector is deleted",
        ("DELETE", STREAM + "/u6"),
        setup=started("u6"),
        keys="object model deleted",
        expect={"object": "delete_result", "model": "u6", "deleted": True},
    ),
    Rule("a deleted detector is gone", get("u7"), 404, setup=(*started("u7"), ("DELETE", STREAM + "/u7"))),
    Rule("delete of an unknown detector is 404", ("DELETE", STREAM + "/u-none"), 404),
]

RULES = [*STREAMING, *MANAGING]
