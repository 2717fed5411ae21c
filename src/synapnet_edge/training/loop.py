"""Pretraining from scratch: one seed decides initialisation, data and order; a killed run resumes exactly."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from synapnet_edge.artifacts import write_table, write_tensors
from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.training import probe
from synapnet_edge.training.cost import training_cost
from synapnet_edge.training.parallel import Ranks, launch, run_rank
from synapnet_edge.training.schedule import PretrainConfig, phases
from synapnet_edge.training.trainer import Trainer


def pretrain(
    model_cfg: SynapNetEdgeConfig,
    cfg: Mapping[str, Any],
    seed: int,
    output: Path,
    history: Path,
    resume_dir: Path,
    device: str = "cpu",
    progress: bool = True,
    probe_table: Path | None = None,
) -> dict[str, Any]:
    """Train one model and write `output` (float32 safetensors), `history` and the probes (CSV).

    A checkpoint is written to `resume_dir` every `checkpoint_every` steps and on Ctrl-C; a later call with
    the same arguments continues there and, on a CPU, ends bit for bit where an uninterrupted run ends.
    The folder is removed when the run is complete. With `processes` > 1 in `cfg` the threads of this
    process are divided among that many new ones, which train together.

    Parameters
    ----------
    probe_table : Path, optional
        `probe.csv` beside `history` by default.

    Returns
    -------
    dict
        Facts for the manifest: parameters by component, whether it computed in bfloat16, `training_cost`.

    Raises
    ------
    DivergedError
        If loss or gradient stop being finite.
    ParallelError
        If one of several processes fails.
    """
    job = {
        "model": model_cfg.to_dict(),
        "settings": dict(cfg),
        "seed": seed,
        "output": str(Path(output).absolute()),
        "history": str(Path(history).absolute()),
        "probe": str(Path(probe_table or Path(history).with_name("probe.csv")).absolute()),
        "resume": str(Path(resume_dir).absolute()),
        "device": device,
        "progress": progress,
    }
    processes = PretrainConfig.from_dict(cfg).processes
    if processes == 1:
        return _pretrain_rank(job, Ranks())
    return launch(__name__, job, processes, max(1, torch.get_num_threads() // processes))


def _pretrain_rank(job: Mapping[str, Any], ranks: Ranks) -> dict[str, Any]:
    """The part of one process in a run; the first one writes."""
    model_cfg, config = SynapNetEdgeConfig.from_dict(job["model"]), PretrainConfig.from_dict(job["settings"])
    device = torch.device(job["device"])
    trainer = run_phases(
        lambda phase: Trainer(model_cfg, phase, job["seed"], device, ranks),
        config,
        Path(job["resume"]),
        job["progress"],
    )
    last = trainer.history[-1]
    cost = training_cost(
        trainer.model, int(last["tokens"]), last["seconds"], ranks, trainer.device, trainer.bfloat16
    )
    if ranks.first:
        write_table(job["probe"], pd.DataFrame(trainer.probes, columns=probe.COLUMNS))
        write_table(job["history"], pd.DataFrame(trainer.history))
        write_tensors(job["output"], trainer.weights(), {"config": job["model"], "seed": job["seed"]})
        shutil.rmtree(job["resume"], ignore_errors=True)
    return {"parameters": trainer.model.component_parameters(), "bfloat16": trainer.bfloat16, **cost}


def run_phases(
    make: Callable[[PretrainConfig], Trainer], config: PretrainConfig, resume_dir: Path, progress: bool
) -> Trainer:
    """Run a training and its extensions, each with its own checkpoints; the last trainer."""
    trainer: Trainer | None = None
    for number, phase in enumerate(phases(config)):
        following = make(phase)
        if trainer is not None:
            following.go_on_from(trainer)
        following.run(resume_dir / f"extension{number}" if number else resume_dir, progress)
        trainer = following
    return trainer


if __name__ == "__main__":
    run_rank(_pretrain_rank)
