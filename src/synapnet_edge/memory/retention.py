"""A small classifier of how much an entry will be read in the future."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synapnet_edge.artifacts import ArtifactError, read_tensors, write_tensors

#: Scalar features, all known when the decision is taken.
FEATURES = ("log_salience", "log_age", "log_mass", "layer_fraction")
_KIND = "retention_classifier"


class RetentionClassifier(nn.Module):
    """MLP (D+4) -> h -> h -> 1 that orders a layer's entries by how sharply later questions read them.

    The log-salience also adds to the score directly, with a gain that is linear in the layer's depth: the
    MLP has to learn only what the salience does not say, and in the first layer that is little. It is
    trained on the order, by that share, of the entries that compete with each other. Parameters:
    h (D + 4) + h^2 + 3 h + 3, that is 1,659 at D = 192 and h = 8, and 3,443 at h = 16.

    Parameters
    ----------
    dim : int
        Width D of the value payload, all heads together.
    hidden : int
        Width h of both hidden layers.
    """

    def __init__(self, dim: int, hidden: int = 8) -> None:
        super().__init__()
        if dim < 1 or hidden < 1:
            raise ValueError(f"dim and hidden must be positive, got {dim} and {hidden}")
        self.dim, self.hidden = dim, hidden
        self.layers = nn.Sequential(
            nn.Linear(dim + len(FEATURES), hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 1),
        )
        self.direct = nn.Parameter(torch.tensor([1.0, 0.0]))  # gain in the first layer, and what depth adds
        # Statistics of the training features, not parameters.
        self.register_buffer("feature_mean", torch.zeros(len(FEATURES)))
        self.register_buffer("feature_std", torch.ones(len(FEATURES)))
        self.register_buffer("unit", torch.eye(hidden), persistent=False)

    @property
    def n_parameters(self) -> int:
        """Trained parameters."""
        return sum(p.numel() for p in self.parameters())

    @staticmethod
    def features(
        *, log_salience: Tensor, age: Tensor, mass: Tensor, layer_fraction: float | Tensor
    ) -> Tensor:
        """Stack the scalar features [..., 4]; age is in chunks, mass the read mass received so far."""
        fraction = torch.as_tensor(layer_fraction, dtype=torch.float32, device=mass.device).expand_as(mass)
        rows = [log_salience.float(), age.float().log1p(), mass.float().log1p(), fraction]
        return torch.stack(rows).movedim(0, -1)  # each feature in one piece of memory, as `rank` reads them

    def forward(self, values: Tensor, features: Tensor) -> Tensor:
        """Predict future use [...] from values [..., D] and `features` [..., 4].

        Values are scaled to unit root mean square: their size depends on the layer, their direction on the
        content.
        """
        return self.rank(self.content(values), features)

    def content(self, values: Tensor) -> Tensor:
        """What the first layer makes of values [..., D], [..., h]: it never changes and can be kept."""
        if values.shape[-1] != self.dim:
            raise ValueError(f"classifier was built for values of width {self.dim}, got {values.shape[-1]}")
        first = self.layers[0]
        return F.linear(F.rms_norm(values.float(), (self.dim,)), first.weight[:, : self.dim], first.bias)

    def rank(self, content: Tensor, features: Tensor) -> Tensor:
        """The prediction [...] from `content` [..., h] and `features` [..., 4]."""
        # Plain products: at a few thousand entries the calls of modules cost as much as the arithmetic. The
        # entries are columns: products of a few long rows are six times faster than those of many short ones,
        # and one with the unit matrix is the fastest way to turn `content`. The scaling of the features is
        # folded into the first layer's weights.
        first, second, third = self.layers[0], self.layers[2], self.layers[4]
        weight = first.weight[:, self.dim :] / self.feature_std
        columns = features.movedim(-1, 0).flatten(1)
        hidden = torch.addmm(-(weight @ self.feature_mean)[:, None], weight, columns)
        hidden = hidden.addmm(self.unit, content.reshape(-1, self.hidden).float().t()).relu()
        hidden = torch.addmm(second.bias[:, None], second.weight, hidden).relu()
        gain = (self.direct[0] + self.direct[1] * columns[3]) / self.feature_std[0]
        direct = gain * (columns[0] - self.feature_mean[0])
        return (third.weight[0] @ hidden + third.bias + direct).view(content.shape[:-1])

    def save(self, path: str | Path, metadata: dict[str, Any] | None = None) -> None:
        """Write one safetensors file."""
        header = {"kind": _KIND, "dim": self.dim, "hidden": self.hidden, "n_parameters": self.n_parameters}
        write_tensors(path, self.state_dict(), {**(metadata or {}), **header})

    @classmethod
    def load(cls, path: str | Path) -> RetentionClassifier:
        """Read a file written by `save`, in evaluation mode; raises ArtifactError on any other file."""
        tensors, metadata = read_tensors(path)
        if metadata.get("kind") != _KIND:
            raise ArtifactError(f"{path}: expected a {_KIND}, found {metadata.get('kind')!r}")
        classifier = cls(metadata["dim"], metadata["hidden"])
        classifier.load_state_dict(tensors)
        return classifier.eval()
