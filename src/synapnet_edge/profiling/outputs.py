"""The files of one deploy job: a table per variant, each with its manifest, and the curves over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from synapnet_edge.artifacts import write_manifest, write_table
from synapnet_edge.profiling.deploy import empty_profile, profile_tier
from synapnet_edge.profiling.tiers import TierUnavailable


def run_job(snakemake: Any, model: str, paths: Mapping[str, Path], started: float) -> None:
    """`measure_tier` with what a deploy rule's script was given."""
    measure_tier(
        snakemake.wildcards.tier,
        model,
        paths,
        snakemake.params.settings,
        [Path(path) for path in snakemake.output.tables],
        Path(snakemake.output.trace),
        threads=snakemake.threads,
        code=snakemake.params.code,
        started=started,
    )


def measure_tier(
    tier: str,
    model: str,
    paths: Mapping[str, Path],
    settings: Mapping[str, Any],
    tables: Sequence[Path],
    trace: Path,
    *,
    threads: int,
    code: str,
    started: float,
) -> None:
    """Measure one tier and write its files; a tier that the machine lacks gets empty ones that say why.

    Parameters
    ----------
    tier, model, paths, settings, threads : as in `profile_tier`.
    tables : one file per table; the stem is the name of the variant.
    trace : file of the curves over time.
    code, started : for the manifests.
    """
    extra: dict[str, Any] = {"tier": tier, "threads_granted": threads}
    try:
        profile = profile_tier(tier, paths, settings, model, threads)
        extra |= {"not_measured": profile.skipped, "metric_seconds": profile.seconds}
        extra |= {"machine": profile.machine}
    except TierUnavailable as reason:
        profile = empty_profile(list(paths))
        extra["unavailable"] = str(reason)
    described = {"tier": tier, "model": model, "settings": settings}
    for path in tables:
        write_table(path, profile.tables[path.stem])
        write_manifest(path, stage="deploy", config=described, code=code, started=started, extra=extra)
    write_table(trace, profile.trace)
