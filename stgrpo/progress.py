"""How far a long loop is: a bar on a terminal, a plain line now and then in a log."""

import sys
import time

from tqdm import tqdm

_PATIENCE = 15.0  # seconds between two lines of a log


class Progress:
    """Use as a context manager, or close it; `update` after every piece of work."""

    def __init__(self, total: int, unit: str, done: int = 0) -> None:
        self.total, self.unit, self.done = total, unit, done
        self.bar = tqdm(total=total, initial=done, unit=unit, disable=not sys.stderr.isatty())
        self.start = self.last = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, count: int = 1, note: str = "") -> None:
        """Count work done; `note` says what is worth knowing about it."""
        self.done += count
        self.bar.update(count)
        self.bar.set_postfix_str(note)
        now = time.monotonic()
        if self.bar.disable and (self.done == self.total or now - self.last > _PATIENCE):
            self.last = now
            behind = f": {note}" if note else ""
            print(f"{self.unit} {self.done}/{self.total}{behind}, {now - self.start:.0f} s", flush=True)

    def close(self) -> None:
        """Leave the terminal tidy."""
        self.bar.close()
