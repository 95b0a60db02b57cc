"""Memory that kernels write into again and again."""

import threading
import weakref

import torch
from ds_core.kernels import scratch as module
from ds_core.kernels.scratch import Scratch, scratch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode


def test_a_name_has_one_memory_that_grows():
    x = torch.ones(1)
    small = scratch("test", (2, 3), x)
    assert small.shape == (2, 3)
    assert scratch("test", (3,), x).data_ptr() == small.data_ptr()
    assert scratch("another", (3,), x).data_ptr() != small.data_ptr()
    assert scratch("test", (3,), x.double()).dtype == torch.float64
    large = scratch("test", (100,), x)
    assert scratch("test", (2, 3), x).data_ptr() == large.data_ptr()
    assert scratch("test", (0, 3), x).shape == (0, 3)
    assert scratch("test", (), x).shape == ()


def test_shapes_are_kept_until_there_are_too_many(monkeypatch):
    monkeypatch.setattr(module, "SHAPES", 3)
    scratch.release()
    x = torch.ones(1)
    first = scratch("test", (8,), x)
    assert scratch("test", [8], x) is first
    for n in range(1, 8):
        assert scratch("test", (n,), x).shape == (n,)
    (memory,) = scratch.memory.values()
    assert len(memory.views) <= 3
    assert scratch("test", (8,), x).data_ptr() == first.data_ptr()


def test_memory_that_was_too_small_is_let_go():
    scratch.release()
    x = torch.ones(1)
    scratch("test", (4,), x)
    small = [weakref.ref(memory.numbers) for memory in scratch.memory.values()]
    scratch("test", (400,), x)
    assert [one() for one in small] == [None]


def test_memory_for_a_while_is_kept_however_large_it_is():
    memory, x, many = Scratch(), torch.ones(1), 2 * module.LARGEST
    first = memory("test", (many,), x)
    assert memory("test", (2, many // 2), x).data_ptr() == first.data_ptr()
    assert scratch("test", (many,), x) is not scratch("test", (many,), x)


def test_threads_have_their_own():
    x, places = torch.ones(1), [scratch("test", (4,), torch.ones(1)).data_ptr()]
    thread = threading.Thread(target=lambda: places.append(scratch("test", (4,), x).data_ptr()))
    thread.start()
    thread.join()
    assert places[0] != places[1]


def test_what_is_very_large_is_not_kept(monkeypatch):
    monkeypatch.setattr(scratch, "largest", 8)
    scratch.release()
    scratch("test", (9,), torch.ones(1))
    assert not scratch.memory
    scratch("test", (8,), torch.ones(1))
    assert [len(memory.numbers) for memory in scratch.memory.values()] == [8]
    scratch.release()
    assert not scratch.memory


def test_memory_from_inference_mode_serves_outside_it():
    scratch.release()
    with torch.inference_mode():
        scratch("test", (4,), torch.ones(1))
    scratch("test", (4,), torch.ones(1)).fill_(2)


def test_a_tensor_without_numbers_leaves_none_behind():
    scratch.release()
    with FakeTensorMode():
        assert isinstance(scratch("test", (2, 3), torch.ones(1)), FakeTensor)
    assert not scratch.memory
    real = scratch("test", (2, 3), torch.ones(1))
    assert type(real) is torch.Tensor
