"""Training of a baseline: the reference model's batches, steps and schedule."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from synapnet_edge.artifacts import write_table, write_tensors
from synapnet_edge.baselines.base import BASELINES, Baseline, count_parameters
from synapnet_edge.baselines.files import load_baseline
from synapnet_edge.baselines.shape import Shape, fit
from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.models import SynapNetEdge
from synapnet_edge.tasks import IGNORE, Mixture
from synapnet_edge.training import probe
from synapnet_edge.training.cost import training_cost
from synapnet_edge.training.cuda_graphs import gradients_of
from synapnet_edge.training.ema import WeightAverage
from synapnet_edge.training.emphasis import Emphasis, task_sums
from synapnet_edge.training.loop import run_phases
from synapnet_edge.training.objective import (
    apply_gradients,
    decay_groups,
    to_tensors,
    use_bfloat16,
)
from synapnet_edge.training.parallel import Ranks
from synapnet_edge.training.schedule import (
    PretrainConfig,
    draw_max_entries,
    draw_write_share,
    learning_rate_at,
    stage_at,
    step_generator,
)
from synapnet_edge.training.trainer import Trainer

READOUT_STEP = 8  # read-outs of a batch are padded to a multiple of this


def fitted_shape(kind: str, sizes: Mapping[str, Any], reference: Mapping[str, Any]) -> Shape:
    """Shape of a baseline with the parameters (within 5 %), tokens and classes of the reference model.

    Raises
    ------
    ValueError
        If the sizes cannot be fitted, or a size is unknown.
    """
    cfg = SynapNetEdgeConfig.from_dict(reference)
    with torch.device("meta"):
        target = sum(parameter.numel() for parameter in SynapNetEdge(cfg).parameters())
    known = {"vocab_size": cfg.vocab_size, "num_classes": cfg.num_classes}
    kind_of = BASELINES.get(kind)
    sizes = {**sizes, **known, "kind": kind_of.source or kind}
    key = kind_of.fitted
    return dataclasses.replace(
        fit(Shape.from_dict({key: 1, **sizes}), key, target, count_parameters), kind=kind
    )


class BaselineTrainer(Trainer):
    """The reference model's trainer around another model; the batches are the same, token for token.

    Parameters
    ----------
    shape : Shape
    reference : SynapNetEdgeConfig
        Whose batches are drawn.
    config : PretrainConfig
        With several `processes` a step's whole batch is computed here.
    """

    def __init__(
        self,
        shape: Shape,
        reference: SynapNetEdgeConfig,
        config: PretrainConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        self.config, self.seed, self.device, self.ranks = config, seed, device, Ranks()
        self.reference = reference
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model: Baseline = BASELINES.get(shape.kind)(shape).to(device)
        self.mixture = Mixture(config.mixture)
        least = {name: self.mixture.tasks[name].least_loss for name in self.mixture.weights}
        self.emphasis = Emphasis(least, config.emphasis)
        self.optimizer = torch.optim.AdamW(
            decay_groups(self.model, config.weight_decay),
            lr=config.learning_rate,
            betas=config.betas,
            fused=device.type in ("cpu", "cuda"),
        )
        self.average = WeightAverage(self.model, config.ema) if config.ema else None
        self.bfloat16 = use_bfloat16(config.autocast, device)
        self.haystacks = None  # what stands before a row only the reference model's memory can take in
        self.probe = probe.Probe(config.probe, config.steps, device, self.bfloat16)
        self.gradients = gradients_of(self.model, self._losses)
        self.history: list[dict[str, Any]] = []
        self.probes: list[dict[str, Any]] = []

    def _losses(self, ids: Tensor, positions: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean cross entropy and accuracy over read-outs, and logits [B, Q, C]."""
        with torch.autocast(
            # A cache would hold casts that belong to another graph.
            self.device.type,
            torch.bfloat16,
            enabled=self.bfloat16,
            cache_enabled=self.device.type != "cuda",
        ):
            logits = self.model(ids, positions)
        rows, labels = logits.flatten(0, 1).float(), targets.flatten()
        loss = F.cross_entropy(rows, labels, ignore_index=IGNORE)
        right = (rows.detach().argmax(-1) == labels).sum()  # no class is IGNORE
        return loss, right / (labels != IGNORE).sum(), logits

    def train_step(self, step: int) -> dict[str, float]:
        """One optimiser step on the batch that the reference model gets at this step."""
        config = self.config
        index, stage = stage_at(config, step)
        rng = step_generator(self.seed, config.first_step + step)
        # The reference model draws its memory's settings first; drawing them leads to its batch.
        rng.choice([length for length in config.chunk_lens if length <= self.reference.chunk_len])
        draw_write_share(rng, 1.0)
        draw_max_entries(rng, config, step, self.reference.max_entries)
        drawn = stage.tasks or self.mixture.weights
        factors = {task: f if task in drawn else 0.0 for task, f in self.emphasis.factors().items()}
        batch = self.mixture.batch(rng, config.processes * stage.batch, stage.length, stage.readouts, factors)
        ids, positions, targets = to_tensors(batch, self.device)
        # Few widths, so that few graphs are recorded; a target that is not asked costs nothing.
        spare = -positions.shape[1] % READOUT_STEP
        positions, targets = F.pad(positions, (0, spare)), F.pad(targets, (0, spare), value=IGNORE)
        rate = learning_rate_at(config, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss, accuracy, logits = self.gradients(ids, positions, targets)
        tasks = torch.as_tensor(batch.meta["task"], device=self.device)
        sums = [torch.stack([loss, accuracy]), task_sums(logits, targets, tasks, len(factors))]
        mean_loss, mean_accuracy, *by_task = torch.cat(sums).tolist()
        self.emphasis.update(by_task)
        apply_gradients(self.model, self.optimizer, mean_loss, config.clip_norm, step + 1)
        if self.average is not None:
            self.average.update(step)
        return {
            "step": config.first_step + step + 1,
            "stage": config.first_stage + index,
            "length": stage.length,
            "loss": mean_loss,
            "accuracy": mean_accuracy,
            "learning_rate": rate,
            "tokens": batch.input_ids.size,
        }


def train_baseline(
    shape: Shape,
    reference: Mapping[str, Any],
    settings: Mapping[str, Any],
    rate: float,
    seed: int,
    output: Path,
    history: Path,
    resume_dir: Path,
    device: str = "cpu",
    progress: bool = True,
) -> dict[str, Any]:
    """Train one baseline at peak learning rate `rate`; write weights (float32 safetensors) and history.

    Resumes from `resume_dir` as the reference model's training does.

    Returns
    -------
    dict
        Facts for the manifest: parameters by component, `training_cost`, the rate.

    Raises
    ------
    DivergedError
        If loss or gradient stop being finite.
    """
    config = dataclasses.replace(PretrainConfig.from_dict(settings), learning_rate=rate)
    cfg = SynapNetEdgeConfig.from_dict(reference)
    trainer = run_phases(
        lambda phase: BaselineTrainer(shape, cfg, phase, seed, torch.device(device)),
        config,
        resume_dir,
        progress,
    )
    last = trainer.history[-1]
    cost = training_cost(
        trainer.model, int(last["tokens"]), last["seconds"], trainer.ranks, trainer.device, trainer.bfloat16
    )
    write_table(history, pd.DataFrame(trainer.history))
    write_tensors(output, trainer.weights(), {"config": shape.to_dict(), "seed": seed})
    shutil.rmtree(resume_dir, ignore_errors=True)
    facts = {"parameters": trainer.model.component_parameters(), "bfloat16": trainer.bfloat16}
    return {**facts, **cost, "learning_rate": rate}


def derive_baseline(
    kind: str,
    source: Path,
    settings: Mapping[str, Any],
    mixture: Mapping[str, float],
    seed: int,
    output: Path,
    history: Path,
) -> dict[str, Any]:
    """Make a baseline of a trained one's weights and fit what it adds; write weights and history.

    Raises
    ------
    ValueError
        For a baseline that is trained on its own.
    """
    kind_of = BASELINES.get(kind)
    if kind_of.source is None:
        raise ValueError(f"{kind}: is trained on its own, not made from another baseline")
    start = time.perf_counter()
    model, first, last = kind_of.derive(load_baseline(source), mixture, settings, seed)
    seconds = time.perf_counter() - start
    rows = {"step": [1, settings["steps"]], "loss": [first, last], "seconds": [0.0, seconds]}
    write_table(history, pd.DataFrame(rows))
    write_tensors(output, model.state_dict(), {"config": {**model.cfg.to_dict(), "kind": kind}, "seed": seed})
    facts = {"parameters": model.component_parameters(), "training_seconds": seconds}
    return {**facts, "training_core_seconds": seconds * torch.get_num_threads()}
