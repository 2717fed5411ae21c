"""Rows of the training history: means over a few steps, tokens and seconds so far."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any


class Meter:
    """Averages single steps into history rows; time before a resume counts, pauses do not.

    Parameters
    ----------
    history : list of dict
        Rows so far; `flush` appends to it.
    """

    def __init__(self, history: list[dict[str, Any]]) -> None:
        self._history = history
        self._pending: list[dict[str, float]] = []
        self._tokens = history[-1]["tokens"] if history else 0
        self._seconds = history[-1]["seconds"] if history else 0.0
        self._marked = time.perf_counter()
        self.shown: dict[str, str] = {}

    @property
    def tokens(self) -> int:
        """Tokens trained on so far."""
        return self._tokens + self._pending_tokens()

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        return self._seconds + time.perf_counter() - self._marked

    def add(self, values: dict[str, float]) -> None:
        """Take in one step and renew `shown`, the values of the progress bar."""
        self._pending.append(values)
        rate = self._pending_tokens() / max(1e-9, time.perf_counter() - self._marked)
        self.shown = {
            "length": str(values["length"]),
            "loss": f"{values['loss']:.3f}",
            "accuracy": f"{values['accuracy']:.3f}",
            "tokens/s": f"{rate:.0f}",
        }

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Time inside the block is not training time."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._marked += time.perf_counter() - start

    def flush(self) -> None:
        """Append the mean of the pending steps to the history, if there are any."""
        if not self._pending:
            return
        now = time.perf_counter()
        tokens, elapsed = self._pending_tokens(), now - self._marked
        self._tokens += tokens
        self._seconds += elapsed
        means = {
            key: sum(row[key] for row in self._pending) / len(self._pending) for key in ("loss", "accuracy")
        }
        self._history.append(
            {
                **self._pending[-1],
                **means,
                "tokens": self._tokens,
                "tokens_per_second": tokens / elapsed,
                "seconds": self._seconds,
            }
        )
        self._pending, self._marked = [], now

    def _pending_tokens(self) -> int:
        return sum(row["tokens"] for row in self._pending)
