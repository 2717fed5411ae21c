"""Command line: `python -m synapnet_edge COMMAND`; the commands are the files of `commands/`."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from synapnet_edge.artifacts import ArtifactError
from synapnet_edge.commands import COMMANDS
from synapnet_edge.commands.optional import advice
from synapnet_edge.config_files import ConfigError
from synapnet_edge.registry import UnknownNameError

# What a user can cause and mend: one line instead of a traceback.
EXPECTED = (ConfigError, ArtifactError, UnknownNameError, FileNotFoundError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="synapnet_edge", description=__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True)
    modules = {name: importlib.import_module(f"synapnet_edge.commands.{name}") for name in COMMANDS}
    for name, module in modules.items():
        first = module.__doc__.splitlines()[0]
        module.arguments(subparsers.add_parser(name, help=first, description=module.__doc__))
    options = parser.parse_args(arguments)
    try:
        return modules[options.command].run(options)
    except EXPECTED as error:
        print(error, file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if (line := advice(error)) is None:
            raise
        print(line, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
