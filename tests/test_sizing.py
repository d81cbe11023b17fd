"""The formulas against the model itself: its weights, PyTorch's own count of operations, the tensors it keeps."""

from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from visage_lite.model import Visage
from visage_lite.pattern import Pattern
from visage_lite.presets import ModelConfig, paper, toy
from visage_lite.sizing import flops, gpu_hours, memory, parameters, products, size

torch.set_num_threads(1)
SMALL = ModelConfig(d_model=48, heads=6, ffn=80, encoder_layers=3, decoder_layers=2, codebooks=3, vocab=70, clip_dim=10,
                    patches=9, max_frames=8, max_steps=40)
MIDDLE = ModelConfig(d_model=128, heads=4, ffn=512, encoder_layers=2, decoder_layers=4, codebooks=4, vocab=256,
                     clip_dim=64, max_steps=161)
MONO = replace(MIDDLE, channels=1, dropout=0.0)
SIZES = {"small": (SMALL, 12), "middle": (MIDDLE, 80), "mono": (MONO, 80)}


def inputs(config, frames, batch):
    """What a model of these sizes is trained on, with the longest video."""
    conditions = [torch.randn(batch, config.max_frames, config.clip_dim), None, None]
    if config.channels > 1:
        conditions[1:] = torch.rand(batch, config.max_frames, config.patches), torch.randn(batch, 3)
    pattern = Pattern(config.channels, config.codebooks)
    codes = torch.randint(0, config.vocab, (batch, config.channels, config.codebooks, frames))
    ids = pattern.build(codes, config.vocab)
    return *conditions, ids, pattern.labels(ids, config.vocab)


@pytest.mark.parametrize("config", [paper().model, toy().model, SMALL, MIDDLE, MONO], ids=str)
def test_parameters_are_those_of_the_model(config):
    with torch.device("meta"):
        model = Visage(config)
    assert parameters(config) == sum(x.numel() for x in model.parameters())


def test_the_published_size():
    assert parameters(paper().model) == 358_626_868
    assert 2.0e12 < flops(paper().model, 430, batch=2) < 2.3e12


@pytest.mark.parametrize("name", SIZES)
def test_flops_are_those_that_pytorch_counts(name):
    config, frames = SIZES[name]
    model = Visage(config, seed=0)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(*inputs(config, frames, 2))[0].backward()
    whole_table = 6 * 2 * products(config, frames)["self-attention"]  # what is left out here is computed there
    assert counter.get_total_flops() == pytest.approx(flops(config, frames, 2) + whole_table, rel=0.04)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", SIZES)
def test_memory_is_what_the_model_holds(name, dtype):
    config, frames = SIZES[name]
    model = Visage(config, seed=0)
    batch, kept = inputs(config, frames, 2), {}
    own = {x.untyped_storage().data_ptr() for x in (*model.parameters(), *(x for x in batch if x is not None))}

    def keep(x):
        kept[x.untyped_storage().data_ptr()] = x  # held, so that no other tensor gets its place
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            hidden = model(*batch[:4])
            total, _ = model.loss(hidden, batch[4])
    copies = {x.shape for x in model.parameters()} | {x.T.shape for x in model.parameters() if x.ndim == 2}
    sizes = [x.untyped_storage().nbytes() for place, x in kept.items() if place not in own and x.shape not in copies]
    expected = memory(config, frames, 2, dtype)
    assert sum(sizes) == pytest.approx(expected["activations"], rel=0.06)  # norms' means, lists of codes are left out
    total.backward()
    optimizer = torch.optim.AdamW([x for x in model.parameters() if x.grad is not None])
    optimizer.step()
    assert expected["weights"] == sum(x.nbytes for x in model.parameters())
    assert expected["gradients"] == pytest.approx(sum(x.grad.nbytes for x in model.parameters() if x.grad is not None),
                                                  rel=0.01)
    means = [state[name] for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")]
    assert expected["optimiser"] == pytest.approx(sum(x.nbytes for x in means), rel=0.01)


def test_hours_and_the_table():
    config = paper().model
    epoch = gpu_hours(config, clips=81_594, epochs=1, flops_per_s=989e12, utilisation=0.4)
    assert gpu_hours(config, 81_594, 80, 989e12, 0.4) == pytest.approx(80 * epoch)
    assert epoch == pytest.approx(81_594 * flops(config, 430, 1) / (0.4 * 989e12) / 3600)
    step = size(config, 430, 2)
    assert step.table().loc["parameters", "amount"] == pytest.approx(358.626868) and "activations" in str(step)
    assert step.memory == sum(memory(config, 430, 2).values())
    with pytest.raises(ValueError, match="float16"):
        memory(config, 430, 2, "float16")
