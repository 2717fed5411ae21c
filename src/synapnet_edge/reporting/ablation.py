"""What the arms of an experiment are worth against the full model: pooled cells, verdicts and their words."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from synapnet_edge.reporting import aggregate, text

if TYPE_CHECKING:
    import pandas as pd

FULL = "full"  # the arm the others are compared with
WITHOUT = "no_"  # arms of this prefix are trained without one component
CELL = ["experiment", "arm", "task", "length"]


class Comparison(NamedTuple):
    """One arm against the full model: (task, length, difference of means) of the cells that differ.

    `cells` counts the cells that can tell: those in which at least one of the two is above guessing.
    """

    arm: str
    worse: list[tuple[str, int, float]]
    better: list[tuple[str, int, float]]
    cells: int


def pooled(table: pd.DataFrame) -> pd.DataFrame:
    """Cells with the trained seed as the unit, arms in the order of the table.

    Returns
    -------
    One row per (experiment, arm, task, length): `mean`, `std`, `low` and `high` over seeds, `seeds`,
    `n_total`, Wilson `ci_low`/`ci_high` pooled over seeds, `chance`, `guess`.
    """
    import pandas as pd

    rows = []
    for key, cell in table.dropna(subset=["score"]).groupby(CELL, sort=False):
        low, high = aggregate.wilson((cell["score"] * cell["n"]).sum(), cell["n"].sum())
        scores = cell.groupby("seed")["score"].mean()
        rows.append(
            dict(zip(CELL, key, strict=True))
            | {"mean": scores.mean(), "std": scores.std(ddof=1), "low": scores.min(), "high": scores.max()}
            | {"seeds": len(scores), "n_total": int(cell["n"].sum()), "ci_low": low, "ci_high": high}
            | {"chance": cell["chance"].mean(), "guess": cell["guess"].mean()}
        )
    values = "mean std low high seeds n_total ci_low ci_high chance guess"
    return pd.DataFrame(rows, columns=[*CELL, *values.split()])


def arm_order(table: pd.DataFrame) -> list[str]:
    """Arms with the full model first, then as in the table."""
    return sorted(dict.fromkeys(table["arm"]), key=lambda arm: arm != FULL)


def compare(cells: pd.DataFrame) -> list[Comparison]:
    """Every arm of one experiment against `full`.

    A cell differs when the pooled intervals do not overlap and neither do the scores of single seeds: with
    few seeds the pooled interval alone would take the luck of one training for an effect.
    """
    keys = ["task", "length"]
    full = cells[cells["arm"] == FULL].set_index(keys)
    found = []
    for arm, part in cells[cells["arm"] != FULL].groupby("arm", sort=False):
        shared = [key for key in zip(*(part[k] for k in keys), strict=True) if key in full.index]
        mine = part.set_index(keys)
        worse, better, telling = [], [], 0
        for key in shared:
            ours, theirs = full.loc[key], mine.loc[key]
            if max(ours["ci_low"], theirs["ci_low"]) <= aggregate.floor(ours["chance"], ours["guess"]):
                continue
            telling += 1
            difference = float(theirs["mean"] - ours["mean"])
            if _below(theirs, ours):
                worse.append((key[0], int(key[1]), difference))
            elif _below(ours, theirs):
                better.append((key[0], int(key[1]), difference))
        if shared:
            found.append(Comparison(str(arm), worse, better, telling))
    return found


def _below(one: pd.Series, other: pd.Series) -> bool:
    return bool(one["ci_high"] < other["ci_low"] and one["high"] < other["low"])


def sentence(comparison: Comparison) -> str:
    """What one arm says about what it lacks or changes."""
    arm, worse, better, cells = comparison
    component = arm.removeprefix(WITHOUT)
    removed = arm.startswith(WITHOUT)
    if not cells:
        return f"{arm} cannot be judged: neither it nor {FULL} is above guessing in any cell."
    parts = []
    if worse:
        parts.append(
            f"worse than {FULL} in {len(worse)} of {cells} cells, most {_where(min(worse, key=_gap))}"
        )
    if better:
        parts.append(
            f"better than {FULL} in {len(better)} of {cells} cells, most {_where(max(better, key=_gap))}"
        )
    if not parts:
        parts.append(f"no different from {FULL} in any of {cells} cells")
    if not removed:
        return f"{arm}: {'; '.join(parts)}."
    verdict = "helps" if worse and not better else "helps in part" if worse else "**does not help**"
    return f"{component} {verdict}: a model trained without it is {'; '.join(parts)}."


def _gap(cell: tuple[str, int, float]) -> float:
    return cell[2]


def _where(cell: tuple[str, int, float]) -> str:
    task, length, difference = cell
    return f"{task} at {length} by {abs(100 * difference):.1f} points"


def unhelpful(table: pd.DataFrame) -> list[str]:
    """Sentences on the components without which no cell is worse."""
    return [
        f"Experiment {experiment}: {sentence(comparison)}"
        for experiment, cells in pooled(table).groupby("experiment", sort=False)
        for comparison in compare(cells)
        if comparison.arm.startswith(WITHOUT) and comparison.cells and not comparison.worse
    ]


def section(table: pd.DataFrame, level: int = 2) -> str:
    """The experiments of a table, each with its arms' scores and what they say, under headings of `level`."""
    blocks = [
        f"{'#' * level} Experiment {experiment}\n\n{_block(part)}"
        for experiment, part in table.groupby("experiment", sort=False)
    ]
    return "\n".join(blocks) or f"{'#' * level} Experiments\n\nNot measured in this run.\n"


def _block(table: pd.DataFrame) -> str:
    cells = pooled(table)
    tasks = list(dict.fromkeys(zip(cells["task"], cells["length"].astype(int), strict=True)))
    rows = [_row(arm, table[table["arm"] == arm], cells, tasks) for arm in arm_order(table)]
    head = ("arm", "parameters", "training tokens", "training minutes")
    said = [sentence(comparison) for comparison in compare(cells)]
    seeds = ", ".join(map(str, sorted(table["seed"].unique())))
    return (
        f"Seeds {seeds}; cells: mean over trained seeds, 95 % interval pooled over seeds (n = "
        f"{_span(cells['n_total'])} over all seeds). Arms differ in a cell when neither their intervals nor "
        "the scores of their seeds overlap; cells in which both only guess do not count.\n\n"
        + text.table((*head, *(f"{task} at {length}" for task, length in tasks)), rows)
        + "".join(f"\n- {line}" for line in said)
        + ("\n" if said else "")
    )


def _row(arm: str, part: pd.DataFrame, cells: pd.DataFrame, tasks: list[tuple[str, int]]) -> tuple[str, ...]:
    mine = cells[cells["arm"] == arm].set_index(["task", "length"])
    return (
        str(arm),
        text.count(part["parameters"].max()),
        text.count(part["train_tokens"].mean()),
        f"{part['train_seconds'].mean() / 60:.1f}",
        *(_score(mine.loc[key]) if key in mine.index else "–" for key in tasks),
    )


def _score(row: pd.Series) -> str:
    return f"{text.share(row['mean'])} {text.interval(row['ci_low'], row['ci_high'])}"


def _span(values: pd.Series) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low}–{high}"
