"""Sound in pieces: the same as in one, after few frames, for any codec, guidance and number type, in bounded memory."""

import tracemalloc

import numpy as np
import pytest
import torch
from test_generation import GREEDY, codes_of, small

from visage_lite.codec import DacCodec
from visage_lite.decoding import Session
from visage_lite.generation import Sampling, generate_steps, joint_guidance, no_guidance, stream, two_way_guidance
from visage_lite.pattern import Pattern
from visage_lite.streaming import decode_pieces, finished_frames
from visage_lite.toy_codec import SILENCE, ToyCodec

HOP = 320
TOY = ToyCodec(np.random.default_rng(0).normal(size=(3, 256, HOP)).astype(np.float32))


def same(one, other):
    """Equal but for rounding, a quarter of a step of 16 bits: some processors round by the number of rows."""
    return one.shape == other.shape and np.abs(one - other).max() <= 4e-6 * np.abs(other).max()


def random_dac(rates=(8, 8, 4, 2), sample_rate=44100, frame_rate=86, vocab=70):
    """A narrow DAC of random weights with the published strides."""
    import dac

    torch.manual_seed(0)
    model = dac.DAC(2, list(rates[::-1]), 8, 16, list(rates), 3, vocab, sample_rate=sample_rate)
    for name, weight in model.decoder.named_parameters():
        if name.endswith("weight_g"):
            weight.data *= 1.2
    return DacCodec(model, frame_rate)


def codes_for(codec, frames, channels=4, seed=0):
    codes = np.random.default_rng(seed).integers(0, codec.vocab, (channels, codec.codebooks, frames))
    if isinstance(codec, ToyCodec):
        codes[:, 0] %= SILENCE
    return codes


def in_pieces(codec, codes, piece_s):
    return list(decode_pieces(codec, torch.from_numpy(codes).unbind(-1), piece_s))


# ---- frames


@pytest.mark.parametrize("channels", [4, 2, 1])
@pytest.mark.parametrize("codebooks", [1, 3])
def test_frames_come_complete_and_at_once(channels, codebooks):
    pattern = Pattern(channels, codebooks)
    codes = torch.randint(0, 70, (2, channels, codebooks, 5))
    ids, asked = pattern.build(codes, 70), 0

    def steps():
        nonlocal asked
        for row in ids.unbind(1):
            asked += 1
            yield row

    for frame, got in enumerate(finished_frames(pattern, steps())):
        assert torch.equal(got, codes[..., frame])
        assert asked == 2 * frame + int(pattern.offsets.max()) + 1  # not one step later than its last code
    assert frame == 4


# ---- pieces


@pytest.mark.parametrize("piece_s", [0.1, 0.25, 0.26, 0.5, 10.0])
@pytest.mark.parametrize("frames", [1, 13, 14, 61])
def test_toy_pieces_are_the_whole(piece_s, frames):
    codes = codes_for(TOY, frames)
    pieces = in_pieces(TOY, codes, piece_s)
    assert same(np.concatenate(pieces, axis=1), TOY.decode(codes))
    assert all(piece.shape == (4, round(50 * piece_s) * HOP) for piece in pieces[:-1])


@pytest.mark.parametrize("rates, sample_rate, frame_rate", [((8, 8, 4, 2), 44100, 86), ((8, 5, 4, 2), 16000, 50)])
def test_dac_pieces_are_the_whole(rates, sample_rate, frame_rate):
    codec = random_dac(rates, sample_rate, frame_rate)
    codes = codes_for(codec, 61, channels=2)
    whole = codec.decode(codes)
    assert whole.std() > 1e-3
    for piece_s in (0.1, 0.25):
        pieces = in_pieces(codec, codes, piece_s)
        assert len(pieces) > 1 and np.abs(np.concatenate(pieces, axis=1) - whole).max() <= 1e-5 * np.abs(whole).max()


@pytest.mark.parametrize("codec", [TOY, random_dac(), random_dac((8, 5, 4, 2), 16000, 50)], ids=lambda c: c.name)
def test_the_context_is_what_the_decoder_needs_and_not_more(codec):
    """Other codes in one frame change the sound of the frames whose context it is in, and of no other."""
    left, right = codec.context
    codes = codes_for(codec, 61, channels=1)
    other, frame = codes.copy(), 30
    other[:, :, frame] = (codes[:, :, frame] + 7) % 70
    changed = (codec.decode(codes) != codec.decode(other)).reshape(61, codec.hop).any(1).nonzero()[0]
    assert frame - changed.min() == right
    assert changed.max() - frame <= left
    assert changed.max() - frame == left or codec is TOY  # more on the left costs no time, see its comment


def test_a_piece_waits_for_its_context_only():
    for codec, piece_s in ((TOY, 0.25), (random_dac(), 0.25)):
        taken = []
        frames = (taken.append(1) or each for each in torch.from_numpy(codes_for(codec, 80)).unbind(-1))
        next(decode_pieces(codec, frames, piece_s))
        assert len(taken) == round(piece_s * codec.frame_rate) + codec.context[1] <= 0.5 * codec.frame_rate


def test_what_is_remembered_does_not_grow():
    def peak(frames):
        tracemalloc.start()
        one = torch.from_numpy(codes_for(TOY, 1))[..., 0]
        for _ in decode_pieces(TOY, (one.clone() for _ in range(frames)), 0.25):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(50)
    assert peak(600) < 1.1 * peak(150)


# ---- from the model


MANY = {"codebooks": 4, "vocab": 256, "max_steps": 101, "clips": 1}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("guidance", [no_guidance(), joint_guidance(1.5), two_way_guidance(2.0, 0.7)])
def test_a_stream_is_the_sound_of_the_codes_with_the_same_seed(dtype, guidance):
    model, conditions = small(**MANY)
    seeded = {"generator": torch.Generator().manual_seed(3), "dtype": dtype}
    codes = codes_of(model, conditions, guidance, Sampling(top_k=20), 50, **seeded)
    seeded["generator"].manual_seed(3)
    pieces = list(stream(model, TOY, *conditions, 50, guidance, Sampling(top_k=20), **seeded))
    assert [piece.shape[1] // HOP for piece in pieces] == [12, 12, 12, 12, 2]
    assert same(np.concatenate(pieces, axis=1), TOY.decode(codes[0].numpy()))
    assert pieces[0].dtype == np.float32


def test_a_stream_through_dac():
    codec = random_dac(vocab=70)
    model, conditions = small(clips=1, max_steps=121)
    whole = codec.decode(codes_of(model, conditions, joint_guidance(1.0), frames=60)[0].numpy())
    pieces = list(stream(model, codec, *conditions, 60, joint_guidance(1.0), GREEDY, piece_s=0.2))
    assert np.abs(np.concatenate(pieces, axis=1) - whole).max() <= 1e-5


def test_the_first_piece_is_there_before_half_a_second_is_made(monkeypatch):
    model, conditions = small(**MANY)
    steps, step = [], Session.step
    monkeypatch.setattr(Session, "step", lambda session, *inputs: steps.append(1) or step(session, *inputs))
    first = next(stream(model, TOY, *conditions, 50, no_guidance(), GREEDY))
    assert first.shape == (4, 12 * HOP) and len(steps) == 2 * 13 + 1


def test_wrong_streams_raise():
    model, conditions = small(**MANY | {"clips": 2})
    with pytest.raises(ValueError, match="one clip, not of 2"):
        stream(model, TOY, *conditions, 50, no_guidance(), GREEDY)
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="piece_s"):
            decode_pieces(TOY, [], wrong)
    assert list(decode_pieces(TOY, [])) == []


# ---- going on from known codes


def known_oracle(model, conditions, guidance, frames, known):
    """Greedy codes after known ones, without a cache, one stream after the other; known ones put in their places."""
    config, pattern = model.config, Pattern(model.config.channels, model.config.codebooks)
    length, offsets = known.shape[3], pattern.offsets.tolist()
    ids = torch.full((len(known), pattern.steps(frames), config.streams), config.pad_id)
    rows = torch.zeros(len(known), dtype=torch.bool)
    with torch.no_grad():
        memories = [
            (weight, model.encode(*model.drop_conditions(*conditions, rows | (not c.visual), rows | (not c.direction))))
            for c, weight in guidance
        ]
        for step in range(pattern.steps(frames)):
            total = sum(w * model.logits(model.decode(ids[:, :step], m)[:, step:])[:, 0] for w, m in memories)
            for stream_ in pattern.streams_at(step, frames).tolist():
                frame = (step - offsets[stream_]) // 2
                channel, book = divmod(stream_, config.codebooks)
                given = frame < length
                ids[:, step, stream_] = known[:, channel, book, frame] if given else total[:, stream_].argmax(-1)
    return pattern.revert(ids)


def going_on(model, conditions, guidance, frames, known, sampling=GREEDY, generator=None):
    steps = generate_steps(model, *conditions, frames, guidance, sampling, generator, known=known)
    return Pattern(model.config.channels, model.config.codebooks).revert(torch.stack(list(steps), dim=1))


@pytest.mark.parametrize("channels", [4, 2, 1])
@pytest.mark.parametrize("codebooks", [1, 3])
@pytest.mark.parametrize("length", [1, 3, 5, 6])
def test_codes_go_on_from_known_ones_as_the_oracle_says(channels, codebooks, length):
    model, conditions = small(channels, codebooks=codebooks)
    known = torch.randint(0, 70, (2, channels, codebooks, length), generator=torch.Generator().manual_seed(length))
    got = going_on(model, conditions, joint_guidance(1.5), 6, known)
    assert torch.equal(got[..., :length], known)
    assert torch.equal(got, known_oracle(model, conditions, joint_guidance(1.5), 6, known))


def test_its_own_beginning_makes_no_difference():
    """Greedily, the model goes on from its own first codes as it did; at the ragged end too."""
    model, conditions = small()
    whole = codes_of(model, conditions, joint_guidance(1.5))
    for length in range(1, 7):
        assert torch.equal(going_on(model, conditions, joint_guidance(1.5), 6, whole[..., :length]), whole)


def test_no_chance_is_spent_on_known_codes():
    """The numbers that draw the new codes are the same whatever is known: Q for each new frame."""
    model, conditions = small(clips=1)
    for length in (1, 4):
        generator, counted = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
        known = torch.zeros(1, 4, 3, length, dtype=torch.long)
        going_on(model, conditions, no_guidance(), 6, known, Sampling(), generator)
        for _ in range(6 - length):
            for count in (1, 5, 6):
                torch.rand(1, count, generator=counted)
        assert torch.equal(torch.rand(1, generator=generator), torch.rand(1, generator=counted))


def test_known_codes_that_do_not_fit_raise():
    model, conditions = small()
    for shape in ((1, 4, 3, 2), (2, 4, 3, 7), (2, 4, 2, 3), (2, 4, 3, 0)):
        with pytest.raises(ValueError, match="known codes|codes must be"):
            going_on(model, conditions, no_guidance(), 6, torch.zeros(shape, dtype=torch.long))


# ---- a camera that turns


def test_a_direction_per_frame_that_never_changes_is_one_direction():
    model, (clip, energy_map, direction) = small()
    turning = direction[:, None].repeat(1, clip.shape[1], 1)
    guidance = two_way_guidance(2.0, 0.7)
    one = codes_of(model, (clip, energy_map, direction), guidance)
    assert torch.equal(codes_of(model, (clip, energy_map, turning), guidance), one)
    turning[:, 2:] *= -1
    assert not torch.equal(codes_of(model, (clip, energy_map, turning), guidance), one)
    with pytest.raises(ValueError, match=r"direction must be \[2, 3\] or \[2, 5, 3\], not \[2, 4, 3\]"):
        codes_of(model, (clip, energy_map, turning[:, :4]))
