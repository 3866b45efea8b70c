"""A whole build on a disk that is really too small: a clear error, and the last good snapshot stays."""

import os
import subprocess
import sys

import pytest

from regulars.app.build import build
from regulars.sql.errors import WarehouseError
from regulars.sql.snapshot import Warehouse

# Of the room that a run takes: these run out while tables are written, and when it is published.
SHARES = (0.05, 0.35, 0.7, 0.95)

LIMITED = """
import resource, signal, sys
from regulars.app.build import build
from regulars.sql.errors import WarehouseError
from regulars.sql.settings import Settings
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
settings = Settings.from_toml(sys.argv[1], value={"horizon": 9})
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    build(settings, progress=False)
except WarehouseError as error:
    print(error)
"""


class Disk:
    """A disk of a set size where the machine lets us mount one; elsewhere the kernel limits each file instead."""

    def __init__(self, folder) -> None:
        self.folder = folder
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=50m", "tmpfs", str(folder)]
        self.mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0

    def resize(self, kilobytes: int) -> None:
        command = ["mount", "-o", f"remount,size={kilobytes}k", str(self.folder)]
        subprocess.run(command, check=True)

    def used_kilobytes(self) -> int:
        status = os.statvfs(self.folder)
        return (status.f_blocks - status.f_bfree) * status.f_frsize // 1024

    def close(self) -> None:
        if self.mounted:
            subprocess.run(["umount", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path):
    disk = Disk(tmp_path / "disk")
    yield disk
    disk.close()


def test_a_build_on_a_full_disk(shop, disk):
    warehouse = Warehouse(disk.folder / "warehouse")
    shop.sections = shop.sections | {"build": {"warehouse": str(warehouse.path)}}
    settings_path = shop.write_settings()
    good = build(shop.settings(), progress=False)
    full = r"the disk is full: free space or set \[build\] warehouse to another.*the last good snapshot is untouched"
    needed = sum(-(-path.stat().st_size // 4096) * 4 for path in good.path.rglob("*"))  # in pages of 4 kB
    largest = max(path.stat().st_size for path in good.path.glob("*.parquet"))
    for share in SHARES:
        kilobytes = int(share * needed)
        if disk.mounted:
            disk.resize(disk.used_kilobytes() + kilobytes)
            with pytest.raises(WarehouseError, match=full):
                build(shop.settings(value={"horizon": 9}), progress=False)
            disk.resize(50_000)
        else:
            command = [sys.executable, "-c", LIMITED, str(settings_path), str(int(share * largest))]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            assert "the disk is full" in done.stdout
        assert warehouse.current().run_id == good.run_id
        assert [run.damage() for run in warehouse.runs()] == [[]]
        assert not list(warehouse.path.glob("staging/*"))
    assert build(shop.settings(value={"horizon": 9}), progress=False).run_id != good.run_id
