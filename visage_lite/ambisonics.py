"""First-order ambisonics: a sound field in four channels. Encode, turn, mirror, listen toward a direction, map energy.

Inside the package a field is always ambiX: channels W, Y, Z, X (ACN order) with SN3D weights, so that a source of
signal s has W = s, Y = s sin(az) cos(el), Z = s sin(el), X = s cos(az) cos(el). Y points left, Z up, X to the front.
`convert` is the only door to other conventions.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from visage_lite.directions import Direction, unit_vector

CONVENTIONS = ("ambix", "n3d", "fuma")
MIRRORS = {"left-right": 1, "up-down": 2, "front-back": 3}  # axis -> the channel (Y, Z, X) that changes its sign
BEAMS = {
    "omni": 1.0, "subcardioid": 0.7, "cardioid": 0.5, "supercardioid": 0.37, "hypercardioid": 0.25, "figure-eight": 0.0,
}


def encode(signal: np.ndarray, azimuth: np.ndarray | float, elevation: np.ndarray | float) -> np.ndarray:
    """The sound field of a point source.

    Args:
        signal: [N], what the source sounds like at the listener.
        azimuth, elevation: radians, scalars or [N] for a moving source.
    Returns: [4, N], W, Y, Z, X, in the signal's floating type.
    Raises: ValueError if signal is not [N] or the angles fit neither a scalar nor [N].
    Source: ambiX, Nachbar et al. 2011. Notebook: 02_ambisonics.
    """
    signal = np.asarray(signal)
    if signal.ndim != 1 or any(np.ndim(angle) and np.shape(angle) != signal.shape for angle in (azimuth, elevation)):
        raise ValueError(
            f"encode takes a signal [N] and angles that are numbers or [N], not {list(signal.shape)}, "
            f"{list(np.shape(azimuth))} and {list(np.shape(elevation))}: encode each channel of a stereo file apart"
        )
    front, left, up = np.moveaxis(unit_vector(azimuth, elevation), -1, 0)
    dtype = signal.dtype if np.issubdtype(signal.dtype, np.floating) else np.float64
    return np.stack([signal, signal * left, signal * up, signal * front]).astype(dtype)


def rotation_matrix(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """The rotation that rolls, then pitches, then yaws the scene: [3, 3] on (front, left, up).

    Args:
        yaw: radians, front turns to the left.
        pitch: radians, front turns up.
        roll: radians, left turns up.
    Returns: float64 [3, 3], orthogonal.
    Notebook: 02_ambisonics.
    """
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    turn = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    nod = np.array([[cp, 0, -sp], [0, 1, 0], [sp, 0, cp]])
    lean = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    return turn @ nod @ lean


def rotate(foa: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The field with every source moved by a rotation: rotate(encode(s, d), R) = encode(s, R d).

    W has no direction and stays. Turning the head by R turns the scene by the inverse of R, its transpose.

    Args:
        foa: [..., 4, N].
        matrix: [3, 3], orthogonal, on (front, left, up).
    Returns: [..., 4, N].
    Raises: ValueError if the matrix is not orthogonal or foa has not four channels.
    Notebook: 02_ambisonics.
    """
    foa, matrix = _field(foa), np.asarray(matrix, float)
    if matrix.shape != (3, 3) or not np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-6):
        raise ValueError("a rotation is an orthogonal matrix [3, 3]: make one with rotation_matrix(yaw, pitch, roll)")
    order = [1, 2, 0]  # Y, Z, X are left, up, front
    full = np.eye(4)
    full[1:, 1:] = matrix[np.ix_(order, order)]
    return full.astype(foa.dtype) @ foa


def rotate_yaw(foa: np.ndarray, yaw: float) -> np.ndarray:
    """The field with every source turned to the left. A head that turns left hears rotate_yaw(foa, -yaw).

    Args:
        foa: [..., 4, N].
        yaw: radians, left positive.
    Returns: [..., 4, N].
    Notebook: 02_ambisonics.
    """
    return rotate(foa, rotation_matrix(yaw))


def mirror(foa: np.ndarray, axis: str = "left-right") -> np.ndarray:
    """The field seen in a mirror.

    Args:
        foa: [..., 4, N].
        axis: "left-right" flips Y, "up-down" Z, "front-back" X.
    Returns: [..., 4, N].
    Raises: ValueError if the axis has another name.
    Notebook: 02_ambisonics.
    """
    if axis not in MIRRORS:
        raise ValueError(f"no mirror {axis!r}: choose one of {', '.join(MIRRORS)}")
    mirrored = _field(foa).copy()
    mirrored[..., MIRRORS[axis], :] *= -1
    return mirrored


def beam(foa: np.ndarray, direction: Direction, shape: str = "cardioid") -> np.ndarray:
    """What a directional microphone at the listener's place records.

    Args:
        foa: [..., 4, N].
        direction: where the microphone points.
        shape: one of BEAMS. Gain toward a source at angle t from `direction`: a + (1 - a) cos t, with a = BEAMS[shape].
    Returns: [..., N]; a source straight ahead has gain 1.
    Raises: ValueError if the shape has another name.
    Notebook: 02_ambisonics.
    """
    if shape not in BEAMS:
        raise ValueError(f"no beam {shape!r}: choose one of {', '.join(BEAMS)}")
    foa, (front, left, up) = _field(foa), direction.to_vector()
    weights = np.array([BEAMS[shape], *((1 - BEAMS[shape]) * np.array([left, up, front]))], dtype=foa.dtype)
    return np.einsum("c,...cn->...n", weights, foa)


def convert(foa: np.ndarray, source: str = "ambix", target: str = "ambix") -> np.ndarray:
    """The same field in another convention.

    ambix: W, Y, Z, X, SN3D. n3d: the same order, Y, Z, X times sqrt(3). fuma: W, X, Y, Z, with W divided by sqrt(2).

    Args: foa: [..., 4, N] in `source`. source, target: one of CONVENTIONS.
    Returns: [..., 4, N] in `target`.
    Raises: ValueError if a convention has another name.
    Source: FuMa, Malham 2003; N3D and SN3D, Daniel 2000. Notebook: 02_ambisonics.
    """
    for name in (source, target):
        if name not in CONVENTIONS:
            raise ValueError(f"no convention {name!r}: choose one of {', '.join(CONVENTIONS)}")
    foa = _field(foa)
    root3, root2 = np.array([[1], [3**0.5], [3**0.5], [3**0.5]]), np.array([[2**0.5], [1], [1], [1]])
    to_ambix = {"ambix": lambda x: x, "n3d": lambda x: x / root3, "fuma": lambda x: (x * root2)[..., [0, 2, 3, 1], :]}
    from_ambix = {"ambix": lambda x: x, "n3d": lambda x: x * root3, "fuma": lambda x: x[..., [0, 3, 1, 2], :] / root2}
    return from_ambix[target](to_ambix[source](foa)).astype(foa.dtype)


def covariance(foa: np.ndarray) -> np.ndarray:
    """Mean products of the channels, all that the energy map needs to know: [..., 4, N] -> float64 [..., 4, 4]."""
    foa = _field(foa).astype(float)
    return foa @ np.swapaxes(foa, -1, -2) / foa.shape[-1]


def map_grid(height: int = 90, width: int = 180, weighting: str = "sn3d") -> np.ndarray:
    """How much each channel counts in each cell of the energy map.

    Args:
        height, width: cells from the zenith down, and from behind over the left to the front and on.
        weighting: "sn3d": cell centres, elevation 89 - 2i and azimuth 179 - 2j degrees at the default size.
            "as_released": the cells' lower right corners (88 - 2i, 178 - 2j), and Y and X weighted by sqrt(2) because
            of a misplaced parenthesis, so that a source at elevation 45 peaks at 36.
    Returns: float64 [4, height, width].
    Raises: ValueError if the weighting has another name.
    Notebook: 02_ambisonics.
    """
    rows, columns = _grid_factors(height, width, weighting)
    return rows[:, :, None] * columns[:, None]


def _grid_factors(height: int, width: int, weighting: str) -> tuple[np.ndarray, np.ndarray]:
    """What each channel's weights in the map have of the elevation [4, height] and of the azimuth [4, width]."""
    if weighting not in ("sn3d", "as_released"):
        raise ValueError(f"no weighting {weighting!r}: choose sn3d or as_released")
    place, level = (0.5, 1.0) if weighting == "sn3d" else (1.0, 2**0.5)
    elevation = np.pi / 2 - np.pi * (np.arange(height) + place) / height
    azimuth = np.pi - 2 * np.pi * (np.arange(width) + place) / width
    rows = np.stack([np.ones(height), level * np.cos(elevation), np.sin(elevation), level * np.cos(elevation)])
    return rows, np.stack([np.ones(width), np.sin(azimuth), np.ones(width), np.cos(azimuth)])


def energy_map(foa: np.ndarray, height: int = 90, width: int = 180, weighting: str = "sn3d") -> np.ndarray:
    """How loud the field is from every direction: RMS of the signal W + Y y + Z z + X x toward each cell.

    Args:
        foa: [..., 4, N].
        weighting: "sn3d", or "as_released" (see `map_grid`).
    Returns: float64 [..., height, width].
    Source: ViSAGe (arXiv 2506.12199), spatial metrics. Differs: computed from the 4 x 4 covariance, not from N samples
    in every cell. Notebook: 02_ambisonics, 06_evaluation.
    """
    return energy_map_of_covariance(covariance(foa), height, width, weighting)


def energy_map_of_covariance(
    matrix: np.ndarray, height: int = 90, width: int = 180, weighting: str = "sn3d",
) -> np.ndarray:
    """Energy maps from covariances alone: sqrt(y' R y) in each cell.

    Args:
        matrix: R, [..., 4, 4], from `covariance`.
        height, width, weighting: see `map_grid`.
    Returns: float64 [..., height, width].
    Notebook: 02_ambisonics.
    """
    rows, columns = _products(height, width, weighting)
    power = (np.asarray(matrix).reshape(*np.shape(matrix)[:-2], 1, 16) * rows) @ columns
    return np.sqrt(np.maximum(power, 0.0, out=power), out=power)  # in place: new memory costs more than the root


@lru_cache(maxsize=4)
def _products(height: int, width: int, weighting: str) -> tuple[np.ndarray, np.ndarray]:
    """What each product of two channels' weights has of the elevation [height, 16] and of the azimuth [16, width]."""
    rows, columns = _grid_factors(height, width, weighting)
    return (rows[:, None] * rows).reshape(16, -1).T, (columns[:, None] * columns).reshape(16, -1)


def intensity_direction(foa: np.ndarray) -> np.ndarray:
    """Where the sound comes from on the whole: the unit vector (front, left, up) of the mean intensity W (X, Y, Z).

    Args: foa: [..., 4, N].
    Returns: float64 [..., 3]; zeros where the field is silent or comes from everywhere alike.
    Source: Merimaa and Pulkki 2005. Notebook: 02_ambisonics.
    """
    return intensity_of_covariance(covariance(foa))


def intensity_of_covariance(matrix: np.ndarray) -> np.ndarray:
    """`intensity_direction` from covariances alone: [..., 4, 4] -> float64 [..., 3]."""
    intensity = np.asarray(matrix, float)[..., 0, [3, 1, 2]]
    length = np.linalg.norm(intensity, axis=-1, keepdims=True)
    return np.divide(intensity, length, out=np.zeros_like(intensity), where=length > 0)


def diffuseness(foa: np.ndarray) -> np.ndarray:
    """The share of the energy that does not flow: 0 for one plane wave, 1 for sound from everywhere alike.

    Args: foa: [..., 4, N].
    Returns: float64 [...], 1 - 2 |mean W (X, Y, Z)| / mean (W^2 + X^2 + Y^2 + Z^2); silence has 1.
    Source: Merimaa and Pulkki 2005, in SN3D. Notebook: 06_evaluation.
    """
    return diffuseness_of_covariance(covariance(foa))


def diffuseness_of_covariance(matrix: np.ndarray) -> np.ndarray:
    """`diffuseness` from covariances alone: [..., 4, 4] -> float64 [...]."""
    matrix = np.asarray(matrix, float)
    flow, energy = 2 * np.linalg.norm(matrix[..., 0, 1:], axis=-1), np.trace(matrix, axis1=-2, axis2=-1)
    return 1 - np.minimum(np.divide(flow, energy, out=np.zeros_like(energy), where=energy > 0), 1)


def pan_mono(signal: np.ndarray, direction: Direction, mode: str = "corrected") -> np.ndarray:
    """A mono signal placed at a direction: the second stage of the two-stage baselines.

    Args:
        signal: [N].
        mode: "corrected" is `encode`; "as_released" counts the azimuth to the right, which swaps left and right, and
            makes Y, Z and X louder by sqrt(2), the gain of another convention.
    Returns: [4, N].
    Raises: ValueError if the mode has another name.
    Source: ViSAGe (arXiv 2506.12199), baselines. Notebook: 02_ambisonics.
    """
    if mode == "corrected":
        return encode(signal, direction.azimuth, direction.elevation)
    if mode != "as_released":
        raise ValueError(f"no mode {mode!r}: choose corrected or as_released")
    gains = np.array([[1], [2**0.5], [2**0.5], [2**0.5]])
    foa = encode(signal, -direction.azimuth, direction.elevation)
    return (foa * gains).astype(foa.dtype)


def decode_mono(foa: np.ndarray, direction: Direction, mode: str = "corrected") -> np.ndarray:
    """What the semantic metrics listen to: W + Y y + Z z + X x toward the camera's direction, gain 2 straight ahead.

    Args:
        foa: [..., 4, N].
        mode: "corrected"; "as_released_truth", which swaps left and right (gain 0 for a source 90 degrees to the left,
            seen by a camera that looks there); "as_released_generated", which also multiplies X and Y where it should
            add them. The released code decodes the truth in one way and what was generated in the other.
    Returns: [..., N].
    Raises: ValueError if the mode has another name.
    Source: ViSAGe (arXiv 2506.12199), semantic metrics. Notebook: 02_ambisonics.
    """
    if mode not in ("corrected", "as_released_truth", "as_released_generated"):
        raise ValueError(f"no mode {mode!r}: choose corrected, as_released_truth or as_released_generated")
    foa = _field(foa)
    azimuth = direction.azimuth if mode == "corrected" else -direction.azimuth
    front, left, up = unit_vector(azimuth, direction.elevation)
    w, y, z, x = np.moveaxis(foa, -2, 0)
    if mode == "as_released_generated":  # x cos(el) cos(az) / cos(el) * sin(az) y
        return (w + np.cos(azimuth) * np.sin(azimuth) * x * y + up * z).astype(foa.dtype)
    return (w + left * y + up * z + front * x).astype(foa.dtype)


def _field(foa: np.ndarray) -> np.ndarray:
    """foa as a floating array, after a check of its shape."""
    foa = np.asarray(foa)
    if foa.ndim < 2 or foa.shape[-2] != 4 or foa.shape[-1] == 0:
        raise ValueError(f"a first-order field is [..., 4, N] (W, Y, Z, X), not {list(foa.shape)}")
    return foa if np.issubdtype(foa.dtype, np.floating) else foa.astype(float)
