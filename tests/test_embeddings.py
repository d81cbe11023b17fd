"""What FAD and KLD listen with: the listener, VGGish against loops, Cnn14 against audioldm_eval, files refused."""

import pickle
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from visage_lite.embeddings import (
    CNN14,
    VGGISH,
    AudioldmPieces,
    Embedding,
    ListenerEmbedding,
    Vggish,
    audioldm_pieces,
    read_weights,
    vggish_examples,
)  # fmt: skip
from visage_lite.listener import hear_kinds, load_listener
from visage_lite.presets import DATA_FOLDER
from visage_lite.scenes import make_scene

torch.set_num_threads(1)
SHIPPED = DATA_FOLDER / "toy" / "listener.safetensors"


def test_the_listener_hears_as_hear_kinds():
    embedding, sound = ListenerEmbedding(), make_scene(3).foa(16_000)[0]
    assert isinstance(embedding, Embedding) and "toy listener" in embedding.name and embedding.sample_rate == 16_000
    embeddings, probabilities = embedding.hear(sound)
    wanted = hear_kinds(load_listener(), [sound])
    np.testing.assert_array_equal(embeddings, wanted.embeddings)
    np.testing.assert_array_equal(probabilities, wanted.probabilities[0])
    assert embeddings.shape == (1, 64) and probabilities.shape == (12,)


def test_an_embedding_is_small_for_other_processes_and_hears_the_same_there():
    sent = pickle.dumps(ListenerEmbedding())
    assert len(sent) < 2000
    sound = np.random.default_rng(0).standard_normal(8000)
    for one, other in zip(ListenerEmbedding().hear(sound), pickle.loads(sent).hear(sound)):
        np.testing.assert_array_equal(one, other)


def test_other_weights_have_another_digest_and_are_read_again(tmp_path):
    path = tmp_path / "listener.safetensors"
    path.write_bytes(SHIPPED.read_bytes())
    before, sound = ListenerEmbedding(path), np.random.default_rng(0).standard_normal(8000)
    heard = before.hear(sound)[0]
    assert before.digest == ListenerEmbedding().digest  # the content counts, not the place
    kinds = " ".join(load_listener().kinds)
    save_file({name: 2 * x for name, x in load_file(path).items()}, path, metadata={"kinds": kinds})
    after = ListenerEmbedding(path)
    assert after.digest != before.digest and not np.allclose(after.hear(sound)[0], heard)


def test_what_cannot_be_heard_raises(tmp_path):
    for wrong in (np.zeros(100), np.zeros((1, 8000)), np.full(8000, np.nan)):
        with pytest.raises(ValueError, match="finite sound"):
            ListenerEmbedding().hear(wrong)
    with pytest.raises(FileNotFoundError, match="train_listener"):
        ListenerEmbedding(tmp_path / "none.safetensors")


def mel_by_loop(magnitudes):
    """64 triangles over mel from 257 magnitudes, band by band and bin by bin."""
    def to_mel(hz):
        return 1127 * np.log(1 + hz / 700)

    edges = np.linspace(to_mel(125), to_mel(7500), 66)
    bands = np.zeros(64)
    for band in range(64):
        left, middle, right = edges[band : band + 3]
        for number in range(1, 257):
            place = to_mel(number * 8000 / 256)
            weight = min((place - left) / (middle - left), (right - place) / (right - middle))
            bands[band] += max(0.0, weight) * magnitudes[number]
    return bands


def test_vggish_looks_at_what_its_paper_says():
    rng = np.random.default_rng(1)
    sound = rng.standard_normal(16_000 * 2 + 100) * np.linspace(0, 1, 32_100)
    examples = vggish_examples(sound)
    assert examples.shape == (2, 1, 96, 64) and examples.dtype == torch.float32
    window = [0.5 - 0.5 * np.cos(2 * np.pi * n / 400) for n in range(400)]
    for frame in (0, 57, 95, 96, 191):
        piece = sound[160 * frame : 160 * frame + 400] * window
        magnitudes = np.abs(np.fft.fft(piece, 512))[:257]
        wanted = np.log(mel_by_loop(magnitudes) + 0.01)
        np.testing.assert_allclose(examples[frame // 96, 0, frame % 96], wanted, rtol=1e-5, atol=1e-5)
    assert len(vggish_examples(np.zeros(15_600))) == 1 and len(vggish_examples(np.zeros(15_599))) == 0
    assert torch.all(vggish_examples(np.zeros(15_600)) == np.float32(np.log(0.01)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Both networks at full size with random weights, as the published files hold them."""
    from audioldm_eval.feature_extractors.panns.models import Cnn14_no_specaug

    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(Vggish().state_dict(), folder / VGGISH)
        state = Cnn14_no_specaug(16_000, 512, 160, 64, 50, 8000, 527).state_dict()
        state["bn0.running_mean"] -= 20  # decibels: without it a random network hears the same in all
        state["fc_audioset.weight"] *= 1000
        torch.save({"iteration": 1, "model": state, "sampler": {"queue": np.arange(3)}}, folder / CNN14)
    yield folder
    for name in (VGGISH, CNN14):
        (folder / name).unlink()  # 600 MB


@pytest.fixture(scope="module")
def sounds():
    rng = np.random.default_rng(2)
    return [rng.standard_normal(n) * 0.1 * np.sin(np.arange(n) / 1000) + 0.01 for n in (40_000, 20_000)]


def test_the_names_and_sizes_of_vggish_are_those_of_torchvggish(folder):
    state = torch.load(folder / VGGISH, weights_only=True)
    assert sum(x.numel() for x in state.values()) == 72_141_184
    layers = [*(f"features.{i}" for i in (0, 3, 6, 8, 11, 13)), *(f"embeddings.{i}" for i in (0, 2, 4))]
    assert set(state) == {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}


def test_vggish_embeddings_equal_its_layers_one_by_one(folder, sounds):
    state = torch.load(folder / VGGISH, weights_only=True)
    for sound, count in zip(sounds, (2, 1)):
        x = vggish_examples(sound)
        for layer, pool in ((0, True), (3, True), (6, False), (8, True), (11, False), (13, True)):
            x = F.relu(F.conv2d(x, state[f"features.{layer}.weight"], state[f"features.{layer}.bias"], padding=1))
            x = F.max_pool2d(x, 2) if pool else x
        x = torch.stack([x[:, :, i, j] for i in range(6) for j in range(4)], 1).flatten(1)  # channels last
        for layer in (0, 2, 4):
            x = F.linear(x, state[f"embeddings.{layer}.weight"], state[f"embeddings.{layer}.bias"])
            x = F.relu(x) if layer < 4 else x
        embeddings, _ = audioldm_pieces(folder).hear(sound)
        assert embeddings.shape == (count, 128) and embeddings.min() < 0  # before the last activation
        np.testing.assert_allclose(embeddings, x, rtol=1e-4, atol=1e-5)


def test_probabilities_equal_those_of_audioldm_evals_own_network(folder, sounds, tmp_path, monkeypatch):
    """The class that its EvaluationHelper uses, given the weights where it looks for them."""
    from audioldm_eval.feature_extractors.panns import Cnn14

    (tmp_path / "ckpt").mkdir()
    for name in (CNN14, "Cnn14_mAP=0.431.pth"):  # without the second it would fetch both
        (tmp_path / "ckpt" / name).symlink_to(folder / CNN14)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch, "load", partial(torch.load, weights_only=False))
    theirs = Cnn14(["2048", "logits"], 16_000, 512, 160, 64, 50, 8000, 527).eval()
    monkeypatch.undo()
    for sound in sounds:
        wave = torch.from_numpy(sound).float()[None]
        wave = wave - wave.mean()
        wave = F.pad(wave, (0, max(0, 32_000 - wave.shape[1])))
        with torch.no_grad():
            wanted = theirs(wave)["logits"].softmax(1)[0]
        _, probabilities = audioldm_pieces(folder).hear(sound)
        assert probabilities.shape == (527,) and probabilities.max() > 2 / 527
        np.testing.assert_allclose(probabilities, wanted, rtol=1e-4, atol=1e-7)


def test_pieces_say_what_they_are_and_are_small_for_other_processes(folder):
    pieces = audioldm_pieces(folder)
    assert isinstance(pieces, Embedding) and "no PaSST" in pieces.name and pieces.sample_rate == 16_000
    assert len(pickle.dumps(pieces)) < 2000
    with pytest.raises(ValueError, match="15600"):
        pieces.hear(np.zeros(15_599))


def test_missing_weights_are_named_with_their_origin(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{VGGISH} .from github.*{CNN14} .from zenodo.*ListenerEmbedding"):
        audioldm_pieces(tmp_path)
    (tmp_path / VGGISH).touch()
    with pytest.raises(FileNotFoundError, match="has no Cnn14"):
        audioldm_pieces(tmp_path)


def test_damaged_or_foreign_weights_are_refused(tmp_path):
    (tmp_path / VGGISH).write_bytes(b"no archive")
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / CNN14)
    with pytest.raises(ValueError, match="damaged"):
        AudioldmPieces(tmp_path).hear(np.zeros(16_000))
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / VGGISH)
    with pytest.raises(ValueError, match="another network"):
        AudioldmPieces(tmp_path).hear(np.zeros(16_000))


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_weights_are_read_without_running_what_they_hold(tmp_path):
    torch.save({"model": {"x": torch.ones(1)}, "more": Trap(tmp_path / "sprung")}, tmp_path / CNN14)
    with pytest.raises(ValueError, match="more than weights"):
        read_weights(tmp_path / CNN14)
    assert not (tmp_path / "sprung").exists()


def test_arrays_of_an_older_numpy_may_stand_beside_the_weights(tmp_path):
    """PANNs' files hold the state of the sampler, written when NumPy's modules had other names."""
    beside = {"queue": np.arange(3), "rate": np.float64(0.1), "names": np.zeros(2, np.float32)}
    torch.save({"model": {"x": torch.ones(1)}, "sampler": beside}, tmp_path / "new.pth")
    with zipfile.ZipFile(tmp_path / "new.pth") as new, zipfile.ZipFile(tmp_path / CNN14, "w") as old:
        for entry in new.infolist():
            old.writestr(entry.filename, new.read(entry).replace(b"numpy._core.", b"numpy.core."))
    assert torch.equal(read_weights(tmp_path / CNN14)["x"], torch.ones(1))
