"""`visage-lite`: what it writes, what it says, and how it fails."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from test_pipeline import noise, write_video

from visage_lite import __version__, checkpoints, cli, dataset, pipeline, presets
from visage_lite.ambisonics import energy_map
from visage_lite.features import Networks, scene_features
from visage_lite.media import read_audio, read_video
from visage_lite.model import Visage
from visage_lite.scenes import make_scene

PROGRAM = [sys.executable, "-c", "from visage_lite.cli import main; main()"]


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command in this process; returns exit code, stdout, stderr."""
    old = signal.getsignal(signal.SIGTERM)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["visage-lite", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return (stopped.value.code or 0, *capsys.readouterr())

    yield call
    signal.signal(signal.SIGTERM, old)


def test_help_is_fast_and_says_what_is_needed():
    began = time.perf_counter()
    shown = subprocess.run([*PROGRAM, "generate", "--help"], capture_output=True, text=True, check=True)
    assert time.perf_counter() - began < 3  # 0.6 s on an idle machine: nothing heavy is imported
    options = "azimuth elevation panorama preset checkpoint guidance guidance-scale direction-scale dtype seed top-k"
    assert all(f"--{option}" in shown.stdout for option in f"{options} temperature greedy start whole out".split())
    check = "import sys, visage_lite.cli; print(sorted({'torch', 'numpy', 'av', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True).stdout.strip() == "[]"


def test_version_and_usage(run):
    assert run("--version") == (0, f"visage-lite {__version__}\n", "")
    assert run()[0] == 2
    for arguments, message in (
        ("generate", "Missing argument"),
        ("generate a.mp4 -o out", "--azimuth"),
        ("generate a.mp4 -o out --azimuth left", "--azimuth"),
        ("make", "make"),
    ):
        code, _, err = run(*arguments.split())
        assert code == 2 and message in err and err.count("\n") == 1


def test_it_writes_five_files_and_says_what_it_did(run, tmp_path):
    video = write_video(tmp_path / "scene.mp4", make_scene(990_001).view(224), 4)
    code, out, err = run("generate", video, "--azimuth", 60, "--elevation", 10, "-o", tmp_path / "out")
    assert code == 0 and err == ""
    names = [f"scene_{what}" for what in ("foa.wav", "binaural.wav", "spatial.mp4", "player.html", "energy.png")]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(names)
    assert all(f"wrote {tmp_path / 'out' / name}" in out for name in names)
    assert "toy codec" in out and "stands in for DAC" in out and "stands in for ViSAGe" in out and "sound: from" in out
    info = soundfile.info(tmp_path / "out" / "scene_foa.wav")
    assert (info.channels, info.frames, info.subtype) == (4, 80000, "FLOAT")
    levels = energy_map(read_audio(tmp_path / "out" / "scene_foa.wav")[0])
    assert np.unravel_index(levels.argmax(), levels.shape)[1] < 90  # left
    left_ear, right_ear = read_audio(tmp_path / "out" / "scene_binaural.wav")[0]
    assert (left_ear**2).sum() > (right_ear**2).sum()


def test_the_whole_of_a_long_video(run, tmp_path):
    video = write_video(tmp_path / "a.mp4", noise(6.5), 10)
    code, out, err = run("generate", video, "--azimuth", 0, "--start", 0.5, "--whole", "-o", tmp_path / "out")
    assert (code, err) == (0, "") and "length:" not in out and out.count("wrote ") == 5
    assert soundfile.info(tmp_path / "out" / "a_foa.wav").frames == 96000
    mixed, rate = read_audio(tmp_path / "out" / "a_spatial.mp4")
    assert mixed.shape == (4, 6 * rate) and abs(read_video(tmp_path / "out" / "a_spatial.mp4").duration_s - 6) < 0.11


def test_guidance_by_name():
    for name, branches in (("none", 1), ("joint", 2), ("two-way", 4)):
        guidance = cli._guidance(name, 1.5, 0.5)
        assert len(guidance) == branches and sum(weight for _, weight in guidance) == pytest.approx(1)


BAD = {  # what is wrong: the argument, its value, what the message must say
    "missing": ("VIDEO", "none.mp4", "no such file"),
    "folder": ("VIDEO", ".", "is a folder"),
    "no picture": ("VIDEO", "sound.wav", "no video stream"),
    "empty": ("VIDEO", "empty.mp4", "empty"),
    "truncated": ("VIDEO", "truncated.mp4", "truncated"),
    "corrupt": ("VIDEO", "corrupt.mp4", "corrupt"),
    "no panorama": ("--panorama", None, "twice as wide"),
    "after the end": ("--start", "7", "ends at 1.00 s"),
    "before the start": ("--start", "-1", "start"),
    "not finite": ("--azimuth", "nan", "--azimuth"),
    "infinite": ("--elevation", "inf", "--elevation"),
    "too high": ("--elevation", "91", "-90 and 90"),
    "too far round": ("--azimuth", "1000", "-360 and 360"),
    "out is a file": ("-o", "file", "cannot be written"),
    "out below a file": ("-o", "file/below", "cannot be written"),
    "preset": ("--preset", "huge", "no preset 'huge'"),
    "preset without weights": ("--preset", "paper", "checkpoint"),
    "checkpoint of another size": ("--checkpoint", "small.safetensors", "another size"),
    "no checkpoint": ("--checkpoint", "none", "none"),
    "guidance": ("--guidance", "loud", "no guidance 'loud'"),
    "scale": ("--guidance-scale", "nan", "finite"),
    "dtype": ("--dtype", "float8", "float8"),
    "top-k": ("--top-k", "0", "top_k"),
    "temperature": ("--temperature", "0", "temperature"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a good video and what is needed to go wrong."""
    folder = tmp_path_factory.mktemp("bad")
    data = write_video(folder / "good.mp4", noise(1), 10).read_bytes()
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "truncated.mp4").write_bytes(data[: len(data) // 2])
    (folder / "corrupt.mp4").write_bytes(data[:2000] + np.random.default_rng(0).bytes(len(data) - 2000))
    (folder / "file").write_text("no folder")
    soundfile.write(folder / "sound.wav", np.zeros((100, 4)), 8000)
    sizes = presets.ModelConfig(d_model=16, heads=2, ffn=32, encoder_layers=1, decoder_layers=1, vocab=64)
    checkpoints.save(Visage(sizes, seed=0), folder / "small.safetensors")
    return folder


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_gives_one_line_and_leaves_nothing(run, files, monkeypatch, kind):
    option, value, message = BAD[kind]
    arguments = {"VIDEO": "good.mp4", "--azimuth": "0", "--elevation": "0", "-o": "new/out"} | {option: value}
    monkeypatch.chdir(files)
    before = sorted(files.rglob("*"))
    code, out, err = run(
        "generate", *(word for pair in arguments.items() for word in pair if word not in ("VIDEO", None))
    )
    assert code == 1 and out == ""
    assert err.startswith("visage-lite: ") and err.count("\n") == 1 and message in err
    assert sorted(files.rglob("*")) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_so_and_leaves_nothing(run, tmp_path, monkeypatch, number):
    def interrupted(*arguments, **options):
        assert list((tmp_path / "out").iterdir())  # the temporary folder
        signal.raise_signal(number)
        time.sleep(5)
        raise AssertionError("the signal did nothing")

    monkeypatch.setattr(pipeline, "hear", interrupted)
    video = write_video(tmp_path / "a.mp4", noise(1), 10)
    code, out, err = run("generate", video, "--azimuth", 0, "-o", tmp_path / "out")
    assert code == 128 + number and out == ""
    assert err == ("visage-lite: interrupted, nothing was written\n" if number == signal.SIGINT else "")
    assert not (tmp_path / "out").exists()


def test_scenes_are_written_and_told(run, tmp_path):
    code, out, err = run("scenes", tmp_path / "s", "--count", 1, "--seed", 5, "--workers", 0)
    assert (code, err) == (0, "") and out == (
        f"wrote {tmp_path / 's'}: 1 clips (train 1, valid 0, test 0), labels.csv says what is where\n"
        "ten or more give one to validate and one to test on: the same command with --count 10 adds them\n"
    )
    assert {path.name for path in (tmp_path / "s").iterdir()} >= {"video", "nfov", "audio", "ambi.json", "train.csv"}
    assert run("scenes", tmp_path / "s", "--count", 0)[::2] == (
        1, "visage-lite: count must lie between 1 and 100,000, not 0: use another seed for more\n"
    )  # fmt: skip
    assert "holds scenes of other arguments" in run("scenes", tmp_path / "s", "--count", 1, "--seed", 6)[2]
    more = ("--kinds", "all", "--sources", 2, "--off-screen", "--room", "--workers", 0)
    assert run("scenes", tmp_path / "more", "--count", 1, *more)[0] == 0
    assert {row.split(",")[1] for row in (tmp_path / "more" / "labels.csv").read_text().split()[1:]} == {"0", "1"}
    assert run("scenes", tmp_path / "x", "--count", 1, "--kinds", "some")[::2] == (
        1, "visage-lite: --kinds is toy or all, not some\n"
    )  # fmt: skip


def test_a_split_without_clips_is_told_with_those_that_have_some(run, tmp_path, monkeypatch):
    write = dataset.write_scenes
    monkeypatch.setattr(dataset, "write_scenes", lambda *args, **options: write(*args, duration_s=1.0, **options))
    monkeypatch.setattr(presets, "get", lambda name: replace(presets.toy(), clip_s=1.0))
    scenes, feats, made = tmp_path / "s", tmp_path / "f", tmp_path / "g"
    code, out, _ = run("scenes", scenes, "--count", 6, "--workers", 0)
    assert code == 0 and "6 clips (train 6, valid 0, test 0)" in out and "--count 10" in out
    assert run("features", scenes, feats, "--workers", 0)[0] == 0
    assert run("generate-all", feats, made, "--guidance", "none", "--device", "cpu", "--limit", 1)[0] == 0
    said = (" in the split 'test', only in train (6): choose one that has clips, or leave --split out; of scenes one "
            "in ten is for validation and one for testing: make ten or more\n")  # fmt: skip
    assert run("generate-all", feats, tmp_path / "h", "--split", "test")[::2] == (
        1, f"visage-lite: {feats} has no clips with sound and video{said}"
    )  # fmt: skip
    assert run("evaluate", made, scenes, "-o", tmp_path / "o", "--split", "test")[::2] == (
        1, f"visage-lite: {scenes} has no clips{said}"
    )  # fmt: skip
    code, out, _ = run("scenes", scenes, "--count", 10, "--workers", 0)
    assert code == 0 and out.splitlines() == [
        f"wrote {scenes}: 10 clips (train 8, valid 1, test 1), labels.csv says what is where"]  # fmt: skip
    err = run("evaluate", made, scenes, "-o", tmp_path / "o", "--split", "tset")[2]
    assert "only in train (8), valid (1), test (1): choose one that has clips, or leave --split out\n" in err


def test_interrupted_scenes_say_that_they_go_on(run, tmp_path, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("visage_lite.dataset.write_scenes", interrupt)
    code, _, err = run("scenes", tmp_path / "s", "--count", 1)
    assert code == 130 and err == (
        "visage-lite: interrupted; what is done is kept, and the same command goes on from there\n"
    )


def test_features_of_a_data_set(run, tmp_path):
    run("scenes", tmp_path / "s", "--count", 2, "--workers", 0)
    (tmp_path / "s" / "audio" / "scene_00001_0.opus").unlink()
    code, out, err = run("features", tmp_path / "s", tmp_path / "f", "--workers", 0)
    lines = out.splitlines()
    assert (code, err) == (0, "") and lines[0] == (
        f"{tmp_path / 'f' / 'sound'}: 1 clips, 1 bad, by toy codec (MDCT, gain and shape)"
    )
    assert "scene_00001_0: MediaError" in lines[1] and "/video: 2 clips, 0 bad, by toy CLIP" in lines[2]
    assert "no train.csv" in run("features", tmp_path, tmp_path / "g")[2]
    assert run("features", tmp_path / "s", tmp_path / "f", "--part", "smell")[0] == 1
    paper = run("features", tmp_path / "s", tmp_path / "g", "--preset", "paper", "--part", "video")
    assert paper[0] == 1 and "needs CLIP weights" in paper[2]


def test_download_and_prepare_say_what_became_of_everything(run, tmp_path):
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.csv").write_text(f"file_path\n{split:a<11}_1.npy\n")
    (tmp_path / "ambi.json").write_text('{"trainaaaaaa_1": [44, 44]}')
    code, out, err = run("download", tmp_path, tmp_path / "raw", "--limit", 0)
    assert (code, err) == (0, "") and "0" in out
    code, out, err = run("prepare", tmp_path, tmp_path / "raw", tmp_path / "made", "--workers", 0)
    assert (code, err) == (0, "") and out.startswith(f"{tmp_path / 'made'}: ")
    assert "no train.csv" not in out and (tmp_path / "made" / "prepared.csv").is_file()
    assert "train.csv is not there" in run("prepare", tmp_path / "raw", tmp_path, tmp_path)[2]


def test_the_sounds_of_a_folder_of_features(run, tmp_path, monkeypatch):
    networks = Networks(replace(presets.toy(), clip_s=0.5))
    scene_features([5, 6], tmp_path / "f", networks, workers=0, progress=False)
    command = ("generate-all", tmp_path / "f", tmp_path / "out", "--guidance", "none", "--device", "cpu", "--limit")
    said = f"{tmp_path / 'out'}: made the sounds of 1 clips, kept %d; manifest.csv lists them\n"
    assert run(*command, 1) == (0, said % 0, "")
    assert run(*command, 2, "--batch-size", 2) == (0, said % 1, "")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.wav")) == ["5.wav", "6.wav"]
    assert soundfile.info(tmp_path / "out" / "5.wav").channels == 4
    for wrong, message in (
        (("--seed", 1), "another recipe (seed was 0, is 1): choose another folder"),
        (("--split", "test"), "in the split 'test'"),
        (("--device", "tpu"), "--device is cpu or cuda"),
        (("--guidance", "loud"), "no guidance 'loud'"),
        (("--preset", "paper"), "ships no weights"),
    ):
        code, out, err = run(*command, 2, *wrong)
        assert (code, out) == (1, "") and err.count("\n") == 1 and message in err

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("visage_lite.batch_generation.generate_dataset", interrupt)
    assert run(*command, 1)[::2] == (
        130, "visage-lite: interrupted; what is done is kept, and the same command goes on from there\n"
    )  # fmt: skip
