"""What the deployment measurements showed: the summary's section, and results/deploy.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synapnet_edge.artifacts import write_text
from synapnet_edge.reporting import aggregate, deploy_goals, text
from synapnet_edge.reporting.findings import goal_table
from synapnet_edge.results_tree import DENSE, MACHINE

if TYPE_CHECKING:
    import pandas as pd

FIGURES = ("throughput", "memory", "rss", "sustained", "roofline")
SPEED_WORDS = {"prefill_tokens_per_second": "prefill", "decode_tokens_per_second": "decode"}


def write_page(
    tables: Mapping[str, pd.DataFrame],
    config: Mapping[str, Any],
    manifests: Sequence[Mapping[str, Any]],
    output: Path,
) -> None:
    """Write results/deploy.md: goals, machines, the section of the summary, and what was left out."""
    table = tables["deploy"].infer_objects()
    parts = [
        deployment(table, skipped_tiers(manifests)).replace("## ", "# ", 1),
        goal_table(deploy_goals.goals(table)),
        machines(manifests),
        left_out(manifests),
        "## Figures\n\n" + "".join(f"![{name}](figures/deploy_{name}.png)\n" for name in FIGURES),
    ]
    write_text(output, "\n".join(parts))


def skipped_tiers(manifests: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """tier -> why this machine could not measure it."""
    return {
        str(m["tier"]): str(m["unavailable"]) for m in manifests if m.get("unavailable") and m.get("tier")
    }


def machines(manifests: Sequence[Mapping[str, Any]]) -> str:
    """Which machine measured which tier."""
    rows = {}
    for m in manifests:
        if not m.get("tier") or m.get("unavailable"):
            continue
        machine = m.get("machine", {})
        rows[str(m["tier"])] = (
            str(m["tier"]),
            str(machine.get("accelerator", machine.get("processor", "unknown"))),
            str(machine.get("usable_cores", "?")),
            f"{float(machine.get('memory_bytes', 0)) / 2**30:.0f}",
            " ".join(machine.get("instruction_sets", [])),
            str(machine.get("system", "?")),
        )
    head = ("tier", "processor or accelerator", "usable cores", "memory (GiB)", "instruction sets", "system")
    return "## Machines\n\n" + text.table(head, [rows[tier] for tier in sorted(rows)])


def left_out(manifests: Sequence[Mapping[str, Any]]) -> str:
    """What a measured tier did not measure, and why."""
    lines = {
        f"{m['tier']}, {name}: {reason}"
        for m in manifests
        if m.get("tier")
        for name, reason in (m.get("not_measured") or {}).items()
    }
    return "## Not measured\n\n" + text.bullets(sorted(lines), "Nothing was left out.")


def deployment(table: pd.DataFrame, skipped: Mapping[str, str]) -> str:
    """The section: skipped tiers, the best float arm of each tier, a table per tier and model."""
    lines = [f"- {tier}: not measured here ({reason})." for tier, reason in sorted(skipped.items())]
    for _, best in aggregate.best_float_arms(table).iterrows():
        lines.append(
            f"- {best['tier']} ({best['model']}): the best float arm in {SPEED_WORDS[best['metric']]} is "
            f"**{best['variant']} on {best['backend']}** ({best['mean_over_contexts']:,.0f} tokens/s, mean "
            "over contexts)."
        )
    blocks = [
        f"### {tier} ({model}, {_threads(part['threads'].max())})\n\n{_speeds(part)}\n{_memory(part)}"
        for (tier, model), part in table.groupby(["tier", "model"])
    ]
    return (
        "## Deployment\n\n"
        "All arms of a table were measured in turns in one job that had the machine for itself; medians with "
        "intervals. A tier is the machine named with it and stands for no other. `fast` and `onnx` compute "
        "from packed weights. `torch-reference` dequantises every low-bit weight when it loads a model and "
        "computes in float32, so its rows say nothing about the speed or the memory of quantised inference. "
        "Models named `*_random` have random weights: speed and memory only.\n\n"
        + "\n".join(lines)
        + ("\n\n" if lines else "")
        + ("\n".join(blocks) or "Not measured in this run.\n")
    )


def _threads(number: float) -> str:
    return f"{int(number)} thread{'s' if number != 1 else ''}"


def _arms(part: pd.DataFrame):
    """(variant, backend, rows) of every arm, the machine and the dense model left out."""
    part = part[~part["variant"].isin([MACHINE, DENSE])]
    for variant in sorted(part["variant"].unique(), key=aggregate.variant_rank):
        for backend, arm in part[part["variant"] == variant].groupby("backend"):
            yield variant, backend, arm


def _speeds(part: pd.DataFrame) -> str:
    """Rows = arms; speed, first token and latency at the shortest and the longest context."""
    contexts = part.loc[part["metric"].isin(aggregate.SPEED_METRICS), "context"]
    ends = sorted({int(contexts.min()), int(contexts.max())}) if len(contexts) else []
    cells = [(metric, word, at) for metric, word in SPEED_WORDS.items() for at in ends]
    rows = []
    for variant, backend, arm in _arms(part):
        speeds = [_number(arm, metric, at, 1.0, "{:,.0f}") for metric, _, at in cells]
        times = [
            _number(arm, "first_token_seconds", ends[-1] if ends else 0, 1.0, "{:.3f}", False),
            _number(arm, "token_p50_seconds", ends[0] if ends else 0, 1e3, "{:.2f}", False),
            _number(arm, "token_p99_seconds", ends[0] if ends else 0, 1e3, "{:.2f}", False),
            _number(arm, "sustained_ratio", None, 1.0, "{:.3f}", False),
            _energy(arm),
        ]
        rows.append((variant, backend, *speeds, *times))
    head = [f"{word} at {at} (tokens/s)" for _, word, at in cells]
    head += (
        [f"first token at {ends[-1]} (s)", f"p50 at {ends[0]} (ms)", f"p99 at {ends[0]} (ms)"] if ends else []
    )
    head += [] if ends else ["first token (s)", "p50 (ms)", "p99 (ms)"]
    return text.table(("variant", "backend", *head, "sustained last / first", "energy (J/token)"), rows)


_MEMORY = (
    *(
        "file_bytes",
        "parameter_bytes",
        "activation_bytes",
        "state_bytes",
        "store_bytes",
        "baseline_rss_bytes",
    ),
    *("runtime_rss_bytes", "steady_rss_bytes", "peak_rss_bytes"),
)


def _memory(part: pd.DataFrame) -> str:
    """Rows = arms; every memory at the longest context at which it was read."""
    rows = [
        (
            variant,
            backend,
            *(_number(arm, name, None, 1 / text.MEGABYTE, "{:.1f}", False) for name in _MEMORY),
        )
        for variant, backend, arm in _arms(part)
    ]
    head = [name.removesuffix("_bytes").replace("_", " ").replace("rss", "RSS") + " (MB)" for name in _MEMORY]
    probed = part.loc[part["metric"] == "peak_rss_bytes", "context"]
    note = (
        f"\nActivations, state and process memory (RSS) at {int(probed.max())} tokens.\n"
        if len(probed)
        else ""
    )
    return text.table(("variant", "backend", *head), rows) + note


def _number(
    arm: pd.DataFrame, metric: str, context: int | None, factor: float, form: str, spread: bool = True
) -> str:
    """A value with its interval; at one context, or at the longest."""
    found = arm[arm["metric"] == metric].sort_values("context")
    if context is not None:
        found = found[found["context"] == context]
    if found.empty:
        return "–"
    row = found.iloc[-1]
    value, low, high = (form.format(factor * row[key]) for key in ("value", "ci_low", "ci_high"))
    return f"{value} [{low}, {high}]" if spread else value


def _energy(arm: pd.DataFrame) -> str:
    """Energy per token, and whether it is measured or an estimate."""
    found = arm[arm["metric"] == "energy_per_token_joule"]
    if found.empty:
        return "–"
    row = found.iloc[-1]
    return f"{row['value']:.2e} ({str(row['method']).split(':')[0].split(',')[0].split(';')[0]})"
