"""Goals of the deployment measurements, each a ratio within one interleaved run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from synapnet_edge.reporting import aggregate
from synapnet_edge.reporting.findings import Goal
from synapnet_edge.results_tree import DENSE

if TYPE_CHECKING:
    import pandas as pd

# The most complete CAJQ variant that was measured stands for all of them.
SUBJECTS = ("cajq_full", "cajq_qat", "cajq_ptq")
PACKED = "fast"
DECODE = {"reference": 7.0, "large": 6.0}  # times the best float arm, by shape
PREFILL = 2.0
PIECE = 128  # tokens of the pieces of that goal
DENSE_GOALS = {1024: 5.0, 8192: 12.0}
FLAT_DECODE, FLAT_MEMORY = 0.95, 1.05
SHORT, LONG = 1024, 65536  # contexts [tokens] of the flat goals
RESIDENT_BYTES = 30e6
SUSTAINED = 0.97


def goals(deploy: pd.DataFrame) -> list[Goal]:
    """Every goal for every tier and model that has rows."""
    found: list[Goal] = []
    for (tier, model), part in deploy.groupby(["tier", "model"]):
        subject = next((name for name in SUBJECTS if name in set(part["variant"])), None)
        place = f"{model} on {tier}"
        if subject is None:
            continue
        arm = part[(part["variant"] == subject) & (part["backend"] == PACKED)]
        if arm.empty:
            if tier.startswith("cpu"):
                found.append(Goal(f"{place}: {subject} measured from packed weights", "no such arm", None))
            continue
        name = f"{subject} ({PACKED})"
        found += [
            *_against_float(part, arm, f"{place}: {name}", str(model)),
            *_against_dense(part, arm, place),
        ]
        found += [*_flat(arm, f"{place}: {name}"), *_process(arm, f"{place}: {name}")]
    return found


def _against_float(part: pd.DataFrame, arm: pd.DataFrame, what: str, model: str) -> Iterator[Goal]:
    floats = part[aggregate.float_arms(part)]
    kinds = (
        ("decode", "decode_tokens_per_second", None, DECODE.get(model.removesuffix("_random"))),
        ("prefill", "prefill_piece_tokens_per_second", PIECE, PREFILL),
    )
    for word, metric, context, least in kinds:
        mine, theirs = (x[x["metric"] == metric] for x in (arm, floats))
        at = context if context is not None else mine["context"].min()
        mine, theirs = mine[mine["context"] == at], theirs[theirs["context"] == at]
        if mine.empty or theirs.empty or least is None:
            continue
        best = theirs.loc[theirs["value"].idxmax()]
        ratio = float(mine["value"].iloc[0] / best["value"])
        unit = f"in pieces of {PIECE}" if context else f"at {int(at)} tokens"
        goal = f"{what}: {word} {unit} at least {least:g}x the best float arm ({best['backend']})"
        yield Goal(goal, f"{ratio:.2f}x", ratio >= least)


def _against_dense(part: pd.DataFrame, arm: pd.DataFrame, place: str) -> Iterator[Goal]:
    """The fastest arm of ours and the fastest dense arm, each in its own best type."""
    passes = part[part["metric"] == "forward_seconds"]
    for length, least in DENSE_GOALS.items():
        at = passes[passes["context"] == length]
        dense, ours = at[at["variant"] == DENSE], at[at["variant"] != DENSE]
        if dense.empty or ours.empty:
            continue
        best = ours.loc[ours["value"].idxmin()]
        ratio = float(dense["value"].min() / best["value"])
        which = f"{best['variant']} ({best['backend']})"
        goal = f"{place}: a pass over {length} tokens at least {least:g}x as fast as the dense model's"
        yield Goal(goal, f"{ratio:.2f}x with {which}", ratio >= least)


def _flat(arm: pd.DataFrame, what: str) -> Iterator[Goal]:
    """Decode speed and activation memory at the longest context against those at 1,024 tokens."""
    for metric, words, most in (
        ("decode_tokens_per_second", "decode speed", None),
        ("activation_bytes", "activation memory", FLAT_MEMORY),
    ):
        rows = arm[(arm["metric"] == metric) & (arm["context"] >= SHORT)].sort_values("context")
        if rows["context"].nunique() < 2 or rows["value"].iloc[0] == 0:
            continue
        first, last = rows.iloc[0], rows.iloc[-1]
        ratio = float(last["value"] / first["value"])
        bound = f"at most {most}" if most else f"at least {FLAT_DECODE}"
        goal = f"{what}: {words} at {int(last['context'])} tokens / at {int(first['context'])} {bound}"
        met = ratio <= most if most else ratio >= FLAT_DECODE
        short = "" if last["context"] >= LONG else f", measured to {int(last['context'])} tokens only"
        yield Goal(goal, f"{ratio:.3f}{short}", met)


def _process(arm: pd.DataFrame, what: str) -> Iterator[Goal]:
    value = arm.drop_duplicates("metric", keep="last").set_index("metric")["value"]
    if {"steady_rss_bytes", "runtime_rss_bytes"} <= set(value.index):
        held = float(value["steady_rss_bytes"] - value["runtime_rss_bytes"])
        goal = f"{what}: a streaming process holds at most {RESIDENT_BYTES / 1e6:g} MB beyond its runtime"
        yield Goal(goal, f"{held / 1e6:.1f} MB", held <= RESIDENT_BYTES)
    if "sustained_ratio" in value:
        ratio = float(value["sustained_ratio"])
        goal = f"{what}: last window of sustained decoding / first at least {SUSTAINED}"
        yield Goal(goal, f"{ratio:.3f}", ratio >= SUSTAINED)
