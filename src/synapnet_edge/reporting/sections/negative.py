"""What speaks against the method or the models, found in the tables."""

from __future__ import annotations

from synapnet_edge.reporting import ablation, findings, text
from synapnet_edge.reporting.section import SECTIONS, Run, section


@section("negative", "limitations", 10)
def write(run: Run) -> str:
    found = findings.negative_results(run.measured, run.sizes, run.evicted, run.tables["retention"])
    found += ablation.unhelpful(run.tables["experiment"])
    for name in SECTIONS:
        found += SECTIONS.get(name).negative(run)
    return "## Negative results\n\n" + text.bullets(found, "The tables show none of those looked for.")
