"""What the run cost: training, jobs by stage, the machine and the model's parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from synapnet_edge.reporting import text

if TYPE_CHECKING:
    import pandas as pd


def training(cost: pd.DataFrame) -> str:
    rows = [
        (
            row.model,
            str(row.seed),
            text.count(row.steps),
            text.count(row.tokens),
            f"{row.seconds:,.0f}",
            text.count(row.tokens_per_second),
            text.share(row.final_loss),
            text.share(row.final_accuracy),
        )
        for row in cost.itertuples(index=False)
    ]
    head = ("model", "seed", "steps", "tokens", "seconds", "tokens/s", "final loss", "final accuracy")
    return "## Training cost\n\n" + text.table(head, rows)


def run_cost(manifests: Sequence[Mapping[str, Any]]) -> str:
    """Jobs and time per stage, parameters by component and the machine, as the manifests tell them."""
    stages: dict[str, list[tuple[float, float]]] = {}
    for stage, *times in job_seconds(manifests):
        stages.setdefault(stage, []).append((times[0] / 60, times[1] / 60))
    sums = {stage: [sum(column) for column in zip(*times, strict=True)] for stage, times in stages.items()}
    rows = [
        (stage, str(len(stages[stage])), f"{wall:.1f}", f"{cpu:.1f}")
        for stage, (wall, cpu) in sorted(sums.items())
    ]
    total = [sum(column) for column in zip(*sums.values(), strict=True)]
    machines = sorted({_machine_text(m["machine"]) for m in manifests if m.get("machine")})
    parts = ["## This run\n", text.table(("stage", "jobs", "wall minutes", "core-minutes"), rows)]
    if rows:
        parts.append(
            f"Together {total[1]:.1f} core-minutes (processor time of all jobs) and {total[0]:.1f} minutes "
            "of job time; jobs run side by side. Drawing the figures and this page is not part of it.\n"
        )
    parts += [f"Machine: {machine}.\n" for machine in machines]
    for name, counts in _component_parameters(manifests).items():
        pairs = ", ".join(f"{component} {text.count(n)}" for component, n in counts.items())
        parts.append(f"Parameters of {name}: {text.count(sum(counts.values()))} ({pairs}).\n")
    return "\n".join(part for part in parts if part)


def job_seconds(manifests: Iterable[Mapping[str, Any]]) -> list[tuple[str, float, float]]:
    """(stage, wall, processor seconds) of every job; the several tables of one deploy job count once."""
    jobs: dict[tuple, tuple[float, float]] = {}
    for index, manifest in enumerate(manifests):
        stage, times = str(manifest["stage"]), (manifest["wall_seconds"], manifest.get("cpu_seconds", 0.0))
        one_job = stage == "deploy" and "config_hash" in manifest
        key = (stage, manifest["config_hash"]) if one_job else (stage, index)
        jobs[key] = max(times, jobs.get(key, (0.0, 0.0)))
    return [(stage, *times) for (stage, _), times in jobs.items()]


def _machine_text(machine: Mapping[str, Any]) -> str:
    memory = float(machine.get("memory_bytes", 0)) / 2**30
    return (
        f"{machine.get('processor', 'unknown processor')}, {machine.get('usable_cores', '?')} usable cores, "
        f"{memory:.1f} GiB, {machine.get('system', 'unknown system')}, Python {machine.get('python', '?')}"
    )


def _component_parameters(manifests: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Model name -> component -> parameters, from the manifests that carry them."""
    found: dict[str, dict[str, int]] = {}
    for manifest in manifests:
        if manifest.get("component_parameters"):
            found.setdefault(str(manifest.get("model", "the model")), manifest["component_parameters"])
    return found
