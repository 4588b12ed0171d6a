"""The bridge that the hosts of a testbed hang on."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.processes import start_time
from tests.cluster.waiting import TestbedError, run

MAX_NETWORKS = 16


@dataclass(frozen=True)
class Host:
    """A host of the cluster; ``link`` is the outer end of its cable."""

    name: str
    address: str
    link: str


@dataclass(frozen=True)
class Network:
    """A bridge and its addresses, ``10.77.NUMBER.0/24``. The number tells it from others on the machine."""

    number: int

    @classmethod
    def claim(cls) -> Network:
        """A new bridge, or one that a dead process left: a bridge bears the name of its owner."""
        for number in range(MAX_NETWORKS):
            network = cls(number)
            if network._claim():
                return network
        raise TestbedError(f"{MAX_NETWORKS} testbeds run on this machine: `ip link` shows their bridges")

    @property
    def bridge(self) -> str:
        return f"slurmbed{self.number}"

    @property
    def controller(self) -> str:
        """The address of slurmctld, and of whatever else of this machine the hosts need."""
        return self._address(1)

    def hosts(self, num_hosts: int) -> tuple[Host, ...]:
        numbers = range(1, num_hosts + 1)
        return tuple(Host(f"node{n}", self._address(10 + n), f"{self.bridge}n{n}") for n in numbers)

    def release(self) -> None:
        run(["ip", "link", "delete", self.bridge])

    def _address(self, last: int) -> str:
        return f"10.77.{self.number}.{last}"

    def _claim(self) -> bool:
        with suppress(OSError):
            owner = Path(f"/sys/class/net/{self.bridge}/ifalias").read_text().strip()
            pid, _, started = owner.partition(" ")
            if not started or start_time(int(pid)) == started:
                return False
            self.release()
        try:
            run(["ip", "link", "add", "name", self.bridge, "type", "bridge"])
        except TestbedError as error:
            if "File exists" in str(error):
                return False
            raise
        owner = f"{os.getpid()} {start_time(os.getpid())}"
        run(["ip", "link", "set", "dev", self.bridge, "alias", owner, "up"])
        run(["ip", "address", "add", f"{self.controller}/24", "dev", self.bridge])
        return True
