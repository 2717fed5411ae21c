"""Benchmark tasks: reference protocol, guarded suites, training mixtures, the user's own (`own_tasks`)."""

import os

from synapnet_edge.tasks.base import IGNORE, SPLITS, Task, TaskBatch
from synapnet_edge.tasks.catalog import TASKS, suite_tasks
from synapnet_edge.tasks.layout import LAYOUT, Layout
from synapnet_edge.tasks.mixture import Mixture

__all__ = ["IGNORE", "LAYOUT", "SPLITS", "TASKS", "Layout", "Mixture", "Task", "TaskBatch", "suite_tasks"]

# What `own_tasks.announce` sets; without own tasks nothing of theirs is imported.
if "SYNAPNET_EDGE_TASKS" in os.environ:
    from synapnet_edge.tasks.custom import register_announced

    register_announced(TASKS)
