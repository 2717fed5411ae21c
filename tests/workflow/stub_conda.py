"""A stand-in for conda: it makes an empty environment and answers what Snakemake asks.

It shows that every rule's environment file is found, read and used; it says nothing about the packages in it.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

PROGRAM = """#!{python}
import json, subprocess, sys
arguments = sys.argv[1:]
with open({calls!r}, "a") as log:
    print(*arguments, file=log)
if arguments[:1] == ["info"]:
    print(json.dumps({{"conda_prefix": {prefix!r}, "root_prefix": {prefix!r}, "platform": "linux-64"}}))
elif arguments == ["--version"]:
    print("conda 24.9.0")
elif arguments[:1] == ["config"]:
    print(json.dumps({{"get": {{"channel_priority": "strict"}}}}))
elif "create" in arguments and "--prefix" in arguments:
    where = arguments[arguments.index("--prefix") + 1]
    subprocess.run([{python!r}, "-m", "venv", "--without-pip", where], check=True)
"""
ACTIVATE = 'export CONDA_PREFIX="$1"\nexport PATH="$1/bin:$PATH"\n'


def install(folder: Path) -> tuple[dict[str, str], Path]:
    """Put the stand-in into `folder`; returns the environment variables to run with and the list of calls."""
    binaries, calls = folder / "bin", folder / "calls.txt"
    binaries.mkdir(parents=True)
    program = binaries / "conda"
    program.write_text(PROGRAM.format(python=sys.executable, calls=str(calls), prefix=str(folder)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (binaries / "activate").write_text(ACTIVATE)
    return {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}, calls
