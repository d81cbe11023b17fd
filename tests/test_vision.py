"""The patch energy map against a loop and the stored numbers; CLIP's tokens against the released recipe."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file

from visage_lite import towers
from visage_lite.presets import DATA_FOLDER, paper, toy
from visage_lite.scenes import KINDS, make_scene
from visage_lite.toy_clip import enlarge_patches, tokenise, toy_clip
from visage_lite.vision import (
    Vision,
    load_vision,
    normalise,
    patch_energy_map,
    resize_frames,
    spatial_score,
    temporal_score,
)

REFERENCE = Path(__file__).parent / "reference" / "patch_energy_map.npz"


def unit(vector: np.ndarray) -> np.ndarray:
    """At length one; zero stays zero."""
    return vector / max(np.linalg.norm(vector), 1e-12)


def loop_scores(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both scores, patch by patch: [F, 49, D] -> two [F, 7, 7]."""
    frames = len(tokens)
    grid = tokens.astype(np.float64).reshape(frames, 7, 7, -1)
    spatial, temporal = np.zeros((2, frames, 7, 7))
    for f in range(frames):
        for r in range(7):
            for c in range(7):
                near = [(r + a, c + b) for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1))]
                near = [grid[f, i, j] for i, j in near if 0 <= i < 7 and 0 <= j < 7]
                spatial[f, r, c] = np.linalg.norm(unit(grid[f, r, c]) - unit(np.mean(near, axis=0)))
                when = [grid[g, r, c] for g in (f - 1, f + 1) if 0 <= g < frames]
                middle = np.mean(when, axis=0) if when else np.zeros(grid.shape[-1])
                temporal[f, r, c] = np.linalg.norm(unit(grid[f, r, c]) - unit(middle))
    return spatial, temporal


def loop_energy(scores: list[np.ndarray], temperature: float, top_p: float) -> np.ndarray:
    """The energy map of one frame from its scores [49], with the patches left out one by one, smallest first."""

    def mean_softmax(keep: np.ndarray) -> np.ndarray:
        powers = [np.where(keep, np.exp(score / temperature), 0) for score in scores]
        return np.mean([power / power.sum() for power in powers], axis=0)

    keep, dropped = np.ones(49, dtype=bool), 0.0
    energy = mean_softmax(keep)
    for patch in np.argsort(energy):
        dropped += energy[patch]
        if dropped > 1 - top_p:
            break
        keep[patch] = False
    return mean_softmax(keep)


def test_stored_reference_numbers():
    stored = np.load(REFERENCE)
    tokens = torch.from_numpy(stored["patch_features"])
    np.testing.assert_allclose(spatial_score(tokens), stored["spatial_score"], atol=1e-5)
    np.testing.assert_allclose(temporal_score(tokens), stored["temporal_score"], atol=1e-5)
    np.testing.assert_allclose(patch_energy_map(tokens, top_p=None), stored["energy_map_unfiltered"], atol=1e-5)
    np.testing.assert_allclose(patch_energy_map(tokens), stored["energy_map"], atol=1e-5)


@pytest.mark.parametrize("frames, width, temperature, top_p", [(1, 5, 0.1, 0.7), (2, 64, 0.3, 0.5), (7, 33, 0.05, 0.9)])
def test_equals_the_loop(frames, width, temperature, top_p):
    tokens = np.random.default_rng(frames).normal(size=(frames, 49, width)).astype(np.float32)
    spatial, temporal = loop_scores(tokens)
    np.testing.assert_allclose(spatial_score(torch.from_numpy(tokens)), spatial, atol=1e-5)
    np.testing.assert_allclose(temporal_score(torch.from_numpy(tokens)), temporal, atol=1e-5)
    scores = zip(spatial.reshape(frames, 49), temporal.reshape(frames, 49))
    expected = [loop_energy([a, b], temperature, top_p) for a, b in scores]
    fast = patch_energy_map(torch.from_numpy(tokens), temperature, top_p)
    np.testing.assert_allclose(fast, np.array(expected), atol=2e-5)
    np.testing.assert_allclose(fast.sum(-1), 1.0, atol=1e-5)


def test_class_token_is_ignored_and_batches_are_independent():
    tokens = torch.randn(3, 4, 50, 8, generator=torch.Generator().manual_seed(0))
    batch = patch_energy_map(tokens)
    assert batch.shape == (3, 4, 49)
    for one, expected in zip(tokens, batch):
        torch.testing.assert_close(patch_energy_map(one[:, 1:]), expected)
    torch.testing.assert_close(patch_energy_map(5 * tokens), batch)  # length of a token does not matter


def test_one_odd_patch_is_the_hot_one():
    tokens = torch.ones(3, 49, 4)
    tokens[:, 17] = torch.tensor([1.0, -1.0, 1.0, -1.0])
    assert patch_energy_map(tokens).argmax(-1).tolist() == [17, 17, 17]


def test_wrong_shapes_raise():
    for shape in [(4, 48, 8), (50, 8), (2, 51, 8)]:
        with pytest.raises(ValueError, match="49 or 50"):
            patch_energy_map(torch.zeros(shape))
    with pytest.raises(ValueError, match="top_p"):
        patch_energy_map(torch.zeros(2, 49, 8), top_p=1.5)


def patched_recipe(tower: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """OpenAI's image tower with its last lines taken out, as the released recipe asks for: tokens [B, 50, width]."""
    x = tower.conv1(images).flatten(2).permute(0, 2, 1)
    x = torch.cat([tower.class_embedding.expand(len(x), 1, -1), x], dim=1) + tower.positional_embedding
    x = tower.ln_pre(x)
    for block in tower.transformer.resblocks:
        normed = block.ln_1(x)
        x = x + block.attn(normed, normed, normed, need_weights=False)[0]
        hidden = block.mlp.c_fc(block.ln_2(x))
        x = x + block.mlp.c_proj(hidden * torch.sigmoid(1.702 * hidden))  # QuickGELU
    return x


@pytest.fixture(scope="module")
def full_size(tmp_path_factory) -> tuple[Path, torch.nn.Module]:
    """CLIP at the published size with random weights, and the file that holds them."""
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-B-32-quickgelu", pretrained=None)
    path = tmp_path_factory.mktemp("clip") / "random.pt"
    torch.save({name: value for name, value in model.state_dict().items() if name.startswith("visual.")}, path)
    return path, model


def test_full_size_feature_and_tokens_from_one_pass(full_size):
    path, model = full_size
    vision = load_vision(paper(), path)
    assert "ViT-B-32-quickgelu" in vision.name
    frames = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    calls = []
    vision.tower.register_forward_hook(lambda *_: calls.append(1))
    clip, tokens = vision.tokens(frames)
    assert len(calls) == 1 and clip.shape == (3, 512) and tokens.shape == (3, 50, 768)
    mean, std = np.array(open_clip.OPENAI_DATASET_MEAN), np.array(open_clip.OPENAI_DATASET_STD)
    images = torch.from_numpy(((frames / 255 - mean) / std).astype(np.float32)).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = patched_recipe(model.visual, images)
        torch.testing.assert_close(tokens, expected, atol=2e-4, rtol=1e-4)
        finished = model.visual.ln_post(expected[:, 0]) @ model.visual.proj
        torch.testing.assert_close(clip, finished, atol=2e-4, rtol=1e-4)
        torch.testing.assert_close(clip, model.encode_image(images), atol=2e-4, rtol=1e-4)


def test_checkpoint_of_another_tower_is_refused(full_size, tmp_path):
    path, _ = full_size
    state = torch.load(path, weights_only=True)
    state.pop("visual.proj")
    torch.save(state, tmp_path / "broken.pt")
    with pytest.raises(ValueError, match="visual.proj"):
        load_vision(paper(), tmp_path / "broken.pt")
    with pytest.raises(ValueError, match="another image tower"):
        load_vision(toy(), path)


def test_missing_weights_say_what_to_do(tmp_path):
    with pytest.raises(ValueError, match='weights="openai"'):
        load_vision(paper())
    with pytest.raises(ValueError, match="no CLIP weights at"):
        load_vision(paper(), tmp_path / "nothing.pt")
    for name in ("text.pt", "text.safetensors"):
        (tmp_path / name).write_text("no weights at all")
        with pytest.raises(ValueError, match="no checkpoint"):
            load_vision(paper(), tmp_path / name)


def test_openai_weights_want_quickgelu(tmp_path):
    with pytest.raises(ValueError, match="QuickGELU"):
        load_vision(paper(), "openai", architecture="ViT-B-32")
    with zipfile.ZipFile(tmp_path / "ViT-B-32.pt", "w") as archive:
        archive.writestr("ViT-B-32/constants.pkl", b"")  # OpenAI's own file is TorchScript, which has this entry
    with pytest.raises(ValueError, match="QuickGELU"):
        load_vision(paper(), tmp_path / "ViT-B-32.pt", architecture="ViT-B-32")


def test_failed_download_is_one_clear_line(monkeypatch):
    def fail(*arguments, **options):
        raise OSError("no network")

    monkeypatch.setattr(towers.open_clip, "create_model", fail)
    with pytest.raises(ValueError, match="could not fetch"):
        load_vision(paper(), "openai")


def test_tower_without_patch_tokens_is_refused():
    with pytest.raises(ValueError, match="patch tokens"):
        Vision(torch.nn.Linear(2, 2), "something else")


@pytest.mark.parametrize("height, width", [(224, 224), (360, 640), (641, 361), (100, 80)])
def test_resize_cuts_the_centre_square(height, width):
    short = min(height, width)
    frame = np.zeros((height, width, 3), dtype=np.uint8)
    top, left = (height - short) // 2, (width - short) // 2
    frame[top : top + short, left : left + short] = 200
    frame[top : top + short // 2, left : left + short // 2] = 50  # upper left corner of the square
    small = resize_frames(np.stack([frame, frame]))
    assert small.shape == (2, 224, 224, 3) and small.dtype == np.uint8
    assert np.abs(small[0, 4:108, 4:108].astype(int) - 50).max() <= 2
    assert np.abs(small[0, 116:220, 4:220].astype(int) - 200).max() <= 2
    assert np.abs(small[1, 4:220, 116:220].astype(int) - 200).max() <= 2


def test_bad_frames_raise():
    toy_vision = Vision(toy_clip().visual, "untrained")
    for frames in (np.zeros((2, 224, 224, 3)), np.zeros((0, 224, 224, 3), np.uint8), np.zeros((224, 224, 3), np.uint8)):
        with pytest.raises(ValueError, match="uint8"):
            toy_vision.features(frames)


@pytest.fixture(scope="module")
def toy_vision() -> Vision:
    """The shipped toy CLIP."""
    return load_vision(toy())


def test_toy_says_its_name_and_its_shapes(toy_vision):
    assert "toy CLIP" in toy_vision.name
    frames = make_scene(1, duration_s=1.0).view()
    features = toy_vision.features(frames)
    assert features.clip.shape == (4, 64) and features.energy_map.shape == (4, 49)
    assert features.clip.dtype == features.energy_map.dtype == torch.float32
    other = make_scene(2, duration_s=1.0).view()
    batch = toy_vision.features(np.stack([frames, other]), batch_size=3)
    torch.testing.assert_close(batch.clip[0], features.clip, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(batch.energy_map[0], features.energy_map, atol=1e-4, rtol=1e-4)


def test_toy_weights_are_small():
    assert (DATA_FOLDER / "toy" / "clip.safetensors").stat().st_size < 3e6


def test_toy_hot_spot_lies_on_the_object(toy_vision):
    near = []
    for seed in range(500, 512):
        scene = make_scene(seed)
        left, up = scene.view_angles(scene.frame_times()).T
        column, row = 3.5 - 3.5 * np.tan(left), 3.5 - 3.5 * np.tan(up) / np.cos(left)
        hot = toy_vision.features(scene.view()).energy_map.argmax(-1).numpy()
        away = np.maximum(np.abs(hot // 7 + 0.5 - row), np.abs(hot % 7 + 0.5 - column))
        near.append(np.mean(away <= 1.5))
    assert np.mean(near) > 0.9


def test_toy_tells_the_kinds_apart(toy_vision):
    scenes = [make_scene(seed, kind=KINDS[seed % 6], duration_s=1.0) for seed in range(700, 772)]
    clip = np.stack([toy_vision.features(scene.view()).clip.mean(0).numpy() for scene in scenes])
    clip /= np.linalg.norm(clip, axis=-1, keepdims=True)
    kinds = np.array([KINDS.index(scene.kind) for scene in scenes])
    centres = np.stack([clip[:48][kinds[:48] == kind].mean(0) for kind in range(6)])
    assert np.mean((clip[48:] @ centres.T).argmax(-1) == kinds[48:]) > 0.8


def test_a_shrunk_clip_enlarged_sees_the_averages():
    torch.manual_seed(0)
    small, large = toy_clip(shrink=4).eval(), toy_clip().eval()
    large.load_state_dict(enlarge_patches(small.state_dict(), 4))
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        averages = torch.nn.functional.avg_pool2d(images, 4)
        torch.testing.assert_close(large.encode_image(images), small.encode_image(averages), atol=1e-5, rtol=1e-4)


def test_a_caption_lies_near_its_frame():
    model = toy_clip().eval()
    state = load_file(DATA_FOLDER / "toy" / "clip.safetensors")
    model.load_state_dict({name: value.float() for name, value in state.items()})
    scenes = [make_scene(seed) for seed in range(740, 760)]
    images = np.stack([scene.view()[4] for scene in scenes])
    with torch.no_grad():
        image = model.encode_image(normalise(torch.from_numpy(images)), normalize=True)
        text = model.encode_text(tokenise([scene.caption(1.0) for scene in scenes]), normalize=True)
    ranks = (image @ text.T).argsort(-1, descending=True)
    found = [own in best[:3].tolist() for own, best in enumerate(ranks)]
    assert np.mean(found) > 0.8


def test_captions_of_scenes_can_be_read():
    captions = [make_scene(seed).caption(0.5) for seed in range(50)]
    assert tokenise(captions).shape[0] == 50
    with pytest.raises(ValueError, match="cannot read"):
        tokenise(["a purple piano"])
