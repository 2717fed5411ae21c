"""JSON Schema violations as messages for people: key, what was found, what was expected, near matches."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

Key = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One wrong value: where it stands, what was found there and what was expected."""

    key: Key
    found: str
    expected: str

    def describe(self, file: str) -> str:
        """The line a user reads."""
        dotted = ".".join(str(part) for part in self.key) or "(top level)"
        return f"{file}: key {dotted}: found {self.found}, expected {self.expected}"


def schema_problems(config: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield every violation of `schema` in `config`, in the order of the keys."""
    from jsonschema import Draft202012Validator  # only checking needs it, not the other commands

    errors = Draft202012Validator(schema).iter_errors(_text_keys(config))
    for error in sorted(errors, key=lambda e: [str(part) for part in e.absolute_path]):
        yield from _explain(error)


def unknown_name(key: Key, name: Any, kind: str, known: Collection[str]) -> Problem:
    """The problem of a `name` that is not among the `known` ones, with near matches."""
    return Problem(key, repr(name), f"a known {kind}: {', '.join(sorted(known))}{did_you_mean(name, known)}")


def did_you_mean(name: Any, known: Collection[str]) -> str:
    """`` (did you mean ...?)`` for near matches of `name`, or nothing."""
    near = difflib.get_close_matches(str(name), sorted(known), n=3)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def _text_keys(value: Any) -> Any:
    """YAML allows whole numbers as keys (lengths); JSON Schema knows text keys only."""
    if isinstance(value, Mapping):
        return {str(key): _text_keys(item) for key, item in value.items()}
    return [_text_keys(item) for item in value] if isinstance(value, list) else value


def _explain(error: ValidationError) -> Iterator[Problem]:
    key: Key = tuple(error.absolute_path)
    rule, limit, found = error.validator, error.validator_value, error.instance
    if rule == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        patterns = error.schema.get("patternProperties", {})
        for name in found:
            if name not in known and not any(_matches(pattern, name) for pattern in patterns):
                expected = f"one of {', '.join(known)}" if known else f"names like {' or '.join(patterns)}"
                yield Problem((*key, name), "an unknown key", expected + did_you_mean(name, known))
    elif rule == "required":
        missing = [name for name in limit if name not in found]
        yield from (Problem((*key, name), "nothing", "a value: the key is required") for name in missing)
    elif rule == "type":
        yield Problem(key, f"{found!r} ({_type_name(found)})", f"{_types(limit)}{_number_hint(found)}")
    elif rule == "enum":
        choices = [str(choice) for choice in limit]
        hint = ' (YAML reads a bare off as false: write "off")' if found is False and "off" in choices else ""
        yield Problem(key, repr(found), f"one of {', '.join(choices)}{hint or did_you_mean(found, choices)}")
    elif rule in _EXPECTED and not (rule == "pattern" and "description" in error.schema):
        shown = f"{len(found)} entries" if rule in ("minItems", "maxItems") else repr(found)
        yield Problem(key, shown, _EXPECTED[rule].format(limit))
    else:
        yield Problem(key, repr(found), str(error.schema.get("description", error.message)))


_EXPECTED = {
    "minimum": "a number >= {}",
    "exclusiveMinimum": "a number > {}",
    "maximum": "a number <= {}",
    "exclusiveMaximum": "a number < {}",
    "minItems": "at least {} entries",
    "maxItems": "at most {} entries",
    "minProperties": "at least {} entries",
    "uniqueItems": "entries that all differ",
    "multipleOf": "a multiple of {}",
    "pattern": "text like {}",
}
_TYPE_NAMES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


def _types(limit: str | list[str]) -> str:
    return " or ".join(_TYPE_NAMES[name] for name in ([limit] if isinstance(limit, str) else limit))


def _type_name(value: Any) -> str:
    names = {dict: "mapping", list: "list", str: "text", bool: "true/false", type(None): "null"}
    return names.get(type(value), "number")


def _number_hint(found: Any) -> str:
    """YAML 1.1 reads ``1e-3`` as text; say so, since it looks right."""
    try:
        float(found) if isinstance(found, str) else None
    except ValueError:
        return ""
    return " (YAML reads 1e-3 as text: write 1.0e-3)" if isinstance(found, str) else ""


def _matches(pattern: str, name: str) -> bool:
    import re

    return re.search(pattern, name) is not None
