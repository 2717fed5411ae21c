"""Sentences and verdicts computed from the tables: what did not work, and which goals were met."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from synapnet_edge.policy_names import split_policy
from synapnet_edge.reporting import aggregate, text
from synapnet_edge.reporting.forerunner import WHOLE_MODEL_COMPRESSION

if TYPE_CHECKING:
    import pandas as pd

CAJQ = ("cajq_ptq", "cajq_qat", "cajq_full")
PLAIN = ("int4", "int8", "fp16_ft")
SEED_GOAL = 3
ACCURACY_GOAL = 0.99
FULL_MEMORY_GOAL = 0.90


class Goal(NamedTuple):
    """One goal with what was measured; `met` is None when it could not be measured."""

    goal: str
    measured: str
    met: bool | None


def goal_table(found: Sequence[Goal]) -> str:
    """Goals with what was measured and the verdict, as a section."""
    words = {True: "met", False: "missed", None: "not measured"}
    return "## Goals\n\n" + text.table(
        ("goal", "measured", "verdict"), [(g.goal, g.measured, f"**{words[g.met]}**") for g in found]
    )


def negative_results(
    cells: pd.DataFrame, sizes: pd.DataFrame, eviction: pd.DataFrame, retention: pd.DataFrame
) -> list[str]:
    """Everything in the tables that speaks against the method or the models."""
    return [
        *_shortcut_tasks(cells),
        *_unsolved(cells),
        *_simpler_is_better(cells),
        *_simpler_is_smaller(sizes),
        *_float_lost(cells),
        *_policies_above_baee(eviction),
        *_classifier_below_one_feature(retention),
        *_uninterpretable(eviction),
    ]


def _unsolved(cells: pd.DataFrame) -> list[str]:
    """Float cells whose interval reaches down to the floor."""
    low = cells[(cells["variant"] == "fp16") & (cells["ci_low"] <= cells["floor"])]
    return [
        f"fp16 ({model}) is not above {_floor_text(part)} on {task} at {_lengths(part['length'])}."
        for (task, model), part in low.groupby(["task", "model"], sort=False)
    ]


def _floor_text(part: pd.DataFrame) -> str:
    word = "chance" if (part["guess"] >= 1).all() else "the best shortcut"
    return f"{word} ({text.share(part['floor'].max())})"


def _shortcut_tasks(cells: pd.DataFrame) -> list[str]:
    tasks = cells.loc[cells["guess"] >= 1, "task"].unique()
    if not len(tasks):
        return []
    return [
        f"A shortcut that never binds a key to a value solves {', '.join(tasks)} completely "
        f"(guess {text.share(1.0)}): these scores show what is remembered, not that the question is "
        "understood."
    ]


def _simpler_is_better(cells: pd.DataFrame) -> list[str]:
    """How often uniform bits or the equal-steps float control score above CAJQ, and where most."""
    sentences = []
    for model, part in cells.groupby("model", sort=False):
        wide = part.pivot_table(
            index=["task", "length"], columns="variant", values=["mean", "ci_low", "ci_high"]
        )
        for plain in PLAIN:
            for ours in CAJQ:
                if plain in wide["mean"] and ours in wide["mean"]:
                    sentences += _pair_text(wide, plain, ours, model)
    return sentences


def _pair_text(wide: pd.DataFrame, plain: str, ours: str, model: str) -> list[str]:
    gap = (wide["mean"][plain] - wide["mean"][ours]).dropna()
    above = gap[gap > 0]
    if above.empty:
        return []
    apart = wide["ci_low"][plain] > wide["ci_high"][ours]
    task, length = above.idxmax()
    text = (
        f"{plain} scores higher than {ours} ({model}) in {len(above)} of {len(gap)} cells (intervals apart "
        f"in {int(apart.sum())}), most on {task} at {length} by {100 * above.max():.1f} points"
    )
    single = above[above.index.get_level_values("task") == aggregate.NIAH_SINGLE]
    where = ", ".join(f"at {length} by {100 * value:.1f} points" for (_, length), value in single.items())
    return [f"{text}{f'; on NIAH-single {where}' if where else ''}."]


def _simpler_is_smaller(sizes: pd.DataFrame) -> list[str]:
    sentences = []
    for model, part in sizes.groupby("model", sort=False):
        stored = part.set_index("variant")["bytes"]
        for plain in ("int4", "int8"):
            for ours in CAJQ:
                if plain in stored and ours in stored and stored[plain] <= stored[ours]:
                    ratio = stored[ours] / stored[plain]
                    sentences.append(f"{ours} ({model}) stores {ratio:.2f} times the bytes of {plain}.")
    return sentences


def _float_lost(cells: pd.DataFrame) -> list[str]:
    """fp16 tasks that lose more than ten points between the shortest and the longest length."""
    sentences = []
    for (task, model), part in cells[cells["variant"] == "fp16"].groupby(["task", "model"]):
        by_length = part.groupby("length")["mean"].mean()
        first, last = by_length.iloc[0], by_length.iloc[-1]
        if first - last > 0.10:
            sentences.append(
                f"fp16 ({model}) on {task} falls from {text.share(first)} at {by_length.index[0]} to "
                f"{text.share(last)} at {by_length.index[-1]}."
            )
    return sentences


def _policies_above_baee(eviction: pd.DataFrame) -> list[str]:
    """How often, and where most, a realisable policy answers better than BAEE at the same budget."""
    cells = eviction[eviction["interpretable"]] if len(eviction) else eviction
    if not len(cells):
        return []
    keys = ["task", "position", "length", "query_aware", "budget"]
    wide = cells.pivot_table(index=keys, columns="policy", values="accuracy")
    if "baee" not in wide:
        return []
    sentences = []
    for policy in (name for name in wide.columns if name != "baee" and split_policy(name)[0] != "oracle"):
        gap = (wide[policy] - wide["baee"]).dropna()
        above = gap[gap > 0]
        if len(above):
            task, position, length, _, budget = above.idxmax()
            sentences.append(
                f"{policy} answers better than baee in {len(above)} of {len(gap)} interpretable cells, most "
                f"by {100 * above.max():.1f} points ({task}, {position}, length {length}, budget {budget:g})."
            )
    return sentences


def _classifier_below_one_feature(retention: pd.DataFrame) -> list[str]:
    """How often one of the classifier's inputs alone orders entries better than the classifier."""
    last = retention.sort_values("epoch").groupby("seed").tail(1)
    gap = last["best_feature_auc"] - last["validation_auc"]
    if not (gap > 0).any():
        return []
    worst = last.loc[gap.idxmax()]
    return [
        f"The retention classifier orders entries worse than its best single input in {int((gap > 0).sum())} "
        f"of {len(last)} seeds, most by {gap.max():.3f} AUC ({worst['best_feature']}, seed {worst['seed']})."
    ]


def _uninterpretable(eviction: pd.DataFrame) -> list[str]:
    if not len(eviction) or eviction["interpretable"].all():
        return []
    bad = int((~eviction["interpretable"]).sum())
    return [
        f"{bad} of {len(eviction)} eviction cells are not interpretable: without eviction the model is "
        "not above the level of a random value from the context there."
    ]


def goals(cells: pd.DataFrame, sizes: pd.DataFrame, eviction: pd.DataFrame, gap: pd.DataFrame) -> list[Goal]:
    """All goals with their verdicts; `gap` is the paired difference of cajq_qat and fp16_ft."""
    head = aggregate.headline(cells)
    return [
        _accuracy_goal(head),
        _forerunner_goal(head),
        _control_goal(gap),
        _compression_goal(sizes),
        _full_memory_goal(eviction),
    ]


def _accuracy_goal(head: pd.DataFrame) -> Goal:
    name = f"NIAH-single, fp16, length 1024: at least {ACCURACY_GOAL} with {SEED_GOAL} or more trained seeds"
    cell = head[(head["variant"] == "fp16") & (head["length"] == 1024)]
    if cell.empty:
        return Goal(name, "no cell", None)
    row = cell.iloc[0]
    measured = f"{text.share(row['mean'])} with {row['seeds']} seed{'s' if row['seeds'] != 1 else ''}"
    return Goal(name, measured, bool(row["mean"] >= ACCURACY_GOAL and row["seeds"] >= SEED_GOAL))


def _forerunner_goal(head: pd.DataFrame) -> Goal:
    name = "NIAH-single: above the forerunner's published mean in every cell it published"
    known = head.dropna(subset=["published"])
    if known.empty:
        return Goal(name, "no such cell", None)
    above = int((known["mean"] > known["published"]).sum())
    return Goal(name, f"above in {above} of {len(known)} cells", above == len(known))


def _control_goal(gap: pd.DataFrame) -> Goal:
    name = "NIAH-single: cajq_qat not below the equal-steps float control fp16_ft at any length"
    mine = gap[gap["task"] == aggregate.NIAH_SINGLE]
    if mine.empty:
        return Goal(name, "no pair", None)
    worst = mine.loc[mine["difference"].idxmin()]
    measured = f"worst difference {text.points(worst['difference'])} points at {worst['length']}"
    return Goal(name, measured, bool(worst["difference"] >= 0))


def _compression_goal(sizes: pd.DataFrame) -> Goal:
    name = (
        f"Whole-model compression of cajq_qat against fp16: above the forerunner's {WHOLE_MODEL_COMPRESSION}x"
    )
    row = sizes[sizes["variant"] == "cajq_qat"].dropna(subset=["compression"])
    if row.empty:
        return Goal(name, "no size", None)
    value = float(row.iloc[0]["compression"])
    return Goal(name, f"{value:.2f}x", value > WHOLE_MODEL_COMPRESSION)


def _full_memory_goal(eviction: pd.DataFrame) -> Goal:
    name = f"Eviction grid: accuracy without eviction at least {FULL_MEMORY_GOAL} in every cell"
    if not len(eviction):
        return Goal(name, "no cell", None)
    lowest = float(eviction["accuracy_full"].min())
    return Goal(name, f"lowest {text.share(lowest)}", lowest >= FULL_MEMORY_GOAL)


def _lengths(lengths: pd.Series) -> str:
    return ", ".join(str(int(length)) for length in sorted(lengths.unique()))
