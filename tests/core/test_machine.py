"""Full disks are known by any error; peak memory is in bytes on any system."""

import errno
import os
import resource
import subprocess
import sys

import pytest

from ddgs_hub.core import machine
from ddgs_hub.core.machine import peak_memory


class TestFullDisk:
    def test_a_quota_is_the_same(self) -> None:
        error = OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "out/rows")
        assert str(machine.why_not_written(error)).startswith(
            f"cannot write out/rows: {os.strerror(errno.EDQUOT)}; free"
        )

    def test_another_error_is_another(self) -> None:
        assert machine.why_not_written(OSError(errno.ENOENT, os.strerror(errno.ENOENT))) is None


class TestPeakMemory:
    def test_in_bytes(self) -> None:
        assert 10**8 < (peak_memory() or 0) < 10**11  # this process has loaded PyTorch

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell the two apart")
    def test_of_this_process_and_not_of_the_one_that_started_it(self) -> None:
        held = b"\1" * 2**28
        code = "from ddgs_hub.core.machine import peak_memory; print(peak_memory())"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert 0 < int(done.stdout) < len(held)

    def test_macos_counts_in_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        counted = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        monkeypatch.setattr(sys, "platform", "darwin")
        assert peak_memory() == pytest.approx(counted, rel=0.1)

    def test_where_the_system_does_not_say_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
        assert peak_memory() is None
