"""What the deployment measurements showed: the summary's section, and results/deploy.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synapnet_edge.artifacts import write_text
from synapnet_edge.reporting import aggregate, text
from synapnet_edge.results_tree import MACHINE

if TYPE_CHECKING:
    import pandas as pd

_MEMORY = ("file", "parameter", "baseline_rss", "steady_rss", "peak_rss")


def write_page(
    tables: Mapping[str, pd.DataFrame],
    config: Mapping[str, Any],
    manifests: Sequence[Mapping[str, Any]],
    output: Path,
) -> None:
    """Write results/deploy.md."""
    write_text(output, deployment(tables["deploy"], skipped_tiers(manifests)).replace("## ", "# ", 1))


def skipped_tiers(manifests: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """tier -> why this machine could not measure it."""
    return {
        str(m["tier"]): str(m["unavailable"]) for m in manifests if m.get("unavailable") and m.get("tier")
    }


def deployment(table: pd.DataFrame, skipped: Mapping[str, str]) -> str:
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
    part = part[part["variant"] != MACHINE]
    contexts = part.loc[part["metric"].isin(aggregate.SPEED_METRICS), "context"]
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


def _speed(arm: pd.DataFrame, metric: str, context: int) -> str:
    row = arm[(arm["metric"] == metric) & (arm["context"] == context)]
    if row.empty:
        return "–"
    first = row.iloc[0]
    return f"{first['value']:,.0f} [{first['ci_low']:,.0f}, {first['ci_high']:,.0f}]"


def _megabytes(arm: pd.DataFrame, metric: str) -> str:
    """The reading at the longest probed context."""
    row = arm[arm["metric"] == metric].sort_values("context")
    return "–" if row.empty else f"{row['value'].iloc[-1] / text.MEGABYTE:.1f}"
