"""Energy: every reading says how it was made, and an estimate says that it is one."""

from __future__ import annotations

import pytest

from synapnet_edge.profiling.energy import ENERGY_SOURCES, EnergySource, Meter
from synapnet_edge.profiling.energy.powermetrics import mean_watts
from synapnet_edge.profiling.energy.rapl import Rapl


def packages(root, **values):
    for name, (energy, largest) in values.items():
        folder = root / name.replace("_", ":", 1).replace("rapl:", "intel-rapl:").replace("_", ":")
        folder.mkdir(exist_ok=True)
        (folder / "energy_uj").write_text(str(energy))
        (folder / "max_energy_range_uj").write_text(str(largest))


def test_the_estimate_comes_last_and_every_source_has_a_name():
    names = ENERGY_SOURCES.names()
    assert names[-1] == "estimate" and {"rapl", "nvml", "powermetrics"} < set(names)
    assert all(ENERGY_SOURCES.get(name).name == name for name in names)


def test_an_estimate_is_power_times_time_and_says_so():
    with Meter("cpu", 15.0, ("estimate",)) as meter:
        sum(range(200_000))
    reading = meter.reading
    assert reading.estimated and "15 W" in reading.method
    assert reading.joule == pytest.approx(15.0 * reading.seconds, rel=0.2)


def test_without_a_source_and_a_rated_power_nothing_is_claimed(monkeypatch, tmp_path):
    monkeypatch.setattr("synapnet_edge.profiling.energy.rapl.ROOT", tmp_path)
    with pytest.raises(ValueError, match="no rated power"):
        Meter("cpu", None, ("estimate",))


def test_rapl_adds_whole_packages_and_survives_a_counter_that_wraps(tmp_path):
    packages(tmp_path, rapl_0=(900, 1000), rapl_1=(5_000_000, 10**9), rapl_0_0=(1, 10))
    source = Rapl(tmp_path)
    assert source.missing("cpu") is None and "processors" in source.missing("cuda")
    source.start("cpu")
    packages(tmp_path, rapl_0=(100, 1000), rapl_1=(7_000_000, 10**9), rapl_0_0=(9, 10))
    joule, method = source.stop()
    assert joule == pytest.approx(2.0002) and "2 package(s)" in method and not method.startswith("estimate")


def test_rapl_that_is_not_there_or_not_readable_says_why(tmp_path):
    assert "no RAPL package" in Rapl(tmp_path).missing("cpu")
    (tmp_path / "intel-rapl:0").mkdir()
    assert "cannot be read" in Rapl(tmp_path).missing("cpu")


def test_powermetrics_output_is_read_part_by_part():
    text = (
        "CPU Power: 1000 mW\nGPU Power: 20 mW\n...\nCPU Power: 3000 mW\nGPU Power: 40 mW\nANE Power: 0 mW\n"
    )
    watts, samples = mean_watts(text)
    assert watts == pytest.approx(2.03) and samples == 2
    with pytest.raises(ValueError, match="no sample"):
        mean_watts("nothing")


def test_the_first_source_that_answers_is_used_and_the_others_say_why_not():
    class Counter(EnergySource):
        name = "counter"

        def missing(self, device):
            return None

        def start(self, device):
            self.device = device

        def stop(self):
            return 3.0, f"counter of {self.device}"

    ENERGY_SOURCES.add("counter", Counter)
    try:
        with Meter("cpu", 15.0, ("nvml", "counter", "estimate")) as meter:
            pass
    finally:
        ENERGY_SOURCES._items.pop("counter")
    assert (meter.reading.joule, meter.reading.method) == (3.0, "counter of cpu")
    assert "NVIDIA" in meter.skipped["nvml"]
