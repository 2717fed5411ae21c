"""Small models trained with one thing changed, and what that is worth."""

from __future__ import annotations

from synapnet_edge.experiments.scoring import score_arm

__all__ = ["score_arm"]
