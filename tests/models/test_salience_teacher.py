"""The salience is taught by what questions read, and by nothing else."""

import math

import pytest
import torch

from synapnet_edge.models.salience_teacher import RANKED_AMONG, SalienceTeacher
from tests.models.conftest import CHUNK, build


def test_targets_are_the_largest_share_over_heads_and_questions_by_hand():
    """Two chunks of two tokens, one entry each, one question in the second chunk."""
    probabilities = torch.zeros(2, 2, 2, 5)  # [B G, H, T, 2 entries + 2 pending + null]
    probabilities[1, 0, 1] = torch.tensor([0.6, 0.0, 0.1, 0.0, 0.3])
    probabilities[1, 1, 1] = torch.tensor([0.2, 0.0, 0.0, 0.4, 0.4])
    probabilities[0] = 0.9  # nobody asked there
    log_salience = torch.tensor([[-1.0, -2.0, -3.0, -0.5]], requires_grad=True)
    teacher = SalienceTeacher(torch.tensor([[3]]))
    teacher.observe(probabilities, log_salience, 0, 2, torch.tensor([[1, 2]]))
    # Token 0 was neither written nor read; 1 was read as an entry with 0.6; 2 and 3 as pending tokens.
    target, salience = torch.tensor([0.6, 0.1, 0.4]), log_salience[0, 1:]
    expected = -(4 * target * salience + (1 - target) * torch.log(1 - salience.exp())).mean()
    torch.testing.assert_close(teacher.loss(), expected)
    teacher.loss().backward()
    assert log_salience.grad[0, 0] == 0


def test_entries_that_a_full_memory_had_dropped_tell_nothing():
    """Two chunks write two tokens each; the second one's question sees the second entry only."""
    probabilities = torch.zeros(2, 1, 2, 4)  # [B G, H, T, 1 entry + 2 pending + null]
    probabilities[1, 0, 1] = torch.tensor([0.6, 0.0, 0.1, 0.3])
    log_salience = torch.tensor([[-1.0, -2.0, -3.0, -0.5]])
    teacher = SalienceTeacher(torch.tensor([[3]]))
    kept = torch.tensor([[-1], [1]])
    teacher.observe(probabilities, log_salience, 0, 2, torch.tensor([[0, 1, 2, 3]]), kept)
    # Read were token 1 (0.6, an entry) and token 3 (0.1, pending).
    target, salience = torch.tensor([0.6, 0.1]), log_salience[0, [1, 3]]
    expected = -(4 * target * salience + (1 - target) * torch.log(1 - salience.exp())).mean()
    torch.testing.assert_close(teacher.loss(), expected)


@pytest.mark.parametrize("max_entries", [10, 1024])
def test_watching_changes_no_result_and_trains_the_salience_of_every_layer(ids, max_entries):
    model = build(max_entries=max_entries).train()
    positions = torch.tensor([[2 * CHUNK + 3, ids.shape[1] - 1]]).expand(len(ids), -1)
    teacher = SalienceTeacher(positions)
    watched = model(ids, positions, teacher=teacher)
    torch.testing.assert_close(watched, model(ids, positions), rtol=1e-4, atol=1e-5)
    teacher.loss().backward()
    assert all(block.salience.score.weight.grad.abs().max() > 0 for block in model.blocks)


def test_ranking_counts_the_background_as_a_million_tokens_by_hand():
    """Token 0 is read, token 1 hardly (neither read nor background), 2 and 3 not, 4 asks and is not seen."""
    probabilities = torch.zeros(1, 1, 5, 6)  # [B G, H, T, 5 pending + null]
    probabilities[0, 0, 4] = torch.tensor([0.5, 0.1, 0.01, 0.005, 0.0, 0.385])
    log_salience = torch.tensor([[-0.5, -1.0, -2.0, -3.0, -4.0]])
    alone = log_salience.clone().requires_grad_()
    logit = torch.log(log_salience.exp() / (1 - log_salience.exp()))[0]
    rivals = torch.logsumexp(logit[2:4], 0) + math.log(RANKED_AMONG / 2)
    losses = []
    for given in (None, alone):
        teacher = SalienceTeacher(torch.tensor([[4]]))
        teacher.observe(probabilities, log_salience, 0, 1, None, None, given)
        losses.append(teacher.loss())
    torch.testing.assert_close(losses[1] - losses[0], torch.nn.functional.softplus(rivals - logit[0]))
    losses[1].backward()
    assert alone.grad[0, 0] < 0 and alone.grad[0, 2] > alone.grad[0, 3] > 0 and alone.grad[0, 1] == 0


def test_ranking_trains_the_weights_of_the_salience_and_nothing_else(ids):
    model = build().train()
    positions = torch.full((len(ids), 1), ids.shape[1] - 1)
    gradients = []
    for ranked in (True, False):
        teacher = SalienceTeacher(positions)
        if not ranked:
            observe = teacher.observe
            teacher.observe = lambda *arguments, observe=observe: observe(*arguments[:6])
        model.zero_grad()
        model(ids, positions, teacher=teacher)
        teacher.loss().backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    changed = {name for name in gradients[0] if not torch.equal(*(found[name] for found in gradients))}
    assert changed == {name for name, _ in model.named_parameters() if "salience" in name or "prior" in name}
