"""Pictures: left is drawn on the left, axes carry units, wrong shapes say so, files stay small."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest

from visage_lite import ambisonics, plots
from visage_lite.directions import Direction
from visage_lite.pattern import Pattern

NOISE = np.random.default_rng(5).standard_normal(4000)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def png_bytes(ax):
    buffer = io.BytesIO()
    ax.figure.savefig(buffer, format="png")
    return buffer.tell()


def pixel(ax, x, y):
    """Where a point of the axes is drawn in the figure, in pixels from the left and the bottom."""
    ax.figure.canvas.draw()
    return ax.transData.transform((x, y))


def drawn(ax, x, y):
    """The grey level that is drawn at a point of the axes."""
    column, row = pixel(ax, x, y)
    canvas = np.asarray(ax.figure.canvas.buffer_rgba())
    return canvas[len(canvas) - 1 - int(row), int(column), :3].astype(float).mean()


@pytest.mark.parametrize("azimuth_deg, elevation_deg", [(90, 0), (-90, 0), (60, 40), (-120, -50), (178, 0)])
def test_a_source_is_drawn_where_it_is_and_left_is_on_the_left(azimuth_deg, elevation_deg):
    foa = ambisonics.encode(NOISE, np.deg2rad(azimuth_deg), np.deg2rad(elevation_deg))
    levels = ambisonics.energy_map(foa)
    direction = Direction.from_degrees(azimuth_deg, elevation_deg)
    ax = plots.energy_map(levels, direction=direction)
    hottest = drawn(ax, azimuth_deg, elevation_deg)
    opposite = drawn(ax, azimuth_deg - 180 * np.sign(azimuth_deg), -elevation_deg)
    assert hottest > opposite + 60
    middle = pixel(ax, 0, 0)[0]
    assert (pixel(ax, azimuth_deg, 0)[0] < middle) == (azimuth_deg > 0)
    ring = ax.lines[-1]
    assert (float(ring.get_xdata()[0]), float(ring.get_ydata()[0])) == pytest.approx((azimuth_deg, elevation_deg))


def test_a_cell_is_drawn_around_its_centre():
    levels = np.zeros((9, 18))
    levels[2, 4] = 1  # azimuth 80 to 100 degrees, elevation 30 to 50
    ax = plots.energy_map(levels)
    for azimuth_deg, elevation_deg in ((84, 34), (96, 46)):
        assert drawn(ax, azimuth_deg, elevation_deg) > drawn(ax, azimuth_deg, elevation_deg - 20) + 60
        assert drawn(ax, azimuth_deg, elevation_deg) > drawn(ax, 76, elevation_deg) + 60
        assert drawn(ax, azimuth_deg, elevation_deg) > drawn(ax, 104, elevation_deg) + 60


def test_the_panorama_edge_has_no_gap():
    levels = np.ones((90, 180))
    ax = plots.energy_map(levels)
    (left, right, bottom, top), = [image.get_extent() for image in ax.images]
    assert left >= 180 and right <= -180 and bottom <= -90 and top >= 90


def test_energy_lies_over_the_view_where_the_sound_is():
    frame = np.full((224, 224, 3), 128, np.uint8)
    foa = ambisonics.encode(NOISE, np.deg2rad(90), 0.0)
    ax = plots.energy_over_view(frame, ambisonics.energy_map(foa), camera=Direction.from_degrees(60, 0))
    over = ax.images[-1].get_array()
    assert over.shape == (224, 224)
    assert over[:, :112].mean() > over[:, 112:].mean() * 1.02, "the source is to the left of where the camera looks"
    patches = np.zeros(49)
    patches[3 * 7 + 1] = 1.0
    shown = plots.energy_over_view(frame, patches).images[-1].get_array()
    assert np.unravel_index(np.argmax(shown), shown.shape) == (3, 1)


def test_waveforms_keep_one_scale():
    ax = plots.waveforms(np.stack([NOISE, 0.1 * NOISE, 0 * NOISE, -NOISE]), 8000)
    heights = [np.ptp(c.get_paths()[0].vertices[:, 1]) for c in ax.collections]
    assert heights[1] == pytest.approx(0.1 * heights[0], rel=0.01)
    assert heights[2] == pytest.approx(0, abs=1e-9)
    assert ax.get_xlim() == (0, 0.5)
    assert [label.get_text()[0] for label in ax.get_yticklabels()] == ["W", "Y", "Z", "X"]


def test_the_code_grid_shows_a_frame_where_the_pattern_puts_it():
    pattern = Pattern(4, 9)
    shown = np.asarray(plots.code_grid(pattern, steps=6).collections[0].get_array().filled(np.nan)).reshape(36, 6)
    for stream in range(36):
        for step in range(6):
            frame, odd = divmod(step - int(pattern.offsets[stream]), 2)
            expected = np.nan if odd or frame < 0 else frame
            np.testing.assert_equal(shown[stream, step], expected)
    ids = np.full((5, 36), 7)
    ids[0, :4] = 48
    empty = plots.code_grid(ids, pad_id=48).collections[0].get_array().mask.reshape(36, 5)
    assert empty.sum() == 4 and empty[:4, 0].all()


def test_a_tone_stands_at_its_frequency():
    tone = np.sin(2 * np.pi * 2000 * np.arange(8000) / 16000)
    image = plots.spectrogram(tone, 16000).images[0]
    level = image.get_array().mean(axis=1)
    assert (np.argmax(level) + 0.5) / len(level) * 8 == pytest.approx(2.0, abs=0.05)


def test_the_sphere_shows_left_on_the_left():
    ax = plots.sphere_axes({"bird": Direction.from_degrees(90, 0)})
    labels = {text.get_text(): text for text in ax.texts}
    assert {"X front", "Y left", "Z up", "bird"} <= set(labels)
    from mpl_toolkits.mplot3d import proj3d

    left, _, _ = proj3d.proj_transform(0, 1, 0, ax.get_proj())
    right, _, _ = proj3d.proj_transform(0, -1, 0, ax.get_proj())
    assert left < right


def test_the_pipeline_lights_one_box():
    def face(ax):
        return [box.get_facecolor() for box in ax.patches if hasattr(box, "get_boxstyle")][:6]

    none, third = face(plots.pipeline()), face(plots.pipeline("03"))
    assert [a != b for a, b in zip(none, third)] == [False, False, True, False, False, False]
    with pytest.raises(ValueError, match="no stage"):
        plots.pipeline("07")


def test_frames_stand_side_by_side_with_their_times():
    frames = np.zeros((20, 8, 8, 3), np.uint8)
    ax = plots.frame_strip(frames, 4.0, count=3)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.00", "2.50", "4.75"]


EVERY = {
    "energy_map": lambda ax: plots.energy_map(ambisonics.energy_map(ambisonics.encode(NOISE, 1.0, 0.3)), ax=ax),
    "energy_over_view": lambda ax: plots.energy_over_view(np.zeros((32, 32, 3), np.uint8), np.ones(49), ax=ax),
    "waveforms": lambda ax: plots.waveforms(np.stack([NOISE] * 4), 8000, ax=ax),
    "spectrogram": lambda ax: plots.spectrogram(NOISE, 8000, ax=ax),
    "code_grid": lambda ax: plots.code_grid(Pattern(4, 9), ax=ax),
    "frame_strip": lambda ax: plots.frame_strip(np.zeros((5, 8, 8, 3), np.uint8), 4, ax=ax),
}


@pytest.mark.parametrize("name", EVERY)
def test_every_plot_takes_axes_returns_them_and_names_units(name):
    _, given = plt.subplots()
    assert EVERY[name](given) is given
    alone = EVERY[name](None)
    assert alone.get_xlabel(), "x says what it is"
    assert png_bytes(alone) < 60_000


@pytest.mark.parametrize("wrong, message", [
    (lambda: plots.energy_map(np.zeros(5)), r"\[H, W\]"),
    (lambda: plots.energy_over_view(np.zeros((8, 8)), np.ones(49)), "a frame"),
    (lambda: plots.energy_over_view(np.zeros((8, 8, 3), np.uint8), np.ones((90, 180))), "camera"),
    (lambda: plots.waveforms(np.zeros(5), 8000), "channels, samples"),
    (lambda: plots.spectrogram(np.zeros((4, 50)), 8000), "one channel"),
    (lambda: plots.code_grid(np.zeros((1, 5, 36))), r"\[S, Q\]"),
    (lambda: plots.frame_strip(np.zeros((0, 8, 8, 3)), 4), "F > 0"),
])
def test_wrong_shapes_say_what_is_wanted(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
