"""Instructions on several numbers at once, for the search of neighbours: numba alone makes none of loops this short.

Its loop vectorizer takes long inner loops over one array; sixteen sums over the columns came out one number at a time
(58 ns for a leaf of ten columns, 20 ns so). Each function here is written into its caller as LLVM vectors, which become
whatever the processor has. Every lane adds in the order of a plain loop and nothing is fused, so it has its bits.

Arrays are C-contiguous, nothing is checked. numba's cache knows a kernel by its own file alone: after a change here
remove `__pycache__`. Importing this loads numba.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LEAF = 16  # points whose distances are taken together
FAMILY = 8  # boxes whose bounds are taken together
STEP = 8  # entries of a list that move together: its length is a multiple, and one more

_INDEX, _INT64, _DOUBLE = ir.IntType(32), ir.IntType(64), ir.DoubleType()
_Term = Callable[[ir.IRBuilder, ir.Value, ir.Value], ir.Value]


def _load(builder: ir.IRBuilder, at: ir.Value, lanes: int) -> ir.Value:
    """`lanes` numbers from an address on, which need not be a multiple of their size."""
    value = builder.load(builder.bitcast(at, ir.VectorType(at.type.pointee, lanes).as_pointer()))
    value.align = 8
    return value


def _store(builder: ir.IRBuilder, value: ir.Value, at: ir.Value) -> None:
    builder.store(value, builder.bitcast(at, value.type.as_pointer())).align = 8


def _spread(builder: ir.IRBuilder, value: ir.Value, lanes: int) -> ir.Value:
    """The same number in every lane."""
    none = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    first = builder.insert_element(none, value, ir.Constant(_INDEX, 0))
    return builder.shuffle_vector(first, none, ir.Constant(ir.VectorType(_INDEX, lanes), [0] * lanes))


def _lesser(builder: ir.IRBuilder, left: ir.Value, right: ir.Value) -> ir.Value:
    return builder.select(builder.fcmp_ordered("<", left, right), left, right)


def _greater(builder: ir.IRBuilder, left: ir.Value, right: ir.Value) -> ir.Value:
    return builder.select(builder.fcmp_ordered(">", left, right), left, right)


def _mask(builder: ir.IRBuilder, lanes: ir.Value) -> ir.Value:
    """Truths of lanes as the bits of an integer, the first lane's the lowest."""
    return builder.zext(builder.bitcast(lanes, ir.IntType(lanes.type.count)), _INT64)


def _data(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any, at: int) -> ir.Value:
    """The address of an argument's first number."""
    return context.make_array(signature.args[at])(context, builder, arguments[at]).data


def _sum_squares(builder: ir.IRBuilder, query: ir.Value, columns: ir.Value, lanes: int, term: _Term) -> ir.Value:
    """In every lane the sum over the columns of the squares of `term`, made of the column and the query's value."""
    total = cgutils.alloca_once_value(builder, ir.Constant(ir.VectorType(_DOUBLE, lanes), [0.0] * lanes))
    with cgutils.for_range(builder, columns) as loop:
        value = _spread(builder, builder.load(builder.gep(query, [loop.index])), lanes)
        away = term(builder, loop.index, value)
        builder.store(builder.fadd(builder.load(total), builder.fmul(away, away)), total)
    return builder.load(total)


def _bounds(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any, lanes: int) -> ir.Value:
    """Squared distances from a query to the boxes (nodes, columns, lowest and highest, lanes) of a node."""
    boxes, query = (_data(context, builder, signature, arguments, at) for at in (0, 2))
    columns = context.make_array(signature.args[2])(context, builder, arguments[2]).shape
    columns = builder.extract_value(columns, 0)
    node = builder.gep(boxes, [builder.mul(arguments[1], builder.mul(columns, _INT64(2 * lanes)))])

    def outside(builder: ir.IRBuilder, column: ir.Value, value: ir.Value) -> ir.Value:
        at = builder.gep(node, [builder.mul(column, _INT64(2 * lanes))])
        below = builder.fsub(_load(builder, at, lanes), value)
        above = builder.fsub(value, _load(builder, builder.gep(at, [_INT64(lanes)]), lanes))
        return _greater(builder, _greater(builder, below, above), ir.Constant(value.type, [0.0] * lanes))

    return _sum_squares(builder, query, columns, lanes, outside)


@intrinsic
def squares_below(_typing: Any, points: Any, leaf: Any, query: Any, limit: Any, squares: Any) -> Any:
    """Write the squared distances from `query` to the points of a leaf (leaves, columns, LEAF); a mask of those below.

    The mask has the lowest bit for the first point.
    """

    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        data, query = (_data(context, builder, signature, arguments, at) for at in (0, 2))
        columns = context.make_array(signature.args[2])(context, builder, arguments[2]).shape
        columns = builder.extract_value(columns, 0)
        first = builder.gep(data, [builder.mul(arguments[1], builder.mul(columns, _INT64(LEAF)))])

        def away(builder: ir.IRBuilder, column: ir.Value, value: ir.Value) -> ir.Value:
            return builder.fsub(_load(builder, builder.gep(first, [builder.mul(column, _INT64(LEAF))]), LEAF), value)

        found = _sum_squares(builder, query, columns, LEAF, away)
        _store(builder, found, _data(context, builder, signature, arguments, 4))
        return _mask(builder, builder.fcmp_ordered("<", found, _spread(builder, arguments[3], LEAF)))

    return types.uint64(points, leaf, query, limit, squares), build


@intrinsic
def bounds_of_children(_typing: Any, boxes: Any, node: Any, query: Any) -> Any:
    """Squared distances from `query` to the two boxes of a node (nodes, columns, lowest and highest, 2)."""

    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        found = _bounds(context, builder, signature, arguments, 2)
        both = [builder.extract_element(found, ir.Constant(_INDEX, at)) for at in range(2)]
        return context.make_tuple(builder, signature.return_type, both)

    return types.UniTuple(types.float64, 2)(boxes, node, query), build


@intrinsic
def bounds_of_family(_typing: Any, boxes: Any, family: Any, query: Any, bounds: Any) -> Any:
    """Write squared distances from `query` to the boxes of a family (families, columns, lowest and highest, FAMILY)."""

    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        found = _bounds(context, builder, signature, arguments, FAMILY)
        _store(builder, found, _data(context, builder, signature, arguments, 3))
        return context.get_dummy_value()

    return types.void(boxes, family, query, bounds), build


@intrinsic
def least_of_family(_typing: Any, bounds: Any) -> Any:
    """The position of the least of FAMILY numbers, none of which is NaN."""

    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        every = _load(builder, _data(context, builder, signature, arguments, 0), FAMILY)
        least, lanes = every, FAMILY
        while lanes > 1:
            lanes //= 2
            halves = [
                builder.shuffle_vector(
                    least, least, ir.Constant(ir.VectorType(_INDEX, lanes), list(range(at, at + lanes)))
                )
                for at in (0, lanes)
            ]
            least = _lesser(builder, *halves)
        least = builder.extract_element(least, ir.Constant(_INDEX, 0))
        same = _mask(builder, builder.fcmp_ordered("==", every, _spread(builder, least, FAMILY)))
        return builder.cttz(same, ir.Constant(ir.IntType(1), 1))

    return types.int64(bounds), build


@intrinsic
def lowest_bit(_typing: Any, mask: Any) -> Any:
    """The position of the lowest bit of a mask that has one."""

    def build(_context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> ir.Value:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(mask), build


@intrinsic
def insert(_typing: Any, distances: Any, places: Any, distance: Any, place: Any) -> Any:
    """Put a point into the list of the nearest, which is the farthest first; that one falls out.

    What is farther than the point moves up by one, without a branch: where in the list a point belongs is a guess that
    a processor loses (with branches a search for 21 took 5 to 20 % longer, one for 5 some 5 %).
    """

    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        lists = [_data(context, builder, signature, arguments, at) for at in (0, 1)]
        length = context.make_array(signature.args[0])(context, builder, arguments[0]).shape
        length = builder.sub(builder.extract_value(length, 0), _INT64(1))
        new = [_spread(builder, value, STEP) for value in arguments[2:]]
        with cgutils.for_range_slice(builder, _INT64(0), length, _INT64(STEP), inc=True) as (at, _):
            into = [builder.gep(values, [at]) for values in lists]
            here = [_load(builder, values, STEP) for values in into]
            after = [_load(builder, builder.gep(values, [_INT64(1)]), STEP) for values in into]
            stays, enters = (builder.fcmp_ordered("<=", values[0], new[0]) for values in (here, after))
            for values, old, moved, entry in zip(into, here, after, new, strict=True):
                _store(builder, builder.select(stays, old, builder.select(enters, entry, moved)), values)
        return context.get_dummy_value()

    return types.void(distances, places, distance, place), build
