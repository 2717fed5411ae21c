"""The record of a whole run (results/manifest.json) and the copy of a finished run for publication."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from synapnet_edge.artifacts import config_hash, read_json, write_json
from synapnet_edge.reporting.cost import job_seconds

ROOT = Path(__file__).parents[3]
PIECES = ("summary.md", "manifest.json", "tables", "figures")  # of results/, what a reader of the run needs


class NotFinished(FileNotFoundError):
    """A run lacks something that a finished one has."""


def run_record(config: Mapping[str, Any], manifests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What made the results: commit, settings, machines, time and package versions.

    Parameters
    ----------
    config : the resolved configuration.
    manifests : those of all jobs; minutes, machines and versions of each are told by them.
    """
    jobs: dict[str, dict[str, float]] = {}
    for stage, wall, cpu in job_seconds(manifests):
        row = jobs.setdefault(stage, {"jobs": 0, "wall_minutes": 0.0, "core_minutes": 0.0})
        row["jobs"] += 1
        row["wall_minutes"] += wall / 60
        row["core_minutes"] += cpu / 60
    for row in jobs.values():
        row.update({key: round(row[key], 2) for key in ("wall_minutes", "core_minutes")})
    return {
        "commit": commit(ROOT),
        "config_hash": config_hash(config),
        "config": config,
        "seeds": config.get("seeds", []),
        "stages": dict(sorted(jobs.items())),
        "wall_minutes_of_all_jobs": round(sum(row["wall_minutes"] for row in jobs.values()), 2),
        "core_minutes": round(sum(row["core_minutes"] for row in jobs.values()), 2),
        "machines": _different([m["machine"] for m in manifests if m.get("machine")]),
        "packages": _different([m["packages"] for m in manifests if m.get("packages")]) or [_installed()],
    }


def commit(folder: Path) -> str:
    """The commit of a checkout, with "-modified" if tracked files differ; "unknown" outside of git."""
    git = ["git", "-C", str(folder)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:  # no git on this machine
        return "unknown"
    if head.returncode != 0:
        return "unknown"
    return head.stdout.strip() + ("-modified" if changed.stdout.strip() else "")


def _different(items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The items without repetitions, in their order."""
    found: list[Mapping[str, Any]] = []
    for item in items:
        if item not in found:
            found.append(item)
    return found


def _installed() -> dict[str, str]:
    names = ("torch", "numpy", "pandas", "scipy", "matplotlib", "snakemake")
    return {name: metadata.version(name) for name in names}


def publish(results: Path, target: Path) -> list[Path]:
    """Copy summary, record, tables, figures (PNG) and training manifests of a finished run; old files go.

    Raises
    ------
    NotFinished : `results` is not that of a finished run; nothing was touched.
    """
    missing = [piece for piece in PIECES if not (results / piece).exists()]
    if missing:
        raise NotFinished(f"{results}: no {', '.join(missing)}; finish the run first (`make run`)")
    record = read_json(results / "manifest.json")
    drawn = {path.stem for path in (results / "figures").glob("*.png")}
    absent = sorted(set(record["config"]["run"]["figures"]) - drawn)
    if absent:
        raise NotFinished(f"{results}/figures: no {', '.join(absent)}; finish the run first (`make run`)")
    copies = {results / "summary.md": target / "summary.md"}
    copies |= {file: target / "tables" / file.name for file in sorted((results / "tables").glob("*.csv"))}
    copies |= {file: target / "figures" / file.name for file in sorted((results / "figures").glob("*.png"))}
    for file in sorted(results.glob("pretrain/*/seed*/*.manifest.json")):
        copies[file] = target / "manifests" / f"pretrain-{file.parent.parent.name}-{file.parent.name}.json"
    if target.exists():
        shutil.rmtree(target)
    for source, copy in copies.items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
    files = sorted(copy.relative_to(target).as_posix() for copy in copies.values())
    write_json(target / "manifest.json", {**record, "files": files})
    return [*copies.values(), target / "manifest.json"]
