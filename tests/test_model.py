"""The model against the released code's numbers, and at other sizes against PyTorch's own transformer layers."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from visage_lite.checkpoints import load_released
from visage_lite.layers import Dropout, GeluLinear
from visage_lite.model import Visage, embedding_rows
from visage_lite.pattern import Pattern
from visage_lite.presets import ModelConfig, paper

REFERENCE = Path(__file__).parent / "reference"
SMALL = ModelConfig(d_model=48, heads=6, ffn=80, encoder_layers=3, decoder_layers=2, codebooks=3, vocab=70, clip_dim=10,
                    patches=9, max_frames=8, max_steps=40)


@pytest.fixture(scope="module", params=["ambisonics", "mono"])
def stored(request, tmp_path_factory):
    """A released model, its inputs (energy map and direction None in mono) and the numbers it gave."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "config.json").write_bytes((REFERENCE / "ambisonics_config.json").read_bytes())
    (folder / "model.safetensors").write_bytes((REFERENCE / f"{request.param}_model.safetensors").read_bytes())
    numbers = {name: torch.from_numpy(x) for name, x in np.load(REFERENCE / f"{request.param}_model.npz").items()
               if x.dtype.kind in "fi"}
    conditions = [numbers.get(name) for name in ("clip", "energy_map", "direction")]
    return load_released(folder), conditions, numbers


def small_model(channels=4, seed=0):
    """A model whose every weight is random, biases, norms and nulls too, and inputs for it."""
    model = Visage(replace(SMALL, channels=channels), seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        weight.data += 0.1 * torch.randn(weight.shape, generator=generator)
    clip, energy_map = torch.randn(2, 5, 10, generator=generator), torch.rand(2, 5, 9, generator=generator)
    direction = F.normalize(torch.randn(2, 3, generator=generator), dim=-1)
    codes = torch.randint(0, 70, (2, channels, 3, 6), generator=generator)
    ids = Pattern(channels, 3).build(codes, 70)
    conditions = (clip, energy_map, direction) if channels > 1 else (clip, None, None)
    return model, conditions, ids, Pattern(channels, 3).labels(ids, 70)


def pytorch_layer(layer, config):
    """The same layer as PyTorch ships it, with our weights copied in."""
    kind = nn.TransformerDecoderLayer if layer.cross else nn.TransformerEncoderLayer
    theirs = kind(config.d_model, config.heads, config.ffn, 0.0, "gelu", batch_first=True, norm_first=False).eval()
    pairs = {"self_attn.in_proj_": layer.self_qkv, "self_attn.out_proj.": layer.self_out, "linear1.": layer.ffn_in,
             "linear2.": layer.ffn_out, "norm1.": layer.self_norm, "norm2.": layer.ffn_norm}
    if layer.cross:
        qkv = [(layer.cross_q.weight, layer.cross_kv.weight), (layer.cross_q.bias, layer.cross_kv.bias)]
        both = {kind: torch.cat(parts) for kind, parts in zip(("weight", "bias"), qkv)}
        pairs |= {"multihead_attn.out_proj.": layer.cross_out, "norm2.": layer.cross_norm, "norm3.": layer.ffn_norm}
    state = {name + kind: getattr(part, kind) for name, part in pairs.items() for kind in ("weight", "bias")}
    if layer.cross:
        state |= {f"multihead_attn.in_proj_{kind}": x for kind, x in both.items()}
    theirs.load_state_dict(state)
    return theirs


def oracle(model, clip, energy_map, direction, ids):
    """Memory and logits by loops over frames and streams, and PyTorch's layers."""
    config, frames = model.config, []
    for f in range(clip.shape[1]):
        frame = model.clip_projection(clip[:, f]) + model.encoder_positions[f]
        if energy_map is not None:
            frame = frame + model.energy_projection(energy_map[:, f]) + model.direction_projection(direction)
        frames.append(frame)
    ends = [x.expand(len(clip), -1) for x in (model.encoder_bos, model.encoder_eos)]
    memory = model.encoder_norm(torch.stack([ends[0], *frames, ends[1]], dim=1))
    for layer in model.encoder_layers:
        memory = pytorch_layer(layer, config)(memory)
    steps = [model.decoder_bos.expand(len(clip), -1)]
    for s in range(ids.shape[1] - 1):
        steps.append(sum(model.code_embedding[q][ids[:, s, q]] for q in range(config.streams)))
    x = torch.stack(steps, dim=1) + model.decoder_positions[2 : 2 + ids.shape[1]]
    mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
    x = model.decoder_norm(x)
    for layer in model.decoder_layers:
        x = pytorch_layer(layer, config)(x, memory, tgt_mask=mask, tgt_is_causal=True)
    logits = torch.stack([x @ model.head_weight[q].T + model.head_bias[q] for q in range(config.streams)], dim=2)
    return memory, logits


def test_the_paper_preset_has_the_published_parameter_count():
    with torch.device("meta"):
        model = Visage(paper().model)
    assert sum(x.numel() for x in model.parameters()) == 358_626_868


@torch.no_grad()
def test_memory_logits_and_loss_equal_the_released_code(stored):
    model, conditions, numbers = stored
    memory = model.encode(*conditions)
    hidden = model.decode(numbers["decoder_input_ids"][:, :-1], memory)
    if "encoder_out" in numbers:
        assert (memory - numbers["encoder_out"]).abs().max() < 1e-5
        assert (model.logits(hidden)[:, ::7] - numbers["logits_every_7th_step"]).abs().max() < 1e-4
    total, per_stream = model.loss(hidden, numbers["labels"])
    torch.testing.assert_close(total, numbers["loss"], rtol=1e-5, atol=0)
    torch.testing.assert_close(per_stream.double(), numbers["codebook_loss"], rtol=1e-5, atol=0)
    assert torch.equal(model(*conditions, numbers["decoder_input_ids"]), hidden)


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 4])
def test_equals_pytorch_layers_at_another_size(channels):
    model, conditions, ids, _ = small_model(channels)
    memory, logits = oracle(model, *conditions, ids)
    torch.testing.assert_close(model.encode(*conditions), memory, rtol=0, atol=1e-5)
    torch.testing.assert_close(model.logits(model.decode(ids[:, :-1], memory)), logits, rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_later_code_changes_no_earlier_step():
    model, conditions, ids, _ = small_model()
    memory, changed = model.encode(*conditions), ids.clone()
    changed[:, 7] = (changed[:, 7] + 1) % 70
    before, after = model.decode(ids, memory), model.decode(changed, memory)
    assert torch.equal(before[:, :8], after[:, :8])  # row s predicts step s and has seen steps 0 ... s-1
    assert (before[:, 8:] - after[:, 8:]).abs().amax(-1).min() > 1e-4


@torch.no_grad()
def test_every_condition_reaches_the_memory():
    model, (clip, energy_map, direction), _, _ = small_model()
    memory = model.encode(clip, energy_map, direction)
    for other in ((clip + 1, energy_map, direction), (clip, energy_map + 1, direction), (clip, energy_map, -direction),
                  (clip, None, direction), (clip, energy_map, None), (clip.flip(1), energy_map, direction)):
        assert (model.encode(*other) - memory).abs().max() > 1e-2


@torch.no_grad()
def test_bfloat16_stays_near_float32():
    model, conditions, ids, labels = small_model()
    hidden = model(*conditions, ids)
    total, _ = model.loss(hidden, labels)
    half = copy.deepcopy(model).bfloat16()
    assert half(*conditions, ids).dtype == torch.bfloat16
    assert (half(*conditions, ids) - hidden).abs().max() < 0.15  # hidden has deviation 1; bfloat16 keeps 8 bits
    torch.testing.assert_close(half(*conditions, ids, labels)[0], total, rtol=0.01, atol=0)


@torch.no_grad()
def test_logits_of_some_streams_are_those_of_all():
    model, conditions, ids, _ = small_model()
    hidden, streams = model(*conditions, ids), torch.tensor([0, 4, 5, 11])
    torch.testing.assert_close(model.logits(hidden, streams), model.logits(hidden)[:, :, streams], rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", ["pattern", "everywhere", "one stream empty", "one clip empty", "one step"])
def test_loss_and_its_gradient_equal_a_loop_over_streams(case):
    model, conditions, ids, labels = small_model()
    if case == "everywhere":
        labels = ids % 70
    elif case == "one stream empty":
        labels[:, :, 4] = -100
    elif case == "one clip empty":
        labels[1] = -100
    elif case == "one step":
        ids, labels = ids[:, :1], labels[:, :1]
    total, per_stream = model(*conditions, ids, labels)
    gradient = torch.autograd.grad(total, [model.head_weight, model.clip_projection.weight])
    logits, means = model.logits(model(*conditions, ids)), []
    for q in range(12):
        mean = F.cross_entropy(logits[:, :, q].flatten(0, 1), labels[..., q].flatten())
        means.append(torch.nan_to_num(mean) if (labels[..., q] == -100).all() else mean)
    torch.testing.assert_close(per_stream, torch.stack(means))
    torch.testing.assert_close(total, sum(means))
    used = torch.stack([mean for mean in means if mean != 0]).sum()
    expected = torch.autograd.grad(used, [model.head_weight, model.clip_projection.weight])
    torch.testing.assert_close(gradient, expected)


def test_pad_ids_add_nothing_and_their_rows_learn_nothing():
    model, conditions, ids, labels = small_model()
    fresh = Visage(model.config, seed=3)
    assert embedding_rows(1024) == 1088 and fresh.code_embedding.shape == (12, 128, 48)
    assert fresh.embed(torch.full((1, 2, 12), 70)).abs().max() == 0
    model(*conditions, ids, labels)[0].backward()
    assert model.code_embedding.grad[:, 70].abs().max() == 0
    seen = torch.zeros(12, 128, dtype=torch.bool)
    seen[torch.arange(12).expand(ids[:, :-1].shape), ids[:, :-1]] = True
    seen[:, 70] = False
    assert torch.equal(model.code_embedding.grad.abs().amax(-1) > 0, seen)


def test_null_vectors_replace_only_the_masked_clips():
    model, (clip, energy_map, direction), _, _ = small_model()
    got = model.drop_conditions(clip, energy_map, direction, torch.tensor([True, False]), torch.tensor([False, True]))
    assert torch.equal(got[0][0], model.null_clip.expand(5, -1)) and torch.equal(got[0][1], clip[1])
    assert torch.equal(got[1][0], model.null_energy_map.expand(5, -1)) and torch.equal(got[1][1], energy_map[1])
    assert torch.equal(got[2][0], direction[0]) and torch.equal(got[2][1], model.null_direction)
    nothing = torch.tensor([False, False])
    kept = model.drop_conditions(clip, None, None, nothing, nothing)
    assert torch.equal(kept[0], clip) and kept[1] is kept[2] is None
    got[0].sum().backward()
    assert model.null_clip.grad.abs().min() > 0  # they are learned


def test_dropout_is_active_in_training_only():
    model, conditions, ids, _ = small_model()
    assert torch.equal(model(*conditions, ids), model(*conditions, ids))
    model.train()
    assert not torch.equal(model(*conditions, ids), model(*conditions, ids))


def test_dropout_keeps_the_mean_and_one_byte_a_number():
    kept, x = [], torch.ones(200, 500, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        y = Dropout(0.3)(x)
    assert sum(t.nbytes for t in kept) == x.numel()
    assert set(y.unique().tolist()) == {0, torch.tensor(1 / 0.7).item()} and abs(y.mean().item() - 1) < 0.02
    y.sum().backward()
    assert torch.equal(x.grad, y)
    assert Dropout(0.3).eval()(x) is x


@pytest.mark.parametrize("half", [False, True])
def test_gelu_linear_is_linear_of_gelu_and_keeps_only_what_goes_in(half):
    generator, kept = torch.Generator().manual_seed(0), []
    shapes = (2, 5, 16), (7, 16), (7,)
    x, weight, bias = (torch.randn(shape, generator=generator, requires_grad=True) for shape in shapes)
    upstream = torch.randn(2, 5, 7, generator=generator)
    expected = F.linear(F.gelu(x), weight, bias)
    wanted = torch.autograd.grad(expected, (x, weight, bias), upstream)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            y = GeluLinear.apply(x.bfloat16() if half else x, weight, bias)
    near = {"rtol": 0.03, "atol": 0.08} if half else {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(y.float(), expected, **near)
    for got, want in zip(torch.autograd.grad(y, (x, weight, bias), upstream.to(y.dtype)), wanted):
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, want, **near)
    assert {tuple(t.shape) for t in kept} == {(2, 5, 16), (7, 16)}
    with torch.no_grad():
        assert torch.equal(GeluLinear.apply(x, weight, bias), F.linear(F.gelu(x), weight, bias))


def test_a_seed_makes_the_weights():
    weights = [torch.cat([x.flatten() for x in Visage(SMALL, seed=seed).parameters()]) for seed in (1, 1, 2)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_wrong_shapes_are_refused():
    model, (clip, energy_map, direction), ids, labels = small_model()
    with pytest.raises(ValueError, match="clip must be"):
        model.encode(clip[..., :9], energy_map, direction)
    with pytest.raises(ValueError, match="9 video frames.*8"):
        model.encode(torch.zeros(1, 9, 10))
    with pytest.raises(ValueError, match="energy_map must be"):
        model.encode(clip, energy_map[:, 1:], direction)
    with pytest.raises(ValueError, match="direction must be"):
        model.encode(clip, energy_map, direction[0])
    with pytest.raises(ValueError, match="mono"):
        small_model(1)[0].encode(clip, None, direction)
    memory = model.encode(clip, energy_map, direction)
    with pytest.raises(ValueError, match="ids must be"):
        model.decode(ids[..., :11], memory)
    with pytest.raises(ValueError, match="41 steps.*40"):
        model.decode(ids[:, :1].expand(-1, 40, -1), memory)
    with pytest.raises(ValueError, match="labels must be"):
        model.loss(model.decode(ids, memory), labels)
    with pytest.raises(ValueError, match="heads"):
        Visage(replace(SMALL, heads=5))
