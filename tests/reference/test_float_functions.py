"""The float functions against float64, over all magnitudes: errors in units of the last place of float32."""

import math

import mpmath
import numpy as np
import pytest
from octavo.reference import functions, trigonometry

SPREAD = np.arange(0, 2**32, 40_009, dtype=np.uint64).astype(np.uint32).view(np.float32)
DENSE = np.linspace(-20, 20, 200_001).astype(np.float32)
UNIT = np.linspace(-1.001, 1.001, 100_001).astype(np.float32)
GRID = np.concatenate([SPREAD, DENSE, UNIT, np.float32([0, -0.0, 1, -1, np.inf, -np.inf, np.nan])])

erf = np.vectorize(math.erf)


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def sigmoid(x):
    return np.where(x < 0, np.exp(-np.abs(x)), 1) / (1 + np.exp(-np.abs(x)))


EXACT = {
    "exp": (np.exp, 0.98),
    "expm1": (np.expm1, 1.45),
    "log": (np.log, 0.9),
    "softplus": (softplus, 1.7),
    "sigmoid": (sigmoid, 2.3),
    "tanh": (np.tanh, 1.5),
    "erf": (erf, 1.1),
    "sin": (np.sin, 0.501),
    "cos": (np.cos, 0.501),
    "tan": (np.tan, 0.501),
    "asin": (np.arcsin, 0.501),
    "acos": (np.arccos, 0.501),
    "atan": (np.arctan, 0.501),
    "sinh": (np.sinh, 0.501),
    "cosh": (np.cosh, 0.501),
    "asinh": (np.arcsinh, 0.501),
    "acosh": (np.arccosh, 0.501),
    "atanh": (np.arctanh, 0.501),
}


def function(name):
    return getattr(functions, name, None) or getattr(trigonometry, name)


def ulps(y: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """The distance from the exact value in units of the last place there."""
    exponent = np.floor(np.log2(np.maximum(np.abs(exact), 2.0**-126)))
    return np.abs(y.astype(np.float64) - exact) / 2.0 ** (exponent - 23)


@pytest.mark.parametrize("name", EXACT)
def test_error_in_ulp_and_special_values(name):
    exact_function, bound = EXACT[name]
    y = function(name)(GRID)
    with np.errstate(all="ignore"):
        exact = exact_function(GRID.astype(np.float64))
        rounded = exact.astype(np.float32)
    finite = np.isfinite(exact) & np.isfinite(rounded)
    assert ulps(y[finite], exact[finite]).max() <= bound
    np.testing.assert_array_equal(y[~finite], rounded[~finite])


def test_the_digits_of_two_over_pi():
    """Those that the reduction of large angles reads, 32 bits a word, behind the point."""
    with mpmath.workprec(300):
        bits = int(mpmath.floor(2 / mpmath.pi * 2**224))
    words = [(bits >> (32 * place)) & 0xFFFFFFFF for place in range(6, -1, -1)]
    assert trigonometry.TWO_OVER_PI.tolist() == [0, *words]


def test_logarithms_on_both_sides_of_the_root_of_a_half():
    """Numbers from the upper half of its bits on belong to the higher power of two, in float64's bits."""
    root = np.sqrt(np.float64(0.5)).view(np.int64) >> 32
    for step in (-2, -1, 0, 1, 2):
        x = ((root + step) << 32).view(np.float64)
        power = 0 if step >= 0 else -1
        s = (x / 2.0**power - 1) / (x / 2.0**power + 1)
        total = functions.LOG2[-1]
        for coefficient in functions.LOG2[-2::-1]:
            total = total * (s * s) + coefficient
        assert functions.log2(np.array([x]))[0] == power + s * total


@pytest.mark.parametrize(
    ("name", "exact_function"),
    [
        ("gelu", lambda x: 0.5 * x * (1 + erf(x / math.sqrt(2)))),
        ("gelu_tanh", lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
        ("mish", lambda x: x * np.tanh(softplus(x))),
    ],
)
def test_products_with_x_are_close_in_units_of_x(name, exact_function):
    x = GRID[np.isfinite(GRID) & (np.abs(GRID) > 2.0**-100)]
    with np.errstate(all="ignore"):
        exact = exact_function(x.astype(np.float64))
    error = np.abs(getattr(functions, name)(x) - exact) / np.abs(x).astype(np.float64)
    assert error.max() <= 2.0**-22.7


def test_power_is_nearly_correctly_rounded():
    rng = np.random.default_rng(5)
    x = np.exp(rng.uniform(-80, 80, 200_000)).astype(np.float32)
    y = (rng.uniform(-80, 80, 200_000) / np.log(x)).astype(np.float32)
    exact = np.power(x.astype(np.float64), y.astype(np.float64))
    assert ulps(functions.power(x, y), exact).max() <= 0.51
    np.testing.assert_array_equal(functions.power(x, 1), x)
    squares = np.arange(4096, dtype=np.float32)
    np.testing.assert_array_equal(functions.power(squares, 2), squares * squares)


def test_power_has_ieee_special_cases():
    values = np.float32(
        [0, -0.0, 1, -1, 0.5, -0.5, 2, -2, 3, -3, 2.5, -2.5, 2**23 + 1, 2.0**30, np.inf, -np.inf, np.nan]
    )
    x, y = (array.ravel() for array in np.meshgrid(values, values))
    with np.errstate(all="ignore"):
        exact = np.power(x.astype(np.float64), y.astype(np.float64)).astype(np.float32)
    power = functions.power(x, y)
    np.testing.assert_array_equal(power, exact)
    numbers = ~np.isnan(exact)
    np.testing.assert_array_equal(np.signbit(power)[numbers], np.signbit(exact)[numbers])


def test_odd_functions_keep_the_sign_of_zero():
    for name in ("tanh", "erf", "sin", "tan", "asin", "atan", "sinh", "asinh", "atanh"):
        np.testing.assert_array_equal(np.signbit(function(name)([0.0, -0.0])), [False, True])


def test_maximum_and_minimum_order_zeros_and_pass_nan():
    a = np.float32([0.0, -0.0, -0.0, np.nan, 1, np.nan])
    b = np.float32([-0.0, 0.0, -0.0, 1, np.nan, np.nan])
    np.testing.assert_array_equal(np.signbit(functions.maximum(a, b)[:3]), [False, False, True])
    np.testing.assert_array_equal(np.signbit(functions.minimum(a, b)[:3]), [True, True, True])
    assert np.isnan(functions.maximum(a, b)[3:]).all()
    assert np.isnan(functions.minimum(a, b)[3:]).all()
