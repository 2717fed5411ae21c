"""The sections of the summary, one file and one line each; `reporting/section.py` says what a section is."""

from synapnet_edge.reporting.sections import (  # noqa: F401  importing registers
    baselines,
    benchmark,
    control,
    cost,
    deploy,
    effective_length,
    equal_bytes,
    eviction,
    experiments,
    goals,
    headline,
    limitations,
    long_context,
    negative,
    paired,
    published,
    retention,
    sizes,
    stream,
)
