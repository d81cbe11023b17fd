"""pipeline and outputs: the whole path with a small random model, and with the shipped toy weights."""

from __future__ import annotations

from dataclasses import replace

import av
import numpy as np
import pytest
import torch

from visage_lite import checkpoints, outputs, pipeline, presets
from visage_lite.ambisonics import encode, energy_map
from visage_lite.directions import Direction
from visage_lite.generation import no_guidance, two_way_guidance
from visage_lite.media import MediaError, read_audio, read_video
from visage_lite.model import Visage
from visage_lite.pipeline import Models, hear, load_models, see, video_to_ambisonics
from visage_lite.scenes import make_scene
from visage_lite.toy_codec import ToyCodec
from visage_lite.vision import VideoFeatures

LEFT, RIGHT = Direction.from_degrees(60, 0), Direction.from_degrees(-60, 0)


def write_video(path, pictures, rate):
    """An H.264 video of uint8 [F, H, W, 3]."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=rate, options={"crf": "12"})
        stream.height, stream.width, stream.pix_fmt = *pictures.shape[1:3], "yuv420p"
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return path


def noise(seconds, height=64, width=64, rate=10):
    return np.random.default_rng(0).integers(0, 255, (round(seconds * rate), height, width, 3), dtype=np.uint8)


class Glance:
    """Stands in for CLIP: the mean colours, and a flat map. Remembers what it was shown."""

    name = "a glance"

    def features(self, frames):
        self.shown = frames
        colours = torch.from_numpy(frames.astype(np.float32).mean((1, 2))) / 255
        return VideoFeatures(colours.repeat(1, 3)[:, :8], torch.full((len(frames), 49), 1 / 49))


@pytest.fixture
def small():
    """Models of a 1 s preset: random weights, a random toy codec, no CLIP."""
    preset = replace(
        presets.toy(), clip_s=1.0,
        model=replace(presets.toy().model, d_model=16, heads=2, ffn=32, encoder_layers=1, decoder_layers=1, clip_dim=8),
    )  # fmt: skip
    codec = ToyCodec(np.random.default_rng(0).normal(size=(3, 256, 320)).astype(np.float32))
    return Models(preset, Glance(), codec, Visage(preset.model, seed=0).eval(), "random model")


def test_four_channels_as_long_as_the_clip_and_the_same_for_the_same_seed(tmp_path, small):
    path, threads = write_video(tmp_path / "a.mp4", noise(2), 10), torch.get_num_threads()
    first, again, other = (
        video_to_ambisonics(path, LEFT, small, seed=seed, progress=False) for seed in (1, 1, 2)
    )  # fmt: skip
    assert first.foa.shape == (4, 16000) and first.foa.dtype == np.float32 and first.rate == 16000
    assert np.isfinite(first.foa).all()
    assert np.array_equal(first.foa, again.foa) and not np.array_equal(first.foa, other.foa)
    assert first.view.frames.shape == (4, 224, 224, 3) and first.energy_map.shape == (4, 49)
    assert first.view.camera == LEFT
    assert torch.get_num_threads() == threads


def test_direction_and_guidance_reach_the_model(tmp_path, small):
    path = write_video(tmp_path / "a.mp4", noise(1), 10)
    sounds = set()
    plain = no_guidance()
    for guidance, camera in ((plain, LEFT), (plain, RIGHT), (None, LEFT), (two_way_guidance(1, 1), LEFT)):
        sounds.add(video_to_ambisonics(path, camera, small, guidance=guidance, progress=False).foa.tobytes())
    assert len(sounds) == 4


@pytest.mark.parametrize(("seconds", "frames", "samples"), [(0.6, 3, 9600), (0.1, 1, 1600), (1.0, 4, 16000)])
def test_a_short_video_holds_its_last_frame_and_gets_sound_of_its_length(tmp_path, small, seconds, frames, samples):
    path = write_video(tmp_path / "a.mp4", noise(seconds), 10)
    generated = video_to_ambisonics(path, LEFT, small, progress=False)
    assert generated.foa.shape == (4, samples)
    assert len(generated.view.frames) == len(generated.energy_map) == frames
    shown = small.vision.shown
    assert shown.shape[0] == 4 and np.array_equal(shown[:frames], generated.view.frames)
    assert all(np.array_equal(frame, shown[frames - 1]) for frame in shown[frames:])
    assert any("last frame is held" in note for note in generated.notes) == (seconds < 1)


def test_a_long_video_is_used_from_the_start_asked_for(tmp_path, small):
    path = write_video(
        tmp_path / "a.mp4", np.repeat(np.arange(30, dtype=np.uint8) * 8, 64 * 64 * 3).reshape(30, 64, 64, 3), 10
    )
    generated = video_to_ambisonics(path, LEFT, small, start_s=1.5, progress=False)
    levels = generated.view.frames.mean((1, 2, 3)) / 8
    assert np.abs(levels - [15, 17, 20, 22]).max() < 0.6
    assert "length: of 3.00 s, the part from 1.5 to 2.5 s is used" in generated.notes


def test_the_view_is_the_centre_or_the_part_of_the_panorama(tmp_path, small):
    panorama = np.zeros((4, 64, 128, 3), np.uint8)
    panorama[:, :, 32:64, 0] = panorama[:, :, 64:96, 2] = 200  # left of the front red, right of it blue
    path = write_video(tmp_path / "a.mp4", panorama, 4)
    for camera, colour in ((Direction.from_degrees(45, 0), 0), (Direction.from_degrees(-45, 0), 2)):
        view = see(path, camera, small.preset, panorama=True)
        assert view.frames.shape == (4, 224, 224, 3) and view.panorama.shape == (448, 896, 3)
        assert view.frames[0, 60:-60, 60:-60].mean((0, 1)).argmax() == colour
    flat = see(path, LEFT, small.preset)
    assert (
        flat.frames[0, :, 10:100].mean((0, 1)).argmax() == 0 and flat.frames[0, :, -100:-10].mean((0, 1)).argmax() == 2
    )
    notes = " ".join(pipeline.view_notes(flat))
    assert "the central 64x64 of 128x64 h264, scaled to 224x224" in notes and "panorama option" in notes
    with pytest.raises(MediaError, match="twice as wide as high"):
        see(write_video(tmp_path / "b.mp4", noise(1), 10), LEFT, small.preset, panorama=True)


def test_notes_say_what_stands_in(small):
    notes = pipeline.stand_ins(small)
    assert notes[0] == "vision: a glance stands in for CLIP ViT-B/32"
    assert "toy codec" in notes[1] and "stands in for DAC" in notes[1]
    assert "random model" in notes[2] and "stands in for ViSAGe" in notes[2]


def test_models_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no preset 'huge'"):
        load_models("huge")
    with pytest.raises(ValueError, match="give a checkpoint .* and CLIP weights .* and DAC weights"):
        load_models("paper")
    with pytest.raises(ValueError, match="ships no weights: give CLIP weights .*, or download. and DAC weights"):
        load_models("paper", tmp_path)
    with pytest.raises(ValueError, match=r"a Direction, not 30: Direction.from_degrees\(azimuth, elevation\)"):
        video_to_ambisonics("v.mp4", 30)
    for change in ({"codebooks": 3}, {"clip_dim": 32}, {"channels": 1}, {"max_steps": 100}):
        model = Visage(replace(presets.toy().model, d_model=16, heads=2, ffn=32, **change), seed=0)
        checkpoints.save(model, tmp_path / "model.safetensors")
        name, size = next(iter(change.items()))
        with pytest.raises(ValueError, match=f"of another size than the preset 'toy': .*{name} {size}"):
            load_models("toy", tmp_path / "model.safetensors")
    (tmp_path / "noise.safetensors").write_bytes(b"noise" * 100)
    for path in (tmp_path / "none.safetensors", tmp_path / "noise.safetensors", tmp_path):
        with pytest.raises(ValueError):
            load_models("toy", path)


def test_a_model_of_another_width_may_be_used(tmp_path):
    model = Visage(replace(presets.toy().model, d_model=16, heads=2, ffn=32), seed=0)
    checkpoints.save(model, tmp_path / "mine.safetensors")
    models = load_models("toy", tmp_path / "mine.safetensors")
    assert models.model.config.d_model == 16 and models.model_name == "mine.safetensors"


# --- files


def test_outputs(tmp_path, small):
    path = write_video(tmp_path / "my video.mp4", noise(2), 10)
    generated = hear(see(path, LEFT, small.preset, start_s=0.5), small, progress=False)
    loud = replace(generated, foa=1.7 * generated.foa / np.abs(generated.foa).max())
    with outputs.staged(tmp_path / "new" / "out") as folder:
        written = outputs.write_outputs(loud, path, folder)
    out = tmp_path / "new" / "out"
    assert sorted(p.name for p in out.iterdir()) == sorted(written)
    foa, rate = read_audio(out / "my video_foa.wav")
    assert rate == 16000 and np.array_equal(foa, loud.foa)  # any level, not normalised
    stereo, _ = read_audio(out / "my video_binaural.wav")
    assert stereo.shape == (2, 16000)
    mixed, rate = read_audio(out / "my video_spatial.mp4")
    assert rate == 48000 and mixed.shape == (4, 48000)
    assert "lowered by 4.6 dB" in written["my video_spatial.mp4"]
    assert abs(read_video(out / "my video_spatial.mp4").duration_s - 1) < 0.11
    assert (out / "my video_energy.png").read_bytes().startswith(b"\x89PNG")
    assert "<title>my video.mp4, with the sound of a toy model" in (out / "my video_player.html").read_text()


def test_the_player_holds_the_first_minute_and_looks_where_the_camera_did(tmp_path, small):
    path = write_video(tmp_path / "a.mp4", noise(2), 10)
    generated = hear(see(path, LEFT, small.preset), small, progress=False)
    player = outputs.look_around(generated)
    assert player.yaw == pytest.approx(LEFT.azimuth) and player._facts["samples"] == generated.foa.shape[1]
    assert len(player._facts["picture_ends"]) == len(generated.view.frames)
    long = replace(generated, foa=np.tile(generated.foa, (1, 70)))
    assert outputs.look_around(long)._facts["samples"] == 60 * generated.rate
    sphere = np.zeros((32, 64, 3), np.uint8)
    player = outputs.look_around(replace(generated, view=replace(generated.view, panorama=sphere)))
    assert player._frame.shape == sphere.shape and player.yaw == pytest.approx(LEFT.azimuth)


def test_what_a_toy_plays_and_how_low_it_is_are_said(tmp_path, small):
    path = write_video(tmp_path / "a.mp4", noise(1), 10)
    generated = hear(see(path, LEFT, small.preset), small, progress=False)
    for kind, low in (("engine", True), ("bird", False)):
        foa = make_scene(3, kind=kind, moving=False).foa(16000)
        said = outputs.character(replace(generated, foa=foa))
        assert f"most like {kind};" in said[0] and "the toy model knows bell, " in said[0]
        assert [line.startswith("sound: low, 90 % of it below ") for line in said[1:]] == [True] * low
    assert outputs.character(replace(generated, foa=np.zeros((4, 16000), np.float32))) == []
    sphere = outputs.look_around(generated)
    assert sphere.clip == "made by the toy model"


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError, OSError, MediaError])
def test_all_files_or_none(tmp_path, failure):
    with pytest.raises(MediaError if failure is OSError else failure), outputs.staged(tmp_path / "a" / "b") as folder:
        (folder / "half").write_text("half")
        raise failure("stop")
    assert not list(tmp_path.iterdir())
    (tmp_path / "old").write_text("old")
    with pytest.raises(failure if failure is not OSError else MediaError), outputs.staged(tmp_path) as folder:
        (folder / "old").write_text("new")
        raise failure("stop")
    assert (tmp_path / "old").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_folders_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(MediaError, match="cannot be written"), outputs.staged(folder):
            pytest.fail("the folder was yielded")


@pytest.mark.parametrize("degrees, side", [((61, 21), " (left)"), ((-119, -33), " (right)"), ((0, 1), "")])
def test_the_line_on_where_the_sound_comes_from(small, degrees, side):
    source = Direction.from_degrees(*degrees)
    foa = encode(np.random.default_rng(0).normal(size=16000), source.azimuth, source.elevation)
    peak = outputs.loudest(foa)
    assert np.degrees(peak.angle_to(source)) < 1.5
    view = pipeline.View(np.zeros((4, 8, 8, 3), np.uint8), source, None, None, small.preset)
    line = outputs.found(pipeline.Generated(foa, 16000, view, np.zeros((4, 49)), ()))
    assert f"azimuth {degrees[0]:+d}{side} elevation {degrees[1]:+d} on average" in line and "0 degrees away" in line
    silent = pipeline.Generated(np.zeros((4, 10)), 16000, view, np.zeros((4, 49)), ())
    assert silent.direction is None and "no direction" in outputs.found(silent)


# --- with the shipped weights


@pytest.fixture(scope="module")
def toy():
    return load_models("toy")


@pytest.fixture(scope="module")
def scene_video(tmp_path_factory):
    """A scene as its camera sees it, and as a panorama."""
    folder, scene = tmp_path_factory.mktemp("scene"), make_scene(990_001)
    write_video(folder / "view.mp4", scene.view(224), 4)
    write_video(folder / "panorama.mp4", scene.panorama(), 4)
    return scene, folder


def test_sound_comes_from_the_side_to_which_the_camera_looks(toy, scene_video):
    """The done-when: azimuth +60 gives energy on the left, -60 on the right."""
    for camera, sign in ((LEFT, 1), (RIGHT, -1)):
        generated = video_to_ambisonics(scene_video[1] / "view.mp4", camera, toy, progress=False)
        levels = energy_map(generated.foa) ** 2
        left, right = levels[:, :90].sum(), levels[:, 90:].sum()
        assert sign * (left - right) > 0.1 * (left + right)
        assert sign * outputs.loudest(generated.foa).azimuth > 0
        assert np.degrees(generated.direction.angle_to(camera)) < 45


def test_a_source_in_a_panorama_is_found(toy, scene_video):
    """The camera looks at the source; behind, to the right and below, where a mistaken sign would be far off."""
    scene, folder = scene_video
    middle = np.array(scene.duration_s / 2)
    source = Direction(float(scene.azimuth(middle)), float(scene.elevation(middle)))
    view = see(folder / "panorama.mp4", source, toy.preset, panorama=True)
    found = [hear(view, toy, seed=seed, progress=False).direction for seed in range(3)]
    assert np.median(np.degrees([each.angle_to(source) for each in found])) < 25
