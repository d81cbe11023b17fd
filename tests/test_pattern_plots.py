"""Grids of the four patterns: every code stands once, the numbers of steps are the known ones, a lit step is right."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from visage_lite import pattern_plots
from visage_lite.pattern import Pattern
from visage_lite.pattern_plots import LIT, SCHEMES, pattern_grid, places, said, side_by_side, stream_names


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def in_words(scheme, channel, book, frame, channels, codebooks):
    """The oracle: the step of one code, from what the scheme is said to be."""
    if scheme == "flat":
        return (frame * channels + channel) * codebooks + book
    if scheme == "ViSAGe":
        return 2 * frame + (channel > 0) + (book > 0)
    return frame + (book if scheme == "delay" else 0)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("channels, codebooks", [(1, 4), (2, 3), (4, 9)])
def test_places_are_those_of_the_loop(scheme, channels, codebooks):
    at = places(scheme, channels, codebooks, 5)
    assert at.shape == (5, channels * codebooks)
    for frame, channel, book in np.ndindex(5, channels, codebooks):
        assert at[frame, channel * codebooks + book] == in_words(scheme, channel, book, frame, channels, codebooks)


def test_the_steps_of_the_paper():
    steps = [places(scheme, 4, 9, 430).max() + 1 for scheme in SCHEMES]
    assert steps == [15480, 430, 438, 861] and steps[3] == Pattern(4, 9).steps(430)


def test_places_are_where_the_pattern_puts_codes():
    codes = torch.arange(24).reshape(1, 2, 3, 4)
    ids = Pattern(2, 3).build(codes, pad_id=99)[0]
    at = places("ViSAGe", 2, 3, 4)
    for frame, stream in np.ndindex(at.shape):
        assert ids[at[frame, stream], stream] == codes.flatten(1, 2)[0, stream, frame]


def cells(ax):
    """{(step, stream): (frame, alpha)} of the filled cells."""
    numbers = {(int(t.get_position()[0]), int(t.get_position()[1])): int(t.get_text()) for t in ax.texts}
    filled = {(p.get_x(), p.get_y()): p.get_alpha() for p in ax.patches if p.get_fill()}
    return {key: (numbers[key], alpha) for key, alpha in filled.items()}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_code_is_drawn_once_in_its_place(scheme):
    ax = pattern_grid(scheme)
    at = places(scheme, 2, 3, 3)
    assert cells(ax) == {(at[t, q], q): (t, 1.0) for t, q in np.ndindex(at.shape)}
    assert [label.get_text() for label in ax.get_yticklabels()] == stream_names(2, 3)
    assert ax.get_ylim() == (6, 0) and ax.get_xlabel() == "step" and scheme in ax.get_title()


def test_a_lit_step_frames_its_codes_and_pales_what_it_may_not_see():
    ax = pattern_grid("ViSAGe", 4, 3, 3, step=2)
    framed = {(int(p.get_x()), int(p.get_y())) for p in ax.patches if not p.get_fill()}
    names = np.array(stream_names(4, 3))
    assert sorted(names[[stream for _, stream in framed]]) == ["W0", "X1", "X2", "Y1", "Y2", "Z1", "Z2"]
    lit = {label.get_text() for label in ax.get_yticklabels() if label.get_color() == LIT}
    assert lit == {"W0", "Y1", "Y2", "Z1", "Z2", "X1", "X2"}
    assert all((alpha == 1) == (step <= 2) for (step, _), (_, alpha) in cells(ax).items())


def test_side_by_side_shows_all_at_one_size_of_cell():
    axes = side_by_side()
    assert [ax.get_title().split(":")[0] for ax in axes] == list(SCHEMES)
    sizes = [ax.get_window_extent().width / ax.get_xlim()[1] for ax in axes]
    assert np.ptp(sizes) < 1e-6
    boxes = [ax.get_position() for ax in axes]
    assert all(0 <= box.x0 and box.x1 <= 1 and 0 <= box.y0 and box.y1 <= 1 for box in boxes)
    assert all(not a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_a_step_in_words():
    first = "step 0 predicts W0 of frame 0 (seen of this frame: nothing). Seen in all: 0 codes."
    assert said("ViSAGe", 2, 2, 3, 0) == first
    words = said("ViSAGe", 2, 2, 3, 2)
    assert "Y1 of frame 0 (seen of this frame: W0, W1, Y0); W0 of frame 1 (seen of this frame: nothing)" in words
    assert "Seen in all: 3 codes." in words


def test_what_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="no scheme 'other': choose one of flat, parallel"):
        places("other", 2, 3, 3)
    with pytest.raises(ValueError, match="parallel has no step 3: 3 frames take 3"):
        pattern_grid("parallel", step=3)
    assert pattern_plots.SCHEMES[-1] == "ViSAGe"
