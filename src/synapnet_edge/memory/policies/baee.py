"""Retention by predicted future read mass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from synapnet_edge.memory.policies.base import POLICIES, EntryState, Policy

if TYPE_CHECKING:
    from synapnet_edge.memory.retention import RetentionClassifier


@POLICIES.register("baee")
class BAEEPolicy(Policy):
    """Scores entries by a retention classifier.

    Parameters
    ----------
    classifier : RetentionClassifier, optional
        Trained to predict log future read mass. Without one nothing learned is involved: the score is the
        read mass accumulated so far plus the salience, and `describe()` says so.
    """

    name = "baee"
    wants_mass = True

    def __init__(self, classifier: RetentionClassifier | None = None, use_factor: float = 1.5) -> None:
        super().__init__(use_factor)
        self.classifier = classifier

    def score(self, state: EntryState) -> Tensor:
        if self.classifier is None:
            return state.mass.double() + state.log_salience.double().exp()
        n_layers, batch, _ = state.live.shape
        self.classifier.to(state.live.device)
        scores = torch.empty(state.live.shape, dtype=torch.float64, device=state.live.device)
        for layer in range(n_layers):
            features = self.classifier.features(
                log_salience=state.log_salience[layer],
                age=state.step - state.written[layer],
                mass=state.mass[layer],
                layer_fraction=layer / max(1, n_layers - 1),
            )
            for stream in range(batch):  # bounds the dequantised payload, and keeps it in the cache
                scores[layer, stream] = self.classifier(
                    state.values(layer, stream).flatten(-2), features[stream]
                )
        return scores

    def describe(self) -> str:
        if self.classifier is None:
            return "baee (no classifier: accumulated read mass + salience)"
        return f"baee (retention classifier, {self.classifier.n_parameters} parameters)"
