import pytest

from synapnet_edge.tasks.layout import LAYOUT, Layout


def test_ranges_are_those_of_the_documented_layout():
    assert LAYOUT.answer_stop == LAYOUT.marker_start == 69
    assert LAYOUT.ordinal_start == 85
    assert LAYOUT.relation_start == 101
    assert (LAYOUT.name_start, LAYOUT.name_stop) == (117, 1141)
    assert LAYOUT.background_start == 1141
    assert LAYOUT.marker("ASSIGN") == 69
    assert LAYOUT.marker("CUE") == 81


def test_a_layout_without_background_names_needed_and_available_ids():
    with pytest.raises(ValueError, match="at least 1142 ids, got 1141"):
        Layout(vocab_size=1141)


def test_an_unknown_marker_lists_the_available_ones():
    with pytest.raises(ValueError, match="'COPPY'.*COPY"):
        LAYOUT.marker("COPPY")
