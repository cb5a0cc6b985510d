#!/usr/bin/env python3
"""What matrix units do to sums, by a model of Hopper's: the tables of kernels/gemm/README.md.

Products are exact. The products of an instruction's k and the sum so far are aligned to the largest of them,
cut off a number of bits behind its leading one, added, and cut off again (Fasi et al. 2021, Khattak & Mikaitis
2025 for 16-bit and tf32; DeepSeek-V3 and SageAttention2 for eight-bit, which keep 13 bits). Needs numpy.
"""
import numpy as np

random = np.random.default_rng(7)
SIDE = 32


def exponent(x):
    return np.where(x == 0, -900, np.frexp(x)[1] - 1)


def cut(x, e, bits):
    unit = np.ldexp(1.0, e - bits)
    return np.trunc(x / unit) * unit


def instruction(total, a, b, aligned, kept):
    products = a[:, :, None].astype(float) * b[None].astype(float)
    e = np.maximum(exponent(products).max(1), exponent(total))
    total = cut(products, e[:, None], aligned).sum(1) + cut(total, e, aligned)
    return cut(total, exponent(total), kept)


def to_bits(x, bits):
    """f32 numbers to the nearest with `bits` bits, ties to even."""
    word = x.astype(np.float32).view(np.uint32).astype(np.uint64)
    low = 24 - bits
    word = word + (1 << (low - 1)) - 1 + (word >> low & 1)
    return (word >> low << low).astype(np.uint32).view(np.float32)


def parts(x, bits, count):
    out = []
    for _ in range(count):
        out.append(to_bits(x, bits))
        x = x - out[-1]
    return out


def in_parts(a, b, bits, order, k_step, every):
    """A product of parts, added to the total after `every` k."""
    count = 1 + max(max(pair) for pair in order)
    a, b = parts(a, bits, count), parts(b, bits, count)
    total = np.zeros((SIDE, SIDE), np.float32)
    part = np.zeros((SIDE, SIDE))
    k = a[0].shape[1]
    for step in range(0, k, 32):
        for i, j in order:
            for s in range(step, step + 32, k_step):
                part = instruction(part, a[i][:, s : s + k_step], b[j][s : s + k_step], 25, 23)
        if (step + 32) % every == 0 or step + 32 == k:
            total = total + part.astype(np.float32)
            part = np.zeros_like(part)
    return total


def multiply_adds(a, b, slices=1):
    total = np.zeros((SIDE, SIDE), np.float32)
    for a, b in zip(np.split(a, slices, 1), np.split(b, slices)):
        part = np.zeros_like(total)
        for k in range(a.shape[1]):
            part = (part + a[:, k, None].astype(float) * b[k]).astype(np.float32)
        total = total + part
    return total


def e4m3(x):
    unit = np.ldexp(1.0, np.maximum(exponent(x), -6) - 3)
    return np.clip(np.rint(x / unit) * unit, -448, 448)


def eight_bit(a, b, every):
    total = np.zeros((SIDE, SIDE), np.float32)
    part = np.zeros((SIDE, SIDE))
    for k in range(0, a.shape[1], 32):
        part = instruction(part, a[:, k : k + 32], b[k : k + 32], 13, 13)
        if (k + 32) % every == 0:
            total = total + part.astype(np.float32)
            part = np.zeros_like(part)
    return total + part


FAMILIES = {
    "normal": random.standard_normal,
    "positive": lambda shape: 0.5 + 0.5 * random.random(shape),
    "wide": lambda shape: random.standard_normal(shape) * 2.0 ** random.integers(-10, 6, shape),
}
SIX = [(2, 0), (0, 2), (1, 1), (1, 0), (0, 1), (0, 0)]
THREE = [(1, 0), (0, 1), (0, 0)]
NEVER = 1 << 30

for family, k in [("normal", 1024), ("normal", 4096), ("positive", 1024), ("positive", 4096), ("wide", 4096)]:
    a = FAMILIES[family]((SIDE, k)).astype(np.float32)
    b = FAMILIES[family]((k, SIDE)).astype(np.float32)
    exact, size = a.astype(float) @ b.astype(float), np.abs(a).astype(float) @ np.abs(b)
    print(f"{family}, k = {k}: error in units of 2^-24 of the sum of |ab|, root mean square (largest)")
    for name, got in [
        ("f32 multiply-adds in order", multiply_adds(a, b)),
        ("the same in four slices", multiply_adds(a, b, 4)),
        ("six bf16 products, every 32", in_parts(a, b, 8, SIX, 16, 32)),
        ("every 64", in_parts(a, b, 8, SIX, 16, 64)),
        ("never", in_parts(a, b, 8, SIX, 16, NEVER)),
        ("three tf32 products, every 32", in_parts(a, b, 11, THREE, 8, 32)),
    ]:
        error = np.abs(got - exact) / size * 2**24
        print(f"  {name:32}{np.sqrt((error**2).mean()):8.2f} ({error.max():.1f})")

for family, k in [("normal", 128), ("normal", 515), ("normal", 4096), ("positive", 4096)]:
    a, b = e4m3(FAMILIES[family]((SIDE, k))), e4m3(FAMILIES[family]((k, SIDE)))
    spread = np.sqrt((a * a) @ (b * b))
    print(f"{family}, k = {k}, e4m3: error over the root of the sum of (ab)^2")
    for name, every in [("left to the matrix units", NEVER), ("promoted every 128", 128)]:
        error = (eight_bit(a, b, every) - a @ b) / spread
        print(f"  {name:32}{np.sqrt((error**2).mean()):8.2%}")
