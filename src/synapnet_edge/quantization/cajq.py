"""Component-aware joint quantisation: each component at its own bits, memory entries at 8.

Without a budget the published assignment holds: SSM 2 bits, attention 4, the rest FP16. With one, "which
bits where" is answered by measurement: `sensitivity` of every component at every width, then the exact
`allocation` under the budget. Training (QAT) starts from either.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from synapnet_edge.quantization.allocation import allocate
from synapnet_edge.quantization.convert import ALPHA_INITS, MODES, apply_recipe
from synapnet_edge.quantization.options import OPTIONS, PACKED_OPTIONS, SCOPES, allocated
from synapnet_edge.quantization.recipe import Recipe
from synapnet_edge.quantization.sensitivity import measure_sensitivity
from synapnet_edge.quantization.sizes import recipe_bytes
from synapnet_edge.quantization.statistics import collect_statistics
from synapnet_edge.quantization.variants import CAJQ_SCOPES, Budget

DEVICES = ("cpu", "cuda", "mps")
DEFAULT_SHRINK = 6.0  # of scope "full" without a budget: FP16 bytes / this


@dataclass(frozen=True)
class CAJQConfig:
    """Settings of `apply_cajq`.

    Attributes
    ----------
    device : ``"cpu"``, ``"cuda"`` or ``"mps"``; statistics are collected and the result lives there.
    scope : which components are covered. ``"paper"``: SSM and attention projections (without a budget 2-bit
        SEQ, and INT4 in groups of 64 under AWQ), memory entries INT8 at run time; memory projections,
        feed-forward, embeddings, bridge, norms and head stay FP16. ``"full"``: those too, except bridge,
        norms and salience, which stay FP16; always under a budget.
    byte_budget : payload of the whole model's file at most [bytes]; bits are then allocated by measured
        sensitivity, which needs calibration data. None with scope ``"full"``: a sixth of FP16.
    options : widths that an allocation may choose, keys of `options.OPTIONS`; always with ``"fp16"``. By
        default those that the compiled kernels run.
    alpha_init : start of SEQ's alpha under QAT: ``"max"`` as ParetoQ, or ``"search"`` (needs calibration
        data).
    """

    device: str = "cpu"
    scope: str = "paper"
    byte_budget: int | None = None
    options: tuple[str, ...] = PACKED_OPTIONS
    alpha_init: str = "max"

    def __post_init__(self) -> None:
        for key, options in (("device", DEVICES), ("scope", tuple(CAJQ_SCOPES)), ("alpha_init", ALPHA_INITS)):
            value = getattr(self, key)
            if value not in options:
                raise ValueError(f"CAJQConfig.{key}: found {value!r}, expected one of {options}")
        if not {"fp16"} <= set(self.options) <= set(OPTIONS):
            found = list(self.options)
            raise ValueError(f"CAJQConfig.options: found {found}, expected fp16 and some of {list(OPTIONS)}")
        budget = self.byte_budget
        if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int) or budget < 1):
            raise ValueError(f"CAJQConfig.byte_budget: found {budget!r}, expected None or bytes >= 1")

    @property
    def allocates(self) -> bool:
        """Whether bits are allocated by sensitivity."""
        return self.scope == "full" or self.byte_budget is not None

    @property
    def recipe(self) -> Recipe:
        """The recipe of the chosen scope; where bits are allocated, what holds beside the allocation."""
        return CAJQ_SCOPES["full" if self.allocates else self.scope]


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
    if calib_loader is None and (mode == "ptq" or config.alpha_init == "search" or config.allocates):
        raise ValueError(
            f"calib_loader: found None, expected batches for mode={mode!r}, {config.scope=!s}, "
            f"{config.byte_budget=!s}, {config.alpha_init=!s}"
        )
    device = resolve_device(config.device)
    if next(model.parameters()).device.type != device.type:
        model = model.to(device)
    statistics = None if calib_loader is None else collect_statistics(model, calib_loader, device)
    recipe = config.recipe
    if config.allocates:
        budget = config.byte_budget or Budget(times=DEFAULT_SHRINK).bytes_for(model)
        components = SCOPES[config.scope]
        sensitivity = measure_sensitivity(model, calib_loader, statistics, components, config.options)
        recipe = allocated_recipe(model, sensitivity, budget, recipe)
    return apply_recipe(model, recipe, statistics, mode, config.alpha_init, calib_loader)


def allocated_recipe(model: nn.Module, sensitivity: pd.DataFrame, budget: int, base: Recipe) -> Recipe:
    """The recipe of least summed divergence whose file has a payload of at most `budget` bytes.

    Parameters
    ----------
    sensitivity : DataFrame
        Result of `measure_sensitivity` for the components that may change; the others stay as `base` has it.
    base : Recipe
        Rules that come first, and the format of entries.

    Raises
    ------
    BudgetError
        If nothing fits.
    """
    components = dict.fromkeys(sensitivity["component"])
    rest = recipe_bytes(model, allocated(dict.fromkeys(components, "fp16"), base))
    rest -= int(sensitivity.loc[sensitivity["option"] == "fp16", "bytes"].sum())
    return allocated(allocate(sensitivity, budget - rest), base)


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
