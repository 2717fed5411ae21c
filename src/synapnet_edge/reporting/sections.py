"""The sections of the summary, each a function from small tables to Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

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


def retention(table: pd.DataFrame) -> str:
    """How well the classifier behind BAEE orders entries by their future reads, one row per trained seed."""
    rows = []
    for seed, part in table.groupby("seed"):
        last = part.sort_values("epoch").iloc[-1]
        rows.append(
            (
                str(seed),
                text.count(last["parameters"]),
                text.count(last["validation_examples"]),
                text.share(last["validation_auc"]),
                text.share(last["shuffled_auc"]),
                f"{text.share(last['best_feature_auc'])} ({last['best_feature']})",
            )
        )
    head = (
        "seed",
        "parameters",
        "validation entries",
        "AUC",
        "AUC, shuffled labels",
        "AUC, best single feature",
    )
    return (
        "## Retention classifier\n\n"
        "Predicts which entries later chunks will read, from what is known when the decision is made. "
        "Validation documents are not training documents. AUC: an entry is in the top fifth of its decision "
        "by future read mass; mean over decisions.\n\n"
        + (text.table(head, rows) if rows else "Not measured in this run.\n")
    )


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


def goals(found: Sequence[Goal]) -> str:
    words = {True: "met", False: "missed", None: "not measured"}
    return "## Goals\n\n" + text.table(
        ("goal", "measured", "verdict"), [(g.goal, g.measured, f"**{words[g.met]}**") for g in found]
    )


def negative(sentences: Sequence[str]) -> str:
    return "## Negative results\n\n" + text.bullets(sentences, "The tables show none of those looked for.")


def _rows(table: pd.DataFrame):
    return table.itertuples(index=False)
