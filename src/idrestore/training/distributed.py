"""Training in several processes, started by torchrun: N of them do the steps of one with N times the batch.

Outside torchrun every function does nothing. Gradients are averaged after each backward pass, in one transfer: what
a step does is plain to see, and nothing has to be told when the network changes its hub at the boundary.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed.nn  # now: imported later, its functions keep the group as a default, and its threads alive
from torch import Tensor, distributed, nn


@contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """Join torchrun's processes, over NCCL on CUDA and gloo elsewhere; give this process its own device."""
    if not _is_launched():
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        distributed.destroy_process_group()


def rank() -> int:
    """Return this process's number; number 0 writes files and speaks."""
    return int(os.environ["RANK"]) if _is_launched() else 0


def size() -> int:
    """Return how many processes there are."""
    return int(os.environ["WORLD_SIZE"]) if _is_launched() else 1


def _is_launched() -> bool:
    """Tell whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def gather(values: Tensor) -> Tensor:
    """Return the rows of all processes, in their order: of (B, ...) here, (N·B, ...)."""
    if size() == 1:
        return values
    parts = [torch.empty_like(values, memory_format=torch.contiguous_format) for _ in range(size())]
    distributed.all_gather(parts, values.contiguous())
    return torch.cat(parts)


def any_of(here: bool, device: torch.device) -> bool:
    """Tell whether something is so in any process."""
    if size() == 1:
        return here
    return bool(gather(torch.tensor([here], dtype=torch.float32, device=device)).any())


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over processes; a parameter that no process used keeps none."""
    if size() == 1:
        return
    learned = [parameter for parameter in parameters if parameter.requires_grad]
    sums = [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in learned]
    users = torch.tensor([p.grad is not None for p in learned]).to(sums[0])
    flat = torch.cat([*sums, users])
    distributed.all_reduce(flat)
    *means, users = (flat / size()).split([*(p.numel() for p in learned), len(learned)])
    for parameter, mean, share_of_users in zip(learned, means, users.tolist(), strict=True):
        # Like its parameter, a gradient may lie in channels_last order, which fused optimisers rely on.
        parameter.grad = torch.empty_like(parameter).copy_(mean.view_as(parameter)) if share_of_users else None


def share(module: nn.Module) -> None:
    """Give every process the parameters and buffers of number 0."""
    if size() > 1:
        for tensor in module.state_dict().values():
            distributed.broadcast(tensor, 0)
