"""The scenes: the same seed gives the same bytes, and what is seen, heard and stated agree on the direction."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from visage_lite import panorama
from visage_lite.ambisonics import intensity_direction
from visage_lite.directions import Direction, unit_vector
from visage_lite.scenes import KINDS, STRUCK, SYNTHESIS_RATE, Scene, make_scene, sound

BEHIND = Direction.from_degrees(180, 0)  # where the panorama is cut open


def short(seed: int, **options) -> Scene:
    """A scene of one second, so that drawing it is quick."""
    return make_scene(seed, duration_s=1.0, **options)


def object_mask(scene: Scene, frames: np.ndarray) -> np.ndarray:
    """Where the object is: frames that differ from the same scene without it."""
    empty = dataclasses.replace(scene, sources=())
    rows, columns = frames.shape[1:3]
    backdrop = empty.view(rows) if rows == columns else empty.panorama(columns, rows)
    return np.abs(frames.astype(int) - backdrop).sum(-1) > 20


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_bytes(kind):
    one, two, other = (short(seed, kind=kind) for seed in (5, 5, 6))
    assert one == two and one != other
    assert one.view().tobytes() == two.view().tobytes() != other.view().tobytes()
    assert one.foa(16000).tobytes() == two.foa(16000).tobytes() != other.foa(16000).tobytes()


def test_shapes_and_ranges():
    scene = make_scene(3)
    view, foa = scene.view(), scene.foa(16000)
    assert view.shape == (20, 224, 224, 3) and view.dtype == np.uint8
    assert foa.shape == (4, 80000) and foa.dtype == np.float32
    assert 0.2 < np.abs(foa[0]).max() <= 0.52
    assert short(3).panorama().shape == (4, 448, 896, 3)


def test_the_draw_covers_what_it_should():
    scenes = [make_scene(seed) for seed in range(400)]
    places = np.degrees([scene.view_angles(np.array([0.0, 5.0])) for scene in scenes])  # [400, 2, 2]
    assert {scene.kind for scene in scenes} == set(KINDS)
    assert np.abs(places[..., 0]).max() <= 35 and np.abs(places[..., 1]).max() <= 30
    assert np.abs(places[..., 0]).max() > 33 and np.abs(places[..., 1]).max() > 28
    moving = np.mean([scene.sources[0].start != scene.sources[0].end for scene in scenes])
    assert 0.23 < moving < 0.37
    cameras = np.array([(scene.camera.azimuth, scene.camera.elevation) for scene in scenes])
    assert np.ptp(cameras[:, 0]) > 6.1 and np.degrees(np.abs(cameras[:, 1]).max()) <= 45


@pytest.mark.parametrize("seed", range(6))
def test_view_is_the_crop_of_the_panorama(seed):
    scene = short(seed, kind=KINDS[seed])
    view, crop = scene.view().astype(int), panorama.crop(scene.panorama(), scene.camera).astype(int)
    difference = np.abs(view - crop)
    assert difference.mean() < 1.0 and np.quantile(difference, 0.99) < 20
    shifted = np.abs(np.roll(view, 3, axis=2) - crop)
    assert difference[object_mask(scene, scene.view())].mean() < 0.5 * shifted[object_mask(scene, scene.view())].mean()


def test_object_wraps_around_the_back_and_keeps_its_size_near_the_pole():
    for place in (BEHIND, Direction.from_degrees(179, 10), Direction.from_degrees(20, 75)):
        source = dataclasses.replace(short(1, kind="drum", moving=False).sources[0], start=place, end=place)
        scene = Scene(1, place, 1.0, (source,))
        seen = object_mask(scene, scene.panorama(448, 224))[0]
        rows, columns = np.nonzero(seen)
        rays = unit_vector(np.pi * (1 - 2 * (columns + 0.5) / 448), np.pi * (0.5 - (rows + 0.5) / 224))
        away = np.arccos(np.clip(rays @ place.to_vector(), -1, 1))
        assert 0.9 * source.radius < away.max() < 1.1 * source.radius
    assert not seen[:, 0].any()  # the last one is far from the cut
    scene = Scene(1, BEHIND, 1.0, (dataclasses.replace(source, start=BEHIND, end=BEHIND),))
    behind = object_mask(scene, scene.panorama(448, 224))[0]
    assert behind[:, 0].any() and behind[:, -1].any() and not behind[:, 224].any()


def test_seen_where_stated():
    errors = []
    for seed in range(12):
        scene = short(seed, kind=("drum", "water", "engine")[seed % 3], moving=False)
        rows, columns = np.nonzero(object_mask(scene, scene.view())[0])
        left = scene.view_angles(np.array(0.0))[0]
        assert (columns.mean() < 111.5) == (left > 0)  # left in the view is left
        if min(rows.min(), columns.min()) == 0 or max(rows.max(), columns.max()) == 223:
            continue  # cut off by the edge, so its middle is not seen
        rays = panorama.view_rays(scene.camera, 90.0, 224)[rows, columns]
        weights = rays @ scene.camera.to_vector()  # pixels near the edge of the view cover less of the sphere
        middle = Direction.from_vector((rays * weights[:, None] ** 3).sum(0))
        stated = Direction(float(scene.azimuth(0.0)), float(scene.elevation(0.0)))
        errors.append(np.degrees(middle.angle_to(stated)))
    assert len(errors) >= 5 and max(errors) < 1


@pytest.mark.parametrize("seed", range(6))
def test_heard_where_stated(seed):
    scene = short(seed, kind=KINDS[seed], moving=False)
    stated = Direction(float(scene.azimuth(0.0)), float(scene.elevation(0.0)))
    heard = Direction.from_vector(intensity_direction(scene.foa(16000)))
    assert np.degrees(heard.angle_to(stated)) < 0.01


def test_moving_source_is_heard_moving():
    scene = make_scene(11, kind="engine", moving=True)
    foa = scene.foa(16000)
    for time_s in (0.0, 2.4, 4.8):
        part = foa[:, int(time_s * 16000) :][:, :3200]
        heard = Direction.from_vector(intensity_direction(part))
        stated = Direction(float(scene.azimuth(time_s + 0.1)), float(scene.elevation(time_s + 0.1)))
        assert np.degrees(heard.angle_to(stated)) < 0.5
    steps = scene.sources[0].vectors(np.linspace(0, 5, 6))
    assert np.ptp(np.sum(steps[1:] * steps[:-1], axis=-1)) < 1e-9  # equal angles in equal times


def test_any_rate_gives_the_same_sound():
    scene = short(4, kind="siren")
    low, high = scene.foa(16000), scene.foa(48000)
    assert low.shape == (4, 16000) and high.shape == (4, 48000) and scene.foa(44100).shape == (4, 44100)
    difference = low[:, 200:-200] - high[:, ::3][:, 200:-200]
    assert np.sqrt(np.mean(difference**2)) < 0.01 * np.sqrt(np.mean(low**2))


@pytest.mark.parametrize("kind", STRUCK)
def test_strokes_are_seen_and_heard_together(kind):
    scene = make_scene(8, kind=kind, moving=False)
    source = scene.sources[0]
    envelope = np.abs(sound(source)).reshape(-1, SYNTHESIS_RATE // 100).max(-1)  # 10 ms
    for stroke in source.strokes():
        at = int(stroke * 100)
        if 3 <= at < 496:
            assert envelope[at : at + 3].max() > 3 * envelope[at - 3 : at].max()
    bright = object_mask(scene, scene.view())[..., None] * scene.view().astype(float)
    brightness = bright.sum((1, 2, 3)) / np.maximum((bright > 0).sum((1, 2, 3)), 1)
    assert np.corrcoef(brightness, source.activity(scene.frame_times()))[0, 1] > 0.8


def test_larger_is_louder():
    near, far = (dataclasses.replace(make_scene(2).sources[0], radius=r) for r in np.radians([12.5, 7.5]))
    assert np.abs(sound(near)).max() == pytest.approx(0.5, rel=1e-3)
    assert np.abs(sound(far)).max() == pytest.approx(0.3, rel=1e-3)


def test_caption_names_kind_and_place():
    for seed in range(40):
        scene = make_scene(seed)
        left, up = np.degrees(scene.view_angles(np.array(2.5)))
        caption = scene.caption()
        assert scene.kind in caption
        assert ("left" in caption, "right" in caption) == (left > 7, left < -7)
        assert ("top" in caption or "upper" in caption) == (up > 7)
    assert scene.caption(1.0).split()[-1] in ("loud", "soft", "quiet")


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="choose one of"):
        make_scene(0, kind="piano")
    with pytest.raises(ValueError, match="positive"):
        make_scene(0, duration_s=0)
