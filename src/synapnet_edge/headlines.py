"""The one number worth saying about a table, for the line that a finished job leaves on the terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

LATEST: list[str] = []  # what the tables written by this process said, oldest first


def note(table: pd.DataFrame) -> None:
    """Keep the headline of a table that was written, if it has one."""
    if words := headline(table):
        LATEST.append(words)


def headline(table: pd.DataFrame) -> str | None:
    """A few words with the table's main number; None for a kind of table without one."""
    columns = set(table.columns)
    if table.empty:
        return None
    for needed, words in _KINDS:
        if needed <= columns:
            return words(table)
    return None


def _history(table: pd.DataFrame) -> str:
    last = table.iloc[-1]
    return f"loss {last['loss']:.3f}, accuracy {last['accuracy']:.3f} after {int(last['tokens']):,} tokens"


def _classifier(table: pd.DataFrame) -> str:
    return f"AUC {table['validation_auc'].iloc[-1]:.3f}"


def _grid(table: pd.DataFrame) -> str:
    smallest = table[table["budget"] == table["budget"].min()]
    answered = smallest["accuracy"].mean()
    return f"accuracy {answered:.3f} at budget {smallest['budget'].iloc[0]:g}, {len(table)} cells"


def _scores(table: pd.DataFrame) -> str:
    return f"mean score {table['score'].mean():.3f} over {len(table)} cells"


def _ledger(table: pd.DataFrame) -> str:
    total = table["bytes"].sum()
    return f"{total / 1e6:.2f} MB, {8 * total / table['parameters'].sum():.2f} bits per parameter"


def _speed(table: pd.DataFrame) -> str | None:
    decode = table.loc[table["metric"] == "decode_tokens_per_second", "value"].dropna()
    return f"decode {decode.max():,.0f} tokens/s at best" if len(decode) else None


_KINDS: tuple[tuple[frozenset[str], Callable[[pd.DataFrame], str | None]], ...] = (
    (frozenset({"validation_auc"}), _classifier),
    (frozenset({"policy", "budget", "accuracy"}), _grid),
    (frozenset({"loss", "accuracy", "tokens"}), _history),
    (frozenset({"task", "n", "score"}), _scores),
    (frozenset({"bytes", "bits", "parameters"}), _ledger),
    (frozenset({"tier", "metric", "value"}), _speed),
)
