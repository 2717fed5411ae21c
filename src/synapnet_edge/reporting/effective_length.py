"""Effective length: up to which length a variant still does a task, after RULER (arXiv 2404.06654)."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any

from synapnet_edge.reporting import text
from synapnet_edge.reporting.aggregate import variant_rank

if TYPE_CHECKING:
    import pandas as pd

THRESHOLD = 0.856  # RULER's: what Llama-2 7B scores at the 4K tokens it was trained for
MEAN = "mean of tasks"  # stands in the task column of a suite's mean
ARM = ["suite", "model", "variant", "backend"]
COLUMNS = [
    *ARM, "task", "seeds", "n", "shortest", "longest", "effective", "effective_low", "score_longest",
    "ci_low_longest", "guess",
]  # fmt: skip


def effective_lengths(cells: pd.DataFrame) -> pd.DataFrame:
    """The effective length of every task and of every suite's mean, for each variant.

    Parameters
    ----------
    cells : DataFrame
        `aggregate.scores`: mean over trained seeds and its pooled 95 % interval, one row per length.

    Returns
    -------
    DataFrame with the columns `COLUMNS`, lengths in tokens
        effective: the longest measured length L such that the mean over trained seeds is at least `THRESHOLD`
        at L **and at every shorter measured length**; 0 if it is not even at the shortest. effective_low: the
        same with the interval's lower bound instead of the mean, the length that the rows are enough to
        claim. shortest, longest: of the measured lengths; an effective length equal to `longest` is only a
        lower limit. score_longest, ci_low_longest: at `longest`. n: rows per length over all seeds, the
        smallest. guess: the best shortcut's score, the highest over lengths; at or above the threshold the
        length shows nothing.

    Notes
    -----
    RULER states it for the mean of its 13 tasks (here the row `MEAN`, see `suite_means`) and for the longest
    length above the threshold, dips below it allowed; ours is never longer. Between two measured lengths
    nothing is claimed.
    """
    import pandas as pd

    everything = pd.concat([cells, suite_means(cells)], ignore_index=True)
    rows = []
    for key, part in everything.groupby([*ARM, "task"], sort=False):
        part = part.sort_values("length")
        last = part.iloc[-1]
        rows.append(
            dict(zip([*ARM, "task"], key, strict=True))
            | {
                "seeds": int(part["seeds"].min()),
                "n": int(part["n_total"].min()),
                "shortest": int(part["length"].iloc[0]),
                "longest": int(last["length"]),
                "effective": _reached(part, "mean"),
                "effective_low": _reached(part, "ci_low"),
                "score_longest": last["mean"],
                "ci_low_longest": last["ci_low"],
                "guess": part["guess"].max(),
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def suite_means(cells: pd.DataFrame) -> pd.DataFrame:
    """The unweighted mean over the tasks of a suite, at lengths where every task of it was measured.

    Parameters
    ----------
    cells : DataFrame
        `aggregate.scores`.

    Returns
    -------
    DataFrame with the same columns and the task `MEAN`
        Suites of one task have no row. n_total, seeds: smallest over tasks. The interval adds up those of the
        tasks as independent: mean - sqrt(sum (mean_i - low_i)^2) / tasks (Zou and Donner 2008). std is nan.
    """
    import pandas as pd

    rows = []
    for key, part in cells.groupby(ARM, sort=False):
        tasks = part["task"].nunique()
        for length, at in part.groupby("length"):
            if tasks < 2 or at["task"].nunique() < tasks:
                continue
            mean = at["mean"].mean()
            rows.append(
                dict(zip(ARM, key, strict=True))
                | {"task": MEAN, "length": length, "mean": mean, "std": float("nan")}
                | {column: at[column].min() for column in ("seeds", "n", "n_total")}
                | {
                    "ci_low": mean - sqrt(((at["mean"] - at["ci_low"]) ** 2).sum()) / tasks,
                    "ci_high": mean + sqrt(((at["ci_high"] - at["mean"]) ** 2).sum()) / tasks,
                }
                | {column: at[column].mean() for column in ("chance", "guess", "floor")}
            )
    return pd.DataFrame(rows, columns=list(cells.columns))


def length_words(length: int, shortest: int, longest: int) -> str:
    """ "≥ 16384" where the longest measured length is reached, "< 512" where not even the shortest is."""
    if length < shortest:
        return f"< {shortest}"
    return f"≥ {length}" if length == longest else str(length)


def section(cells: pd.DataFrame) -> str:
    """One table per suite and model: rows = tasks, columns = variants; tasks of one length are left out."""
    table = effective_lengths(cells)
    table = table[table["longest"] > table["shortest"]]
    blocks = [_block(*key, part) for key, part in table.groupby(["suite", "model"], sort=False)]
    return (
        "## Effective length\n\n"
        f"The longest measured length [tokens] up to which the mean over trained seeds stays at or above "
        f"{THRESHOLD} (RULER's threshold, arXiv 2404.06654) at every length; in brackets the same for the "
        "lower bound of the 95 % interval pooled over seeds. ≥: the longest measured length. *: the best "
        "shortcut reaches the threshold, so the length shows nothing.\n\n"
        + ("\n".join(blocks) or "Not measured in this run.\n")
    )


def _reached(part: pd.DataFrame, column: str) -> int:
    """The last length, ascending, before the first whose `column` is below the threshold; 0 = none."""
    kept = part.loc[(part[column] >= THRESHOLD).cummin(), "length"]
    return int(kept.iloc[-1]) if len(kept) else 0


def _block(suite: str, model: str, part: pd.DataFrame) -> str:
    variants = sorted(part["variant"].unique(), key=variant_rank)
    rows = [_row(task, mine, variants) for task, mine in part.groupby("task", sort=False)]
    head = ("task", "measured", *variants, "seeds, n")
    return f"### {suite} ({model})\n\n" + text.table(head, rows)


def _row(task: str, part: pd.DataFrame, variants: list[str]) -> tuple[str, ...]:
    first = part.iloc[0]
    mark = " *" if (part["guess"] >= THRESHOLD).any() else ""
    by_variant: dict[str, Any] = {row.variant: row for row in part.itertuples()}
    words = [_words(by_variant[variant]) if variant in by_variant else "–" for variant in variants]
    measured = f"{first['shortest']} to {first['longest']}"
    return (f"{task}{mark}", measured, *words, f"{part['seeds'].min()}, {part['n'].min()}")


def _words(row: Any) -> str:
    found = (length_words(length, row.shortest, row.longest) for length in (row.effective, row.effective_low))
    return "{} ({})".format(*found)
