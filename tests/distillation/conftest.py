"""Tiny tensors need one thread: on a busy machine several wait for each other, a hundred times as long."""

import torch

torch.set_num_threads(1)
