"""The deployment profile of one tier: every variant, every backend, every configured metric.

Whatever is timed is timed in turns (A B C, then B C A, ...), so that drift of a machine hits all arms alike.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from synapnet_edge.artifacts import machine_info
from synapnet_edge.profiling import device
from synapnet_edge.profiling.bench import COLUMNS, TRACE_COLUMNS, Bench, arms_of
from synapnet_edge.profiling.metrics import METRICS
from synapnet_edge.profiling.settings import DeployConfig
from synapnet_edge.profiling.tiers import require
from synapnet_edge.results_tree import DENSE, MACHINE

log = logging.getLogger(__name__)


@dataclass
class Profile:
    """What one tier's measurement found.

    Attributes
    ----------
    tables : variant -> deploy table; the same-shape dense model and the machine's limits have their own.
    trace : curves over time, see `TRACE_COLUMNS`.
    skipped : what was not measured -> why, one line each.
    machine : identity of the machine, accelerator included.
    seconds : metric -> wall time of measuring it [s].
    """

    tables: dict[str, pd.DataFrame]
    trace: pd.DataFrame
    skipped: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def empty_table() -> pd.DataFrame:
    """A deploy table without measurements, for a tier that this machine lacks."""
    return pd.DataFrame(columns=list(COLUMNS))


def empty_profile(variants: Mapping[str, Path] | list[str]) -> Profile:
    """The profile of a tier that this machine lacks."""
    names = [*variants, DENSE, MACHINE]
    return Profile({name: empty_table() for name in names}, pd.DataFrame(columns=list(TRACE_COLUMNS)))


def profile_tier(
    tier: str,
    model_paths: Mapping[str, Path],
    cfg: Mapping[str, Any],
    model_name: str,
    threads: int,
    until: float = math.inf,
) -> Profile:
    """Measure every variant on one tier.

    Parameters
    ----------
    tier : registered tier name, or one of the configuration's `devices`.
    model_paths : variant -> stored model.
    cfg : the `deploy` section, see `DeployConfig`.
    model_name : value of the `model` column.
    threads : CPU threads granted; the tables record those really used.
    until : `time.monotonic()` after which no further metric is begun; what is left out is in `skipped`.

    Raises
    ------
    TierUnavailable : the machine lacks the tier (one line says why).
    """
    settings = DeployConfig.from_mapping(cfg)
    place = require(tier, settings.devices)
    used = place.threads(threads)
    arms, skipped = arms_of(model_paths, settings.backends, place.device)
    before = torch.get_num_threads()
    torch.set_num_threads(used)
    seconds: dict[str, float] = {}
    try:
        bench = Bench(model_name, place, torch.get_num_threads(), settings, arms, skipped)
        bench.load_arms()
        for name in settings.metrics:
            if time.monotonic() > until:
                bench.skipped[f"metric {name}"] = "the time allowed for this measurement was used up"
                continue
            started = time.perf_counter()
            METRICS.get(name).measure(bench)
            seconds[name] = round(time.perf_counter() - started, 3)
            log.info("%s on %s: %s took %.1f s", model_name, tier, name, seconds[name])
    finally:
        torch.set_num_threads(before)
    table = pd.DataFrame(bench.rows, columns=list(COLUMNS))
    names = [*model_paths, DENSE, MACHINE]
    tables = {name: table[table["variant"] == name].reset_index(drop=True) for name in names}
    trace = pd.DataFrame(bench.trace, columns=list(TRACE_COLUMNS))
    return Profile(tables, trace, bench.skipped, identity(place.device), seconds)


def identity(name: str) -> dict[str, Any]:
    """The machine and, where the work runs on one, its accelerator."""
    accelerator = device.label(name)
    return machine_info() | ({"accelerator": accelerator} if accelerator else {})
