"""The commands of `python -m synapnet_edge`: one file each, listed here.

A command's module has a docstring (its first line is the help), `arguments(parser)`, which declares its
options, and `run(options)`, which returns the exit status. It imports what it runs inside `run`, so that
`--help` stays quick and a command works without the packages that only others need.
"""

from __future__ import annotations

# Name on the command line = name of the module here.
COMMANDS: tuple[str, ...] = (
    "bench",
    "deploy",
    "export",
    "info",
    "publish",
    "quantize",
    "status",
    "stream",
    "tasks",
    "validate",
)
