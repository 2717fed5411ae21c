"""Labels of the retention classifier are later questions' reads; documents stay on one side of the split."""

import numpy as np
import pytest
import torch

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.memory import ReadTrace
from synapnet_edge.models import SynapNetEdge, UnboundedStore
from synapnet_edge.training.retention import (
    RetentionSettings,
    collect_examples,
    fit,
    stability,
    train_retention,
)
from synapnet_edge.training.retention_examples import (
    Examples,
    Sides,
    collect_side,
    precedence,
    shuffled,
    with_label_noise,
)
from synapnet_edge.training.retention_ranking import decisions, grouped_ranking, ranking_loss, side_by_side

SMALL = {"documents": 6, "holdout": 0.25, "length": 128, "epochs": 2, "groups": 4, "batch": 2}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    cfg = SynapNetEdgeConfig(
        dim=32, depth=2, heads=2, chunk_len=16, episodic_slots=4, window=8, top_k=8, ff_hidden=32
    )
    return SynapNetEdge(cfg).eval()


def test_trace_accumulates_the_past_and_sums_the_future(model):
    ids = torch.randint(5, 4096, (2, 64), generator=torch.Generator().manual_seed(0))
    store = UnboundedStore(record_mass=True)
    with torch.inference_mode():
        model.forward(ids, store=store)
    trace = ReadTrace.from_store(store, 2, 4)
    assert trace.mass.shape == (4, 2, 2, 16)
    for chunk in range(4):
        assert torch.allclose(trace.accumulated(chunk), trace.mass[: chunk + 1].double().sum(0))
        assert torch.allclose(trace.future(chunk), trace.mass[chunk + 1 :].double().sum(0), atol=1e-6)
    # Nobody reads an entry in the chunk that writes it, or before.
    for chunk in range(4):
        assert float(trace.mass[chunk][..., trace.written >= chunk].abs().sum()) == 0.0


@pytest.mark.parametrize("autocast", [False, True])
def test_training_returns_a_classifier_and_its_controls(model, autocast):
    classifier, table = train_retention(model, SMALL, seed=0, autocast=autocast, progress=False)
    assert list(table["epoch"]) == [1, 2]
    assert classifier.dim == 32 and int(table["parameters"][0]) == classifier.n_parameters
    assert table["best_feature"][0] in ("log_salience", "log_age", "log_mass", "layer_fraction")
    for column in ("validation_auc", "task_auc", "shuffled_auc", "best_feature_auc", "best_feature_task_auc"):
        assert 0.0 <= table[column].iloc[-1] <= 1.0
    assert not any(parameter.grad is not None for parameter in model.parameters())


def test_same_seed_gives_the_same_classifier(model):
    first, second = (train_retention(model, SMALL, seed=1, progress=False)[0] for _ in range(2))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_no_document_is_on_both_sides(model):
    settings = RetentionSettings.from_dict(SMALL | {"documents": 5, "held_out": []})
    train, validation, tasks = collect_examples(model, settings, 0)
    assert len(train.group.unique()) == 4 * 4 and len(validation.group.unique()) == 4 and tasks is None
    rows = {tuple(row) for row in train.values.tolist()}
    seen = {tuple(row) for row in validation.values.tolist()}
    # A shared document would share all its entries; frame tokens such as the first one are alike in all.
    assert len(rows & seen) < 0.1 * len(seen)


def test_held_out_tasks_are_left_out_even_if_the_mixture_has_them(model, monkeypatch):
    drawn = []

    def spy(model, mixture, documents, rng, **shape):
        drawn.append((dict(mixture), documents))
        return collect_side(model, mixture, documents, rng, **shape)

    monkeypatch.setattr("synapnet_edge.training.retention.collect_side", spy)
    mixture = {"reference/niah_single": 0.25, "ruler/vt": 2.0, "ruler/qa_1": 0.0}
    settings = RetentionSettings.from_dict(SMALL | {"mixture": mixture, "held_out": ["ruler/vt"]})
    collect_examples(model, settings, 0)
    assert drawn == [
        ({"reference/niah_single": 1.0}, 4),  # whatever its weight in the mixture
        ({"reference/niah_single": 1.0}, 2),
        ({"ruler/vt": 1.0}, 2),
    ]
    with pytest.raises(ValueError, match="all tasks of the mixture are held out"):
        RetentionSettings.from_dict(SMALL | {"mixture": {"ruler/vt": 1.0}})


def planted(n_groups: int, seed: int, signal: bool) -> Examples:
    """Groups of 40 entries; with a signal, channel 0 of the value decides the future."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(n_groups * 40, 8, generator=generator)
    noise = torch.rand(len(values), generator=generator)
    future = torch.exp(2 * torch.nn.functional.rms_norm(values, (8,))[:, 0]) if signal else noise
    return Examples(
        values.half(), torch.zeros(len(values), 4), future, torch.arange(n_groups).repeat_interleave(40)
    )


def test_classifier_learns_content_and_shuffled_labels_teach_nothing():
    settings = RetentionSettings(epochs=15, decisions=3)
    train, validation = planted(30, 0, True), planted(20, 1, True)
    _, history = fit(Sides(train, validation, None), settings, 0, False)
    assert history[-1]["validation_auc"] > 0.9 and np.isnan(history[-1]["task_auc"])
    order = torch.Generator().manual_seed(0)
    control = Sides(shuffled(train, order), shuffled(validation, order), None)
    _, control = fit(control, settings, 0, False)
    assert abs(control[-1]["validation_auc"] - 0.5) < 0.1


def test_validating_the_last_epoch_alone_changes_no_number_of_it():
    settings, sides = RetentionSettings(epochs=3), Sides(planted(6, 0, True), planted(4, 1, True), None)
    whole, alone = (fit(sides, settings, 0, False, each_epoch=each)[1] for each in (True, False))
    last = [{name: value for name, value in rows[-1].items() if value == value} for rows in (whole, alone)]
    assert last[0] == last[1] and "validation_auc" in last[0]
    assert ["validation_auc" in row for row in alone] == [False, False, True]


def test_pairs_weigh_by_what_swapping_them_keeps_of_the_labels():
    # Labels 1, 0.5, 0; the scores put c first, so that a, b and c have the ranks 3, 2 and 1.
    score, label = torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([[1.0, 0.5, 0.0]])
    one, two = np.log1p(np.exp(1.0)), np.log1p(np.exp(2.0))
    stakes = 0.5 * np.log(3 / 2) * one + 1.0 * np.log(3) * two + 0.5 * np.log(2) * one
    expected = stakes / (1.5 * np.log(3))
    found = ranking_loss(score, label, torch.ones(1, 3, dtype=torch.bool))
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_loss_sees_neither_padding_nor_the_level_of_a_decision():
    generator = torch.Generator().manual_seed(0)
    score, label = (torch.rand(2, 5, generator=generator) for _ in range(2))
    index, live = side_by_side([torch.arange(5), torch.arange(5, 8)])
    whole = ranking_loss(score.flatten()[index], label.flatten()[index], live)
    apart = [
        ranking_loss(score[:1], label[:1], torch.ones(1, 5, dtype=torch.bool)),
        ranking_loss(score[1:, :3], label[1:, :3], torch.ones(1, 3, dtype=torch.bool)),
    ]
    torch.testing.assert_close(whole, sum(apart) / 2)
    lifted = score + torch.tensor([[3.0], [-7.0]])
    torch.testing.assert_close(ranking_loss(lifted.flatten()[index], label.flatten()[index], live), whole)
    assert float(ranking_loss(score, torch.ones(2, 5), torch.ones(2, 5, dtype=torch.bool))) == 0.0


def test_a_decision_holds_all_of_its_examples_and_no_other_ones():
    data = planted(5, 0, True)
    members = decisions(data)
    assert torch.equal(torch.cat(members), torch.arange(len(data.group)))
    assert [int(data.group[x].unique()) for x in members] == [0, 1, 2, 3, 4]


def test_shuffling_stays_inside_each_group():
    data = planted(5, 0, True)
    mixed = shuffled(data, torch.Generator().manual_seed(0))
    assert not torch.equal(mixed.future, data.future)
    for group in range(5):
        mine = data.group == group
        assert torch.equal(mixed.future[mine].sort().values, data.future[mine].sort().values)


def test_label_noise_changes_its_share_of_the_labels():
    data = planted(20, 0, True)
    for share in (0.0, 0.2, 1.0):
        noisy = with_label_noise(data, share, torch.Generator().manual_seed(0))
        assert abs(float((noisy.future != data.future).float().mean()) - share) < 0.06
    with pytest.raises(ValueError, match="share"):
        with_label_noise(data, 1.5, torch.Generator())


def test_labels_say_how_much_is_read_beside_the_most_read_of_the_group():
    data = planted(3, 0, True)
    first = data.group == 0
    label = precedence(data)
    order = data.future[first].argsort()
    assert label[first][order].diff().ge(0).all()
    least = (data.future[first].min() / data.future[first].max()).sqrt()
    assert label[first].max() == 1 and label[first].min() == pytest.approx(float(least))
    lifted = data._replace(future=data.future * (1.0 + 9.0 * (data.group == 1)))
    torch.testing.assert_close(precedence(lifted), label)  # the level of a group does not count
    alike = data._replace(future=torch.ones_like(data.future))
    torch.testing.assert_close(precedence(alike), torch.ones_like(label))


def test_stability_covers_the_whole_grid(model):
    grid = {"seeds": [0, 1], "learning_rates": [1e-3, 1e-2], "label_noise": [0.0, 0.2]}
    table = stability(model, SMALL | {"epochs": 1}, 0, progress=False, **grid)
    assert len(table) == 8 and not table.duplicated(["fit_seed", "learning_rate", "label_noise"]).any()
    assert table["validation_auc"].between(0, 1).all()


def test_ranking_is_judged_inside_groups():
    future, group = np.array([1.0, 2, 3, 4, 5, 10, 20, 30, 40, 50]), np.repeat([0, 1], 5)
    # Perfect inside each group although the second group scores lower throughout.
    score = np.array([101.0, 102, 103, 104, 105, 1, 2, 3, 4, 5])
    auc, correlation = grouped_ranking(score, future, group, 0.2)
    assert auc == 1.0 and correlation == pytest.approx(1.0)
    assert grouped_ranking(np.zeros(10), future, group, 0.2)[0] == 0.5
    assert grouped_ranking(-score, future, group, 0.2)[0] == 0.0


def test_settings_are_checked(model):
    with pytest.raises(ValueError, match="unknown keys"):
        train_retention(model, {"document": 3}, seed=0, progress=False)
    with pytest.raises(ValueError, match="leaves a side empty"):
        RetentionSettings(documents=1)
    with pytest.raises(ValueError, match="longer than one chunk"):
        ReadTrace.from_store(UnboundedStore(record_mass=True), 2, 4)
