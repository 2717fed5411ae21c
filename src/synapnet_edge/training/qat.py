"""Finetuning after pretraining: quantisation-aware training and its equal-steps control share this loop."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from synapnet_edge.models.state import EntryStore
from synapnet_edge.quantization.fake_quant import quantize_once
from synapnet_edge.tasks.base import IGNORE, TaskBatch
from synapnet_edge.training.finetune_data import Behind, FinetuneStep
from synapnet_edge.training.haystacks import Haystacks
from synapnet_edge.training.objective import autocast, read_out_loss, to_tensors, update, use_bfloat16

HISTORY_COLUMNS = [
    "step", "loss", "cross_entropy", "distillation", "accuracy", "learning_rate",
    "grad_norm", "tokens", "tokens_per_second", "seconds",
]  # fmt: skip


@dataclass(frozen=True)
class FinetuneConfig:
    """Settings of one finetuning run.

    Attributes
    ----------
    steps : optimiser steps.
    learning_rate : peak rate [1/step]; decays to 0 along a cosine without warm-up.
    alpha_rate : factor on the rate of SEQ's alpha, which is in a group of its own without weight decay.
    weight_decay : decoupled decay of matrices; vectors and alpha have none.
    clip : largest norm of the gradient.
    distill_weight : weight of KL(teacher || student) on read-outs; the cross entropy keeps weight 1.
    temperature : softmax temperature of the distillation term.
    autocast : ``"auto"`` (bfloat16 where the processor is fast at it), ``"bfloat16"`` or ``"off"``.
    log_every : steps between two rows of the history.
    """

    steps: int
    learning_rate: float = 3e-4
    alpha_rate: float = 1.0
    weight_decay: float = 0.0
    clip: float = 1.0
    distill_weight: float = 1.0
    temperature: float = 1.0
    autocast: str = "auto"
    log_every: int = 10

    def __post_init__(self) -> None:
        positive = ("steps", "learning_rate", "alpha_rate", "clip", "temperature", "log_every")
        for key in positive + ("weight_decay", "distill_weight"):
            value, least = getattr(self, key), 0
            if not (value > least or (key not in positive and value == least)):
                expected = "more than 0" if key in positive else "at least 0"
                raise ValueError(f"finetune {key}: found {value!r}, expected {expected}")


def finetune(
    model: nn.Module,
    batches: Iterable[TaskBatch | FinetuneStep],
    config: FinetuneConfig,
    teacher: nn.Module | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train `model` in place for `config.steps` batches and return the history.

    The loss is the cross entropy of the read-outs (targets -100 are ignored) plus, with a teacher,
    `distill_weight` times the KL divergence from its predictions at the same read-outs. With fake-quantised
    layers this is quantisation-aware training; with a plain model it is the control of equal steps.

    Parameters
    ----------
    batches : iterable of TaskBatch or FinetuneStep
        At least `config.steps` batches, each with the options of its forward pass, if any.
    teacher : nn.Module, optional
        Float model; it is evaluated without gradient and left as it is.

    Raises
    ------
    DivergedError
        At the first step whose loss or gradient is not finite.
    ValueError
        If there are too few batches.
    """
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(parameter_groups(model, config), betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: cosine(step, config.steps))
    bfloat16 = use_bfloat16(config.autocast, device)
    meter = _Meter(config)
    model.train()
    memories = [None if net is None else Haystacks(net) for net in (model, teacher)]
    source = iter(batches)
    with (
        _evaluated(teacher),
        tqdm(total=config.steps, desc="finetune", unit="step", disable=not progress) as bar,
    ):
        for step in range(1, config.steps + 1):
            drawn = next(source, None)
            if drawn is None:
                raise ValueError(f"batches: found {step - 1}, expected {config.steps}")
            batch, options, behind = drawn if isinstance(drawn, FinetuneStep) else FinetuneStep(drawn, {})
            # Contexts of its own: a weight that is quantised here, and kept, has no gradient.
            with autocast(device, bfloat16), quantize_once(model):
                stores = [_store(memory, batch, behind) for memory in memories]
            with autocast(device, bfloat16), quantize_once(model):
                losses = _losses(model, teacher, to_tensors(batch, device), options, stores, config)
            norm = update(model, optimizer, losses["loss"], config.clip, step)
            rate = schedule.get_last_lr()[0]
            schedule.step()
            meter.add(step, losses, rate, norm, batch.input_ids.size)
            bar.set_postfix(loss=f"{meter.last_loss:.3f}", refresh=False)
            bar.update()
    model.eval()
    return meter.history()


def _store(memory: Haystacks | None, batch: TaskBatch, behind: Behind | None) -> EntryStore | None:
    """What the rows begin with, if they stand behind something; None too for a teacher that is not there."""
    if behind is None or memory is None:
        return None
    rng = np.random.default_rng(behind.seed)
    limits = {"tokens": behind.tokens, "most": behind.most, "draws": behind.draws}
    return memory.stand_behind(batch.input_ids, behind.kinds, rng=rng, **limits)


def parameter_groups(model: nn.Module, config: FinetuneConfig) -> list[dict]:
    """AdamW groups: matrices, vectors (no decay), and SEQ's alphas (own rate, no decay)."""
    groups: dict[str, list[nn.Parameter]] = {"matrices": [], "vectors": [], "alpha": []}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        kind = "alpha" if name.endswith(".alpha") else "matrices" if parameter.dim() > 1 else "vectors"
        groups[kind].append(parameter)
    rate = config.learning_rate
    settings = {
        "matrices": {"lr": rate, "weight_decay": config.weight_decay},
        "vectors": {"lr": rate, "weight_decay": 0.0},
        "alpha": {"lr": rate * config.alpha_rate, "weight_decay": 0.0},
    }
    return [{"params": groups[kind], **settings[kind]} for kind in groups if groups[kind]]


def cosine(step: int, steps: int) -> float:
    """Share of the peak learning rate at 0-based `step`; reaches 0 after the last step."""
    return 0.5 * (1 + math.cos(math.pi * step / steps))


def _losses(
    model: nn.Module,
    teacher: nn.Module | None,
    data: tuple[Tensor, Tensor, Tensor],
    options: Mapping[str, Any],
    stores: Sequence[EntryStore | None],
    config: FinetuneConfig,
) -> dict[str, Tensor]:
    """`stores`: the memory that the rows begin with, of the model and of its teacher."""
    ids, positions, targets = data
    valid = targets != IGNORE
    own, given = ({} if store is None else {"store": store} for store in stores)
    logits = model(ids, positions, **options, **own)
    cross_entropy, accuracy = read_out_loss(logits, targets)
    distillation = cross_entropy.new_zeros(())
    if teacher is not None and config.distill_weight > 0:
        with torch.no_grad():
            reference = teacher(ids, positions, **options, **given)[valid].float()
        distillation = _divergence(logits[valid].float(), reference, config.temperature)
    return {
        "loss": cross_entropy + config.distill_weight * distillation,
        "cross_entropy": cross_entropy,
        "distillation": distillation,
        "accuracy": accuracy,
    }


def _divergence(logits: Tensor, reference: Tensor, temperature: float) -> Tensor:
    """KL(reference || logits), mean over read-outs; the squared temperature keeps gradients comparable."""
    student = F.log_softmax(logits / temperature, dim=-1)
    target = F.log_softmax(reference / temperature, dim=-1)
    return temperature**2 * F.kl_div(student, target, reduction="batchmean", log_target=True)


@contextlib.contextmanager
def _evaluated(teacher: nn.Module | None):
    """Put the teacher in eval mode for the block."""
    if teacher is None:
        yield
        return
    training = teacher.training
    teacher.eval()
    try:
        yield
    finally:
        teacher.train(training)


class _Meter:
    """Averages the losses between two rows of the history."""

    def __init__(self, config: FinetuneConfig) -> None:
        self._config = config
        self._rows: list[dict] = []
        self._pending: list[dict[str, float]] = []
        self._started = self._marked = time.perf_counter()
        self._tokens = self._marked_tokens = 0
        self.last_loss = math.nan

    def add(self, step: int, losses: dict[str, Tensor], rate: float, norm: float, tokens: int) -> None:
        values = {key: float(value.detach()) for key, value in losses.items()}
        self.last_loss = values["loss"]
        self._pending.append({**values, "grad_norm": norm})
        self._tokens += tokens
        if step % self._config.log_every and step != self._config.steps:
            return
        now = time.perf_counter()
        means = {key: sum(row[key] for row in self._pending) / len(self._pending) for key in self._pending[0]}
        self._rows.append(
            {
                "step": step,
                "learning_rate": rate,
                "tokens": self._tokens,
                "tokens_per_second": (self._tokens - self._marked_tokens) / (now - self._marked),
                "seconds": now - self._started,
                **means,
            }
        )
        self._pending, self._marked, self._marked_tokens = [], now, self._tokens

    def history(self) -> pd.DataFrame:
        return pd.DataFrame(self._rows, columns=HISTORY_COLUMNS)
