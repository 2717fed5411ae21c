"""Jobs done and left, and the minutes that are left, from a dry run and benchmark files."""

from __future__ import annotations

from synapnet_edge.reporting.progress import Waiting, jobs_left, page, progress, times

DRY_RUN = """Building DAG of jobs...
Job stats:
job          count
---------  -------
all              1

[Thu Nov 26 20:20:19 2026]
rule pretrain:
    output: results/pretrain/a/model.safetensors
    log: logs/pretrain/a.log
    benchmark: benchmarks/pretrain/a.tsv
    reason: Missing output files

[Thu Nov 26 20:20:19 2026]
localrule figure:
    input: x.csv
    output: results/figures/a.pdf
    reason: Missing output files

[Thu Nov 26 20:20:19 2026]
rule all:
    input: results/figures/a.pdf
    reason: Rules with neither input nor output files are always executed.
"""


def test_jobs_of_a_dry_run_are_found_without_targets():
    assert jobs_left(DRY_RUN) == [Waiting("pretrain", "benchmarks/pretrain/a.tsv"), Waiting("figure", None)]
    assert jobs_left("Nothing to be done.\n") == []


def test_times_are_read_by_file(tmp_path):
    file = tmp_path / "benchmarks" / "pretrain" / "m" / "seed1.tsv"
    file.parent.mkdir(parents=True)
    file.write_text("s\th:m:s\n90.5\t0:01:30\n")
    assert times(tmp_path) == {"benchmarks/pretrain/m/seed1.tsv": 90.5}


def test_a_job_that_runs_again_is_left_and_its_old_time_is_the_estimate():
    finished = {
        "benchmarks/pretrain/a.tsv": 120.0,
        "benchmarks/pretrain/b.tsv": 60.0,
        "benchmarks/deploy/c.tsv": 30.0,
    }
    rows = {row.rule: row for row in progress(jobs_left(DRY_RUN), finished)}
    assert (rows["pretrain"].done, rows["pretrain"].left, rows["pretrain"].minutes_left) == (1, 1, 1.5)
    assert (rows["deploy"].done, rows["deploy"].minutes_left) == (1, 0.0)
    assert rows["figure"].minutes_left is None
    text = page(rows.values(), cores=2)
    assert (
        "2 jobs are left: about 0.8 minutes on 2 cores, and figure, of which none has finished yet." in text
    )


def test_a_finished_run_has_nothing_left():
    assert "Nothing is left." in page(progress([], {"benchmarks/deploy/c.tsv": 30.0}), 4)
