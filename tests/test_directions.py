"""One Direction, five ways to write it: they must agree, and left must be left in each."""

from pathlib import Path

import numpy as np
import pytest

from visage_lite.directions import Direction, angles, model_input, unit_vector

REFERENCE = np.load(Path(__file__).parent / "reference" / "camera_direction.npz")


def some_directions(count=60, seed=0):
    rng = np.random.default_rng(seed)
    return [Direction(*rng.uniform([-np.pi, -1.5], [np.pi, 1.5])) for _ in range(count)]


def test_model_input_equals_the_stored_numbers():
    i, j = np.meshgrid(np.arange(91), np.arange(181), indexing="ij")  # one more than the table: the edges of the cells
    ours = model_input(np.radians(179 - 2 * j), np.radians(89 - 2 * i))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, REFERENCE["direction"], atol=1e-6)
    one = Direction.from_index(12, 34).to_model_input()
    np.testing.assert_allclose(one, REFERENCE["direction"][12, 34], atol=1e-6)


def test_a_scene_turned_right_by_90_degrees_is_the_released_augmentation():
    """Y' = -X, X' = Y takes a source in front to the right; the azimuth index grows by 45."""
    for i, j in ((10, 20), (44, 89), (80, 130)):
        turned = Direction.from_index(i, j).rotated(-np.pi / 2)
        assert turned.to_index() == (i, (j + 45) % 180)
        expected = REFERENCE["direction_after_yaw90_augmentation"][i, j]
        np.testing.assert_allclose(turned.to_model_input(), expected, atol=1e-6)


def test_axes():
    assert np.allclose(Direction(0, 0).to_vector(), [1, 0, 0])
    assert np.allclose(Direction.from_degrees(90, 0).to_vector(), [0, 1, 0])
    assert np.allclose(Direction.from_degrees(0, 90).to_vector(), [0, 0, 1])
    assert np.allclose(Direction.from_degrees(90, 0).to_model_input(), [-1, 0, 0], atol=1e-7)  # (right, down, front)
    assert np.allclose(Direction.from_degrees(0, 90).to_model_input(), [0, -1, 0], atol=1e-7)


def test_unit_vector_against_a_loop():
    azimuth, elevation = np.meshgrid(np.linspace(-3, 3, 7), np.linspace(-1.5, 1.5, 5))
    fast = unit_vector(azimuth, elevation)
    for place in np.ndindex(azimuth.shape):
        a, e = azimuth[place], elevation[place]
        assert np.allclose(fast[place], [np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    back = angles(3 * fast)
    assert np.allclose(back[0], azimuth) and np.allclose(back[1], elevation)


def test_round_trips():
    for direction in some_directions():
        assert direction.angle_to(Direction.from_vector(5 * direction.to_vector())) < 1e-9
        assert direction.angle_to(Direction.from_pixel(*direction.to_pixel(896, 448), 896, 448)) < 1e-9
        assert direction.angle_to(Direction.from_index(*direction.to_index())) < np.radians(1.5)
    for i in range(90):
        for j in range(0, 180, 7):
            assert Direction.from_index(i, j).to_index() == (i, j)


def test_azimuth_wraps_and_stays_in_range():
    for azimuth in np.linspace(-20, 20, 401):
        wrapped = Direction(azimuth, 0).azimuth
        assert -np.pi < wrapped <= np.pi
        assert np.isclose(np.sin(wrapped), np.sin(azimuth)) and np.isclose(np.cos(wrapped), np.cos(azimuth))
    assert Direction(-np.pi, 0).azimuth == np.pi
    assert Direction(np.nextafter(-np.pi, 0), 0).azimuth > -np.pi


def test_left_is_left_in_the_panorama():
    assert Direction.from_degrees(90, 0).to_pixel(896, 448) == pytest.approx((224, 224))
    assert Direction.from_degrees(-90, 30).to_pixel(896, 448) == pytest.approx((672, 224 * (1 - 1 / 3)))
    assert Direction.from_index(44, 44).azimuth_deg == pytest.approx(91)


def test_angle_between():
    assert Direction(0, 0).angle_to(Direction.from_degrees(90, 0)) == pytest.approx(np.pi / 2)
    assert Direction.from_degrees(10, 80).angle_to(Direction.from_degrees(-170, 80)) == pytest.approx(np.radians(20))
    assert Direction(1, 1).angle_to(Direction(1, 1)) == 0


@pytest.mark.parametrize("angles_deg", [(float("nan"), 0), (0, float("inf")), (0, 91), (0, -90.1)])
def test_impossible_angles_are_refused(angles_deg):
    with pytest.raises(ValueError, match="elevation|finite"):
        Direction.from_degrees(*angles_deg)


def test_other_impossible_input():
    for i, j in ((-1, 0), (90, 0), (0, 180)):
        with pytest.raises(ValueError, match="table"):
            Direction.from_index(i, j)
    for vector in ([0, 0, 0], [1, 2], [np.nan, 0, 0]):
        with pytest.raises(ValueError, match="non-zero"):
            Direction.from_vector(np.array(vector, float))
    with pytest.raises(ValueError, match="front, left, up"):
        angles(np.zeros((3, 4)))
