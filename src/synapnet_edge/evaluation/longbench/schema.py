"""The eight fields of a LongBench row, checked row by row.

Every public reader of these files is lenient somewhere (a missing column becomes nothing, a column of nulls
gets a type of its own), so lines are read as plain JSON and checked here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

FIELDS = ("input", "context", "answers", "length", "dataset", "language", "all_classes", "_id")
_MIRROR = {"question", "answer_prefix", "max_new_tokens"}


class SchemaError(ValueError):
    """A row that is not a LongBench row; the message names place, field, found and expected."""


@dataclass(frozen=True, slots=True)
class Row:
    """One question of LongBench.

    Attributes
    ----------
    input : str
        Question or instruction; may be empty.
    context : str
        The long text.
    answers : tuple of str
        Accepted answers, at least one.
    length : int
        Words (English, code) or characters (Chinese) of the whole row.
    dataset, language : str
        Task the row belongs to, and its (programming) language.
    all_classes : tuple of str or None
        Class names, for classification.
    id : str
        The field `_id`.
    """

    input: str
    context: str
    answers: tuple[str, ...]
    length: int
    dataset: str
    language: str
    all_classes: tuple[str, ...] | None
    id: str


def read_rows(lines: Iterable[tuple[str, bytes]], dataset: str, classes: bool = False) -> Iterator[Row]:
    """Yield the checked rows of one file.

    Parameters
    ----------
    lines : iterable of (str, bytes)
        Place of a line, for messages, and its UTF-8 text.
    dataset : str
        Task the file is for; a row may also name its LongBench-E variant.
    classes : bool
        Whether rows must list their classes.

    Raises
    ------
    SchemaError
        At the first line that is not such a row.
    """
    for place, line in lines:
        if not line.strip():
            continue
        row = parse_row(_parse_json(place, line), place)
        if row.dataset not in (dataset, f"{dataset}_e"):
            raise SchemaError(f"{place}: field dataset: found {row.dataset!r}, expected {dataset!r}")
        if classes and not row.all_classes:
            raise SchemaError(f"{place}: field all_classes: found none, {dataset} needs its class names")
        yield row


def parse_row(raw: Any, place: str) -> Row:
    """Check one decoded line; raises SchemaError naming `place` and the field."""
    if not isinstance(raw, Mapping):
        raise SchemaError(
            f"{place}: found {_kind(raw)}, expected an object with the fields {_listed(FIELDS)}"
        )
    missing = [name for name in FIELDS if name not in raw]
    unknown = sorted(set(raw) - set(FIELDS))
    if missing or unknown:
        found = [f"no {_listed(missing)}"] if missing else []
        found += [f"unknown {_listed(unknown)}"] if unknown else []
        # Contexts of that mirror begin with the prompt: applying the template again would double it.
        hint = "; this looks like the mirror Xnhyacinth/LongBench, whose texts already hold the prompt"
        expected = f"expected exactly {_listed(FIELDS)}{hint if _MIRROR & set(unknown) else ''}"
        raise SchemaError(f"{place}: found {' and '.join(found)}, {expected}")
    for name, check, expected in _CHECKS:
        if not check(raw[name]):
            raise SchemaError(f"{place}: field {name}: found {_kind(raw[name])}, expected {expected}")
    return Row(
        input=raw["input"],
        context=raw["context"],
        answers=tuple(raw["answers"]),
        length=raw["length"],
        dataset=raw["dataset"],
        language=raw["language"],
        all_classes=None if raw["all_classes"] is None else tuple(raw["all_classes"]),
        id=raw["_id"],
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


_CHECKS: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("input", _is_text, "text"),
    ("context", _is_text, "text"),
    ("answers", _is_texts, "a list of at least one text"),
    ("length", _is_count, "a whole number >= 0"),
    ("dataset", _is_text, "text"),
    ("language", _is_text, "text"),
    ("all_classes", lambda value: value is None or _is_texts(value), "null or a list of at least one text"),
    ("_id", _is_text, "text"),
)


def _parse_json(place: str, line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8"), object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise SchemaError(f"{place}: not UTF-8 text (byte {error.start} of the line)") from error
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"{place}: not a line of JSON ({error})") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys all differ; of a repeated one JSON readers keep an arbitrary value."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field is given twice")
    return found


def _kind(value: Any) -> str:
    if isinstance(value, list):
        kinds = sorted({_kind(item) for item in value})
        return f"a list of {' and '.join(kinds)}" if kinds else "an empty list"
    names = {str: "text", bool: "true/false", type(None): "null", dict: "an object"}
    return names.get(type(value), repr(value))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
