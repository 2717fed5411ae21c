"""Tell how far a run is: jobs done, jobs left, about how many minutes, and the bars of running jobs.

Arguments after -- go to snakemake, for example `status -- --configfile my.yaml`.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--directory", type=Path, default=Path("."), help="where the run writes its results")
    parser.add_argument("--cores", type=int, default=4, help="cores of the run, for the estimate")
    parser.add_argument("snakemake", nargs="*", help="further arguments for snakemake")


def run(options: argparse.Namespace) -> int:
    import subprocess
    import sys

    from synapnet_edge.bars import running
    from synapnet_edge.reporting.progress import jobs_left, page, progress, times

    command = [sys.executable, "-m", "snakemake", *options.snakemake, "--dry-run"]
    done = subprocess.run(
        [*command, "--directory", str(options.directory)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        print(done.stdout + done.stderr, file=sys.stderr)
        return 1
    rows = progress(jobs_left(done.stdout + done.stderr), times(options.directory))
    print(page(rows, options.cores), end="")
    for bar in running(options.directory / "logs").values():
        print(f"running: {bar}")
    return 0
