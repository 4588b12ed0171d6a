"""Where and how a run is computed: device, precision, memory layout, threads."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from wav2pix.config import RuntimeConfig
from wav2pix.errors import ConfigError

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Runtime:
    """The choices of a :class:`RuntimeConfig`, made for this machine."""

    device: torch.device
    bfloat16: bool
    channels_last: bool
    compile: bool

    @classmethod
    def of(cls, config: RuntimeConfig) -> Runtime:
        """Resolve ``auto``; sets the number of CPU threads of this process.

        Raises:
            ConfigError: the device does not exist here.
        """
        if config.num_threads:
            torch.set_num_threads(config.num_threads)
        device = resolve_device(config.device)
        on_cuda = device.type == "cuda"
        return cls(
            device=device,
            bfloat16=config.precision == "bfloat16" or (config.precision == "auto" and on_cuda),
            channels_last=config.channels_last,
            compile=config.compile and on_cuda,
        )

    def place(self, network: M) -> M:
        """Move a network to the device in the memory layout that convolutions like."""
        network = network.to(self.device)
        if self.channels_last:
            for module in network.modules():
                if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # stub lacks it
        return network

    def autocast(self) -> AbstractContextManager[object]:
        """Mixed precision where it was chosen."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)


def resolve_device(name: str) -> torch.device:
    """The device called ``name``, or the best one for ``auto``.

    Raises:
        ConfigError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError("runtime.device", f"no device '{name}'; use auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError("runtime.device", f"no CUDA device on this machine for runtime.device '{name}'")
    return device
