"""Vectors of sixteen lanes inside Numba functions: two Numba types and the operations on them.

Numba compiles scalar loops and leaves vectors to chance; integer dot products it never finds. Here a vector
is a value like any other (`fma(loadf(a), loadf(b), acc)`), every operation is one LLVM instruction or a fixed
sequence of them, and the order of each sum is what the source says, so that one token and a chunk of tokens
give the same bits. Memory is addressed by integers: views of arrays would cost more than some of the loops.

LLVM splits the sixteen lanes into what the processor has (one AVX-512 register, two of AVX2, four of NEON).
"""

from __future__ import annotations

from llvmlite import ir
from numba import cfunc
from numba.core import cgutils, types
from numba.core.datamodel import models, register_default
from numba.extending import intrinsic

LANES = 16
VECTOR_BYTES = 64

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_F32 = ir.FloatType()
_FLOATS, _INTS = ir.VectorType(_F32, LANES), ir.VectorType(_I32, LANES)


class FloatVector(types.Type):
    """Sixteen float32."""

    def __init__(self) -> None:
        super().__init__("f32x16")


class IntVector(types.Type):
    """Sixteen int32, or the 64 bytes they consist of."""

    def __init__(self) -> None:
        super().__init__("i32x16")


F, I = FloatVector(), IntVector()  # noqa: E741 (the names the signatures below read best with)


@register_default(FloatVector)
class _FloatModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type) -> None:
        super().__init__(dmm, fe_type, _FLOATS)


@register_default(IntVector)
class _IntModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type) -> None:
        super().__init__(dmm, fe_type, _INTS)


def _operation(result, arguments, build):
    """An intrinsic of fixed types; `build(builder, *values)` emits its body."""
    names = ", ".join(f"a{index}" for index in range(len(arguments)))

    def typed(_context, *given):
        def codegen(_ctx, builder, _signature, values):
            return build(builder, *values)

        return result(*arguments), codegen

    scope: dict = {"typed": typed}
    exec(f"def operation(typingctx, {names}):\n    return typed(typingctx, {names})", scope)  # fixed text
    return intrinsic(scope["operation"])


def _pointer(builder, address, kind):
    return builder.inttoptr(address, kind.as_pointer())


def load(builder, address, kind, align=1):
    """Load `kind` from an integer address. Alignment is stated: LLVM would assume the natural one."""
    return builder.load(_pointer(builder, address, kind), align=align)


def store(builder, address, value, align=1):
    """Store at an integer address."""
    builder.store(value, _pointer(builder, address, value.type), align=align)


def splat(builder, scalar, lanes=LANES):
    """A vector of equal lanes."""
    kind = ir.VectorType(scalar.type, lanes)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(_I32, 0))
    zeros = ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes)
    return builder.shuffle_vector(first, first, zeros)


def call(builder, name, result, *values):
    """Call an LLVM intrinsic."""
    kind = ir.FunctionType(result, [value.type for value in values])
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, values)


def constant(value, kind=_FLOATS):
    """A vector constant of equal lanes."""
    return ir.Constant(kind, [value] * kind.count)


def _void(build):
    def wrapped(builder, *values):
        build(builder, *values)
        return ir.Constant(_I8.as_pointer(), None)

    return wrapped


def _fma(builder, a, b, c):
    return call(builder, f"llvm.fma.v{LANES}f32", _FLOATS, a, b, c)


def _maximum(builder, a, b):
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _halves(builder, vector, join):
    """Join the upper half of a vector to its lower half until one lane is left."""
    lanes = LANES
    while lanes > 1:
        lanes //= 2
        parts = [
            builder.shuffle_vector(
                vector, vector, ir.Constant(ir.VectorType(_I32, lanes), list(range(start, start + lanes)))
            )
            for start in (0, lanes)
        ]
        vector = join(builder, *parts)
    return builder.extract_element(vector, ir.Constant(_I32, 0))


def _exp(builder, x):
    """e^x to about 1e-7 relative; 0 below -87, at most e^88."""
    clamped = _maximum(builder, x, constant(-87.5))
    clamped = builder.select(builder.fcmp_ordered("<", clamped, constant(88.0)), clamped, constant(88.0))
    turns = call(
        builder, f"llvm.rint.v{LANES}f32", _FLOATS, builder.fmul(clamped, constant(1.4426950408889634))
    )
    rest = _fma(builder, turns, constant(-0.693359375), clamped)
    rest = _fma(builder, turns, constant(2.12194440e-4), rest)
    value = constant(1.9875691500e-4)
    for coefficient in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        value = _fma(builder, value, rest, constant(coefficient))
    value = _fma(builder, builder.fmul(rest, rest), value, rest)
    value = builder.fadd(value, constant(1.0))
    exponent = builder.add(builder.fptosi(turns, _INTS), constant(127, _INTS))
    power = builder.bitcast(builder.shl(exponent, constant(23, _INTS)), _FLOATS)
    scaled = builder.fmul(value, power)
    return builder.select(builder.fcmp_ordered("<", x, constant(-87.0)), constant(0.0), scaled)


def _sigmoid(builder, x):
    exponential = _exp(builder, builder.fsub(constant(0.0), x))
    return builder.fdiv(constant(1.0), builder.fadd(constant(1.0), exponential))


def _rounded_int(builder, x):
    return builder.fptosi(call(builder, f"llvm.rint.v{LANES}f32", _FLOATS, x), _INTS)


def _store_bytes(builder, address, vector):
    store(builder, address, builder.trunc(vector, ir.VectorType(_I8, LANES)))


def _prefetch(builder, address):
    how = [ir.Constant(_I32, number) for number in (0, 3, 1)]  # to read, into every cache, data
    call(builder, "llvm.prefetch.p0", ir.VoidType(), _pointer(builder, address, _I8), *how)


def load_floats(builder, address, kind):
    """Sixteen float32 from the address of sixteen float32, float16 or int8."""
    if kind == "float32":
        return load(builder, address, _FLOATS, 4)
    if kind == "float16":
        return builder.fpext(load(builder, address, _kinds(ir.HalfType()), 2), _FLOATS)
    return builder.sitofp(load(builder, address, _kinds(_I8)), _FLOATS)


def _gather_half(builder, address, step):
    halves = ir.Constant(_kinds(_I16), ir.Undefined)
    for lane in range(LANES):
        place = builder.add(address, builder.mul(step, ir.Constant(_I64, lane)))
        halves = builder.insert_element(halves, load(builder, place, _I16, 2), ir.Constant(_I32, lane))
    return builder.fpext(builder.bitcast(halves, _kinds(ir.HalfType())), _FLOATS)


def _kinds(element):
    return ir.VectorType(element, LANES)


def kernel(arguments):
    """Decorator: compile a function of so many int64 arguments by itself, to be called by its address."""
    signature = f"void({', '.join(['int64'] * arguments)})"
    return cfunc(signature, error_model="numpy", cache=True)


_a, _f, _n = types.int64, types.float32, types.int32
_none = types.none


def _invoke(builder, address, *arguments):
    kind = ir.FunctionType(ir.VoidType(), [_I64] * len(arguments))
    builder.call(builder.inttoptr(address, kind.as_pointer()), arguments)


# Memory. Addresses are int64 numbers of bytes.
loadf = _operation(F, (_a,), lambda b, a: load_floats(b, a, "float32"))
storef = _operation(_none, (_a, F), _void(lambda b, a, x: store(b, a, x, 4)))
loadi = _operation(I, (_a,), lambda b, a: load(b, a, _INTS))
storei = _operation(_none, (_a, I), _void(store))
load_half = _operation(F, (_a,), lambda b, a: load_floats(b, a, "float16"))
gather_half = _operation(F, (_a, _a), _gather_half)  # at steps of so many bytes
load_codes = _operation(F, (_a,), lambda b, a: load_floats(b, a, "int8"))
load_bytes = _operation(F, (_a,), lambda b, a: b.uitofp(load(b, a, _kinds(_I8)), _FLOATS))  # 16 uint8
store_bytes = _operation(_none, (_a, I), _void(_store_bytes))  # 16 int8
spreadf = _operation(F, (_a,), lambda b, a: splat(b, load(b, a, _F32, 4)))  # one float32 to all lanes
spreadi = _operation(I, (_a,), lambda b, a: splat(b, load(b, a, _I32)))  # four bytes to all lanes
getf = _operation(_f, (_a,), lambda b, a: load(b, a, _F32, 4))
setf = _operation(_none, (_a, _f), _void(lambda b, a, x: store(b, a, x, 4)))
geti = _operation(_n, (_a,), lambda b, a: load(b, a, _I32, 4))
seti = _operation(_none, (_a, _n), _void(lambda b, a, x: store(b, a, x, 4)))
get_byte = _operation(_n, (_a,), lambda b, a: b.zext(load(b, a, _I8), _I32))
get_short = _operation(_n, (_a,), lambda b, a: b.zext(load(b, a, ir.IntType(16), 2), _I32))
get_half = _operation(_f, (_a,), lambda b, a: b.fpext(load(b, a, ir.HalfType(), 2), _F32))
set_half = _operation(_none, (_a, _f), _void(lambda b, a, x: store(b, a, b.fptrunc(x, ir.HalfType()), 2)))
getw = _operation(_a, (_a,), lambda b, a: load(b, a, _I64, 8))  # an int64, such as an address
setw = _operation(_none, (_a, _a), _void(lambda b, a, x: store(b, a, x, 8)))
prefetch = _operation(_none, (_a,), _void(_prefetch))  # the 64 bytes around an address will be read

# Arithmetic.
lane_numbers = _operation(F, (), lambda b: ir.Constant(_FLOATS, [float(lane) for lane in range(LANES)]))
round_half = _operation(_f, (_f,), lambda b, x: b.fpext(b.fptrunc(x, ir.HalfType()), _F32))  # to FP16's grid
splatf = _operation(F, (_f,), lambda b, x: splat(b, x))
splati = _operation(I, (_n,), lambda b, x: splat(b, x))
add = _operation(F, (F, F), lambda b, x, y: b.fadd(x, y))
sub = _operation(F, (F, F), lambda b, x, y: b.fsub(x, y))
mul = _operation(F, (F, F), lambda b, x, y: b.fmul(x, y))
div = _operation(F, (F, F), lambda b, x, y: b.fdiv(x, y))
fma = _operation(F, (F, F, F), _fma)  # x * y + z, rounded once
maximum = _operation(F, (F, F), _maximum)
absolute = _operation(F, (F,), lambda b, x: call(b, f"llvm.fabs.v{LANES}f32", _FLOATS, x))
exp = _operation(F, (F,), _exp)
sigmoid = _operation(F, (F,), _sigmoid)
rounded = _operation(I, (F,), _rounded_int)  # to the nearest whole number, ties to even
bits = _operation(I, (F,), lambda b, x: b.bitcast(x, _INTS))  # the same 64 bytes, read as int32
from_bits = _operation(F, (I,), lambda b, x: b.bitcast(x, _FLOATS))
to_float = _operation(F, (I,), lambda b, x: b.sitofp(x, _FLOATS))
addi = _operation(I, (I, I), lambda b, x, y: b.add(x, y))
subi = _operation(I, (I, I), lambda b, x, y: b.sub(x, y))
andi = _operation(I, (I, I), lambda b, x, y: b.and_(x, y))
shl = _operation(I, (I, I), lambda b, x, y: b.shl(x, y))
shr = _operation(I, (I, I), lambda b, x, y: b.ashr(x, y))
total = _operation(_f, (F,), lambda b, x: _halves(b, x, lambda b, y, z: b.fadd(y, z)))
totali = _operation(_n, (I,), lambda b, x: _halves(b, x, lambda b, y, z: b.add(y, z)))
largest = _operation(_f, (F,), lambda b, x: _halves(b, x, _maximum))
# What is shared between threads: add and return the value before; read what others wrote.
fetch_add = _operation(_n, (_a, _n), lambda b, a, x: b.atomic_rmw("add", _pointer(b, a, _I32), x, "seq_cst"))
get_shared = _operation(_n, (_a,), lambda b, a: b.load_atomic(_pointer(b, a, _I32), "acquire", 4))
# Lanes where x > y, or x == y, as the int32 1 (else 0).
above = _operation(I, (F, F), lambda b, x, y: b.zext(b.fcmp_ordered(">", x, y), _INTS))
equal = _operation(I, (F, F), lambda b, x, y: b.zext(b.fcmp_ordered("==", x, y), _INTS))

#: `invoke[n](address, ...)`: call a kernel of n int64 arguments by its address. A direct call would copy the
#: callee's code into every caller's module, to be optimised there again: minutes instead of seconds.
invoke4, invoke6, invoke7, invoke9, invoke10, invoke14, invoke19 = (
    _operation(_none, (_a,) * (count + 1), _void(_invoke)) for count in (4, 6, 7, 9, 10, 14, 19)
)
