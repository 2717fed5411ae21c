"""The retention classifier: size, features, file."""

import pytest
import torch

from synapnet_edge.artifacts import ArtifactError, write_tensors
from synapnet_edge.memory import RetentionClassifier


@pytest.mark.parametrize(("dim", "hidden", "expected"), [(192, 8, 1659), (192, 16, 3443), (64, 32, 3299)])
def test_parameter_counts(dim, hidden, expected):
    assert RetentionClassifier(dim, hidden).n_parameters == expected


def test_prediction_ignores_the_size_of_a_value_but_not_its_direction():
    torch.manual_seed(0)
    classifier = RetentionClassifier(8)
    values, features = torch.randn(5, 8), torch.randn(5, 4)
    assert torch.allclose(classifier(values, features), classifier(100 * values, features), atol=1e-4)
    assert not torch.allclose(classifier(values, features), classifier(-values, features), atol=1e-4)


def test_saved_classifier_predicts_the_same(tmp_path):
    torch.manual_seed(0)
    classifier = RetentionClassifier(8, 4)
    classifier.feature_mean += 1.0
    classifier.save(tmp_path / "c.safetensors", {"seed": 3})
    loaded = RetentionClassifier.load(tmp_path / "c.safetensors")
    values, features = torch.randn(5, 8), torch.randn(5, 4)
    assert torch.equal(classifier(values, features), loaded(values, features))


def test_other_files_and_widths_are_refused(tmp_path):
    write_tensors(tmp_path / "x.safetensors", {"a": torch.zeros(1)}, {"kind": "model"})
    with pytest.raises(ArtifactError, match="model"):
        RetentionClassifier.load(tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="width 8"):
        RetentionClassifier(8)(torch.zeros(1, 4), torch.zeros(1, 4))


def test_content_is_all_that_the_first_layer_needs_of_a_value():
    torch.manual_seed(0)
    classifier = RetentionClassifier(8, 4)
    classifier.feature_mean += 0.5
    classifier.feature_std *= 2.0
    values, features = torch.randn(5, 8), torch.randn(5, 4)
    scaled = (features - 0.5) / 2.0
    joined = torch.cat([torch.nn.functional.rms_norm(values, (8,)), scaled], dim=-1)
    torch.nn.init.normal_(classifier.direct)
    gain = classifier.direct[0] + classifier.direct[1] * features[:, 3]
    expected = classifier.layers(joined).squeeze(-1) + gain * scaled[:, 0]
    assert torch.allclose(classifier.rank(classifier.content(values), features), expected, atol=1e-5)
    assert torch.allclose(classifier(values, features), expected, atol=1e-5)
