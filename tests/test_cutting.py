"""Clips are cut to the sample and the frame; prepared files are whole and the same each time; bad clips stop nothing.

A clap is a white frame and an impulse in all four channels at the instant at which that frame begins.
"""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction

import av
import numpy as np
import pandas as pd
import pytest

from visage_lite import cutting
from visage_lite.clips import read_clips
from visage_lite.cutting import cut, in_processes, prepare, summary
from visage_lite.media import MediaError, read_audio, read_video, write_foa
from visage_lite.streams import reading, samples_of, stream_of

RATES = {"30 fps": Fraction(30), "29.97 fps": Fraction(30000, 1001)}
CLAPS = (90, 277)  # numbers of the white frames, about 3.0 and 9.2 s
TONES = (310.0, 520.0, 730.0, 940.0)  # Hz, one for each of W, Y, Z, X
LEVELS = (0.08, 0.06, 0.04, 0.02)
SECONDS = 13.0
FRONT = "aaaaaaaaaaa"


def panorama(white=False, height=16, width=32):
    """Red on the left (azimuth 45 to 135), green on the right, grey in front and behind; or all white."""
    picture = np.full((height, width, 3), 255 if white else 60, np.uint8)
    if not white:
        picture[:, width // 8 : 3 * width // 8] = (200, 30, 30)
        picture[:, 5 * width // 8 : 7 * width // 8] = (30, 200, 30)
    return picture


def write_raw_video(path, rate, white, seconds=SECONDS, gop=75):
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=rate, options={"crf": "10", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt, stream.codec_context.gop_size = 32, 16, "yuv420p", gop
        for k in range(round(seconds * rate)):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(panorama(k in white), format="rgb24")))
        out.mux(stream.encode(None))


def write_raw_audio(path, instants, seconds=SECONDS):
    t = np.arange(round(48000 * seconds)) / 48000
    foa = np.stack([level * np.sin(2 * np.pi * hz * t) for hz, level in zip(TONES, LEVELS)])
    for instant in instants:
        foa[:, round(instant * 48000)] = 0.9
    write_foa(path, foa, 48000)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Raw files of one video for each frame rate, named after it."""
    folder = tmp_path_factory.mktemp("raw")
    for name, rate in RATES.items():
        write_raw_video(folder / f"{name}.mp4", rate, CLAPS)
        write_raw_audio(folder / f"{name}.webm", [n / rate for n in CLAPS])
    return folder


# --- one clip


@pytest.mark.parametrize("start_s", [0, 1, 2, 7, 7.013])
@pytest.mark.parametrize("name", RATES)
def test_a_clap_is_seen_and_heard_together(raw, name, start_s):
    """The picture is asked for at 1000 frames per second, so its onset is known to 1 ms; the sound's to a sample."""
    clip = cut(raw / f"{name}.mp4", raw / f"{name}.webm", start_s, frame_rate=1000, size=(16, 8))
    truth = float(next(n for n in CLAPS if n / RATES[name] > start_s) / RATES[name]) - start_s
    seen = np.flatnonzero(clip.frames.mean(axis=(1, 2, 3)) > 200)[0] / 1000
    heard = np.abs(clip.foa).argmax(axis=1) / clip.rate
    assert clip.frames.shape == (5000, 8, 16, 3) and clip.foa.shape == (4, 240000) and clip.rate == 48000
    assert abs(seen - truth) < 0.0021
    np.testing.assert_allclose(heard, truth, atol=0.0001)  # 5 samples
    assert np.abs(heard - seen).max() < 0.005


def test_channels_keep_their_order_and_level(raw):
    clip = cut(raw / "30 fps.mp4", raw / "30 fps.webm", 5)
    quiet = clip.foa[:, : 48000 * 4]
    spectrum = np.abs(np.fft.rfft(quiet * np.hanning(quiet.shape[1]))) * 4 / quiet.shape[1]
    assert (spectrum.argmax(axis=1) / 4).tolist() == list(TONES)
    np.testing.assert_allclose(spectrum.max(axis=1), LEVELS, rtol=0.03)


def without_codec_delay(source, target):
    """The same WebM, but silent about the pre-skip of Opus: its time stamps then count it."""
    data = bytearray(source.read_bytes())
    place = data.index(b"\x56\xaa")
    length = data[place + 2] & 0x7F
    data[place + 3 : place + 3 + length] = bytes(length)
    target.write_bytes(data)
    return target


@pytest.mark.parametrize("start_s", [0, 0.5, 1.6, 5, 7, 7.013, 8])
def test_sought_sound_is_the_sound_decoded_from_the_beginning(raw, tmp_path, start_s):
    stated = raw / "30 fps.webm"
    whole, rate = read_audio(stated)
    first = round(start_s * rate)
    for path in (stated, without_codec_delay(stated, tmp_path / "a.webm")):
        found, _ = cutting._sound(path, start_s, 5)
        np.testing.assert_allclose(found, whole[:, first : first + 240000], atol=1e-5)


def test_few_frames_are_decoded_for_a_late_clip(raw, monkeypatch):
    """The raw sound lasts 13 s; a clip at 7 s needs 5 s of it and a little before."""
    seen = []
    monkeypatch.setattr(cutting, "samples_of", lambda frame: (seen.append(frame.samples), samples_of(frame))[1])
    cutting._sound(raw / "30 fps.webm", 7, 5)
    assert 240000 <= sum(seen) < 9 * 48000


def test_sound_of_a_file_without_an_index_is_decoded_from_the_beginning(raw, tmp_path):
    foa, _ = read_audio(raw / "30 fps.webm")
    write_foa(tmp_path / "a.wav", foa, 48000)
    clip = cut(raw / "30 fps.mp4", tmp_path / "a.wav", 7)
    np.testing.assert_array_equal(clip.foa, foa[:, 7 * 48000 : 12 * 48000])


def test_a_sound_that_lost_a_part_is_refused(raw, tmp_path):
    with av.open(str(raw / "30 fps.webm")) as source, av.open(str(tmp_path / "a.webm"), "w") as out:
        stream = out.add_stream_from_template(source.streams.audio[0])
        for k, packet in enumerate(source.demux(audio=0)):
            if packet.dts is not None and not 450 <= k < 455:
                packet.stream = stream
                out.mux(packet)
    with pytest.raises(MediaError, match="gap at 8.99 s"):
        cut(raw / "30 fps.mp4", tmp_path / "a.webm", 7)


def test_clips_beyond_the_end_are_refused(raw, tmp_path):
    write_raw_audio(tmp_path / "short.webm", [], seconds=9)
    write_raw_audio(tmp_path / "nearly.webm", [], seconds=11.95)
    write_raw_video(tmp_path / "short.mp4", 30, (), seconds=9)
    with pytest.raises(MediaError, match=r"short.mp4: ends at 9.00 s, the clip at 12.00 s"):
        cut(tmp_path / "short.mp4", raw / "30 fps.webm", 7)
    for start_s in (7, 9.1):
        with pytest.raises(MediaError, match=r"short.webm: its sound ends before the clip does, at"):
            cut(raw / "30 fps.mp4", tmp_path / "short.webm", start_s, duration_s=3)
    filled = cut(raw / "30 fps.mp4", tmp_path / "nearly.webm", 7).foa
    assert filled.shape == (4, 240000) and not filled[:, -2400:].any() and filled[:, -4800:-2400].any()


# --- a data set


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder of raw files and one of tables: good clips, and one of each kind that is not."""
    folder = tmp_path_factory.mktemp("source")
    raw, tables = folder / "raw", folder / "csv"
    raw.mkdir(), tables.mkdir()
    write_raw_video(raw / f"{FRONT}.mp4", 30, range(255, 262))  # white from 8.5 to 8.73 s
    write_raw_audio(raw / f"{FRONT}.webm", [8.5])
    write_raw_video(raw / "bbbbbbbbbbb.mp4", 30, (), seconds=6)
    (raw / "bbbbbbbbbbb.webm").write_bytes((raw / f"{FRONT}.webm").read_bytes())
    (raw / "ccccccccccc.mp4").write_bytes((raw / f"{FRONT}.mp4").read_bytes())
    clips = {"train": [f"{FRONT}_7", f"{FRONT}_1", f"{FRONT}_2"], "valid": ["bbbbbbbbbbb_4"], "test": ["ccccccccccc_0"]}
    for split, names in clips.items():
        (tables / f"{split}.csv").write_text("\n".join(["file_path", *(f"{name}.npy" for name in names), ""]))
    directions = {f"{FRONT}_7": [44, 45], f"{FRONT}_1": [44, 134], "bbbbbbbbbbb_4": [0, 0], "ccccccccccc_0": [0, 0]}
    (tables / "ambi.json").write_text(json.dumps(directions))  # elevation 1, azimuth 89 (left) and -89 (right)
    return folder


def prepared(source, dataset, **named):
    return prepare(read_clips(source / "csv").table, source / "raw", dataset, progress=False, **named)


@pytest.fixture(scope="module")
def dataset(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    prepared(source, folder, workers=0)
    return folder


def contents(folder):
    """Name -> sha256 of every file in a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_data_set_is_laid_out_as_the_authors_lay_it(source, dataset):
    made = [f"{kind}/{FRONT}_{n}{suffix}" for kind, suffix in cutting.FILES.items() for n in (1, 7)]
    tables = ["train.csv", "valid.csv", "test.csv", "ambi.json", "prepared.csv"]
    assert sorted(contents(dataset)) == sorted(made + tables)
    for name in tables[:3]:
        assert (dataset / name).read_text() == (source / "csv" / name).read_text()
    again, before = (read_clips(folder).table for folder in (dataset, source / "csv"))
    pd.testing.assert_frame_equal(again, before)


def test_every_clip_is_accounted_for(dataset):
    table = pd.read_csv(dataset / "prepared.csv", keep_default_na=False).set_index("clip")
    assert table["status"].to_dict() == {f"{FRONT}_7": "done", f"{FRONT}_1": "done", f"{FRONT}_2": "no direction",
                                         "bbbbbbbbbbb_4": "failed", "ccccccccccc_0": "missing"}
    assert "ends at 6.00 s, the clip at 9.00 s" in table.loc["bbbbbbbbbbb_4", "reason"]
    assert "no ccccccccccc.webm" in table.loc["ccccccccccc_0", "reason"]
    line = summary(table.reset_index())
    assert "2 done" in line and "1 missing" in line and "the first failure" in line and "\n" not in line


def test_the_clap_stands_in_the_files_where_it_should(dataset):
    """8.5 s lies on the grid of 4 frames per second: frame 6 of the clip that begins at 7 s."""
    for kind, size in (("video", (448, 896)), ("nfov", (224, 224))):
        video = read_video(dataset / kind / f"{FRONT}_7.mp4")
        assert video.frames.shape == (20, *size, 3) and video.duration_s == pytest.approx(5)
        assert np.flatnonzero(video.frames.mean(axis=(1, 2, 3)) > 200).tolist() == [6]
    foa, rate = read_audio(dataset / "audio" / f"{FRONT}_7.opus")
    assert foa.shape == (4, 240000)
    np.testing.assert_allclose(np.abs(foa).argmax(axis=1) / rate, 1.5, atol=0.001)
    with reading(dataset / "audio" / f"{FRONT}_7.opus") as container:
        assert stream_of(container, "audio", "").codec_context.layout.name == "ambisonic 1"


def test_the_view_is_the_direction_of_the_table(dataset):
    left, right = (read_video(dataset / "nfov" / f"{FRONT}_{n}.mp4").frames[0].mean(axis=(0, 1)) for n in (7, 1))
    assert left.argmax() == 0 and right.argmax() == 1


def test_sound_beyond_full_scale_is_not_clipped(tmp_path):
    t = np.arange(48000) / 48000
    foa = np.stack([1.6 * np.sin(2 * np.pi * hz * t) for hz in TONES]).astype(np.float32)
    clip = cutting.Cut(np.zeros((1, 8, 8, 3), np.uint8), 4.0, foa, 48000)
    cutting._write_clip(clip, None, "centres", {"audio": tmp_path / "a.opus"})
    heard = read_audio(tmp_path / "a.opus")[0][:, 4800:-4800]
    np.testing.assert_allclose(np.abs(heard).max(axis=1), 1.6, rtol=0.05)


def test_two_processes_make_the_same_bytes_as_one(source, dataset, tmp_path):
    prepared(source, tmp_path, workers=2)
    assert contents(tmp_path) == contents(dataset)


@pytest.mark.parametrize("at", ["encode_video", "encode_opus"])
def test_an_interruption_leaves_whole_files_only_and_the_next_run_makes_the_same_bytes(
    source, dataset, tmp_path, monkeypatch, at
):
    real, calls = getattr(cutting, at), []

    def stop(out, stream, what, *more):
        calls.append(out)
        if len(calls) == 2:
            out.mux(stream.encode(None))
            raise KeyboardInterrupt
        return real(out, stream, what, *more)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cutting, at, stop)
        prepared(source, tmp_path, workers=0)
    left, whole = contents(tmp_path), contents(dataset)
    assert left and set(left) < set(whole) and all(whole[name] == digest for name, digest in left.items())
    times = {name: (tmp_path / name).stat().st_mtime_ns for name in left if "/" in name}
    assert times
    prepared(source, tmp_path, workers=0)
    assert contents(tmp_path) == whole
    assert times == {name: (tmp_path / name).stat().st_mtime_ns for name in times}  # kept, not made again


def test_damaged_and_wrong_raw_files_are_recorded(source, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    names = ["11111111111", "22222222222", "33333333333"]
    good = {suffix: (source / "raw" / f"{FRONT}{suffix}").read_bytes() for suffix in (".mp4", ".webm")}
    for name in names:
        for suffix, data in good.items():
            (raw / f"{name}{suffix}").write_bytes(data)
    (raw / "11111111111.mp4").write_bytes(b"<html>" + bytes(2000))
    with av.open(str(raw / "22222222222.webm"), "w") as out:
        stream = out.add_stream("libopus", rate=48000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 48000 * 6), np.int16), format="s16", layout="stereo")
        frame.sample_rate = 48000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    box = b"sv3d" + bytes(20) + b"proj" + bytes(20) + b"cbmp" + bytes(8)
    (raw / "33333333333.mp4").write_bytes(good[".mp4"] + (len(box) + 4).to_bytes(4, "big") + box)
    table = pd.DataFrame({"clip": [*(f"{name}_1" for name in names), "../../etc/passwd_1"], "split": "train"})
    table = table.assign(elevation_index=44, azimuth_index=89)
    reasons = prepare(table, raw, tmp_path / "out", workers=0, progress=False)
    assert set(reasons["status"]) == {"failed"}
    for reason, said in zip(reasons["reason"], ["no media file", "2 channels", "cube map", "no clip name"]):
        assert said in reason
    assert [path for kind in cutting.FILES for path in (tmp_path / "out" / kind).iterdir()] == []


def test_tables_and_folders_of_no_use_are_refused(source, tmp_path):
    with pytest.raises(ValueError, match="no column split"):
        prepare(pd.DataFrame({"clip": []}), tmp_path, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(MediaError, match="cannot be made"):
        prepared(source, tmp_path / "file")


def test_a_job_that_kills_its_process_does_not_take_the_others_with_it():
    jobs = ["10", "20", "__import__('os')._exit(1)", "30", "40"]
    assert dict(in_processes(eval, jobs, workers=2)) == dict(zip(jobs, [10, 20, None, 30, 40]))
