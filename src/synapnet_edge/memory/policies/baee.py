"""Retention by what later questions are predicted to read."""

from __future__ import annotations

import torch
from torch import Tensor

from synapnet_edge.memory.compiled.calls import rank_entries
from synapnet_edge.memory.policies.base import POLICIES, EntryState, NewEntries, Policy
from synapnet_edge.memory.retention import RetentionClassifier


@POLICIES.register("baee")
class BAEEPolicy(Policy):
    """Scores entries by a retention classifier.

    Parameters
    ----------
    classifier : RetentionClassifier, optional
        Trained to order entries by future reads. What its first layer makes of an entry's value never
        changes: it is noted at the write, so that a round costs a few products per entry. Without one
        nothing learned is involved: the score is the read mass accumulated so far plus the salience, and
        `describe()` says so.
    """

    name = "baee"
    wants_mass = True
    counts_uses = False
    needs = "attention"

    def __init__(self, classifier: RetentionClassifier | None = None, use_factor: float = 1.5) -> None:
        super().__init__(use_factor)
        self.classifier = classifier
        if classifier is not None:
            self.note_width = classifier.hidden
            self.needs = "attention, training"

    def note_write(self, layer: int, entries: NewEntries) -> Tensor:
        with torch.no_grad():
            self._move_to(entries.values.device)
            return self.classifier.content(entries.values.flatten(-2))

    def score(self, state: EntryState) -> Tensor:
        if self.classifier is None:
            return state.mass.double() + state.log_salience.double().exp()
        self._move_to(state.capacity.device)
        # Compiled is `RetentionClassifier.rank`: a subclass may rank otherwise.
        if state.capacity.device.type == "cpu" and type(self.classifier).rank is RetentionClassifier.rank:
            return rank_entries(self.classifier, state)
        layers = state.shape[0]
        fraction = torch.arange(layers, device=state.capacity.device) / max(1, layers - 1)
        features = self.classifier.features(
            log_salience=state.log_salience,
            age=state.step - state.written,
            mass=state.mass,
            layer_fraction=fraction[:, None, None],
        )
        with torch.no_grad():
            return self.classifier.rank(state.note, features).double()

    def _move_to(self, device: torch.device) -> None:
        if self.classifier.feature_mean.device != device:
            self.classifier.to(device)

    def state_bytes(self) -> int:
        parts = self.classifier.parameters() if self.classifier is not None else ()
        return sum(p.numel() * p.element_size() for p in parts)

    def describe(self) -> str:
        if self.classifier is None:
            return "baee (no classifier: accumulated read mass + salience)"
        return f"baee (retention classifier, {self.classifier.n_parameters} parameters)"
