"""Systems to compare with: two-stage baselines, which place a mono sound by a rule, and controls, made from the truth.

A baseline is a function from what it may know of a clip (`Known`) to a field [4, N]; a control is one from `Truth`.
To enter your own into the table, write such a function and add it: {**BASELINES, "mine": my_function}. `field_of` runs
one and checks what it gives. Every baseline keeps the mono sound in W, so that only the placing differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from visage_lite.ambisonics import mirror, pan_mono
from visage_lite.codec import Codec
from visage_lite.directions import Direction
from visage_lite.panorama import view_rays

PATCHES = 7  # along an edge of the view


@dataclass(frozen=True)
class Known:
    """What a two-stage system may know of a clip: nothing of where its sound comes from.

    Args:
        mono: [N], what a mono model made for the video; W of the truth, if only the placing is to be judged.
        camera: where the camera looks.
        energy_map: [F, 49], the patch energy map of `vision.patch_energy_map`, frames spread evenly over the clip.
        rate: Hz, of mono.
        seed: of the clip, for systems that draw at random.
        fov_deg: the camera's field of view in degrees.
    Raises: ValueError if mono or the map has another shape or holds numbers that are not finite.
    Notebook: 06_evaluation.
    """

    mono: np.ndarray
    camera: Direction
    energy_map: np.ndarray
    rate: int
    seed: int
    fov_deg: float = 90.0

    def __post_init__(self) -> None:
        mono, energy = np.asarray(self.mono), np.asarray(self.energy_map)
        if mono.ndim != 1 or not mono.size or not np.isfinite(mono).all():
            raise ValueError(f"mono is a finite signal [N], not {list(mono.shape)}: take one channel")
        if energy.ndim != 2 or energy.shape[1] != PATCHES**2 or not len(energy) or not np.isfinite(energy).all():
            raise ValueError(f"an energy map is finite and [F, 49], not {list(energy.shape)}: flatten 7 x 7 patches")
        object.__setattr__(self, "mono", mono if np.issubdtype(mono.dtype, np.floating) else mono.astype(float))
        object.__setattr__(self, "energy_map", energy)


@dataclass(frozen=True)
class Truth:
    """What a control is made from: the truth itself.

    Args:
        foa: [4, N], the true field.
        rate: Hz.
        seed: of the clip, for controls that draw at random.
        other: [4, N], the true field of another clip; choose it by `other_clips`.
        codec: the one that a model's sound goes through.
    Raises: ValueError if a field is not [4, N].
    Notebook: 06_evaluation.
    """

    foa: np.ndarray
    rate: int
    seed: int
    other: np.ndarray | None = None
    codec: Codec | None = None

    def __post_init__(self) -> None:
        for name, field in (("foa", self.foa), ("other", self.other)):
            shape = None if field is None else list(np.shape(field))
            if shape is not None and (len(shape) != 2 or shape[0] != 4):
                raise ValueError(f"{name} is a field [4, N] (W, Y, Z, X), not {shape}")


def toward_camera(clip: Known) -> np.ndarray:
    """The mono sound as a source where the camera looks. Knows the camera's direction.

    Source: ViSAGe, the baselines "+ Ambi Enc.". Differs: left is left, and the gains are those of SN3D.
    Notebook: 06_evaluation.
    """
    return pan_mono(clip.mono, clip.camera)


def toward_camera_as_released(clip: Known) -> np.ndarray:
    """The same as released: left and right swapped, and Y, Z, X by sqrt(2) too loud. Knows the camera's direction.

    Source: ViSAGe, the baselines "+ Ambi Enc.". Notebook: 06_evaluation.
    """
    return pan_mono(clip.mono, clip.camera, "as_released")


def in_w_only(clip: Known) -> np.ndarray:
    """The mono sound from everywhere alike: W alone. Knows nothing; CC 0 and AUC 0.5 by rule.

    Notebook: 06_evaluation.
    """
    return _from_vectors(clip.mono, np.zeros(3))


def toward_random(clip: Known) -> np.ndarray:
    """The mono sound as a source somewhere, each place on the sphere as likely. Knows nothing.

    Notebook: 06_evaluation.
    """
    vector = np.random.default_rng([clip.seed, 1]).standard_normal(3)
    return _from_vectors(clip.mono, vector / np.linalg.norm(vector))


def by_energy_map(clip: Known) -> np.ndarray:
    """The mono sound from all patches of the view at once, each as loud as the patch energy map says. Knows both.

    Every patch is a virtual source that plays the mono sound with the gain g_p = e_p / sum e (amplitude-normalised, so
    W is the mono sound): Y, Z, X are the mono sound times sum g_p d_p. That is also the mean intensity of sources of
    energy e_p that do not resemble each other; the more patches stand out, the shorter the vector, the more diffuse
    the field. Between the frames the vector moves in a straight line; after the last one it stays.

    Raises: ValueError if a frame of the map sums to zero or has a negative patch.
    Notebook: 06_evaluation.
    """
    energy = clip.energy_map.astype(float)
    if (energy < 0).any() or (energy.sum(1) == 0).any():
        raise ValueError("each frame of the energy map needs patches >= 0 with a sum over 0: "
                         "take it from vision.patch_energy_map")
    rays = view_rays(clip.camera, clip.fov_deg, PATCHES).reshape(-1, 3)  # row by row from the upper left patch
    vectors = (energy / energy.sum(1, keepdims=True)) @ rays  # [F, 3]
    samples, frames = np.arange(len(clip.mono)), np.arange(len(vectors)) * len(clip.mono) / len(vectors)
    return _from_vectors(clip.mono, np.stack([np.interp(samples, frames, axis) for axis in vectors.T], axis=-1))


def through_codec(clip: Truth) -> np.ndarray:
    """The truth coded and decoded: the best that a model of these codes can reach. Zeros follow if it comes out short.

    Raises: ValueError if the clip has no codec, or another rate than it.
    Notebook: 06_evaluation.
    """
    if clip.codec is None or clip.codec.sample_rate != clip.rate:
        rate = "no codec" if clip.codec is None else f"{clip.codec.name} at {clip.codec.sample_rate} Hz"
        raise ValueError(f"this control needs a codec of the sound's {clip.rate} Hz, and has {rate}: "
                         "pass Truth(..., codec=load_codec(preset)) and sound of its rate")
    decoded = clip.codec.decode(clip.codec.encode(clip.foa))[:, : clip.foa.shape[1]]
    return np.pad(decoded, [(0, 0), (0, clip.foa.shape[1] - decoded.shape[1])])


def mirrored(clip: Truth) -> np.ndarray:
    """The truth with left and right exchanged: what a wrong sign costs. Notebook: 06_evaluation."""
    return mirror(clip.foa)


def shuffled(clip: Truth) -> np.ndarray:
    """The truth of another clip: good sound, in the wrong place.

    Raises: ValueError if the clip has no `other`, or one of another length.
    Notebook: 06_evaluation.
    """
    if clip.other is None or np.shape(clip.other) != np.shape(clip.foa):
        shape = None if clip.other is None else list(np.shape(clip.other))
        raise ValueError(f"this control needs another clip's truth of shape {list(np.shape(clip.foa))}, not {shape}: "
                         "pass Truth(..., other=fields[others[k]]) with others = other_clips(videos, seed)")
    return np.array(clip.other)


def omnidirectional(clip: Truth) -> np.ndarray:
    """The truth's W, and nothing in Y, Z and X: the right sound from everywhere alike. Notebook: 06_evaluation."""
    return _from_vectors(np.asarray(clip.foa)[0], np.zeros(3))


def silence(clip: Truth) -> np.ndarray:
    """Zeros. Notebook: 06_evaluation."""
    return np.zeros_like(clip.foa)


def noise(clip: Truth) -> np.ndarray:
    """White noise from everywhere alike, with the RMS of the truth's W: loud, and neither the sound nor a place.

    Y, Z and X have a third of W's power, as a diffuse field in SN3D. Notebook: 06_evaluation.
    """
    foa = np.asarray(clip.foa)
    made = np.random.default_rng([clip.seed, 2]).standard_normal(foa.shape)
    made *= np.array([[1], [3**-0.5], [3**-0.5], [3**-0.5]]) / np.sqrt(np.mean(made[0] ** 2))
    level = np.sqrt(np.mean(np.square(foa[0], dtype=float)))
    return (level * made).astype(foa.dtype if np.issubdtype(foa.dtype, np.floating) else float)


BASELINES: dict[str, Callable[[Known], np.ndarray]] = {
    "mono toward the camera": toward_camera,
    "mono toward the camera, as released": toward_camera_as_released,
    "mono by the energy map": by_energy_map,
    "mono in W only": in_w_only,
    "mono toward a random direction": toward_random,
}
CONTROLS: dict[str, Callable[[Truth], np.ndarray]] = {
    "truth through the codec": through_codec,
    "truth mirrored": mirrored,
    "truth of another clip": shuffled,
    "truth in W only": omnidirectional,
    "noise": noise,
    "silence": silence,
}


def field_of(system: Callable, clip: Known | Truth) -> np.ndarray:
    """What a system makes of a clip, checked: the door through which your own baseline enters the table.

    Args: system: a value of BASELINES or CONTROLS, or your own function. clip: what it may know.
    Returns: [4, N], as long as the clip.
    Raises: ValueError if the system gives another shape, or numbers that are not finite.
    Notebook: 06_evaluation.
    """
    field = np.asarray(system(clip))
    wanted = (4, np.shape(clip.mono if isinstance(clip, Known) else clip.foa)[-1])
    if field.shape != wanted or not np.isfinite(field).all():
        raise ValueError(f"{getattr(system, '__name__', system)} gave {list(field.shape)}: a system returns a finite "
                         f"field {list(wanted)} (W, Y, Z, X) of the clip's length")
    return field


def other_clips(videos: Sequence, seed: int) -> np.ndarray:
    """For each clip another one, each taken once, from another video where that is possible.

    Videos, and the clips of each, are put into a random order and shifted by the length of the longest video.

    Args: videos: [n], the video of each clip. seed: of the orders.
    Returns: int64 [n], a permutation in which no clip stays in its place.
    Raises: ValueError if there are fewer than two clips.
    Notebook: 06_evaluation.
    """
    _, which, counts = np.unique(np.asarray(videos), return_inverse=True, return_counts=True)
    if len(which) < 2:
        raise ValueError(f"{len(which)} clips cannot be exchanged: give two or more")
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(len(which)), rng.permutation(len(counts))[which]))
    others = np.empty(len(which), np.int64)
    others[order] = np.roll(order, -(counts.max() if len(counts) > 1 else 1))
    return others


def _from_vectors(signal: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """A field [4, N] whose Y, Z, X are the signal times left, up, front of vectors [3] or [N, 3], any length to 1."""
    front, left, up = np.moveaxis(np.broadcast_to(vectors, (len(signal), 3)), -1, 0)
    return np.stack([signal, signal * left, signal * up, signal * front]).astype(signal.dtype)
