"""What a figure was measured on: the machine, the versions, the day, and whether other work was running."""

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path


def machine() -> str:
    """Processor, cores, memory and system in one line."""
    return f"{_processor()}, {os.cpu_count()} cores, {_memory_gb()} GB, {platform.system()} {platform.machine()}"


def versions(packages: Iterable[str]) -> str:
    """Python and the packages with their versions in one line."""
    return ", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in packages)])


def today() -> str:
    """Today's date, UTC."""
    return datetime.now(UTC).date().isoformat()


def load() -> str:
    """Say how busy the machine is before anything is measured; an idle one has a load near zero."""
    return f"load before start {os.getloadavg()[0]:.1f}"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gb() -> int:
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)
