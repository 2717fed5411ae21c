"""What eviction costs: a round at many sizes, its share of a stream's time, and memory over a stream."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import psutil
import torch

from synapnet_edge.memory.policies import POLICIES, Policy
from synapnet_edge.memory.retention import RetentionClassifier
from synapnet_edge.memory.scoring.locret import RetainingHead
from synapnet_edge.memory.store import EpisodicStore
from synapnet_edge.memory.tiers import entry_bytes
from synapnet_edge.models.stores import UnboundedStore
from synapnet_edge.models.synapnet_edge_model import SynapNetEdge
from synapnet_edge.policy_names import split_policy
from synapnet_edge.profiling.memory import rss_bytes
from synapnet_edge.profiling.timing import median_interval

COLUMNS = [
    "metric", "policy", "tiers", "entries", "value", "unit", "ci_low", "ci_high", "repeats", "method",
]  # fmt: skip
GROWTH_COLUMNS = ["policy", "budget_bytes", "tokens", "bytes", "resident_bytes", "rss_bytes", "entries"]
_NEW = 32  # entries of a chunk
_ARRAYS_PER_ENTRY = 3  # a growing array is copied: the old one, the new one, and what a round needs


def cost_tables(
    model: SynapNetEdge,
    cfg: Mapping[str, Any],
    *,
    classifier: RetentionClassifier | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`round_times` and `stream_overhead` as one table, and `growth`, from the block `eviction_cost`."""
    names = list(cfg["policies"])
    # First, and the bounded stream before the other: what a process has freed may stay resident and would
    # hide what a later stream needs.
    grown = growth(
        model,
        {f"{names[0]} under the budget": int(cfg["growth_budget_mb"] * 2**20), "everything kept": None},
        tokens=cfg["growth_tokens"],
        readings=cfg["readings"],
        policy=_policy(names[0], model.cfg.dim, model.cfg.depth, classifier),
    )
    shape = {"dim": model.cfg.dim, "heads": model.cfg.heads}
    rounds = round_times(names, cfg["entries"], repeats=cfg["repeats"], **shape)
    streams = stream_overhead(
        model,
        names,
        tokens=cfg["stream_tokens"],
        budget_share=cfg["budget_share"],
        repeats=cfg["stream_repeats"],
        classifier=classifier,
    )
    return pd.concat([rounds, streams], ignore_index=True), grown


def round_times(
    policies: Sequence[str],
    entries: Sequence[int],
    *,
    dim: int,
    heads: int,
    repeats: int,
) -> pd.DataFrame:
    """Milliseconds of one eviction round of a full store of one layer and stream, when 32 entries arrive.

    A round is everything that happens at a chunk's end: reads are folded in, all entries are scored, the best
    stay. The policies take turns, so that all see the same load of the machine.

    Parameters
    ----------
    policies : sequence of str
        Names as in `policy_names`; the oracle, which is no method, is refused.
    entries : sequence of int
        Sizes of the store; one that the free memory cannot hold is left out with a note in `method`.
    dim, heads : int
    repeats : int
        Timed rounds of every policy and size.
    """
    lines = []
    for size in entries:
        needed = _ARRAYS_PER_ENTRY * size * entry_bytes("fp16", heads, dim // heads)
        free = psutil.virtual_memory().available
        names = list(policies) if needed < free else []
        for name in policies if not names else ():
            note = f"not measured: {needed / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free"
            lines.append(_line("round", name, size, [], "ms", note))
        # One size at a time in memory; of it, one policy after the other at very large sizes.
        together = [names] if needed * len(names) < free else [[name] for name in names]
        for group in together:
            stores = {name: _full_store(name, size, dim, heads) for name in group}
            times: dict[str, list[float]] = {name: [] for name in group}
            for turn in range(repeats + 2):
                for name, store in stores.items():
                    took = _one_round(store, dim, heads, size, turn)
                    if turn >= 2:  # the first rounds allocate
                        times[name].append(1e3 * took)
            lines += [_line("round", n, size, t, "ms", "full store, 1 layer") for n, t in times.items()]
    return pd.DataFrame(lines, columns=COLUMNS)


def stream_overhead(
    model: SynapNetEdge,
    policies: Sequence[str],
    *,
    tokens: int,
    budget_share: float,
    repeats: int,
    classifier: RetentionClassifier | None = None,
) -> pd.DataFrame:
    """Time of eviction in a stream: microseconds a token, its share of the wall time, and against fifo.

    Parameters
    ----------
    tokens : int
        Length of the stream of random tokens.
    budget_share : float
        Bytes as a share of the full memory of the stream.
    repeats : int
        Streams of every policy, in turn.

    Returns
    -------
    DataFrame
        `eviction_per_token` [us]: time inside the rounds; `eviction_share` [%] of the stream's time;
        `stream_against_fifo` [%]: how much longer the whole stream takes than under fifo in the same turn,
        so that watching the reads counts too.
    """
    ids = _random_ids(model, tokens)
    full = tokens // model.cfg.chunk_len * model.cfg.episodic_slots
    size = max(1, int(budget_share * full))
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ("fifo", *policies)}
    for turn in range(repeats + 1):
        for name in found:
            store = EpisodicStore(
                model.cfg.depth,
                _policy(name, model.cfg.dim, model.cfg.depth, classifier),
                entries_per_layer=size,
                tiers=split_policy(name)[1],
            )
            clock = _Clock(store)
            started = time.perf_counter()
            model.forward_streaming(ids, model.cfg.chunk_len, baee_manager=store)
            if turn:
                found[name].append((time.perf_counter() - started, clock.seconds))
    lines = []
    for name in policies:
        pairs, base = found[name], found["fifo"]
        kinds = {
            "eviction_per_token": ([1e6 * inside / tokens for _, inside in pairs], "us"),
            "eviction_share": ([100 * inside / wall for wall, inside in pairs], "%"),
            "stream_against_fifo": (
                [100 * (mine[0] / other[0] - 1) for mine, other in zip(pairs, base, strict=True)],
                "%",
            ),
        }
        method = f"{tokens} tokens, {model.cfg.depth} layers"
        lines += [_line(kind, name, size, t, unit, method) for kind, (t, unit) in kinds.items()]
    return pd.DataFrame(lines, columns=COLUMNS)


def growth(
    model: SynapNetEdge,
    budgets: Mapping[str, int | None],
    *,
    tokens: int,
    readings: int,
    policy: Policy | str,
) -> pd.DataFrame:
    """Bytes of the memory and of the process while a stream of random tokens goes on.

    Parameters
    ----------
    budgets : mapping
        Label to bytes; None keeps everything.
    readings : int
        Points of the curve.

    Raises
    ------
    RuntimeError
        If the store ever holds a byte more than its budget.
    """
    ids = _random_ids(model, tokens)
    lines = []
    for label, budget in budgets.items():
        bounded = budget is not None
        store = EpisodicStore(model.cfg.depth, policy, budget_bytes=budget) if bounded else UnboundedStore()
        lines += [
            {"policy": label, "budget_bytes": budget if bounded else float("nan"), **reading}
            for reading in _readings(model, ids, store, max(1, tokens // readings))
        ]
    return pd.DataFrame(lines, columns=GROWTH_COLUMNS)


@torch.inference_mode()
def _readings(model: SynapNetEdge, ids: torch.Tensor, store: Any, every: int) -> Iterator[dict[str, float]]:
    state = model.init_state(1, store=store)
    heads, width, depth = model.cfg.heads, model.cfg.head_dim, model.cfg.depth
    done, piece = 0, model.cfg.chunk_len
    for start in range(0, ids.shape[1], piece):
        model.step(ids[:, start : start + piece], state)
        done += min(piece, ids.shape[1] - start)
        if isinstance(store, EpisodicStore):
            used, resident = int(store.bytes_used().max()), store.resident_bytes()
            entries = float(store.live_entries().float().mean())
            if used > store.budget:
                raise RuntimeError(f"the store holds {used} bytes, its budget is {store.budget}")
        else:
            entries = float(sum(x.shape[1] for x in store.positions.values()) / depth)
            used = resident = int(entries * depth * entry_bytes("fp16", heads, width))
        if done % every < piece:
            yield {
                "tokens": done, "bytes": used, "resident_bytes": resident, "rss_bytes": rss_bytes(),
                "entries": entries,
            }  # fmt: skip


def _random_ids(model: SynapNetEdge, tokens: int) -> torch.Tensor:
    """Uniform token ids [1, tokens]; speed depends on the number of tokens, not on which they are."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, model.cfg.vocab_size, (1, tokens), generator=generator)


class _Clock:
    """Adds up the time a store spends at chunk ends."""

    def __init__(self, store: EpisodicStore) -> None:
        self.seconds = 0.0
        inner = store.end_chunk

        def timed() -> None:
            started = time.perf_counter()
            inner()
            self.seconds += time.perf_counter() - started

        store.end_chunk = timed  # type: ignore[method-assign]


def _policy(name: str, dim: int, layers: int, classifier: RetentionClassifier | None = None) -> Policy:
    """A policy with what it needs; weights are random where only the time of their products counts."""
    name = split_policy(name)[0]
    if name == "oracle":
        raise ValueError("the oracle is no method: its time says nothing")
    if name == "baee":
        return POLICIES.get(name)(classifier or RetentionClassifier(dim))
    if name == "locret":
        return POLICIES.get(name)(torch.nn.ModuleList(RetainingHead(3 * dim, 128) for _ in range(layers)))
    return POLICIES.get(name)()


def _full_store(name: str, size: int, dim: int, heads: int) -> EpisodicStore:
    policy = _policy(name, dim, 1)
    store = EpisodicStore(1, policy, entries_per_layer=size, tiers=split_policy(name)[1])
    # In one write: filling is not what is timed.
    _write(store, 2 * size if len(store.tiers) > 1 else size, dim, heads, 0)
    store.end_chunk()
    return store


def _one_round(store: EpisodicStore, dim: int, heads: int, size: int, turn: int) -> float:
    if store.wants_mass:
        shown = sum(block.top for block in store.blocks)
        store.observe_read(0, torch.rand(1, shown))
    _write(store, _NEW, dim, heads, 4 * size + _NEW * turn)
    started = time.perf_counter()
    store.end_chunk()
    return time.perf_counter() - started


def _write(store: EpisodicStore, count: int, dim: int, heads: int, first: int) -> None:
    generator = torch.Generator().manual_seed(first)
    payload = torch.randn(2, 1, heads, count, dim // heads, generator=generator)
    salience = -torch.rand(1, count, generator=generator)
    if store.wants_queries:
        store.observe_queries(0, payload[0])
        store.open_tokens, store.tokens = 0, first
    store.write(0, *payload, salience, torch.arange(first, first + count)[None])


def _line(
    metric: str, policy: str, entries: int, samples: list[float], unit: str, method: str
) -> dict[str, Any]:
    if samples:
        found = median_interval(samples)
        value, low, high = found.median, found.low, found.high
    else:
        value = low = high = float("nan")
    return {
        "metric": metric, "policy": policy, "tiers": "+".join(split_policy(policy)[1]), "entries": entries,
        "value": value, "unit": unit, "ci_low": low, "ci_high": high, "repeats": len(samples),
        "method": method,
    }  # fmt: skip
