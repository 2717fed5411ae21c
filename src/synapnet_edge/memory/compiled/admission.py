"""Admission of new entries to slots: who enters, and the copying of what does."""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from synapnet_edge.memory.compiled.addresses import at, copy_bytes
from synapnet_edge.memory.compiled.selection import select


@njit("int64(int64, int64, int64, int64, int64)", error_model="numpy", cache=True)
def least_free(position, limits, layers, batch, slots):
    """Slots that every row has left: the least of `limits` [L] int64 less the entries of [L, B, S] int32."""
    position = carray(at(position), (layers, batch, slots), np.int32)
    limits = carray(at(limits), layers, np.int64)
    least = np.int64(np.iinfo(np.int64).max)
    for layer in range(layers):
        for stream in range(batch):
            used = 0
            for n in range(slots):
                used += position[layer, stream, n] >= 0
            least = min(least, limits[layer] - used)
    return least


@njit(f"int64({', '.join(['int64'] * 11)})", error_model="numpy", cache=True)
def admit(scores, position, limits, layers, batch, slots, new_position, new, fields, n_fields, gone):
    """Let the i-th best newcomer take the i-th worst slot while it scores higher; see `exchange.admit_best`.

    Parameters
    ----------
    scores : address of [L, B, S + K] float64
        Of the slots and of the newcomers.
    position : address of [L, B, S] int32
        -1 is an empty slot: worse than any entry.
    limits : address of [L] int64
        Slots that each layer may use.
    layers, batch, slots : L, B, S
    new_position, new : address of [L, B, K] int32; K
        -1 is padding, which never enters.
    fields, n_fields : address of [F, 3] int64; F
        For everything kept about an entry: addresses of the slots' [L, B, S] and of the newcomers' [L, B, K]
        array, and bytes of one entry in it. `position` is among them.
    gone : address of [L, B] int64
        Result: how many entries went, stored ones and newcomers.

    Returns
    -------
    int64
        One more than the highest slot that was filled; 0 if no newcomer entered.
    """
    rows = layers * batch
    scores = carray(at(scores), (rows, slots + new), np.float64)
    position = carray(at(position), (rows, slots), np.int32)
    limits = carray(at(limits), layers, np.int64)
    new_position = carray(at(new_position), (rows, new), np.int32)
    fields = carray(at(fields), (n_fields, 3), np.int64)
    gone = carray(at(gone), rows, np.int64)
    room = min(slots, new)
    worst, places = np.empty(room), np.empty(room, np.int64)
    best, origins = np.empty(room), np.empty(room, np.int64)
    top = 0
    for row in range(rows):
        usable = min(slots, limits[row // batch])
        k = min(usable, new)
        select(scores[row, :usable], position[row], -np.inf, 1.0, worst[:k], places[:k])
        select(scores[row, slots:], new_position[row], np.inf, -1.0, best[:k], origins[:k])
        gone[row] = 0
        for n in range(new):
            gone[row] += new_position[row, n] >= 0
        for i in range(k):
            if -best[i] <= worst[i]:
                break  # both are in order: none behind it enters either
            gone[row] -= worst[i] == -np.inf
            top = max(top, places[i] + 1)
            for f in range(n_fields):
                size = fields[f, 2]
                target = fields[f, 0] + (row * slots + places[i]) * size
                copy_bytes(target, fields[f, 1] + (row * new + origins[i]) * size, size)
    return top
