"""Swift's packages, in an environment of their own, and its configuration."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from pathlib import Path

from deploy.files import Place, locked, write_private
from deploy.waiting import DeployError, run

HERE = Path(__file__).parent
PACKAGES = HERE / "swift.txt"
MODULES = HERE / "in_swift"
REGION = "us-east-1"
ACCOUNT = "wav2pix"
TRAINER = "trainer"
MLFLOW = "mlflow"

SWIFT_CONF = """
[swift-hash]
swift_hash_path_prefix = {hash}
swift_hash_path_suffix = {hash}
[swift-constraints]
max_file_size = 5497558138880
"""

SERVER = """
[DEFAULT]
bind_ip = {host}
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
devices = {folder}
mount_check = false
disable_fallocate = true
db_preallocation = off
log_level = WARNING
"""

STORAGE = """
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
log_requests = false
"""

# A store of one disk may hold objects of 50 TB and more in parts; Swift's own 1,000 parts end at 10 GB.
PROXY = """
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck {busy} listing_formats s3api tempauth bulk copy slo dlo \
versioned_writes symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:tempauth]
{auth}
user_{account}_{trainer} = {trainer_secret} .admin
user_{account}_{mlflow} = {mlflow_secret} .admin
[filter:s3api]
use = egg:swift#s3api
location = {region}
max_upload_part_num = 10000
[filter:slo]
use = egg:swift#slo
max_manifest_segments = 10000
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
"""
PLAIN_FILTERS = (
    "catch_errors",
    "gatekeeper",
    "healthcheck",
    "listing_formats",
    "bulk",
    "copy",
    "dlo",
    "symlink",
)

FAULTS = """
[filter:busy]
paste.filter_factory = wav2pix_faults:busy
folder = {folder}
"""


def configure(place: Place, folder: Path) -> None:
    """Write what Swift's four servers read, into ``folder``."""
    (folder / "disk").mkdir(exist_ok=True)
    _check_attributes(folder)
    ports = place.ports
    write_private(folder / "swift.conf", SWIFT_CONF.format(hash=place.secrets.swift_hash))
    common = {"host": place.host, "folder": folder, "user": _own_name()}
    storage = {"account": ports.s3_accounts, "container": ports.s3_containers, "object": ports.s3_objects}
    for kind, port in storage.items():
        write_private(folder / f"{kind}.conf", SERVER.format(port=port, **common) + STORAGE.format(kind=kind))
    write_private(folder / "proxy.conf", SERVER.format(port=ports.s3, **common) + _proxy(place, folder))
    _make_rings(folder, [place.host, *(str(port) for port in storage.values())])


def _proxy(place: Place, folder: Path) -> str:
    auth = f"paste.filter_factory = wav2pix_faults:auth\nfolder = {folder}"
    text = PROXY.format(
        busy="busy" if place.faults else "",
        auth=auth if place.faults else "use = egg:swift#tempauth",
        account=ACCOUNT,
        trainer=TRAINER,
        trainer_secret=place.secrets.s3,
        mlflow=MLFLOW,
        mlflow_secret=place.secrets.s3_of_mlflow,
        region=REGION,
    )
    plain = "".join(f"[filter:{name}]\nuse = egg:swift#{name}\n" for name in PLAIN_FILTERS)
    return text + plain + (FAULTS.format(folder=folder) if place.faults else "")


def _make_rings(folder: Path, addresses: list[str]) -> None:
    made_for = folder / "rings-made-for"
    if made_for.exists() and made_for.read_text().split() == addresses:
        return
    run([environment() / "bin" / "python", MODULES / "rings.py", folder, *addresses])
    write_private(made_for, " ".join(addresses))


def environment() -> Path:
    """Swift's virtual environment; one for all folders of services of this user."""
    version = PACKAGES.read_text().partition("swift==")[2].split()[0]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "wav2pix" / f"swift-{version}-python{sys.version_info.major}.{sys.version_info.minor}"


def install() -> None:
    """Make Swift's environment, once; who comes while another makes it waits for that one."""
    folder = environment()
    if (folder / ".whole").exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f"{folder.name}.lock"), timeout_s=900):
        if (folder / ".whole").exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "venv", folder], timeout_s=120)
        pip = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--requirement"]
        run([folder / "bin" / "python", *pip, PACKAGES], env=dict(os.environ), timeout_s=600)
        (folder / ".whole").touch()


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError as error:
        raise DeployError(f"the user {os.geteuid()} has no name here, and the servers ask for one") from error


def _check_attributes(folder: Path) -> None:
    try:
        os.setxattr(folder, "user.wav2pix", b"1")
    except OSError as error:
        raise DeployError(
            f"{folder}: this file system keeps no extended attributes, which Swift needs ({error.strerror}); "
            "choose a folder on a local disk with --folder"
        ) from error
