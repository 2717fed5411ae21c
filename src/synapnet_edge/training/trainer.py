"""One training: model, optimiser, and the step that is a function of seed and number."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.models import SynapNetEdge
from synapnet_edge.models.salience_teacher import SalienceTeacher
from synapnet_edge.tasks import IGNORE, Mixture
from synapnet_edge.training import probe
from synapnet_edge.training.blend import WeightBlend
from synapnet_edge.training.checkpoint import Carried, load_checkpoint, save_checkpoint
from synapnet_edge.training.ema import WeightAverage
from synapnet_edge.training.emphasis import Emphasis, task_sums
from synapnet_edge.training.haystacks import Haystacks
from synapnet_edge.training.interrupts import DeferredInterrupt
from synapnet_edge.training.meter import Meter
from synapnet_edge.training.objective import (
    apply_gradients,
    autocast,
    decay_groups,
    read_out_sums,
    to_tensors,
    use_bfloat16,
)
from synapnet_edge.training.parallel import Ranks
from synapnet_edge.training.schedule import (
    PretrainConfig,
    draw_max_entries,
    draw_write_share,
    learning_rate_at,
    least_write_share_at,
    stage_at,
    step_generator,
)

LOG = logging.getLogger(__name__)
LOG_EVERY = 10  # steps averaged into one row of the history


class Trainer:
    """Model, optimiser and history of one run.

    Parameters
    ----------
    model_cfg : SynapNetEdgeConfig
    config : PretrainConfig
    seed : int
    device : torch.device
    ranks : Ranks
        The processes that train together; as many as `config` says.

    Attributes
    ----------
    history, probes : list of dict
        Rows of the two tables.
    average : WeightAverage or None
    blend : WeightBlend or None
        Of a training that goes on from another.
    """

    blend: WeightBlend | None = None

    def __init__(
        self,
        model_cfg: SynapNetEdgeConfig,
        config: PretrainConfig,
        seed: int,
        device: torch.device,
        ranks: Ranks | None = None,
    ) -> None:
        self.config, self.seed, self.device, self.ranks = config, seed, device, ranks or Ranks()
        if self.ranks.size != config.processes:
            raise ValueError(
                f"processes: found {config.processes}, expected {self.ranks.size}, as are running"
            )
        with torch.random.fork_rng(devices=[]):
            # Drawn on the CPU, so that the same seed gives the same weights on every device.
            torch.manual_seed(seed)
            self.model = SynapNetEdge(model_cfg).to(device)
        self.mixture = Mixture(config.mixture)
        least = {name: self.mixture.tasks[name].least_loss for name in self.mixture.weights}
        self.emphasis = Emphasis(least, config.emphasis)
        self.haystacks = Haystacks(self.model)
        self.optimizer = torch.optim.AdamW(
            decay_groups(self.model, config.weight_decay),
            lr=config.learning_rate,
            betas=config.betas,
            fused=device.type in ("cpu", "cuda"),
        )
        self.average = WeightAverage(self.model, config.ema) if config.ema else None
        self.bfloat16 = use_bfloat16(config.autocast, device)
        self.probe = probe.Probe(config.probe, config.steps, device, self.bfloat16)
        self.final_share = model_cfg.episodic_slots / model_cfg.chunk_len
        self.chunk_lens = [length for length in config.chunk_lens if length <= model_cfg.chunk_len]
        if not self.chunk_lens:
            raise ValueError(
                f"chunk_lens: found {list(config.chunk_lens)}, expected one <= {model_cfg.chunk_len}"
            )
        self.history: list[dict[str, Any]] = []
        self.probes: list[dict[str, Any]] = []

    def run(self, resume_dir: Path, progress: bool = True) -> None:
        """Train to the end of the curriculum, from the checkpoint in `resume_dir` if there is one."""
        start = load_checkpoint(resume_dir, self.model, self.optimizer, self._carried(), self._records())
        if start:
            LOG.info(
                "resuming seed %d at step %d of %d from %s", self.seed, start, self.config.steps, resume_dir
            )
        self.model.train()
        with (
            DeferredInterrupt() as interrupt,
            tqdm(
                total=self.config.steps,
                initial=start,
                desc=f"pretrain seed {self.seed}",
                disable=not (progress and self.ranks.first),
            ) as bar,
        ):
            meter = Meter(self.history)
            for step in range(start, self.config.steps):
                meter.add(self.train_step(step))
                bar.set_postfix(meter.shown, refresh=False)
                bar.update()
                self._after_step(step + 1, meter, resume_dir, interrupt)
        self.model.eval()

    def go_on_from(self, earlier: Trainer) -> None:
        """Start with the weights and the tables of a finished trainer, and with an optimiser of its own."""
        self.model.load_state_dict(earlier.weights())
        if self.average is not None:
            self.average = WeightAverage(self.model, self.config.ema)
        if self.config.blend < 1:
            self.blend = WeightBlend(self.model, self.config.blend)
        self.history[:], self.probes[:] = earlier.history, earlier.probes

    def train_step(self, step: int) -> dict[str, float]:
        """One optimiser step; its chunk length is a function of (seed, step), its batch of these and the
        losses so far.

        Every process draws the whole step's batch and computes on its own rows. Losses are divided by the
        read-outs of the whole batch, so that the sum of the processes' gradients is its gradient.
        """
        index, stage = stage_at(self.config, step)
        rng = step_generator(self.seed, self.config.first_step + step)
        chunk_len = int(rng.choice(self.chunk_lens))
        share = draw_write_share(rng, least_write_share_at(self.config, step, self.final_share))
        kept = draw_max_entries(rng, self.config, step, self.model.cfg.max_entries)
        drawn = stage.tasks or self.mixture.weights
        factors = {task: f if task in drawn else 0.0 for task, f in self.emphasis.factors().items()}
        batch = self.mixture.batch(rng, self.ranks.size * stage.batch, stage.length, stage.readouts, factors)
        readouts = int((batch.targets != IGNORE).sum())
        part, store = self.ranks.part(len(batch)), None
        if stage.haystack is not None:
            kinds = self.mixture.haystacks(batch)
            with autocast(self.device, self.bfloat16):
                store = self.haystacks.stand_behind(
                    *(batch.input_ids, kinds, stage.haystack, kept, rng, part, stage.draws)
                )
        own = batch.take(part)
        ids, positions, targets = to_tensors(own, self.device)
        rate = learning_rate_at(self.config, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        teacher = SalienceTeacher(positions) if self.config.salience_weight else None
        with autocast(self.device, self.bfloat16):
            logits = self.model(
                *(ids, positions),
                chunk_len=chunk_len,
                write_share=share,
                max_entries=kept,
                store=store,
                teacher=teacher,
            )
        loss, correct = read_out_sums(logits, targets)
        loss = loss / readouts
        total = loss
        if teacher is not None:
            total = loss + self.config.salience_weight / self.ranks.size * teacher.loss()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        tasks = torch.as_tensor(own.meta["task"], device=self.device)
        by_task = task_sums(logits.detach(), targets, tasks, len(factors))
        sums = torch.cat([torch.stack([loss.detach(), correct / readouts]), by_task])
        sums = self.ranks.sum_gradients(list(self.model.parameters()), sums)
        mean_loss, accuracy, *by_task = sums.tolist()
        self.emphasis.update(by_task)
        apply_gradients(self.model, self.optimizer, mean_loss, self.config.clip_norm, step + 1)
        if self.average is not None:
            self.average.update(step)
        return {
            "step": self.config.first_step + step + 1,
            "stage": self.config.first_stage + index,
            "length": stage.length,
            "loss": mean_loss,
            "accuracy": accuracy,
            "learning_rate": rate,
            "write_share": share,
            "tokens": batch.input_ids.size,
        }

    def weights(self) -> dict[str, Tensor]:
        """State of the final model: averaged or blended weights, if there are any."""
        final = self.average or self.blend
        return {**self.model.state_dict(), **({} if final is None else final.tensors())}

    def _after_step(self, done: int, meter: Meter, resume_dir: Path, interrupt: DeferredInterrupt) -> None:
        """What follows `done` finished steps: probe, history row, checkpoint, stop."""
        if done in self.probe.due:
            self._run_probe(done, meter)
        # All processes must agree: those that went on would wait for the others for ever.
        stop = self.ranks.any(interrupt.requested or self.ranks.orphaned)
        checkpoint = done % self.config.checkpoint_every == 0 or stop
        if checkpoint or done % LOG_EVERY == 0 or done == self.config.steps:
            meter.flush()
        if checkpoint and self.ranks.first:
            save_checkpoint(resume_dir, self.model, self.optimizer, self._carried(), done, self._records())
        if stop:
            self.ranks.any(False)  # leaving before the checkpoint is written would end its writer
            raise KeyboardInterrupt(f"stopped after step {done}; the same command resumes there")

    def _run_probe(self, done: int, meter: Meter) -> None:
        seconds = meter.seconds
        spent = {
            "step": self.config.first_step + done,
            "tokens": meter.tokens,
            "seconds": seconds,
            "core_seconds": seconds * torch.get_num_threads() * self.ranks.size,
        }
        final = self.average or self.blend
        with meter.paused(), contextlib.nullcontext() if final is None else final.applied():
            self.probes += self.probe.run(self.model, self.ranks, spent)

    def _carried(self) -> dict[str, Carried]:
        """The tensors that a checkpoint carries beside weights and optimiser."""
        parts = {"average": self.average, "haystacks": self.haystacks}
        return {name: part for name, part in parts.items() if part is not None}

    def _records(self) -> dict[str, list[dict[str, Any]]]:
        """The tables that a checkpoint carries."""
        return {"history": self.history, "probe": self.probes, "emphasis": self.emphasis.records}
