"""A stream of any length in constant memory; its own page is results/stream.md."""

from __future__ import annotations

from synapnet_edge.reporting import stream
from synapnet_edge.reporting.section import Run, section

ANSWERS = "model seed variant depth tokens correct held_layers"
TRACE = "model seed variant tokens seconds cpu_seconds tokens_per_second rss_bytes store_bytes budget_bytes"


@section("stream", "memory", 90, {"stream": ANSWERS, "stream_trace": TRACE}, target="stream_all")
def write(run: Run) -> str:
    return stream.section(run.tables["stream"], run.tables["stream_trace"], run.config["stream"])
