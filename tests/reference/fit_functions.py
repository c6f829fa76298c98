"""Derives the polynomials of the float functions: run by hand (needs mpmath), it writes them out.

Near-minimax fits in 50 digits. The lowest coefficient is rounded to its format, the others are fitted
again, and so on upwards, so that later coefficients make good what rounding took. A line of output has a
fit's own error and its coefficients, lowest first.
"""

import sys
from collections.abc import Callable, Sequence

import mpmath as mp
import numpy as np

mp.mp.dps = 50
Real = Callable[[mp.mpf], mp.mpf]


def minimax(
    f: Real, weight: Real, lo: float, hi: float, powers: Sequence[int]
) -> tuple[list[mp.mpf], mp.mpf]:
    """Coefficients c that nearly minimise max |weight * (f - sum c[i] * x**powers[i])|, and that maximum.

    Lawson's iteration: least squares on Chebyshev points, each point's weight multiplied by its error, again
    and again.
    """
    n = len(powers)
    middle, half = (mp.mpf(lo) + hi) / 2, (mp.mpf(hi) - lo) / 2
    grid = [middle - half * mp.cos(mp.pi * i / (16 * n)) for i in range(16 * n + 1)]
    rows = [[weight(x) * x**power for power in powers] for x in grid]
    target = [weight(x) * f(x) for x in grid]
    lawson = [mp.mpf(1) / len(grid)] * len(grid)
    best: tuple[list[mp.mpf], mp.mpf] | None = None
    for _ in range(60):
        matrix, right = mp.matrix(n, n), mp.matrix(n, 1)
        for i in range(n):
            right[i] = mp.fsum(w * row[i] * t for w, row, t in zip(lawson, rows, target, strict=True))
            for j in range(i + 1):
                entry = mp.fsum(w * row[i] * row[j] for w, row in zip(lawson, rows, strict=True))
                matrix[i, j] = matrix[j, i] = entry
        solution = mp.lu_solve(matrix, right)
        error = [abs(t - mp.fdot(row, solution)) for row, t in zip(rows, target, strict=True)]
        if best is None or max(error) < best[1]:
            best = list(solution), max(error)
        lawson = [w * e for w, e in zip(lawson, error, strict=True)]
        total = mp.fsum(lawson)
        lawson = [w / total for w in lawson]
    assert best is not None
    return best


def fit(name: str, f: Real, weight: Real, lo: float, hi: float, degree: int, dtype: type) -> None:
    """Writes the coefficients of degree 0..degree, each rounded to `dtype` before the next is fitted."""
    fixed: list[mp.mpf] = []
    for k in range(degree + 1):
        known = list(fixed)

        def rest(x: mp.mpf, known: list[mp.mpf] = known) -> mp.mpf:
            return f(x) - sum(c * x**i for i, c in enumerate(known))

        coefficients, _ = minimax(rest, weight, lo, hi, range(k, degree + 1))
        fixed.append(mp.mpf(float(dtype(mp.nstr(coefficients[0], 25)))))
    samples = [mp.mpf(lo) + (mp.mpf(hi) - lo) * i / 1000 for i in range(1001)]
    errors = [abs(weight(x) * (f(x) - sum(c * x**i for i, c in enumerate(fixed)))) for x in samples]
    listed = " ".join(str(dtype(float(c))) for c in fixed)
    sys.stdout.write(f"{name}: 2^{float(mp.log(max(errors), 2)):.1f}: {listed}\n")


def at_zero(f: Real, value: mp.mpf) -> Real:
    """f, with its limit at 0."""
    return lambda x: value if abs(x) < mp.mpf(10) ** -12 else f(x)


def of_square(f: Real, value: mp.mpf) -> Real:
    """z -> f(sqrt(z)), with its limit at 0."""
    return lambda z: value if z < mp.mpf(10) ** -20 else f(mp.sqrt(z))


def main() -> None:
    """Every fit that the float functions use."""
    one = mp.mpf(1)
    f32, f64 = np.float32, np.float64

    # exp(r) = 1 + r + r^2 Q(r), relative to exp(r) - 1.
    edge = mp.log(2) / 2 + mp.mpf(2) ** -12
    quotient = at_zero(lambda r: (mp.expm1(r) - r) / r**2, one / 2)
    fit("exp", quotient, at_zero(lambda r: abs(r**2 / mp.expm1(r)), 0 * one), -edge, edge, 5, f32)

    # 2^f = 1 + f P(f), relative to 2^f.
    quotient = at_zero(lambda f: (mp.mpf(2) ** f - 1) / f, mp.log(2))
    weight = at_zero(lambda f: abs(f) / mp.mpf(2) ** f, 0 * one)
    fit("exp of score", quotient, weight, -0.5, 0.5, 3, f32)

    # log(1 + f) = f - f^2/2 + f^3 P(f), relative to the logarithm.
    quotient = at_zero(lambda f: (mp.log1p(f) - f + f**2 / 2) / f**3, one / 3)
    weight = at_zero(lambda f: abs(f**3 / mp.log1p(f)), 0 * one)
    fit("log", quotient, weight, mp.sqrt(0.5) - 1, mp.sqrt(2) - 1, 8, f32)

    # tanh(x) = x + x z P(z), z = x^2.
    quotient = of_square(lambda x: (mp.tanh(x) / x - 1) / x**2, -one / 3)
    fit("tanh", quotient, lambda z: z, 1e-9, 0.625**2, 4, f32)

    # erf(x) = x + x P(x^2) below 0.921875; erf(t) = 1 - exp(-t P(t)) above, the error absolute in erf.
    quotient = of_square(lambda x: mp.erf(x) / x - 1, 2 / mp.sqrt(mp.pi) - 1)
    fit("erf small", quotient, lambda z: one, 0, 0.921875**2, 6, f32)
    fit("erf large", lambda t: -mp.log(mp.erfc(t)) / t, lambda t: mp.erfc(t) * t, 0.92, 4, 8, f32)

    # sin(r) = r + r z P(z), cos(r) = 1 + z P(z), z = r^2.
    edge = (mp.pi / 4) ** 2 + mp.mpf(2) ** -12
    fit("sin", of_square(lambda r: (mp.sin(r) / r - 1) / r**2, -one / 6), lambda z: z, 1e-9, edge, 4, f64)
    fit("cos", of_square(lambda r: (mp.cos(r) - 1) / r**2, -one / 2), lambda z: z, 1e-9, edge, 4, f64)

    # atan(t) = t + t z P(z), asin(t) = t + t z P(z), sinh(t) = t + t z P(z), z = t^2.
    edge = (mp.sqrt(2) - 1 + mp.mpf(2) ** -20) ** 2
    fit("atan", of_square(lambda t: (mp.atan(t) / t - 1) / t**2, -one / 3), lambda z: z, 1e-9, edge, 6, f64)
    fit("asin", of_square(lambda t: (mp.asin(t) / t - 1) / t**2, one / 6), lambda z: z, 1e-9, 0.25, 7, f64)
    fit("sinh", of_square(lambda t: (mp.sinh(t) / t - 1) / t**2, one / 6), lambda z: z, 1e-9, 0.25, 3, f64)

    # log2(m) = s P(s^2), s = (m - 1) / (m + 1); 2^r = P(r).
    edge = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2
    quotient = of_square(lambda s: 2 * mp.atanh(s) / s / mp.log(2), 2 / mp.log(2))
    fit("log2", quotient, lambda z: one, 0, edge, 6, f64)
    fit("exp2", lambda r: mp.mpf(2) ** r, lambda r: one / mp.mpf(2) ** r, -0.5, 0.5, 8, f64)

    with mp.workdps(90):
        bits = int(mp.floor(2 / mp.pi * mp.mpf(2) ** 224))
    sys.stdout.write(f"2 / pi: {bits:056x}\n")


if __name__ == "__main__":
    main()
