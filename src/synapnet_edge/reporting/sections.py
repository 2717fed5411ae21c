"""The sections of the summary, each a function from small tables to Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from synapnet_edge.reporting import aggregate, text
from synapnet_edge.reporting.findings import Goal
from synapnet_edge.reporting.forerunner import CAVEAT, SOURCE, published

if TYPE_CHECKING:
    import pandas as pd

MEGABYTE = 1e6


def headline(head: pd.DataFrame) -> str:
    rows = [
        (
            row.model,
            row.variant,
            str(row.length),
            text.mean_std(row.mean, row.std),
            f"{row.seeds} × {row.n}",
            text.interval(row.ci_low, row.ci_high),
            text.share(row.chance),
            text.share(row.guess),
            text.mean_std(row.published, row.published_std),
        )
        for row in _rows(head)
    ]
    columns = ("model", "variant", "length", "accuracy", "seeds × n", "pooled 95 %")
    return (
        "## Headline: NIAH-single, reference protocol\n\n"
        "Mean ± standard deviation over independently trained seeds; n per seed; Wilson interval pooled over "
        "seeds; `guess` is the best shortcut that does not do the task (1.000: a shortcut solves it).\n\n"
        + text.table((*columns, "chance", "guess", "forerunner"), rows)
        + f"\nForerunner: {SOURCE}, {CAVEAT}. Copied from its publication, not measured here.\n"
    )


def benchmark(cells: pd.DataFrame) -> str:
    """One table per task: rows = length, columns = variants."""
    blocks = []
    for (task, model), part in cells.groupby(["task", "model"], sort=False):
        variants = sorted(part["variant"].unique(), key=aggregate.variant_rank)
        rows = [_task_row(at, task, variants) for _, at in part.groupby("length")]
        head = ("length", "chance", "guess", *variants, "forerunner fp16 / cajq_qat", "seeds × n")
        blocks.append(f"### {task} ({model})\n\n" + text.table(head, rows))
    body = "\n".join(blocks) or "Not measured in this run.\n"
    return (
        "## All benchmark tasks\n\nMean ± standard deviation over trained seeds; every row with its interval "
        f"stands in `tables/benchmark.csv`.\n\n{body}"
    )


def _task_row(at: pd.DataFrame, task: str, variants: Sequence[str]) -> tuple[str, ...]:
    by_variant = at.drop_duplicates("variant").set_index("variant")
    length = int(at["length"].iloc[0])
    values = [
        text.mean_std(by_variant.loc[v, "mean"], by_variant.loc[v, "std"]) if v in by_variant.index else "–"
        for v in variants
    ]
    theirs = [published(task, variant, length) for variant in ("fp16", "cajq_qat")]
    quoted = " / ".join(text.share(row.mean) if row else "–" for row in theirs) if any(theirs) else "–"
    counts = f"{at['seeds'].max()} × {at['n'].min()}"
    return (
        *(str(length), text.share(at["chance"].mean()), text.share(at["guess"].mean())),
        *values,
        *(quoted, counts),
    )


def sizes(table: pd.DataFrame) -> str:
    rows = [
        (
            row.model,
            row.variant,
            text.count(row.bytes),
            f"{row.bytes / MEGABYTE:.2f}",
            f"{row.mean_bits:.2f}",
            "–" if row.compression != row.compression else f"{row.compression:.2f}x",
        )
        for row in _rows(table)
    ]
    head = ("model", "variant", "bytes", "MB", "mean bits per parameter", "compression against fp16")
    return "## Stored size\n\nSums of the packed ledger, scales included.\n\n" + text.table(head, rows)


def control(gaps: Mapping[str, pd.DataFrame]) -> str:
    """Paired differences of cajq_qat against its controls: rows = task and control, columns = lengths."""
    lengths = sorted({int(length) for table in gaps.values() for length in table["length"]})
    rows = []
    for other, table in gaps.items():
        for (task, model), part in table.groupby(["task", "model"], sort=False):
            at = part.drop_duplicates("length").set_index("length")
            cells = [_difference(at.loc[length]) if length in at.index else "–" for length in lengths]
            rows.append((f"{task} ({model})", f"cajq_qat − {other}", *cells, str(part["seeds"].max())))
    head = ("task", "comparison", *(f"at {length}" for length in lengths), "seeds")
    return (
        "## Quantisation-aware training against controls\n\n"
        "fp16_ft is the float model trained for the same additional steps. Differences in percentage points, "
        "paired by trained seed, ± standard deviation over seeds.\n\n" + text.table(head, rows)
    )


def _difference(row: pd.Series) -> str:
    spread = "" if row["std"] != row["std"] else f" ± {100 * row['std']:.1f}"
    return text.points(row["difference"]) + spread


def eviction(table: pd.DataFrame, subject: str) -> str:
    """One table per task, position and length: rows = policies, columns = budgets."""
    keys = ["task", "position", "length", "query_aware"]
    blocks = [_eviction_block(key, part) for key, part in table.groupby(keys)]
    return (
        "## Memory under a budget\n\n"
        f"{subject}Budget: share of the bytes of the unbounded memory. Cells: accuracy with its 95 % "
        "interval pooled over seeds, then retention (share of targets held). `oracle` knows the future: "
        "an upper bound. The floor is the accuracy of a random value from the context; a row is not "
        "interpretable when its accuracy without eviction is not above it (95 % interval).\n\n"
        + ("\n".join(blocks) or "Not measured in this run.\n")
    )


def _eviction_block(key: tuple, part: pd.DataFrame) -> str:
    task, position, length, query_aware = key
    budgets = sorted(part["budget"].unique())
    held = part.groupby("budget")["bytes"].max()
    rows = []
    for policy, mine in part.groupby("policy"):
        by_budget = mine.set_index("budget")
        cells = [_eviction_cell(by_budget.loc[b]) if b in by_budget.index else "–" for b in budgets]
        rows.append((policy, *cells, "" if mine["interpretable"].all() else "not interpretable"))
    head = ("policy", *(f"budget {b:g} ({text.count(held[b])} bytes)" for b in budgets), "note")
    title = f"### {task}, {position}, length {int(length)}{', query-aware' if query_aware else ''}\n\n"
    full, floor = text.share(part["accuracy_full"].mean()), text.share(part["floor"].mean())
    facts = (
        f"Without eviction {full}, floor {floor}, "
        f"{part['seeds'].max()} seeds, n = {part['n'].min()} per cell over all seeds.\n\n"
    )
    return title + facts + text.table(head, rows)


def _eviction_cell(row: pd.Series) -> str:
    spread = text.interval(row["ci_low"], row["ci_high"])
    return f"{text.share(row['accuracy'])} {spread}, {text.share(row['retention'])}"


def deploy(table: pd.DataFrame, skipped: Mapping[str, str]) -> str:
    lines = [f"- {tier}: not measured here ({reason})." for tier, reason in sorted(skipped.items())]
    for _, best in aggregate.best_float_arms(table).iterrows():
        lines.append(
            f"- {best['tier']} ({best['model']}): the best float arm in {best['metric'].split('_')[0]} is "
            f"**{best['variant']} on {best['backend']}** ({best['mean_over_contexts']:,.0f} tokens/s, mean "
            "over contexts)."
        )
    blocks = [
        f"### {tier} ({model}, {_threads(part['threads'].max())})\n\n" + _deploy_table(part)
        for (tier, model), part in table.groupby(["tier", "model"])
    ]
    return (
        "## Deployment\n\n"
        "The torch-reference backend dequantises every stored low-bit weight when it loads a model and then "
        "computes in float. It does not run packed weights, so its rows say nothing about the speed or the "
        "memory of quantised inference; only the file size is that of the quantised model.\n\n"
        + "\n".join(lines)
        + ("\n\n" if lines else "")
        + ("\n".join(blocks) or "Not measured in this run.\n")
    )


def _threads(number: float) -> str:
    return f"{int(number)} thread{'s' if number != 1 else ''}"


def _deploy_table(part: pd.DataFrame) -> str:
    """Rows = arms; speed at the shortest and longest context, file and process memory."""
    contexts = part.loc[part["metric"].str.endswith("per_second"), "context"]
    ends = sorted({int(contexts.min()), int(contexts.max())}) if len(contexts) else []
    speed = [(m, c) for m in ("prefill", "decode") for c in ends]
    rows = []
    for variant in sorted(part["variant"].unique(), key=aggregate.variant_rank):
        for backend, arm in part[part["variant"] == variant].groupby("backend"):
            cells = [_speed(arm, f"{metric}_tokens_per_second", context) for metric, context in speed]
            memory = [_megabytes(arm, f"{name}_bytes") for name in _MEMORY]
            rows.append((variant, backend, *cells, *memory))
    head = [f"{metric} at {context} (tokens/s)" for metric, context in speed]
    head += [f"{name.replace('_', ' ').replace('rss', 'RSS')} (MB)" for name in _MEMORY]
    probed = part.loc[part["metric"] == "peak_rss_bytes", "context"]
    note = f"\nProcess memory (RSS) at a context of {int(probed.max())} tokens.\n" if len(probed) else ""
    return text.table(("variant", "backend", *head), rows) + note


_MEMORY = ("file", "parameter", "baseline_rss", "steady_rss", "peak_rss")


def _speed(arm: pd.DataFrame, metric: str, context: int) -> str:
    row = arm[(arm["metric"] == metric) & (arm["context"] == context)]
    if row.empty:
        return "–"
    first = row.iloc[0]
    return f"{first['value']:,.0f} [{first['ci_low']:,.0f}, {first['ci_high']:,.0f}]"


def _megabytes(arm: pd.DataFrame, metric: str) -> str:
    """The reading at the longest probed context."""
    row = arm[arm["metric"] == metric].sort_values("context")
    return "–" if row.empty else f"{row['value'].iloc[-1] / MEGABYTE:.1f}"


def training(cost: pd.DataFrame) -> str:
    rows = [
        (
            row.model,
            str(row.seed),
            text.count(row.steps),
            text.count(row.tokens),
            f"{row.seconds:,.0f}",
            text.count(row.tokens_per_second),
            text.share(row.final_loss),
            text.share(row.final_accuracy),
        )
        for row in _rows(cost)
    ]
    head = ("model", "seed", "steps", "tokens", "seconds", "tokens/s", "final loss", "final accuracy")
    return "## Training cost\n\n" + text.table(head, rows)


def run_cost(manifests: Sequence[Mapping[str, Any]]) -> str:
    """Jobs and wall time per stage, parameters by component and the machine, as the manifests tell them."""
    stages: dict[str, list[float]] = {}
    for stage, seconds in _job_seconds(manifests):
        stages.setdefault(stage, []).append(seconds)
    rows = [(stage, str(len(times)), f"{sum(times) / 60:.1f}") for stage, times in sorted(stages.items())]
    total = sum(sum(times) for times in stages.values()) / 60
    machines = sorted({_machine_text(m["machine"]) for m in manifests if m.get("machine")})
    parts = ["## This run\n", text.table(("stage", "jobs", "sum of wall minutes"), rows)]
    parts.append(f"Together {total:.1f} minutes of work.\n" if rows else "")
    parts += [f"Machine: {machine}.\n" for machine in machines]
    for name, counts in _component_parameters(manifests).items():
        pairs = ", ".join(f"{component} {text.count(n)}" for component, n in counts.items())
        parts.append(f"Parameters of {name}: {text.count(sum(counts.values()))} ({pairs}).\n")
    return "\n".join(part for part in parts if part)


def _job_seconds(manifests: Iterable[Mapping[str, Any]]) -> list[tuple[str, float]]:
    """(stage, wall seconds) of every job; the several tables of one deploy job count once."""
    jobs: dict[tuple, float] = {}
    for index, manifest in enumerate(manifests):
        stage, seconds = str(manifest["stage"]), float(manifest["wall_seconds"])
        one_job = stage == "deploy" and "config_hash" in manifest
        key = (stage, manifest["config_hash"]) if one_job else (stage, index)
        jobs[key] = max(seconds, jobs.get(key, 0.0))
    return [(stage, seconds) for (stage, _), seconds in jobs.items()]


def _machine_text(machine: Mapping[str, Any]) -> str:
    memory = float(machine.get("memory_bytes", 0)) / 2**30
    return (
        f"{machine.get('processor', 'unknown processor')}, {machine.get('usable_cores', '?')} usable cores, "
        f"{memory:.1f} GiB, {machine.get('system', 'unknown system')}, Python {machine.get('python', '?')}"
    )


def _component_parameters(manifests: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Model name -> component -> parameters, from the manifests that carry them."""
    found: dict[str, dict[str, int]] = {}
    for manifest in manifests:
        if manifest.get("component_parameters"):
            found.setdefault(str(manifest.get("model", "the model")), manifest["component_parameters"])
    return found


def goals(found: Sequence[Goal]) -> str:
    words = {True: "met", False: "missed", None: "not measured"}
    return "## Goals\n\n" + text.table(
        ("goal", "measured", "verdict"), [(g.goal, g.measured, f"**{words[g.met]}**") for g in found]
    )


def negative(sentences: Sequence[str]) -> str:
    return "## Negative results\n\n" + text.bullets(sentences, "The tables show none of those looked for.")


def _rows(table: pd.DataFrame):
    return table.itertuples(index=False)
