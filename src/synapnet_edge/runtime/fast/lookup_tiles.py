"""Inner loops of lookups: several queries against sixteen keys at a time, and weighted sums of values.

Keys and values are loaded once for all queries of a tile. One query and four give the same bits: a logit adds
up feature by feature, a weighted sum entry by entry.
"""

from __future__ import annotations

from numba.core import cgutils, types

from synapnet_edge.runtime.fast.products import _at, _Cell, _fma, _returning_nothing, _word
from synapnet_edge.simd import _F32, _FLOATS, _none, _operation, constant, load, splat, store


def _match(queries, blocks):
    """Emit `out = bias + q . k` of `queries` queries and `blocks` blocks of sixteen keys.

    Arguments: address of the first query and bytes between queries, features of a key, address of the keys
    (feature by feature in each block) and bytes of a block, address of the bias and of the result and bytes
    between two queries' rows of both.
    """

    def build(b, query, step, width, keys, block, bias, out, row):
        rows = [_Cell(b, _at(b, query, b.mul(step, _word(q)))) for q in range(queries)]
        places = [_Cell(b, _at(b, keys, b.mul(block, _word(n)))) for n in range(blocks)]
        sums = [[_Cell(b, constant(0.0)) for _ in range(blocks)] for _ in range(queries)]
        with cgutils.for_range(b, width):
            loaded = [load(b, place.get(), _FLOATS, 4) for place in places]
            for q in range(queries):
                value = splat(b, load(b, rows[q].get(), _F32, 4))
                for n in range(blocks):
                    sums[q][n].set(_fma(b, value, loaded[n], sums[q][n].get()))
                rows[q].move(4)
            for place in places:
                place.move(64)
        for q in range(queries):
            for n in range(blocks):
                offset = b.add(b.mul(row, _word(q)), _word(64 * n))
                level = load(b, _at(b, bias, offset), _FLOATS, 4)
                store(b, _at(b, out, offset), b.fadd(sums[q][n].get(), level), 4)

    return _returning_nothing(build)


def _collect(queries, vectors):
    """Emit `out += sum over n of weights[n] * values[n]` for `vectors` vectors of `queries` queries.

    Arguments: address of the weights and bytes between queries, how many, address of the values and bytes
    between entries, address of the sums and bytes between queries.
    """

    def build(b, weights, row, count, values, step, out, out_row):
        value = _Cell(b, values)
        given = [_Cell(b, _at(b, weights, b.mul(row, _word(q)))) for q in range(queries)]
        targets = [_at(b, out, b.mul(out_row, _word(q))) for q in range(queries)]
        sums = [
            [_Cell(b, load(b, _at(b, target, 64 * v), _FLOATS, 4)) for v in range(vectors)]
            for target in targets
        ]
        with cgutils.for_range(b, count):
            loaded = [load(b, _at(b, value.get(), 64 * v), _FLOATS, 4) for v in range(vectors)]
            for q in range(queries):
                weight = splat(b, load(b, given[q].get(), _F32, 4))
                for v in range(vectors):
                    sums[q][v].set(_fma(b, weight, loaded[v], sums[q][v].get()))
                given[q].move(4)
            value.move(step)
        for q in range(queries):
            for v in range(vectors):
                store(b, _at(b, targets[q], 64 * v), sums[q][v].get(), 4)

    return _returning_nothing(build)


_a = types.int64
match_1x4, match_1x1, match_4x4, match_4x1 = (
    _operation(_none, (_a,) * 8, _match(queries, blocks))
    for queries, blocks in ((1, 4), (1, 1), (4, 4), (4, 1))
)
collect_1x2, collect_1x1, collect_4x2, collect_4x1 = (
    _operation(_none, (_a,) * 7, _collect(queries, vectors))
    for queries, vectors in ((1, 2), (1, 1), (4, 2), (4, 1))
)
