"""Benchmark tasks: reference protocol, guarded suites, training mixtures."""

from synapnet_edge.tasks.base import IGNORE, SPLITS, Task, TaskBatch
from synapnet_edge.tasks.catalog import TASKS, suite_tasks
from synapnet_edge.tasks.layout import LAYOUT, Layout
from synapnet_edge.tasks.mixture import Mixture

__all__ = ["IGNORE", "LAYOUT", "SPLITS", "TASKS", "Layout", "Mixture", "Task", "TaskBatch", "suite_tasks"]
