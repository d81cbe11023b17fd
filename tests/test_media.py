"""media: every file here is made by the test, with PyAV or soundfile."""

from __future__ import annotations

import socket
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile

from visage_lite import media
from visage_lite.media import MediaError, mux, read_audio, read_video, write_foa

TONES = (310.0, 520.0, 730.0, 940.0)  # Hz, one for each of W, Y, Z, X
CLICKS = (0.1, 0.2, 0.3, 0.4)  # seconds


def write_video(path, pictures, rate=25, codec="libx264", pix_fmt="yuv420p", seconds=None, sound=None, gop=12):
    """A video of uint8 [F, H, W, 3]; `seconds` gives each frame its own time stamp, `sound` = (float [C, N], begin)."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, options={"crf": "4"} if codec == "libx264" else {})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.codec_context.gop_size = pix_fmt, gop
        if codec != "libx264":
            stream.bit_rate = 4_000_000
        if seconds is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if sound is not None:
            audio = out.add_stream("flac" if str(path).endswith("mkv") else "aac", rate=48000, layout="mono")
        for k, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            if seconds is not None:
                frame.pts, frame.time_base = round(seconds[k] * 1000), Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if sound is not None:
            frame = av.AudioFrame.from_ndarray((sound[0] * 32767).astype(np.int16), format="s16p", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, round(sound[1] * 48000), Fraction(1, 48000)
            out.mux(audio.encode(frame))
            out.mux(audio.encode(None))
    return path


def greys(count, height=32, width=48):
    """`count` flat pictures whose grey level tells their number: level = 10 + 3 * number."""
    return np.stack([np.full((height, width, 3), 10 + 3 * k, np.uint8) for k in range(count)])


def numbers(frames):
    """The numbers of the `greys` that were read back."""
    return [round((float(frame.mean()) - 10) / 3) for frame in frames]


def corners(height=48, width=64):
    """Red top left, green top right, blue bottom left, black bottom right."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2, 0] = 220
    picture[: height // 2, width // 2 :, 1] = 220
    picture[height // 2 :, : width // 2, 2] = 220
    return picture


def corner_names(frame):
    """Which colour stands top left, top right, bottom left, bottom right."""
    quarter_h, quarter_w = frame.shape[0] // 4, frame.shape[1] // 4
    places = [(r, c) for r in (quarter_h, -quarter_h) for c in (quarter_w, -quarter_w)]
    return ["red green blue".split()[frame[p].argmax()] if frame[p].max() > 120 else "black" for p in places]


def tones(rate, seconds=1.0, level=0.3):
    """A different tone in each channel, and one click at a different time in each."""
    t = np.arange(round(rate * seconds)) / rate
    foa = np.stack([level * np.sin(2 * np.pi * f * t) for f in TONES])
    for channel, second in enumerate(CLICKS):
        foa[channel, round(second * rate)] = 0.95
    return foa.astype(np.float32)


def assert_same_channels(heard, rate, foa, foa_rate):
    """Each channel holds its own tone, and its click stands where it stood, to less than 1 ms."""
    assert heard.shape[0] == 4 and heard.dtype == np.float32
    for channel in range(4):
        spectrum = np.abs(np.fft.rfft(heard[channel]))
        assert abs(spectrum.argmax() * rate / heard.shape[1] - TONES[channel]) < 2
        assert abs(np.abs(heard[channel]).argmax() / rate - np.abs(foa[channel]).argmax() / foa_rate) < 1e-3


# --- video in


def test_frames_are_those_on_show_at_each_instant(tmp_path):
    path = write_video(tmp_path / "a.mp4", greys(48), rate=24)
    video = read_video(path, rate=4)
    assert numbers(video.frames) == [0, 6, 12, 18, 24, 30, 36, 42]
    assert video.frames.shape == (8, 32, 48, 3) and video.frames.dtype == np.uint8
    assert (video.width, video.height, video.codec, video.rate) == (48, 32, "h264", 4)
    assert video.duration_s == pytest.approx(2) and video.source_s == pytest.approx(2)


def test_variable_frame_rate_goes_by_time_stamps(tmp_path):
    seconds = [0.0, 0.1, 0.11, 0.9, 1.0, 1.6, 1.9]
    path = write_video(tmp_path / "a.mkv", greys(7), seconds=seconds)
    video = read_video(path, rate=10, duration_s=1.9)
    expected = [max(k for k, s in enumerate(seconds) if s <= t / 10 + 1e-9) for t in range(19)]
    assert numbers(video.frames) == expected


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.mp4", "libx264", "yuv420p"), ("a.mkv", "ffv1", "yuv444p"), ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.avi", "mpeg4", "yuv420p"), ("a.mov", "mjpeg", "yuvj420p"), ("a.ts", "libx264", "yuv420p"),
    ],
)  # fmt: skip
def test_containers(tmp_path, name, codec, pix_fmt):
    video = read_video(write_video(tmp_path / name, greys(50), codec=codec, pix_fmt=pix_fmt), rate=5)
    assert numbers(video.frames) == [0, 5, 10, 15, 20, 25, 30, 35, 40, 45]


@pytest.mark.parametrize("size", [(33, 17), (17, 101), (1, 3)])
def test_odd_sizes(tmp_path, size):
    path = write_video(tmp_path / "a.mkv", greys(5, *size), codec="ffv1", pix_fmt="yuv444p")
    video = read_video(path, rate=25)
    assert video.frames.shape == (5, *size, 3)
    assert numbers(video.frames) == [0, 1, 2, 3, 4]
    assert read_video(path, size=16).frames.shape[1:] == (16, 16, 3)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), ["red", "green", "blue", "black"]),
        ((0, 1, -1, 0), ["blue", "red", "black", "green"]),  # a phone held upright: turn clockwise to view
        ((-1, 0, 0, -1), ["black", "blue", "green", "red"]),
        ((0, -1, 1, 0), ["green", "black", "red", "blue"]),
    ],
)
def test_rotation_metadata(tmp_path, matrix, expected):
    path = write_video(tmp_path / "a.mp4", [corners()] * 5)
    turn(path, matrix)
    video = read_video(path, rate=25)
    assert corner_names(video.frames[0]) == expected
    assert video.frames.shape[1:3] == ((64, 48) if matrix[0] == 0 else (48, 64)) == (video.height, video.width)
    assert read_video(path, size=(20, 30)).frames.shape[1:3] == (30, 20)
    assert mux(path, np.zeros((4, 4800)), 48000, tmp_path / "b.mp4")
    assert corner_names(read_video(tmp_path / "b.mp4").frames[0]) == expected


def turn(path, matrix):
    """Writes a display matrix [a, b, c, d] into the track header of an MP4."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 44
    a, b, c, d = (65536 * v for v in matrix)
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def test_size_takes_the_central_square_or_exactly_what_is_asked(tmp_path):
    picture = np.zeros((40, 120, 3), np.uint8)
    picture[:, :40, 0] = picture[:, 40:80, 1] = picture[:, 80:, 2] = 220
    path = write_video(tmp_path / "a.mp4", [picture] * 3)
    square = read_video(path, size=20).frames[0]
    assert square.shape == (20, 20, 3)
    assert (square[:, 2:-2, 1] > 170).all() and (square[:, 2:-2, [0, 2]] < 60).all()
    squeezed = read_video(path, size=(30, 20)).frames[0]
    assert [int(squeezed[10, c].argmax()) for c in (4, 15, 26)] == [0, 1, 2]


def test_part_of_a_video(tmp_path):
    path = write_video(tmp_path / "a.mp4", greys(75))
    assert numbers(read_video(path, rate=5, duration_s=1).frames) == [0, 5, 10, 15, 20]
    late = read_video(path, rate=5, start_s=2.2)
    assert numbers(late.frames) == [55, 60, 65, 70]
    assert late.duration_s == pytest.approx(0.8) and late.source_s == pytest.approx(3)
    assert numbers(read_video(path, rate=5, start_s=1.02, duration_s=0.4).frames) == [25, 30]
    short = read_video(path, rate=4, duration_s=5)
    assert len(short.frames) == 12 and short.duration_s == pytest.approx(3)
    with pytest.raises(MediaError, match=r"ends at 3\.00 s"):
        read_video(path, start_s=3.5)
    with pytest.raises(MediaError, match="give a duration or a size"):
        read_video(path, max_bytes=20000)


@pytest.mark.parametrize(("name", "codec"), [("a.ts", "libx264"), ("a.avi", "ffv1"), ("a.h264", "libx264")])
def test_a_start_in_formats_without_an_index(tmp_path, name, codec):
    path = write_video(tmp_path / name, greys(75), codec=codec)
    assert numbers(read_video(path, rate=5, start_s=1.6).frames) == [40, 45, 50, 55, 60, 65, 70]
    mux(path, np.zeros((4, 8000)), 16000, tmp_path / "out.mp4", start_s=1.6)
    assert abs(numbers(read_video(tmp_path / "out.mp4", rate=25).frames)[0] - 40) <= 1


def test_sound_beside_the_picture_changes_nothing(tmp_path):
    sound = (np.zeros((1, 96000)), 0.0)
    path = write_video(tmp_path / "a.mp4", greys(25), sound=sound)
    assert numbers(read_video(path, rate=5).frames) == [0, 5, 10, 15, 20]


def copy_packets(source, out):
    """Copies the video stream of one open file into another."""
    stream = out.add_stream_from_template(source.streams.video[0])
    for packet in source.demux(video=0):
        if packet.dts is not None:
            packet.stream = stream
            out.mux(packet)


def damaged(kind, folder):
    """A file that cannot be read, and what the message must say."""
    good = write_video(folder / "good.mp4", np.random.default_rng(0).integers(0, 255, (40, 64, 64, 3), dtype=np.uint8))
    data, path = good.read_bytes(), folder / "bad.mp4"
    if kind == "missing":
        return path, "no such file"
    if kind == "folder":
        return folder, "is a folder"
    if kind == "wav":
        soundfile.write(folder / "a.wav", np.zeros((100, 4)), 8000)
        return folder / "a.wav", "no video stream"
    if kind == "still":
        av.VideoFrame.from_ndarray(corners(), format="rgb24").save(str(folder / "a.png"))
        return folder / "a.png", "still picture"
    if kind in ("no frames", "header only"):
        with av.open(str(path), "w", format="matroska") as out:
            out.add_stream("libx264", rate=25)
            audio = out.add_stream("pcm_s16le", rate=48000, layout="mono")
            out.start_encoding()
            if kind == "no frames":
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), "s16", "mono")
                frame.sample_rate = 48000
                out.mux(audio.encode(frame))
                out.mux(audio.encode(None))
        return path, "has no frames" if kind == "no frames" else "truncated, corrupt"
    hurt = bytearray(data)
    hurt[len(data) // 2 : len(data) // 2 + 2000] = np.random.default_rng(1).bytes(2000)
    with av.open(str(good)) as source, av.open(str(folder / "good.mkv"), "w") as out:
        copy_packets(source, out)
    cases = {
        "empty": (b"", "empty"), "noise": (np.random.default_rng(0).bytes(5000), "truncated, corrupt"),
        "half": (data[: len(data) // 2], "truncated"), "hurt": (bytes(hurt), "damaged|corrupt"),
        "half matroska": ((folder / "good.mkv").read_bytes()[: len(data) // 3], "truncated: it ends at"),
    }  # fmt: skip
    path.write_bytes(cases[kind][0])
    return path, cases[kind][1]


BAD = [
    "missing",
    "folder",
    "wav",
    "still",
    "no frames",
    "header only",
    "empty",
    "noise",
    "half",
    "hurt",
    "half matroska",
]


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_read_is_told_in_one_line(tmp_path, kind):
    path, message = damaged(kind, tmp_path)
    for read in (read_video, lambda p: mux(p, np.zeros((4, 480000)), 48000, tmp_path / "out.mp4")):
        if read is not read_video and kind == "hurt":
            continue  # the stream is copied, not decoded
        with pytest.raises(MediaError, match=message) as error:
            read(path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert kind == "hurt" or not (tmp_path / "out.mp4").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_truncated_video_gives_the_part_that_is_there(tmp_path):
    path, _ = damaged("half matroska", tmp_path)
    assert len(read_video(path, rate=25, duration_s=0.2).frames) == 5


def test_names_and_playlists_open_nothing_else(tmp_path):
    write_video(tmp_path / "a.mp4", greys(5))
    (tmp_path / "concat:x").mkdir()
    strange = tmp_path / "concat:x" / "http:y.mp4"
    (tmp_path / "a.mp4").rename(strange)
    assert len(read_video(strange, rate=25).frames) == 5
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        (tmp_path / "a.m3u8").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{url}\n#EXT-X-ENDLIST\n")
        with pytest.raises(MediaError):
            read_video(tmp_path / "a.m3u8")
        with pytest.raises(TimeoutError):
            server.accept()


# --- sound out and in


@pytest.mark.parametrize("name", ["a.wav", "a.opus", "a.webm", "a.mkv", "a.mp4"])
@pytest.mark.parametrize(("rate", "samples"), [(48000, 48000), (48000, 50123), (44100, 44100), (16000, 17777)])
def test_four_channels_come_back_in_order_and_in_time(tmp_path, name, rate, samples):
    foa = tones(rate, samples / rate)
    write_foa(tmp_path / name, foa, rate)
    heard, heard_rate = read_audio(tmp_path / name)
    assert heard_rate == (rate if name == "a.wav" else 48000)
    assert heard.shape[1] == round(samples * heard_rate / rate)
    assert_same_channels(heard, heard_rate, foa, rate)


def test_wav_keeps_every_bit_and_any_level(tmp_path):
    foa = 3 * tones(16000)
    write_foa(tmp_path / "a.wav", foa, 16000)
    assert np.array_equal(read_audio(tmp_path / "a.wav")[0], foa)
    write_foa(tmp_path / "b.wav", foa / 3, 16000, subtype="pcm24")
    assert np.abs(read_audio(tmp_path / "b.wav")[0] - foa / 3).max() <= 2**-23
    assert soundfile.info(tmp_path / "b.wav").subtype == "PCM_24"


@pytest.mark.parametrize(("name", "subtype"), [("a.wav", "pcm24"), ("a.opus", "float32"), ("a.mp4", "float32")])
def test_what_would_clip_is_refused(tmp_path, name, subtype):
    with pytest.raises(MediaError, match="would clip"):
        write_foa(tmp_path / name, 1.3 * tones(48000), 48000, subtype)
    assert not list(tmp_path.iterdir())


def test_opus_says_that_it_is_ambisonic_and_libsndfile_agrees(tmp_path):
    foa = tones(48000)
    write_foa(tmp_path / "a.opus", foa, 48000)
    header = (tmp_path / "a.opus").read_bytes()
    start = header.index(b"OpusHead")
    assert header[start + 9] == 4 and header[start + 18] == 2  # channels, mapping family
    with av.open(str(tmp_path / "a.opus")) as container:
        assert container.streams.audio[0].layout.name == "ambisonic 1"
    other, rate = soundfile.read(tmp_path / "a.opus")
    assert_same_channels(other.T.astype(np.float32), rate, foa, 48000)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_wav_of_any_kind(tmp_path, subtype):
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, (1000, 3))
    soundfile.write(tmp_path / "a.wav", samples, 22050, subtype=subtype)
    heard, rate = read_audio(tmp_path / "a.wav")
    expected = soundfile.read(tmp_path / "a.wav", dtype="float32")[0]
    assert rate == 22050 and np.abs(heard - expected.T).max() < 1e-6


def test_part_of_a_sound_and_sound_that_sets_in_late(tmp_path):
    foa = tones(16000, 2.0)
    write_foa(tmp_path / "a.wav", foa, 16000)
    assert np.array_equal(read_audio(tmp_path / "a.wav", start_s=0.35, duration_s=0.7)[0], foa[:, 5600:16800])
    with pytest.raises(MediaError, match=r"ends at 2\.00 s"):
        read_audio(tmp_path / "a.wav", start_s=2.5)
    click = np.zeros((1, 24000))
    click[0, 4800] = 0.9
    path = write_video(tmp_path / "b.mkv", greys(25), sound=(click, 0.3))
    heard, rate = read_audio(path)
    assert abs(heard[0].argmax() / rate - 0.4) < 1e-3
    assert abs(read_audio(path, start_s=0.25)[0][0].argmax() / rate - 0.15) < 1e-3


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "noise"])
def test_sound_that_cannot_be_read(tmp_path, kind):
    path, message = damaged(kind, tmp_path)
    with pytest.raises(MediaError, match=message):
        read_audio(path)
    with pytest.raises(MediaError, match="no audio stream"):
        read_audio(write_video(tmp_path / "a.mp4", greys(3)))


def test_truncated_sound(tmp_path):
    write_foa(tmp_path / "a.mkv", tones(48000, 3.0), 48000)
    (tmp_path / "b.mkv").write_bytes((tmp_path / "a.mkv").read_bytes()[:100000])
    with pytest.raises(MediaError, match="truncated"):
        read_audio(tmp_path / "b.mkv")


@pytest.mark.parametrize("shape", [(3, 100), (100, 4), (4,), (2, 4, 100), (4, 0)])
def test_other_than_four_channels_is_refused(tmp_path, shape):
    video = write_video(tmp_path / "v.mp4", greys(5))
    for write in (lambda: write_foa(tmp_path / "a.wav", np.zeros(shape), 48000),
                  lambda: mux(video, np.zeros(shape), 48000, tmp_path / "a.mp4")):  # fmt: skip
        with pytest.raises(MediaError, match=r"\[4, N\]"):
            write()
    assert [p.name for p in tmp_path.iterdir()] == ["v.mp4"]


def test_not_finite_and_unknown_suffix(tmp_path):
    with pytest.raises(MediaError, match="not finite"):
        write_foa(tmp_path / "a.wav", np.full((4, 10), np.nan), 48000)
    for name in ("a.mp3", "a", "a.aac"):
        with pytest.raises(MediaError, match="cannot write"):
            write_foa(tmp_path / name, np.zeros((4, 10)), 48000)
    assert not list(tmp_path.iterdir())


# --- both


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_mux_copies_the_picture_and_cuts_it_to_the_sound(tmp_path, name):
    source = write_video(tmp_path / "v.mp4", greys(75), sound=(np.zeros((1, 96000)), 0.0))
    foa = tones(16000, 2.0)
    assert mux(source, foa, 16000, tmp_path / name) is True
    with av.open(str(source)) as a, av.open(str(tmp_path / name)) as b:
        before = [bytes(p) for p in a.demux(video=0) if p.size]
        after = [bytes(p) for p in b.demux(video=0) if p.size]
        assert len(b.streams) == 2 and after == before[: len(after)]
    video = read_video(tmp_path / name, rate=25)
    assert numbers(video.frames)[:50] == list(range(50)) and 50 <= len(video.frames) <= 53
    heard, rate = read_audio(tmp_path / name)
    assert heard.shape == (4, 96000)
    assert_same_channels(heard, rate, foa, 16000)


def test_mux_from_the_middle(tmp_path):
    source = write_video(tmp_path / "v.mp4", greys(75, 34, 50), gop=10)
    foa = np.zeros((4, 16000))
    assert mux(source, foa, 16000, tmp_path / "a.mp4", start_s=0.92) is False  # frame 23: no key frame
    again = numbers(read_video(tmp_path / "a.mp4", rate=25).frames)
    assert len(again) == 25 and max(abs(a - b) for a, b in zip(again, range(23, 48))) <= 1  # encoded anew
    with av.open(str(source)) as container:
        keys = [p.pts * p.time_base for p in container.demux(video=0) if p.is_keyframe and p.pts]
    assert mux(source, foa, 16000, tmp_path / "b.mp4", start_s=float(keys[0])) is True
    first = round(keys[0] * 25)
    assert numbers(read_video(tmp_path / "b.mp4", rate=25).frames)[:25] == list(range(first, first + 25))


def test_mux_of_a_short_video_and_of_a_codec_the_container_does_not_take(tmp_path):
    source = write_video(tmp_path / "v.avi", greys(20, 33, 51), codec="ffv1", pix_fmt="yuv444p")
    assert mux(source, np.zeros((4, 80000)), 16000, tmp_path / "a.mp4") is False
    again = numbers(read_video(tmp_path / "a.mp4", rate=25).frames)
    assert len(again) == 20 and max(abs(a - b) for a, b in zip(again, range(20))) <= 1
    assert read_audio(tmp_path / "a.mp4")[0].shape == (4, 240000)
    assert mux(source, np.zeros((4, 8000)), 16000, tmp_path / "a.webm") is False
    assert read_video(tmp_path / "a.webm").codec == "vp9"
    with pytest.raises(MediaError, match="change the suffix"):
        mux(source, np.zeros((4, 8000)), 16000, tmp_path / "a.wav")


# --- whole or not at all


@pytest.mark.parametrize("name", ["a.wav", "a.opus", "a.mp4", "mux.mp4"])
@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError, MemoryError])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, name, stop):
    video = write_video(tmp_path / "v.mp4", greys(5))
    (tmp_path / name).write_text("old")

    def fail(*args, **kwargs):
        raise stop()

    monkeypatch.setattr(media.soundfile, "write", fail)
    monkeypatch.setattr(media, "encode_opus", fail)
    with pytest.raises(MediaError if stop is OSError else stop):
        if name == "mux.mp4":
            mux(video, np.zeros((4, 480)), 48000, tmp_path / name)
        else:
            write_foa(tmp_path / name, np.zeros((4, 480)), 48000)
    assert (tmp_path / name).read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "v.mp4"])


def test_folders_that_cannot_be_written(tmp_path):
    video = write_video(tmp_path / "v.mp4", greys(5))
    (tmp_path / "file").write_text("")
    (tmp_path / "taken.wav").mkdir()
    for name in ("none/a.wav", "none/a.mp4", "file/a.opus", "taken.wav"):
        path = tmp_path / name
        with pytest.raises(MediaError, match="cannot be written") as error:
            write_foa(path, np.zeros((4, 10)), 48000)
        assert str(path) in str(error.value) and "\n" not in str(error.value)
    for name in ("none/a.mp4", "file/a.mkv"):
        with pytest.raises(MediaError, match="cannot be written") as error:
            mux(video, np.zeros((4, 480)), 48000, tmp_path / name)
        assert str(tmp_path / name) in str(error.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "taken.wav", "v.mp4"]


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.mkv"])
def test_pictures_become_a_silent_video(tmp_path, name):
    pictures = np.stack([np.full((48, 64, 3), 20 + 10 * k, np.uint8) for k in range(12)])
    media.write_video(tmp_path / name, pictures, 4)
    video = read_video(tmp_path / name, rate=4)
    assert video.duration_s == pytest.approx(3, abs=0.01)
    np.testing.assert_allclose(video.frames.mean((1, 2, 3)), pictures.mean((1, 2, 3)), atol=4)
    with pytest.raises(MediaError, match="no sound|audio"):
        read_audio(tmp_path / name)


def test_pictures_of_another_kind_are_refused(tmp_path):
    for path, pictures in [("a.wav", np.zeros((2, 8, 8, 3), np.uint8)), ("a.mp4", np.zeros((2, 8, 8, 3))),
                           ("a.mp4", np.zeros((0, 8, 8, 3), np.uint8)), ("a.mp4", np.zeros((8, 8, 3), np.uint8))]:
        with pytest.raises(MediaError):
            media.write_video(tmp_path / path, pictures, 4)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.opus", "a.webm", "a.mkv", "a.mp4"])
def test_the_same_sound_gives_the_same_bytes(tmp_path, name):
    foa = np.random.default_rng(0).uniform(-0.5, 0.5, (4, 9600))
    written = []
    for _ in range(2):
        write_foa(tmp_path / name, foa, 48000)
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]


# --- 360 degree video ---


def sphere(frames=6, height=64):
    """A panorama with a red left half and a blue right half: uint8 [frames, height, 2 * height, 3]."""
    picture = np.zeros((frames, height, 2 * height, 3), np.uint8)
    picture[:, :, :height, 0] = picture[:, :, height:, 2] = 200
    return picture


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_a_360_degree_video_comes_back_whole(tmp_path, rate):
    foa, path = tones(rate, 1.5), tmp_path / "sphere.mp4"
    media.export_360(path, sphere(), 4.0, foa, rate)
    heard, heard_rate = read_audio(path)
    assert heard.shape == (4, 72000)
    assert_same_channels(heard, heard_rate, foa, rate)
    video = read_video(path, rate=4)
    assert video.frames.shape == (6, 64, 128, 3) and video.codec == "h264"
    assert video.frames[0, 32, 20, 0] > 150 > 60 > video.frames[0, 32, 20, 2], "left stays left"
    assert [file.name for file in tmp_path.iterdir()] == ["sphere.mp4"]


def test_each_channel_is_coded_alone(tmp_path):
    rng = np.random.default_rng(0)
    for channel in range(4):
        foa = np.zeros((4, 48000), np.float32)
        foa[channel] = 0.2 * rng.standard_normal(48000)
        media.export_360(tmp_path / "one.mp4", sphere(4), 4.0, foa, 48000)
        power = np.square(read_audio(tmp_path / "one.mp4")[0]).mean(axis=1)
        assert power[channel] > 0.02 and np.delete(power, channel).max() < 1e-6 * power[channel]


def test_what_makes_no_360_degree_video_is_refused(tmp_path):
    foa = tones(48000, 1.5)
    good = {"path": tmp_path / "x.mp4", "panorama": sphere(), "video_rate": 4.0, "foa": foa, "rate": 48000}
    for wrong, message in [
        ({"path": tmp_path / "x.webm"}, r"\.mp4"), ({"panorama": sphere()[:, :, :100]}, "twice as wide"),
        ({"panorama": sphere(height=63)}, "even"), ({"panorama": sphere() / 255}, "uint8"),
        ({"panorama": sphere(9)}, "cut the longer"), ({"foa": foa[:, :30000]}, "cut the longer"),
        ({"foa": foa[:2]}, "4, N"), ({"foa": 9 * foa}, "clip"), ({"rate": 4000}, "8000"),
        ({"video_rate": 0}, "more than 0"),
    ]:
        with pytest.raises(MediaError, match=message):
            media.export_360(**{**good, **wrong})
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_does_not_read_back_is_not_left(tmp_path, monkeypatch):
    monkeypatch.setattr(media, "insert_spatial", lambda data: data)
    with pytest.raises(MediaError, match="read back differs"):
        media.export_360(tmp_path / "x.mp4", sphere(), 4.0, tones(48000, 1.5), 48000)
    assert list(tmp_path.iterdir()) == []
