"""`visage-lite evaluate`, end to end on scenes: right scores, nothing lost in silence, resumed after any stop."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr
from test_embeddings import folder as weights  # noqa: F401  VGGish and Cnn14 at full size, random

from visage_lite import cli
from visage_lite.ambisonics import mirror
from visage_lite.dataset import write_scenes
from visage_lite.embeddings import CNN14, ORIGINS, VGGISH, AudioldmPieces, ListenerEmbedding
from visage_lite.evaluation_results import embedding_named, evaluate_folders
from visage_lite.evaluation_tables import difference_of, score_columns
from visage_lite.intervals import mean_interval
from visage_lite.ladder import rung
from visage_lite.media import write_foa
from visage_lite.pairing import pair_folders
from visage_lite.spatial import score_clip

COUNT, MIRRORED = 8, 2
FILES = ("clips.csv", "summary.csv", "semantics.csv", "bad.csv")


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp("scenes"), COUNT, 4, 2.0, workers=0, progress=False, moving=False)


def make(truth, folder, change=lambda number, foa: foa, rate=16000):
    """A generated folder: the truth at 16 kHz, changed."""
    folder.mkdir()
    for number, clip in enumerate(truth.table["clip"]):
        foa, true_rate = truth.sound(clip)
        foa = change(number, soxr.resample(foa.T, true_rate, rate).T)
        soundfile.write(folder / f"{clip}.wav", foa.T, rate, subtype="FLOAT")
    return folder


@pytest.fixture(scope="module")
def made(truth, tmp_path_factory):
    return make(truth, tmp_path_factory.mktemp("made") / "g", lambda n, foa: mirror(foa) if n == MIRRORED else foa)


def evaluate(generated, truth, out, embedding=None, **options):
    known = {key: options.pop(key) for key in ("split", "limit") if key in options}
    pairs = pair_folders(generated, truth, **known)
    return evaluate_folders(pairs, (generated, truth), out, embedding, workers=0, progress=False, **options)


@pytest.fixture(scope="module")
def whole(truth, made, tmp_path_factory):
    """The evaluation that the others are compared with."""
    out = tmp_path_factory.mktemp("whole") / "out"
    return out, evaluate(made, truth.folder, out, ListenerEmbedding())


def tables(out):
    return {name: (out / name).read_bytes() for name in FILES}


def command(*arguments, **options):
    run = [sys.executable, "-m", "visage_lite.cli", "evaluate", *map(str, arguments)]
    return subprocess.run(run, capture_output=True, text=True, timeout=280, **options)


def test_the_truth_against_itself_scores_one(truth, tmp_path):
    results = evaluate(truth.folder / "audio", truth.folder, tmp_path / "out", ListenerEmbedding())
    np.testing.assert_allclose(results.clips[score_columns("corrected")], 1, atol=1e-9)
    assert (results.clips["direction_error_deg"] < 0.1).all() and results.bad.empty
    assert results.semantics["fad"].drop("toward camera, as released").max() < 1e-3
    assert results.semantics["kld"].drop("toward camera, as released").abs().max() < 1e-3
    assert any("as a single source in its place" in line for line in results.lines)
    assert f"{COUNT} generated files are the true ones, byte for byte: they say nothing of a system" in results.lines


def test_every_number_is_that_of_its_module(truth, made, whole):
    out, results = whole
    clip = truth.table["clip"][MIRRORED]
    pair = next(p for p in pair_folders(made, truth.folder).pairs if p.clip == clip)
    foa, rate = truth.sound(clip)
    low = soundfile.read(made / f"{clip}.wav", dtype="float32")[0].T
    high = soxr.resample(low.T, 16000, rate, quality="HQ").T[:, : foa.shape[1]]
    expected = score_clip(high, foa[:, : high.shape[1]], rate, pair.source).__dict__
    row = results.clips.set_index("clip").loc[clip]
    for column, value in expected.items():
        if isinstance(value, float):
            np.testing.assert_allclose(row[column], value, rtol=1e-6, err_msg=column)
    written = pd.read_csv(out / "summary.csv", index_col="score").loc["cc_all"]
    found = mean_interval(results.clips["cc_all"], results.clips["video"], 0)
    wanted = [found.mean, found.low, found.high]
    np.testing.assert_allclose(written[["mean", "low", "high"]].astype(float), wanted, rtol=1e-4)
    assert written["rung"] == rung(found.mean) and written["clips"] == COUNT
    released = pd.read_csv(out / "summary.csv", index_col="score").loc["released_auc_5fps"]
    assert released["rung"] == rung(results.clips["released_auc_5fps"].mean(), "auc", "as_released")


def test_a_mirrored_clip_is_the_worst(truth, whole):
    clips = whole[1].clips.set_index("clip")
    assert clips["cc_all"].idxmin() == truth.table["clip"][MIRRORED]
    assert clips["cc_all"].drop(truth.table["clip"][MIRRORED]).min() > 0.99
    assert set(clips["aim"]) == {"label"}  # these scenes stand still, and labels.csv says where


def test_every_result_names_what_listened_and_its_recipe(whole):
    out, results = whole
    recipe = json.loads((out / "recipe.json").read_text())
    assert recipe == json.loads(json.dumps(results.recipe))
    assert recipe["scores"]["embedding"]["name"] == ListenerEmbedding.name
    assert set(recipe["scores"]["modes"]) == {"corrected", "as_released"} and recipe["scores"]["versions"]["numpy"]
    assert recipe["run"]["seed"] == 0 and recipe["run"]["clips"] == COUNT
    assert (pd.read_csv(out / "semantics.csv")["embedding"] == ListenerEmbedding.name).all()
    assert any(ListenerEmbedding.name in line for line in results.lines)
    clips = pd.read_csv(out / "clips.csv")
    assert {"kld_w", "kld_mean", "kld_camera"} <= set(clips) and set(clips["embedding"]) == {ListenerEmbedding.name}


def test_going_on_changes_nothing_and_scores_nothing_again(truth, made, whole, tmp_path, monkeypatch):
    one = evaluate(made, truth.folder, tmp_path / "out", ListenerEmbedding(), limit=3)
    assert len(one.clips) == 3
    evaluate(made, truth.folder, tmp_path / "out", ListenerEmbedding())
    assert tables(tmp_path / "out") == tables(whole[0])
    monkeypatch.setattr("visage_lite.evaluation_run.score_clip", None)  # would fail if it were called
    evaluate(made, truth.folder, tmp_path / "out", ListenerEmbedding())
    assert tables(tmp_path / "out") == tables(whole[0])


def test_a_changed_file_a_changed_camera_and_a_damaged_shard_are_scored_again(truth, tmp_path):
    made = make(truth, tmp_path / "g")
    clip = truth.table["clip"][1]
    first = evaluate(made, truth.folder, tmp_path / "out").clips.set_index("clip")
    foa = soundfile.read(made / f"{clip}.wav", dtype="float32")[0].T
    soundfile.write(made / f"{clip}.wav", mirror(foa).T, 16000, subtype="FLOAT")
    for shard in sorted((tmp_path / "out" / "scores").glob("*.npz"))[:2]:
        shard.write_bytes(shard.read_bytes()[:100])
    again = evaluate(made, truth.folder, tmp_path / "out").clips.set_index("clip")
    assert again.loc[clip, "cc_all"] < 0.9 < first.loc[clip, "cc_all"]
    pd.testing.assert_frame_equal(again.drop(clip), first.drop(clip))


def stopped(run, out, number):
    """Start a command, send it a signal, as a terminal does to all its processes, when two shards are there.

    Returns: exit code, stdout, stderr.
    """
    process = subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    end = time.time() + 250
    while process.poll() is None and len(list((out / "scores").glob("*.npz"))) < 2 and time.time() < end:
        time.sleep(0.01)
    os.killpg(process.pid, number)
    said = process.communicate(timeout=60)
    return process.returncode, *said


@pytest.mark.parametrize("number, workers", [(signal.SIGKILL, 0), (signal.SIGINT, 0), (signal.SIGINT, 2)])
def test_stopped_and_given_again_equals_the_unbroken_run(truth, made, whole, tmp_path, number, workers):
    out = tmp_path / "out"
    run = [sys.executable, "-m", "visage_lite.cli", "evaluate", str(made), str(truth.folder), "-o", str(out),
           "--workers", str(workers), "--no-report"]  # fmt: skip
    code, said, error = stopped(run, out, number)
    assert code == (130 if number == signal.SIGINT else -number) and said == ""
    if number == signal.SIGINT:
        message = "visage-lite: interrupted; what is done is kept, and the same command goes on from there"
        assert error == message + "\n"
    done = {path: path.stat().st_mtime_ns for path in (out / "scores").glob("*.npz")}
    assert 2 <= len(done) < COUNT + (workers > 0) and not (out / "clips.csv").exists()
    assert subprocess.run(run, capture_output=True, timeout=280).returncode == 0
    assert tables(out) == tables(whole[0])
    assert {path: path.stat().st_mtime_ns for path in done} == done  # what was done is kept


def test_ctrl_c_says_that_it_goes_on_whenever_it_comes(monkeypatch, capsys, truth, made, tmp_path):
    for place in ("pairing.pair_folders", "evaluation_results.embedding_named", "evaluation_tables.clip_table",
                  "report.write_report"):  # fmt: skip
        with monkeypatch.context() as patched:
            patched.setattr(f"visage_lite.{place}", interrupted)
            patched.setattr(sys, "argv", ["visage-lite", "evaluate", str(made), str(truth.folder), "-o",
                                          str(tmp_path / "out"), "--workers", "0", "--limit", "1"])  # fmt: skip
            with pytest.raises(SystemExit) as stop:
                cli.main()
        assert stop.value.code == 130, place
        assert capsys.readouterr().err.endswith("what is done is kept, and the same command goes on from there\n")


def interrupted(*arguments, **options):
    raise KeyboardInterrupt


def test_another_recipe_in_the_folder_is_refused(truth, made, whole, tmp_path):
    out = whole[0]
    before = tables(out)
    other = make(truth, tmp_path / "other")
    for generated, embedding in ((other, ListenerEmbedding()), (made, None)):
        with pytest.raises(ValueError, match="another recipe .*choose another folder, or delete this one"):
            evaluate(generated, truth.folder, out, embedding)
    assert tables(out) == before
    with pytest.raises(ValueError, match="something else than scores"):
        evaluate(made, truth.folder, made)


def test_what_does_not_fit_is_counted_listed_and_never_dropped(truth, tmp_path):
    def change(number, foa):
        changes = {0: lambda: foa * 0, 1: lambda: foa * [[1], [0], [0], [0]], 2: lambda: foa * np.nan,
                   3: lambda: foa[:2], 4: lambda: foa[:, :16000], 5: lambda: foa[:, :-160]}  # fmt: skip
        return changes.get(number, lambda: foa)()

    made = make(truth, tmp_path / "g", change)
    names = list(truth.table["clip"])
    (made / f"{names[6]}.wav").write_text("broken")
    (made / f"{names[7]}.wav").rename(made / "stranger.wav")
    results = evaluate(made, truth.folder, tmp_path / "out", ListenerEmbedding())
    clips = results.clips.set_index("clip")
    assert list(clips.index) == [names[0], names[1], names[2], names[5]]
    assert list(clips["note"]) == ["silent", "omnidirectional", "not finite", ""]
    assert (clips["cc_all"][:3] == 0).all() and (clips["auc_all"][:3] == 0.5).all()
    assert (clips["direction_error_deg"][:3] == 90).all() and clips.loc[names[5], "cut_s"] == pytest.approx(0.01)
    bad = pd.read_csv(tmp_path / "out" / "bad.csv").set_index("clip")
    assert bad["problem"].to_dict() == {
        "stranger": "no true sound", names[7]: "no generated sound", names[3]: "channels", names[4]: "length",
        names[6]: "unreadable",
    }  # fmt: skip
    assert bad["remedy"].str.len().min() > 10
    text = "\n".join(results.lines)
    for said in ("1 silent", "1 omnidirectional", "1 not finite", "1 clips cut to one length", "4 clips resampled",
                 "5 clips not scored", "Remedy: give all four channels", "stranger"):  # fmt: skip
        assert said in text
    summary = results.summary.loc[score_columns("corrected")]
    assert summary["mean"].notna().all() and (summary["clips"] == 4).all()


def test_nothing_to_score_is_an_error_and_says_why_clip_by_clip(truth, made, tmp_path):
    out = tmp_path / "out"
    broken = make(truth, tmp_path / "g", lambda number, foa: foa[:2] if number else foa[:, :8000])
    said = "none of 8 clips could be scored.*has 2, not 4; give all four channels.*out/bad.csv lists every clip"
    with pytest.raises(ValueError, match=said):
        evaluate(broken, truth.folder, out)
    bad = pd.read_csv(out / "bad.csv")
    assert list(bad["clip"]) == list(truth.table["clip"]) and bad["remedy"].str.len().min() > 10
    assert bad["problem"].value_counts().to_dict() == {"channels": 7, "length": 1}
    for path in made.glob("*.wav"):  # put right, and broken again
        (broken / path.name).write_bytes(path.read_bytes())
    evaluate(broken, truth.folder, out, compare=made)
    assert pd.read_csv(out / "bad.csv").empty and (out / "clips.csv").is_file()
    for path in list(broken.glob("*.wav")):
        soundfile.write(path, soundfile.read(path)[0][:, :2], 16000)
    with pytest.raises(ValueError, match="bad.csv"):
        evaluate(broken, truth.folder, out)
    assert {path.name for path in out.glob("*.csv")} == {"bad.csv"} and len(pd.read_csv(out / "bad.csv")) == COUNT
    with pytest.raises(ValueError, match="compared_.*/bad.csv lists every clip"):
        evaluate(made, truth.folder, tmp_path / "other", compare=broken)


@pytest.mark.parametrize("factor, note", [(0.0, "truth silent"), (np.nan, "truth not finite")])
def test_true_sounds_that_judge_nothing_are_counted_and_nothing_fails(truth, made, tmp_path, factor, note):
    make(truth, tmp_path / "t", lambda number, foa: factor * foa)
    results = evaluate(made, tmp_path / "t", tmp_path / "out", ListenerEmbedding())
    text = "\n".join(results.lines)
    assert f"{COUNT} clips without CC and AUC: their truth is silent, not finite or from everywhere alike" in text
    assert f"scored by rule: {COUNT} {note}" in text and re.search(r"CC, over the clip +no score$", text, re.M)
    assert re.search(r"direction error +no score +0° is best", text) and "no score°" not in text
    assert results.semantics["kld"].isna().all() == results.semantics["fad"].isna().all() == np.isnan(factor)
    assert ("FAD needs two embeddings" in text) == bool(np.isnan(factor))


def test_every_score_says_which_way_is_good_and_nothing_is_said_of_none(truth, made, whole, tmp_path):
    said = whole[1].lines
    text = "\n".join(said)
    for words in ("CC and AUC: 1 is best, guessing scores CC 0 and AUC 0.5", "KLD (nats): 0 is best",
                  f"FAD of {COUNT} embeddings of 64 numbers each is too high: it needs more embeddings than numbers",
                  f"only with systems scored on the same {COUNT} clips",
                  f"{COUNT} clips resampled to the truth's rate"):  # fmt: skip
        assert words in text
    for name in ("direction error", "error of the loudest place", "diffuseness", "level (dB)", "azimuth over time"):
        assert "best" in next(line for line in said if line.startswith(name))
    assert not re.search(r"(?<![\d.])0 (clips|cut|not|resampled)", text) and "by rule" not in text
    assert max(map(len, said)) <= 120
    same_rate = make(truth, tmp_path / "same", rate=48000)
    lines = evaluate(same_rate, truth.folder, tmp_path / "out").lines
    assert lines[-1].startswith("azimuth over time") and "FAD" not in "\n".join(lines)


def test_without_cameras_the_scores_toward_them_are_left_out_and_it_is_said(truth, made, tmp_path):
    results = evaluate(made, truth.folder / "audio", tmp_path / "out", ListenerEmbedding())
    assert list(results.semantics.index) == ["W", "Y", "Z", "X", "mean of channels"]
    assert results.clips["kld_camera"].isna().all() and results.clips["kld_mean"].notna().all()
    assert any("no camera direction; give a data set with ambi.json" in line for line in results.lines)
    assert set(results.clips["aim"]) == {"truth"}


def test_one_clip_has_kld_but_no_fad(truth, made, tmp_path):
    results = evaluate(made, truth.folder, tmp_path / "out", ListenerEmbedding(), limit=1)
    assert results.semantics["fad"].isna().all() and results.semantics["kld"].notna().all()


def test_two_systems_are_compared_clip_by_clip(truth, made, whole, tmp_path):
    other = make(truth, tmp_path / "other")  # nothing mirrored: better
    (other / f"{truth.table['clip'][0]}.wav").unlink()
    by_sounds = evaluate(made, truth.folder, tmp_path / "a", ListenerEmbedding(), compare=other)
    evaluate(other, truth.folder, tmp_path / "b", ListenerEmbedding())
    by_results = evaluate(made, truth.folder, tmp_path / "c", ListenerEmbedding(), compare=tmp_path / "b")
    pd.testing.assert_frame_equal(by_sounds.differences, by_results.differences)
    theirs = pd.read_csv(tmp_path / "b" / "clips.csv").set_index("clip")["cc_all"]
    ours = whole[1].clips.set_index("clip")["cc_all"].loc[theirs.index]
    row = by_sounds.differences.loc["cc_all"]
    assert row["mean"] == pytest.approx((ours - theirs).mean(), abs=1e-5) and row["mean"] < 0
    assert row["clips"] == COUNT - 1 and row["low"] <= row["mean"] <= row["high"]
    assert {"fad_mean", "kld_camera", "fad_camera"} <= set(by_sounds.differences.index)
    assert any("1 clips are only in GENERATED" in line for line in by_sounds.lines)
    written = pd.read_csv(tmp_path / "a" / "differences.csv", keep_default_na=False).set_index("score")["embedding"]
    assert set(written.filter(regex="^(fad|kld)")) == {ListenerEmbedding.name} and written["cc_all"] == ""
    assert any(line.startswith("GENERATED MINUS other, on 7 clips") for line in by_sounds.lines)
    assert any(re.match(r"CC, over the clip +-0\.\d\d \[.*\] +p [01]\.\d{3}$", line) for line in by_sounds.lines)
    assert any(re.match("FAD, mean of channels +", line) for line in by_sounds.lines)
    with pytest.raises(ValueError, match="scored with another embedding"):
        evaluate(made, truth.folder, tmp_path / "d", None, compare=tmp_path / "b")


def test_what_cannot_be_compared_is_refused_before_anything_is_scored(truth, made, tmp_path):
    (tmp_path / "empty").mkdir()
    for compare, message in ((tmp_path / "none", "is no folder"), (made, "is GENERATED itself"),
                             (truth.folder, "is TRUTH"), (tmp_path / "empty", "holds no sound files")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            evaluate(made, truth.folder, tmp_path / "out", compare=compare)
        assert not (tmp_path / "out").exists()


def test_the_difference_of_a_system_to_itself_is_nothing(truth, made, tmp_path):
    from visage_lite.evaluation_run import read_evaluated

    evaluate(made, truth.folder, tmp_path / "out", ListenerEmbedding())
    same = read_evaluated(tmp_path / "out", ListenerEmbedding())
    found, only = difference_of(same, same, 0)
    assert np.abs(found[["mean", "low", "high"]].fillna(0).to_numpy(float)).max() == 0 and not any(only.values())


def test_the_seed_moves_intervals_only(truth, made, whole, tmp_path):
    results = evaluate(made, truth.folder, tmp_path / "out", ListenerEmbedding(), options={"seed": 1})
    pd.testing.assert_frame_equal(results.clips, whole[1].clips)
    assert (results.summary["mean"] == whole[1].summary["mean"]).sum() > 10
    assert results.summary.loc["cc_all", "low"] != whole[1].summary.loc["cc_all", "low"]


@pytest.mark.parametrize("name, folder, message", [
    ("vggish", None, "--embedding is listener, audioldm or none"),
    ("listener", Path("x"), "--weights is for --embedding audioldm, not for listener: leave it out"),
    ("none", Path("x"), "not for none"),
])  # fmt: skip
def test_unknown_embeddings_are_refused(name, folder, message):
    with pytest.raises(ValueError, match=message):
        embedding_named(name, folder)


@pytest.mark.parametrize("given, where", [
    (None, "needs --weights FOLDER with"), ("absent", "absent, which is not there, with"), ("empty", "empty has no"),
    ("one", "one has no Cnn14"),
])  # fmt: skip
def test_missing_weights_are_named_with_their_place_and_what_to_use_instead(tmp_path, given, where):
    for name in ("empty", "one"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / VGGISH).touch()
    with pytest.raises(FileNotFoundError) as error:
        embedding_named("audioldm", given and tmp_path / given)
    text = str(error.value)
    files = (CNN14,) if given == "one" else (VGGISH, CNN14)
    assert where in text and all(f"{name} (from {ORIGINS[name]})" in text for name in files)
    assert text.startswith("--embedding audioldm") and "fetch each yourself" in text
    assert text.endswith("without them use --embedding listener, the default, which needs no files, or none")


def test_real_listeners_at_full_size_with_random_weights_name_themselves_everywhere(request, truth, made, tmp_path):
    out, folder = tmp_path / "out", request.getfixturevalue("weights")
    ran = command(made, truth.folder, "-o", out, "--embedding", "audioldm", "--weights", folder, "--limit", 2,
                  "--workers", "0", "--clips-in-report", "1")  # fmt: skip
    assert ran.returncode == 0 and ran.stderr == "", ran.stderr
    name = AudioldmPieces.name
    assert f"Heard by {name}" in ran.stdout and "FAD of 4 embeddings of 128 numbers each is too high" in ran.stdout
    semantic, clips = (pd.read_csv(out / f"{table}.csv") for table in ("semantics", "clips"))
    assert (semantic["embedding"] == name).all() and (clips["embedding"] == name).all()
    assert semantic[["fad", "kld"]].notna().all(axis=None) and (semantic["fad"] >= 0).all() and len(clips) == 2
    recipe = json.loads((out / "recipe.json").read_text())["scores"]["embedding"]
    assert recipe == {"name": name, "digest": embedding_named("audioldm", folder).digest}
    assert recipe["digest"].startswith(semantic["digest"][0]) and name in (out / "report.html").read_text()


def test_the_command_says_what_it_found(truth, made, tmp_path):
    out = tmp_path / "out"
    ran = command(made, truth.folder, "-o", out, "--workers", "2", "--mode", "as_released", "--clips-in-report", "1")
    assert ran.returncode == 0 and ran.stderr == "", ran.stderr
    assert "mode as released" in ran.stdout and ListenerEmbedding.name in ran.stdout
    assert re.search(r"CC, over the clip +0\.\d\d \[.*\] +as a single source \d+° off", ran.stdout)
    assert {*FILES, "recipe.json", "report.html", "scores"} == set(os.listdir(out))
    assert command(made, truth.folder, "-o", out, "--no-report").returncode == 0
    assert not (out / "report.html").exists(), "an old one would show old numbers"


def test_the_command_explains_itself_and_refuses_in_one_line(made, truth, tmp_path):
    told = command("--help")
    assert told.returncode == 0 and "resampled to that of the truth" in " ".join(told.stdout.split())
    ran = command(made, truth.folder, "-o", tmp_path / "out", "--mode", "right")
    assert ran.returncode == 1 and ran.stderr == "visage-lite: --mode is corrected or as_released, not right\n"
    assert not (tmp_path / "out").exists()


def test_float_wavs_of_the_package_are_read(truth, tmp_path):
    made = tmp_path / "g"
    made.mkdir()
    for clip in truth.table["clip"][:2]:
        write_foa(made / f"{clip}.wav", *truth.sound(clip))
    results = evaluate(made, truth.folder, tmp_path / "out")
    assert len(results.clips) == 2 and results.semantics is None and not (tmp_path / "out/semantics.csv").exists()
    assert set(results.bad["problem"]) == {"no generated sound"} and len(results.bad) == COUNT - 2
