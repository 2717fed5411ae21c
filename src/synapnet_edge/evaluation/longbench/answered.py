"""Answers that are already scored, kept in a file so that a stopped run goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Answered:
    """Scored questions of one run, one JSON object a line; the first line says which run.

    Every answer is on disk before the next question is asked. A line that a killed process left unfinished is
    dropped, and its question is asked again.

    Parameters
    ----------
    path : path or None
        The file; made if it does not exist. None keeps nothing.
    run : mapping
        What the answers depend on, of JSON values.

    Raises
    ------
    ValueError
        If the file belongs to another run or is none of these files; the message names it.
    """

    def __init__(self, path: str | Path | None, run: Mapping[str, Any]) -> None:
        self._path = None if path is None else Path(path)
        self._results: dict[tuple[str, int], dict[str, Any]] = {}
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lines = self._whole_lines()
        if not lines:
            self._append({"run": dict(run)})
            return
        found = lines[0].get("run") if isinstance(lines[0], dict) else None
        if found != dict(run):
            raise ValueError(
                f"{self._path}: found answers of the run {found}, expected {dict(run)}; delete the file "
                "to start afresh, or name another"
            )
        for line in lines[1:]:
            self._results[line["task"], line["result"]["row"]] = line["result"]

    def __len__(self) -> int:
        return len(self._results)

    def get(self, task: str, row: int) -> dict[str, Any] | None:
        """The result of a question, or None if it is still to be asked."""
        return self._results.get((task, row))

    def add(self, task: str, result: dict[str, Any]) -> None:
        """Keep the result of one question; `result["row"]` is its number in the file of the task."""
        self._results[task, result["row"]] = result
        if self._path is not None:
            self._append({"task": task, "result": result})

    def _append(self, line: Mapping[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _whole_lines(self) -> list[Any]:
        """The lines of the file; what follows the last line break is cut off."""
        if not self._path.exists():
            return []
        text = self._path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if len(whole) < len(text):
            with self._path.open("r+b") as file:
                file.truncate(len(whole))
        try:
            return [json.loads(line) for line in whole.decode("utf-8").splitlines()]
        except ValueError as error:
            raise ValueError(
                f"{self._path}: found a line that is no JSON, expected scored answers"
            ) from error
