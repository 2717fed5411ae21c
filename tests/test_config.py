"""Configuration: shapes of models, merging of files, and messages a user can act on."""

from __future__ import annotations

import copy

import pytest
import yaml

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.config_files import ConfigError, load_config, validate_config

NAMES = {"policies": ["baee", "fifo", "lru", "random", "streaming_llm", "oracle"]}


@pytest.fixture(scope="module")
def reference(repository):
    return repository / "config" / "reference.yaml"


def problem(reference, tmp_path, overlay: dict | str, names=NAMES) -> str:
    """The message for an overlay that must be refused."""
    file = tmp_path / "my.yaml"
    file.write_text(overlay if isinstance(overlay, str) else yaml.safe_dump(overlay))
    with pytest.raises(ConfigError) as caught:
        validate_config(load_config([reference, file]), [reference, file], names)
    return str(caught.value)


def test_reference_shape_is_the_default():
    cfg = SynapNetEdgeConfig()
    assert (cfg.dim, cfg.depth, cfg.heads, cfg.episodic_slots) == (192, 6, 6, 32)
    assert (cfg.head_dim, cfg.inner) == (32, 384)


def test_shape_survives_a_round_trip():
    cfg = SynapNetEdgeConfig(dim=64, heads=4, head="lm")
    assert SynapNetEdgeConfig.from_dict(cfg.to_dict()) == cfg


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"heads": 5}, "heads"),
        ({"window": 256}, "window"),
        ({"episodic_slots": 200}, "episodic_slots"),
        ({"chunk_len": 9000}, "chunk_len"),
        ({"head": "regression"}, "head"),
        ({"depth": 0}, "depth"),
        ({"dim": 192.0}, "dim"),
        ({"depth": True}, "depth"),
    ],
)
def test_impossible_shape_names_key_found_and_expected(change, key):
    with pytest.raises(ValueError, match=rf"^{key}: found .*, expected ") as caught:
        SynapNetEdgeConfig(**change)
    assert repr(change[key]) in str(caught.value)


def test_unknown_shape_key_is_refused():
    with pytest.raises(ValueError, match="widht"):
        SynapNetEdgeConfig.from_dict({"widht": 3})


@pytest.mark.parametrize("overlays", [[], ["smoke.yaml"], ["large.yaml"]])
def test_shipped_configurations_are_valid_and_name_only_what_exists(repository, overlays):
    from synapnet_edge.catalogue import build

    files = [repository / "config" / name for name in ["reference.yaml", *overlays]]
    validate_config(load_config(files), files, build())


def test_smoke_changes_sizes_only_so_the_workflow_stays_identical(repository, reference):
    from synapnet_edge.plotting import FIGURES

    full, smoke = load_config([reference]), load_config([reference, repository / "config" / "smoke.yaml"])
    both = {"full": full, "smoke": smoke}
    drawn = {
        name: [FIGURES.get(figure) for figure in config["run"]["figures"]] for name, config in both.items()
    }
    kinds = {name: {kind for found in figures for kind in found.sources} for name, figures in drawn.items()}
    assert kinds["smoke"] == kinds["full"], "the smoke run draws from every kind of table"
    assert {found.name for found in drawn["smoke"]} <= {found.name for found in drawn["full"]}
    assert full["deploy"]["tiers"] == smoke["deploy"]["tiers"]
    assert set(smoke["quantize"]["variants"]) <= set(full["quantize"]["variants"])
    assert len(smoke["seeds"]) >= 2, "averages over seeds need two"


def test_overlay_of_one_key_keeps_all_others(reference, tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("eviction:\n  budgets: [0.25]\n")
    merged, expected = load_config([reference, file]), copy.deepcopy(load_config([reference]))
    expected["eviction"]["budgets"] = [0.25]
    assert merged == expected


def test_merging_is_that_of_snakemake(repository, reference):
    from snakemake.utils import update_config

    smoke = repository / "config" / "smoke.yaml"
    ours, theirs = load_config([reference, smoke]), load_config([reference])
    update_config(theirs, load_config([smoke]))
    assert ours == theirs


def test_unknown_key_names_file_key_and_near_match(reference, tmp_path):
    text = problem(reference, tmp_path, {"pretrain": {"learning_rat": 0.1}})
    assert "my.yaml" in text and "pretrain.learning_rat" in text and "did you mean learning_rate?" in text


def test_wrong_type_names_found_and_expected(reference, tmp_path):
    text = problem(reference, tmp_path, {"calibrate": {"n_samples": "many"}})
    assert "calibrate.n_samples" in text and "'many' (text)" in text and "a whole number" in text


def test_number_that_yaml_reads_as_text_is_explained(reference, tmp_path):
    text = problem(reference, tmp_path, "pretrain:\n  learning_rate: 1e-3\n")
    assert "pretrain.learning_rate" in text and "write 1.0e-3" in text


def test_bare_off_is_explained(reference, tmp_path):
    text = problem(reference, tmp_path, "pretrain:\n  autocast: off\n")
    assert "pretrain.autocast" in text and 'write "off"' in text


def test_impossible_value_in_the_schema_names_the_bound(reference, tmp_path):
    assert "a number <= 1" in problem(reference, tmp_path, {"eviction": {"budgets": [0.1, 1.5]}})


def test_heads_that_do_not_divide_dim_are_refused(reference, tmp_path):
    text = problem(reference, tmp_path, {"models": {"reference": {"heads": 5}}})
    assert "my.yaml" in text and "models.reference.heads: found 5, expected a divisor of dim = 192" in text


def test_unknown_policy_lists_the_known_ones_and_near_matches(reference, tmp_path):
    text = problem(reference, tmp_path, {"eviction": {"policies": ["fifo", "ranodm"]}})
    assert "eviction.policies.1: found 'ranodm'" in text and "did you mean random?" in text and "baee" in text


def test_entry_formats_behind_a_policy_are_checked_with_its_name(reference, tmp_path):
    text = problem(reference, tmp_path, {"eviction": {"policies": ["baee+fp16", "fifo+int4"]}})
    assert "eviction.policies.1: found 'fifo+int4'" in text and "+fp16+int8" in text and "[+]" not in text
    text = problem(reference, tmp_path, {"eviction_cost": {"policies": ["beae+int8"]}})
    assert "eviction_cost.policies.0: found 'beae'" in text and "did you mean baee?" in text


def test_file_with_the_offending_key_is_named_not_the_last_one(reference, tmp_path):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("deploy:\n  repeats: 1\n")
    second.write_text("deploy:\n  chunk_size: 64\n")
    files = [reference, first, second]
    with pytest.raises(ConfigError, match=r"first\.yaml: key deploy\.repeats"):
        validate_config(load_config(files), files)


def test_value_from_the_command_line_is_named_as_such(reference):
    config = load_config([reference]) | {"devise": "cpu"}
    with pytest.raises(ConfigError, match=r"command line .*devise.*did you mean device"):
        validate_config(config, [reference])


def test_missing_block_is_named(reference):
    config = load_config([reference])
    del config["calibrate"]
    with pytest.raises(ConfigError, match="key calibrate: found nothing, expected a value"):
        validate_config(config, [reference])


STAGE = {"length": 64, "steps": 9, "batch": 2, "readouts": 4}


@pytest.mark.parametrize(
    ("overlay", "key"),
    [
        ({"run": {"models": ["refrence"]}}, "run.models.0"),
        ({"run": {"suites": ["rulr"]}}, "run.suites.0"),
        ({"deploy": {"seed": 7}}, "deploy.seed"),
        ({"stream": {"model": "refrence"}}, "stream.model"),
        ({"stream": {"seeds": [7]}}, "stream.seeds.0"),
        ({"stream": {"tokens": 65536}}, "stream.checkpoints"),
        ({"stream": {"policy": "oracle"}}, "stream.policy"),
        ({"stream": {"classifier": True}}, "stream.classifier"),
        ({"pretrain": {"warmup_steps": 10**6}}, "pretrain.warmup_steps"),
        ({"pretrain": {"chunk_lens": [256]}}, "pretrain.chunk_lens"),
        (
            {"pretrain": {"extensions": [{"curriculum": [{**STAGE, "draws": 8}], "warmup_steps": 1}]}},
            "pretrain.extensions.0.curriculum.0.draws",
        ),
        (
            {
                "pretrain": {
                    "ema": 0.9,
                    "extensions": [{"curriculum": [STAGE], "warmup_steps": 1, "blend": 0.5}],
                }
            },
            "pretrain.extensions.0.blend",
        ),
        ({"run": {"experiments": ["ablatoin"]}}, "run.experiments.0"),
        ({"benchmark": {"suites": {"ruler_reference": {"samples": 3}}}}, "benchmark.suites.ruler_reference"),
        ({"benchmark": {"suites": {"new": {"tasks": ["a"]}}}}, "benchmark.suites.new"),
        (
            {"experiments": {"ablation": {"arms": {"odd": {"from": "ful", "after": ["neutralise_bridge"]}}}}},
            "experiments.ablation.arms.odd.from",
        ),
        (
            {"experiments": {"ablation": {"arms": {"odd": {"model": {"heads": 5}}}}}},
            "experiments.ablation.arms.odd.model.heads",
        ),
        (
            {"experiments": {"ablation": {"arms": {"odd": {"pretrain": {"chunk_lens": [128]}}}}}},
            "experiments.ablation.arms.odd.pretrain.chunk_lens",
        ),
    ],
)
def test_contradiction_between_blocks_is_refused(reference, tmp_path, overlay, key):
    assert f"key {key}: found " in problem(reference, tmp_path, overlay)


def test_names_in_cells_and_arms_are_checked(reference, tmp_path):
    names = {"tasks": ["reference/fa"], "variants": ["fp16"]}
    suite = {"cells": [{"tasks": ["reference/fo"], "lengths": [64], "samples": 1}], "variants": ["fp61"]}
    arm = {"pretrain": {"mixture": {"reference/fo": 1.0}}}
    text = problem(
        reference,
        tmp_path,
        {
            "benchmark": {"suites": {"new": suite}},
            "experiments": {"ablation": {"arms": {"odd": arm}}},
        },
        names,
    )
    for key in (
        "benchmark.suites.new.cells.0.tasks.0",
        "benchmark.suites.new.variants.0",
        "experiments.ablation.arms.odd.pretrain.mixture.reference/fo",
    ):
        assert f"key {key}: found 'reference/fo'" in text or f"key {key}: found 'fp61'" in text


def test_the_long_context_suite_has_the_cells_of_the_goals_and_its_overlay_500_rows_in_each(reference):
    from synapnet_edge.cells import cells_of
    from synapnet_edge.reporting.targets import ROWS, SEEDS, SUITE, TARGETS, VARIANT

    wanted = {(task, length) for target in TARGETS for task in target.tasks for length in target.goals}
    for files, rows in (([reference], 24), ([reference, reference.with_name("headline.yaml")], ROWS)):
        config = load_config(files)
        suite = config["benchmark"]["suites"][SUITE]
        cells = cells_of({key: value for key, value in suite.items() if key != "variants"})
        assert suite["variants"] == [VARIANT] and len(config["seeds"]) >= SEEDS
        assert all(cell.n * len(config["seeds"]) >= rows for cell in cells)
        assert wanted == {cell[:2] for cell in cells}


def test_all_problems_are_reported_at_once(reference, tmp_path):
    text = problem(reference, tmp_path, {"deploy": {"repeats": 1}, "calibrate": {"seq_len": 0}})
    assert len(text.splitlines()) == 2


def test_broken_yaml_names_the_file(reference, tmp_path):
    assert "my.yaml: is not YAML" in problem(reference, tmp_path, "seeds: [1, 2\n")


def test_every_reference_key_carries_a_comment(reference):
    """The file is the manual of its keys."""
    lines = reference.read_text(encoding="utf-8").splitlines()
    bare = [line for line in lines if ": " in line and "#" not in line and "/" not in line.split(":")[0]]
    repeated = (
        "lengths:",
        "samples:",
        "tasks:",
        "- {",
        "- tasks:",
    )  # explained once for all suites, or at the list's head
    assert not [line for line in bare if not line.strip().startswith(repeated)]
