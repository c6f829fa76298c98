"""Scales of pixels: what black and white become, by channel, and which pictures a scale is known by."""

from fractions import Fraction

import numpy as np
import pytest
from octavo.quantization.scales import SCALES, scale_of

UNIT, SIGNED, RAW, IMAGENET = SCALES
MEAN, STD = ("0.485", "0.456", "0.406"), ("0.229", "0.224", "0.225")
F = np.float32


def pictures(*values, channels=1):
    """One picture of each number."""
    return [np.full((1, channels, 16, 20), value, F) for value in values]


def test_black_and_white_of_each_scale():
    """As the options of the command line have it: (low + (high - low) * pixel - mean) / std."""
    for scale, low, high in ((UNIT, 0, 1), (SIGNED, -1, 1), (RAW, 0, 255)):
        assert (scale.black, scale.white) == ((low,), (high,))
        assert scale.options == f"--range {low}..{high}"
    assert IMAGENET.options == f"--mean {','.join(MEAN)} --std {','.join(STD)}"
    for pixel, given in ((0, IMAGENET.black), (1, IMAGENET.white)):
        exact = [(pixel - Fraction(mean)) / Fraction(std) for mean, std in zip(MEAN, STD, strict=True)]
        assert np.allclose(given, [float(number) for number in exact], rtol=1e-15)


@pytest.mark.parametrize("axis", [1, 3])
def test_each_channel_has_its_own_ends(axis):
    pixels = np.moveaxis(np.linspace(0, 1, 3 * 16 * 20, dtype=F).reshape(1, 3, 16, 20), 1, axis)
    for scale in SCALES:
        made = scale.from_pixels(pixels)
        assert (made.dtype, made.flags.c_contiguous, made.shape) == (F, True, pixels.shape)
        for channel in range(3):
            black, white = (ends[channel % len(ends)] for ends in (scale.black, scale.white))
            expected = black + pixels.take(channel, axis).astype(float) * (white - black)
            assert np.allclose(made.take(channel, axis), expected, rtol=1e-6, atol=1e-6)
        assert np.allclose(scale.to_pixels(made), pixels, atol=1e-6)
        assert scale.to_pixels(made).dtype == F


def test_the_channels_that_a_scale_is_for():
    for scale in SCALES:
        for channels in (1, 3):
            fits = channels == 3 or scale is not IMAGENET
            assert scale.fits(np.zeros((1, channels, 16, 20), F)) is fits
            assert scale.fits(np.zeros((1, 16, 20, channels), F)) is fits


@pytest.mark.parametrize("scale", [UNIT, SIGNED, RAW], ids=lambda scale: scale.name)
@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        ((0, 1), True),
        ((-0.009, 1.009), True),
        ((-0.011, 0.95), False),
        ((0.05, 1.011), False),
        ((0.08, 0.985), True),
        ((0.08, 0.975), False),
        ((0.5, 0.02, 0.97, 0.6), True),  # neither the first nor the last one alone
        ((0.3, 0.4), False),
    ],
)
def test_a_scale_is_known_by_pictures_that_fill_it(scale, pixels, found):
    low, high = scale.black[0], scale.white[0]
    given = pictures(*(low + pixel * (high - low) for pixel in pixels))
    assert scale_of(given) is (scale if found else None)


def test_grey_pictures_are_in_no_scale_of_colours():
    within = max(IMAGENET.black), min(IMAGENET.white)  # of every channel
    assert scale_of(pictures(*within)) is None
    assert scale_of(pictures(*within, channels=3)) is IMAGENET
    both = [np.ascontiguousarray(np.broadcast_to(np.array(side, F).reshape(1, 3, 1, 1), (1, 3, 16, 20)))
            for side in (IMAGENET.black, IMAGENET.white)]  # fmt: skip
    assert scale_of(both) is IMAGENET
