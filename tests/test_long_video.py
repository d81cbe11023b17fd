"""Long videos: windows that go on from one another, one stream of codes, nothing that grows with the length."""

from __future__ import annotations

import tracemalloc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_generation import GREEDY, codes_of
from test_generation import small as random_model
from test_pipeline import LEFT, Glance, noise, small, write_video  # noqa: F401
from test_streaming import same

from visage_lite import generation, long_video, outputs
from visage_lite.ambisonics import intensity_direction
from visage_lite.decoding import Prepared
from visage_lite.directions import Direction
from visage_lite.generation import Sampling, generate_steps, joint_guidance, no_guidance
from visage_lite.long_video import Window, hear_whole, stream, views, window_codes
from visage_lite.media import read_audio
from visage_lite.pattern import Pattern
from visage_lite.pipeline import hear, load_models, see, told
from visage_lite.scenes import make_scene


def film(path, seconds, rate=20):
    """A video whose picture tells its time by its brightness, see `brightness`; and noise."""
    pictures = noise(seconds, rate=rate) // 16
    times = np.arange(len(pictures)) / rate
    return write_video(path, pictures + brightness(times).astype(np.uint8)[:, None, None, None], rate)


def brightness(times):
    return 40 + 40 * times % 160


# ---- windows of codes


def test_a_window_goes_on_from_the_codes_of_the_one_before():
    model, conditions = random_model(clips=1)
    _, others = random_model(clips=1, seed=1)
    windows = [Window(conditions, 0, 6), Window(others, 4, 10), Window(conditions, 9, 12)]
    got = torch.stack(list(window_codes(model, windows, 6, joint_guidance(1.0), GREEDY)), dim=-1)
    assert got.shape == (1, 4, 3, 12) and torch.equal(got[..., :6], codes_of(model, conditions, joint_guidance(1.0)))
    for told_, begin, end, given in ((others, 4, 10, 2), (conditions, 9, 12, 1)):
        known = got[..., begin : begin + given]
        steps = generate_steps(model, *told_, 6, joint_guidance(1.0), GREEDY, known=known)
        alone = Pattern(4, 3).revert(torch.stack(list(steps), dim=1))
        assert torch.equal(got[..., begin:end], alone[..., : end - begin])


def test_windows_that_cannot_go_on_are_refused():
    model, conditions = random_model(clips=1)
    for second in (Window(conditions, 7, 9), Window(conditions, -1, 4), Window(conditions, 4, 11)):
        with pytest.raises(ValueError, match="6 frames are made, 6 kept: no window"):
            list(window_codes(model, [Window(conditions, 0, 6), second], 6, no_guidance(), GREEDY))


# ---- windows of a video


@pytest.mark.parametrize("seconds, starts", [
    (0.6, [0]), (1.0, [0]), (1.3, [0, 0.31]), (1.75, [0, 0.75]), (2.5, [0, 0.75, 1.5]), (3.0, [0, 0.75, 1.5, 2.01]),
])  # fmt: skip
def test_views_overlap_and_end_with_the_video(tmp_path, small, seconds, starts):  # noqa: F811
    seen = list(views(see(film(tmp_path / "a.mp4", seconds), LEFT, small.preset), 0.25))
    assert [view.video.start_s for view in seen] == pytest.approx(starts)
    assert [len(view.frames) for view in seen] == [min(4, int(np.ceil(4 * seconds)))] * len(starts)
    assert seen[-1].video.start_s + seen[-1].video.duration_s == pytest.approx(seconds)
    for view in seen:
        times = np.floor(20 * (view.video.start_s + np.arange(len(view.frames)) / 4) + 0.1) / 20
        assert np.abs(np.median(view.frames, axis=(1, 2, 3)) - 8 - brightness(times)).max() < 4


def test_an_overlap_is_at_least_a_frame_and_less_than_a_clip(tmp_path, small):  # noqa: F811
    view = see(film(tmp_path / "a.mp4", 1), LEFT, small.preset)
    for overlap_s in (0, 0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match=r"overlap_s must lie in \[0.25, 1\)"):
            list(stream(view, small, overlap_s=overlap_s))


@pytest.mark.parametrize("seconds", [0.6, 1.0, 1.3, 2.53, 3.0])
@pytest.mark.parametrize("start_s", [0.0, 0.33])
def test_the_sound_is_as_long_as_the_video_and_one_stream_of_codes(
    tmp_path, small, monkeypatch, seconds, start_s  # noqa: F811
):  # fmt: skip
    """Sample by sample it is the decoded sound of all codes at once, so there is nothing at a join that could click."""
    kept, made = [], long_video.window_codes
    monkeypatch.setattr(
        long_video, "window_codes", lambda *inputs: (kept.append(each) or each for each in made(*inputs))
    )
    video = film(tmp_path / "a.mp4", seconds, rate=100 if seconds == 2.53 else 20)
    view = see(video, LEFT, small.preset, start_s=start_s)
    length_s = view.video.source_s - start_s
    foa = np.concatenate(list(stream(view, small, overlap_s=0.25)), axis=1)
    assert foa.shape == (4, round(length_s * 16000)) and foa.dtype == np.float32
    assert len(kept) == np.ceil(round(length_s * 16000) / 320)
    whole = small.codec.decode(torch.stack(kept, dim=-1)[0].numpy())
    assert same(foa, whole[:, : foa.shape[1]])


def test_windows_of_a_codec_whose_seconds_are_no_whole_frames_stay_in_time(tmp_path, small):  # noqa: F811
    """DAC has 86.13 frames a second, of which a clip uses 86: counted by 86, a minute of sound would lag by 93 ms."""
    codec = replace(small.preset.codec, hop=300, frame_rate=53)  # 53.33 frames a second
    models = replace(small, preset=replace(small.preset, codec=codec))
    models.codec.hop, models.codec.frame_rate = 300, 53
    begun = []
    models.codec.decode = lambda codes: np.zeros((4, codes.shape[-1] * 300), np.float32)
    view = see(film(tmp_path / "a.mp4", 4), LEFT, models.preset)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_video, "Window", lambda *each: begun.append(each[1]) or Window(*each))
        foa = np.concatenate(list(stream(view, models, overlap_s=0.25)), axis=1)
    assert begun == [0, 40, 80, 120, 160]  # every 0.75 s; counted by 53 a second the last would be 159
    assert 4 * 16000 - 300 < foa.shape[1] <= 4 * 16000


def test_seeds_guidance_and_number_types_reach_every_window(tmp_path, small):  # noqa: F811
    view = see(film(tmp_path / "a.mp4", 2), LEFT, small.preset)
    run = lambda **options: np.concatenate(list(stream(view, small, overlap_s=0.25, **options)), axis=1)  # noqa: E731
    first = run(seed=1)
    assert same(first, run(seed=1, piece_s=0.5)) and not np.array_equal(first, run(seed=2))
    assert not np.array_equal(first[:, 20000:], run(seed=1, guidance=no_guidance())[:, 20000:])
    for dtype in ("bfloat16", "int8"):
        assert run(seed=1, dtype=dtype, sampling=Sampling(greedy=True)).shape == first.shape


# ---- bounds


def test_nothing_grows_with_the_length(tmp_path, small, monkeypatch):  # noqa: F811
    """Caches have the size of one window, one is alive at a time, and three times the video takes no more memory."""
    begin, sizes, alive = Prepared.begin, set(), []

    def counted(prepared, *inputs):
        assert sum(session() is not None for session in alive) <= 1
        session = begin(prepared, *inputs)
        sizes.add(tuple(session.cache.shape))
        alive.append(weakref.ref(session))
        return session

    monkeypatch.setattr(Prepared, "begin", counted)
    peaks = []
    for seconds in (1, 3, 9):
        view = see(film(tmp_path / f"{seconds}.mp4", seconds), LEFT, small.preset)
        tracemalloc.start()
        for _ in stream(view, small, no_guidance(), overlap_s=0.25):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert len(sizes) == 1 and next(iter(sizes))[-2] == 101 and len(alive) > 14
    assert peaks[2] < 1.2 * peaks[1]


def test_pieces_are_written_as_they_come(tmp_path, small):  # noqa: F811
    view = see(film(tmp_path / "a.mp4", 2), LEFT, small.preset)
    outputs.write_pieces(tmp_path / "a.wav", stream(view, small, overlap_s=0.25), 16000)
    foa, rate = read_audio(tmp_path / "a.wav")
    assert rate == 16000 and np.array_equal(foa, np.concatenate(list(stream(view, small, overlap_s=0.25)), axis=1))
    with pytest.raises(ZeroDivisionError):
        outputs.write_pieces(tmp_path / "b.wav", (1 / 0 for _ in range(1)), 16000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "a.wav"]


# ---- in one piece, and a camera that turns


def test_the_whole_of_a_clip_is_the_clip(tmp_path, small):  # noqa: F811
    view = see(film(tmp_path / "a.mp4", 1), LEFT, small.preset)
    whole = hear_whole(view, small, seed=3, progress=False, overlap_s=0.25)
    clip = hear(view, small, seed=3, progress=False)
    assert same(whole.foa, clip.foa) and whole.notes == clip.notes
    assert np.array_equal(whole.energy_map, clip.energy_map) and whole.view.video.duration_s == 1


def test_the_whole_of_a_long_video_shows_its_middle(tmp_path, small, capsys):  # noqa: F811
    view = see(film(tmp_path / "a.mp4", 4), LEFT, small.preset, start_s=1)
    long = hear_whole(view, small, progress=True, overlap_s=0.25)
    assert long.foa.shape == (4, 48000) and "3.0/3.0 s" in capsys.readouterr().err
    assert (long.view.video.start_s, long.view.video.duration_s) == (1, 3) and len(long.view.frames) == 4
    assert abs(np.median(long.view.frames[0]) - 8 - brightness(2.0)) < 4
    assert not any("length" in note for note in long.notes)


def test_a_camera_that_turns_is_told_frame_by_frame(tmp_path, small):  # noqa: F811
    panorama = np.zeros((30, 64, 128, 3), np.uint8)
    panorama[:, :, 32:64, 0] = panorama[:, :, 64:96, 2] = 200  # left of the front red, right of it blue
    path = write_video(tmp_path / "a.mp4", panorama, 10)
    turning = lambda seconds: Direction.from_degrees(55 - 60 * seconds, 0)  # noqa: E731
    seen = list(views(see(path, turning, small.preset, panorama=True), 0.25))
    assert [view.video.start_s for view in seen] == pytest.approx([0, 0.75, 1.5, 2.01])
    for view in seen:
        direction = told(view, Glance())[2]
        times = view.video.start_s + np.arange(4) / 4
        assert direction.shape == (1, 4, 3)
        assert np.allclose(direction[0], np.stack([turning(time).to_model_input() for time in times]))
        assert view.camera == turning(view.video.start_s + view.video.duration_s / 2)
    assert [frame[100:124, 100:124].mean((0, 1)).argmax() for frame in seen[1].frames] == [0, 2, 2, 2]
    still = lambda seconds: LEFT  # noqa: E731
    alike = [hear(see(path, camera, small.preset, True), small, progress=False).foa for camera in (still, LEFT)]
    assert np.array_equal(*alike)
    assert not np.array_equal(hear(see(path, turning, small.preset, True), small, progress=False).foa, alike[0])


# ---- with the shipped weights


def test_level_and_direction_hold_across_a_join():
    """A scene played forwards and backwards: the second window keeps the level, the place, and the smoothness."""
    models, scene = load_models("toy"), make_scene(990_001)
    vision = models.vision
    frames = scene.view(224)
    there, back = (vision.features(each) for each in (frames, frames[::-1].copy()))
    direction = torch.from_numpy(scene.camera.to_model_input())[None]
    windows = [
        Window((each.clip[None], each.energy_map[None], direction), begin, begin + 250)
        for each, begin in ((there, 0), (back, 200))
    ]
    jumps, angles = [], []
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        sampling = Sampling(temperature=models.preset.temperature, top_k=models.preset.top_k)
        codes = window_codes(models.model, windows, 250, joint_guidance(1.0), sampling, generator)
        foa = models.codec.decode(torch.stack(list(codes), dim=-1)[0].numpy())
        before, after = foa[:, 48000:80000], foa[:, 80000:112000]  # the join is at 5 s
        jumps.append(10 * np.log10((after[0] ** 2).mean() / (before[0] ** 2).mean()))
        cosine = intensity_direction(before) @ intensity_direction(after)
        angles.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
        rough = np.abs(np.diff(foa[0], 2))
        assert rough[79980:80020].max() <= rough[:79000].max()
    assert abs(np.median(jumps)) < 6 and np.median(angles) < 30
    assert generation.Sampling is Sampling  # moved to `sampling`, still found where it was
