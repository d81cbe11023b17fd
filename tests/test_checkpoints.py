"""Weights in and out: the released files, our own, and what is said when a file is not right."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from visage_lite import checkpoints
from visage_lite.checkpoints import load, load_released, mono_to_ambisonic, save
from visage_lite.model import Visage
from visage_lite.presets import ModelConfig, paper
from visage_lite.released import CheckpointError, from_released_config, released_config, to_released

REFERENCE = Path(__file__).parent / "reference"
SMALL = ModelConfig(d_model=24, heads=3, ffn=40, encoder_layers=1, decoder_layers=2, codebooks=2, vocab=10, clip_dim=6,
                    max_frames=5, max_steps=21)


def released_folder(folder, weights, config, name="model.safetensors"):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if name.endswith(".bin"):
        torch.save(weights, folder / name)
    else:
        save_file({key: x.contiguous() for key, x in weights.items()}, folder / name)
    return folder


def reference_folder(folder, kind="ambisonics", name="model.safetensors", change=lambda weights: weights):
    weights = change(load_file(REFERENCE / f"{kind}_model.safetensors"))
    return released_folder(folder, weights, json.loads((REFERENCE / "ambisonics_config.json").read_text()), name)


def same(a, b):
    state, other = a.state_dict(), b.state_dict()
    return a.config == b.config and state.keys() == other.keys() and all(torch.equal(state[k], other[k]) for k in state)


@pytest.mark.parametrize("kind, channels", [("ambisonics", 4), ("mono", 1)])
def test_released_files_of_both_formats_load_with_nothing_left_over(tmp_path, kind, channels):
    model = load_released(reference_folder(tmp_path / "a", kind))
    assert model.config == ModelConfig(d_model=32, heads=4, ffn=64, encoder_layers=2, decoder_layers=2,
                                       channels=channels, vocab=48, clip_dim=24)
    assert not model.training
    folder = reference_folder(tmp_path / "b", kind, "pytorch_model.bin")
    assert same(model, load_released(str(folder))) and same(model, load_released(folder / "pytorch_model.bin"))
    theirs = load_file(REFERENCE / f"{kind}_model.safetensors")
    back = to_released(model)
    assert back.keys() == theirs.keys() and all(torch.equal(back[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("channels", [1, 4])
def test_released_form_round_trips_at_another_size(tmp_path, channels):
    model = Visage(replace(SMALL, channels=channels), seed=5)
    half = {name: x.half() for name, x in to_released(model).items()}
    folder = released_folder(tmp_path / "half", half, released_config(model.config))
    assert same(load_released(folder), model.half().float())  # stored in float16, computed with in float32


def test_the_published_config_and_the_full_size_names():
    published = {"d_clip": 512, "num_rvq": 9, "dac_vocab_size": 1024, "max_source_length": 20, "max_target_length": 861,
                 "d_model": 1024, "encoder_layers": 6, "decoder_layers": 12}  # without heads and feed-forward
    assert from_released_config(published, 4) == paper().model
    with torch.device("meta"):
        names = to_released(Visage(paper().model))
    assert sum(x.numel() for x in names.values()) == 358_626_868
    assert names["model.decoder.embed_dac.35.weight"].shape == (1088, 1024)
    assert names["model.decoder.layers.11.encoder_attn.v_proj.weight"].shape == (1024, 1024)


def test_one_error_lists_all_that_does_not_fit(tmp_path):
    def spoil(weights):
        del weights["dac_heads.7.bias"], weights["model.encoder.layers.1.self_attn.k_proj.weight"]
        weights["model.decoder.extra"] = torch.zeros(2)
        weights["null_embedding"] = torch.zeros(25)
        return weights

    with pytest.raises(CheckpointError) as error:
        load_released(reference_folder(tmp_path / "spoilt", change=spoil))
    message = str(error.value)
    assert "missing (2): dac_heads.7.bias, model.encoder.layers.1.self_attn.k_proj.weight" in message
    assert "left over (1): model.decoder.extra" in message
    assert "wrong shape (1): null_embedding is [25], wanted [24]" in message


def test_a_config_that_does_not_fit_is_refused(tmp_path):
    config = json.loads((REFERENCE / "ambisonics_config.json").read_text())
    for change, words in [({"decoder_attention_heads": 8}, "differ"), ({"activation_function": "relu"}, "relu"),
                          ({"dac_pad_token_id": 50}, "differ"), ({"d_model": "wide"}, "not a size"),
                          ({"d_model": 64}, "wrong shape"), ({"encoder_layers": 3}, "missing"),
                          ({"num_rvq": 8}, "left over")]:
        weights = load_file(REFERENCE / "ambisonics_model.safetensors")
        with pytest.raises(CheckpointError, match=words):
            load_released(released_folder(tmp_path / "other", weights, config | change))


class Harmful:
    def __reduce__(self):
        return (print, ("this file ran code",))


def test_bad_released_files_give_one_clear_error(tmp_path, capsys):
    with pytest.raises(CheckpointError, match="path that exists"):
        load_released(tmp_path / "nowhere")
    folder = reference_folder(tmp_path / "a")
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match="config.json"):
        load_released(folder)
    (folder / "config.json").write_text("{broken")
    with pytest.raises(CheckpointError, match="not JSON"):
        load_released(folder)
    folder = reference_folder(tmp_path / "b")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        load_released(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="neither model.safetensors nor pytorch_model.bin"):
        load_released(folder)
    for content in (pickle.dumps({"weights": Harmful()}, protocol=2), b"no archive"):
        (folder / "pytorch_model.bin").write_bytes(content)
        with pytest.raises(CheckpointError, match="damaged, or holds more than tensors"):
            load_released(folder)
    torch.save({"step": 3}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="state_dict"):
        load_released(folder)
    assert "ran code" not in capsys.readouterr().out


def test_hugging_face_is_asked_only_for_an_id(tmp_path, monkeypatch):
    folder, asked = reference_folder(tmp_path / "hub", name="pytorch_model.bin"), []

    def snapshot(repository, allow_patterns):
        asked.append((repository, allow_patterns))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert same(load_released("someone/visage"), load_released(folder))
    assert asked == [("someone/visage", ["config.json", name]) for name in ("model.safetensors", "pytorch_model.bin")]
    for path in ("/no/such/folder", "weights.safetensors", "./here/there", "a/b/c", tmp_path / "x"):
        with pytest.raises(CheckpointError, match="path that exists"):
            load_released(path)
    assert len(asked) == 2

    def offline(repository, allow_patterns):
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(CheckpointError, match="could not be fetched"):
        load_released("someone/visage")


def test_own_format_round_trips(tmp_path):
    model = Visage(SMALL, seed=1)
    save(model, tmp_path / "deep" / "model.safetensors")
    assert same(load(tmp_path / "deep" / "model.safetensors", SMALL), model)
    (tmp_path / "deep" / "plain").touch()
    assert (tmp_path / "deep" / "model.safetensors").stat().st_mode == (tmp_path / "deep" / "plain").stat().st_mode
    save(model, tmp_path / "half.safetensors", torch.float16)
    assert same(load(tmp_path / "half.safetensors"), model.half().float())
    assert sorted(x.name for x in tmp_path.iterdir()) == ["deep", "half.safetensors"]
    loaded = load(tmp_path / "half.safetensors", replace(SMALL, dropout=0.3))  # dropout changes no weight
    assert [x.requires_grad for x in loaded.parameters()] == [x.requires_grad for x in model.parameters()]


def test_own_format_refuses_what_is_not_right(tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(CheckpointError, match="no file"):
        load(path)
    save(Visage(SMALL, seed=1), path)
    with pytest.raises(CheckpointError, match=r"d_model 24 \(wanted 1024\)"):
        load(path, paper().model)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"something else", b""):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="not a whole safetensors file"):
            load(path)
    with pytest.raises(CheckpointError, match="load_released"):
        load(REFERENCE / "mono_model.safetensors")
    save_file(load_file(REFERENCE / "mono_model.safetensors"), path, metadata={"visage_lite": '{"width": 3}'})
    with pytest.raises(CheckpointError, match="another version"):
        load(path)


def test_a_crash_while_saving_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    save(Visage(SMALL, seed=1), path)
    before = path.read_bytes()

    def crash(state, temporary, metadata):
        Path(temporary).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(checkpoints, "save_file", crash)
    with pytest.raises(OSError, match="disk full"):
        save(Visage(SMALL, seed=2), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_mono_weights_start_an_ambisonic_model(tmp_path):
    mono, stored = load_released(reference_folder(tmp_path / "mono", "mono")), np.load(REFERENCE / "spatial_init.npz")
    model = mono_to_ambisonic(mono)
    assert np.array_equal(model.head_weight[:, 0].detach(), stored["head_rows"])
    assert np.array_equal(model.code_embedding[:, 3].detach(), stored["embed_rows"])
    for q in range(36):
        assert torch.equal(model.head_bias[q], mono.head_bias[q % 9])
    shared = mono.state_dict().keys() - {"code_embedding", "head_weight", "head_bias"}
    assert len(shared) > 50 and all(torch.equal(model.state_dict()[name], mono.state_dict()[name]) for name in shared)
    assert same(model, mono_to_ambisonic(mono)) and not same(model, mono_to_ambisonic(mono, seed=1))
    with pytest.raises(ValueError, match="already"):
        mono_to_ambisonic(model)
