"""Every endpoint: method, path, request, response, handler. Router, binding, OpenAPI and tests are driven by this."""

from __future__ import annotations

from millstream.server import anomaly, buffers, health, openapi, polars, streams
from millstream.server.endpoint import MAPPINGS, Endpoint, Nothing, Rows

POLARS = "/v1/ml/polars"
BUFFERS = "/v1/ml/buffers"
ANOMALY = "/v1/ml/anomaly"
STREAM = ANOMALY + "/stream"
_APPENDED = Rows("typed", MAPPINGS)
_ROWS = Rows("text", ("mappings", "lists", "empty"))

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/health", Nothing, health.Live, health.health, open=True),
    Endpoint("GET", "/ready", Nothing, health.Ready, health.ready),
    Endpoint("GET", "/openapi.json", Nothing, None, openapi.specification),
    Endpoint("GET", "/docs", Nothing, None, openapi.docs),
    Endpoint("POST", POLARS + "/buffers", polars.CreateBuffer, polars.BufferCreated, polars.create, reads_body=True),
    Endpoint(
        "POST", POLARS + "/append", polars.AppendRows, polars.AppendResult, polars.append, _APPENDED, reads_body=True
    ),
    Endpoint("POST", POLARS + "/features", polars.ComputeFeatures, polars.PolarsData, polars.features, reads_body=True),
    Endpoint("GET", POLARS + "/buffers", Nothing, polars.BufferList, polars.list_all),
    Endpoint("GET", POLARS + "/buffers/{buffer_id}", Nothing, polars.BufferStats, polars.stats),
    Endpoint("GET", POLARS + "/buffers/{buffer_id}/data", polars.ReadData, polars.PolarsData, polars.data),
    Endpoint("POST", POLARS + "/buffers/{buffer_id}/clear", Nothing, polars.BufferCleared, polars.clear),
    Endpoint("DELETE", POLARS + "/buffers/{buffer_id}", Nothing, polars.BufferDeleted, polars.delete),
    Endpoint("POST", BUFFERS, buffers.CreateNamed, buffers.Named, buffers.create, reads_body=True),
    Endpoint("GET", BUFFERS, Nothing, buffers.NamedList, buffers.list_all),
    Endpoint(
        "POST",
        BUFFERS + "/{name}/append",
        Nothing,
        buffers.NamedAppended,
        buffers.append,
        Rows("numeric", ("mappings",)),
        reads_body=True,
    ),
    Endpoint("GET", BUFFERS + "/{name}/features", Nothing, buffers.NewestFeatures, buffers.newest_features),
    Endpoint("GET", BUFFERS + "/{name}/data", buffers.ReadNamed, buffers.NamedData, buffers.data),
    Endpoint("DELETE", BUFFERS + "/{name}", Nothing, buffers.NamedDeleted, buffers.delete),
    Endpoint(
        "POST",
        ANOMALY + "/fit",
        anomaly.Fit,
        anomaly.FitResult,
        anomaly.fit,
        _ROWS,
        reads_body=True,
        ends_with_client=True,
    ),
    Endpoint("POST", ANOMALY + "/score", anomaly.Score, anomaly.ScoreResult, anomaly.score, _ROWS, reads_body=True),
    Endpoint("POST", ANOMALY + "/detect", anomaly.Score, anomaly.DetectResult, anomaly.detect, _ROWS, reads_body=True),
    Endpoint("POST", ANOMALY + "/save", anomaly.Save, anomaly.SaveResult, anomaly.save, reads_body=True),
    Endpoint("POST", ANOMALY + "/load", anomaly.Load, anomaly.LoadResult, anomaly.load, reads_body=True),
    Endpoint("GET", ANOMALY + "/models", Nothing, anomaly.ModelList, anomaly.list_models),
    Endpoint("DELETE", ANOMALY + "/models/{filename}", Nothing, anomaly.ModelDeleted, anomaly.delete),
    Endpoint("GET", ANOMALY + "/backends", Nothing, anomaly.Backends, anomaly.list_backends),
    Endpoint(
        "POST",
        STREAM,
        streams.StreamRows,
        streams.StreamingResult,
        streams.send,
        Rows("numeric", ("mapping", "mappings", "lists", "empty")),
        reads_body=True,
    ),
    Endpoint("GET", STREAM + "/detectors", Nothing, streams.StreamList, streams.list_all),
    Endpoint("GET", STREAM + "/{model}", Nothing, streams.StreamStats, streams.stats),
    Endpoint("POST", STREAM + "/{model}/reset", Nothing, streams.StreamReset, streams.reset),
    Endpoint("DELETE", STREAM + "/{model}", Nothing, streams.StreamDeleted, streams.delete),
)
