"""Dot products of one stored row with two or four inputs, written as vector code for LLVM.

What a compiler makes of a plain loop reads memory at half its speed: it does not ask for the next lines early enough,
widens a bfloat16 or int8 number once for every input, and does not find the instruction that adds up products of 16-bit
pairs. So the loop over a row is written here in LLVM's own terms, through Numba: BLOCK numbers of the row are loaded,
widened once, multiplied with each input and added to its sums, and the lines AHEAD are asked for. It holds for every
processor; LLVM chooses the instructions.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

BLOCK = 64  # numbers in one turn of the loop; rows must be a multiple of it
AHEAD = 8192  # bytes
LINE = 64  # bytes of a line of the cache

BYTE = ir.IntType(8).as_pointer()
FLOATS = ir.VectorType(ir.FloatType(), BLOCK)
WIDE = ir.VectorType(ir.IntType(32), BLOCK)
PAIRS = ir.VectorType(ir.IntType(32), BLOCK // 2)


def _sums(count: int) -> Callable:
    """The function for `count` inputs; how many results a function has must be known when it is compiled."""

    @intrinsic
    def sums(typing, row, start, inputs, first, stride, depth):
        total = types.int32 if row.dtype == types.int8 else types.float32
        signature = types.UniTuple(total, count)(row, types.intp, inputs, types.intp, types.intp, types.intp)

        def generate(context, builder, signature, args):
            row, start, inputs, first, stride, depth = args
            kinds = signature.args[0], signature.args[2]
            arrays = (context.make_array(k)(context, builder, a).data for k, a in zip(kinds, (row, inputs)))
            places = (start, first, stride, depth)
            results = _all_sums(builder, *arrays, kinds[0].dtype.bitwidth, *places, count)
            return context.make_tuple(builder, signature.return_type, results)

        return signature, generate

    sums.__doc__ = f"""The dot products of a row with {count} inputs: a tuple of int32 for int8 rows, else of float32.

    Args:
        row: int8, uint16 (bfloat16) or float32 [...], contiguous. start: where the row begins in it, in numbers.
        inputs: int16 for int8 rows, else float32 [...], contiguous. first: where the first input begins in it.
        stride: from one input to the next, in numbers. depth: length of the row, a multiple of BLOCK.
    """
    return sums


def _all_sums(builder, weights, numbers, bits, start, first, stride, depth, count):
    """The loop over the blocks of a row; returns the sum of each input."""
    whole = bits == 8
    kind = FLOATS if bits == 32 else ir.VectorType(ir.IntType(bits), BLOCK)
    inputs = ir.VectorType(ir.IntType(16), BLOCK) if whole else FLOATS
    add, finish = (_add_pairs, _total_of_whole) if whole else (_add_products, _total)
    zero = ir.Constant(PAIRS if whole else FLOATS, None)
    totals = [cgutils.alloca_once_value(builder, zero) for _ in range(count)]
    with cgutils.for_range(builder, builder.sdiv(depth, depth.type(BLOCK))) as loop:
        place = builder.mul(loop.index, depth.type(BLOCK))
        at = builder.gep(weights, [builder.add(start, place)])
        for line in range(0, BLOCK * bits // 8, LINE):
            _ask_for(builder, at, AHEAD + line)
        weight, place = _widened(builder, _load(builder, at, kind)), builder.add(first, place)
        for sums in totals:
            number = _load(builder, builder.gep(numbers, [place]), inputs)
            builder.store(add(builder, weight, number, builder.load(sums)), sums)
            place = builder.add(place, stride)
    return [finish(builder, builder.load(sums)) for sums in totals]


def _load(builder, at, kind):
    return builder.load(builder.bitcast(at, kind.as_pointer()), align=1)


def _ask_for(builder, at, distance):
    """Bring a line from memory into the second level of the cache. Past the end of the memory it does nothing."""
    flag = ir.IntType(32)
    line = builder.gep(builder.bitcast(at, BYTE), [ir.IntType(64)(distance)])
    kind = ir.FunctionType(ir.VoidType(), [BYTE, flag, flag, flag])
    prefetch = builder.module.declare_intrinsic("llvm.prefetch", [BYTE], kind)
    builder.call(prefetch, [line, flag(0), flag(2), flag(1)])  # to be read, second level, data


def _widened(builder, numbers):
    """float32 of bfloat16 (it is the upper half of one), int32 of int8, float32 as it is."""
    bits = getattr(numbers.type.element, "width", None)
    if bits == 16:
        return builder.bitcast(builder.shl(builder.zext(numbers, WIDE), ir.Constant(WIDE, [16] * BLOCK)), FLOATS)
    return numbers if bits is None else builder.sext(numbers, WIDE)


def _add_products(builder, weight, number, sums):
    fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(FLOATS, [FLOATS] * 3), f"llvm.fma.v{BLOCK}f32")
    return builder.call(fma, [weight, number, sums])


def _add_pairs(builder, weight, number, sums):
    """Sums of two products each: the form in which LLVM knows the multiply-add of 16-bit numbers."""
    products = builder.mul(weight, builder.sext(number, WIDE))
    even, odd = (
        builder.shuffle_vector(products, ir.Constant(WIDE, ir.Undefined), ir.Constant(PAIRS, list(range(i, BLOCK, 2))))
        for i in (0, 1)
    )
    return builder.add(sums, builder.add(even, odd))


def _total(builder, sums):
    kind = ir.FunctionType(ir.FloatType(), [ir.FloatType(), FLOATS])
    add_up = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fadd.v{BLOCK}f32")
    return builder.call(add_up, [ir.Constant(ir.FloatType(), 0.0), sums], fastmath=("reassoc",))


def _total_of_whole(builder, sums):
    kind = ir.FunctionType(ir.IntType(32), [PAIRS])
    add_up = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.add.v{BLOCK // 2}i32")
    return builder.call(add_up, [sums])


two, four = _sums(2), _sums(4)
