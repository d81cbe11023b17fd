"""The scenes: the same seed gives the same bytes, and what is seen, heard and stated agree on the direction."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from visage_lite import panorama
from visage_lite.ambisonics import intensity_direction
from visage_lite.directions import Direction, unit_vector
from visage_lite.looks import REACH, outline_and_paint
from visage_lite.rooms import Room
from visage_lite.scenes import ALL_KINDS, COLOURS, KINDS, SYNTHESIS_RATE, TOY_KINDS, Scene, Source, make_scene, sound

BEHIND = Direction.from_degrees(180, 0)  # where the panorama is cut open


def short(seed: int, **options) -> Scene:
    """A scene of one second, so that drawing it is quick."""
    return make_scene(seed, duration_s=1.0, **options)


def object_mask(scene: Scene, frames: np.ndarray, fov_deg: float = 90.0) -> np.ndarray:
    """Where the object is: frames that differ from the same scene without it."""
    empty = dataclasses.replace(scene, sources=())
    rows, columns = frames.shape[1:3]
    backdrop = empty.view(rows, fov_deg) if rows == columns else empty.panorama(columns, rows)
    return np.abs(frames.astype(int) - backdrop).sum(-1) > 20


def loudness(source: Source) -> float:
    """RMS at the listener's place."""
    return float(np.sqrt(np.mean(sound(source).astype(float) ** 2)))


OLD = [  # seed, kind and moving asked for, kind, noise seed, radius, level of the sound field, mean of the picture
    (0, None, None, "bird", 1190382223, 0.2125, 0.41569, 178.898),
    (1, None, None, "engine", 972122757, 0.133305, 0.47365, 80.046),
    (3, None, None, "siren", 1430942359, 0.140819, 0.51308, 92.163),
    (8, "bird", True, "bird", 854285176, 0.172697, 0.31087, 99.801),
    (9, "drum", False, "drum", 317986816, 0.169057, 0.18652, 161.395),
]


@pytest.mark.parametrize("seed, asked, moving, kind, noise_seed, radius, level, brightness", OLD)
def test_scenes_are_still_those_that_the_toy_networks_learned(
    seed, asked, moving, kind, noise_seed, radius, level, brightness
):
    scene = make_scene(seed, asked, 1.0, moving)
    source = scene.sources[0]
    assert (scene.kind, source.noise_seed, len(scene.sources), scene.room) == (kind, noise_seed, 1, None)
    assert source.radius == pytest.approx(radius, abs=1e-6) and source.gain == 1
    assert scene.foa(16000).std(1).sum() == pytest.approx(level, abs=1e-4)
    assert scene.view(56).mean() == pytest.approx(brightness, abs=1e-2)


def test_the_toy_kinds_are_what_is_drawn_and_read():
    assert KINDS == TOY_KINDS == tuple(COLOURS) == ("bell", "drum", "engine", "water", "siren", "bird")
    assert {make_scene(seed).kind for seed in range(60)} == set(TOY_KINDS)
    assert {make_scene(seed, kinds=ALL_KINDS).kind for seed in range(120)} == set(ALL_KINDS)
    assert {make_scene(seed, kinds=("ball", "horn")).kind for seed in range(20)} == {"ball", "horn"}


@pytest.mark.parametrize("kind", ALL_KINDS)
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


@pytest.mark.parametrize("kind", ("bell", "drum"))
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


def close_up(kind: str, seed: int = 0, rate: float = 25.0, **changes) -> Scene:
    """A camera that looks straight at an object of 10 degrees, at many frames per second, for 1.6 s."""
    scene = make_scene(seed, kind=kind, duration_s=1.6, moving=False)
    source = dataclasses.replace(scene.sources[0], radius=np.radians(10), **changes)
    return dataclasses.replace(scene, seed=0, sources=(source,), camera=source.start, video_rate=rate)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_what_is_loud_is_bright(kind):
    scene = close_up(kind, first_s=0.2)
    view = scene.view(48, 50)
    brightness = [frame[where].mean() for frame, where in zip(view, object_mask(scene, view, 50))]
    assert np.corrcoef(brightness, scene.sources[0].activity(scene.frame_times()))[0, 1] > 0.7


@pytest.mark.parametrize("kind", sorted(set(ALL_KINDS) - set(TOY_KINDS)))
def test_objects_are_drawn_whole(kind):
    rim = np.linspace(0, 2 * np.pi, 720)
    x, y = REACH * np.cos(rim), REACH * np.sin(rim)
    for active, turn in ((a, t) for a in (0.0, 0.5, 1.0) for t in np.linspace(-3, 30, 40)):
        assert outline_and_paint(kind, x, y, active, turn, (90, 90, 90))[0].min() > 0


def test_every_kind_looks_different():
    def looks(kind, seed):  # all of one colour, at 24 pixels across: a mean of some moments, and how much it changes
        scene = close_up(kind, seed, 5.0, colour=(150, 150, 150))
        seen = scene.view(24, 26).astype(float)
        return np.concatenate([seen.mean(0).ravel(), 2 * seen.std(0).ravel()])

    known = np.array([np.mean([looks(kind, seed) for seed in (0, 1)], 0) for kind in ALL_KINDS])
    for n, kind in enumerate(ALL_KINDS):
        away = np.linalg.norm(looks(kind, 2) - known, axis=1)
        assert away.argmin() == n and np.sort(away)[1] > 1.3 * away[n]


def test_ball_is_drawn_lowest_when_it_is_heard():
    scene = close_up("ball", rate=50.0, first_s=0.3, period_s=0.6, start=Direction(0, 0), end=Direction(0, 0))
    mask = object_mask(scene, scene.view(112, 60), 60)
    weights = mask.sum(2)
    rows = (weights * np.arange(112)).sum(1) / weights.sum(1)  # middle of the drawn ball
    times, strokes = scene.frame_times(), scene.sources[0].strokes()
    lowest = [times[np.argmax(np.where(np.abs(times - stroke) < 0.3, rows, 0))] for stroke in strokes]
    assert np.abs(np.array(lowest) - strokes).max() <= 0.02
    assert np.ptp(rows) * 60 / 112 > 8  # it rises by more than 8 degrees
    up = np.degrees(scene.view_angles(times)[:, 1])
    assert np.corrcoef(-rows, up)[0, 1] > 0.995


def parts_seen(kind: str, active: float, turn: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right, up and red, green, blue of a fine grid of points inside a grey object."""
    x, y = (each.ravel() for each in np.meshgrid(np.linspace(-1.2, 1.2, 121), np.linspace(-1.2, 1.2, 121)))
    outside, paint = outline_and_paint(kind, x, y, active, turn, (150, 150, 150))
    return x[outside < 0], y[outside < 0], paint[outside < 0]


def test_pendulum_is_in_the_middle_at_every_tick():
    places = []
    for turn in 2 * np.pi * np.array([0, 0.5, 1, 1.5, 2]):  # tick, between, tock, between, tick
        x, y, _ = parts_seen("clock", 0.0, turn)
        places.append(x[y < -0.75].mean())
    assert np.abs(np.array(places)[[0, 2, 4]]).max() < 0.02
    assert places[1] > 0.3 and places[3] < -0.3


def test_mouth_opens_when_the_singer_sings_in_the_shape_of_the_vowel():
    def mouth(active, vowel):  # width and height of the dark part below the middle of the face
        x, y, paint = parts_seen("singer", active, 2 * np.pi * (vowel + 0.4))
        dark = (paint.mean(1) < 100) & (y < -0.05)
        return np.array([np.ptp(x[dark]), np.ptp(y[dark])])

    a, e, i, o, u = (mouth(1.0, vowel) for vowel in range(5))
    assert a[1] > o[1] > u[1] > i[1] and i[0] > e[0] > a[0] > o[0] > u[0]
    assert a[1] > 1.5 * mouth(0.5, 0)[1] > 2 * mouth(0.05, 0)[1]


def test_bouncing_ball_is_heard_bouncing():
    scene = make_scene(3, kind="ball", moving=False)
    foa = scene.foa(16000)
    for time_s in scene.sources[0].strokes()[:-1]:
        part = foa[:, int(time_s * 16000) :][:, :800]
        heard = Direction.from_vector(intensity_direction(part))
        stated = Direction(float(scene.azimuth(time_s + 0.02)), float(scene.elevation(time_s + 0.02)))
        assert np.degrees(heard.angle_to(stated)) < 2


def test_ball_stays_in_view():
    times = np.linspace(0, 5, 101)
    for seed in range(150):
        scene = make_scene(seed, kind="ball")
        front, left, up = panorama.camera_axes(scene.camera) @ scene.sources[0].vectors(times).T
        assert np.all(front > np.maximum(np.abs(left), np.abs(up)))


def outside(scene: Scene, source: Source) -> np.ndarray:
    """At which of 60 moments the middle of an object is out of the camera's view."""
    front, left, up = panorama.camera_axes(scene.camera) @ source.vectors(np.linspace(0, scene.duration_s, 60)).T
    return front <= np.maximum(np.abs(left), np.abs(up))


@pytest.mark.parametrize("off_screen", [False, True])
def test_two_sources_and_the_camera_near_the_louder(off_screen):
    shares, moved, seconds = [], [], set()
    for seed in range(20):
        scene = make_scene(seed, duration_s=1.0, kinds=ALL_KINDS, sources=2, off_screen=off_screen)
        first, second = scene.sources
        assert first.kind != second.kind and scene.kind == first.kind and scene.caption().split()[2] == first.kind + ","
        assert np.degrees(np.arccos(first.vectors(0.0) @ second.vectors(0.0))) > 40
        assert not outside(scene, first).any()
        assert outside(scene, second).all() if off_screen else not outside(scene, second).any()
        shares.append(loudness(second) / loudness(first))
        moved.append(second.start != second.end)
        seconds.add(second.kind)
    assert 0 < min(shares) and max(shares) <= 0.8 + 1e-6
    assert np.median(shares) > 0.2 and 0 < np.mean(moved) < 0.7 and len(seconds) >= 8


def test_off_screen_source_is_not_in_the_picture_but_in_the_panorama():
    for seed in range(4):
        scene = make_scene(seed, duration_s=0.5, kinds=ALL_KINDS, sources=2, off_screen=True)
        without = dataclasses.replace(scene, sources=scene.sources[:1])
        assert scene.view(96).tobytes() == without.view(96).tobytes()
        assert object_mask(scene, scene.panorama(192, 96)).sum() > object_mask(scene, without.panorama(192, 96)).sum()


def test_two_sources_add_up():
    scene = make_scene(6, duration_s=1.0, moving=False, kind="horn", kinds=ALL_KINDS, sources=2)
    alone = [dataclasses.replace(scene, sources=(source,)) for source in scene.sources]
    np.testing.assert_allclose(scene.foa(16000), sum(each.foa(16000) for each in alone), atol=1e-6)
    for each, source in zip(alone, scene.sources):
        heard = Direction.from_vector(intensity_direction(each.foa(16000)))
        there = source.start if source.still else Direction.from_vector(source.vectors(source.strokes()[0]))
        assert np.degrees(heard.angle_to(there)) < 3
    masks = [object_mask(each, each.view()) for each in alone]
    assert np.array_equal(object_mask(scene, scene.view()), masks[0] | masks[1])
    assert scene == make_scene(6, "horn", 1.0, False, kinds=ALL_KINDS, sources=2)


def test_nearer_object_hides_the_farther():
    near, far = (close_up(kind, start=BEHIND, end=BEHIND).sources[0] for kind in ("drum", "engine"))
    far = dataclasses.replace(far, radius=np.radians(7.5))
    scenes = [Scene(0, BEHIND, 0.25, sources) for sources in ((near, far), (far, near), (near,))]
    assert len({scene.view(64, 40).tobytes() for scene in scenes}) == 1


def test_first_object_is_the_one_of_the_scene_with_one():
    for seed in range(5):
        one, two = (make_scene(seed, kinds=ALL_KINDS, sources=count) for count in (1, 2))
        assert one.camera == two.camera and one.sources[0] == two.sources[0]


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
    with pytest.raises(ValueError, match="choose one of"):
        make_scene(0, kinds=("bell", "piano"))
    with pytest.raises(ValueError, match="at least one kind"):
        make_scene(0, kinds=())
    with pytest.raises(ValueError, match="none twice"):
        make_scene(0, kinds=("bell", "bell"))
    with pytest.raises(ValueError, match="positive"):
        make_scene(0, duration_s=0)
    with pytest.raises(ValueError, match="1 or 2 sources"):
        make_scene(0, sources=3)
    with pytest.raises(ValueError, match="sources=2"):
        make_scene(0, off_screen=True)
    with pytest.raises(ValueError, match="give more kinds"):
        make_scene(0, kinds=("bell",), sources=2)
    with pytest.raises(ValueError, match="Room or None"):
        make_scene(0, room="hall")
    with pytest.raises(ValueError, match="make the room larger"):
        make_scene(0, room=Room((3, 3, 2), (1.5, 1.5, 1)))
