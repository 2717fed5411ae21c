"""Medians carry honest intervals, and arms are measured in turn."""

from __future__ import annotations

import pytest
import torch

from synapnet_edge.profiling import TIERS, TierUnavailable, available, device, tiers
from synapnet_edge.profiling.tiers import base
from synapnet_edge.profiling.timing import interleave, median_interval, timed
from synapnet_edge.registry import UnknownNameError


def test_three_repeats_span_lowest_to_highest_and_say_that_it_covers_75_percent():
    found = median_interval([3.0, 1.0, 2.0])
    assert (found.median, found.low, found.high, found.repeats) == (2.0, 1.0, 3.0, 3)
    assert found.coverage == pytest.approx(0.75)


def test_many_repeats_narrow_to_the_order_statistics_of_95_percent():
    found = median_interval(range(1, 21))  # n = 20: ranks 6 and 15 cover 95.86 %
    assert (found.low, found.high) == (6.0, 15.0)
    assert found.coverage == pytest.approx(0.9586, abs=1e-4)


def test_one_repeat_claims_no_coverage():
    assert median_interval([5.0]).coverage == 0.0


@pytest.mark.parametrize("bad", [[], [1.0, float("nan")]])
def test_samples_without_a_finite_value_are_an_error(bad):
    with pytest.raises(ValueError, match="finite"):
        median_interval(bad)


def test_arms_alternate_and_the_order_rotates():
    order = []

    def measure(arm):
        order.append(arm)
        return {"speed": float(len(order))}

    found = interleave(["a", "b", "c"], 3, measure)
    assert "".join(order) == "abcbcacab"
    assert found["a"]["speed"] == [1.0, 6.0, 8.0]


def test_timed_returns_the_result_and_positive_seconds():
    result, seconds = timed(lambda: sum(range(1000)), "cpu")
    assert result == 499500 and seconds > 0


def test_single_tier_uses_one_thread_and_multi_refuses_one(monkeypatch):
    assert TIERS.get("cpu_single").threads(8) == 1
    monkeypatch.setattr(base, "usable_cores", lambda: 4)
    assert TIERS.get("cpu_multi").threads(3) == 3 and TIERS.get("cpu_multi").threads(9) == 4
    with pytest.raises(TierUnavailable, match="at least 2 threads"):
        TIERS.get("cpu_multi").threads(1)


def test_a_tier_the_machine_lacks_gives_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(base, "usable_cores", lambda: 1)
    assert available("cpu_single") is None
    for name in ("cuda", "cpu_multi"):
        reason = available(name)
        assert reason and "\n" not in reason
        with pytest.raises(TierUnavailable, match=name):
            tiers.require(name)


def test_a_configuration_can_name_any_torch_device_as_a_tier():
    found = tiers.find("second_gpu", {"second_gpu": "cuda:1"})
    assert (found.device, found.single_thread) == ("cuda:1", False)
    with pytest.raises(ValueError, match="expected a torch device"):
        tiers.find("odd", {"odd": "toaster"})
    reason = available("accelerator", {"accelerator": "xpu:7"})
    assert reason and "\n" not in reason


def test_an_index_beyond_the_devices_is_missing(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert device.missing("cuda:0") is None and device.missing("cuda") is None
    assert device.missing("cuda:1") == "torch finds 1 cuda device, none with index 1"


def test_an_unknown_tier_names_near_matches():
    with pytest.raises(UnknownNameError, match="cpu_single"):
        available("cpu_singel")
