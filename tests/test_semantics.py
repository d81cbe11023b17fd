"""FAD and KLD of sound fields: which signals, against audioldm_eval's own functions, silence, and no stale cache."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from visage_lite.ambisonics import decode_mono, mirror, pan_mono
from visage_lite.directions import Direction
from visage_lite.embeddings import ListenerEmbedding
from visage_lite.frechet import frechet_distance, frechet_interval, gaussian, kl_divergence
from visage_lite.scenes import ALL_KINDS, make_scene
from visage_lite.semantics import (
    CHANNELS,
    MEAN,
    SIGNALS,
    embed_clip,
    fad_intervals,
    kld_of_clips,
    semantic_scores,
    signals,
)

torch.set_num_threads(1)
LEFT, RATE = Direction.from_degrees(90, 0), 8000


@dataclass
class Plain:
    """Three frames: level, brightness; classes: quiet, loud, bright. Counts how often it is asked."""

    name: str = "plain"
    sample_rate: int = RATE
    digest: str = "1"
    asked: int = 0

    def hear(self, sound):
        assert sound.ndim == 1 and sound.flags.c_contiguous
        self.asked += 1
        frames = np.array_split(sound.astype(float), 3)
        embeddings = np.array([[np.std(x), np.std(np.diff(x))] for x in frames])
        weight = np.exp([1.0, 4 * np.std(sound), 3 * np.std(np.diff(sound))])
        return embeddings, weight / weight.sum()


def fields(count, seed=0, samples=1200):
    rng = np.random.default_rng(seed)
    return (rng.uniform(0.1, 1, (count, 4, 1)) * rng.standard_normal((count, 4, samples))).astype(np.float32)


def heard(foas, generated, embedding=None, rate=RATE):
    return [embed_clip(foa, rate, LEFT, generated, embedding or Plain()) for foa in foas]


def names(count):
    return [f"clip{i}" for i in range(count)]


# Which signals

def test_signals_of_truth_and_generated():
    foa = fields(1)[0].astype(float)
    for generated, mode in ((False, "as_released_truth"), (True, "as_released_generated")):
        found = signals(foa, LEFT, generated)
        assert tuple(found) == SIGNALS
        for i, name in enumerate("WYZX"):
            np.testing.assert_array_equal(found[name], foa[i])
        np.testing.assert_array_equal(found["toward camera"], decode_mono(foa, LEFT))
        np.testing.assert_array_equal(found["toward camera, as released"], decode_mono(foa, LEFT, mode))


def test_a_source_where_the_camera_looks_is_heard_by_the_right_decode_alone():
    foa = pan_mono(np.sin(np.arange(100.0)), LEFT)
    found = signals(foa, LEFT, generated=False)
    np.testing.assert_allclose(found["toward camera"], 2 * foa[0], atol=1e-12)
    np.testing.assert_allclose(found["toward camera, as released"], 0, atol=1e-12)


@pytest.mark.parametrize("wrong", [(3, 50), (4,), (2, 4, 50)])
def test_other_shapes_raise(wrong):
    with pytest.raises(ValueError, match="four channels"):
        embed_clip(np.zeros(wrong), RATE, LEFT, False, Plain())


def test_decoding_comes_before_the_change_of_rate():
    """At another rate the product of the released decode would be another sound."""
    import soxr

    foa = fields(1, samples=6000)[0]
    found = embed_clip(foa, 3 * RATE, LEFT, True, Plain())
    for i, sound in enumerate(signals(foa, LEFT, True).values()):
        embeddings, probabilities = Plain().hear(soxr.resample(sound, 3 * RATE, RATE))
        np.testing.assert_allclose(found.embeddings[i], embeddings, rtol=1e-4)
        np.testing.assert_allclose(found.probabilities[i], probabilities, rtol=1e-4)
    assert found.embeddings.shape == (6, 3, 2) and found.embedding == "plain" and found.generated


# Scores

def test_scores_equal_those_put_together_by_hand():
    made, true = fields(9, seed=1), fields(9, seed=2)
    scores = semantic_scores(names(9), heard(made, True), heard(true, False))
    for name in SIGNALS:
        pairs = [[Plain().hear(np.ascontiguousarray(signals(foa, LEFT, generated)[name])) for foa in side]
                 for side, generated in ((made, True), (true, False))]  # fmt: skip
        fad = frechet_distance(*(gaussian(np.concatenate([e for e, _ in side])) for side in pairs))
        kld = [kl_divergence(t, g) for (_, g), (_, t) in zip(*pairs)]
        assert scores.table.loc[name, "fad"] == pytest.approx(fad, rel=1e-4)
        assert scores.table.loc[name, "kld"] == pytest.approx(np.mean(kld), rel=1e-4)
        np.testing.assert_allclose(scores.kld[name], kld, rtol=1e-3, atol=1e-6)
    for score in ("fad", "kld"):
        assert scores.table.loc[MEAN, score] == pytest.approx(scores.table.loc[list("WYZX"), score].mean())
    np.testing.assert_allclose(scores.kld[MEAN], scores.kld[list("WYZX")].mean(axis=1))
    row = scores.table.loc["Y"]
    assert (row["clips"], row["left out"], row["embeddings"], row["silent"]) == (9, 0, 27, 0)
    assert set(scores.table["embedding"]) == {"plain"} and list(scores.kld.index) == names(9)
    assert not scores.table["biased"].any() and scores.notes.empty


def test_fad_and_kld_equal_audioldm_evals_own_functions():
    """On what its networks would give them: embeddings in one array, logits by file name."""
    from audioldm_eval.metrics.fad import FrechetAudioDistance
    from audioldm_eval.metrics.kl import calculate_kl
    from scipy.linalg import sqrtm

    theirs = FrechetAudioDistance.__new__(FrechetAudioDistance)  # its __init__ fetches VGGish
    rng = np.random.default_rng(3)
    made, true = rng.standard_normal((60, 8)) @ rng.standard_normal((8, 8)), rng.standard_normal((50, 8)) + 1
    stats = [theirs.calculate_embd_statistics(side) for side in (made, true)]
    for (mean, covariance), side in zip(stats, (made, true)):
        np.testing.assert_allclose(gaussian(side).mean, mean)
        np.testing.assert_allclose(gaussian(side).covariance, covariance)
    root = sqrtm(stats[0][1] @ stats[1][1]).real  # what its calculate_frechet_distance does, for any SciPy
    wanted = np.sum((stats[0][0] - stats[1][0]) ** 2) + np.trace(stats[0][1] + stats[1][1] - 2 * root)
    assert frechet_distance(gaussian(made), gaussian(true)) == pytest.approx(wanted, rel=1e-9)
    logits = torch.from_numpy(3 * rng.standard_normal((2, 20, 527))).float()
    sides = [{"logits": side, "file_path_": names(20)} for side in logits]
    found = calculate_kl(*sides, "logits")[0]["kullback_leibler_divergence_softmax"]  # generated, then the truth
    ours = kl_divergence(*(side.softmax(1).numpy() for side in (logits[1], logits[0])))
    assert ours.mean() == pytest.approx(found, rel=1e-5)


def test_a_system_equal_to_the_truth_scores_zero_but_for_the_released_decode():
    foas = fields(6)
    table = semantic_scores(names(6), heard(foas, True), heard(foas, False)).table
    right = table.drop(index="toward camera, as released")
    assert right["fad"].max() < 1e-12 and right["kld"].abs().max() < 1e-5
    wrong = table.loc["toward camera, as released"]  # it decodes the two sides differently
    assert wrong["fad"] > 1e-3


def test_mirrored_truth_sounds_alike_in_its_channels_and_not_toward_the_camera():
    """Semantic scores do not hear left from right, except through the decode."""
    foas = np.stack([pan_mono(w, LEFT) for w in fields(6)[:, 0]])
    table = semantic_scores(names(6), heard([mirror(foa) for foa in foas], True), heard(foas, False)).table
    assert table.loc[list("WYZX"), "fad"].max() < 1e-12 < 0.1 < table.loc["toward camera", "fad"]


def test_few_embeddings_are_marked_and_too_few_raise():
    listener = ListenerEmbedding()
    sides = [heard(fields(3, samples=4000), generated, listener, 16_000) for generated in (True, False)]
    table = semantic_scores(names(3), *sides).table
    assert table["biased"].all() and (table["embeddings"] == 3).all()  # a covariance of 64 numbers from 3
    with pytest.raises(ValueError, match="score more clips"):
        semantic_scores(names(1), *(side[:1] for side in sides))
    assert kld_of_clips(names(1), *(side[:1] for side in sides)).shape == (1, 7)


# What cannot be judged

def test_silence_is_heard_counted_and_listed():
    made, true = fields(4), fields(4, seed=1)
    made[2, 3], made[0, 0, :50] = 0, 0  # what is silent for a while is not silent
    made[1], true[0, 2] = 0, 0
    scores = semantic_scores(names(4), heard(made, True), heard(true, False))
    assert np.isfinite(scores.table[["fad", "kld"]].to_numpy()).all() and np.isfinite(scores.kld.to_numpy()).all()
    assert scores.table["silent"].to_dict() == dict.fromkeys(SIGNALS, 1) | {"X": 2, MEAN: 5}
    assert scores.table.loc[["Z", "Y", MEAN], "true silent"].tolist() == [1, 0, 1]
    listed = scores.notes[scores.notes["signal"] == "X"]
    assert list(zip(listed["clip"], listed["side"])) == [("clip1", "generated"), ("clip2", "generated")]
    assert (scores.table["clips"] == 4).all()


def test_a_generated_field_that_is_not_finite_scores_as_silence():
    made, true = fields(5), fields(5, seed=1)
    broken, silent = made.copy(), made.copy()
    broken[1, 2, 7], silent[1] = np.nan, 0
    scores = [semantic_scores(names(5), heard(side, True), heard(true, False)) for side in (broken, silent)]
    np.testing.assert_array_equal(*(each.table[["fad", "kld"]] for each in scores))
    assert scores[0].table.loc["W", ["not finite", "silent", "clips"]].tolist() == [1, 0, 5]
    assert set(scores[0].notes["note"]) == {"not finite"} and set(scores[0].notes["clip"]) == {"clip1"}


def test_a_truth_that_is_not_finite_judges_nothing():
    made, true = fields(5), fields(5, seed=1)
    true[3, 0, 0] = np.inf
    scores = semantic_scores(names(5), heard(made, True), heard(true, False))
    kept = [0, 1, 2, 4]
    wanted = semantic_scores(names(4), heard(made[kept], True), heard(true[kept], False))
    np.testing.assert_array_equal(scores.table[["fad", "kld"]], wanted.table[["fad", "kld"]])
    assert (scores.table["left out"] == 1).all() and "clip3" not in scores.kld.index
    assert set(scores.notes[scores.notes["side"] == "truth"]["clip"]) == {"clip3"}


def test_sides_names_and_embeddings_are_not_mixed_up():
    made, true = heard(fields(3), True), heard(fields(3), False)
    for wrong, message in [
        ((names(3), true, made), "mixed up"), ((names(2), made, true), "one of each"), (([], [], []), "one of each"),
        ((["a", "b", "a"], made, true), "one name"),
        ((names(3), made, heard(fields(3), False, Plain(digest="2"))), "never mixed"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            semantic_scores(*wrong)


# Intervals

def test_intervals_of_every_signal():
    made, true, videos = heard(fields(8), True), heard(fields(8, seed=1), False), list("aabbccdd")
    found = fad_intervals(made, true, videos, seed=5, draws=30)
    assert list(found) == [*SIGNALS, MEAN]
    table = semantic_scores(names(8), made, true).table
    for name in SIGNALS:
        sides = ([each.embeddings[SIGNALS.index(name)] for each in side] for side in (made, true))
        np.testing.assert_array_equal(found[name].draws, frechet_interval(*sides, videos, 5, 30).draws)
    for name in (*SIGNALS, MEAN):
        assert found[name].fad == pytest.approx(table.loc[name, "fad"]) and found[name].low <= found[name].high
    np.testing.assert_allclose(found[MEAN].draws, np.mean([found[name].draws for name in CHANNELS], axis=0))
    alone = fad_intervals(made, true, ["a"] * 8)[MEAN]
    assert alone.low is None and alone.fad == pytest.approx(table.loc[MEAN, "fad"])


def test_the_listener_tells_systems_apart():
    """Other scenes of the same kinds score better than scenes of other kinds, and those better than noise."""
    listener = ListenerEmbedding()
    scenes = [make_scene(seed, kind=ALL_KINDS[seed % 12]) for seed in range(24)]
    foas = [scene.foa(16_000)[:, :40_000] for scene in scenes]
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((24, 4, 40_000))
    systems = {"same kinds": foas[12:] + foas[:12], "other kinds": foas[6:18] * 2, "noise": noise}
    truth = heard(foas, False, listener, 16_000)
    scores = {name: semantic_scores(names(24), heard(made, True, listener, 16_000), truth).table.loc["W"]
              for name, made in systems.items()}  # fmt: skip
    assert scores["same kinds"]["kld"] < 0.3 < scores["other kinds"]["kld"]
    assert scores["same kinds"]["fad"] < scores["noise"]["fad"]
