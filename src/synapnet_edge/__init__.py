"""SynapNet-Edge: long-context inference with a low-bit hybrid model and a budgeted memory.

Names are imported on first use, so that `import synapnet_edge` (which every start of the workflow does)
does not load torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synapnet_edge.config import SynapNetEdgeConfig as SynapNetEdgeConfig
    from synapnet_edge.memory.baee import BAEEMemoryManager as BAEEMemoryManager
    from synapnet_edge.memory.conversation import load_conversation as load_conversation
    from synapnet_edge.memory.conversation import save_conversation as save_conversation
    from synapnet_edge.memory.retention import RetentionClassifier as RetentionClassifier
    from synapnet_edge.memory.store import EpisodicStore as EpisodicStore
    from synapnet_edge.models import SynapNetEdge as SynapNetEdge
    from synapnet_edge.quantization.cajq import CAJQConfig as CAJQConfig
    from synapnet_edge.quantization.cajq import apply_cajq as apply_cajq
    from synapnet_edge.runtime.load import load_model as load_model

__version__ = "0.1.0"

_HOME = {
    "BAEEMemoryManager": "synapnet_edge.memory.baee",
    "CAJQConfig": "synapnet_edge.quantization.cajq",
    "EpisodicStore": "synapnet_edge.memory.store",
    "RetentionClassifier": "synapnet_edge.memory.retention",
    "SynapNetEdge": "synapnet_edge.models",
    "SynapNetEdgeConfig": "synapnet_edge.config",
    "apply_cajq": "synapnet_edge.quantization.cajq",
    "load_conversation": "synapnet_edge.memory.conversation",
    "load_model": "synapnet_edge.runtime.load",
    "save_conversation": "synapnet_edge.memory.conversation",
}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
