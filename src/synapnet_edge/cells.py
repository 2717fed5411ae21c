"""Which cells (task, length, rows) a suite or an experiment measures, from its block of the configuration.

A block is one grid (``tasks`` x ``lengths``, with ``samples``) or, under ``cells``, a list of such grids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

GRID_KEYS = ("tasks", "lengths", "samples")


class Cell(NamedTuple):
    """One row of a benchmark table: `n` rows of `task` at `length` tokens."""

    task: str
    length: int
    n: int


def grids(block: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The grids of a block, in order."""
    return block.get("cells", [block])


def task_names(block: Mapping[str, Any]) -> tuple[str, ...]:
    """Every task of a block once, in order."""
    return tuple(dict.fromkeys(task for grid in grids(block) for task in grid["tasks"]))


def cells_of(block: Mapping[str, Any]) -> list[Cell]:
    """All cells of a block: grids and tasks in their order, lengths ascending.

    Raises
    ------
    ValueError
        If both forms are mixed, a key of a grid is missing or unknown, a length has no row count, or a cell
        is named twice.
    """
    mixed = [key for key in GRID_KEYS if key in block]
    if "cells" in block and mixed:
        raise ValueError(f"found cells and {', '.join(mixed)}, expected either cells or {_words()}")
    found = [cell for grid in grids(block) for cell in _grid_cells(grid)]
    seen: set[tuple[str, int]] = set()
    for cell in found:
        if cell[:2] in seen:
            raise ValueError(f"found {cell.task} at {cell.length} twice, expected each cell once")
        seen.add(cell[:2])
    return found


def tokens_of(block: Mapping[str, Any]) -> int:
    """Tokens read when a block is measured: what it costs, up to the model's speed."""
    return sum(cell.length * cell.n for cell in cells_of(block))


def _grid_cells(grid: Mapping[str, Any]) -> Iterator[Cell]:
    missing = [key for key in GRID_KEYS if key not in grid]
    unknown = sorted(set(grid) - set(GRID_KEYS))
    if missing or unknown:
        odd = f"no {', '.join(missing)}" if missing else f"unknown keys {', '.join(map(str, unknown))}"
        raise ValueError(f"found {odd}, expected {_words()}")
    for task in grid["tasks"]:
        for length in sorted(grid["lengths"]):
            yield Cell(task, int(length), row_count(grid["samples"], int(length)))


def row_count(samples: int | Mapping[Any, int], length: int) -> int:
    """Rows at one length; `samples` is one number, or one for each length."""
    if isinstance(samples, Mapping):
        # JSON and command-line overrides turn the lengths into text.
        by_length = {int(key): count for key, count in samples.items()}
        if length not in by_length:
            raise ValueError(f"samples has no entry for length {length}, got {sorted(by_length)}")
        samples = by_length[length]
    if samples < 1:
        raise ValueError(f"expected at least 1 sample at length {length}, got {samples}")
    return int(samples)


def _words() -> str:
    return ", ".join(GRID_KEYS[:-1]) + f" and {GRID_KEYS[-1]}"
