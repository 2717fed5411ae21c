"""Single products: every code, odd shapes, zero rows, extreme scales; and the choice of instructions."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest
import torch

from synapnet_edge.quantization.packing import PackedWeight
from synapnet_edge.runtime.activations import round_activations
from synapnet_edge.runtime.fast.isa import REQUIREMENTS, choose
from synapnet_edge.runtime.packed_linear import PackedLinear

TOKENS = (1, 2, 3, 4, 5, 7, 8, 13)


def weight(bits, rows, columns, *, row_scale=False, seed=0):
    generator = torch.Generator().manual_seed(seed)
    groups = 1 if row_scale else -(-columns // 64)
    codes = torch.randint(0, 2**bits, (rows, columns), generator=generator)
    codes[0, : min(columns, 2**bits)] = torch.arange(2**bits)[:columns]
    scales = torch.rand(rows, groups, generator=generator) * 0.1
    scales[min(1, rows - 1)] = 6.1e-5  # the smallest normal FP16 number
    scales[min(2, rows - 1)] = 300.0
    codes[-1] = 2 ** (bits - 1)  # a row of zeros
    if row_scale and bits == 2:
        return PackedWeight.pack(codes, scales, bits, zero=2, half_step=True)
    if bits == 8:
        return PackedWeight.pack(codes, scales, bits, zero=128)
    zeros = torch.randint(0, 2**bits, (rows, groups), generator=generator)
    return PackedWeight.pack(codes, scales, bits, zeros=zeros)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("row_scale", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (63, 65), (64, 128), (130, 200)])
def test_products_are_those_of_the_dequantised_weight(bits, row_scale, shape):
    packed = weight(bits, *shape, row_scale=row_scale)
    layer, exact = PackedLinear(packed), packed.dequantize().double()
    for tokens in TOKENS:
        x = torch.randn(tokens, shape[1], generator=torch.Generator().manual_seed(tokens))
        x[-1] = 0
        expected = round_activations(x).double() @ exact.T
        size = round_activations(x).double().abs() @ exact.abs().T
        found = layer(x)
        assert ((found - expected).abs() <= 1e-6 * size + 1e-30).all()
        for token in range(tokens):  # alone, the same bits
            assert torch.equal(layer(x[token : token + 1])[0], found[token])


@pytest.mark.parametrize("size", [0.0, 1e-38, 1e-20, 1e20])
def test_activations_of_extreme_size_stay_finite(size):
    packed = weight(4, 64, 64)
    x = size * torch.ones(3, 64)
    found = PackedLinear(packed)(x)
    assert torch.isfinite(found).all()
    expected = round_activations(x).double() @ packed.dequantize().double().T
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-30)


def test_the_best_instructions_are_chosen_and_missing_ones_named(caplog):
    assert choose({"avx2", "avx512f", "avx512bw", "avx512vl", "avx512vnni"}) == "avx512vnni"
    assert choose({"avx2"}) == "avx2" and choose({"dotprod"}) == "neon" and choose(set()) == "generic"
    with caplog.at_level(logging.WARNING):
        assert choose({"avx2"}, "avx512vnni") == "avx2"
    assert len(caplog.records) == 1 and "lacks: using avx2" in caplog.text
    with pytest.raises(ValueError, match="expected one of"):
        choose(set(), "mmx")


def test_arm_code_is_made_of_its_dot_product():
    """Compiled for ARM, not executed: this machine may be of another kind."""
    code = """
import llvmlite.binding as llvm, llvmlite.ir as ir
import synapnet_edge.runtime.fast.isa as isa
isa.ISA = "neon"
from synapnet_edge.runtime.fast import products
llvm.initialize_all_targets(); llvm.initialize_all_asmprinters()
module = ir.Module("m")
kernels = (("row", products._row_product(4), 10), ("tile", products._tile_product(4, False), 11))
for name, build, count in kernels:
    kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * count)
    builder = ir.IRBuilder((function := ir.Function(module, kind, name)).append_basic_block())
    build(builder, *function.args)
    builder.ret_void()
parsed = llvm.parse_assembly(str(module))
machine = llvm.Target.from_triple("aarch64-linux-gnu").create_target_machine(cpu="cortex-a76", opt=1)
print(machine.emit_assembly(parsed).count("sdot"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if "No available targets" in done.stderr or "aarch64" in done.stderr:
        pytest.skip("this build of LLVM has no ARM code generator")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 320  # a quarter of the 1,280 byte products that the two kernels consist of


@pytest.mark.slow
@pytest.mark.parametrize("isa", [kind for kind in REQUIREMENTS if kind in ("avx2", "generic")])
def test_other_instructions_give_the_same_bits(isa, tmp_path):
    """In a process of its own: instructions are chosen when the kernels are imported."""
    code = (
        "import sys, torch; sys.path.insert(0, 'tests/runtime'); from test_kernels import weight;"
        "from synapnet_edge.runtime.packed_linear import PackedLinear;"
        "x = torch.randn(7, 200, generator=torch.Generator().manual_seed(0));"
        "print(sum(PackedLinear(weight(b, 70, 200))(x).double().abs().sum().item() for b in (2, 4, 8)))"
    )
    found = set()
    for kind in (isa, ""):
        environment = {**os.environ, "SYNAPNET_EDGE_ISA": kind}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1


def test_numba_missing_is_said_in_one_line(tmp_path):
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "from synapnet_edge.runtime.fast.kernels import load_kernels\n"
        "from synapnet_edge.runtime.session import BackendUnavailable\n"
        "try: load_kernels()\nexcept BackendUnavailable as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip().splitlines()) == 1 and "pip install" in done.stdout
