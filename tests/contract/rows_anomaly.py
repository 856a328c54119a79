"""'Batch detection' of the contract."""

import random

from tests.contract.rule import Rule

ANOMALY = "/v1/ml/anomaly"
SENSOR = [[22.1], [23.5], [21.8], [24.2], [22.7], [23.1], [21.5], [24.8], [22.3], [23.9]]
_chance = random.Random(7)
PLANE = [[_chance.gauss(0, 1), _chance.gauss(5, 2)] for _ in range(60)]
NAMED = [{"x": x, "y": y} for x, y in PLANE]
LOGS = [
    {
        "ms": 100 + n,
        "bytes": 1000 + 10 * n,
        "method": ("GET", "POST")[n % 2],
        "ok": n % 3 > 0,
        "agent": f"agent {n % 4}",
    }
    for n in range(40)
]
LOG_SCHEMA = {"ms": "numeric", "bytes": "numeric", "method": "label", "ok": "binary", "agent": "hash"}
FITTED = (
    "object model base_name versioned_name overwrite backend samples_fitted training_time_ms"
    " model_params encoder saved_path status"
)
LOADED = "object model resolved backend normalization filename is_fitted threshold encoder_loaded encoder_schema status"
MODELS = ANOMALY + "/models"


def fit(name, data=PLANE, **fields):
    return ("POST", ANOMALY + "/fit", {"model": name, "backend": "ecod", "data": data} | fields)


def score(name, data=PLANE[:2], **fields):
    return ("POST", ANOMALY + "/score", {"model": name, "data": data} | fields)


def detect(name, data, **fields):
    return ("POST", ANOMALY + "/detect", {"model": name, "data": data} | fields)


QUICK_START = [
    Rule(
        "the quick start flags exactly the indices 1, 2, 3",
        detect("sensor-monitor", [[22.0], [5.0], [50.0], [-10.0]], normalization="zscore", threshold=2.0),
        setup=(fit("sensor-monitor", SENSOR, backend="isolation_forest", normalization="zscore", contamination=0.1),),
        keys="object model resolved backend data total_count summary",
        expect={
            "object": "list",
            "model": "sensor-monitor",
            "backend": "isolation_forest",
            "data": [{"index": n, "score": float, "raw_score": float} for n in (1, 2, 3)],
            "total_count": 3,
            "summary": {"anomalies_detected": 3, "threshold": 2.0},
        },
    ),
]

FIT = [
    Rule(
        "the backends are listed",
        ("GET", ANOMALY + "/backends"),
        keys="object data total categories",
        expect={"object": "list", "total": int, "categories": list},
    ),
    Rule(
        "a model is fitted on lists",
        fit("b1"),
        keys=FITTED,
        expect={
            "object": "fit_result",
            "model": "b1",
            "base_name": "b1",
            "versioned_name": str,
            "overwrite": False,
            "backend": "ecod",
            "samples_fitted": 60,
            "training_time_ms": float,
            "model_params": {"backend": "ecod", "contamination": 0.1, "threshold": float, "input_dim": 2},
            "encoder": None,
            "saved_path": str,
            "status": "fitted",
        },
    ),
    Rule(
        "... on mappings, with an inferred schema",
        fit("b2", LOGS),
        expect={
            "encoder": {
                "schema": {"ms": "numeric", "bytes": "numeric", "method": "label", "ok": "binary", "agent": "label"},
                "features": ["ms", "bytes", "method", "ok", "agent"],
            }
        },
    ),
    Rule("... or with the schema sent", fit("b3", LOGS, schema=LOG_SCHEMA), expect={"encoder": {"schema": LOG_SCHEMA}}),
    Rule(
        "overwrite replaces the unversioned model",
        fit("b4", overwrite=True),
        setup=(fit("b4", overwrite=True),),
        expect={"versioned_name": "b4", "overwrite": True},
    ),
    Rule(
        "the model is called default unless sent",
        ("POST", ANOMALY + "/fit", {"backend": "ecod", "data": PLANE}),
        expect={"model": "default"},
    ),
    Rule("data is required", ("POST", ANOMALY + "/fit", {"model": "b5"}), 422, loc=["data"], unchanged=MODELS),
    Rule("no rows are too few", fit("b5", []), 422, unchanged=MODELS),
    Rule("one row is too few", fit("b5", [[1.0, 2.0]]), 422, unchanged=MODELS),
    Rule("ragged rows are refused", fit("b5", [[1, 2], [1], [3, 4]]), 422, unchanged=MODELS, loc=["data", 1]),
    Rule(
        "text in list rows is refused",
        fit("b5", [[1, 2], [1, "x"], [3, 4]]),
        422,
        unchanged=MODELS,
        loc=["data", 1, "column_1"],
    ),
    Rule(
        "a missing value is refused with its place",
        fit("b5", [*PLANE[:5], [1, None]]),
        422,
        unchanged=MODELS,
        loc=["data", 5, "column_1"],
    ),
    Rule(
        "... unless the median stands in",
        fit("b6", [*PLANE[:20], [1, None]], missing="median"),
        expect={"samples_fitted": 21},
    ),
    Rule("contamination is above 0", fit("b7", contamination=0), 422, loc=["contamination"], unchanged=MODELS),
    Rule("contamination is at most 0.5", fit("b7", contamination=0.6), 422, loc=["contamination"]),
    Rule("contamination may be 0.5", fit("b8", contamination=0.5)),
    Rule("an unknown normalization is 422", fit("b7", normalization="minmax"), 422, loc=["normalization"]),
    Rule(
        "an unknown backend is 422 and the known are listed",
        fit("b7", backend="magic"),
        422,
        loc=["backend"],
        says=("isolation_forest", "ecod"),
    ),
    Rule(
        "an unknown parameter is 422 and the valid are listed",
        fit("b7", backend="isolation_forest", params={"trees": 3}),
        422,
        says=("n_estimators",),
    ),
    Rule("null for a parameter means not sent", fit("b7b", backend="isolation_forest", params={"n_estimators": None})),
    Rule("a schema without columns is 422", fit("b4", LOGS, schema={}), 422, loc=["schema"]),
    Rule(
        "one-hot columns without a value are 422 and named",
        fit("b4", [{"who": None}] * 20, schema={"who": "onehot"}),
        422,
        loc=["schema"],
        says=("who",),
    ),
    Rule(
        "an encoding that is no text is named with its column",
        fit("b4", LOGS, schema={"ms": "numeric", "method": 3}),
        422,
        loc=["schema", "method"],
    ),
    Rule(
        "an unknown encoding is 422 and the known are listed",
        fit("b7", NAMED, schema={"x": "magic", "y": "numeric"}),
        422,
        says=("numeric", "hash", "label", "onehot", "binary", "frequency"),
    ),
    Rule(
        "a schema for list rows is ignored with a warning",
        fit("b7c", schema={"x": "label"}),
        expect={"encoder": None, "warnings": ["'schema' was ignored: it names columns, and the rows are lists"]},
    ),
    Rule(
        "a one-hot feature that is called like another column is 409",
        fit("b7e", [{"a": "x", "a_x": n} for n in range(5)], schema={"a": "onehot", "a_x": "numeric"}),
        409,
        says=("'a_x'",),
        unchanged=MODELS,
    ),
    Rule(
        "text in a numeric column is 422",
        fit("b7", [*NAMED, {"x": "a", "y": 1}], schema={"x": "numeric", "y": "numeric"}),
        422,
        loc=["data", 60, "x"],
    ),
    Rule("epochs have a limit", fit("b7", epochs=10_001), 422, loc=["epochs"]),
    Rule("a model is not named ...-latest", fit("b7-latest"), 422, loc=["model"]),
    Rule("a model's name is a name", fit("../b7"), 422, loc=["model"]),
    Rule("a refused fit leaves the earlier model", score("b9"), setup=(fit("b9"),), expect={"total_count": 2}),
    Rule("constant columns have a defined result", fit("b10", [[1.0, n] for n in range(20)])),
    Rule(
        "fields outside the schema are ignored whatever they hold",
        fit("b13", [r | {"z": [n], "id": 2**63 + n} for n, r in enumerate(NAMED)], schema={"x": "numeric"}),
        expect={"encoder": {"schema": {"x": "numeric"}, "features": ["x"]}},
    ),
    Rule(
        "... in scoring too",
        score("b14", [NAMED[0] | {"z": [1, 2], "id": 2**63 + 1}]),
        setup=(fit("b14", NAMED),),
        expect={"total_count": 1},
    ),
    Rule(
        "a non-string in a categorical column counts by its JSON text, whatever float64 can hold",
        score("b15", [{"x": 1.5, "id": 12345678901234567890}]),
        setup=(fit("b15", [{"x": x, "id": 2**63 + 1} for x, _ in PLANE], schema={"x": "numeric", "id": "label"}),),
        expect={"total_count": 1},
    ),
    Rule(
        "fields outside the schema are ignored",
        fit("b11", [r | {"z": n} for n, r in enumerate(NAMED)], schema={"x": "numeric", "y": "numeric"}),
        expect={"encoder": {"features": ["x", "y"]}},
    ),
]

SCORE = [
    Rule(
        "rows are scored",
        score("s1"),
        setup=(fit("s1"),),
        keys="object model resolved backend data total_count summary",
        expect={
            "object": "list",
            "model": "s1",
            "backend": "ecod",
            "data": [{"index": n, "score": float, "is_anomaly": bool, "raw_score": float} for n in range(2)],
            "total_count": 2,
            "summary": {"total_points": 2, "anomaly_count": int, "anomaly_rate": float, "threshold": float},
        },
    ),
    Rule(
        "an unknown model is 404",
        score("s-none"),
        404,
        says=("Model 's-none' not found. Fit it with POST /v1/ml/anomaly/fit.",),
    ),
    Rule("... to detect too", detect("s-none", [[1]]), 404),
    Rule(
        "a backend never fitted under the name is 404, which names those that are",
        score("s2", backend="isolation_forest"),
        404,
        setup=(fit("s2"),),
        says=("Model 's2' has no isolation_forest; it has ecod; name one of them or fit it",),
    ),
    *(
        Rule(f"a backend that does not exist is 422 to {ask[1].rpartition('/')[2]} too", ask, 422, loc=["backend"])
        for ask in (
            score("s2", backend="magic"),
            detect("s2", [[1]], backend="../" * 300),
            ("POST", ANOMALY + "/save", {"model": "s2", "backend": "magic"}),
            ("POST", ANOMALY + "/load", {"model": "s2", "backend": "é" * 300}),
        )
    ),
    Rule(
        "an unknown encoding is 422 to score too",
        score("s-none", NAMED[:1], schema={"x": "magic"}),
        422,
        loc=["schema", "x"],
        says=("numeric", "frequency"),
    ),
    Rule(
        "a model's name has dots only inside",
        score(".."),
        422,
        loc=["model"],
        says=("letters, digits, '.', '_' and '-', beginning with a letter or digit",),
    ),
    Rule(
        "the backend chooses the model",
        score("s3", backend="ecod"),
        setup=(fit("s3"), fit("s3", backend="isolation_forest")),
        expect={"backend": "ecod"},
    ),
    Rule(
        "without one it is the newest",
        score("s3b"),
        setup=(fit("s3b"), fit("s3b", backend="isolation_forest")),
        expect={"backend": "isolation_forest"},
    ),
    Rule("-latest is the newest", score("s4-latest"), setup=(fit("s4"),), expect={"model": "s4-latest"}),
    Rule(
        "a threshold of 0 stays 0",
        score("s5", threshold=0),
        setup=(fit("s5"),),
        expect={"summary": {"threshold": 0.0, "anomaly_count": 2}},
    ),
    Rule(
        "a threshold applies as sent",
        score("s6", threshold=0.99999),
        setup=(fit("s6"),),
        expect={"summary": {"threshold": 0.99999, "anomaly_count": 0}},
    ),
    Rule(
        "a threshold that float64 cannot hold is 422",
        score("s6b", threshold=2**53 + 1),
        422,
        setup=(fit("s6b"),),
        loc=["threshold"],
    ),
    Rule("... nor one beyond float64", score("s6b", threshold=10**400), 422, loc=["threshold"]),
    Rule(
        "a large threshold that it holds is fine",
        score("s6c", threshold=2**53 + 2),
        setup=(fit("s6c"),),
        expect={"summary": {"threshold": 2.0**53 + 2}},
    ),
    Rule(
        "raw scores are raw",
        score("s7", normalization="raw", threshold=-1e9),
        setup=(fit("s7"),),
        expect={"summary": {"anomaly_count": 2}},
    ),
    Rule(
        "a missing value is imputed and marked",
        score("s8", [[None, 5.0], [1.0, 5.0]]),
        setup=(fit("s8"),),
        expect={"data": [{"imputed": ["0"]}, {"index": 1}]},
    ),
    Rule(
        "... by name in mappings",
        score("s9", [{"x": 1.0}]),
        setup=(fit("s9", NAMED),),
        expect={"data": [{"imputed": ["y"]}]},
    ),
    Rule(
        "... by index in lists, whatever the model was fitted on",
        score("s9b", [[1.0, None]]),
        setup=(fit("s9b", NAMED),),
        expect={"data": [{"imputed": ["1"]}]},
    ),
    Rule(
        "mappings are matched by name where the model was fitted on lists",
        score("s9c", [{"column_1": 5.0, "column_0": None}], threshold=0.5),
        setup=(fit("s9c"),),
        expect={"data": [{"imputed": ["column_0"]}]},
    ),
    Rule(
        "... and refused when they have other names",
        score("s9d", [{"y": 5.0, "x": 1.0}]),
        422,
        setup=(fit("s9d"),),
        loc=["data"],
        says=("column_0, column_1",),
    ),
    Rule("another width is 422", score("s10", [[1.0]]), 422, setup=(fit("s10"),)),
    Rule(
        "text in scored list rows is 422",
        score("s11", [[1.0, "x"]]),
        422,
        setup=(fit("s11"),),
        loc=["data", 0, "column_1"],
    ),
    Rule("no rows are no scores", score("s12", []), setup=(fit("s12"),), expect={"total_count": 0, "data": []}),
    Rule("an unknown model comes before bad rows", score("s-none", [["x"], [1]]), 404),
    Rule(
        "a huge value has a finite score",
        score("s13", [[1e308, -1e308]], normalization="raw"),
        setup=(fit("s13"),),
        expect={"data": [{"raw_score": float}]},
    ),
    Rule(
        "logs are scored without the schema",
        detect("s14", [LOGS[0], {"ms": 9000, "bytes": 5e5, "method": "DELETE", "agent": "x"}]),
        setup=(fit("s14", LOGS, schema=LOG_SCHEMA),),
        expect={"total_count": int},
    ),
]

STORE = [
    Rule(
        "a model is saved",
        ("POST", ANOMALY + "/save", {"model": "m1"}),
        setup=(fit("m1"),),
        keys="object model backend filename path encoder_path status",
        expect={
            "object": "save_result",
            "model": "m1",
            "backend": "ecod",
            "filename": "m1_ecod.safetensors",
            "path": str,
            "encoder_path": None,
            "status": "saved",
        },
    ),
    Rule(
        "its encoder is copied beside it",
        ("POST", ANOMALY + "/save", {"model": "m2"}),
        setup=(fit("m2", NAMED),),
        expect={"encoder_path": str},
    ),
    Rule("saving an unknown model is 404", ("POST", ANOMALY + "/save", {"model": "m-none"}), 404),
    Rule("the model to save is required", ("POST", ANOMALY + "/save", {}), 422, loc=["model"]),
    Rule(
        "a model is loaded",
        ("POST", ANOMALY + "/load", {"model": "m3"}),
        setup=(fit("m3", NAMED, normalization="zscore"),),
        keys=LOADED,
        expect={
            "object": "load_result",
            "model": "m3",
            "backend": "ecod",
            "normalization": "zscore",
            "filename": str,
            "is_fitted": True,
            "threshold": float,
            "encoder_loaded": True,
            "encoder_schema": {"x": "numeric", "y": "numeric"},
            "status": "loaded",
        },
    ),
    Rule("loading an unknown model is 404", ("POST", ANOMALY + "/load", {"model": "m-none"}), 404),
    Rule(
        "models are listed",
        ("GET", MODELS),
        setup=(fit("m4", description="the fourth", overwrite=True),),
        keys="object data models_dir total",
        expect={"object": "list", "data": list, "models_dir": str, "total": int},
    ),
    Rule(
        "a model is deleted",
        ("DELETE", MODELS + "/m5_ecod.safetensors"),
        setup=(fit("m5", overwrite=True),),
        keys="object filename deleted",
        expect={"object": "delete_result", "filename": "m5_ecod.safetensors", "deleted": True},
    ),
    Rule(
        "its name stops resolving",
        score("m6"),
        404,
        setup=(fit("m6", overwrite=True), ("DELETE", MODELS + "/m6_ecod.safetensors")),
    ),
    Rule("deleting an unknown model is 404", ("DELETE", MODELS + "/m-none_ecod.safetensors"), 404),
    Rule("a file name is a name", ("DELETE", MODELS + "/..%2Fx.safetensors"), 422, loc=["filename"]),
]

TAKEN_OVER = ("one_class_svm", "mcd", "cblof", "autoencoder", "suod")
BACKENDS = [
    *(
        Rule(
            f"{backend} fits and scores",
            score(f"k-{backend}"),
            setup=(fit(f"k-{backend}", backend=backend, epochs=2),),
            expect={"backend": backend, "total_count": 2},
        )
        for backend in TAKEN_OVER
    ),
    *(
        Rule(
            f"{backend} has a defined result where all rows are equal",
            score(f"k2-{backend}", [[1.0, 2.0], [9.0, 2.0]]),
            setup=(fit(f"k2-{backend}", [[1.0, 2.0]] * 20, backend=backend, epochs=2),),
            expect={"total_count": 2},
        )
        for backend in TAKEN_OVER
    ),
    Rule("cblof needs no clear clusters", fit("k3", [[n, n % 7] for n in range(40)], backend="cblof")),
    Rule(
        "parameters go by PyOD's names",
        fit("k4", backend="one_class_svm", params={"kernel": "poly", "degree": 2.0, "gamma": "scale", "nu": None}),
    ),
    Rule(
        "an unknown word is 422 and the known are listed",
        fit("k5", backend="one_class_svm", params={"kernel": "cubic"}),
        422,
        loc=["params", "kernel"],
        says=("rbf", "linear", "poly", "sigmoid"),
        unchanged=MODELS,
    ),
    Rule(
        "a parameter out of range is 422 and the range is said",
        fit("k5", backend="cblof", params={"n_clusters": 0}),
        422,
        loc=["params", "n_clusters"],
        says=("an integer from 1 to 1,000",),
        unchanged=MODELS,
    ),
    Rule(
        "a list of layers has at least one",
        fit("k5", backend="autoencoder", params={"hidden_neuron_list": []}),
        422,
        loc=["params", "hidden_neuron_list"],
        unchanged=MODELS,
    ),
]

TOO_MANY = [{"who": str(n), "x": n} for n in range(100_001)]
NAMES = {
    "slashes": "a/b",
    "NUL": "a\0b",
    "300 characters": "a" * 300,
    "a dot first": ".a",
    "no character": "",
    "a line": "a\n",
}

BAD_NAMES = [
    Rule(
        f"{route} refuses a name with {what}",
        ("POST", f"{ANOMALY}/{route}", body | {"model": name}),
        422,
        loc=["model"],
    )
    for what, name in NAMES.items()
    for route, body in {
        "fit": {"backend": "ecod", "data": PLANE},
        "score": {"data": PLANE[:2]},
        "detect": {"data": PLANE[:2]},
        "save": {},
        "load": {},
    }.items()
]

BAD_FILENAMES = [
    Rule(f"no file is deleted whose name has {what}", ("DELETE", f"{MODELS}/{name}"), 422, loc=["filename"])
    for what, name in {
        "dots first": "..%2F..%2Fm_ecod.safetensors",
        "a slash": "a%2Fb_ecod.safetensors",
        "NUL": "a%00b_ecod.safetensors",
        "300 characters": "a" * 300,
        "a draft's dot": ".m.safetensors",
    }.items()
]

SCHEMAS = [
    Rule(
        "a schema that names a column no row has is refused with the name",
        fit("e1", NAMED, schema={"x": "numeric", "zz": "label"}),
        422,
        loc=["schema", "zz"],
        says=("'zz'",),
        unchanged=MODELS,
    ),
    Rule("an empty schema has no columns", fit("e1", NAMED, schema={}), 422, unchanged=MODELS),
    Rule(
        "more categories than a model keeps are refused with what to do",
        fit("e1", TOO_MANY, schema={"who": "label", "x": "numeric"}),
        422,
        loc=["schema", "who"],
        says=("100001", "'hash'"),
        unchanged=MODELS,
    ),
    Rule("... and hash takes them", fit("e2", TOO_MANY, schema={"who": "hash", "x": "numeric"})),
    Rule(
        "a number sent as text is no number",
        fit("e1", [*NAMED, {"x": "5", "y": 1}], schema={"x": "numeric", "y": "numeric"}),
        422,
        loc=["data", 60, "x"],
        says=("'x'", "row 60"),
        unchanged=MODELS,
    ),
    Rule(
        "... in scored rows too",
        score("e3", [{"x": 1, "y": 2}, {"x": True, "y": 2}]),
        422,
        setup=(fit("e3", NAMED),),
        loc=["data", 1, "x"],
    ),
    Rule(
        "all six encodings at once",
        fit(
            "e4",
            [
                dict(zip("abcdef", (n, f"u{n}", "xy"[n % 2], "pqr"[n % 3], n % 2 == 0, "st"[n % 2]), strict=True))
                for n in range(30)
            ],
            schema=dict(zip("abcdef", ("numeric", "hash", "label", "onehot", "binary", "frequency"), strict=True)),
        ),
        expect={
            "encoder": {"features": ["a", "b", "c", "d_p", "d_q", "d_r", "e", "f"]},
            "model_params": {"input_dim": 8},
        },
    ),
    Rule(
        "over 100 texts are hashed unless a schema says otherwise",
        fit("e5", [{"x": n, "who": f"w{n}"} for n in range(101)]),
        expect={"encoder": {"schema": {"x": "numeric", "who": "hash"}}},
    ),
    Rule(
        "unseen categories and missing fields are scored",
        score("e6", [{"ms": 1, "bytes": 1, "method": "BREW", "ok": None, "agent": "new"}, {"ms": 1, "bytes": 2}]),
        setup=(fit("e6", LOGS, schema=LOG_SCHEMA),),
        expect={"total_count": 2},
    ),
    Rule(
        "an unknown encoding is refused where rows are scored",
        score("e7", NAMED[:1], schema={"x": "magic"}),
        422,
        setup=(fit("e7", NAMED),),
        loc=["schema", "x"],
    ),
    Rule(
        "another schema than the model's is not used, and the answer says so",
        score("e8", NAMED[:1], schema={"x": "label", "y": "numeric"}),
        setup=(fit("e8", NAMED),),
        expect={"warnings": ["'schema' differs from the one the model was fitted with, which was used, in: x"]},
    ),
    Rule(
        "the model's own schema may be sent again",
        score("e9", NAMED[:1], schema={"x": "numeric", "y": "numeric"}),
        setup=(fit("e9", NAMED),),
        keys="object model resolved backend data total_count summary",
    ),
    Rule(
        "lists are refused where a model encodes text", score("e10", [[1, 2, 3, 4, 5]]), 422, setup=(fit("e10", LOGS),)
    ),
    Rule(
        "a model without names has no encoder",
        ("POST", ANOMALY + "/load", {"model": "e11"}),
        setup=(fit("e11"),),
        expect={"encoder_loaded": False, "encoder_schema": None},
    ),
    Rule(
        "columns have a limit once encoded",
        fit(
            "e12",
            [{f"c{n}": f"t{m}" for n in range(25)} for m in range(100)],
            schema={f"c{n}": "onehot" for n in range(25)},
        ),
        422,
        loc=["schema"],
        says=("2500", "MILLSTREAM_MAX_COLUMNS"),
        unchanged=MODELS,
    ),
]

KEEPING = [
    Rule(
        "a description given at fit is listed",
        ("GET", MODELS),
        setup=(fit("k1", description="the first"),),
        expect={"data": list},
    ),
    Rule(
        "saving may describe",
        ("POST", ANOMALY + "/save", {"model": "k2", "description": "better"}),
        setup=(fit("k2"),),
        expect={"filename": "k2_ecod.safetensors"},
    ),
    Rule(
        "-latest may be saved",
        ("POST", ANOMALY + "/save", {"model": "k3-latest"}),
        setup=(fit("k3"),),
        expect={"filename": "k3_ecod.safetensors"},
    ),
    Rule(
        "the backend chooses what is saved",
        ("POST", ANOMALY + "/save", {"model": "k4", "backend": "ecod"}),
        setup=(fit("k4"), fit("k4", backend="isolation_forest")),
        expect={"filename": "k4_ecod.safetensors", "backend": "ecod"},
    ),
    Rule(
        "a saved model loads under its name",
        ("POST", ANOMALY + "/load", {"model": "k5"}),
        setup=(fit("k5", overwrite=True), ("POST", ANOMALY + "/save", {"model": "k5"})),
        expect={"filename": "k5_ecod.safetensors", "resolved": "k5"},
    ),
    Rule(
        "loading another backend is 404",
        ("POST", ANOMALY + "/load", {"model": "k6", "backend": "knn"}),
        404,
        setup=(fit("k6"),),
    ),
    Rule(
        "what is no model file is not deleted",
        ("DELETE", MODELS + "/k7_ecod_encoder.json"),
        404,
        setup=(fit("k7", NAMED, overwrite=True),),
    ),
    Rule(
        "a bad threshold is refused before a model is looked up",
        score("k-none", threshold="high"),
        422,
        loc=["threshold"],
    ),
    Rule("a bad normalization too", detect("k-none", PLANE[:1], normalization="minmax"), 422, loc=["normalization"]),
    Rule("data of scored rows is required", ("POST", ANOMALY + "/score", {"model": "k-none"}), 422, loc=["data"]),
    Rule(
        "thousands of rows are answered in order",
        score("k8", [[n, 5.0] for n in range(5_000)], threshold=0),
        setup=(fit("k8"),),
        expect={"total_count": 5_000, "data": [{"index": n, "score": float, "is_anomaly": True} for n in range(5_000)]},
    ),
    Rule(
        "... imputed ones marked",
        score("k9", [[n, None] for n in range(3_000)]),
        setup=(fit("k9"),),
        expect={"data": [{"index": n, "imputed": ["1"]} for n in range(3_000)]},
    ),
    Rule(
        "... detected ones too",
        detect("k10", [[n, 5.0] for n in range(3_000)], threshold=0),
        setup=(fit("k10"),),
        expect={"total_count": 3_000, "data": [{"index": n, "score": float} for n in range(3_000)]},
    ),
]

RULES = [*QUICK_START, *FIT, *BACKENDS, *SCORE, *STORE, *BAD_NAMES, *BAD_FILENAMES, *SCHEMAS, *KEEPING]
