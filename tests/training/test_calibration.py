import pytest
import torch
from torch import nn

from synapnet_edge.quantization.statistics import collect_statistics
from synapnet_edge.training.calibration import (
    build_calib_loader,
    calibrate,
    read_statistics,
    write_statistics,
)


class Shared(nn.Module):
    """Two layers fed by one tensor, one by another."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(16, 6)
        self.a, self.b = nn.Linear(6, 5), nn.Linear(6, 5)
        self.c = nn.Linear(5, 2)

    def forward(self, ids):
        if ids.min() < 0:
            raise RuntimeError("bad batch")
        x = self.embed(ids)
        return self.c(self.a(x) * self.b(x))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Shared()


def batches():
    generator = torch.Generator().manual_seed(3)
    return [
        torch.randint(0, 16, (2, 7), generator=generator),
        torch.randint(0, 16, (1, 7), generator=generator),
    ]


def test_statistics_equal_a_direct_computation_over_all_tokens(model):
    found = collect_statistics(model, batches())
    x = torch.cat([model.embed(ids).flatten(0, 1) for ids in batches()]).detach()
    for layer in "ab":
        torch.testing.assert_close(found[f"{layer}.second_moment"], x.T @ x / len(x))
        torch.testing.assert_close(found[f"{layer}.abs_mean"], x.abs().mean(0))
        assert torch.equal(found[f"{layer}.abs_max"], x.abs().amax(0))
        assert int(found[f"{layer}.tokens"]) == 21
    y = (model.a(x) * model.b(x)).detach()
    torch.testing.assert_close(found["c.second_moment"], y.T @ y / len(y))


def test_hooks_are_removed_and_the_mode_restored_even_after_an_error(model):
    model.train()
    with pytest.raises(RuntimeError, match="bad batch"):
        collect_statistics(model, [torch.full((1, 2), -1)])
    assert model.training and not any(module._forward_pre_hooks for module in model.modules())


def test_an_empty_loader_is_an_error(model):
    with pytest.raises(ValueError, match="found no batch"):
        collect_statistics(model, [])


def test_statistics_survive_the_file_and_shared_ones_are_stored_once(model, tmp_path):
    found = collect_statistics(model, batches())
    write_statistics(tmp_path / "stats.safetensors", found)
    again = read_statistics(tmp_path / "stats.safetensors")
    assert again.keys() == found.keys()
    assert all(torch.equal(again[name], value) for name, value in found.items())
    assert (tmp_path / "stats.safetensors").stat().st_size < sum(8 * v.numel() for v in found.values()) + 2000


def test_loader_gives_the_asked_shapes_and_the_same_rows_every_time():
    loader = build_calib_loader(n_samples=5, seq_len=64, batch_size=2, seed=7)
    first, second = list(loader), list(loader)
    assert [tuple(ids.shape) for ids in first] == [(2, 64), (2, 64), (1, 64)] and len(loader) == 3
    assert all(torch.equal(a, b) and a.dtype == torch.int64 for a, b in zip(first, second, strict=True))
    other = list(build_calib_loader(n_samples=5, seq_len=64, batch_size=2, seed=8))
    assert not torch.equal(first[0], other[0])


def test_a_vocabulary_too_small_for_the_tasks_is_an_error():
    with pytest.raises(ValueError, match="vocab_size: found 10"):
        list(build_calib_loader(n_samples=2, seq_len=64, vocab_size=10))
    with pytest.raises(ValueError, match="n_samples: found 0"):
        build_calib_loader(n_samples=0)


def test_unknown_stage_keys_are_refused(tmp_path):
    with pytest.raises(ValueError, match="unknown keys"):
        calibrate("none.safetensors", {"samples": 3}, 0, tmp_path / "s.safetensors")


def test_wide_layers_take_their_second_moment_from_a_subsample_of_the_right_scale():
    torch.manual_seed(0)
    wide = nn.Sequential(nn.Linear(768, 1))
    x = torch.randn(4000, 768) * torch.linspace(0.1, 3, 768)
    found = collect_statistics(wide, [x[:2000, None], x[2000:, None]])
    torch.testing.assert_close(found["0.second_moment"].diag(), x.square().mean(0), rtol=0.25, atol=0.01)
    assert int(found["0.tokens"]) == 4000
