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


def equal_bytes(points=9):
    rng = np.random.default_rng(11)
    rows = []
    cells = (("all tasks", 0), ("reference/niah_single", 1024), ("reference/fa", 1024))
    for training, (task, length), i in product(("none", "qat"), cells, range(points)):
        bits = 2.3 + 0.7 * i
        uniform, gain = 1 - 0.8 / (1 + i) ** 2, 0.3 / (1 + i) ** 2
        rows.append(
            dict(model="reference", task=task, length=length, point=f"int{i}", training=training, bits=bits)
            | dict(bytes_uniform=1e5 * bits, bytes_cajq=1e5 * bits - 7, uniform=f"uniform_int{i}")
            | dict(score_uniform=uniform, score_cajq=uniform + gain * (i % 4 - 0.5), score_fp16=0.99)
            | dict(seeds=3, n=504, difference=gain, ci_low=gain - 0.02, ci_high=gain + 0.02)
            | dict(p_value=float(rng.uniform(0, 0.1)), p_holm=0.01 * i if task == "all tasks" else np.nan)
        )
    return pd.DataFrame(rows)


def qat_share(seeds=(1, 2, 3)):
    rows = []
    for seed, share, (task, fall), length in product(
        seeds, (0.0, 0.1, 0.25, 0.5), (("reference/fa", 0.2), ("reference/niah_single", 0.1)), (256, 1024)
    ):
        score = 0.95 - fall * abs(share - 0.3) - 0.01 * seed - 0.1 * (length > 256)
        rows.append(
            dict(share=share, seed=seed, variant="cajq_qat", float_steps=400, qat_steps=int(400 * share))
            | dict(task=task, length=length, n=96, score=score, ci_low=score - 0.03, ci_high=score + 0.03)
            | dict(chance=1 / 64, guess=0.05)
        )
    return pd.DataFrame(rows)


def sensitivity(seeds=(1, 2, 3)):
    rows = []
    parts = ("embedding", "ssm", "attention", "memory", "ff", "head")
    options = {"seq2": 2.1, "int3g64": 3.3, "int4g64": 4.3, "int8": 8.1, "fp16": 16.0}
    for seed, (i, part), (option, bits) in product(seeds, enumerate(parts), options.items()):
        loss = 0.0 if bits > 8.5 else (1 + i) * 4.0**-bits * (1 + 0.1 * seed)
        rows.append(
            dict(model="reference", seed=seed, component=part, option=option, parameters=10_000)
            | dict(bits=bits, bytes=int(1250 * bits), questions=96, divergence=loss)
        )
    return pd.DataFrame(rows)


def long_context(seeds=(1, 2, 3)):
    """A suite of one variant, as the workflow hands it to its own figure only."""
    from synapnet_edge.reporting.targets import TARGETS

    rng = np.random.default_rng(3)
    rows = []
    goals = {(task, length) for target in TARGETS for task in target.tasks for length in target.goals}
    for (task, length), seed in product(sorted(goals), seeds):
        fall = 0.06 if task.endswith(("fa", "adn")) else 0.004
        score = float(np.clip(1.0 - fall * np.log2(length / 256) - rng.uniform(0, 0.02), 0, 1))
        rows.append(
            dict(suite="long_context", task=task, task_version=1, model="reference", variant="fp16")
            | dict(
                backend="reference", seed=seed, length=length, n=168 if length <= 8192 else 32, score=score
            )
            | dict(ci_low=score - 0.02, ci_high=score + 0.02, chance=1 / 64, guess=0.05)
        )
    return pd.DataFrame(rows)


def probe(seeds=(1, 2, 3), points=8, tasks=TASKS):
    rng = np.random.default_rng(4)
    rows = []
    for seed, i, (which, (_, task)) in product(seeds, range(1, points + 1), enumerate(tasks)):
        score = float(np.clip(1 - np.exp(-(i - which) / 2) + rng.normal(0, 0.02), 0.02, 1))
        rows.append(
            dict(model="reference", seed=seed, step=200 * i, tokens=400_000 * i, seconds=95.0 * i)
            | dict(core_seconds=95.0 * i + seed, task=task, length=512, n=64, score=score)
            | dict(ci_low=max(0, score - 0.05), ci_high=min(1, score + 0.05), chance=1 / 64)
        )
    return pd.DataFrame(rows)


def experiment(seeds=(1, 2, 3), lengths=(256, 1024), tasks=TASKS):
    rng = np.random.default_rng(5)
    loss = dict(full=0.02, no_memory=0.7, no_attention=0.05, no_ssm=0.15, no_bridge=0.02, bridge_removed=0.3)
    loss |= dict(no_ssmax=0.04, no_preconv=0.6, chunk_32=0.03, chunk_128=0.03)
    rows = []
    for (arm, lost), seed, (_, task), length in product(loss.items(), seeds, tasks, lengths):
        score = float(np.clip(1 - lost * (1 if length > 256 else 0.4) + rng.normal(0, 0.01), 0, 1))
        rows.append(
            dict(experiment="ablation", arm=arm, seed=seed, parameters=900_000, train_tokens=2_000_000)
            | dict(train_seconds=118.0, task=task, length=length, n=168, score=score, ci_low=score - 0.03)
            | dict(ci_high=score + 0.03, chance=1 / 64, guess=0.05)
        )
    return pd.DataFrame(rows)


GUARDED = {
    "ruler": "niah_single_1 niah_single_2 niah_multikey_1 niah_multikey_2 niah_multivalue vt vt_set cwe fwe "
    "qa_1 qa_2",
    "longbench": "single_doc_qa multi_doc_qa summarization few_shot_icl code_completion passage_retrieval "
    "passage_count",
    "needlebench": "snia mkn ron cn adn kv_update",
}


def guarded(seeds=(1, 2, 3), variants=VARIANTS, lengths=(512, 2048, 16384), tasks=3):
    """The guarded suites; longbench not at the longest length."""
    rng = np.random.default_rng(6)
    rows = []
    for suite, names in GUARDED.items():
        for (i, name), variant, seed, length in product(
            list(enumerate(names.split()))[:tasks], variants, seeds, lengths
        ):
            if suite == "longbench" and length > 8192:
                continue
            fall = 0.02 * (i % 6) * (2.5 if variant in ("int4", "cajq_ptq") else 1.0)
            score = float(np.clip(0.99 - fall * np.log2(length / 512) - rng.uniform(0, 0.03), 0, 1))
            guess = 1.0 if name == "niah_single_1" else 0.05 + 0.03 * i
            rows.append(
                dict(suite=suite, task=f"{suite}/{name}", task_version=1, model="reference", variant=variant)
                | dict(backend="reference", seed=seed, length=length, metric="accuracy", n=168, score=score)
                | dict(ci_low=score - 0.03, ci_high=score + 0.03, chance=1 / 64, guess=guess)
            )
    return pd.DataFrame(rows)


def needle_rows(seeds=(1, 2, 3), variants=("fp16", "cajq_qat"), lengths=(512, 4096), n=22, tasks=3):
    """Scores of single rows: snia and mkn with one line per answer, the others with one per row."""
    rng = np.random.default_rng(7)
    parts = []
    for name, variant, seed, length in product(
        GUARDED["needlebench"].split()[:tasks], variants, seeds, lengths
    ):
        answers = 11 * n if name == "mkn" else n
        index = np.arange(answers)
        depth = index % 11 / 10 if name in ("snia", "mkn") else rng.random(answers)
        right = 0.98 - 0.1 * np.log2(length / 512) * (1 - depth) * (1.5 if variant == "cajq_qat" else 1)
        metric = "readout_accuracy" if name in ("snia", "mkn") else "accuracy"
        facts = dict(suite="needlebench", task=f"needlebench/{name}", model="reference", variant=variant)
        facts |= dict(seed=seed, length=length, metric=metric, row=index // (11 if name == "mkn" else 1))
        parts.append(pd.DataFrame({**facts, "depth": depth, "score": (rng.random(answers) < right) * 1.0}))
        if name == "mkn":
            whole = pd.DataFrame({**facts, "row": np.arange(n), "depth": 0.5, "score": 0.0})
            parts.append(whole.assign(metric="accuracy"))
    return pd.concat(parts, ignore_index=True)


def all_suites():
    old = benchmark(tasks=TASKS[:4])
    needles = benchmark(
        lengths=(1024,), tasks=[("needlebench_reference", f"reference/{t}") for t in ("snia", "mkn")]
    )
    return pd.concat([old, needles, long_context(), guarded()], ignore_index=True)


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
            | dict(retention_same_layer=accuracy, precision=min(1.0, accuracy + 0.01))
        )
    return pd.DataFrame(rows)


DEPLOY_UNITS = {
    "prefill_tokens_per_second": ("token/s", 4000),
    "decode_tokens_per_second": ("token/s", 150),
    "activation_bytes": ("B", 3e7),
    "state_bytes": ("B", 7e6),
    "decode_macs_per_token": ("MAC/token", 8.6e6),
    "decode_bytes_per_token": ("B/token", 3.8e7),
    "prefill_macs_per_token": ("MAC/token", 9e6),
    "prefill_bytes_per_token": ("B/token", 7.4e4),
}


def retention_stability(seeds=(1, 2), fits=(0, 1, 2), rates=(1e-3, 1e-2), noise=(0.0, 0.1)):
    rows = [
        dict(seed=seed, fit_seed=fit, learning_rate=rate, label_noise=share)
        | dict(validation_auc=0.95 - share / 4 - fit / 100, task_auc=0.9 - share / 3 - fit / 100)
        for seed, fit, rate, share in product(seeds, fits, rates, noise)
    ]
    return pd.DataFrame(rows)


def eviction_cost(policies=("baee", "fifo"), sizes=(1024, 16384, 65536)):
    rows = [
        dict(metric="round", policy=policy, entries=size, value=1e-4 * size, unit="ms")
        for policy, size in product(policies, sizes)
    ]
    rows += [
        dict(metric=metric, policy=policy, entries=200, value=4.0, unit=unit)
        for policy in policies
        for metric, unit in (
            ("eviction_per_token", "us"),
            ("eviction_share", "%"),
            ("stream_against_fifo", "%"),
        )
    ]
    table = pd.DataFrame(rows).assign(tiers="fp16", repeats=9, method="synthetic")
    return table.assign(ci_low=0.9 * table["value"], ci_high=1.2 * table["value"])


def eviction_growth(points=16):
    tokens = 4096 * np.arange(1, points + 1)
    rows = []
    for policy, budget in (("everything kept", np.nan), ("baee under the budget", 2 * 2**20)):
        used = 900.0 * tokens if np.isnan(budget) else np.minimum(900.0 * tokens, budget)
        facts = dict(policy=policy, budget_bytes=budget, tokens=tokens, bytes=used, resident_bytes=used)
        rows.append(pd.DataFrame({**facts, "rss_bytes": 3e8 + used, "entries": used / 800}))
    return pd.concat(rows, ignore_index=True)


def deploy(tiers=("cpu_multi", "cpu_single"), contexts=(512, 1024, 2048, 4096, 8192)):
    arms = [("fp16", "torch-fp32"), ("fp16", "torch-bf16")]
    arms += [(v, "torch-reference") for v in ("int8", "int4", "cajq_ptq", "cajq_qat")] + [
        ("cajq_qat", "fast")
    ]
    rows = []
    for tier, (i, (variant, backend)), context in product(tiers, enumerate(arms), contexts):
        for metric, (unit, base) in DEPLOY_UNITS.items():
            value = base * (1.7 if tier == "cpu_multi" else 1) * (1.3 if "bf16" in backend else 1 - 0.01 * i)
            value *= (512 / context) ** 0.08
            rows.append(
                dict(tier=tier, model="reference", variant=variant, backend=backend, context=context)
                | dict(threads=2 if tier == "cpu_multi" else 1, metric=metric, value=value, unit=unit)
                | dict(ci_low=0.97 * value, ci_high=1.02 * value, repeats=3, method="synthetic")
            )
    limits = (("limit_read_bytes_per_second", "float32", 1.2e10), ("limit_macs_per_second", "float32", 2e10))
    limits += (("limit_macs_per_second", "int8", 1e11),)
    for tier, (metric, kind, value) in product(tiers, limits):
        rows.append(
            dict(tier=tier, model="reference", variant="machine", backend=kind, context=0, threads=1)
            | dict(
                metric=metric, value=value, unit="1/s", ci_low=value, ci_high=value, repeats=5, method="made"
            )
        )
    return pd.DataFrame(rows)


def deploy_trace(tiers=("cpu_multi", "cpu_single"), points=60):
    units = dict(rss=("B", 3e8), tokens_per_second=("token/s", 150), frequency_mhz=("mhz", 2600))
    rows = []
    for tier, variant, (series, (unit, base)), i in product(
        tiers, ("fp16", "cajq_qat"), units.items(), range(points)
    ):
        rows.append(
            dict(tier=tier, model="reference", variant=variant, backend="torch-fp32", series=series)
            | dict(seconds=0.5 * i, value=base * (1 - 0.002 * i), unit=unit)
        )
    return pd.DataFrame(rows)


def stream_trace(seeds=(1, 2, 3), tokens=2**20, every=2**14):
    rng = np.random.default_rng(2)
    rows = []
    for seed, read in product(seeds, range(every, tokens + 1, every)):
        speed = 1500 * (1 + 1.5 * max(0.0, 1 - read / 40000)) * (1 + rng.normal(0, 0.02))
        rows.append(
            dict(model="reference", seed=seed, variant="fp16", tokens=read, seconds=11 * every / speed)
            | dict(cpu_seconds=10.5 * every / 1500)
            | dict(tokens_per_second=speed, stream_tokens_per_second=speed / 11)
            | dict(rss_bytes=8e8 * (1 + rng.uniform(0, 0.02)) - 2e8 * (read < 40000), store_bytes=16 * 2**20)
            | dict(budget_bytes=16 * 2**20, resident_bytes=185e6, fp16_entries=5256, int8_entries=28728)
            | dict(summary_entries=0)
        )
    return pd.DataFrame(rows)


def stream(seeds=(1, 2, 3), depths=11, tokens=2**20, checkpoints=(2**16, 2**17, 2**18, 2**19, 2**20)):
    rows = []
    for seed, read, depth in product(seeds, checkpoints, np.linspace(0, 1, depths)):
        needle = min(max(1, int(depth * tokens)), tokens - 1)
        if needle < read:
            right = not (read == tokens and depth < 0.25 and seed > 1) and not (depth == 0 and read > 2**18)
            rows.append(
                dict(model="reference", seed=seed, variant="fp16", depth=round(depth, 6), tokens=read)
                | dict(distance=read - needle, label=3, predicted=3 if right else 4, correct=right)
                | dict(held_layers=6 * right)
            )
    return pd.DataFrame(rows)


def baseline_benchmark(seeds=(1, 2), models=("llama", "mamba2"), variants=("fp16", "int4"), tasks=TASKS[:2]):
    """Every baseline on the suite of the baselines, with ups and downs that depend on its name."""
    parts = []
    for number, model in enumerate(models):
        part = benchmark(seeds, variants, (1024, 2048, 4096), tasks)
        part["score"] = (part["score"] - 0.08 * number).clip(0, 1)
        parts.append(part.assign(model=model, contender=model, suite="baselines"))
    return pd.concat(parts, ignore_index=True)


def baseline_cost(models=("reference", "llama", "mamba2"), contexts=(1024, 4096, 65536)):
    rows = []
    for number, (model, context) in enumerate(product(models, contexts)):
        grows = context if model == "llama" else 300
        facts = dict(tier="cpu_single", model=model, variant="fp16", backend="torch-fp32", threads=1)
        for metric, value in (
            ("state_bytes", 4096.0 * grows),
            ("prefill_tokens_per_second", 3000.0 + 10 * number),
            ("decode_tokens_per_second", 150.0 - number),
        ):
            rows.append({**facts, "context": context, "metric": metric, "value": value})
    return pd.DataFrame(rows)


def baseline_ledger(models=("llama", "mamba2"), seeds=(1, 2)):
    stored = ledger(seeds, ("fp16", "int4")).drop(columns="model")
    parts = [stored.assign(contender=model) for model in models]
    return pd.concat(parts, ignore_index=True)


def baseline_kv(policies=("h2o", "snapkv", "window"), budgets=(0.1, 0.5)):
    rows = []
    for policy, aware, budget in product(policies, (False, True), budgets):
        if aware and policy != "snapkv":
            continue
        facts = dict(task="reference/memory_pressure_niah", policy=policy, budget=budget, position="early")
        facts |= dict(
            length=1024, seed=1, query_aware=aware, n=32, accuracy=0.3 + budget, ci_low=0.2, ci_high=0.9
        )
        rows.append({**facts, "accuracy_full": 0.97, "bytes": 1e6 * budget, "full_bytes": 1_000_000})
    return pd.DataFrame(rows)


def baseline_sweep(models=("llama", "mamba2")):
    rates = ((6e-4, 1.2, False), (1.5e-3, 1.0, True), (3.75e-3, 2.0, False))
    columns = ("learning_rate", "loss", "chosen")
    rows = [
        {"contender": m, "core_seconds": 60.0, **dict(zip(columns, r, strict=True))}
        for m in models
        for r in rates
    ]
    return pd.DataFrame(rows)


MAKERS = {
    "baseline_benchmark": baseline_benchmark,
    "baseline_ours": lambda: benchmark((1, 2), ("fp16", "cajq_qat"), (1024, 2048, 4096), TASKS[:2]),
    "baseline_cost": baseline_cost,
    "baseline_ledger": baseline_ledger,
    "baseline_our_ledger": lambda: ledger((1, 2), ("fp16", "cajq_qat")),
    "baseline_kv": baseline_kv,
    "baseline_sweep": baseline_sweep,
    "benchmark": all_suites,
    "rows": needle_rows,
    "probe": probe,
    "experiment": experiment,
    "history": history,
    "ledger": ledger,
    "eviction": eviction,
    "retention_stability": retention_stability,
    "eviction_cost": eviction_cost,
    "eviction_growth": eviction_growth,
    "deploy": deploy,
    "deploy_trace": deploy_trace,
    "equal_bytes": equal_bytes,
    "sensitivity": sensitivity,
    "qat_share": qat_share,
    "stream": stream,
    "stream_trace": stream_trace,
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
        "benchmark": pd.concat(
            [holes, long_context((7,)).iloc[:1], guarded((7,), ("fp16",), (64,), 1).iloc[:1]],
            ignore_index=True,
        ),
        "rows": needle_rows((7,), ("int4",), (64,), 1).iloc[:1],
        "probe": probe((7,), 1, TASKS[:1]),
        "experiment": experiment((7,), (256,), TASKS[:1]).iloc[1:3],
        "history": history((7,), 2),
        "ledger": ledger((7,), ("fp16",)),
        "eviction": grid,
        "retention_stability": retention_stability((7,), (0,), (1e-3,), (0.0,)).assign(task_auc=np.nan),
        "eviction_cost": eviction_cost(("baee",), (1024,)).iloc[:2],
        "eviction_growth": eviction_growth(1).iloc[:1],
        "deploy": deploy(("cpu_single",), (64,)),
        "deploy_trace": deploy_trace(("cpu_single",), 1),
        "equal_bytes": equal_bytes(1).iloc[:1],
        "sensitivity": sensitivity((7,)).iloc[:1],
        "qat_share": qat_share((7,)).iloc[:1],
        "baseline_benchmark": baseline_benchmark((7,), ("llama",), ("fp16",), TASKS[:1]).iloc[:1],
        "baseline_ours": benchmark((7,), ("fp16",), (1024,), TASKS[:1]),
        "baseline_cost": baseline_cost(("reference",), (1024,)),
        "baseline_ledger": baseline_ledger(("llama",), (7,)),
        "baseline_our_ledger": ledger((7,), ("fp16",)),
        "baseline_kv": baseline_kv(("h2o",), (0.1,)),
        "stream": stream((7,), 1, 64, (64,)),
        "stream_trace": stream_trace((7,), 64, 64),
    }


@pytest.fixture
def empty_tables(tables):
    return {key: table.iloc[:0] for key, table in tables.items()}
