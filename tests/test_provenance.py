"""Which source files a stage runs."""

from __future__ import annotations

import pytest

from synapnet_edge import provenance
from synapnet_edge.provenance import LISTINGS, STAGE_ENTRIES, import_closure, stage_code


@pytest.mark.parametrize("stage", STAGE_ENTRIES)
def test_entry_points_of_every_stage_exist(stage):
    assert len(stage_code(stage)) == 12


def test_pretraining_runs_the_model_and_no_quantiser_memory_or_figure():
    closure = import_closure(*STAGE_ENTRIES["pretrain"])
    assert {"training.loop", "models.synapnet_edge_model", "config"} <= set(closure)
    assert not [name for name in closure if name.split(".")[0] in ("quantization", "memory", "plotting")]


def test_listings_exist_and_are_not_followed():
    for listing in LISTINGS:
        assert import_closure("tasks.mixture", "evaluation.eviction").count(listing) == 0
        assert provenance.ROOT.joinpath(*listing.split(".")).with_suffix(".py").is_file()


def test_unknown_module_is_an_error():
    with pytest.raises(ValueError, match="no such module"):
        import_closure("training.lop")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of four files to follow imports in."""
    files = {
        "a.py": "from synapnet_edge.sub import thing\n",
        "b.py": "def f():\n    from .sub import two\n",
        "sub/__init__.py": "from synapnet_edge.sub.one import thing\nfrom . import two\n",
        "sub/one.py": "",
        "sub/two.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    provenance._imports.cache_clear()
    yield tmp_path
    provenance._imports.cache_clear()


def test_name_is_followed_to_the_module_that_defines_it(package):
    assert import_closure("a") == ["a", "sub.one"]


def test_import_inside_a_function_counts(package):
    assert import_closure("b") == ["b", "sub.two"]


def test_subpackage_as_entry_means_all_its_files(package):
    assert import_closure("sub") == ["sub.__init__", "sub.one", "sub.two"]
