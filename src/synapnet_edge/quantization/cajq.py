"""Component-aware joint quantisation: SSM at 2 bits, attention at 4, memory entries at 8, the rest FP16."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from synapnet_edge.quantization.convert import ALPHA_INITS, MODES, apply_recipe
from synapnet_edge.quantization.recipe import Recipe
from synapnet_edge.quantization.statistics import collect_statistics
from synapnet_edge.quantization.variants import CAJQ_SCOPES

DEVICES = ("cpu", "cuda", "mps")


@dataclass(frozen=True)
class CAJQConfig:
    """Settings of `apply_cajq`.

    Attributes
    ----------
    device : ``"cpu"``, ``"cuda"`` or ``"mps"``; statistics are collected and the result lives there.
    scope : which components are covered. ``"paper"``: SSM projections 2-bit SEQ, attention projections INT4
        in groups of 64, memory entries INT8 at run time; memory projections, feed-forward, embeddings,
        bridge, norms and head stay FP16.
    alpha_init : start of SEQ's alpha under QAT: ``"max"`` as ParetoQ, or ``"search"`` (needs calibration
        data).
    """

    device: str = "cpu"
    scope: str = "paper"
    alpha_init: str = "max"

    def __post_init__(self) -> None:
        for key, options in (("device", DEVICES), ("scope", tuple(CAJQ_SCOPES)), ("alpha_init", ALPHA_INITS)):
            value = getattr(self, key)
            if value not in options:
                raise ValueError(f"CAJQConfig.{key}: found {value!r}, expected one of {options}")

    @property
    def recipe(self) -> Recipe:
        """The recipe of the chosen scope."""
        return CAJQ_SCOPES[self.scope]


def apply_cajq(
    model: nn.Module,
    config: CAJQConfig | None = None,
    calib_loader: Iterable[Tensor] | None = None,
    mode: str = "ptq",
) -> nn.Module:
    """Return a quantised copy of a float `model`.

    Parameters
    ----------
    config : CAJQConfig, optional
        Defaults to ``CAJQConfig()``.
    calib_loader : iterable of Tensor
        int64 ``[b, T]`` batches (`build_calib_loader`). Required by ``mode="ptq"`` and by
        ``alpha_init="search"``; under QAT without it no attention weight is clipped.
    mode : str
        ``"ptq"``: training-free; targeted weights hold their quantised values and the model can be saved
        packed. ``"qat"``: targeted layers are trainable and fake-quantised, for ``training.qat.finetune``.

    Raises
    ------
    ValueError
        If the device is absent, the mode unknown, or calibration data are needed and missing.
    """
    config = config or CAJQConfig()
    if mode not in MODES:
        raise ValueError(f"mode: found {mode!r}, expected one of {MODES}")
    if calib_loader is None and (mode == "ptq" or config.alpha_init == "search"):
        raise ValueError(
            f"calib_loader: found None, expected batches for mode={mode!r}, {config.alpha_init=!s}"
        )
    device = resolve_device(config.device)
    if next(model.parameters()).device.type != device.type:
        model = model.to(device)
    statistics = None if calib_loader is None else collect_statistics(model, calib_loader, device)
    return apply_recipe(model, config.recipe, statistics, mode, config.alpha_init, calib_loader)


def resolve_device(name: str) -> torch.device:
    """Return the torch device called `name`; raises ValueError if this machine does not have it."""
    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name not in present:
        raise ValueError(f"device: found {name!r}, expected one of {DEVICES}")
    if not present[name]:
        available = [device for device, here in present.items() if here]
        raise ValueError(f"device: found {name!r}, but this machine only has {available}")
    return torch.device(name)
