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


# These share one finished run of the workflow.
_TOGETHER = {"test_elsewhere.py", "test_incremental.py", "test_readme_commands.py", "test_smoke.py"}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Several processes share the work by file, so that each of its fixtures is made once."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return "finished run" if Path(file).name in _TOGETHER else file

    return ByFile(config, log)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout under test."""
    return Path(__file__).parents[1]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Tests run beside other work; two processes with a pool each slow one another tenfold."""
    import torch

    torch.set_num_threads(1)
