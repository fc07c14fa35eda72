"""Memory while something runs: of one process, or what the host has left. Watched from a thread, in MB.

What a process had at the most can be read from the kernel afterwards; what the host had at the least cannot. Both are
looked at again and again, so a peak between two looks is missed: bounds are to lie far from what is expected.
"""

import threading
from pathlib import Path

LOOK_EVERY_S = 0.05


def _megabytes(file, name):
    lines = Path(file).read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) // 1024


def resident(pid):
    return _megabytes(f"/proc/{pid}/status", "VmRSS")


def available():
    """What the host could give to whoever asked."""
    return _megabytes("/proc/meminfo", "MemAvailable")


class Watch:
    """Looks at a figure while its block runs."""

    def __init__(self, figure):
        self.figure = figure
        self.done = threading.Event()
        self.watcher = threading.Thread(target=self._look)

    def __enter__(self):
        self.before = self.least = self.most = self.figure()
        self.watcher.start()
        return self

    def _look(self):
        while not self.done.wait(LOOK_EVERY_S):
            now = self.figure()
            self.least, self.most = min(self.least, now), max(self.most, now)

    def __exit__(self, *_):
        self.done.set()
        self.watcher.join()

    @property
    def taken(self):
        """The most by which the figure fell."""
        return self.before - self.least

    @property
    def growth(self):
        """The most by which it rose."""
        return self.most - self.before


def of_host():
    return Watch(available)


def of_process(pid):
    return Watch(lambda: resident(pid))
