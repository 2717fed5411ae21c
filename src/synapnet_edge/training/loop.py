"""Pretraining from scratch: one seed decides initialisation, data and order; a killed run resumes exactly."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

from synapnet_edge.artifacts import write_table, write_tensors
from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.models import SynapNetEdge
from synapnet_edge.tasks import Mixture
from synapnet_edge.training.checkpoint import load_checkpoint, save_checkpoint
from synapnet_edge.training.interrupts import DeferredInterrupt
from synapnet_edge.training.objective import (
    autocast,
    decay_groups,
    read_out_loss,
    to_tensors,
    update,
    use_bfloat16,
)
from synapnet_edge.training.schedule import (
    PretrainConfig,
    learning_rate_at,
    stage_at,
    step_generator,
    write_share_at,
)

LOG = logging.getLogger(__name__)
LOG_EVERY = 10  # steps averaged into one row of the history


def pretrain(
    model_cfg: SynapNetEdgeConfig,
    cfg: Mapping[str, Any],
    seed: int,
    output: Path,
    history: Path,
    resume_dir: Path,
    device: str = "cpu",
    progress: bool = True,
) -> dict[str, Any]:
    """Train one model and write `output` (float32 safetensors) and `history` (CSV).

    A checkpoint is written to `resume_dir` every `checkpoint_every` steps and on Ctrl-C; a later call with
    the same arguments continues there and, on a CPU, ends bit for bit where an uninterrupted run ends.
    The folder is removed when the run is complete.

    Returns
    -------
    dict
        parameters by component, tokens, seconds and the number of threads: facts for the manifest.

    Raises
    ------
    DivergedError
        If loss or gradient stop being finite.
    """
    config = PretrainConfig.from_dict(cfg)
    trainer = Trainer(model_cfg, config, seed, torch.device(device))
    trainer.run(Path(resume_dir), progress)
    write_tensors(output, trainer.model.state_dict(), {"config": model_cfg.to_dict(), "seed": seed})
    write_table(history, pd.DataFrame(trainer.history))
    shutil.rmtree(resume_dir, ignore_errors=True)
    return {
        "parameters": trainer.model.component_parameters(),
        "tokens": int(trainer.history[-1]["tokens"]),
        "training_seconds": trainer.history[-1]["seconds"],
        "threads": torch.get_num_threads(),
        "bfloat16": trainer.bfloat16,
    }


class Trainer:
    """Model, optimiser and history of one run.

    Parameters
    ----------
    model_cfg : SynapNetEdgeConfig
    config : PretrainConfig
    seed : int
    device : torch.device
    """

    def __init__(
        self, model_cfg: SynapNetEdgeConfig, config: PretrainConfig, seed: int, device: torch.device
    ) -> None:
        self.config, self.seed, self.device = config, seed, device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = SynapNetEdge(model_cfg).to(device)
        self.mixture = Mixture(config.mixture)
        self.optimizer = torch.optim.AdamW(
            decay_groups(self.model, config.weight_decay),
            lr=config.learning_rate,
            betas=config.betas,
            fused=device.type in ("cpu", "cuda"),
        )
        self.bfloat16 = use_bfloat16(config.autocast, device)
        self.final_share = model_cfg.episodic_slots / model_cfg.chunk_len
        self.chunk_lens = [length for length in config.chunk_lens if length <= model_cfg.chunk_len]
        if not self.chunk_lens:
            raise ValueError(
                f"chunk_lens: found {list(config.chunk_lens)}, expected one <= {model_cfg.chunk_len}"
            )
        self.history: list[dict[str, Any]] = []

    def run(self, resume_dir: Path, progress: bool = True) -> None:
        """Train to the end of the curriculum, from the checkpoint in `resume_dir` if there is one."""
        start, self.history = load_checkpoint(resume_dir, self.model, self.optimizer)
        if start:
            LOG.info(
                "resuming seed %d at step %d of %d from %s", self.seed, start, self.config.steps, resume_dir
            )
        self.model.train()
        meter = _Meter(self.history)
        steps = range(start, self.config.steps)
        with (
            DeferredInterrupt() as interrupt,
            tqdm(
                total=self.config.steps,
                initial=start,
                desc=f"pretrain seed {self.seed}",
                disable=not progress,
            ) as bar,
        ):
            for step in steps:
                meter.add(self.train_step(step))
                bar.set_postfix(meter.shown, refresh=False)
                bar.update()
                done = step + 1
                checkpoint = done % self.config.checkpoint_every == 0 or interrupt.requested
                if checkpoint or done % LOG_EVERY == 0 or done == self.config.steps:
                    meter.flush()
                if checkpoint:
                    save_checkpoint(resume_dir, self.model, self.optimizer, done, self.history)
                if interrupt.requested:
                    raise KeyboardInterrupt(f"stopped after step {done}; the same command resumes there")
        self.model.eval()

    def train_step(self, step: int) -> dict[str, float]:
        """One optimiser step; its batch and chunk length are functions of (seed, step)."""
        index, stage = stage_at(self.config, step)
        rng = step_generator(self.seed, step)
        chunk_len = int(rng.choice(self.chunk_lens))
        share = write_share_at(self.config, step, self.final_share)
        batch = self.mixture.batch(rng, stage.batch, stage.length, stage.readouts)
        ids, positions, targets = to_tensors(batch, self.device)
        rate = learning_rate_at(self.config, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with autocast(self.device, self.bfloat16):
            logits = self.model(ids, positions, chunk_len=chunk_len, write_share=share)
        loss, accuracy = read_out_loss(logits, targets)
        update(self.model, self.optimizer, loss, self.config.clip_norm, step + 1)
        return {
            "step": step + 1,
            "stage": index,
            "length": stage.length,
            "loss": loss.item(),
            "accuracy": accuracy.item(),
            "learning_rate": rate,
            "write_share": share,
            "tokens": ids.numel(),
        }


class _Meter:
    """Averages single steps into history rows; time before a resume counts, the pause does not."""

    def __init__(self, history: list[dict[str, Any]]) -> None:
        self._history = history
        self._pending: list[dict[str, float]] = []
        self._tokens = history[-1]["tokens"] if history else 0
        self._seconds = history[-1]["seconds"] if history else 0.0
        self._marked = time.perf_counter()
        self.shown: dict[str, str] = {}

    def add(self, values: dict[str, float]) -> None:
        self._pending.append(values)
        tokens = sum(row["tokens"] for row in self._pending)
        rate = tokens / max(1e-9, time.perf_counter() - self._marked)
        self.shown = {
            "length": str(values["length"]),
            "loss": f"{values['loss']:.3f}",
            "accuracy": f"{values['accuracy']:.3f}",
            "tokens/s": f"{rate:.0f}",
        }

    def flush(self) -> None:
        """Append the mean of the pending steps to the history."""
        now = time.perf_counter()
        tokens = sum(row["tokens"] for row in self._pending)
        elapsed = now - self._marked
        self._tokens += tokens
        self._seconds += elapsed
        means = {
            key: sum(row[key] for row in self._pending) / len(self._pending) for key in ("loss", "accuracy")
        }
        self._history.append(
            {
                **self._pending[-1],
                **means,
                "tokens": self._tokens,
                "tokens_per_second": tokens / elapsed,
                "seconds": self._seconds,
            }
        )
        self._pending, self._marked = [], now
