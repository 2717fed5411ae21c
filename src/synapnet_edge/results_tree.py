"""The results folder: where each kind of table lies, and reading many of them as one table.

A table of one job may lack what its path says (model, seed, variant); the path is added as columns here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from synapnet_edge.artifacts import read_table

if TYPE_CHECKING:
    import pandas as pd

# Kind of table -> path below the working directory. The names in braces are the rules' wildcards.
TABLES: dict[str, str] = {
    "history": "results/pretrain/{model}/seed{seed}/history.csv",
    "probe": "results/pretrain/{model}/seed{seed}/probe.csv",
    "sensitivity": "results/sensitivity/{model}/seed{seed}.csv",
    "ledger": "results/quantize/{model}/seed{seed}/{variant}.csv",
    "benchmark": "results/benchmark/{suite}/{model}/seed{seed}/{variant}.csv",
    "rows": "results/benchmark/{suite}/{model}/seed{seed}/{variant}.rows.csv.gz",
    "paired": "results/paired.csv",
    "qat_share": "results/qat_share/share{share}/seed{seed}.csv",
    "peers": "results/peers/{model}/seed{seed}.csv",
    "backends": "results/backends/{model}/seed{seed}/{variant}.csv",
    "equal_bytes": "results/equal_bytes/{model}.csv",
    "retention": "results/eviction/retention/seed{seed}.csv",
    "retention_stability": "results/eviction/stability/seed{seed}.csv",
    "eviction": "results/eviction/grid/seed{seed}/{policy}.csv",
    "eviction_rows": "results/eviction/grid/seed{seed}/{policy}.rows.csv.gz",
    "eviction_paired": "results/eviction/paired.csv",
    "eviction_cost": "results/eviction/cost.csv",
    "eviction_growth": "results/eviction/growth.csv",
    "deploy": "results/deploy/{tier}/{model}/{variant}.csv",
    "deploy_trace": "results/deploy/{tier}/{model}.trace.csv",
    "experiment": "results/experiment/{experiment}/{arm}/seed{seed}.csv",
    "stream": "results/stream/{model}/seed{seed}/{variant}.csv",
    "stream_trace": "results/stream/{model}/seed{seed}/{variant}.trace.csv",
    "baseline_sweep": "results/baselines/sweep/{contender}.csv",
    "baseline_history": "results/baselines/train/{contender}/seed{seed}/history.csv",
    "baseline_ledger": "results/baselines/quantize/{contender}/seed{seed}/{variant}.csv",
    "baseline_benchmark": "results/baselines/benchmark/{contender}/seed{seed}/{variant}.csv",
    # The reference model on the baselines' rows, and its stored sizes.
    "baseline_ours": "results/benchmark/{suite}/{model}/seed{seed}/{variant}.csv",
    "baseline_our_ledger": "results/quantize/{model}/seed{seed}/{variant}.csv",
    "baseline_cost": "results/baselines/cost/{tier}.csv",
    "baseline_kv": "results/baselines/kv/seed{seed}/{kv_policy}.csv",
    "longbench_real": "results/longbench_real/{baseline}.csv",
    "task_speed": "results/task_tables/speed.csv",
    "task_guards": "results/task_tables/guards.csv",
}

# Deploy tables beside those of the variants: a dense model of the same shape, and the machine's own limits.
DENSE, MACHINE = "dense_same_shape", "machine"

# Job of the default run -> its manifest: what it cost, on which machine, with which settings and code.
MANIFESTS: dict[str, str] = {
    "pretrain": "results/pretrain/{model}/seed{seed}/model.safetensors.manifest.json",
    "calibrate": "results/calibrate/{model}/seed{seed}/stats.safetensors.manifest.json",
    "sensitivity": "results/sensitivity/{model}/seed{seed}.csv.manifest.json",
    "quantize": "results/quantize/{model}/seed{seed}/{variant}.safetensors.manifest.json",
    "benchmark": "results/benchmark/{suite}/{model}/seed{seed}/{variant}.csv.manifest.json",
    "paired": "results/paired.csv.manifest.json",
    "retention": "results/eviction/retention/seed{seed}.safetensors.manifest.json",
    "eviction_grid": "results/eviction/grid/seed{seed}/{policy}.csv.manifest.json",
    "eviction_paired": "results/eviction/paired.csv.manifest.json",
    "deploy": "results/deploy/{tier}/{model}/{variant}.csv.manifest.json",
}


def path_columns(kind: str, path: str | Path) -> dict[str, str | int]:
    """Return what the path of a table says: {"model": "reference", "seed": 42, ...}.

    Raises
    ------
    ValueError
        If `path` does not lie where tables of this kind lie.
    """
    pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(TABLES[kind]))
    match = re.search(f"{pattern}$", Path(path).as_posix())
    if match is None:
        raise ValueError(f"{path}: found no {kind} table there, expected {TABLES[kind]}")
    return {key: int(text) if key == "seed" else text for key, text in match.groupdict().items()}


def read_tables(kind: str, paths: Iterable[str | Path]) -> pd.DataFrame:
    """Read all tables of one kind and stack them; columns from the path come first."""
    import pandas as pd

    frames = []
    for path in paths:
        frame = read_table(path)
        missing = {key: value for key, value in path_columns(kind, path).items() if key not in frame}
        for column, value in reversed(missing.items()):
            frame.insert(0, column, value)
        frames.append(frame)
    if not frames:
        raise ValueError(f"no {kind} tables to read, expected at least one")
    return pd.concat(frames, ignore_index=True)
