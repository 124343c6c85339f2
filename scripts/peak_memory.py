"""Peak memory of a process and of its children, for the scripts that compare."""

import multiprocessing
import re
import threading
import time
from pathlib import Path


class Peak(threading.Thread):
    """Peak memory in MB of this process and of the largest child; ru_maxrss would count the process that started it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.largest_child = 0.0
        self.start()

    def run(self) -> None:
        """Look at the children while they live."""
        while True:
            found = [_high_water(child.pid) for child in multiprocessing.active_children()]
            self.largest_child = max([self.largest_child, *found])
            time.sleep(0.05)

    def own(self) -> float:
        """Of this process until now."""
        return _high_water("self")


def _high_water(pid: int | str | None) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it has ended
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1e3 if found else 0.0
