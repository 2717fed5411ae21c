"""Rule `stream_report`: what the long stream showed."""

from pathlib import Path

from synapnet_edge.results_tree import read_tables
from synapnet_edge.threads import job

with job(snakemake.log[0]):
    from synapnet_edge.reporting.stream import write_stream_report

    answers, trace = (read_tables(kind, snakemake.input[kind]) for kind in ("stream", "stream_trace"))
    write_stream_report(answers, trace, snakemake.config, Path(snakemake.output[0]))
