"""Evaluation: run tasks, score them, say how certain the score is."""

from synapnet_edge.evaluation.metrics import above_guess, accuracy, correct_readouts, mean_absolute_error
from synapnet_edge.evaluation.runner import COLUMNS, evaluate_task, run_suite
from synapnet_edge.evaluation.statistics import mcnemar_exact, mean_std, t_interval, wilson_interval

__all__ = [
    "COLUMNS",
    "above_guess",
    "accuracy",
    "correct_readouts",
    "evaluate_task",
    "mcnemar_exact",
    "mean_absolute_error",
    "mean_std",
    "run_suite",
    "t_interval",
    "wilson_interval",
]
