"""Children of this process that may be killed at any moment: forked, so that nothing is loaded again."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable

import torch


class Child:
    """Runs `work` in a copy of this process, on one thread."""

    def __init__(self, work: Callable[[], None]):
        self.pid = os.fork()
        if self.pid:
            return
        code = 1
        try:
            torch.set_num_threads(1)  # the pool of threads is not in the copy
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def wait(self, seconds: float = 300) -> int:
        """How it ended: 0, 1 after an error, -9 if it was killed. One that hangs is killed, and an error."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.002)
        self.kill()
        os.waitpid(self.pid, 0)
        raise AssertionError("a child hangs")
