"""The read-out loss, its precision and its failure, shared by pretraining and finetuning."""

from __future__ import annotations

import contextlib
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synapnet_edge.artifacts import machine_info
from synapnet_edge.tasks.base import IGNORE, TaskBatch

AUTOCAST_MODES = ("auto", "bfloat16", "off")
_FAST_BFLOAT16 = {"avx512_bf16", "amx_bf16"}


class DivergedError(RuntimeError):
    """The loss or the gradient stopped being finite."""


def use_bfloat16(mode: str, device: torch.device) -> bool:
    """Whether to compute matrix products in bfloat16; "auto" asks the processor.

    Without native support a CPU or an older NVIDIA GPU emulates bfloat16 and is slower than in float32. On
    Apple's GPU "auto" stays with float32: bfloat16 needs macOS 14 and some operators may lack it, and
    float16, its alternative, would need loss scaling. "bfloat16" asks for it there too.
    """
    if mode not in AUTOCAST_MODES:
        raise ValueError(f"autocast: found {mode!r}, expected one of {', '.join(AUTOCAST_MODES)}")
    if mode != "auto":
        return mode == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(_FAST_BFLOAT16 & set(machine_info()["instruction_sets"]))


def autocast(device: torch.device, enabled: bool) -> contextlib.AbstractContextManager:
    """bfloat16 autocast on `device`, or no change."""
    return torch.autocast(device.type, torch.bfloat16) if enabled else contextlib.nullcontext()


def to_tensors(batch: TaskBatch, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Ids [B, L], read-out positions [B, Q] and targets [B, Q] on `device`."""
    arrays = (batch.input_ids, batch.target_pos, batch.targets)
    return tuple(torch.as_tensor(array, dtype=torch.int64, device=device) for array in arrays)


def read_out_loss(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross entropy and accuracy over read-outs; logits [B, Q, C], targets [B, Q] with -100 = none."""
    loss, correct = read_out_sums(logits, targets)
    count = (targets != IGNORE).sum()
    return loss / count, correct / count


def read_out_sums(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Summed cross entropy and number of right answers; shapes as in `read_out_loss`."""
    valid = targets != IGNORE
    chosen, labels = logits[valid].float(), targets[valid]
    correct = (chosen.detach().argmax(-1) == labels).sum()
    return F.cross_entropy(chosen, labels, reduction="sum"), correct.float()


def update(model: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, clip: float, step: int) -> float:
    """Back-propagate, clip, take one optimiser step; returns the gradient norm before clipping.

    Raises
    ------
    DivergedError
        If loss or gradient is not finite; the weights are left as before the step.
    """
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    return apply_gradients(model, optimizer, loss.item(), clip, step)


def apply_gradients(
    model: nn.Module, optimizer: torch.optim.Optimizer, loss: float, clip: float, step: int
) -> float:
    """The second half of `update`, for gradients that already exist; `loss` is their loss."""
    if not math.isfinite(loss):
        raise DivergedError(f"step {step}: the loss is {loss}; lower the learning rate")
    norm = float(nn.utils.clip_grad_norm_(model.parameters(), clip))
    if not math.isfinite(norm):
        raise DivergedError(f"step {step}: the gradient norm is {norm}; lower the learning rate")
    optimizer.step()
    return norm


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """AdamW groups: matrices decay, vectors (gains, biases, norms) do not."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
