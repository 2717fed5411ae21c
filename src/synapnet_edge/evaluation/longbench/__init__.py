"""The public LongBench (v1 and LongBench-E) for anything that turns a prompt into text."""

from synapnet_edge.evaluation.longbench.aggregate import category_scores
from synapnet_edge.evaluation.longbench.baselines import BASELINES
from synapnet_edge.evaluation.longbench.hub import as_dataset, download
from synapnet_edge.evaluation.longbench.runner import run_baseline, run_longbench
from synapnet_edge.evaluation.longbench.schema import Row, SchemaError, read_rows
from synapnet_edge.evaluation.longbench.source import MissingData, Source, open_source
from synapnet_edge.evaluation.longbench.tasks import LONGBENCH_TASKS, LongBenchTask
from synapnet_edge.evaluation.longbench.truncation import middle_truncation, truncate_middle

__all__ = [
    "BASELINES",
    "LONGBENCH_TASKS",
    "LongBenchTask",
    "MissingData",
    "Row",
    "SchemaError",
    "Source",
    "category_scores",
    "as_dataset",
    "category_scores",
    "download",
    "middle_truncation",
    "open_source",
    "read_rows",
    "run_baseline",
    "run_longbench",
    "truncate_middle",
]
