"""SmoothQuant (arXiv 2211.10438): outliers of INT8 activations move into the weights that read them.

Per input channel of the layers that one norm feeds, with maxima over calibration tokens and over the columns
of every consumer::

    s_j = max |x_j|^alpha / max |W_j|^(1 - alpha);      norm / s,  W[:, j] s_j

Only for layers whose inputs are INT8: under float activations it makes weights harder to round for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from synapnet_edge.quantization.recipe import Scheme
from synapnet_edge.quantization.statistics import ABS_MAX
from synapnet_edge.quantization.topology import FoldGroup, fold, fold_groups

FLOOR = 1e-5


def apply_smoothquant(
    model: nn.Module, schemes: Mapping[str, Scheme], statistics: Mapping[str, Tensor], alpha: float
) -> int:
    """Fold SmoothQuant's scales in place; returns the number of norms that took one.

    Statistics taken before are wrong afterwards: collect them again.

    Raises
    ------
    ValueError
        If the statistics lack a layer.
    """
    folded = 0
    for group in fold_groups(model):
        if group.norm and all(name in schemes and schemes[name].int8_inputs for name in group.consumers):
            fold(model, group, smoothing_scale(model, group, statistics, alpha))
            folded += 1
    return folded


@torch.no_grad()
def smoothing_scale(
    model: nn.Module, group: FoldGroup, statistics: Mapping[str, Tensor], alpha: float
) -> Tensor:
    """The scale [K] of one norm's features."""
    key = f"{group.consumers[0]}.{ABS_MAX}"
    if key not in statistics:
        raise ValueError(f"calibration statistics: found no {key!r}, which SmoothQuant needs")
    weights = [model.get_submodule(name).weight.detach().float() for name in group.consumers]
    largest = torch.stack([weight.abs().amax(0) for weight in weights]).amax(0).clamp_min(FLOOR)
    inputs = statistics[key].to(largest.device).clamp_min(FLOOR)
    return (inputs.pow(alpha) / largest.pow(1 - alpha)).clamp_min(FLOOR)
