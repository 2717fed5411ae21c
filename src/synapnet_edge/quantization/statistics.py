"""Input statistics of linear layers, collected with forward hooks on calibration batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from synapnet_edge.quantization.topology import INSPECTED

SECOND_MOMENT, ABS_MEAN, ABS_MAX, TOKENS = "second_moment", "abs_mean", "abs_max", "tokens"
INPUTS = "inputs"
# Above this width only the diagonal of E[x x^T] is kept: the full matrix grows quadratically.
MAX_FULL_WIDTH = 1536
# Up to this width E[x x^T] is summed over every token; wider layers use every k-th, since the products grow
# quadratically with the width and the estimate needs only some tokens per feature.
FULL_RATE_WIDTH = 512
# Tokens whose inputs are kept, for layers whose module is judged by its output (see `topology.INSPECTED`).
KEPT_TOKENS = 512
# Inputs remembered so that layers fed by one tensor (queries, keys, values ...) share its sums.
_REMEMBERED_INPUTS = 4


class _Sums(NamedTuple):
    outer: Tensor  # [K, K] or [K]
    outer_tokens: int
    abs_sum: Tensor  # [K]
    abs_max: Tensor  # [K]
    tokens: int


def collect_statistics(
    model: nn.Module, loader: Iterable[Tensor], device: str | torch.device | None = None
) -> dict[str, Tensor]:
    """Run `model` over calibration batches and return the input statistics of every ``nn.Linear``.

    Parameters
    ----------
    loader : iterable of Tensor
        int64 ``[b, T]`` token ids.
    device : optional
        Where the batches go; defaults to the device of the model's first parameter.

    Returns
    -------
    dict
        ``{layer}.second_moment`` E[x x^T] ``[K, K]`` (its diagonal ``[K]`` above `MAX_FULL_WIDTH`),
        ``{layer}.abs_mean`` ``[K]``, ``{layer}.abs_max`` ``[K]`` (a running maximum), all float32, and
        ``{layer}.tokens`` int64 ``[]``. Means are over tokens. Layers of `topology.INSPECTED` also have
        ``{layer}.inputs`` ``[B, T, K]`` FP16, pieces of sequences of about `KEPT_TOKENS` tokens in all.

    Raises
    ------
    ValueError
        If the loader is empty or a statistic is not finite.
    """
    device = device or next(model.parameters()).device
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), _input_hooks(model) as (sums, kept):
            batches = 0
            for ids in loader:
                model(ids.to(device))
                batches += 1
    finally:
        model.train(training)
    if batches == 0:
        raise ValueError("calibration loader: found no batch, expected at least one")
    return {**_finish(sums), **{f"{name}.{INPUTS}": torch.cat(parts) for name, parts in kept.items()}}


def rescaled(statistics: Mapping[str, Tensor], layers: Iterable[str], scale: Tensor) -> dict[str, Tensor]:
    """The statistics after the inputs of `layers` were divided by `scale` [K]."""
    changed, scale = dict(statistics), scale.detach().float().cpu()
    for layer in layers:
        for kind in (ABS_MEAN, ABS_MAX, INPUTS):
            if f"{layer}.{kind}" in changed:
                value = changed[f"{layer}.{kind}"]
                changed[f"{layer}.{kind}"] = (value.float() / scale).to(value.dtype)
        moment = changed.get(f"{layer}.{SECOND_MOMENT}")
        if moment is not None:
            divisor = scale.square() if moment.dim() == 1 else scale[:, None] * scale
            changed[f"{layer}.{SECOND_MOMENT}"] = moment / divisor
    return changed


def second_moment(statistics: Mapping[str, Tensor] | None, layer: str) -> Tensor | None:
    """E[x x^T] of `layer`'s input, or None where it was not collected."""
    return None if statistics is None else statistics.get(f"{layer}.{SECOND_MOMENT}")


@contextmanager
def _input_hooks(model: nn.Module) -> Iterator[tuple[dict[str, _Sums], dict[str, list[Tensor]]]]:
    """Hook every linear layer while the block runs; the hooks are removed whatever happens."""
    sums: dict[str, _Sums] = {}
    kept: dict[str, list[Tensor]] = {}
    recent: deque[tuple[Tensor, _Sums]] = deque(maxlen=_REMEMBERED_INPUTS)

    inspected = getattr(model, "inspected", INSPECTED)

    def hook_for(name: str):
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            batch = _batch_sums(inputs[0], recent)
            sums[name] = _add(sums[name], batch) if name in sums else batch
            if name.endswith(inspected):
                _keep(kept.setdefault(name, []), inputs[0])

        return hook

    handles = [
        module.register_forward_pre_hook(hook_for(name))
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        yield sums, kept
    finally:
        for handle in handles:
            handle.remove()


def _keep(parts: list[Tensor], inputs: Tensor) -> None:
    """Add the first sequence of a call; pieces of another length than the first one's are left out."""
    tokens = sum(part.shape[1] for part in parts)
    if tokens < KEPT_TOKENS and (not parts or parts[0].shape[1] == min(inputs.shape[1], KEPT_TOKENS)):
        parts.append(inputs[:1, :KEPT_TOKENS].detach().half().cpu())


def _batch_sums(inputs: Tensor, recent: deque[tuple[Tensor, _Sums]]) -> _Sums:
    """Sums over the tokens of one call; a tensor seen a moment ago is not summed twice.

    `recent` keeps the tensors alive, so equal addresses really mean the same data.
    """
    for seen, batch in recent:
        if (
            seen.data_ptr() == inputs.data_ptr()
            and seen.shape == inputs.shape
            and seen.stride() == inputs.stride()
        ):
            return batch
    x = inputs.detach().flatten(0, -2).float()
    sample = x[:: _stride(x.shape[1])]
    outer = sample.T @ sample if x.shape[1] <= MAX_FULL_WIDTH else sample.square().sum(0)
    magnitude = x.abs()
    # Sums over many batches are kept in double precision; the square of an outlier would swallow small terms.
    batch = _Sums(outer.double(), len(sample), magnitude.sum(0).double(), magnitude.amax(0), x.shape[0])
    recent.append((inputs, batch))
    return batch


def _stride(width: int) -> int:
    """Tokens between two that enter E[x x^T]; odd, so that it does not fall in step with chunk lengths."""
    return 1 if width <= FULL_RATE_WIDTH else width // 256 | 1


def _add(left: _Sums, right: _Sums) -> _Sums:
    return _Sums(
        left.outer + right.outer,
        left.outer_tokens + right.outer_tokens,
        left.abs_sum + right.abs_sum,
        torch.maximum(left.abs_max, right.abs_max),
        left.tokens + right.tokens,
    )


def _finish(sums: dict[str, _Sums]) -> dict[str, Tensor]:
    statistics: dict[str, Tensor] = {}
    for name, total in sums.items():
        statistics[f"{name}.{SECOND_MOMENT}"] = (total.outer / total.outer_tokens).float().cpu()
        statistics[f"{name}.{ABS_MEAN}"] = (total.abs_sum / total.tokens).float().cpu()
        statistics[f"{name}.{ABS_MAX}"] = total.abs_max.cpu()
        statistics[f"{name}.{TOKENS}"] = torch.tensor(total.tokens)
    for name, value in statistics.items():
        if not bool(torch.isfinite(value).all()):
            raise ValueError(
                f"{name}: found a value that is not finite; the model diverges on calibration data"
            )
    return statistics
