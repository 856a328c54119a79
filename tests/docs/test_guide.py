"""The curl commands of the guide on mixed data, versions, saving and loading, run as they stand, in their order."""

import json
import shlex

import pytest

from tests.contract.rule import assert_part

READINGS = [[22.1], [23.5], [21.8], [24.2], [22.7], [23.1], [21.5], [24.8], [22.3], [23.9]]
FIT_VERSION = """
curl -X POST http://localhost:14345/v1/ml/anomaly/fit \\
  -H "Content-Type: application/json" \\
  -d '{"model": "guide-sensor", "backend": "isolation_forest", "data": [...], "overwrite": false}'
"""
DETECT_LATEST = """
curl -X POST http://localhost:14345/v1/ml/anomaly/detect \\
  -H "Content-Type: application/json" \\
  -d '{"model": "guide-sensor-latest", "backend": "isolation_forest", "data": [...]}'
"""
FIT_LOGS = """
curl -X POST http://localhost:14345/v1/ml/anomaly/fit \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "api-log-detector",
    "backend": "isolation_forest",
    "normalization": "zscore",
    "data": [
      {"response_time_ms": 100, "bytes": 1024, "method": "GET", "user_agent": "Mozilla/5.0"},
      {"response_time_ms": 105, "bytes": 1100, "method": "POST", "user_agent": "Chrome/90.0"},
      {"response_time_ms": 98, "bytes": 980, "method": "GET", "user_agent": "Safari/14.0"},
      {"response_time_ms": 102, "bytes": 1050, "method": "GET", "user_agent": "Mozilla/5.0"}
    ],
    "schema": {
      "response_time_ms": "numeric",
      "bytes": "numeric",
      "method": "label",
      "user_agent": "hash"
    },
    "contamination": 0.1
  }'
"""
DETECT_LOGS = """
curl -X POST http://localhost:14345/v1/ml/anomaly/detect \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "api-log-detector",
    "normalization": "zscore",
    "threshold": 2.0,
    "data": [
      {"response_time_ms": 100, "bytes": 1024, "method": "GET", "user_agent": "Mozilla/5.0"},
      {"response_time_ms": 9000, "bytes": 500000, "method": "DELETE", "user_agent": "sqlmap/1.0"}
    ]
  }'
"""
SAVE = """
curl -X POST http://localhost:14345/v1/ml/anomaly/save \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "api-log-detector",
    "backend": "isolation_forest"
  }'
"""
LOAD = SAVE.replace("/save", "/load")
LIST = "curl http://localhost:14345/v1/ml/anomaly/models"
DELETE = "curl -X DELETE http://localhost:14345/v1/ml/anomaly/models/api-log-detector_isolation_forest.safetensors"
TUNE_FIT = """
curl -X POST http://localhost:14345/v1/ml/anomaly/fit \\
  -d '{"model": "guide-test", "data": [...], "contamination": 0.05}'
"""
TUNE_SCORE = """
curl -X POST http://localhost:14345/v1/ml/anomaly/score \\
  -d '{"model": "guide-test", "data": [[22.0], [95.0]]}'
"""
SCHEMA = {"response_time_ms": "numeric", "bytes": "numeric", "method": "label", "user_agent": "hash"}


def run(server, command, status=200):
    """What curl would get. Without -H it sends a form's type, as curl does."""
    words = shlex.split(command.replace("\\\n", " "))
    method, headers, body, address = "GET", {}, None, ""
    pairs = iter(words[1:])
    for word in pairs:
        if word == "-X":
            method = next(pairs)
        elif word == "-H":
            name, _, value = next(pairs).partition(": ")
            headers[name.lower()] = value
        elif word == "-d":
            body = next(pairs).replace("[...]", json.dumps(READINGS)).encode()
            headers.setdefault("content-type", "application/x-www-form-urlencoded")
        else:
            address = word
    answer = server.ask(method, address.removeprefix("http://localhost:14345"), body, headers)
    assert answer.status == status, answer.body
    return answer.json


def test_versions_and_latest(server):
    first = run(server, FIT_VERSION)
    assert first["base_name"] == "guide-sensor"
    assert first["versioned_name"] != run(server, FIT_VERSION)["versioned_name"]
    found = run(server, DETECT_LATEST)
    assert_part({"object": "list", "model": "guide-sensor-latest", "total_count": len(found["data"])}, found)
    assert found["resolved"] > first["versioned_name"]


def test_contamination_is_tuned_with_fit_and_score(server):
    assert run(server, TUNE_FIT)["model_params"]["contamination"] == 0.05
    assert [row["is_anomaly"] for row in run(server, TUNE_SCORE)["data"]] == [False, True]


def test_mixed_data_is_fitted_detected_saved_loaded_listed_and_deleted(server):
    fitted = run(server, FIT_LOGS)
    expected = {
        "object": "fit_result",
        "model": "api-log-detector",
        "backend": "isolation_forest",
        "samples_fitted": 4,
        "training_time_ms": float,
        "model_params": {
            "backend": "isolation_forest",
            "contamination": 0.1,
            "threshold": float,
            "input_dim": 4,
        },
        "encoder": {"schema": SCHEMA, "features": list(SCHEMA)},
        "status": "fitted",
    }
    assert_part(expected, fitted)
    found = run(server, DETECT_LOGS)
    assert [row["index"] for row in found["data"]] == [1]
    assert found["summary"] == {"anomalies_detected": 1, "threshold": 2.0}

    saved = run(server, SAVE)
    name = "api-log-detector_isolation_forest"
    assert_part(
        {
            "object": "save_result",
            "model": "api-log-detector",
            "backend": "isolation_forest",
            "filename": name + ".safetensors",
            "status": "saved",
        },
        saved,
    )
    assert saved["path"].endswith(f"/models/anomaly/{name}.safetensors")
    assert saved["encoder_path"].endswith(f"/models/anomaly/{name}_encoder.json")
    with open(saved["encoder_path"], encoding="utf-8") as file:
        assert json.load(file)["schema"] == SCHEMA

    loaded = run(server, LOAD)
    assert_part({"status": "loaded", "normalization": "zscore", "encoder_schema": SCHEMA}, loaded)

    listed = run(server, LIST)
    assert listed["models_dir"].endswith("/models/anomaly")
    mine = [model for model in listed["data"] if model["filename"] == saved["filename"]]
    assert_part([{"size_bytes": int, "modified": float, "backend": "isolation_forest", "path": saved["path"]}], mine)

    assert run(server, DELETE)["deleted"] is True
    assert run(server, DELETE, status=404)["error"]["code"] == "not_found"
    assert run(server, DETECT_LOGS)["resolved"] == fitted["versioned_name"]


@pytest.mark.parametrize("normalization", ["standardization", "zscore", "raw"])
def test_every_normalization_is_there_without_a_refit(server, normalization):
    run(server, FIT_VERSION)
    body = {"model": "guide-sensor", "data": [[22.0], [5.0]], "normalization": normalization}
    scores = [row["score"] for row in server.ask("POST", "/v1/ml/anomaly/score", body).json["data"]]
    assert scores[1] > scores[0]
