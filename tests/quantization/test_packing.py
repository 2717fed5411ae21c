import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synapnet_edge.quantization.packing import SUPPORTED_BITS, PackedWeight, pack_codes, unpack_codes

BITS = pytest.mark.parametrize("bits", SUPPORTED_BITS)


@BITS
def test_every_code_survives_packing_at_every_place_of_a_byte(bits):
    codes = torch.arange(2**bits, dtype=torch.uint8)
    for shift in range(9):
        rolled = torch.cat([torch.zeros(shift, dtype=torch.uint8), codes])
        assert torch.equal(unpack_codes(pack_codes(rolled, bits), bits, len(rolled)), rolled)


@settings(max_examples=40, deadline=None)
@given(
    data=st.data(), bits=st.sampled_from(SUPPORTED_BITS), rows=st.integers(1, 4), length=st.integers(0, 37)
)
def test_any_codes_of_any_length_survive_packing(data, bits, rows, length):
    values = data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=rows * length, max_size=rows * length))
    codes = torch.tensor(values, dtype=torch.uint8).reshape(rows, length)
    packed = pack_codes(codes, bits)
    assert packed.shape == (rows, -(-length * bits // 8))
    assert torch.equal(unpack_codes(packed, bits, length), codes)


def test_first_code_takes_the_lowest_bits():
    assert pack_codes(torch.tensor([1, 2, 3, 0]), 2).tolist() == [0b00_11_10_01]
    assert pack_codes(torch.tensor([0xA, 0x5]), 4).tolist() == [0x5A]
    assert pack_codes(torch.tensor([0b101, 0b011, 0b110]), 3).tolist() == [0b10_011_101, 0b1]


@BITS
def test_codes_out_of_range_are_refused(bits):
    with pytest.raises(ValueError, match="expected 0 .. "):
        pack_codes(torch.tensor([2**bits]), bits)
    with pytest.raises(ValueError, match="expected 0 .. "):
        pack_codes(torch.tensor([-1]), bits)


def test_unpacking_a_wrong_number_of_bytes_is_refused():
    with pytest.raises(ValueError, match="expected uint8 with 2"):
        unpack_codes(torch.zeros(1, dtype=torch.uint8), 4, 3)
    with pytest.raises(ValueError, match="expected one of"):
        unpack_codes(torch.zeros(1, dtype=torch.uint8), 5, 1)


@pytest.mark.parametrize("columns", [1, 63, 64, 65, 130])
def test_packed_weight_has_the_documented_layout_and_pads_to_whole_groups(columns):
    codes = torch.randint(0, 16, (3, columns), generator=torch.Generator().manual_seed(columns))
    groups = -(-columns // 64)
    packed = PackedWeight.pack(codes, torch.ones(3, groups), 4, zeros=torch.full((3, groups), 8), block=64)
    assert packed.codes.shape == (3, groups, 32) and packed.codes.dtype == torch.uint8
    assert packed.scales.dtype == torch.float16 and packed.zeros.shape == (3, -(-groups // 2))
    assert torch.equal(packed.integer_codes(), codes.to(torch.uint8))
    assert torch.equal(packed.dequantize(), codes.float() - 8)
    assert packed.nbytes == 3 * groups * 34 + 3 * -(-groups // 2)


def test_packed_weight_refuses_tensors_that_do_not_fit_together():
    packed = PackedWeight.pack(torch.zeros(2, 128, dtype=torch.uint8), torch.ones(2, 1), 2, zero=2)
    with pytest.raises(ValueError, match="scales: found 3 groups"):
        PackedWeight((2, 128), 2, packed.codes, torch.ones(2, 3).half(), None, 2)
    with pytest.raises(ValueError, match="codes: found"):
        PackedWeight((2, 64), 2, packed.codes, packed.scales, None, 2)


def test_levels_between_the_integers_are_an_integer_zero_point_and_half_a_step():
    packed = PackedWeight.pack(torch.tensor([[0, 1, 2, 3]]), torch.tensor([[0.5]]), 2, zero=2, half_step=True)
    assert packed.dequantize().tolist() == [[-0.75, -0.25, 0.25, 0.75]]
    assert isinstance(packed.zero, int)


@pytest.mark.parametrize("zero", [1.5, 2.0, -1, 4, True])
def test_a_zero_point_that_is_no_code_is_refused(zero):
    with pytest.raises(ValueError, match="zero: found"):
        PackedWeight.pack(torch.zeros(1, 4), torch.ones(1, 1), 2, zero=zero)
