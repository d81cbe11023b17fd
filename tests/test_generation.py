"""Generation: the released code's greedy codes, a loop without a cache as oracle, and a mock model for the sampling."""

import math
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from visage_lite.checkpoints import load_released
from visage_lite.decoding import Prepared, Session, prepare
from visage_lite.generation import (
    Condition,
    Sampling,
    branches,
    generate,
    generate_steps,
    joint_guidance,
    no_guidance,
    repeat_last_frame,
    sample,
    two_way_guidance,
)
from visage_lite.model import Visage
from visage_lite.pattern import Pattern
from visage_lite.presets import ModelConfig

REFERENCE = Path(__file__).parent / "reference"
SMALL = ModelConfig(
    d_model=48,
    heads=6,
    ffn=80,
    encoder_layers=1,
    decoder_layers=2,
    codebooks=3,
    vocab=70,
    clip_dim=10,
    patches=9,
    max_frames=8,
    max_steps=40,
)
GREEDY = Sampling(greedy=True)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tiny matrices gain nothing from a second thread, and lose much when other programs run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(channels=4, clips=2, seed=0, **sizes):
    """A model whose every weight is random, nulls too, and conditions for `clips` clips."""
    config = replace(SMALL, channels=channels, **sizes)
    model = Visage(config, seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        weight.data += 0.15 * torch.randn(weight.shape, generator=generator)
    clip = torch.randn(clips, 5, config.clip_dim, generator=generator)
    if channels == 1:
        return model, (clip, None, None)
    energy_map = torch.rand(clips, 5, config.patches, generator=generator)
    return model, (clip, energy_map, F.normalize(torch.randn(clips, 3, generator=generator), dim=-1))


def codes_of(model, conditions, guidance=None, sampling=GREEDY, frames=6, **options):
    return generate(model, *conditions, frames, guidance or no_guidance(), sampling, progress=False, **options)


def loop_oracle(model, conditions, guidance, frames):
    """Greedy codes without a cache, a pass of the whole model per branch and step, one stream after the other."""
    config, pattern = model.config, Pattern(model.config.channels, model.config.codebooks)
    clips = len(conditions[0])
    ids = torch.full((clips, pattern.steps(frames), config.streams), config.pad_id)
    for step in range(pattern.steps(frames)):
        total = 0
        for condition, weight in guidance:
            visual, direction = (
                torch.tensor([not condition.visual] * clips),
                torch.tensor([not condition.direction] * clips),
            )
            memory = model.encode(*model.drop_conditions(*conditions, visual, direction))
            total = total + weight * model.logits(model.decode(ids[:, :step], memory)[:, step:])[:, 0]  # [B, Q, V]
        for stream in pattern.streams_at(step, frames).tolist():
            ids[:, step, stream] = total[:, stream].argmax(-1)
    return pattern.revert(ids)


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """kind -> (released model, its conditions, stored arrays)."""

    def load(kind):
        folder = tmp_path_factory.mktemp(kind)
        (folder / "config.json").write_bytes((REFERENCE / "ambisonics_config.json").read_bytes())
        (folder / "model.safetensors").write_bytes((REFERENCE / f"{kind}_model.safetensors").read_bytes())
        stored = np.load(REFERENCE / f"{kind}_model.npz")
        names = ("clip", "energy_map", "direction")
        return load_released(folder), [torch.from_numpy(stored[n]) if n in stored else None for n in names], stored

    return {kind: load(kind) for kind in ("ambisonics", "mono")}


@pytest.mark.parametrize(
    ("kind", "stored", "guidance"),
    [
        ("ambisonics", "greedy_cfg_scale_2p5", joint_guidance(2.5)),
        ("ambisonics", "greedy_dual_cfg_2p5_1p5", two_way_guidance(2.5, 1.5)),
        ("ambisonics", "greedy_scale_0", joint_guidance(0.0)),
        ("mono", "greedy_cfg_scale_2p5", joint_guidance(2.5)),
    ],
)
def test_greedy_codes_equal_the_released_code(released, kind, stored, guidance):
    model, conditions, numbers = released[kind]
    codes = repeat_last_frame(codes_of(model, conditions, guidance, frames=86), math.ceil(44100 / 512))
    assert torch.equal(codes.flatten(1, 2).transpose(1, 2), torch.from_numpy(numbers[stored]))


@pytest.mark.parametrize("channels", [4, 2, 1])
@pytest.mark.parametrize("codebooks", [1, 3])
@pytest.mark.parametrize("guidance", [no_guidance(), joint_guidance(1.5), two_way_guidance(2.0, 0.7)])
def test_cache_and_batched_branches_change_no_code(channels, codebooks, guidance):
    model, conditions = small(channels, codebooks=codebooks)
    assert torch.equal(codes_of(model, conditions, guidance), loop_oracle(model, conditions, guidance, 6))


def test_the_plain_baseline_of_the_benchmark_makes_the_same_codes():
    sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
    from plain_generation import PlainModel, plain_step

    from visage_lite.generation import encode_branches

    model, conditions = small(clips=1)
    guidance, pattern = two_way_guidance(2.0, 0.7), Pattern(4, 3)
    plain = PlainModel(model)
    with torch.no_grad():
        memory = encode_branches(model, *conditions, [condition for condition, _ in guidance])
        rows, ids, steps = [plain.branch(row[None]) for row in memory], None, []
        for step in range(13):
            ids = plain_step(plain, rows, ids, step, pattern.streams_at(step, 6).tolist(), guidance, GREEDY)
            steps.append(ids)
    assert torch.equal(pattern.revert(torch.cat(steps, dim=1)), codes_of(model, conditions, guidance))


def test_guidance_of_weight_0_is_no_guidance():
    model, conditions = small()
    plain = codes_of(model, conditions)
    assert torch.equal(codes_of(model, conditions, joint_guidance(0.0)), plain)
    assert torch.equal(codes_of(model, conditions, two_way_guidance(0.0, 0.0)), plain)
    assert not torch.equal(codes_of(model, conditions, joint_guidance(3.0)), plain)
    assert not torch.equal(codes_of(model, conditions, two_way_guidance(0.0, 3.0)), plain)


def test_branches_are_merged_and_checked():
    assert branches(two_way_guidance(2.0, 0.0), mono=False) == (
        [Condition(True, True), Condition(True, False), Condition(False, False)],
        [1.0, 2.0, -2.0],
    )
    assert branches(two_way_guidance(2.0, 0.5), mono=True) == ([Condition(True), Condition(False)], [3.0, -2.0])
    for wrong in ([], [(Condition(), 2.0)], [(Condition(), math.nan)]):
        with pytest.raises(ValueError, match="sum to 1"):
            branches(wrong, mono=False)


def test_two_way_guidance_of_a_mono_model_is_joint_guidance():
    model, conditions = small(channels=1)
    assert torch.equal(
        codes_of(model, conditions, two_way_guidance(1.5, 9.0)), codes_of(model, conditions, joint_guidance(1.5))
    )


def test_clips_in_a_batch_get_the_codes_they_get_alone():
    model, conditions = small(clips=3)
    guidance, sampling = joint_guidance(1.0), Sampling(top_k=20)
    seeded = lambda *seeds: [torch.Generator().manual_seed(seed) for seed in seeds]  # noqa: E731
    greedy, drawn = (
        codes_of(model, conditions, guidance),
        codes_of(model, conditions, guidance, sampling, generator=seeded(5, 6, 7)),
    )
    for clip in range(3):
        alone = [x[clip : clip + 1] for x in conditions]
        assert torch.equal(codes_of(model, alone, guidance), greedy[clip : clip + 1])
        assert torch.equal(
            codes_of(model, alone, guidance, sampling, generator=seeded(5 + clip)), drawn[clip : clip + 1]
        )
    with pytest.raises(ValueError, match="2 generators for 3 clips"):
        codes_of(model, conditions, guidance, sampling, generator=seeded(1, 2))


def test_a_seed_gives_the_same_codes_again():
    model, conditions = small()
    runs = [
        codes_of(model, conditions, sampling=Sampling(), generator=torch.Generator().manual_seed(s)) for s in (3, 3, 4)
    ]
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])
    assert runs[0].shape == (2, 4, 3, 6) and runs[0].dtype == torch.int64 and 0 <= runs[0].min() and runs[0].max() < 70


# ---- number types


def logits_along(model, conditions, ids, dtype, compiled=True):
    """The logits of every step along given ids [B, S, Q]: [S, B, q, V], as a list."""
    pattern = Pattern(model.config.channels, model.config.codebooks)
    frames = pattern.frames(ids.shape[1])
    with torch.no_grad():
        session = Prepared(model, dtype, compiled).begin(model.encode(*conditions), ids.shape[1])
        return [session.step(ids[:, s - 1] if s else None, pattern.streams_at(s, frames)) for s in range(ids.shape[1])]


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "pytorch"])
@pytest.mark.parametrize(("dtype", "error"), [("float32", 1e-5), ("bfloat16", 0.03), ("int8", 0.08)])
def test_logits_of_every_number_type_are_close_to_teacher_forcing(released, dtype, error, compiled):
    if dtype == "int8" and not compiled:
        pytest.skip("int8 is for the CPU, where layers are compiled")
    model, conditions, numbers = released["ambisonics"]
    ids, pattern = torch.from_numpy(numbers["decoder_input_ids"]), Pattern(4, 9)
    with torch.no_grad():
        wanted = model.logits(model.decode(ids[:, :-1], model.encode(*conditions)))
    for step, got in enumerate(logits_along(model, conditions, ids, dtype, compiled)):
        due = wanted[:, step, pattern.streams_at(step, 86)]
        assert (got - due).square().mean().sqrt() < error * due.std()


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("channels", [4, 1])
def test_compiled_layers_and_pytorch_give_the_same_logits(rows, channels):
    model, conditions = small(channels, clips=rows)
    ids = torch.randint(0, 70, (rows, 12 + (channels > 1), channels * 3), generator=torch.Generator().manual_seed(1))
    pairs = zip(*(logits_along(model, conditions, ids, "float32", compiled) for compiled in (True, False)))
    for ours, theirs in pairs:
        assert torch.allclose(ours, theirs, atol=1e-4) and ours.shape == theirs.shape


def test_int8_is_never_chosen_silently(monkeypatch):
    model, _ = small()
    assert prepare(model).dtype == "float32" and prepare(model.bfloat16()).dtype == "float32"
    types = {dtype: prepare(model, dtype).layers[0][0].weight.dtype for dtype in ("float32", "bfloat16", "int8")}
    assert types == {"float32": np.float32, "bfloat16": np.uint16, "int8": np.int8}


def test_prepared_weights_serve_many_clips_and_one_number_type():
    model, conditions = small()
    prepared = prepare(model, "bfloat16")
    assert prepare(prepared) is prepared and prepare(prepared, "bfloat16") is prepared
    first = codes_of(prepared, conditions, joint_guidance(1.0))
    assert torch.equal(first, codes_of(prepared, conditions, joint_guidance(1.0)))
    assert torch.equal(first, codes_of(model, conditions, joint_guidance(1.0), dtype="bfloat16"))
    with pytest.raises(ValueError, match="prepared as bfloat16"):
        codes_of(prepared, conditions, dtype="float32")
    with pytest.raises(ValueError, match="float16.*choose one of float32, bfloat16, int8"):
        prepare(model, "float16")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_on_the_gpu(dtype):
    model, conditions = small()
    wanted = codes_of(model, conditions, joint_guidance(1.0))
    got = codes_of(model.cuda(), [x.cuda() for x in conditions], joint_guidance(1.0), dtype=dtype).cpu()
    assert dtype == "bfloat16" or torch.equal(got, wanted)
    with pytest.raises(ValueError, match="on the CPU"):
        prepare(model, "int8")


# ---- sampling, with a mock in place of the model


def mock(logits_at, rows=None):
    """A Prepared whose step s answers with logits_at(s, streams, ids) [N, q, V]; `.seen` collects (ids, streams)."""
    config = SimpleNamespace(pad_id=4, max_steps=1000)
    seen = rows if rows is not None else []
    prepared = SimpleNamespace(dtype="float32", pattern=Pattern(2, 2), seen=seen)
    prepared.model = SimpleNamespace(
        config=config,
        training=False,
        eval=lambda: None,
        train=lambda mode: None,
        encode=lambda clip, *_: clip,
        drop_conditions=lambda *inputs: inputs[:3],
    )

    def begin(memory, steps):
        session = SimpleNamespace(place=0, prepared=prepared)

        def step(ids, streams):
            seen.append((ids, streams))
            session.place += 1
            return logits_at(session.place - 1, streams, len(memory))

        session.step = step
        return session

    prepared.begin = begin
    return prepared


def test_mock_model_gets_every_choice_back_and_pads_elsewhere():
    model = mock(lambda step, streams, rows: F.one_hot((step + streams) % 4, 4).float().expand(rows, -1, -1))
    steps = list(generate_steps(model, torch.zeros(3, 1, 1), None, None, 2, joint_guidance(1.0), GREEDY))
    assert [ids[0].tolist() for ids in steps] == [[0, 4, 4, 4], [4, 2, 3, 4], [2, 4, 4, 1], [4, 0, 1, 4], [4, 4, 4, 3]]
    assert model.seen[0][0] is None
    for step in range(1, 5):
        assert torch.equal(model.seen[step][0], steps[step - 1])
    codes = generate(model, torch.zeros(3, 1, 1), None, None, 2, no_guidance(), GREEDY, progress=False)
    assert codes[2].tolist() == [[[0, 2], [2, 0]], [[3, 1], [1, 3]]]


def test_mock_model_is_guided_by_the_weighted_sum_of_its_branches():
    answers = {0: [1.0, 0.0, 0.9, 0.0], 1: [1.0, 0.0, 0.2, 0.0]}  # told all: code 0; less told nothing: code 2
    model = mock(
        lambda step, streams, rows: torch.tensor([answers[r] for r in range(rows)])[:, None].expand(
            -1, len(streams), -1
        )
    )
    run = lambda guidance: next(generate_steps(model, torch.zeros(1, 1, 1), None, None, 1, guidance, GREEDY))[0, 0]  # noqa: E731
    assert run(no_guidance()) == 0 and run(joint_guidance(0.1)) == 0 and run(joint_guidance(0.2)) == 2


def test_mock_model_is_sampled_with_its_own_probabilities():
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0])
    model = mock(lambda step, streams, rows: logits.expand(rows, len(streams), -1))
    clips, generator = 4000, torch.Generator().manual_seed(0)
    for temperature in (1.0, 0.5):
        sampling = Sampling(temperature=temperature, top_k=3)
        ids = next(generate_steps(model, torch.zeros(clips, 1, 1), None, None, 1, no_guidance(), sampling, generator))[
            :, 0
        ]
        seen, wanted = Counter(ids.tolist()), (logits[:3] / temperature).softmax(0)
        assert 3 not in seen
        for code in range(3):
            assert abs(seen[code] / clips - wanted[code]) < 4 * math.sqrt(0.25 / clips)


@pytest.mark.parametrize(
    ("top_k", "top_p", "temperature"),
    [
        (256, None, 1.0),
        (5, None, 0.7),
        (None, 0.6, 1.0),
        (4, 0.9, 2.0),
        (None, 1.0, 1.0),
        (1, None, 1.0),
        (None, 1e-9, 1.0),
    ],
)
def test_sample_equals_a_loop_over_the_distributions(top_k, top_p, temperature):
    generator = torch.Generator().manual_seed(1)
    logits, uniform = 2 * torch.randn(3, 50, 40, generator=generator), torch.rand(3, 50, generator=generator)
    got = sample(logits, Sampling(temperature=temperature, top_k=top_k, top_p=top_p), uniform)
    for place in np.ndindex(3, 50):
        row = sorted(((float(x), code) for code, x in enumerate(logits[place])), reverse=True)[:top_k]
        weights = [math.exp((x - row[0][0]) / temperature) for x, _ in row]
        probability, kept = [w / sum(weights) for w in weights], 0
        while kept < len(row) and (kept == 0 or top_p is None or sum(probability[:kept]) < top_p):
            kept += 1
        target, reached = float(uniform[place]) * sum(probability[:kept]), probability[0]
        drawn = 0
        while target >= reached and drawn < kept - 1:
            drawn += 1
            reached += probability[drawn]
        assert got[place] == row[drawn][1]


def test_top_k_1_and_a_tiny_top_p_are_greedy():
    model, conditions = small()
    greedy = codes_of(model, conditions, joint_guidance(1.0))
    for sampling in (Sampling(top_k=1), Sampling(top_k=None, top_p=1e-6), Sampling(temperature=1e-4)):
        assert torch.equal(codes_of(model, conditions, joint_guidance(1.0), sampling), greedy)


@pytest.mark.parametrize(
    "wrong", [{"temperature": 0.0}, {"temperature": math.nan}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}]
)
def test_wrong_sampling_raises(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Sampling(**wrong)


# ---- stopping, state, errors


def test_steps_come_one_by_one_and_build_the_same_codes():
    model, conditions = small()
    pattern = Pattern(4, 3)
    steps = generate_steps(model, *conditions, 6, no_guidance(), GREEDY)
    ids = torch.stack(list(steps), dim=1)
    assert torch.equal(ids, pattern.build(codes_of(model, conditions), 70))


def test_ctrl_c_stops_between_steps_and_leaves_everything_usable(monkeypatch):
    model, conditions = small()
    prepared, wanted = prepare(model), codes_of(model, conditions)
    step = Session.step

    def interrupted(session, *inputs):
        if session.place == 5:
            raise KeyboardInterrupt
        return step(session, *inputs)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            codes_of(prepared, conditions)
    assert torch.equal(codes_of(prepared, conditions), wanted)


def test_generation_in_the_middle_of_training_neither_drops_out_nor_ends_it():
    model, conditions = small(dropout=0.5)
    wanted = codes_of(model, conditions)
    codes = codes_of(model.train(), conditions)
    assert model.training and torch.equal(codes, wanted)
    ids = Pattern(4, 3).build(codes, 70)  # the codes can be trained on
    model(*conditions, ids, Pattern(4, 3).labels(ids, 70))[0].backward()


def test_the_cache_is_allocated_once_and_never_grows():
    model, conditions = small()
    prepared = prepare(model)
    with torch.no_grad():
        session = prepared.begin(model.encode(*conditions), 13)
        where, ids = session.cache.data_ptr(), None
        for step in range(13):
            session.step(ids, Pattern(4, 3).streams_at(step, 6))
            ids = torch.zeros(2, 12, dtype=torch.long)
    assert session.cache.data_ptr() == where and session.cache.shape == (2, 2, 2, 6, 13, 8) and session.place == 13


def test_a_step_reads_half_the_heads():
    model, _ = small()
    prepared = prepare(model)
    layers = sum(
        w.numel()
        for layer in model.decoder_layers
        for n, w in layer.named_parameters()
        if w.ndim == 2 and "kv" not in n.replace("qkv", "")
    )
    assert isinstance(prepared, Prepared) and prepared.step_bytes == 4 * (layers + model.head_weight.numel() // 2)


def test_repeat_last_frame():
    codes = torch.arange(2 * 4 * 3 * 5).view(2, 4, 3, 5)
    longer = repeat_last_frame(codes, 7)
    assert torch.equal(longer[..., :5], codes) and torch.equal(longer[..., 5:], codes[..., 4:].repeat(1, 1, 1, 2))
    assert torch.equal(repeat_last_frame(codes, 5), codes) and torch.equal(repeat_last_frame(codes, 2), codes)


def test_wrong_inputs_raise():
    model, (clip, energy_map, direction) = small()
    with pytest.raises(ValueError, match="frames must be at least 1"):
        codes_of(model, (clip, energy_map, direction), frames=0)
    with pytest.raises(ValueError, match="41 steps.*positions for 40"):
        codes_of(model, (clip, energy_map, direction), frames=20)
    with pytest.raises(ValueError, match="clip must be"):
        codes_of(model, (clip[..., :5], energy_map, direction))
    with pytest.raises(ValueError, match="direction must be"):
        codes_of(model, (clip, energy_map, direction[:1]))
    with pytest.raises(ValueError, match="sum to 1"):
        codes_of(model, (clip, energy_map, direction), [(Condition(), 0.5)])


def test_progress_bar_counts_the_steps(capsys):
    model, conditions = small()
    generate(model, *conditions, 6, no_guidance(), GREEDY)
    assert "13/13" in capsys.readouterr().err
    codes_of(model, conditions)
    assert capsys.readouterr().err == ""
