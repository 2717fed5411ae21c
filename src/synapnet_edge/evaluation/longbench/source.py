"""Where the LongBench files are: a folder, or the archive ``data.zip`` as it is published.

Archives are read in place and never unpacked, so that no member can be written anywhere.
"""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

REPOSITORY = "zai-org/LongBench"
ARCHIVE = "data.zip"
MAX_MEMBER_BYTES = 2**30  # the largest published file is far smaller
MAX_LINE_BYTES = 2**26

HOW_TO_GET = f"""\
How to get the data (about 114 MB):
  pip install "synapnet-edge[longbench]"
  hf download {REPOSITORY} {ARCHIVE} --repo-type dataset --revision <commit> --local-dir longbench
or copy https://huggingface.co/datasets/{REPOSITORY}/resolve/main/{ARCHIVE} here from another machine.
Then name it: data_dir: longbench/{ARCHIVE} (a folder with <task>.jsonl files works too)."""


class MissingData(FileNotFoundError):
    """The data are not there; the message says what was looked for, where, and how to get it."""

    def __init__(self, found: str) -> None:
        super().__init__(f"{found}\n{HOW_TO_GET}")


class UnsafeArchive(ValueError):
    """An archive with a member that no published LongBench archive has."""


@dataclass(frozen=True)
class Source:
    """Files of LongBench: ``<name>.jsonl`` in a folder, or members of a zip file.

    Attributes
    ----------
    path : Path
        The folder or the zip file.
    members : dict of str to str
        Name of a file without its ending ("qasper", "qasper_e") -> its path below `path`.
    """

    path: Path
    members: dict[str, str]

    @property
    def files(self) -> list[Path]:
        """The files on disk that hold the data."""
        if self.path.is_dir():
            return [self.path / member for member in self.members.values()]
        return [self.path]

    def lines(self, name: str) -> Iterator[tuple[str, bytes]]:
        """Yield ("place:line", bytes) of one file.

        Raises
        ------
        MissingData
            If there is no such file.
        UnsafeArchive
            If a line is longer than `MAX_LINE_BYTES`.
        """
        if name not in self.members:
            raise MissingData(f"{self.path}: found no {name}.jsonl; there are: {self.listing()}")
        member = self.members[name]
        if self.path.is_dir():
            with (self.path / member).open("rb") as file:
                yield from _numbered(file, self.path / member)
        else:
            with zipfile.ZipFile(self.path) as archive, archive.open(member) as file:
                yield from _numbered(file, f"{self.path}:{member}")

    def listing(self) -> str:
        """The names that are there, for messages."""
        return ", ".join(sorted(self.members)) or "none"


def open_source(data_dir: str | Path | None) -> Source:
    """Look into a folder or zip file; nothing is read but names.

    Parameters
    ----------
    data_dir : path or None
        A folder with ``<task>.jsonl`` in it, in its folder ``data`` or in a ``data.zip``; or such a zip file.

    Raises
    ------
    MissingData
        If nothing is configured, the path does not exist, or no file of LongBench is in it.
    UnsafeArchive
        If the archive has members it should not have.
    """
    if data_dir is None:
        raise MissingData("LongBench: no data are configured (data_dir is null).")
    path = Path(data_dir).expanduser()
    if path.is_dir():
        for folder in (path, path / "data"):
            found = {file.stem: str(file.relative_to(path)) for file in sorted(folder.glob("*.jsonl"))}
            if found:
                return Source(path, found)
        if not (path / ARCHIVE).is_file():
            raise MissingData(f"{path}: found neither *.jsonl, data/*.jsonl nor {ARCHIVE} in this folder.")
        path = path / ARCHIVE
    if not path.is_file():
        raise MissingData(f"{path}: found no such folder or file.")
    return Source(path, _checked_members(path))


def _checked_members(path: Path) -> dict[str, str]:
    """Name -> member of an archive whose every member is harmless."""
    if not zipfile.is_zipfile(path):
        raise MissingData(f"{path}: found a file that is no zip archive, expected {ARCHIVE}.")
    found: dict[str, str] = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            problem = _problem(member)
            if problem:
                raise UnsafeArchive(f"{path}: member {member.filename!r}: {problem}; nothing was read")
            inner = PurePosixPath(member.filename)
            if inner.suffix == ".jsonl" and len(inner.parts) <= 2 and not inner.name.startswith("."):
                if inner.stem in found:
                    raise UnsafeArchive(f"{path}: found {inner.name} twice, expected each file once")
                found[inner.stem] = member.filename
    if not found:
        raise MissingData(f"{path}: found no data/<task>.jsonl in this archive.")
    return found


def _problem(member: zipfile.ZipInfo) -> str | None:
    """What is wrong with a member, if anything."""
    # `filename` ends at a zero byte and has its separators changed; `orig_filename` is what was stored.
    name = member.orig_filename
    if "\\" in name or ":" in name or any(ord(letter) < 32 for letter in name):
        return "found a name with a backslash, colon or control character, expected a plain relative path"
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        return "found an absolute path or one with '..', expected a plain relative path"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "found a symbolic link, expected a file"
    if member.flag_bits & 0x1:
        return "found an encrypted member, expected plain data"
    if member.file_size > MAX_MEMBER_BYTES:
        return f"found {member.file_size} bytes unpacked, expected at most {MAX_MEMBER_BYTES}"
    return None


def _numbered(file, place: str | Path) -> Iterator[tuple[str, bytes]]:
    """("place:line", bytes); lines end at line feeds only, since texts hold other separators."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise UnsafeArchive(f"{place}:{number}: found a line of more than {MAX_LINE_BYTES} bytes")
        yield f"{place}:{number}", line
