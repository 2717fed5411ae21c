"""Shared by all tests: one compute thread, as in every job of the workflow."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--policy",
        action="append",
        default=[],
        help="module:Class of an eviction policy to check (repeatable)",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Several processes share the work by file, so that each of its fixtures is made once.

    The tests of the workflow are one share: they use one run of it, and processes of their own.
    """
    workflow = Path(__file__).parent / "workflow"
    for item in items if config.pluginmanager.hasplugin("xdist") else ():
        together = workflow if item.path.is_relative_to(workflow) else item.path
        item.add_marker(pytest.mark.xdist_group(together.as_posix()))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout under test."""
    return Path(__file__).parents[1]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Tests run beside other work; two processes with a pool each slow one another tenfold."""
    import torch

    torch.set_num_threads(1)
