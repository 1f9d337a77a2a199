# Copyright 2026 The scene_geo_loc authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Training in several processes, one for each GPU, as `torchrun` starts them; else there is one."""

from __future__ import annotations

import gc
import os
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

_TIMEOUT = timedelta(hours=2)
"""Time that the others wait for the first process to validate or to pack images."""


class Processes:
    """All processes of a training run; the process of rank 0 validates and writes.

    Attributes:
        rank: number of this process.
        count: number of processes.
        device: of this process.
    """

    def __init__(self, device: torch.device) -> None:
        self.rank, self.count, self.device = 0, 1, device
        if "WORLD_SIZE" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
            return
        self.rank, self.count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        if device.type == "cuda":
            self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(self.device)
        if not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)

    @property
    def is_first(self) -> bool:
        """True if this process validates and writes."""
        return self.rank == 0

    def parallel(self, module: nn.Module) -> nn.Module:
        """Returns the module with its gradients averaged over all processes."""
        if self.count == 1:
            return module
        # The statistics of batch norms are those of the first process, which writes the checkpoint.
        return DistributedDataParallel(module, find_unused_parameters=True)

    def part(self, values: Tensor) -> Tensor:
        """Returns this process's share of a mini-batch."""
        return values[self.rank :: self.count]

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Returns the means of values over all processes."""
        if self.count == 1:
            return values
        tensor = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        return dict(zip(values, (tensor / self.count).tolist(), strict=True))

    def from_first(self, value: Any) -> Any:
        """Returns the value of the first process, for which all others wait."""
        if self.count == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, device=self.device)
        return box[0]

    def close(self) -> None:
        """Waits for the others and leaves the group; the modules of `parallel` must no longer be in use."""
        if self.count > 1:
            gc.collect()  # cycles may keep parallel modules alive, with whose threads torch may abort
            dist.barrier()
            dist.destroy_process_group()
