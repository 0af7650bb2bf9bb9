"""How a step is cut into micro-batches and dealt to processes."""

import numpy as np
import pytest

from neurofm.training.dealing import dealt, loads

WILD = np.sort(np.random.default_rng(0).choice([19, 64, 306], 64)).astype(float)


@pytest.mark.parametrize("seed", range(30))
def test_every_window_goes_to_one_process(seed):
    """Of any widths, processes and micro-batches."""
    rng = np.random.default_rng(seed)
    for _ in range(20):
        processes, accumulate = int(rng.choice([1, 2, 3, 4, 8])), int(rng.choice([1, 2, 4]))
        n = processes * accumulate * int(rng.integers(1, 9))
        work = np.sort(rng.integers(1, rng.choice([2, 20, 400]), n)).astype(float)
        plan = dealt(work, processes, accumulate)
        found = [np.arange(n)[part] for micro_batch in plan for part in micro_batch]
        assert np.concatenate(found).tolist() == list(range(n))
        assert min(map(len, found)) >= 1
        assert {len(micro_batch) for micro_batch in plan} == {processes}
        assert len(plan) >= min(accumulate, 1)


@pytest.mark.parametrize(("processes", "accumulate"), [(1, 1), (2, 1), (1, 4), (4, 2), (8, 1)])
def test_windows_of_one_width_are_dealt_evenly(processes, accumulate):
    plan = dealt(np.full(16, 64.0), processes, accumulate)
    assert [[part.stop - part.start for part in micro_batch] for micro_batch in plan] == [
        [16 // processes // accumulate] * processes] * accumulate


def test_layouts_do_not_share_a_micro_batch():
    plan = dealt(WILD)
    assert [set(WILD[part]) for (part,) in plan] == [{19}, {64}, {306}]
    assert loads(WILD, plan) == WILD.sum()  # nothing is padded


def test_similar_widths_share_one():
    """Another pass would cost more than the padding."""
    assert len(dealt(np.array([60.0] * 4 + [62] * 8 + [64] * 4))) == 1
    assert len(dealt(np.array([5.0, 8, 12]))) == 1


def test_micro_batches_do_not_depend_on_processes():
    edges = [[micro_batch[-1].stop for micro_batch in dealt(WILD, processes)]
             for processes in (1, 2, 4, 8)]
    assert edges == [edges[0]] * 4


@pytest.mark.parametrize("processes", [2, 3, 4, 8])
def test_budget_of_processes(processes):
    load = loads(WILD, dealt(WILD[: 64 // processes * processes], processes))
    assert (load.max() - load.min()) / load.mean() < 0.1


def test_a_few_wide_windows_among_many_processes():
    """Each process gets a window of each micro-batch, and not all are padded for that."""
    work = np.array([19.0] * 253 + [306] * 3)
    plan = dealt(work, 8)
    assert [[part.stop - part.start for part in micro_batch] for micro_batch in plan] == [
        [31] * 8, [1] * 8]


def test_no_micro_batch_is_larger_than_asked():
    for accumulate in (2, 4, 8):
        plan = dealt(WILD, 1, accumulate)
        largest = max(loads(WILD, [micro_batch]).max() for micro_batch in plan)
        assert largest <= loads(WILD, plan).sum() / accumulate * 1.25
        assert accumulate <= len(plan) <= accumulate + 3
