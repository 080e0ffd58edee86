"""Full disks are known by any error; peak memory is in bytes on any system."""

import errno
import os
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

    def test_macos_counts_in_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        here = peak_memory()
        monkeypatch.setattr(sys, "platform", "darwin")
        assert (peak_memory() or 0) * 1024 == pytest.approx(here, rel=0.1)

    def test_where_the_system_does_not_say_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
        assert peak_memory() is None
