"""Evaluation: run tasks, score them, say how certain the score is."""

from synapnet_edge.evaluation.runner import COLUMNS, evaluate_task, run_suite
from synapnet_edge.evaluation.scores import above_guess
from synapnet_edge.evaluation.statistics import mcnemar_exact, mean_std, t_interval, wilson_interval

__all__ = [
    "COLUMNS",
    "above_guess",
    "evaluate_task",
    "mcnemar_exact",
    "mean_std",
    "run_suite",
    "t_interval",
    "wilson_interval",
]
