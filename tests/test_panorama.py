"""The camera's view in the panorama: against a loop, against the stored crops, and left stays left."""

import time
from pathlib import Path

import numpy as np
import pytest

from visage_lite.directions import Direction
from visage_lite.panorama import crop, pixel_of, uncrop, view_rays

REFERENCE = np.load(Path(__file__).parent / "reference" / "panorama_projection.npz")


def stored_panorama():
    """R = floor(x / 896 * 255), G = floor(y / 448 * 255), B = 200 where (x // 32 + y // 32) is odd."""
    x, y = np.meshgrid(np.arange(896), np.arange(448))
    blue = np.where((x // 32 + y // 32) % 2 == 1, 200, 0)
    return np.stack([x / 896 * 255, y / 448 * 255, blue], axis=-1).astype(np.uint8)


def dot(direction, height=224, width=448, radius=0.06):
    """A black panorama with one white disc."""
    rows, columns = np.mgrid[:height, :width]
    azimuth, elevation = np.pi * (1 - 2 * (columns + 0.5) / width), np.pi * (0.5 - (rows + 0.5) / height)
    vector = np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], -1)
    return np.repeat(255 * (vector @ direction.to_vector() > np.cos(radius))[..., None], 3, -1).astype(np.uint8)


def centre_of(view):
    weight = view[..., 0].astype(float)
    rows, columns = np.mgrid[: view.shape[0], : view.shape[1]] + 0.5
    return (columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()


@pytest.mark.parametrize("place", range(5))
def test_crops_equal_the_stored_ones(place):
    i, j = (int(n) for n in REFERENCE["view_index_elevation_azimuth"][place])
    ours = crop(stored_panorama(), Direction.from_index(i, j), sampling="as_released").astype(int)
    difference = np.abs(ours - REFERENCE["crops"][place])
    assert difference.mean() <= 0.1  # two grey levels are asked for
    beside = np.abs(np.roll(ours, 1, axis=1) - REFERENCE["crops"][place])
    assert beside.mean() > 10 * difference.mean()  # not shifted by a pixel


def test_crop_against_a_loop():
    panorama = np.random.default_rng(0).integers(0, 256, (40, 80, 3)).astype(np.uint8)
    camera = Direction(2.9, 0.6)  # looks across the back seam
    fast = crop(panorama, camera, fov_deg=80, size=11)
    rays = view_rays(camera, 80, 11)
    for v in range(11):
        for u in range(11):
            seen = Direction.from_vector(rays[v, u])
            column, row = seen.to_pixel(80, 40)
            column, row = column - 0.5, min(max(row - 0.5, 0), 39)
            left, top = int(np.floor(column)), min(int(np.floor(row)), 38)
            a, d = column - left, row - top
            upper = (1 - a) * panorama[top, left % 80] + a * panorama[top, (left + 1) % 80]
            lower = (1 - a) * panorama[top + 1, left % 80] + a * panorama[top + 1, (left + 1) % 80]
            assert np.abs(fast[v, u] - ((1 - d) * upper + d * lower)).max() <= 0.51


def test_rays_against_a_loop():
    camera, edge = Direction(0.8, -0.5), np.tan(np.radians(30))
    rays = view_rays(camera, 60, 5)
    for v in range(5):
        for u in range(5):
            right, down = edge * (2 * (u + 0.5) / 5 - 1), edge * (2 * (v + 0.5) / 5 - 1)
            e, a = -0.5, 0.8
            forward, up = np.cos(e) - np.sin(e) * -down, np.sin(e) + np.cos(e) * -down  # tilted, then turned
            ray = np.array([forward * np.cos(a) + right * np.sin(a), forward * np.sin(a) - right * np.cos(a), up])
            np.testing.assert_allclose(rays[v, u], ray / np.linalg.norm(ray), atol=1e-12)
    np.testing.assert_allclose(rays[2, 2], camera.to_vector(), atol=1e-12)


def test_an_object_stands_where_pixel_of_says():
    camera = Direction.from_degrees(100, 20)
    for azimuth_deg, elevation_deg in ((100, 20), (125, 35), (80, 0), (70, 40)):
        source = Direction.from_degrees(azimuth_deg, elevation_deg)
        view = crop(dot(source), camera, size=200)
        column, row = pixel_of(source, camera, size=200)
        found = centre_of(view)
        assert abs(found[0] - column) < 2 and abs(found[1] - row) < 2


def test_left_is_left_and_up_is_up():
    camera = Direction.from_degrees(-30, 10)
    left, up = Direction.from_degrees(0, 10), Direction.from_degrees(-30, 40)
    assert pixel_of(left, camera)[0] < 112 and pixel_of(up, camera)[1] < 112
    view = crop(dot(left), camera)
    assert view[:, :112].sum() > 0 and view[:, 112:].sum() == 0


def test_what_the_camera_does_not_see():
    camera = Direction(0, 0)
    assert pixel_of(Direction.from_degrees(180, 0), camera) is None
    assert pixel_of(Direction.from_degrees(46, 0), camera) is None
    assert pixel_of(Direction.from_degrees(44.9, 0), camera) is not None


def test_zenith_and_nadir_have_a_view():
    for elevation_deg in (90, -90):
        assert crop(stored_panorama(), Direction.from_degrees(0, elevation_deg), size=32).shape == (32, 32, 3)


def test_several_frames_at_once():
    frames = np.random.default_rng(1).integers(0, 256, (2, 3, 40, 80, 3)).astype(np.uint8)
    views = crop(frames, Direction(1, 0.2), size=16)
    assert views.shape == (2, 3, 16, 16, 3) and views.dtype == np.uint8
    np.testing.assert_array_equal(views[1, 2], crop(frames[1, 2], Direction(1, 0.2), size=16))


def test_a_white_panorama_stays_white():
    white = np.full((448, 896, 3), 255, np.uint8)
    assert crop(white, Direction(3.1, -0.4)).min() == 255


def test_crop_is_fast():
    panorama = stored_panorama()
    crop(panorama, Direction(0.1, 0.1))
    fastest = np.inf
    for _ in range(10):
        begun = time.perf_counter()
        crop(panorama, Direction(0.1, 0.1))
        fastest = min(fastest, time.perf_counter() - begun)
    assert fastest < 0.02  # 2 ms measured alone on one core


@pytest.mark.parametrize("wrong", [
    lambda: crop(np.zeros((448, 896, 3)), Direction(0, 0)),
    lambda: crop(np.zeros((448, 896), np.uint8), Direction(0, 0)),
    lambda: crop(np.zeros((448, 896, 4), np.uint8), Direction(0, 0)),
    lambda: view_rays(Direction(0, 0), fov_deg=180),
    lambda: view_rays(Direction(0, 0), sampling="corners"),
])
def test_wrong_input_raises(wrong):
    with pytest.raises(ValueError):
        wrong()


def test_a_view_is_put_back_where_its_camera_looks():
    rng = np.random.default_rng(5)
    smooth = np.kron(rng.integers(0, 255, (3, 4, 4, 3)), np.ones((1, 20, 20, 1))).astype(np.uint8)
    for azimuth, elevation in ((0, 0), (90, 10), (175, -30), (-60, 70)):
        camera = Direction.from_degrees(azimuth, elevation)
        panorama = uncrop(smooth, camera, height=256, around=7)
        assert panorama.shape == (3, 256, 512, 3) and panorama.dtype == np.uint8
        again = crop(panorama, camera, size=80).astype(int)
        blocks = np.s_[:, 8::20, 8::20]  # away from the edges of the squares
        assert np.abs(again - smooth)[blocks].max() <= 3
        behind = (int(place) for place in Direction.from_vector(-camera.to_vector()).to_pixel(512, 256))
        column, row = behind
        assert (panorama[:, min(row, 255), column % 512] == 7).all()


@pytest.mark.parametrize("view", [np.zeros((8, 9, 3), np.uint8), np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3))])
def test_only_square_views_are_put_back(view):
    with pytest.raises(ValueError, match="h, h, 3"):
        uncrop(view, Direction.from_degrees(0, 0))
