"""The written report: rendered from tables, beside the forerunner's published numbers."""

from __future__ import annotations

from synapnet_edge.reporting.forerunner import PUBLISHED, published, published_rows
from synapnet_edge.reporting.summary import write_summary

__all__ = ["PUBLISHED", "published", "published_rows", "write_summary"]
