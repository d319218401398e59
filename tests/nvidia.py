"""A machine with an NVIDIA driver of our own making, whose GPUs and processes the environment names."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DRIVER = r"""
#include <stdlib.h>
#include <string.h>
typedef struct { unsigned long long total, free, used; } memory;
typedef struct { unsigned pid; unsigned long long bytes; unsigned gpu, compute; } process;
static unsigned long long number(const char *name) { const char *v = getenv(name); return v ? atoll(v) : 0; }
int nvmlInitWithFlags(unsigned flags) { return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return "an error"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = number("FAKE_GPUS"); return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    *device = (void *)(size_t)(index + 1); return 0; }
int nvmlDeviceGetName(void *device, char *name, unsigned size) { strcpy(name, "Fake GPU"); return 0; }
int nvmlDeviceGetUUID(void *device, char *name, unsigned size) {
    strcpy(name, "GPU-0000"); name[4] = 'a' + (int)(size_t)device; return 0; }
static int held(void *device) { return (size_t)device == number("FAKE_HELD") + 1; }
int nvmlDeviceGetMemoryInfo(void *device, memory *m) {
    m->total = 24ULL << 30; m->used = held(device) ? number("FAKE_BYTES") : 0;
    m->free = m->total - m->used; return 0; }
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, process *found) {
    unsigned room = *count;
    if (number("FAKE_UNLISTED")) { *count = 0; return 3; }
    if (!held(device) || !number("FAKE_PID")) { *count = 0; return 0; }
    *count = 1;
    if (!room) return 7;
    memset(found, 0, sizeof *found); found->pid = number("FAKE_PID"); found->bytes = number("FAKE_BYTES");
    return 0; }
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *device, unsigned *count, process *found) {
    *count = 0; return 3; }
"""
EXAMINE = """
import json, sys
from pathlib import Path
from opv2v_doctor import Target
from opv2v_doctor.testing import run_check

target = Target(repo=Path(sys.argv[1]), python=Path(sys.argv[2]), gpus=int(sys.argv[3]))
result = run_check("ENV005", target)
found = {
    "status": result.status,
    "reason": str(result.reason or ""),
    "findings": [[f.severity.name, f.message, str(f.hint)] for f in result.findings],
    "examined": sum(one.count for one in result.examined),
}
print(json.dumps(found))
"""


def driver_in(folder: Path) -> Path:
    """Build the driver; the test is skipped where no compiler is installed."""
    if not (compiler := shutil.which("gcc")):
        pytest.skip("no gcc to build a driver with: apt-get install gcc libc6-dev")
    source, library = folder / "driver.c", folder / "libnvidia-ml.so.1"
    source.write_text(DRIVER)
    subprocess.run([compiler, "-shared", "-fPIC", "-w", "-o", library, source], check=True)
    return library


def with_driver(library: Path, repo: Path, python: Path, gpus: int, **env: object) -> dict[str, Any]:
    """What ENV005 says there, in a process of its own: a driver stays loaded."""
    words = {name: str(value) for name, value in env.items()}
    answer = subprocess.run(
        [sys.executable, "-c", EXAMINE, repo, python, str(gpus)],
        env={**os.environ, "LD_LIBRARY_PATH": str(library.parent), "FAKE_HELD": "99", **words},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found
