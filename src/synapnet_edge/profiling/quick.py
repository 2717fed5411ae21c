"""Measure one tier of the machine at hand with random weights, within a time: no training, no workflow."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from synapnet_edge.artifacts import write_json, write_table
from synapnet_edge.profiling.deploy import Profile, empty_table, profile_tier
from synapnet_edge.profiling.device import kind, usable_cores
from synapnet_edge.profiling.random_models import random_name, write_random
from synapnet_edge.profiling.tiers import require

log = logging.getLogger(__name__)

# What a short visit to a machine measures; the most telling metrics come first.
METRICS = ("sizes", "speed", "activation", "store", "sustained", "dense", "roofline", "pieces")
ON_CPU: dict[str, Any] = {
    "metrics": METRICS,
    "contexts": (512, 2048),
    "rss_contexts": (512, 2048),
    "chunk_size": 512,
    "decode_tokens": 64,
    "sustained_seconds": 4,
    "sustained_window": 2,
    "detail_variants": ("fp16",),
}
ON_ACCELERATOR: dict[str, Any] = ON_CPU | {
    "backends": ("torch-fp32", "torch-bf16", "torch-fp16", "torch-reference"),
    "contexts": (512, 4096, 32768, 65536),
    "rss_contexts": (512, 1024, 8192, 65536),
    "chunk_size": 2048,  # short pieces leave an accelerator idle
    "dense_lengths": (1024, 8192),
    "pieces": (128, 512, 2048),
}


def measure_random(
    tier: str,
    shapes: Mapping[str, Mapping[str, Any]],
    variants: Sequence[str],
    out: Path,
    *,
    seconds: float,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Path]:
    """Write `<tier>-<model>.csv`, `<tier>-<model>.trace.csv` and `<tier>-<model>.json` for every shape.

    Parameters
    ----------
    tier : registered tier, or a name in `settings["devices"]`.
    shapes : model name -> keys of `SynapNetEdgeConfig`; weights are random, and
        the name of the model in every row says so.
    variants : stored variants to make of each.
    out : folder of the tables.
    seconds : time allowed for all of it [s], shared evenly by the shapes that are left; a metric that has
        begun is finished.
    settings : keys of `DeployConfig` that differ from the short set.

    Returns
    -------
    model -> its table.

    Raises
    ------
    TierUnavailable : the machine lacks the tier.
    """
    given = dict(settings or {})
    place = require(tier, given.get("devices"))
    chosen = (ON_CPU if kind(place.device) == "cpu" else ON_ACCELERATOR) | given
    start, written = time.monotonic(), {}
    for index, (model, shape) in enumerate(shapes.items()):
        left = seconds - (time.monotonic() - start)
        until = time.monotonic() + left / (len(shapes) - index)
        with tempfile.TemporaryDirectory() as folder:
            paths = write_random(shape, variants, Path(folder))
            name = random_name(model)
            profile = profile_tier(tier, paths, chosen, name, usable_cores(), until)
        written[name] = write_profile(profile, out / f"{tier}-{name}")
        log.info("%s: %s", name, written[name])
    return written


def write_profile(profile: Profile, stem: Path) -> Path:
    """Write one profile as `stem`.csv, .trace.csv and .json (machine, times, what was left out)."""
    tables = [table for table in profile.tables.values() if len(table)]
    path = stem.with_name(f"{stem.name}.csv")
    write_table(path, pd.concat(tables, ignore_index=True) if tables else empty_table())
    write_table(stem.with_name(f"{stem.name}.trace.csv"), profile.trace)
    facts = {"machine": profile.machine, "metric_seconds": profile.seconds, "not_measured": profile.skipped}
    write_json(stem.with_name(f"{stem.name}.json"), facts)
    return path
