"""Power of CPU and GPU on macOS, from Apple's `powermetrics` (needs root, asked for without a prompt)."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time

from synapnet_edge.profiling.device import kind
from synapnet_edge.profiling.energy.base import EnergySource

INTERVAL_MS = 200
_POWER = re.compile(r"^(CPU|GPU|ANE) Power: (\d+(?:\.\d+)?) mW", re.MULTILINE)
COMMAND = ("sudo", "-n", "powermetrics", "--samplers", "cpu_power,gpu_power", "-i", str(INTERVAL_MS))


class PowerMetrics(EnergySource):
    """Mean power of CPU, GPU and neural engine over the stretch, times its wall time; all processes."""

    name = "powermetrics"

    def missing(self, device: str) -> str | None:
        if sys.platform != "darwin":
            return "powermetrics exists on macOS only"
        if kind(device) not in ("cpu", "mps"):
            return f"reads Apple processors, not {device}"
        if shutil.which("powermetrics") is None:
            return "no powermetrics on the path"
        probe = subprocess.run([*COMMAND, "-n", "1"], capture_output=True, text=True, check=False)
        if probe.returncode != 0 or not _POWER.search(probe.stdout):
            return "powermetrics needs root; allow `sudo -n powermetrics` (run `sudo -v` before)"
        return None

    def start(self, device: str) -> None:
        self._file = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 (lives until `stop`)
        self._started = time.perf_counter()
        self._process = subprocess.Popen(COMMAND, stdout=self._file, stderr=subprocess.DEVNULL)

    def stop(self) -> tuple[float, str]:
        seconds = time.perf_counter() - self._started
        self._process.terminate()
        self._process.wait()
        self._file.seek(0)
        text = self._file.read()
        self._file.close()
        watts, samples = mean_watts(text)
        method = f"powermetrics, CPU + GPU + ANE, {samples} samples of {INTERVAL_MS} ms, all processes"
        return watts * seconds, method


def mean_watts(text: str) -> tuple[float, int]:
    """Mean power [W] over the samples in the output of powermetrics, and how many there are.

    Raises
    ------
    ValueError : no sample; the stretch was shorter than one interval.
    """
    found: dict[str, list[float]] = {}
    for part, milliwatts in _POWER.findall(text):
        found.setdefault(part, []).append(float(milliwatts) / 1e3)
    if not found:
        raise ValueError(f"powermetrics: no sample; the stretch must be longer than {INTERVAL_MS} ms")
    return sum(sum(values) / len(values) for values in found.values()), max(map(len, found.values()))
