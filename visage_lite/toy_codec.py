"""The toy codec: MDCT frames split into a gain with a sign and a unit shape, so that codes show direction plainly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

GAIN_STEP_DB = 1.8  # one gain level; half of it, 0.9 dB, is the largest error of a gain
GAIN_LEVELS = 40  # levels from GAIN_FLOOR_DB up; quieter frames are silent
GAIN_FLOOR_DB = -44.0  # the norm of a frame of full-scale noise (320 coefficients of about 1) is +25 dB
SILENCE = 2 * GAIN_LEVELS  # codebook 0: 0..39 levels with sign +, 40..79 levels with sign -, 80 silence


def mdct_basis(hop: int) -> np.ndarray:
    """The windowed MDCT of frames of 2 * hop samples, as a matrix.

    Args: hop: samples per frame, even.
    Returns: float32 [2 * hop, hop]; frame @ basis gives the coefficients, coefficients @ basis.T the windowed frame.
    Source: Princen, Johnson and Bradley 1987, with the sine window. Notebook: 03_features.
    """
    sample, row = np.arange(2 * hop)[:, None] + 0.5, np.arange(hop)[None] + 0.5
    window = np.sin(np.pi * sample / (2 * hop))
    return (window * np.cos(np.pi / hop * (sample + hop / 2) * row) * np.sqrt(2 / hop)).astype(np.float32)


def mdct(signal: np.ndarray, hop: int, basis: np.ndarray | None = None) -> np.ndarray:
    """MDCT coefficients of a signal, one frame a hop.

    Frame t covers samples (t - 1/2) hop to (t + 3/2) hop, so N / hop frames carry N samples and no frame is left over.
    Args: signal: [..., N]; the last hop is filled up with zeros. hop: samples. basis: a ready one, or None.
    Returns: float32 [..., T, hop], T = ceil(N / hop).
    Notebook: 03_features.
    """
    basis = mdct_basis(hop) if basis is None else basis
    frames = -(-signal.shape[-1] // hop)
    edges = (hop // 2, frames * hop - signal.shape[-1] + hop // 2)
    padded = np.pad(signal.astype(np.float32, copy=False), [(0, 0)] * (signal.ndim - 1) + [edges])
    blocks = padded.reshape(*signal.shape[:-1], frames + 1, hop)
    return blocks[..., :-1, :] @ basis[:hop] + blocks[..., 1:, :] @ basis[hop:]


def inverse_mdct(coefficients: np.ndarray, basis: np.ndarray | None = None) -> np.ndarray:
    """The signal of MDCT coefficients: `inverse_mdct(mdct(x)) == x` for x of a whole number of hops.

    The first and the last half hop lie in one frame only. Their alias falls outside the signal, where it is silent,
    so dividing by the squared window (1/2 to 1) gives them back.
    Args: coefficients: [..., T, hop]. Returns: float32 [..., T * hop]. Notebook: 03_features.
    """
    *lead, frames, hop = coefficients.shape
    basis = mdct_basis(hop) if basis is None else basis
    blocks = np.zeros((*lead, frames + 1, hop), np.float32)
    blocks[..., :-1, :] += coefficients @ basis[:hop].T
    blocks[..., 1:, :] += coefficients @ basis[hop:].T
    half = hop // 2
    window = np.sin(np.pi * (np.arange(half, hop) + 0.5) / (2 * hop)).astype(np.float32) ** 2
    blocks[..., 0, half:] /= window
    blocks[..., -1, :half] /= window[::-1]
    return blocks.reshape(*lead, (frames + 1) * hop)[..., half:-half]


class ToyCodec:
    """Codes of a sound field: codebook 0 is gain and sign, codebooks 1 to K-1 the shape.

    W's sign is the sign of its largest coefficient. The sign of every other channel is taken relative to W: plus where
    the channel is in phase with W. For ambisonics that is the sign of the intensity along the channel's axis, so
    "sign of Y is plus" means "from the left". Only this makes direction learnable for a small model.
    The shape, sign removed, is quantised by residual k-means, the same codebooks for all channels.
    Notebook: 03_features.
    """

    name = "toy codec (MDCT, gain and shape)"
    channels_alone = False
    # One frame reaches into the next. More on the left cost no waiting, and BLAS rounds a matrix of few rows otherwise.
    context = (8, 1)

    def __init__(self, shapes: np.ndarray, sample_rate: int = 16000):
        """Args: shapes: float [K-1, V, hop], the k-means centres of the unit shapes. sample_rate: Hz."""
        if shapes.ndim != 3 or shapes.shape[1] <= SILENCE:
            raise ValueError(f"shapes must be [K-1, V, hop] with V > {SILENCE}, not {list(shapes.shape)}")
        self.shapes = shapes.astype(np.float32)
        self.sample_rate, self.hop = sample_rate, shapes.shape[2]
        self.codebooks, self.vocab = shapes.shape[0] + 1, shapes.shape[1]
        self.frame_rate = sample_rate // self.hop
        self._basis = mdct_basis(self.hop)

    @classmethod
    def load(cls, path: str | Path, sample_rate: int = 16000) -> ToyCodec:
        """The codec of the k-means centres in a safetensors file written by `data/toy/fit_codec.py`."""
        if not Path(path).is_file():
            raise FileNotFoundError(f"no toy codec at {path}: make it with `python data/toy/fit_codec.py`")
        return cls(load_file(str(path))["shapes"], sample_rate)

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """The weights, by name."""
        return {"shapes": torch.from_numpy(self.shapes)}

    def encode(self, foa: np.ndarray) -> np.ndarray:
        """Codes of a sound field.

        Args: foa: float [C, N] at `sample_rate`, full scale 1; channel 0 is W. Its last hop is filled up with zeros.
        Returns: int64 [C, K, T] in [0, V), T = ceil(N / hop).
        Raises: ValueError if foa is not [C, N], is empty or not finite.
        """
        foa = np.asarray(foa)
        if foa.ndim != 2 or not foa.size or not np.isfinite(foa).all():
            raise ValueError(f"the codec takes a finite sound field [C, N] with N > 0, not {list(foa.shape)}")
        level, sign, shape = gain_and_shape(mdct(foa, self.hop, self._basis))
        silent = level < 0
        first = np.where(silent, SILENCE, np.minimum(level, GAIN_LEVELS - 1) + GAIN_LEVELS * (sign < 0))
        residual, codes = shape.reshape(-1, self.hop), [first]
        for centres in self.shapes:
            nearest = nearest_centre(residual, centres)
            residual = residual - centres[nearest]
            codes.append(np.where(silent, 0, nearest.reshape(silent.shape)))
        return np.stack(codes, axis=1).astype(np.int64)  # [C, K, T]

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """The sound field of codes. Codes of codebook 0 above `SILENCE`, which `encode` never writes, are silent.

        Args: codes: int [C, K, T] in [0, V).
        Returns: float32 [C, T * hop] at `sample_rate`.
        Raises: ValueError if codes is not [C, K, T] or holds an id outside [0, V).
        """
        codes = checked_codes(codes, self.codebooks, self.vocab)
        first = codes[:, 0]
        sign = np.where((first >= GAIN_LEVELS) & (first < SILENCE), -1, 1)
        sign[1:] *= sign[0]
        gain = 10 ** ((GAIN_FLOOR_DB + GAIN_STEP_DB * (first % GAIN_LEVELS)) / 20) * (first < SILENCE)
        shape = sum(centres[codes[:, k + 1]] for k, centres in enumerate(self.shapes))  # [C, T, hop]
        shape = shape / np.maximum(np.linalg.norm(shape, axis=-1, keepdims=True), 1e-6)
        return inverse_mdct(shape * (sign * gain)[..., None].astype(np.float32), self._basis)


def checked_codes(codes: np.ndarray, codebooks: int, vocab: int) -> np.ndarray:
    """The codes as an array, after a check that a codec of K `codebooks` of V = `vocab` entries can decode them.

    Args: codes: int [C, K, T] in [0, V).
    Returns: int [C, K, T].
    Raises: ValueError if codes is not [C, K, T], is empty, or holds an id outside [0, V).
    """
    codes = np.asarray(codes)
    if codes.ndim != 3 or codes.shape[1] != codebooks or not codes.size:
        raise ValueError(f"the codec takes codes [C, {codebooks}, T] with T > 0, not {list(codes.shape)}")
    if codes.min() < 0 or codes.max() >= vocab:
        raise ValueError(f"codes must lie in [0, {vocab}), not [{codes.min()}, {codes.max()}]: is a pad id left?")
    return codes


def gain_and_shape(coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split frames into gain level, sign relative to channel 0, and unit shape.

    Args: coefficients: [C, T, hop].
    Returns: level int [C, T] (negative where silent), sign [C, T] of +1 and -1, shape float32 [C, T, hop] of norm 1
        (0 where silent), so that W's frame is sign * gain * shape, and the others' also times W's sign.
    """
    norm = np.linalg.norm(coefficients, axis=-1)
    level = np.round((20 * np.log10(np.maximum(norm, 1e-9)) - GAIN_FLOOR_DB) / GAIN_STEP_DB).astype(int)
    unit = coefficients / np.maximum(norm, 1e-9)[..., None] * (level >= 0)[..., None]
    largest = np.take_along_axis(unit, np.abs(unit).argmax(-1)[..., None], -1)[..., 0]
    in_phase = (unit * unit[:1]).sum(-1)  # of channel 0 with itself: 1
    sign_w = np.where(largest[0] < 0, -1, 1)
    relative = np.where(np.abs(in_phase) > 1e-4, in_phase, largest * sign_w)  # W silent or at right angles: as W does
    sign = np.where(relative < 0, -1, 1)
    sign[0] = sign_w
    absolute = np.concatenate([sign[:1], sign[1:] * sign_w])
    return level, sign, (unit * absolute[..., None]).astype(np.float32)


def nearest_centre(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Index of the nearest centre. Args: points [n, d], centres [V, d]. Returns: int [n]."""
    return (points @ (-2 * centres.T) + (centres**2).sum(1)).argmin(1)


def fit_shapes(fields: list[np.ndarray], hop: int, codebooks: int, vocab: int, rng: np.random.Generator,
               points: int = 60000, rounds: int = 20) -> np.ndarray:
    """Residual k-means of the unit shapes of W; those of a point source's other channels are the same.

    Args: fields: float arrays [C, N]. codebooks: K, one of them for the gain. points: frames drawn to fit on, by rng.
        rounds: Lloyd's iterations.
    Returns: float32 [K-1, vocab, hop].
    """
    split = [gain_and_shape(mdct(field[:1], hop)) for field in fields]
    residual = np.concatenate([shape[level >= 0] for level, _, shape in split])
    residual = residual[rng.permutation(len(residual))[:points]]
    shapes = []
    for _ in range(codebooks - 1):
        centres = residual[rng.choice(len(residual), vocab, replace=len(residual) < vocab)].copy()
        for _ in range(rounds):
            nearest = nearest_centre(residual, centres)
            order = np.argsort(nearest, kind="stable")
            used, start = np.unique(nearest[order], return_index=True)
            sums = np.add.reduceat(residual[order], start, axis=0)
            centres[used] = sums / np.diff(np.append(start, len(order)))[:, None]  # an unused centre stays
        residual = residual - centres[nearest_centre(residual, centres)]
        shapes.append(centres)
    return np.stack(shapes)


def rotate_codes(codes: np.ndarray, quarter_turns: int) -> np.ndarray:
    """Toy codes of the scene turned anticlockwise by 90 degrees `quarter_turns` times: no decoding, no encoding.

    A quarter turn takes (Y, X) to (X, -Y): two channels change places and one sign bit flips.
    Args: codes: int [..., 4, K, T] (W, Y, Z, X). Returns: int [..., 4, K, T].
    Source: ViSAGe, rotation augmentation. Differs: the released code turns the waveform and encodes again.
    Notebook: 04_training.
    """
    codes = np.array(codes)
    for _ in range(quarter_turns % 4):
        y, x = codes[..., 1, :, :].copy(), codes[..., 3, :, :].copy()
        codes[..., 1, :, :], codes[..., 3, :, :] = x, _flip(y)
    return codes


def mirror_codes(codes: np.ndarray) -> np.ndarray:
    """Toy codes of the scene seen in a mirror, left and right exchanged: Y's sign bit flips.

    Args: codes: int [..., 4, K, T] (W, Y, Z, X). Returns: int [..., 4, K, T]. Notebook: 04_training.
    """
    codes = np.array(codes)
    codes[..., 1, :, :] = _flip(codes[..., 1, :, :])
    return codes


def _flip(channel: np.ndarray) -> np.ndarray:
    """Codes [..., K, T] of one channel, not W, with the other sign."""
    flipped, first = channel.copy(), channel[..., 0, :]
    flipped[..., 0, :] = np.where(first < SILENCE, (first + GAIN_LEVELS) % SILENCE, first)
    return flipped
