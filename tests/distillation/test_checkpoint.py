import errno
import resource
import signal

import pytest
import torch

from hpdsearch.distillation.checkpoint import read_checkpoint, write_checkpoint
from hpdsearch.errors import DistillError

TENSORS = {
    "a": torch.tensor([[1.5, -0.0], [float("nan"), 1e-40]]),
    "step": torch.tensor(7.0),
    "turned": torch.arange(6).reshape(2, 3).T,
    "none": torch.zeros(0, 3),
}
STATE = {"step": 7, "best": 0.1 + 0.2, "rows": [{"agreement": 1 / 3, "ü": None}]}


def test_tensors_and_numbers_are_read_back_bit_by_bit(tmp_path):
    write_checkpoint(tmp_path / "c", {"a": torch.zeros(3)}, {})
    write_checkpoint(tmp_path / "c", TENSORS, STATE)  # replaces the previous one
    tensors, state = read_checkpoint(tmp_path / "c")
    assert state == STATE
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert (tensors[name].dtype, tensors[name].shape) == (tensor.dtype, tensor.shape)
        assert tensors[name].numpy().tobytes() == tensor.contiguous().numpy().tobytes()
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_truncated_or_altered_checkpoint_is_read_as_none(tmp_path):
    path = tmp_path / "c"
    assert read_checkpoint(path) is None
    write_checkpoint(path, TENSORS, STATE)
    intact = path.read_bytes()
    for length in (0, 10, 32, 33, len(intact) // 2, len(intact) - 1):
        path.write_bytes(intact[:length])
        assert read_checkpoint(path) is None
    for place in [*range(0, len(intact), 7), len(intact) - 1]:
        path.write_bytes(intact[:place] + bytes([intact[place] ^ 4]) + intact[place + 1 :])
        assert read_checkpoint(path) is None
    path.write_bytes(intact + b"\0")
    assert read_checkpoint(path) is None
    path.write_bytes(intact)
    assert read_checkpoint(path) is not None


def test_a_full_disk_is_an_error_that_keeps_the_previous_checkpoint(tmp_path):
    path = tmp_path / "c"
    write_checkpoint(path, TENSORS, STATE)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as on a full disk, the write fails
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(DistillError, match=r"c: \d+ bytes cannot be written .*free disk space") as caught:
            write_checkpoint(path, {"a": torch.zeros(10_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert caught.value.__cause__.errno == errno.EFBIG
    assert read_checkpoint(path)[1] == STATE
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
