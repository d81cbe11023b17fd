"""What sounds are, not where: FAD and KLD of every channel and of what the camera's microphone would record.

One worker hears one clip (`embed_clip`); `semantic_scores` compares all of them.
A silent channel is heard as any other, so silence costs what it costs. A field with numbers that are not finite is
heard as silence if it was generated, and leaves its clip out if it is the truth. Both are counted and listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import soxr

from visage_lite.ambisonics import decode_mono
from visage_lite.directions import Direction
from visage_lite.embeddings import Embedding
from visage_lite.frechet import FrechetInterval, frechet_distance, frechet_interval, gaussian, kl_divergence

CHANNELS = ("W", "Y", "Z", "X")
SIGNALS = (*CHANNELS, "toward camera", "toward camera, as released")
MEAN = "mean of channels"
COUNTED = (  # column, side, note
    ("silent", "generated", "silent"), ("true silent", "truth", "silent"), ("not finite", "generated", "not finite"),
)  # fmt: skip
KINDS = {"clips": int, "left out": int, "embeddings": int, "true embeddings": int, "biased": bool,
         **{column: int for column, *_ in COUNTED}}  # fmt: skip


@dataclass(frozen=True)
class Embedded:
    """What was heard in one clip, signal by signal in the order of SIGNALS. Notebook: 06_evaluation."""

    embeddings: np.ndarray  # float32 [signals, n, D]
    probabilities: np.ndarray  # float32 [signals, K]
    silent: np.ndarray  # bool [signals]
    finite: bool  # False: the field held numbers that are not, and was heard as silence
    generated: bool  # False: the truth; the released decode of the two differs
    embedding: str  # its name
    digest: str  # of its weights


@dataclass(frozen=True)
class SemanticScores:
    """FAD and KLD of one system. Notebook: 06_evaluation."""

    table: pd.DataFrame  # a row for each of SIGNALS and MEAN: fad, kld, how many, and what was listed
    kld: pd.DataFrame  # of every clip that counts, a column for each of SIGNALS and MEAN: for intervals over videos
    notes: pd.DataFrame  # clip, side, signal, note: everything silent or not finite
    embedding: str
    digest: str


def signals(foa: np.ndarray, camera: Direction, generated: bool) -> dict[str, np.ndarray]:
    """What is listened to in a sound field: its channels, and the mono decode toward the camera in two ways.

    Args:
        foa: float [4, N], W, Y, Z, X (ambiX, SN3D).
        camera: where it looks.
        generated: False for the truth. The released code decodes the two differently, each with a mistake of its own
            (see `ambisonics.decode_mono`); "toward camera" is right and the same for both.
    Returns: SIGNALS -> float [N].
    Raises: ValueError if foa is not [4, N].
    Source: ViSAGe (arXiv 2506.12199), semantic metrics. Notebook: 06_evaluation.
    """
    foa = np.asarray(foa)
    if foa.ndim != 2 or foa.shape[0] != 4:
        raise ValueError(f"one field is [4, N] (W, Y, Z, X), not {list(foa.shape)}: give its four channels")
    released = "as_released_generated" if generated else "as_released_truth"
    mono = [decode_mono(foa, camera, mode) for mode in ("corrected", released)]
    return dict(zip(SIGNALS, [*foa, *mono]))


def embed_clip(foa: np.ndarray, rate: int, camera: Direction, generated: bool, embedding: Embedding) -> Embedded:
    """Everything that an embedding hears in one sound field: the work of one process for one clip.

    Args:
        foa: float [4, N]. rate: Hz; soxr changes it to the embedding's, after decoding.
        camera: where it looks. generated: False for the truth, see `signals`.
        embedding: what listens.
    Raises: ValueError as `signals`, or if the sound is too short for the embedding.
    Notebook: 06_evaluation.
    """
    foa = np.asarray(foa, np.float32)
    finite = bool(np.isfinite(foa).all())
    decoded = signals(foa if finite else np.zeros_like(foa), camera, generated)
    silent = np.array([not decoded[name].any() for name in SIGNALS])
    sounds = np.stack([decoded[name] for name in SIGNALS], axis=1)  # [N, signals]
    if rate != embedding.sample_rate:
        sounds = soxr.resample(sounds, rate, embedding.sample_rate, quality="HQ")
    embeddings, probabilities = zip(*(embedding.hear(np.ascontiguousarray(sound)) for sound in sounds.T))
    arrays = (np.stack(embeddings).astype(np.float32), np.stack(probabilities).astype(np.float32))
    return Embedded(*arrays, silent, finite, generated, embedding.name, embedding.digest)


def semantic_scores(
    clips: Sequence[str], generated: Sequence[Embedded], truth: Sequence[Embedded],
) -> SemanticScores:  # fmt: skip
    """FAD and mean KLD of every signal, and their means over the four channels.

    All embeddings are held at once: a clip and a side take 2 kB with the listener, 28 kB with VGGish and Cnn14.

    Args:
        clips: names, for the lists.
        generated, truth: from `embed_clip`, one of each for every clip, in its order.
    Returns: SemanticScores. In its table `biased` says that there are no more embeddings than numbers in each: FAD is
        then too high, and comparable only with FAD of as many. What is silent or not finite is summed over channels in
        the row MEAN.
    Raises: ValueError if the numbers of clips differ, if sides or embeddings are mixed up, or if fewer than two
        embeddings are left for FAD (`kld_of_clips` works from one clip on).
    Notebook: 06_evaluation.
    """
    kld, notes = kld_of_clips(clips, generated, truth), _notes(clips, generated, truth)
    judged = [(g, t) for g, t in zip(generated, truth) if t.finite]
    rows = {}
    for i, name in enumerate(SIGNALS):
        made, true = (np.concatenate([pair[side].embeddings[i] for pair in judged] or [[]]) for side in (0, 1))
        said = notes[notes["signal"] == name]
        rows[name] = {
            "fad": frechet_distance(gaussian(made), gaussian(true)),
            "kld": kld[name].mean(),
            "clips": len(judged),
            "left out": len(clips) - len(judged),
            "embeddings": len(made),
            "true embeddings": len(true),
            "biased": min(len(made), len(true)) <= made.shape[1],
            **{column: ((said["side"] == side) & (said["note"] == note)).sum() for column, side, note in COUNTED},
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    channels = table.loc[list(CHANNELS)]
    means, sums = channels[["fad", "kld"]].mean(), channels[[column for column, *_ in COUNTED]].sum()
    table.loc[MEAN] = {**channels.iloc[0], **means, **sums}  # the other counts are the same in all channels
    table["embedding"] = truth[0].embedding
    return SemanticScores(table.astype(KINDS), kld, notes, truth[0].embedding, truth[0].digest)


def kld_of_clips(clips: Sequence[str], generated: Sequence[Embedded], truth: Sequence[Embedded]) -> pd.DataFrame:
    """KL(truth || generated) of every clip whose truth is finite: a row each, a column for each of SIGNALS and MEAN.

    Arguments and errors as for `semantic_scores`. Notebook: 06_evaluation.
    """
    _check(clips, generated, truth)
    pairs = {clip: (t.probabilities, g.probabilities) for clip, g, t in zip(clips, generated, truth) if t.finite}
    rows = {clip: kl_divergence(*pair) for clip, pair in pairs.items()}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(SIGNALS))
    table[MEAN] = table[list(CHANNELS)].mean(axis=1)
    return table


def fad_intervals(
    generated: Sequence[Embedded], truth: Sequence[Embedded], videos: Sequence[str], seed: int = 0, draws: int = 200,
) -> dict[str, FrechetInterval]:
    """The interval of every signal's FAD, and of their mean over the channels, by one bootstrap over videos.

    Args:
        generated, truth: as for `semantic_scores`.
        videos: the video of every clip. seed, draws: see `frechet.frechet_interval`.
    Returns: SIGNALS and MEAN -> FrechetInterval.
    Raises: ValueError as `semantic_scores`.
    Notebook: 06_evaluation.
    """
    _check(videos, generated, truth, names_differ=False)
    judged = [(g, t, video) for g, t, video in zip(generated, truth, videos) if t.finite]
    made, true, kept = zip(*judged) if judged else ((), (), ())
    found = {
        name: frechet_interval(*([each.embeddings[i] for each in side] for side in (made, true)), kept, seed, draws)
        for i, name in enumerate(SIGNALS)
    }
    parts = [found[name] for name in CHANNELS]
    fad, drawn = (np.mean([getattr(part, key) for part in parts], axis=0) for key in ("fad", "draws"))
    if not len(drawn):
        return found | {MEAN: replace(parts[0], fad=float(fad))}
    low, high = np.quantile(drawn, [0.025, 0.975])
    bias = np.mean([part.bias for part in parts])
    mean = FrechetInterval(float(fad), max(float(low), 0.0), float(high), float(bias), parts[0].videos, drawn)
    return found | {MEAN: mean}


def _check(clips: Sequence[str], generated: Sequence[Embedded], truth: Sequence[Embedded], names_differ=True) -> None:
    if not len(clips) == len(generated) == len(truth) or not len(clips):
        counts = f"{len(generated)} generated and {len(truth)} true clips for {len(clips)} names"
        raise ValueError(f"{counts}: give one of each, in one order")
    if names_differ and len(set(clips)) < len(clips):
        raise ValueError("two clips have one name: each is scored once")
    if any(not g.generated for g in generated) or any(t.generated for t in truth):
        raise ValueError("generated and true clips are mixed up: embed_clip is told which is which")
    if len(found := {each.embedding + each.digest for each in (*generated, *truth)}) > 1:
        raise ValueError(f"clips were heard with {len(found)} embeddings: scores of different ones are never mixed")


def _notes(clips: Sequence[str], generated: Sequence[Embedded], truth: Sequence[Embedded]) -> pd.DataFrame:
    """Everything that is silent or not finite, a row each."""
    rows = [
        (clip, side, name, "silent" if each.finite else "not finite")
        for side, heard in (("generated", generated), ("truth", truth))
        for clip, each in zip(clips, heard)
        for name, silent in zip(SIGNALS, each.silent) if silent
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["clip", "side", "signal", "note"])
