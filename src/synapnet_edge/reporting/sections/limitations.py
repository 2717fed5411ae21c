"""What the numbers of this run do not show: stated from its tables, settings and machine."""

from __future__ import annotations

from synapnet_edge.reporting import text
from synapnet_edge.reporting.section import CHAPTERS, SECTIONS, Run, in_order, section

GENERAL = (
    "All tasks are synthetic token tasks: they test retrieval, binding, tracking and counting over long "
    "inputs, not language.",
    "Intervals of cells cover the rows and the trained seeds of this run, not other settings of training.",
    "Published numbers come from other code, other draws and one training; only the protocol is the same.",
)


@section("limitations", "limitations", 20)
def write(run: Run) -> str:
    found = [*GENERAL, *_seeds(run), *_machine(run), *_missing(run)]
    return "## What these numbers do not show\n\n" + text.bullets(found, "")


def _seeds(run: Run) -> list[str]:
    cells = run.measured
    if cells.empty:
        return []
    fewest = int(cells["seeds"].min())
    few, all_cells = int((cells["seeds"] == fewest).sum()), len(cells)
    rows = f"{int(cells['n_total'].min())} to {int(cells['n_total'].max())} rows over all seeds"
    return [
        f"Cells of the benchmark rest on {rows}; {few} of {all_cells} on the fewest trained seeds, {fewest}."
    ]


def _machine(run: Run) -> list[str]:
    names = {
        (m["machine"].get("processor", "unknown processor"), m["machine"].get("usable_cores", "?"))
        for m in run.manifests
        if m.get("machine")
    }
    if len(names) != 1:
        return [f"The jobs of this run ran on {len(names)} kinds of machine."] if names else []
    processor, cores = next(iter(names))
    return [
        f"Speed and memory were measured on one machine ({processor}, {cores} usable cores); they stand for "
        "no other."
    ]


def _missing(run: Run) -> list[str]:
    absent = []
    for chapter in CHAPTERS:
        for entry in in_order(chapter):
            if entry.sources and not entry.measured(run):
                how = f" (`snakemake --cores 4 {entry.target}`)" if entry.target else ""
                absent.append(f"{entry.name.replace('_', ' ')}{how}")
    kinds = len([name for name in SECTIONS if SECTIONS.get(name).sources])
    if not absent:
        return []
    return [f"{len(absent)} of {kinds} sections have no table in this run: {', '.join(absent)}."]
