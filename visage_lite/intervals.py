"""How sure a mean is: 95 % intervals by bootstrap over videos, and two systems compared on the same clips.

Clips of one video resemble each other, so they are no independent draws: a bootstrap over clips gives intervals that
are too narrow. Here videos are drawn with replacement, each with all its clips. A score that is NaN does not apply to
its clip; it is left out and counted. With one video nothing is known of how videos differ, and the interval is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

DRAWS = 2000


@dataclass(frozen=True)
class Interval:
    """A mean over clips and the mean of the videos' means, each with its interval. None: unknown.

    Notebook: 06_evaluation.
    """

    mean: float | None  # over clips; None if no clip has a score
    low: float | None  # None if there are fewer than two videos
    high: float | None
    macro: float | None  # mean of the videos' own means: a video of 1,097 clips counts no more than one of 2
    macro_low: float | None
    macro_high: float | None
    clips: int  # that the mean is over
    videos: int
    left_out: int  # clips without a score

    def __str__(self) -> str:
        return written(self.mean, self.low, self.high)


@dataclass(frozen=True)
class Difference(Interval):
    """An interval of b - a over the clips that both scored; `left_out` counts the others. Notebook: 06_evaluation."""

    above: float | None  # share of the draws in which b - a is over 0
    p: float | None  # two-sided: how easily such a difference would come from the choice of videos alone


def mean_interval(
    values: Sequence[float], videos: Sequence, seed: int, draws: int = DRAWS, level: float = 0.95,
) -> Interval:
    """The mean of a score and its percentile interval by a bootstrap over videos.

    Every draw takes as many videos as there are, with replacement, and all clips of each: a sum of the videos' sums
    over a sum of their counts. With few videos (under about 20) the interval is somewhat too narrow.

    Args:
        values: [n], a score per clip; NaN where it does not apply.
        videos: [n], the video that each clip comes from: names or numbers.
        seed: of the draws; the same seed draws the same videos for every score of the same clips.
        draws: how many times videos are drawn.
        level: share of the draws inside the interval, 0 to 1.
    Returns: an Interval.
    Raises: ValueError if there are not as many videos as values, none, an infinite value, or a level outside 0 to 1.
    Source: Efron 1979; Davison and Hinkley 1997, section 3.8 (clusters). Notebook: 06_evaluation.
    """
    values, videos = np.asarray(values, float), np.asarray(videos)
    _check(values, videos, draws, level)
    return Interval(**_summary(values, videos, _bootstrap(values, videos, seed, draws), level))


def paired_difference(
    a: Mapping | pd.Series, b: Mapping | pd.Series, videos: Mapping | pd.Series, seed: int, draws: int = DRAWS,
    level: float = 0.95,
) -> Difference:
    """How much higher system b scores than system a on the same clips, by the bootstrap of `mean_interval`.

    A pair stays together in every draw, so that what is hard about a clip cancels.

    Args:
        a, b: {clip: score}, dicts or Series, of the same clips in any order. Arrays count as clips 0, 1, 2, ...
        videos: {clip: video} likewise.
        seed, draws, level: see `mean_interval`.
    Returns: a Difference, of b - a.
    Raises: ValueError if the clips are not the same or a name stands twice; as `mean_interval`.
    Notebook: 06_evaluation.
    """
    a, b, videos = pd.Series(a), pd.Series(b), pd.Series(videos)
    for name, other in (("b", b), ("videos", videos)):
        _same_clips(a, name, other)
    values, videos = (b.reindex(a.index) - a).to_numpy(float), videos.reindex(a.index).to_numpy()
    _check(values, videos, draws, level)
    drawn = _bootstrap(values, videos, seed, draws)
    above = p = None
    if drawn is not None:
        over, under = np.sum(drawn[0] > 0), np.sum(drawn[0] < 0)
        above = float(over / draws)
        p = float(min(1.0, 2 * (1 + draws - max(over, under)) / (1 + draws)))  # never 0: 2 / (draws + 1) at least
    return Difference(**_summary(values, videos, drawn, level), above=above, p=p)


def table(systems: Mapping[str, pd.DataFrame], columns: Sequence[str], seed: int, draws: int = DRAWS) -> pd.DataFrame:
    """Means and intervals of several systems, as numbers; `as_text` writes them.

    Args:
        systems: {name: scores}, a row per clip, with the column "video".
        columns: which scores, names of columns. seed, draws: see `mean_interval`.
    Returns: a row for each (system, score); the columns are those of `Interval`. NaN stands where it has None.
    Raises: ValueError if a system lacks a column.
    Notebook: 06_evaluation.
    """
    _check_columns(systems, columns)
    rows = {
        (system, column): asdict(mean_interval(scores[column], scores["video"], seed, draws))
        for system, scores in systems.items() for column in columns
    }
    return _framed(rows)


def difference_table(
    systems: Mapping[str, pd.DataFrame], reference: str, columns: Sequence[str], seed: int, draws: int = DRAWS,
) -> pd.DataFrame:
    """How much higher each other system scores than one of them, clip by clip.

    Args:
        systems: {name: scores}, a row per clip, its name in the index, with the column "video"; the same clips in all.
        reference: name of the system that is taken away from the others.
        columns: which scores, names of columns. seed, draws: see `mean_interval`.
    Returns: a row for each (system, score); the columns are those of `Difference`. NaN stands where it has None.
    Raises: ValueError if the reference is not among the systems, one lacks a column, or the clips differ.
    Notebook: 06_evaluation.
    """
    if reference not in systems:
        raise ValueError(f"no system {reference!r}: choose one of {', '.join(systems)}")
    _check_columns(systems, columns)
    base = systems[reference]
    rows = {}
    for system, scores in systems.items():
        for column in columns if system != reference else ():
            try:
                found = paired_difference(base[column], scores[column], base["video"], seed, draws)
            except ValueError as error:
                raise ValueError(f"{system} (b) against {reference} (a), {column}: {error}") from None
            rows[system, column] = asdict(found)
    return _framed(rows)


def as_text(numbers: pd.DataFrame, of: str = "mean", digits: int = 2) -> pd.DataFrame:
    """A table for people: a row per system, a column per score, "0.62 [0.58, 0.66]" in each cell.

    Args:
        numbers: from `table` or `difference_table`.
        of: "mean" over clips, or "macro", the mean of the videos' means.
        digits: after the point.
    Raises: ValueError for another `of`.
    Notebook: 06_evaluation.
    """
    names = {"mean": ["mean", "low", "high"], "macro": ["macro", "macro_low", "macro_high"]}
    if of not in names:
        raise ValueError(f"no {of!r}: choose mean or macro")
    cells = [written(*row, digits=digits) for row in numbers[names[of]].itertuples(index=False)]
    texts = pd.Series(cells, index=numbers.index, dtype=object).unstack("score")
    order = [list(dict.fromkeys(numbers.index.get_level_values(name))) for name in ("system", "score")]
    return texts.reindex(index=order[0], columns=order[1])


def written(mean: float | None, low: float | None, high: float | None, digits: int = 2) -> str:
    """A mean and its interval in words.

    Args: mean, low, high: None or NaN where unknown. digits: after the point.
    Returns: "0.62 [0.58, 0.66]"; "0.62 [unknown]" from one video; "no score" if no clip has one.
    Notebook: 06_evaluation.
    """
    if pd.isna(mean):
        return "no score"
    known = [x for x in (mean, low, high) if not pd.isna(x)]
    shown = [f"{round(float(x), digits) + 0.0:.{digits}f}" for x in known]  # + 0.0: never "-0.00"
    return f"{shown[0]} [{shown[1]}, {shown[2]}]" if len(shown) == 3 else f"{shown[0]} [unknown]"


def _sums(values: np.ndarray, videos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum and count of the scored clips of every video that has any: float64 [V], int64 [V]."""
    scored = ~np.isnan(values)
    _, which = np.unique(videos[scored], return_inverse=True)
    return np.bincount(which, values[scored]), np.bincount(which)


def _bootstrap(values: np.ndarray, videos: np.ndarray, seed: int, draws: int) -> np.ndarray | None:
    """The mean and the macro mean of every draw, [2, draws]; None from fewer than two videos."""
    sums, counts = _sums(values, videos)
    total = len(counts)
    if total < 2:
        return None
    times = drawn_videos(total, seed, draws)
    return np.stack([times @ sums / (times @ counts), times @ (sums / counts) / total])


def drawn_videos(videos: int, seed: int, draws: int) -> np.ndarray:
    """How often each draw takes each of so many videos, with replacement: int64 [draws, videos].

    Args: videos, draws: how many. seed: the same draws for every score of the same videos.
    """
    return np.random.default_rng(seed).multinomial(videos, np.full(videos, 1 / videos), size=draws)


def _summary(values: np.ndarray, videos: np.ndarray, drawn: np.ndarray | None, level: float) -> dict:
    """The fields of an Interval."""
    sums, counts = _sums(values, videos)
    clips = int(counts.sum())
    edges = [[None, None]] * 2
    if drawn is not None:
        edges = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=1).T.tolist()  # [mean, macro][low, high]
    return dict(
        mean=float(sums.sum() / clips) if clips else None, low=edges[0][0], high=edges[0][1],
        macro=float(np.mean(sums / counts)) if clips else None, macro_low=edges[1][0], macro_high=edges[1][1],
        clips=clips, videos=len(counts), left_out=len(values) - clips,
    )  # fmt: skip


def _framed(rows: dict[tuple[str, str], dict]) -> pd.DataFrame:
    """Rows by (system, score); unknown numbers become NaN."""
    index = pd.MultiIndex.from_tuples(rows, names=["system", "score"])
    frame = pd.DataFrame(list(rows.values()), index=index)
    return frame.astype({name: float for name in frame if name not in ("clips", "videos", "left_out")})


def _check(values: np.ndarray, videos: np.ndarray, draws: int, level: float) -> None:
    if values.ndim != 1 or values.shape != videos.shape or not len(values):
        raise ValueError(f"{list(values.shape)} scores of {list(videos.shape)} videos: give one score and one video "
                         "for each clip, [n] and [n]")
    if np.isinf(values).any():
        raise ValueError("a score is infinite: look for the division by zero that made it")
    if pd.isna(videos).any():
        raise ValueError("a clip has no video: name the video of every clip")
    if draws < 1 or not 0 < level < 1:
        raise ValueError(f"at least one draw and a level between 0 and 1 are needed, not {draws} and {level}")


def _same_clips(a: pd.Series, name: str, other: pd.Series) -> None:
    for each in (a, other):
        if not each.index.is_unique:
            raise ValueError(f"clip {each.index[each.index.duplicated()][0]!r} stands twice: keep one row for each")
    extra = [*a.index.difference(other.index, sort=False), *other.index.difference(a.index, sort=False)]
    if extra:
        raise ValueError(
            f"a has {len(a)} clips and {name} {len(other)}, and {len(extra)} are only in one of them, the first "
            f"{extra[0]!r}: score both systems on the same clips, and name their videos"
        )


def _check_columns(systems: Mapping[str, pd.DataFrame], columns: Sequence[str]) -> None:
    for system, scores in systems.items():
        lacking = [name for name in [*columns, "video"] if name not in scores]
        if lacking:
            raise ValueError(f"{system} has no column {lacking[0]!r}, only {', '.join(map(str, scores.columns))}")
