"""A haystack far longer than any training sequence, streamed under a memory budget in constant memory."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import torch
from tqdm import tqdm

from synapnet_edge.evaluation.eviction_measures import target_held
from synapnet_edge.evaluation.fork import fork
from synapnet_edge.evaluation.long_haystack import QUESTION, LongHaystack
from synapnet_edge.memory.baee import BAEEMemoryManager
from synapnet_edge.memory.conversation import load_conversation, save_conversation
from synapnet_edge.memory.retention import RetentionClassifier
from synapnet_edge.memory.store import EpisodicStore
from synapnet_edge.models.synapnet_edge_model import SynapNetEdge
from synapnet_edge.policy_names import split_policy

COLUMNS = ["seed", "depth", "tokens", "distance", "label", "predicted", "correct", "held_layers"]
TRACE_COLUMNS = [
    "tokens", "seconds", "cpu_seconds", "tokens_per_second", "stream_tokens_per_second", "rss_bytes",
    "store_bytes", "budget_bytes", "resident_bytes", "fp16_entries", "int8_entries", "summary_entries",
]  # fmt: skip
LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class StreamPlan:
    """What is streamed and when it is looked at.

    Attributes
    ----------
    tokens : int
        Length of every stream, the question not included.
    budget_mb : float
        Budget of the store per stream, in units of 2^20 bytes, over all layers.
    policy : str
        Name in `POLICIES`, with entry formats behind it or without (`policy_names`).
    depths : int
        Number of streams; their needles stand at evenly spaced depths from 0 to 1 of `tokens`.
    piece : int
        Tokens per step and stream.
    checkpoints : tuple of int
        Tokens after which the streams are asked, besides the end.
    trace_every : int
        Tokens per stream between two rows of the trace.
    """

    tokens: int
    budget_mb: float
    policy: str
    depths: int
    piece: int
    checkpoints: tuple[int, ...]
    trace_every: int

    def __post_init__(self) -> None:
        if min(self.tokens, self.depths, self.piece, self.trace_every) < 1 or self.budget_mb <= 0:
            raise ValueError("stream: tokens, depths, piece, trace_every and budget_mb must be positive")
        if any(not 1 <= point < self.tokens for point in self.checkpoints):
            raise ValueError(
                f"stream: checkpoints must lie below tokens = {self.tokens}, got {self.checkpoints}"
            )
        if split_policy(self.policy)[0] == "oracle":
            raise ValueError("stream: policy 'oracle' needs a recorded pass, expected another policy")

    @classmethod
    def from_dict(cls, cfg: Mapping[str, Any]) -> StreamPlan:
        """Read a configuration block; raises ValueError for a missing key, others are not looked at."""
        names = [field.name for field in dataclasses.fields(cls)]
        missing = [name for name in names if name not in cfg]
        if missing:
            raise ValueError(f"stream: missing keys {missing}, got {sorted(cfg)}")
        return cls(**{name: cfg[name] for name in names} | {"checkpoints": tuple(cfg["checkpoints"])})

    def depth_shares(self) -> np.ndarray:
        """[depths] from 0 to 1."""
        return np.linspace(0.0, 1.0, self.depths)


def asking_point(tokens: int, chunk_len: int) -> int:
    """First point from `tokens` on where a question stays inside the open chunk without closing it."""
    if chunk_len <= len(QUESTION):
        raise ValueError(
            f"a question of {len(QUESTION)} tokens needs chunks longer than that, got {chunk_len}"
        )
    fill = tokens % chunk_len
    return tokens if fill + len(QUESTION) < chunk_len else tokens - fill + chunk_len


@torch.inference_mode()
def run_stream(
    model: SynapNetEdge,
    cfg: Mapping[str, Any],
    *,
    seed: int,
    test_seed: int,
    classifier: RetentionClassifier | None = None,
    autocast: bool = False,
    progress: bool = True,
    resume: Path | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Stream one haystack per depth as one batch through one store and ask at checkpoints and at the end.

    A question goes to a copy of the state and a read-only view of the store, so the stream goes on as if it
    had not been asked. A stream is asked once its needle has passed.

    Parameters
    ----------
    cfg : mapping
        See `StreamPlan`.
    seed : int
        Seed the model was trained with; a column of the table.
    test_seed : int
        Seed of the rows, the same for every model.
    classifier : RetentionClassifier, optional
        For policy "baee"; without one its scores are accumulated read mass plus salience.
    autocast : bool
        Run the model under bfloat16 autocast.
    resume : Path, optional
        File that is written after a row of the trace or a question, if a chunk ends there. The same call
        goes on from it if it exists, with the same answers as an uninterrupted run; the caller deletes it.

    Returns
    -------
    answers : DataFrame
        `COLUMNS`, one row per question. `tokens`: tokens of the stream before the question (moved behind the
        checkpoint where the question would have closed a chunk); `distance`: tokens from the needle to
        the question; `held_layers`: layers that can still reach the needle.
    trace : DataFrame
        `TRACE_COLUMNS`, one row per window of `trace_every` tokens. `seconds` is the time of the window's
        tokens, questions excluded, and `cpu_seconds` the processor time of this process in it, which other
        work on the machine does not lengthen much; `tokens_per_second` counts the tokens of all streams by
        `seconds`; `rss_bytes` is this process at that moment; `store_bytes` and entries are those of the
        fullest stream.

    Raises
    ------
    ValueError
        If the model has no classification head or the plan is impossible.
    RuntimeError
        If the store exceeds its budget.
    ArtifactError
        If `resume` is of another shape of model or of other streams.
    """
    if model.cfg.head != "classification":
        raise ValueError(f"stream needs a classification head, the model has head={model.cfg.head!r}")
    plan = StreamPlan.from_dict(cfg)
    run = _Run(model.eval(), plan, seed, test_seed, classifier)
    asks = {asking_point(point, run.state.chunk_len) for point in (*plan.checkpoints, plan.tokens)}
    stops = sorted(asks | set(range(plan.trace_every, max(asks) + 1, plan.trace_every)))
    if resume is not None and resume.is_file():
        run.load(resume)
    device = model.embed.token.weight.device.type
    bar = tqdm(
        total=max(asks) * plan.depths,
        initial=run.state.tokens * plan.depths,
        unit="tok",
        unit_scale=True,
        mininterval=2,
        disable=not progress,
    )
    with torch.autocast(device, torch.bfloat16, enabled=autocast), bar:
        for stop in [stop for stop in stops if stop > run.state.tokens]:
            run.advance(stop, bar)
            if stop % plan.trace_every == 0:
                run.record()
            if stop in asks:
                run.ask()
            # Between chunks every policy's state can be saved; the open window's clock is part of it.
            if resume is not None and run.state.chunk_fill == 0:
                run.save(resume)
    return pd.DataFrame(run.answers, columns=COLUMNS), pd.DataFrame(run.trace, columns=TRACE_COLUMNS)


class _Run:
    """A batch of streams in mid-air, with its clock and tables."""

    def __init__(
        self,
        model: SynapNetEdge,
        plan: StreamPlan,
        seed: int,
        test_seed: int,
        classifier: RetentionClassifier | None,
    ) -> None:
        cfg = model.cfg
        self.model, self.plan, self.seed = model, plan, seed
        self.depths = plan.depth_shares()
        self.rows = LongHaystack(plan.tokens, self.depths, test_seed)
        name, tiers = split_policy(plan.policy)
        self.store = BAEEMemoryManager(
            cfg.dim,
            cfg.depth,
            plan.budget_mb,
            heads=cfg.heads,
            classifier=classifier,
            policy=name,
            tiers=tiers,
        )
        self.state = model.init_state(plan.depths, store=self.store)
        self.seconds = self.cpu_seconds = 0.0  # of the open window
        self.answers: list[dict[str, Any]] = []
        self.trace: list[dict[str, Any]] = []
        self._process = psutil.Process()

    def save(self, path: Path) -> None:
        """Everything a later run needs to go on; everything up to here is recorded and asked."""
        tables = {"answers": self.answers, "trace": self.trace, "clock": [self.seconds, self.cpu_seconds]}
        save_conversation(path, self.state, tables)

    def load(self, path: Path) -> None:
        """Go on from a file that `save` wrote."""
        notes = load_conversation(path, self.state)
        self.answers, self.trace = notes["answers"], notes["trace"]
        self.seconds, self.cpu_seconds = notes["clock"]
        LOG.info("resuming a stream after %s tokens from %s", f"{self.state.tokens:,}", path)

    def advance(self, stop: int, bar: tqdm) -> None:
        """Stream up to `stop` tokens."""
        device = self.model.embed.token.weight.device
        while self.state.tokens < stop:
            started, cpu, first = time.perf_counter(), time.process_time(), self.state.tokens
            ids = self.rows.piece(first, min(stop, first + self.plan.piece))
            hidden, _ = self.model.step(torch.from_numpy(ids).to(device), self.state)
            hidden[0, -1, 0].item()  # waits for the device
            self.seconds += time.perf_counter() - started
            self.cpu_seconds += time.process_time() - cpu
            bar.update(ids.size)

    def record(self) -> None:
        """Add a row to the trace and open the next window."""
        used = _checked_bytes(self.store)
        facts, tokens = self.store.debug(), self.plan.trace_every
        rate = tokens / self.seconds
        self.trace.append(
            {
                "tokens": self.state.tokens,
                "seconds": self.seconds,
                "cpu_seconds": self.cpu_seconds,
                "tokens_per_second": rate * self.plan.depths,
                "stream_tokens_per_second": rate,
                "rss_bytes": int(self._process.memory_info().rss),
                "store_bytes": used,
                "budget_bytes": facts["budget_bytes"],
                "resident_bytes": facts["resident_bytes"],
                **{f"{tier}_entries": count for tier, count in facts["entries_by_tier"].items()},
            }
        )
        self.seconds = self.cpu_seconds = 0.0

    def ask(self) -> None:
        """Ask the streams whose needle has passed, on a copy."""
        device = self.model.embed.token.weight.device
        question = torch.tensor(QUESTION, device=device).expand(self.plan.depths, -1)
        hidden, _ = self.model.step(question, fork(self.state))
        predicted = self.model.read_out(hidden[:, -1]).argmax(dim=-1).cpu().numpy()
        held = self._held_layers()
        for row in np.flatnonzero(self.rows.needles < self.state.tokens):
            label = int(self.rows.labels[row])
            self.answers.append(
                {
                    "seed": self.seed,
                    "depth": round(float(self.depths[row]), 6),
                    "tokens": self.state.tokens,
                    "distance": self.state.tokens - int(self.rows.needles[row]),
                    "label": label,
                    "predicted": int(predicted[row]),
                    "correct": bool(predicted[row] == label),
                    "held_layers": int(held[row]),
                }
            )

    def _held_layers(self) -> np.ndarray:
        """[B] layers that can reach the needle: in the memory or in the open chunk."""
        if not self.store.blocks:
            return np.full(self.plan.depths, self.model.cfg.depth)
        open_from = self.state.tokens - self.state.chunk_fill
        return target_held(self.store.held_positions(), self.rows.needles[:, None], 1, open_from).sum(axis=0)


def _checked_bytes(store: EpisodicStore) -> int:
    used = int(store.bytes_used().max())
    if used > store.budget:
        raise RuntimeError(f"the store holds {used} bytes, its budget is {store.budget}")
    return used
