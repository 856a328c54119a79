"""Bytes of a request into typed values: the envelope into a struct, the rows into a Table when they are asked for.

Errors of the envelope are collected, each with its place. Errors of the rows wait inside `Rows` until the handler has
looked whether the name exists and nothing conflicts, so that the order of checks holds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.inspect import Field, FloatType, IntType, ListType, LiteralType, StrType, StructType, Type, UnionType

from millstream._core import Body, read_body
from millstream.errors import InvalidJsonError, InvalidRequestError, Refusal
from millstream.server.limits import NAME_RULE

S = TypeVar("S", bound=Struct)
RowKind = Literal["typed", "numeric", "text"]
_EXACT = 2.0**53  # below it float64 holds every integer
_LARGEST = int(sys.float_info.max)
_LARGEST_FIELD = 1024**2  # bytes of JSON beside the rows; the names of 2,000 columns take a tenth
_MOST_WARNINGS = 20


def read(body: bytes, rows: RowKind | None) -> Body:
    """The body, its JSON checked. With `rows`, the rows under `data` stay in Rust; lists hold numbers only."""
    if not body.strip():
        raise InvalidJsonError("The body is empty; expected a JSON object; send one.")
    if rows is None:
        return read_body(body, None)
    read = read_body(body, "data", rows)
    return read if rows != "text" or read.form != "lists" else read_body(body, "data", "numeric")


def envelope(body: Body, struct: type[S]) -> tuple[S, list[str]]:
    """The envelope as `struct`, and a warning for every field it does not know.

    Raises
    ------
    InvalidRequestError
        With the place and the reason of every value that is not allowed.
    """
    text = body.envelope
    if len(text) > _LARGEST_FIELD:
        return _field_by_field(_members(text), struct)
    try:
        ask = _strict(struct).decode(text)
    except (msgspec.ValidationError, InvalidRequestError):
        return _field_by_field(_members(text), struct)
    for name in _open_floats(struct):
        if abs(getattr(ask, name) or 0.0) >= _EXACT:  # perhaps an integer that was rounded to it
            return _field_by_field(_members(text), struct)
    return ask, []


def query(pairs: Mapping[str, str], struct: type[S]) -> tuple[S, list[str]]:
    """The query parameters as `struct`: texts that read as numbers and booleans count as such."""
    return _bind(pairs, struct, strict=False), _warnings(pairs, struct)


def _field_by_field(members: dict[str, Raw], struct: type[S]) -> tuple[S, list[str]]:
    known = _fields(struct)
    values = {name: _value(name, raw) for name, raw in members.items() if name in known or not _is_large(raw)}
    return _bind({name: _whole(value) for name, value in values.items()}, struct, strict=True), _warnings(
        members, struct
    )


def _warnings(names: Iterable[str], struct: type[Struct]) -> list[str]:
    known = _fields(struct)
    unknown = [name for name in names if name not in known]
    warnings = [f"unknown field '{_short(name)}' was ignored" for name in unknown[:_MOST_WARNINGS]]
    left = len(unknown) - len(warnings)
    return [*warnings, f"{left} more unknown fields were ignored"] if left else warnings


def _value(name: str, raw: Raw) -> Any:
    if _is_large(raw):
        message = f"'{name}' has more than {_LARGEST_FIELD} bytes of JSON; allowed are so many; send less."
        raise InvalidRequestError(message, loc=(name,))
    try:
        return msgspec.json.decode(raw)
    except msgspec.ValidationError:  # it was read as JSON before; the one thing left to refuse is a number
        message = f"'{_short(name)}' has a number beyond float64; allowed is at most 1.8e308; correct it."
        raise InvalidRequestError(message, loc=(name,)) from None


def _is_large(raw: Raw) -> bool:
    return memoryview(raw).nbytes > _LARGEST_FIELD


def _members(text: bytes) -> dict[str, Raw]:
    try:
        return msgspec.json.decode(text, type=dict[str, Raw])
    except msgspec.ValidationError:
        raise InvalidRequestError(
            "The body is no JSON object; expected an object with named fields; send one."
        ) from None


def _bind(values: Mapping[str, Any], struct: type[S], strict: bool) -> S:
    refusals: list[Refusal] = []
    bound: dict[str, Any] = {}
    for name, field in _fields(struct).items():
        value = values.get(name)
        if value is None:  # null for an optional field means not sent
            if field.required:
                given = "is null" if name in values else "is missing"
                refusals.append(Refusal((name,), f"'{name}' {given}; required is {describe(field.type)}; send it."))
            continue
        if any(isinstance(kind, FloatType) for kind in _kinds(field.type)) and _is_rounded(value):
            message = f"'{name}' is {_short(str(value))}, which float64 cannot hold exactly; send a number it holds."
            refusals.append(Refusal((name,), message))
            continue
        try:
            bound[field.name] = msgspec.convert(value, _annotation(struct, field.name), strict=strict)
        except msgspec.ValidationError as error:
            refusals.append(_refusal(name, value, field.type, str(error)))
    if refusals:
        raise InvalidRequestError(refusals[0].message, refusals=tuple(refusals))
    return struct(**bound)


def _whole(value: Any) -> Any:
    """`value` with 10.0 as 10: a whole float is fine where an integer is asked."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return value


def _is_rounded(value: Any) -> bool:
    return type(value) is int and (abs(value) > _LARGEST or float(value) != value)


def _refusal(name: str, value: Any, kind: Type, reason: str) -> Refusal:
    path = reason.partition(" - at `$")[2].rstrip("`")
    steps = [int(s[:-1]) if s[:-1].isdigit() else s[:-1] for s in path.split("[")[1:]] if path.startswith("[") else []
    for step in steps:
        value = value[step] if isinstance(value, list) and isinstance(step, int) else value
    shown = _short(msgspec.json.encode(value).decode())
    return Refusal((name, *steps), f"'{name}' has {shown}; allowed is {describe(kind)}; correct it.")


def _short(text: str, most: int = 80) -> str:
    return text if len(text) <= most else text[:most] + "..."


def describe(kind: Type) -> str:  # noqa: PLR0911 - one line a type
    """What a field of this type may hold, in words."""
    match kind:
        case UnionType(types=types):
            return " or ".join(describe(t) for t in types if not isinstance(t, msgspec.inspect.NoneType))
        case IntType(ge=ge, le=le):
            return "an integer" + _range(ge, le)
        case FloatType(gt=gt, ge=ge, le=le):
            return "a number" + (f" above {gt:,}" if gt is not None else "") + _range(ge, le, gt is not None)
        case LiteralType(values=values):
            return "one of " + ", ".join(f"'{v}'" for v in values)
        case StrType(pattern=pattern) if pattern is not None:
            return "a name: " + NAME_RULE.partition(" are ")[2].partition(";")[0]
        case StrType(max_length=most):
            return "a text" + (f" of at most {most} characters" if most is not None else "")
        case ListType(item_type=item, min_length=least):
            return "a list" + (f" of at least {least}" if least else "") + ", each value " + describe(item)
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.DictType():
            return "an object"
    return "a JSON value"


def _range(low: float | None, high: float | None, open_below: bool = False) -> str:
    if low is not None and high is not None:
        return f" from {low:,} to {high:,}"
    if low is not None:
        return f" of at least {low:,}"
    if high is not None:
        return (" and at most " if open_below else " of at most ") + f"{high:,}"
    return ""


@cache
def _strict(struct: type[S]) -> msgspec.json.Decoder[S]:
    return msgspec.json.Decoder(_closed(struct))


@cache
def _closed(struct: type[Struct]) -> type[Any]:
    """The struct, refusing unknown fields: the quick path takes only requests that need no word about them."""
    return type(struct.__name__, (struct,), {"__module__": struct.__module__}, forbid_unknown_fields=True)


@cache
def _fields(struct: type[Struct]) -> dict[str, Field]:
    kind = msgspec.inspect.type_info(struct)
    assert isinstance(kind, StructType)
    return {field.encode_name: field for field in kind.fields}


@cache
def _open_floats(struct: type[Struct]) -> tuple[str, ...]:
    """Fields of any number, however large."""
    return tuple(
        field.name
        for field in _fields(struct).values()
        if any(isinstance(kind, FloatType) and kind.le is None for kind in _kinds(field.type))
    )


def _kinds(kind: Type) -> tuple[Type, ...]:
    return kind.types if isinstance(kind, UnionType) else (kind,)


@cache
def _annotation(struct: type[Struct], name: str) -> Any:
    return msgspec.structs.fields(struct)[[f.name for f in msgspec.structs.fields(struct)].index(name)].type
