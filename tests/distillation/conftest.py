"""Set one thread: on a busy machine several wait for each other, and tiny tensors take a hundred times as long."""

from importlib.util import find_spec

if find_spec("torch") is not None:
    import torch

    torch.set_num_threads(1)
