"""Where a Swift of one disk keeps accounts, containers, objects: ``rings.py FOLDER HOST PORT PORT PORT``."""

import sys
from pathlib import Path

from swift.common.ring import RingBuilder


def main(folder: str, host: str, *ports: str) -> None:
    for kind, port in zip(("account", "container", "object"), ports, strict=True):
        builder = RingBuilder(part_power=6, replicas=1, min_part_hours=0)
        address = {"ip": host, "port": int(port), "replication_ip": host, "replication_port": int(port)}
        builder.add_dev(
            {"id": 0, "region": 1, "zone": 1, "device": "disk", "weight": 1.0, "meta": ""} | address
        )
        builder.rebalance()
        builder.get_ring().save(str(Path(folder, f"{kind}.ring.gz")))


main(*sys.argv[1:])
