"""Which generated file belongs to which truth; everything that does not fit is told, with the remedy, all at once."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from visage_lite.directions import Direction
from visage_lite.pairing import NEAR_S, REMEDIES, Mismatch, Pair, pair_folders, read_pair

RATE = 8000


def noise(seconds=1.5, channels=4, rate=RATE, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal((channels, round(seconds * rate)))


def write(folder, names, suffix=".wav", rate=RATE, **options):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        soundfile.write(folder / f"{name}{suffix}", noise(rate=rate, **options).T, rate)
    return folder


def data_set(folder, splits, cameras=None, labels=None):
    """A data set of WAV files; only what pairing reads."""
    names = [name for each in splits.values() for name in each]
    write(folder / "audio", names)
    for split, each in splits.items():
        pd.DataFrame({"file_path": [f"{name}.npy" for name in each]}).to_csv(folder / f"{split}.csv", index=False)
    if cameras is not None:
        (folder / "ambi.json").write_text(json.dumps(cameras))
    if labels is not None:
        labels.to_csv(folder / "labels.csv", index=False)
    return folder


def pair_of(tmp_path, made, true, made_rate=RATE, true_rate=RATE):
    for name, sound, rate in (("made", made, made_rate), ("true", true, true_rate)):
        soundfile.write(tmp_path / f"{name}.wav", sound.T, rate, subtype="FLOAT")
    return Pair("a", "a", tmp_path / "made.wav", tmp_path / "true.wav", None, None)


def test_files_of_one_name_are_pairs_whatever_the_suffix(tmp_path):
    found = pair_folders(write(tmp_path / "g", ["b", "a"]), write(tmp_path / "t", ["a", "b"], ".flac"))
    assert [(p.clip, p.video, p.generated.name, p.truth.name) for p in found.pairs] == [
        ("a", "a", "a.wav", "a.flac"), ("b", "b", "b.wav", "b.flac")]  # fmt: skip
    assert found.bad.empty and found.pairs[0].camera is None and found.pairs[0].source is None


def test_clips_of_a_data_set_know_their_video_camera_and_source(tmp_path):
    names = ["scene_00000_0", "scene_00000_5", "abcdefghij-_7"]
    rows = [("scene_00000_0", 0, 40.0, 10.0), ("scene_00000_0", 0, 40.0, 10.0),  # stands still
            ("scene_00000_5", 0, 40.0, 10.0), ("scene_00000_5", 0, 60.0, 10.0),  # moves
            ("abcdefghij-_7", 0, 0.0, 0.0), ("abcdefghij-_7", 1, 0.0, 0.0)]  # two of them  # fmt: skip
    labels = pd.DataFrame(rows, columns=["clip", "source", "azimuth_deg", "elevation_deg"])
    cameras = {names[0]: [44, 44], names[1]: [44, 134]}
    truth = data_set(tmp_path / "t", {"train": names[:2], "test": names[2:]}, cameras, labels)
    pairs = pair_folders(write(tmp_path / "g", names), truth).pairs
    assert [p.clip for p in pairs] == names  # in the order of the data set
    assert [p.video for p in pairs] == ["scene_00000", "scene_00000", "abcdefghij-"]
    assert [p.camera and (round(p.camera.azimuth_deg), round(p.camera.elevation_deg)) for p in pairs] == [
        (91, 1), (-89, 1), None]  # fmt: skip
    assert [p.source is not None for p in pairs] == [True, False, False]
    assert pairs[0].source.angle_to(Direction.from_degrees(40, 10)) < 1e-6


def test_a_split_and_a_limit_choose_and_ask_for_no_more(tmp_path):
    names = [f"scene_{i:05d}_0" for i in range(4)]
    truth = data_set(tmp_path / "t", {"train": names[:2], "test": names[2:]})
    made = write(tmp_path / "g", names[1:])
    assert [p.clip for p in pair_folders(made, truth, "test").pairs] == names[2:]
    assert pair_folders(made, truth, "test").bad.empty  # names[1] is a clip of another split, not a stranger
    found = pair_folders(made, truth, limit=1)
    assert [p.clip for p in found.pairs] == [names[1]] and found.bad.empty
    with pytest.raises(ValueError, match=r"no clips in the split 'valid', only in train \(2\), test \(2\): choose one"):
        pair_folders(made, truth, "valid")
    with pytest.raises(ValueError, match="leave --split out"):
        pair_folders(made, write(tmp_path / "plain", names), "test")
    with pytest.raises(ValueError, match="limit"):
        pair_folders(made, truth, limit=0)


def test_every_name_that_does_not_fit_is_listed_with_a_remedy(tmp_path):
    names = [f"scene_{i:05d}_0" for i in range(5)]
    truth = data_set(tmp_path / "t", {"test": names})
    (truth / "audio" / f"{names[4]}.wav").unlink()
    made = write(tmp_path / "g", [names[0], names[2], names[3], names[4], "clip_foa"])
    write(made, [names[3]], ".flac")
    (made / "notes.txt").write_text("no sound")
    (made / ".hidden.wav").write_text("no sound")
    found = pair_folders(made, truth)
    assert [p.clip for p in found.pairs] == [names[0], names[2]]
    assert dict(zip(found.bad["clip"], found.bad["problem"])) == {
        names[3]: "two files of one name", "clip_foa": "no true sound", names[4]: "true file missing",
        names[1]: "no generated sound",
    }  # fmt: skip
    assert len(found.bad) == 4 and set(found.bad["problem"]) <= set(REMEDIES)


def test_folders_that_cannot_be_paired_are_refused(tmp_path):
    one, other = write(tmp_path / "g", ["a"]), write(tmp_path / "t", ["b"])
    with pytest.raises(ValueError, match=r"\(a against b\): name each generated file after its clip"):
        pair_folders(one, other)
    with pytest.raises(ValueError, match="is no folder"):
        pair_folders(tmp_path / "missing", other)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no sound files .*generate-all"):
        pair_folders(one, tmp_path / "empty")


def generated(folder, names):
    """What generate-all leaves; only what tells it from other folders."""
    write(folder, names)
    for name in ("manifest.json", "manifest.csv"):
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("place, mark", [
    (".", "train.csv"), (".", "ambi.json"), (".", "scenes.json"), ("csv", "test.csv"), ("csv/yt_ambigen", "ambi.json"),
])  # fmt: skip
def test_swapped_folders_are_refused_with_the_right_order(tmp_path, place, mark):
    names = ["scene_00000_0", "scene_00001_0"]
    made, truth = generated(tmp_path / "g", names), write(tmp_path / "t", names)
    write(truth / "audio", names)
    assert len(pair_folders(made, truth).pairs) == 2 and pair_folders(made, truth).notes == ()
    (truth / place).mkdir(parents=True, exist_ok=True)
    (truth / place / mark).write_text("file_path\n")
    right = f"swapped.*GENERATED comes first, then TRUTH: visage-lite evaluate {made} {truth}$"
    with pytest.raises(ValueError, match=right):
        pair_folders(truth, made)
    if place == ".":
        with pytest.raises(ValueError, match=f"swapped.*visage-lite evaluate {made} {truth / 'audio'}$"):
            pair_folders(truth / "audio", made)


def test_a_data_set_of_scenes_is_not_taken_for_generated_sounds(tmp_path):
    names = ["scene_00000_0", "scene_00001_0"]
    made, truth = generated(tmp_path / "g", names), data_set(tmp_path / "t", {"train": names})
    assert len(pair_folders(made, truth).pairs) == 2
    for first, second in ((truth, made), (truth / "audio", made)):
        with pytest.raises(ValueError, match="swapped"):
            pair_folders(first, second)


def test_one_folder_twice_is_refused(tmp_path):
    folder = write(tmp_path / "g", ["a"])
    (tmp_path / "link").symlink_to(folder)
    for other in (folder, folder / ".." / "g", tmp_path / "link"):
        with pytest.raises(ValueError, match="as GENERATED and as TRUTH and would be compared with itself"):
            pair_folders(folder, other)


def test_what_may_be_swapped_is_scored_with_a_note(tmp_path):
    names = ["scene_00000_0"]
    made, other = (generated(tmp_path / name, names) for name in "gh")
    plain = write(tmp_path / "p", names)
    truth = data_set(tmp_path / "t", {"train": names})
    for first, second in ((plain, made), (truth, plain)):
        assert pair_folders(first, second).notes == (
            f"are the two folders in the right order? GENERATED comes first, then TRUTH: visage-lite evaluate {second} "
            f"{first}",
        )  # fmt: skip
    for first, second in ((made, plain), (made, truth), (plain, truth), (made, other), (truth / "audio", truth)):
        assert pair_folders(first, second).notes == ()


@pytest.mark.parametrize("what, remedy", [
    ("sound/recipe.json", "it holds features: give what visage-lite generate-all makes of them, or, as TRUTH"),
    ("scores/ab.npz", "it holds results of visage-lite evaluate"), ("test.csv", "with visage-lite prepare"),
])  # fmt: skip
def test_another_kind_of_folder_is_called_by_its_name(tmp_path, what, remedy):
    folder, sounds = tmp_path / "x", write(tmp_path / "g", ["scene_00000_0"])
    (folder / what).parent.mkdir(parents=True)
    (folder / what).write_text("file_path\nscene_00000_0.npy\n")
    for pair in ((folder, sounds), (sounds, folder)):
        with pytest.raises(ValueError, match=f"holds no sound files .*{remedy}"):
            pair_folders(*pair)


def test_the_longer_is_cut_to_the_shorter_up_to_a_tenth_of_a_second(tmp_path):
    foa = noise()
    for made, true in ((foa[:, :-400], foa), (foa, foa[:, :-400])):
        sounds = read_pair(pair_of(tmp_path, made, true))
        assert sounds.cut_s == pytest.approx(0.05)
        np.testing.assert_allclose(sounds.both[0], foa[:, :-400], atol=1e-6)
        np.testing.assert_allclose(sounds.both[1], foa[:, :-400], atol=1e-6)
    with pytest.raises(Mismatch, match="generated 1.38 s, true 1.50 s; cut or generate both") as error:
        read_pair(pair_of(tmp_path, foa[:, : -round((NEAR_S + 0.02) * RATE)], foa))
    assert error.value.problem == "length"


def test_the_generated_is_resampled_to_the_rate_of_the_truth(tmp_path):
    tone = np.sin(2 * np.pi * 440 * np.arange(2 * 48000) / 48000)
    slow = np.sin(2 * np.pi * 440 * np.arange(2 * 16000) / 16000)
    gains = np.array([[0.5], [-0.2], [0.1], [0.4]])
    sounds = read_pair(pair_of(tmp_path, gains * slow, gains * tone, 16000, 48000))
    made, true = sounds.both
    assert (sounds.generated_rate, sounds.rate, sounds.cut_s) == (16000, 48000, 0)
    assert made.shape == true.shape == (4, 96000) and sounds.generated.shape == (4, 32000)
    np.testing.assert_allclose(made[:, 4800:-4800], true[:, 4800:-4800], atol=1e-3)


@pytest.mark.parametrize("side", ["made", "true"])
def test_broken_sounds_are_refused_with_the_remedy(tmp_path, side):
    def with_one(wrong):
        return pair_of(tmp_path, *((wrong, noise()) if side == "made" else (noise(), wrong)))

    with pytest.raises(Mismatch, match="has 2, not 4; give all four channels W, Y, Z, X"):
        read_pair(with_one(noise(channels=2)))
    pair = with_one(noise())
    Path(tmp_path / f"{side}.wav").write_text("no sound at all")
    with pytest.raises(Mismatch, match="unreadable"):
        read_pair(pair)
    Path(tmp_path / f"{side}.wav").unlink()
    with pytest.raises(Mismatch, match="no such file"):
        read_pair(pair)


def test_numbers_that_are_not_finite_are_read_as_they_are(tmp_path):
    broken = noise()
    broken[1, 7] = np.nan
    made, _ = read_pair(pair_of(tmp_path, broken, noise())).both
    assert np.isnan(made[1, 7])
