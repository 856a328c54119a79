"""`/openapi.json`, made from the tuple of endpoints, and `/docs`, one page that needs nothing from elsewhere."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

import millstream
from millstream.server.endpoint import Call, Document, Endpoint, Nothing
from millstream.server.problems import Problem

_REFS = "#/components/schemas/{name}"


async def specification(call: Call[Nothing]) -> Document:
    """The OpenAPI description of this service."""
    return Document(b"application/json", _specification())


async def docs(call: Call[Nothing]) -> Document:
    """The description as a page to read and try."""
    return Document(b"text/html; charset=utf-8", _page())


@cache
def _specification() -> bytes:
    from millstream.server.endpoints import ENDPOINTS  # the tuple holds these handlers too

    return msgspec.json.encode(document(ENDPOINTS))


_ABOUT = (
    "Streams of numbers into features and alarms: live rolling features, anomaly detectors in batch and on streams."
)


def document(endpoints: tuple[Endpoint, ...]) -> dict[str, Any]:
    """The OpenAPI document of `endpoints`."""
    structs = [Problem, *(s for e in endpoints for s in (e.request, e.response) if s is not None)]
    _, components = msgspec.json.schema_components(structs, ref_template=_REFS)
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "millstream", "version": millstream.__version__, "description": _ABOUT},
        "security": [{"key": []}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(endpoint: Endpoint, components: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": f"{endpoint.handler.__module__.rpartition('.')[2]}_{endpoint.handler.__name__}",
        "tags": [endpoint.handler.__module__.rpartition(".")[2]],
        "parameters": [_in_path(name) for name in re.findall(r"{(\w+)}", endpoint.path)],
        "responses": {"200": _success(endpoint), "default": _failure()},
    }
    properties = components[endpoint.request.__name__].get("properties", {})
    if endpoint.reads_body:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _body(endpoint)}}}
    else:
        operation["parameters"] += [{"name": n, "in": "query", "schema": s} for n, s in properties.items()]
    if endpoint.open:
        operation["security"] = []
    return operation


def _body(endpoint: Endpoint) -> dict[str, Any]:
    envelope = {"$ref": _REFS.format(name=endpoint.request.__name__)}
    if endpoint.rows is None:
        return envelope
    rows = {"mapping": {"type": "object"}, "mappings": {"type": "array", "items": {"type": "object"}}}
    rows["lists"] = {"type": "array", "items": {"type": "array", "items": {"type": ["number", "null"]}}}
    shapes = [rows[form] for form in endpoint.rows.forms if form != "empty"]
    return {"allOf": [envelope, {"type": "object", "required": ["data"], "properties": {"data": {"anyOf": shapes}}}]}


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _success(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.response is None:
        return {"description": "A document."}
    schema = {"$ref": _REFS.format(name=endpoint.response.__name__)}
    return {"description": "Done.", "content": {"application/json": {"schema": schema}}}


def _failure() -> dict[str, Any]:
    schema = {"$ref": _REFS.format(name="Problem")}
    return {"description": "What was refused, and why.", "content": {"application/problem+json": {"schema": schema}}}


@cache
def _page() -> bytes:
    """Script, style and description in one page: one request, so one key, and no other machine."""
    vendor = files("openapi_ui_bundles") / "swagger_ui" / "vendor"
    script, style = (vendor / name for name in ("swagger-ui-bundle.js", "swagger-ui.css"))
    parts = (
        b"<!doctype html><html lang=en><head><meta charset=utf-8><title>millstream</title><style>",
        style.read_bytes(),
        b"</style></head><body><div id=ui></div><script>",
        script.read_bytes().replace(b"</script", b"<\\/script"),
        b"</script><script>SwaggerUIBundle({dom_id:'#ui',spec:",
        _specification().replace(b"</", b"<\\/"),
        b"})</script></body></html>",
    )
    return b"".join(parts)
