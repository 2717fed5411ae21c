"""Up to which length each task holds."""

from __future__ import annotations

from synapnet_edge.reporting import effective_length
from synapnet_edge.reporting.section import Run, section


@section("effective_length", "long_context", 20)
def write(run: Run) -> str:
    return effective_length.section(run.measured)
