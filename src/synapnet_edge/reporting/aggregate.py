"""Tidy tables in, small summary tables out: the arithmetic of the report, without its words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from synapnet_edge.reporting.forerunner import published

if TYPE_CHECKING:
    import pandas as pd

VARIANT_ORDER = ("fp16", "fp16_ft", "int8", "int4", "int4_qat", "cajq_ptq", "cajq_qat", "cajq_full")
SPEED_METRICS = ("prefill_tokens_per_second", "decode_tokens_per_second")
FLOAT_VARIANTS = ("fp16", "fp16_ft")
# How a float model runs without kernels of ours: eager PyTorch, and ONNX Runtime in float32.
FLOAT_BACKENDS = ("torch-fp32", "torch-bf16", "torch-fp16", "onnx")
NIAH_SINGLE = "reference/niah_single"
CELL = ["suite", "task", "model", "variant", "backend", "length"]


def wilson(successes: float, n: int) -> tuple[float, float]:
    """95 % Wilson interval of a share; imported late because its package loads torch."""
    from synapnet_edge.evaluation.statistics import wilson_interval

    return wilson_interval(round(successes), int(n))


def variant_rank(variant: str) -> tuple[int, str]:
    """Sort key: known variants in their fixed order, others after them by name."""
    known = VARIANT_ORDER.index(variant) if variant in VARIANT_ORDER else len(VARIANT_ORDER)
    return known, variant


def by_variant(column: pd.Series) -> pd.Series:
    """`key` of sort_values: the variant column in its fixed order, any other column as it is."""
    return column.map(lambda v: variant_rank(v)[0]) if column.name == "variant" else column


def scores(benchmark: pd.DataFrame) -> pd.DataFrame:
    """Cells of the benchmark with the training seed as the unit.

    Returns
    -------
    One row per (suite, task, model, variant, backend, length): `mean` and `std` over seeds (NaN for one),
    `seeds`, `n` per seed (smallest), `n_total`, pooled Wilson `ci_low`/`ci_high`, `chance`, `guess` and
    `floor`: the guess, or chance where a shortcut solves the whole task (guess 1).
    """
    import pandas as pd

    rows = []
    for key, cell in benchmark.dropna(subset=["score"]).groupby(CELL, sort=False):
        right, counts = (
            (cell["score"] * cell["n"]).groupby(cell["seed"]).sum(),
            cell.groupby("seed")["n"].sum(),
        )
        low, high = wilson(right.sum(), counts.sum())
        per_seed = right / counts
        rows.append(
            dict(zip(CELL, key, strict=True))
            | {
                "mean": per_seed.mean(),
                "std": per_seed.std(ddof=1) if len(per_seed) > 1 else float("nan"),
                "seeds": len(per_seed),
                "n": int(counts.min()),
                "n_total": int(counts.sum()),
                "ci_low": low,
                "ci_high": high,
                "chance": cell["chance"].mean(),
                "guess": cell["guess"].mean(),
                "floor": floor(cell["chance"].mean(), cell["guess"].mean()),
            }
        )
    columns = [*CELL, "mean", "std", "seeds", "n", "n_total", "ci_low", "ci_high"]
    columns += ["chance", "guess", "floor"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values(["suite", "task", "model", "length", "variant"], key=by_variant, kind="stable")


def floor(chance: float, guess: float) -> float:
    """The level a score must exceed to show anything; a shortcut that is always right cannot be exceeded."""
    return guess if guess < 1 else chance


def headline(cells: pd.DataFrame) -> pd.DataFrame:
    """NIAH-single of the reference protocol beside the published cell of the same variant and length."""
    table = cells[cells["task"] == NIAH_SINGLE].copy()
    found = [
        published(NIAH_SINGLE, variant, int(length))
        for variant, length in zip(table["variant"], table["length"], strict=True)
    ]
    table["published"] = [row.mean if row else float("nan") for row in found]
    table["published_std"] = [row.std if row and row.std is not None else float("nan") for row in found]
    return table.reset_index(drop=True)


def sizes(ledger: pd.DataFrame) -> pd.DataFrame:
    """Stored bytes, mean bits per parameter and compression against fp16, mean over seeds."""
    per_seed = ledger.groupby(["model", "variant", "seed"])[["bytes", "parameters"]].sum()
    table = per_seed.groupby(level=["model", "variant"]).mean().reset_index()
    table["mean_bits"] = 8 * table["bytes"] / table["parameters"]
    float_bytes = table[table["variant"] == "fp16"].set_index("model")["bytes"]
    table["compression"] = table["model"].map(float_bytes) / table["bytes"]
    return table.sort_values(["model", "variant"], key=by_variant, kind="stable").reset_index(drop=True)


def paired_difference(benchmark: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Score of `first` minus `second` per trained seed, then mean and std over the seeds they share."""
    index = ["suite", "task", "model", "length", "seed"]
    wide = benchmark.pivot_table(index=index, columns="variant", values="score", aggfunc="mean")
    if first not in wide or second not in wide:
        wide = wide.iloc[:0].assign(**{first: [], second: []})
    gap = (wide[first] - wide[second]).dropna().rename("difference")
    table = gap.groupby(level=index[:-1]).agg(["mean", "std", "count"]).reset_index()
    return table.rename(columns={"mean": "difference", "count": "seeds"})


def eviction(grid: pd.DataFrame, floor_of: Mapping[tuple[str, int], float]) -> pd.DataFrame:
    """Eviction cells pooled over seeds.

    Parameters
    ----------
    floor_of : (task, length) -> level without binding. A cell whose accuracy without eviction has a 95 %
        interval that reaches down to it, or whose floor is unknown, is not interpretable.
    """
    import pandas as pd

    keys = ["task", "position", "length", "query_aware", "budget", "policy"]
    rows = []
    for key, cell in grid.dropna(subset=["accuracy"]).groupby(keys):
        n = int(cell["n"].sum())
        right = (cell["accuracy"] * cell["n"]).sum()
        full = (cell["accuracy_full"] * cell["n"]).sum()
        low, high = wilson(right, n)
        level = floor_of.get((key[0], int(key[2])), float("nan"))
        full_low = wilson(full, n)[0] if full == full else float("nan")
        rows.append(
            dict(zip(keys, key, strict=True))
            | {
                "seeds": cell["seed"].nunique(),
                "n": n,
                "bytes": cell["bytes"].max(),
                "accuracy": right / n,
                "ci_low": low,
                "ci_high": high,
                "retention": cell["retention"].mean(),
                "retention_same_layer": cell["retention_same_layer"].mean(),
                "precision": cell["precision"].mean(),
                "accuracy_full": full / n,
                "floor": level,
                "interpretable": bool(full_low > level),
            }
        )
    columns = [*keys, "seeds", "n", "bytes", "accuracy", "ci_low", "ci_high", "retention"]
    columns += ["retention_same_layer", "precision", "accuracy_full", "floor", "interpretable"]
    return pd.DataFrame(rows, columns=columns)


def float_arms(deploy: pd.DataFrame) -> pd.Series:
    """Mask of the rows of a float variant on a float backend."""
    return deploy["variant"].isin(FLOAT_VARIANTS) & deploy["backend"].isin(FLOAT_BACKENDS)


def best_float_arms(deploy: pd.DataFrame) -> pd.DataFrame:
    """Per tier, model and speed metric: the float arm with the highest mean value over contexts."""
    speed = deploy[deploy["metric"].isin(SPEED_METRICS) & float_arms(deploy)]
    mean = speed.groupby(["tier", "model", "metric", "variant", "backend"])["value"].mean().reset_index()
    best = mean.loc[mean.groupby(["tier", "model", "metric"])["value"].idxmax()]
    return best.rename(columns={"value": "mean_over_contexts"}).reset_index(drop=True)


def training_cost(history: pd.DataFrame) -> pd.DataFrame:
    """Tokens, seconds and speed of each trained seed; `tokens` and `seconds` of a history are cumulative."""
    rows = history.sort_values("step").groupby(["model", "seed"], as_index=False)
    table = rows.agg(
        steps=("step", "max"),
        tokens=("tokens", "max"),
        seconds=("seconds", "max"),
        final_loss=("loss", "last"),
        final_accuracy=("accuracy", "last"),
    )
    table["tokens_per_second"] = table["tokens"] / table["seconds"]
    return table
