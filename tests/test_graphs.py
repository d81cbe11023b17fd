"""Steps of one shape: the same numbers as the plain session, recorded and replayed too, with and without a GPU."""

import pytest
import torch
from test_generation import GREEDY, codes_of, small
from torch.fx.experimental.proxy_tensor import make_fx

from visage_lite import decoding
from visage_lite.decoding import GraphSession, Prepared, Session, StaticSession
from visage_lite.generation import branches, continue_steps, encode_branches, joint_guidance, two_way_guidance
from visage_lite.graphs import Graphs
from visage_lite.pattern import Pattern

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
# What asks the GPU for a number or gives a shape that depends on numbers: not allowed in a record.
WAITS = {"_local_scalar_dense", "item", "nonzero", "masked_select", "_unique2", "index", "is_nonzero", "equal"}


@pytest.fixture(autouse=True)
def spans(monkeypatch):
    """Several spans in a clip of 13 steps, the last one cut off."""
    monkeypatch.setattr(decoding, "SPAN", 6)


class Record:
    """In place of a CUDA graph: the operations of the work as they were, with every number from Python fixed."""

    made: list = []

    def __init__(self, work):
        with torch.inference_mode(False), torch.no_grad():
            self.work, self.result = make_fx(work)(), work()
        self.made.append(self)

    def replay(self):
        self.result.copy_(self.work())

    @property
    def operations(self):
        return [str(node.target) for node in self.work.graph.nodes if node.op == "call_function"]


@pytest.fixture
def records(monkeypatch):
    """Graphs that record on the CPU; the list of the records."""

    def record(graphs, work):
        record = Record(work)
        return record, record.result

    monkeypatch.setattr(Graphs, "record", record)
    monkeypatch.setattr(Record, "made", [])
    return Record.made


def begun(kind, model, conditions, guidance=None, steps=13, dtype="float32", prepared=None):
    prepared = prepared or Prepared(model, dtype, compiled=False)
    asked, weights = branches(guidance or joint_guidance(1.5), prepared.pattern.channels == 1)
    return kind(prepared, encode_branches(model, *conditions, asked), steps), weights


def along(session, ids, first=0):
    """The logits of every step from `first` on along given ids [B, S, Q]."""
    pattern = session.prepared.pattern
    frames = pattern.frames(ids.shape[1])
    return [session.step(ids[:, s - 1] if s else None, pattern.streams_at(s, frames))
            for s in range(first, ids.shape[1])]  # fmt: skip


def some_ids(channels, clips, seed=1):
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 70, (clips, 12 + (channels > 1), channels * 3), generator=random)


@torch.no_grad()
@pytest.mark.parametrize("kind", [StaticSession, GraphSession])
@pytest.mark.parametrize(("channels", "clips"), [(4, 1), (4, 3), (1, 2)])
def test_logits_equal_those_of_the_plain_session(records, kind, channels, clips):
    model, conditions = small(channels, clips)
    ids = some_ids(channels, clips)
    for guidance in (joint_guidance(1.5), two_way_guidance(1.0, 2.0)):
        plain, static = (along(begun(k, model, conditions, guidance)[0], ids) for k in (Session, kind))
        for ours, theirs in zip(static, plain, strict=True):
            assert ours.shape == theirs.shape and torch.allclose(ours, theirs, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("kind", [StaticSession, GraphSession])
def test_greedy_codes_equal_those_of_the_plain_session_with_a_prefix_too(records, kind):
    model, conditions = small()
    known = codes_of(model, conditions)[..., :3]
    for given in (None, known, known[..., :1]):
        runs = []
        for each in (Session, kind):
            session, weights = begun(each, model, conditions)
            runs.append(torch.stack(list(continue_steps(session, None, 6, weights, GREEDY, known=given)), dim=1))
        assert torch.equal(*runs)
        codes = Pattern(4, 3).revert(runs[0])
        assert given is None or torch.equal(codes[..., : given.shape[-1]], given)


def test_a_mono_model_of_one_codebook_has_steps_without_a_code(records):
    model, conditions = small(channels=1, codebooks=1)
    runs = []
    with torch.no_grad():
        for kind in (Session, StaticSession, GraphSession):
            session, weights = begun(kind, model, conditions, steps=12)
            runs.append(torch.stack(list(continue_steps(session, None, 6, weights, GREEDY)), dim=1))
    assert torch.equal(runs[0], runs[1]) and torch.equal(runs[0], runs[2])


@torch.no_grad()
@pytest.mark.parametrize("kind", [StaticSession, GraphSession])
@pytest.mark.parametrize("start", [1, 6, 7, 12])
def test_a_session_may_go_on_from_any_place(records, kind, start):
    model, conditions = small()
    ids = some_ids(4, 2)
    whole, _ = begun(Session, model, conditions)
    wanted = along(whole, ids)[start:]
    session, _ = begun(kind, model, conditions)
    session.cache[:, :, :, :, :start] = whole.cache[:, :, :, :, :start]
    session.place = start
    for ours, theirs in zip(along(session, ids, start), wanted, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_kind_of_step_is_recorded_once_and_goes_on_to_the_next_clip(records, dtype):
    model, conditions = small()
    prepared = Prepared(model, dtype, compiled=False)
    ids, others = some_ids(4, 2), some_ids(4, 2, seed=2)
    first = [x.clone() for x in along(begun(GraphSession, model, conditions, prepared=prepared)[0], ids)]
    assert len(records) == 5  # 3 spans, even and odd; the last has one step
    moved = tuple(x.flip(0) for x in conditions)
    second = along(begun(GraphSession, model, moved, prepared=prepared)[0], others)
    fresh = along(begun(StaticSession, model, moved, dtype=dtype)[0], others)
    assert len(records) == 5
    for ours, theirs in zip(second, fresh, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5 if dtype == "float32" else 0.1, rtol=0)
    again = along(begun(GraphSession, model, conditions, prepared=prepared)[0], ids)
    assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True)) and len(records) == 5


@torch.no_grad()
def test_other_sizes_are_recorded_anew_and_two_sessions_at_once_keep_apart(records):
    model, conditions = small()
    prepared = Prepared(model, "float32", compiled=False)
    ids = some_ids(4, 2)
    wanted = along(begun(Session, model, conditions)[0], ids)
    one, two = (begun(GraphSession, model, conditions, prepared=prepared)[0] for _ in range(2))
    assert one.cache.data_ptr() != two.cache.data_ptr()
    pairs = [(one.step(i, s), two.step(i, s)) for i, s in ((None, Pattern(4, 3).streams_at(0, 6)),
                                                           (ids[:, 0], Pattern(4, 3).streams_at(1, 6)))]  # fmt: skip
    for pair, theirs in zip(pairs, wanted):
        assert all(torch.allclose(ours, theirs, atol=1e-5, rtol=0) for ours in pair)
    del one, two
    assert prepared.kept is not None
    single = [x[:1] for x in conditions]
    alone = along(begun(GraphSession, model, single, prepared=prepared)[0], ids[:1])
    for ours, theirs in zip(alone, wanted, strict=True):
        assert torch.allclose(ours, theirs.unflatten(0, (2, 2))[:, 0], atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="41 steps.*positions for 40"):
        begun(GraphSession, model, conditions, steps=41)


@torch.no_grad()
def test_a_record_asks_the_gpu_for_nothing(records):
    model, conditions = small()
    along(begun(GraphSession, model, conditions)[0], some_ids(4, 2))
    operations = [name for record in records for name in record.operations]
    names = [name.split(".")[1] for name in operations if name.startswith("aten.")]
    assert len(names) > 100 and [name for name in names if name in WAITS] == []


@torch.no_grad()
def test_what_an_earlier_clip_left_in_the_cache_does_not_matter():
    model, conditions = small()
    prepared, ids = Prepared(model, "float32", compiled=False), some_ids(4, 2)
    session, _ = begun(StaticSession, model, conditions, prepared=prepared)
    wanted = along(session, ids)
    where = session.cache.data_ptr()
    session.cache.fill_(torch.nan)
    del session
    session, _ = begun(StaticSession, model, conditions, prepared=prepared)
    assert session.cache.data_ptr() == where
    assert all(torch.equal(x, y) for x, y in zip(along(session, ids), wanted, strict=True))


def test_a_session_may_begin_within_inference_mode_and_the_next_without():
    model, conditions = small()
    prepared, ids = Prepared(model, "float32", compiled=False), some_ids(4, 2)
    for mode in (torch.inference_mode, torch.no_grad, torch.inference_mode):
        with mode():
            along(begun(StaticSession, model, conditions, prepared=prepared)[0], ids)


# ---- on a GPU


@CUDA
@torch.no_grad()
@pytest.mark.parametrize("clips", [1, 3])
def test_on_a_gpu_graphs_give_the_logits_of_the_plain_session(clips):
    model, conditions = small(clips=clips)
    model, conditions, ids = model.to("cuda"), [x.to("cuda") for x in conditions], some_ids(4, clips).to("cuda")
    prepared = Prepared(model, "float32", compiled=False)
    wanted = along(begun(Session, model, conditions, prepared=prepared)[0], ids)
    for turn in range(2):
        session, _ = begun(Prepared.begin, model, conditions, prepared=prepared)
        assert isinstance(session, GraphSession) and len(session.static.graphs.recorded) == (5 if turn else 0)
        for ours, theirs in zip(along(session, ids), wanted, strict=True):
            assert torch.allclose(ours, theirs, atol=1e-4, rtol=0)
        del session


@CUDA
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_on_a_gpu_greedy_codes_of_many_clips_in_a_row(dtype):
    model, conditions = small()
    wanted = codes_of(model, conditions, joint_guidance(1.0))
    prepared = Prepared(model.to("cuda"), dtype, compiled=False)
    conditions = [x.to("cuda") for x in conditions]
    runs = [codes_of(prepared, conditions, joint_guidance(1.0)).cpu() for _ in range(3)]
    assert all(torch.equal(run, runs[0]) for run in runs)
    assert dtype == "bfloat16" or torch.equal(runs[0], wanted)
