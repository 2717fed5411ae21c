"""Running packed models: one file, one interface, and a backend for each purpose."""

from synapnet_edge.runtime.load import BACKENDS, load_model

__all__ = ["BACKENDS", "load_model"]
