"""Synthetic tables in the contract's columns. The values are made up: they only exercise the drawing."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

TASKS = (
    ("ruler_reference", "reference/niah_single"),
    ("ruler_reference", "reference/niah_multi_key"),
    ("ruler_reference", "reference/variable_track"),
    ("ruler_reference", "reference/fa"),
    ("ruler", "ruler/niah_multikey_1"),
)
VARIANTS = ("fp16", "fp16_ft", "int8", "int4", "cajq_ptq", "cajq_qat")
POLICIES = ("baee", "fifo", "lru", "random", "streaming_llm", "oracle")
COMPONENTS = ("embedding", "ssm", "attention", "memory", "bridge", "ff", "norm", "head")


def benchmark(seeds=(1, 2, 3), variants=VARIANTS, lengths=(256, 512, 1024, 2048, 4096), tasks=TASKS):
    rng = np.random.default_rng(0)
    rows = []
    for (suite, task), variant, seed, length in product(tasks, variants, seeds, lengths):
        fall = 0.05 * np.log2(length / 256) * (2.0 if variant == "cajq_ptq" else 1.0)
        score = float(np.clip(1.0 - fall * ("single" not in task) - rng.uniform(0, 0.03), 0, 1))
        rows.append(
            dict(suite=suite, task=task, task_version=1, model="reference", variant=variant, backend="torch")
            | dict(seed=seed, length=length, n=500, score=score, ci_low=max(0, score - 0.02))
            | dict(ci_high=min(1, score + 0.02), chance=1 / 64, guess=0.27 if "multi" in task else 0.05)
        )
    return pd.DataFrame(rows)


def history(seeds=(1, 2, 3), points=150):
    rng = np.random.default_rng(1)
    rows = []
    for seed in seeds:
        for i in range(points):
            stage = min(3, 4 * i // points)
            accuracy = float(np.clip(1 - np.exp(-i / (0.15 * points)) + rng.normal(0, 0.03), 0, 1))
            rows.append(
                dict(
                    step=10 * (i + 1),
                    stage=stage,
                    length=(64, 128, 512, 1024)[stage],
                    loss=4.2 * (1.01 - accuracy),
                )
                | dict(accuracy=accuracy, learning_rate=1e-3, write_share=0.25, tokens=4096 * (i + 1))
                | dict(tokens_per_second=4000.0, seconds=1.02 * (i + 1), model="reference", seed=seed)
            )
    return pd.DataFrame(rows)


def ledger(seeds=(1, 2, 3), variants=VARIANTS):
    parameters = dict(
        zip(COMPONENTS, (811008, 1400000, 1500000, 1500000, 7000, 3500000, 2500, 12288), strict=True)
    )
    low = {"int8": 8.25, "int4": 4.25}
    rows = []
    for variant, seed, component in product(variants, seeds, COMPONENTS):
        bits = 16.0 if component in ("norm", "bridge") else low.get(variant, 16.0)
        if variant.startswith("cajq"):
            bits = {"ssm": 2.25, "attention": 4.25}.get(component, 16.0)
        rows.append(
            dict(component=component, tensor=f"{component}.w", parameters=parameters[component], bits=bits)
            | dict(bytes=int(parameters[component] * bits / 8), model="reference", seed=seed, variant=variant)
        )
    return pd.DataFrame(rows)


def eviction(seeds=(1, 2, 3), policies=POLICIES, budgets=(0.1, 0.2, 0.3, 0.5)):
    skill = dict(zip(POLICIES, (0.5, 0.05, 0.1, 0.2, 0.15, 0.95), strict=True))
    rows = []
    for policy, budget, place, length, seed in product(
        policies, budgets, ("early", "late"), (1024, 4096), seeds
    ):
        base = skill[policy] if place == "early" or policy == "oracle" else 1.0 - skill[policy]
        accuracy = float(np.clip(base + 0.5 * budget, 0.03, 0.97))
        rows.append(
            dict(
                task="reference/memory_pressure_niah",
                policy=policy,
                budget=budget,
                position=place,
                length=length,
            )
            | dict(seed=seed, query_aware=False, n=100, accuracy=accuracy, ci_low=accuracy - 0.02)
            | dict(ci_high=accuracy + 0.02, retention=min(1.0, accuracy + 0.02), accuracy_retained=0.95)
            | dict(accuracy_evicted=0.03, accuracy_full=0.97, bytes=int(budget * 1e6))
        )
    return pd.DataFrame(rows)


def deploy(tiers=("cpu_multi", "cpu_single"), contexts=(512, 1024, 2048, 4096, 8192)):
    arms = [("fp16", "torch-fp32"), ("fp16", "torch-bf16")]
    arms += [(v, "torch-reference") for v in ("int8", "int4", "cajq_ptq", "cajq_qat")]
    rows = []
    for tier, (i, (variant, backend)), context in product(tiers, enumerate(arms), contexts):
        for metric, base in (("prefill_tokens_per_second", 4000), ("decode_tokens_per_second", 150)):
            value = base * (1.7 if tier == "cpu_multi" else 1) * (1.3 if "bf16" in backend else 1 - 0.01 * i)
            value *= (512 / context) ** 0.08
            rows.append(
                dict(tier=tier, model="reference", variant=variant, backend=backend, context=context)
                | dict(threads=2 if tier == "cpu_multi" else 1, metric=metric, value=value, unit="token/s")
                | dict(ci_low=0.97 * value, ci_high=1.02 * value, repeats=3, method="synthetic")
            )
    return pd.DataFrame(rows)


MAKERS = {
    "benchmark": benchmark,
    "history": history,
    "ledger": ledger,
    "eviction": eviction,
    "deploy": deploy,
}


@pytest.fixture
def tables():
    """A complete set of sources, three seeds."""
    return {key: make() for key, make in MAKERS.items()}


@pytest.fixture
def thin_tables():
    """What the smallest run leaves: one seed, one or two arms, few points, holes."""
    holes = benchmark((7,), ("fp16",), (64, 128), TASKS[:2])
    holes.loc[0, "score"] = np.nan
    grid = eviction((7,), ("baee",), (0.25,))
    grid.loc[0, ["retention", "accuracy_full"]] = np.nan
    return {
        "benchmark": holes,
        "history": history((7,), 2),
        "ledger": ledger((7,), ("fp16",)),
        "eviction": grid,
        "deploy": deploy(("cpu_single",), (64,)),
    }


@pytest.fixture
def empty_tables(tables):
    return {key: table.iloc[:0] for key, table in tables.items()}
