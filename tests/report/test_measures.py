"""What is added up over samples, against numpy, with elements on both sides of each bound."""

import numpy as np
import octavo
import pytest
from octavo.program import Quant, Value
from octavo.report.measures import Answers, Own, Ratio, decibels


def held_in(scale, zero_point, axis=None):
    return Value("x", "u8", None, Quant(np.array(scale, np.float32), np.array(zero_point), axis))


def own(wanted, found, value):
    measured = Own(value)
    measured.add(np.asarray(wanted, np.float32), np.asarray(found, np.float32))
    return measured


def test_decibels():
    assert decibels(100.0, 1.0) == 20.0
    assert (decibels(1.0, 0.0), decibels(0.0, 1.0), decibels(0.0, 0.0)) == (300.0, -300.0, 300.0)


def test_what_is_not_finite_counts_on_neither_side():
    ratio = Ratio()
    ratio.add(np.array([1, np.nan, 3, np.inf]), np.array([2, 5, np.nan, 7]))
    assert (ratio.signal, ratio.noise) == (1.0, 1.0)


def test_elements_are_clipped_from_half_a_step_beyond_the_last_integer():
    """The integers hold -1 to 126.5 in steps of a half."""
    value = held_in([0.5], [2])
    inside, outside = [-1.25, 126.75, 0.0], [-1.26, 126.76, 500.0]
    measured = own([inside + outside], [inside + outside], value)
    assert (measured.low, measured.high) == (-1.0, 126.5)
    assert (measured.clipped, measured.counted) == (3, 6)
    assert measured.rounding == pytest.approx(2 * 0.25**2)
    assert measured.clipping == pytest.approx(2 * 0.26**2 + 373.5**2, rel=1e-4)
    assert measured.seen.min == np.float32(-1.26)


def test_shares_of_noise():
    """An element rounds by 0.25; the one beside it is off by one step although it would be held exactly."""
    measured = own([[10.25, 20.0]], [[10.0, 21.0]], held_in([1.0], [0]))
    assert measured.shares == pytest.approx((0, 0.0625 / 1.0625, 1 / 1.0625))
    assert measured.gain == pytest.approx((10.25 * 10 + 20 * 21) / (10.25**2 + 400))


def test_mean_errors_are_those_of_the_channels():
    rng = np.random.default_rng(1)
    wanted = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    found = wanted + np.array([0.5, -0.25, 0], np.float32)[:, None, None]
    found += rng.normal(size=found.shape).astype(np.float32) * np.float32(0.1)
    measured = own(wanted, found, held_in([1.0], [128]))
    error = (found - wanted).astype(np.float64).transpose(1, 0, 2, 3).reshape(3, -1)
    assert measured.shift == pytest.approx(40 * (error.mean(1) ** 2).sum() / (error**2).sum())
    channels = wanted.transpose(1, 0, 2, 3).reshape(3, -1)
    assert np.array_equal(measured.least, channels.min(1))
    assert np.array_equal(measured.greatest, channels.max(1))
    assert measured.channel_sqnrs == pytest.approx(
        [
            decibels((one.astype(float) ** 2).sum(), (off**2).sum())
            for one, off in zip(channels, error, strict=True)
        ]
    )


def test_a_scale_a_channel_clips_by_channel():
    measured = own(np.full((1, 2, 1, 1), 200), np.full((1, 2, 1, 1), 200), held_in([1.0, 0.5], [0, 0], 1))
    assert measured.clipped == 1


def test_channels_whose_number_varies_are_taken_as_one():
    measured = Own(held_in([1.0], [0]))
    for count in (3, 5):
        measured.add(np.ones((2, count), np.float32), np.full((2, count), 2, np.float32))
    assert measured.elements.tolist() == [16]
    assert (measured.ratio.signal, measured.ratio.noise) == (16.0, 16.0)


def test_histogram_places():
    """The range of the integers is the middle half: 32 bins of 255 / 32."""
    measured = own([[-1000, -0.1, 0, 7.96, 7.97, 254.9, 255, 1000]], [[0] * 8], held_in([1.0], [0]))
    counts = {index: count for index, count in enumerate(measured.histogram.tolist()) if count}
    assert counts == {0: 1, 15: 1, 16: 2, 17: 1, 47: 1, 48: 1, 63: 1}


@pytest.mark.parametrize(("rows", "labels"), [(3, 6), (1, 2)])
def test_answers_of_batches(rows, labels):
    rng = np.random.default_rng(0)
    answers, classes = Answers(), rng.integers(0, 7, 6)
    pairs = [(rng.normal(size=(rows, 7)), rng.normal(size=(rows, 7))) for _ in range(2)]
    for index, (one, other) in enumerate(pairs):
        answers.add(one, other, classes[index * rows : (index + 1) * rows])
    one, other = (np.concatenate(side) for side in zip(*pairs, strict=True))
    wanted = classes[: 2 * rows, None]
    for k in (1, 5):
        best = [np.argsort(-scores, 1)[:, :k] for scores in (one, other)]
        assert answers.top(k) == tuple((found == wanted).any(1).mean() for found in best)
    assert answers.agreement == (one.argmax(1) == other.argmax(1)).mean()
    assert answers.labelled == labels


def test_answers_that_are_no_floats_or_of_another_shape():
    answers = Answers()
    answers.add(np.array([1, 2, 3]), np.array([1, 2, 4]), None)
    answers.add(np.array([1, 2, 3]), np.array([1]), None)
    assert (answers.agreement, answers.cosine, answers.top(1)) == (2 / 4, None, None)


def test_labels_of_batches_follow_their_rows():
    from graphs import graph

    program = graph("g (float[4,3] x) => (float[4,3] y) { y = Relu(x) }")
    x = np.eye(3, dtype=np.float32)[np.arange(8) % 3]
    found = octavo.compare(program, program, x, np.arange(8) % 3)
    assert (found.samples, found.outputs[0].top1) == (2, (1.0, 1.0))
    for count in (7, 9):
        with pytest.raises(octavo.DataError, match=f"there are {count} labels for 8 samples"):
            octavo.compare(program, program, x, np.zeros(count, int))
