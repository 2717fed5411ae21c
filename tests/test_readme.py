"""The README's library example runs as it stands there."""

from __future__ import annotations

import re

import torch


def test_library_example_runs(repository, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # it writes a file
    blocks = re.findall(
        r"```python\n(.*?)```", (repository / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert len(blocks) == 1
    names: dict = {}
    exec(compile(blocks[0], "README.md", "exec"), names)
    assert names["logits"].shape == (1, names["cfg"].num_classes)
    assert torch.isfinite(names["logits"]).all()
    assert isinstance(names["debug"], dict)
    assert names["again"].tokens == 2048
