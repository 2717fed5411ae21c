"""The guarded NeedleBench-style suite: retrieval over depth, arithmetic, counting, distraction, updates."""

from synapnet_edge.tasks.needlebench.adn import AntiDistraction
from synapnet_edge.tasks.needlebench.cn import CountNeedles
from synapnet_edge.tasks.needlebench.grid import Mkn, Snia
from synapnet_edge.tasks.needlebench.kv_update import KvUpdate
from synapnet_edge.tasks.needlebench.ron import ReasoningOverNeedles

__all__ = ["AntiDistraction", "CountNeedles", "KvUpdate", "Mkn", "ReasoningOverNeedles", "Snia"]
