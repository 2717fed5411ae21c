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


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Several processes share the work by file, so that each of its fixtures is made once.

    Files with a group of their own, such as those that use one finished run of the workflow, stay together.
    """
    for item in items if config.pluginmanager.hasplugin("xdist") else ():
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.as_posix()))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout under test."""
    return Path(__file__).parents[1]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Tests run beside other work; two processes with a pool each slow one another tenfold."""
    import torch

    torch.set_num_threads(1)
