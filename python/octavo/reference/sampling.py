"""GridSample: elements of an image at the places that a grid gives."""

from itertools import product

import numpy as np

from octavo.errors import RunError
from octavo.program import Node
from octavo.program.attributes import integer, text
from octavo.reference.fma import Float32
from octavo.reference.operands import Array, Inputs, required

f32 = np.float32


def grid_sample(node: Node, inputs: Inputs) -> list[Array]:
    """x [N, C, *spatial] at grid [N, *places, axes] -> [N, C, *places]; coordinates from the last axis on.

    The taps are taken in index order, their weights multiplied from the first axis on; every product and
    every sum is rounded. A tap outside takes no part where the padding is of zeros.
    """
    x, grid = required(inputs, 0), required(inputs, 1)
    sizes, axes = x.shape[2:], grid.shape[-1]
    if len(sizes) != axes or grid.ndim != x.ndim or grid.shape[0] != x.shape[0] or not 1 <= axes <= 3:
        raise RunError(f"an image {list(x.shape)} by a grid {list(grid.shape)}")
    y = np.zeros((*x.shape[:2], *grid.shape[1:-1]), np.float32)
    if not y.size:
        return [y]
    if 0 in sizes:
        raise RunError(f"an image of no elements: {list(x.shape)}")
    images = np.arange(x.shape[0]).reshape(-1, *[1] * axes)
    taps = [_taps(node, grid[..., axes - 1 - d], n) for d, n in enumerate(sizes)]
    with np.errstate(all="ignore"):
        for chosen in product(*taps):
            weight = chosen[0][2]
            for _, _, factor in chosen[1:]:
                weight = weight * factor
            seen = np.moveaxis(x, 1, -1)[(images, *(index for index, _, _ in chosen))]
            inside = np.logical_and.reduce([inside for _, inside, _ in chosen])
            term = np.moveaxis(seen * weight[..., None], -1, 1)
            y = np.where(inside[:, None], y + term, y)
    return [y]


def _taps(node: Node, place: Float32, n: int) -> list[tuple[Array, Array, Float32]]:
    """For each tap of an axis of n elements: indices, whether they count, weights."""
    with np.errstate(all="ignore"):
        if integer(node, "align_corners"):
            x = (place + f32(1)) / f32(2) * f32(n - 1)
        else:
            x = ((place + f32(1)) * f32(n) - f32(1)) / f32(2)
        x = _moved_inside(node, np.rint(x) if text(node, "mode", "linear") == "nearest" else x, n)
        below = np.floor(x)
        r = x - below
        match text(node, "mode", "linear"):
            case "nearest":
                taps = [(x, np.ones_like(x))]
            case "linear":
                taps = [(below, f32(1) - r), (below + f32(1), r)]
            case _:
                taps = [
                    (below - f32(1), _outer(r + f32(1))),
                    (below, _inner(r)),
                    (below + f32(1), _inner(f32(1) - r)),
                    (below + f32(2), _outer(f32(2) - r)),
                ]
        return [(*_elements(node, i, n), np.asarray(weight)) for i, weight in taps]


def _borders(node: Node, n: int) -> tuple[np.float32, np.float32]:
    """The least and the greatest coordinate of an axis of n elements."""
    return (f32(0), f32(n - 1)) if integer(node, "align_corners") else (f32(-0.5), f32(n) - f32(0.5))


def _moved_inside(node: Node, x: Float32, n: int) -> Float32:
    """Coordinates beyond the borders as ones between them, but where the padding is of zeros."""
    low, high = _borders(node, n)
    outside = (x < low) | (x > high)
    match text(node, "padding_mode", "zeros"):
        case "border":
            return np.where(outside, np.clip(x, f32(0), f32(n - 1)), x)
        case "reflection":
            return np.where(outside, _reflected(x, low, high), x)
        case _:
            return x


def _elements(node: Node, i: Float32, n: int) -> tuple[Array, Array]:
    """The elements that stand for whole coordinates, and whether they count."""
    last = f32(n - 1)
    inside = (i >= 0) & (i <= last)
    match text(node, "padding_mode", "zeros"):
        case "zeros":
            return np.where(inside, i, 0).astype(np.int64), inside
        case "border":
            at = np.clip(i, f32(0), last)
        case _:
            mirrored = np.trunc(_reflected(i, *_borders(node, n)))
            at = np.where(inside, i, np.clip(mirrored, f32(0), last))
    return np.nan_to_num(at, nan=0).astype(np.int64), np.ones(i.shape, np.bool_)


def _reflected(x: Float32, low: np.float32, high: np.float32) -> Float32:
    """Coordinates outside, mirrored at the borders until they lie inside."""
    under = x < low
    distance = np.where(under, low - x, x - high)
    near, far = np.where(under, low, high), np.where(under, high, low)
    turns = np.trunc(distance / (high - low))
    rest = distance - turns * (high - low)
    rest = np.where(under, rest, -rest)
    return np.where(np.fmod(turns, f32(2)) == 0, near + rest, far - rest)


def _inner(d: Float32) -> Float32:
    """Keys' cubic convolution, a = -0.75, at a distance of at most 1."""
    return (f32(1.25) * d - f32(2.25)) * d * d + f32(1)


def _outer(d: Float32) -> Float32:
    """Keys' cubic convolution, a = -0.75, at a distance from 1 to 2."""
    return ((f32(-0.75) * d + f32(3.75)) * d - f32(6)) * d + f32(3)
