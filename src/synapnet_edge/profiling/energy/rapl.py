"""RAPL counters of x86 processors under Linux, through the kernel's powercap files."""

from __future__ import annotations

from pathlib import Path

from synapnet_edge.profiling.device import kind
from synapnet_edge.profiling.energy.base import EnergySource

ROOT = Path("/sys/class/powercap")


class Rapl(EnergySource):
    """Energy of all processor packages (cores, caches and what else is on the die), everything that ran.

    The counters [uJ] wrap around at `max_energy_range_uj`: a stretch must be shorter than one turn, which is
    minutes at full power.
    """

    name = "rapl"

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root

    def missing(self, device: str) -> str | None:
        if kind(device) != "cpu":
            return f"reads processors, not {device}"
        packages = self._packages()
        if not packages:
            return f"no RAPL package below {self.root}"
        try:
            for package in packages:
                _number(package / "energy_uj")
        except OSError as error:
            return f"{error.filename} cannot be read ({error.strerror}); most systems allow root only"
        return None

    def start(self, device: str) -> None:
        self._before = {package: _number(package / "energy_uj") for package in self._packages()}

    def stop(self) -> tuple[float, str]:
        total = 0
        for package, before in self._before.items():
            used = _number(package / "energy_uj") - before
            total += used if used >= 0 else used + _number(package / "max_energy_range_uj")
        return total / 1e6, f"RAPL, {len(self._before)} package(s), all processes"

    def _packages(self) -> list[Path]:
        """Folders of whole packages: intel-rapl:0, not its parts intel-rapl:0:0."""
        return sorted(path for path in self.root.glob("intel-rapl:*") if path.name.count(":") == 1)


def _number(file: Path) -> int:
    return int(file.read_text())
