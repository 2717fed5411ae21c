"""What the baselines showed, in words: results/baselines.md and the summary's section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synapnet_edge.artifacts import write_text
from synapnet_edge.reporting import rivals, text
from synapnet_edge.reporting.effective_length import length_words
from synapnet_edge.reporting.findings import Goal, goal_table

if TYPE_CHECKING:
    import pandas as pd

MEGABYTE = 1e6
STATE_GOAL = 1 / 20  # of the Llama's carried bytes at `rivals.FAR` tokens
SOURCES = {
    "baseline_sweep": "contender learning_rate loss chosen core_seconds",
    "baseline_benchmark": "suite task model variant backend seed length n score chance guess",
    "baseline_ours": "suite task model variant backend seed length n score chance guess",
    "baseline_ledger": "contender seed variant bytes parameters",
    "baseline_our_ledger": "model seed variant bytes parameters",
    "baseline_cost": "tier model variant threads context metric value",
    "baseline_kv": "policy budget query_aware position n accuracy accuracy_full bytes full_bytes seed",
}


def goals(tables: rivals.Tables) -> list[Goal]:
    """No baseline ahead in accuracy and bytes from 2,048 tokens on; carried bytes against the Llama's."""
    found, cost = rivals.points(tables), tables.get("baseline_cost")
    goal = f"No baseline better in accuracy and bytes than a variant of ours at {rivals.LONG} tokens or more"
    if found.empty:
        return []
    long = found[found["length"] >= rivals.LONG]
    pairs = rivals.ahead(long)
    measured = "in no pair" if len(long) else "–"
    if len(pairs):
        names = ", ".join(sorted(pairs["model"].unique()))
        measured = (
            f"{len(pairs)} pairs of {names} and ours ({int(pairs['apart'].sum())} with intervals apart)"
        )
    goals = [Goal(goal, measured, pairs.empty if len(long) else None)]
    state = rivals.state_bytes(cost)
    if rivals.FAR in state and "llama" in state.index:
        ours = next(iter(found.loc[found["ours"], "model"]), None)
        share = state.loc[ours, rivals.FAR] / state.loc["llama", rivals.FAR] if ours in state.index else None
        if share is not None:
            bytes_of = " against ".join(_megabytes(state.loc[name, rivals.FAR]) for name in (ours, "llama"))
            goal = f"Carried bytes at {text.count(rivals.FAR)} tokens at most 1/20 of the Llama's"
            goals.append(Goal(goal, f"1/{1 / share:.0f} ({bytes_of} MB)", bool(share <= STATE_GOAL)))
    return goals


def findings(tables: rivals.Tables) -> list[str]:
    """Everything in which a baseline is ahead of the reference model."""
    scored, found = rivals.cells(tables), rivals.points(tables)
    sentences = []
    for model, part in rivals.better_cells(scored).groupby("model", sort=False):
        wins = part[part["gap"] > 0]
        if len(wins):
            top = wins.loc[wins["gap"].idxmax()]
            sentences.append(
                f"{model} answers better than the best variant of ours in {len(wins)} of {len(part)} cells "
                f"(intervals apart in {int(wins['apart'].sum())}), most on {top['task']} at {top['length']} "
                f"({top['variant']}, {text.points(top['gap'])} points)."
            )
    for model, part in rivals.ahead(found[found["length"] >= rivals.LONG]).groupby("model", sort=False):
        top = part.loc[(part["accuracy"] - part["our_accuracy"]).idxmax()]
        sentences.append(
            f"{model} is ahead of a variant of ours in accuracy and bytes (worse in neither) in {len(part)} "
            f"pairs from {rivals.LONG} tokens on, such as {top['variant']} against {top['our_variant']} at "
            f"{top['length']}: {top['accuracy']:.3f} against {top['our_accuracy']:.3f}, "
            f"{_megabytes(top['cost'])} against {_megabytes(top['our_cost'])} MB."
        )
    for model, part in rivals.ahead(found, "speed", less=False).groupby("model", sort=False):
        at = ", ".join(str(length) for length in sorted(part["length"].unique()))
        sentences.append(f"{model} is ahead of a variant of ours in accuracy and decode speed at {at}.")
    cost = tables.get("baseline_cost")
    if cost is not None and len(cost) and len(found):
        sentences += _cheaper(found, cost)
    return sentences


def body(tables: rivals.Tables, config: Mapping[str, Any], manifests: Sequence[Mapping[str, Any]]) -> str:
    """All tables and sentences, in sections of the third level."""
    scored, settings = rivals.cells(tables), config.get("baselines", {})
    cost = tables.get("baseline_cost")
    parts = [
        "Trained on the reference model's batches, step for step, with nearly its parameter count and "
        "a learning rate chosen by a sweep; quantised, scored and measured by the same code. All models run "
        "in PyTorch in float32 where speed is measured.\n",
        text.bullets(findings(tables), "No baseline is ahead of the reference model in any cell measured."),
        _models(tables, manifests),
        "### Accuracy\n\nMean over the tasks measured at every length; in brackets the 95 % interval.\n\n"
        + _accuracy(rivals.means(scored)),
        "### Accuracy by task\n\n" + _by_task(scored),
        "### Effective length\n\nOf the mean over tasks; see the section of that name.\n\n"
        + _effective(scored),
    ]
    if cost is not None and len(cost):
        parts += ["### Bytes\n\n" + _bytes(tables, cost), "### Speed\n\n" + _speed(cost)]
    kv = tables.get("baseline_kv")
    if kv is not None and len(kv):
        parts.append("### Cache policies on the Llama\n\n" + _policies(kv, settings.get("kv", {})))
    return "\n".join(parts)


def write_baseline_report(
    tables: rivals.Tables, config: Mapping[str, Any], manifests: Sequence[Mapping[str, Any]], output: Path
) -> None:
    """Write results/baselines.md."""
    parts = ["# Baselines\n", goal_table(goals(tables)), "## Results\n", body(tables, config, manifests)]
    write_text(output, "\n".join(parts))


def _cheaper(found: pd.DataFrame, cost: pd.DataFrame) -> list[str]:
    """Baselines that carry fewer bytes or decode faster than the reference model, whatever they answer."""
    ours = next(iter(found.loc[found["ours"], "model"]), None)
    sentences = []
    kinds = (
        (rivals.state_bytes(cost), True, "carries fewer bytes"),
        (rivals.speeds(cost), False, "decodes faster"),
        (rivals.speeds(cost, "prefill"), False, "reads prompts faster"),
    )
    for table, less, words in kinds:
        if ours not in table.index:
            continue
        for model in table.index.drop(ours):
            gap = table.loc[ours] - table.loc[model]
            wins = gap[gap > 0] if less else gap[gap < 0]
            if len(wins):
                at = ", ".join(text.count(context) for context in wins.index)
                sentences.append(f"{model} {words} than ours at {at} tokens.")
    return sentences


def _models(tables: rivals.Tables, manifests: Sequence[Mapping[str, Any]]) -> str:
    sweep = tables.get("baseline_sweep")
    facts = rivals.facts_of(manifests)
    if facts.empty:
        return "Parameters, learning rates and cost of training: results/baselines.md.\n"
    tried = {} if sweep is None else {name: part for name, part in sweep.groupby("contender")}
    rows = []
    for row in facts.itertuples():
        part = tried.get(row.model)
        rates = "–"
        if part is not None:
            shown = [f"{line.learning_rate:.2g} ({line.loss:.3f})" for line in part.itertuples()]
            marked = zip(shown, part["chosen"], strict=True)
            rates = ", ".join(f"**{words}**" if chosen else words for words, chosen in marked)
        swept = "–" if part is None else f"{part['core_seconds'].sum() / 60:.1f}"
        rows.append(
            (row.model, text.count(row.parameters), str(row.seeds), rates, swept, f"{row.core_minutes:.1f}")
        )
    head = ("model", "parameters", "seeds", "learning rates tried (loss)", "sweep (core-minutes)")
    table = text.table((*head, "training, mean of seeds (core-minutes)"), rows)
    return f"### Models\n\n{table}"


def _accuracy(means: pd.DataFrame) -> str:
    lengths = sorted(means["length"].unique()) if len(means) else []
    rows = []
    for (model, variant), part in _ordered(means):
        at = {row.length: row for row in part.itertuples()}
        shown = [
            f"{at[n].mean:.3f} {text.interval(at[n].ci_low, at[n].ci_high)}" if n in at else "–"
            for n in lengths
        ]
        rows.append((model, variant, *shown, f"{int(part['seeds'].min())} × {int(part['n_total'].min())}"))
    return text.table(("model", "variant", *map(str, lengths), "seeds × rows"), rows)


def _by_task(scored: pd.DataFrame) -> str:
    """The first variant of every model, one row per task and length."""
    import pandas as pd

    if scored.empty:
        return text.table((), [])
    first = scored.groupby("model", sort=False)["variant"].transform("first")
    wide = scored[scored["variant"] == first].pivot_table(
        index=["task", "length"], columns="model", values="mean", sort=False
    )
    guess = scored.groupby(["task", "length"])["floor"].first()
    rows = [
        (
            task,
            str(length),
            *(text.share(value) for value in row),
            text.share(guess.get((task, length), pd.NA)),
        )
        for (task, length), row in zip(wide.index, wide.itertuples(index=False), strict=True)
    ]
    return text.table(("task", "length", *wide.columns, "without binding"), rows)


def _effective(scored: pd.DataFrame) -> str:
    rows = []
    for (model, variant), part in _ordered(rivals.effective(scored)):
        row = part.iloc[0]
        words = (
            length_words(row[key], row["shortest"], row["longest"]) for key in ("effective", "effective_low")
        )
        rows.append((model, variant, *words))
    return text.table(("model", "variant", "effective length", "by the lower bound"), rows)


def _bytes(tables: rivals.Tables, cost: pd.DataFrame) -> str:
    weights, state = rivals.weight_bytes(tables), rivals.state_bytes(cost)
    contexts = list(state.columns)
    rows = [
        (model, variant, _megabytes(size), *(_megabytes(state.loc[model, n]) for n in contexts))
        for (model, variant), size in weights.items()
        if model in state.index
    ]
    head = [f"carried at {text.count(n)}" for n in contexts]
    note = (
        "Stored weights and what one stream carries after so many tokens (MB): keys, values and memory in "
        "FP16, recurrent states in FP32. Of em_llm the keys and values alone, a lower bound.\n\n"
    )
    return note + text.table(("model", "variant", "weights", *head), rows)


def _speed(cost: pd.DataFrame) -> str:
    prefill, decode = rivals.speeds(cost, "prefill"), rivals.speeds(cost)
    contexts = list(prefill.columns)
    rows = [
        (model, *(text.count(table.loc[model, n]) for table in (prefill, decode) for n in contexts))
        for model in prefill.index
    ]
    head = [f"{name} at {text.count(n)}" for name in ("prefill", "decode") for n in contexts]
    threads = int(cost["threads"].max())
    note = f"Tokens/s, batch 1, {threads} thread(s), median of interleaved repeats.\n\n"
    return note + text.table(("model", *head), rows)


def _policies(kv: pd.DataFrame, settings: Mapping[str, Any]) -> str:
    from synapnet_edge.reporting.aggregate import wilson

    rows = []
    for (policy, aware), part in kv.groupby(["policy", "query_aware"], sort=False):
        shown = []
        for _, cell in part.groupby("budget"):
            right, n = (cell["accuracy"] * cell["n"]).sum(), int(cell["n"].sum())
            low, high = wilson(right, n)
            shown.append(f"{right / n:.3f} {text.interval(low, high)}")
        rows.append((policy, "yes" if aware else "no", *shown))
    full = (kv["accuracy_full"] * kv["n"]).sum() / kv["n"].sum()
    budgets = [f"{100 * budget:g} %" for budget in sorted(kv["budget"].unique())]
    n = int(kv.groupby(["policy", "query_aware", "budget"])["n"].sum().min())
    note = (
        f"{settings.get('task', 'task')} at {settings.get('length', '–')} tokens, n = {n} per cell over "
        f"{kv['seed'].nunique()} seed(s); the full cache answers {full:.3f} and takes "
        f"{_megabytes(kv['full_bytes'].max())} MB. Budgets are bytes; positions and notes of a policy count. "
        "Query-aware: the question is read before the cache is cut.\n\n"
    )
    return note + text.table(("policy", "query-aware", *budgets), rows)


def _ordered(table: pd.DataFrame):
    """((model, variant), rows), ours first."""
    if table.empty:
        return []
    groups = table.groupby(["model", "variant"], sort=False)
    return sorted(
        groups, key=lambda item: not bool(item[1].get("ours", item[1]["model"] == "reference").iloc[0])
    )


def _megabytes(size: float) -> str:
    return f"{size / MEGABYTE:.2f}"
