"""How far a long loop is: a bar on a terminal, a plain line now and then in a log."""

import sys
import time
from datetime import timedelta
from typing import Self

from tqdm import tqdm

_PATIENCE = 15.0  # seconds between two lines of a log


class Progress:
    """Use as a context manager, or close it; `update` after every piece of work."""

    def __init__(self, total: int, unit: str, done: int = 0) -> None:
        self.total, self.unit, self.done = total, unit, done
        self.begun = done
        self.bar = tqdm(total=total, initial=done, unit=unit, unit_scale=unit == "B", disable=not sys.stderr.isatty())
        self.start = self.last = time.monotonic()

    def __enter__(self) -> Self:
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
            print(self._line(note, now - self.start), flush=True)

    def _line(self, note: str, seconds: float) -> str:
        behind = f": {note}" if note else ""
        return f"{self.unit} {self.done}/{self.total}{behind}, {seconds:.0f} s"

    def close(self) -> None:
        """Leave the terminal tidy."""
        self.bar.close()


class Transfer(Progress):
    """Bytes on their way; `done` of them came before."""

    def __init__(self, total: int, done: int = 0) -> None:
        super().__init__(total, "B", done)

    def _line(self, note: str, seconds: float) -> str:
        rate = max(1.0, (self.done - self.begun) / max(seconds, 1e-3))
        left = timedelta(seconds=round((self.total - self.done) / rate))
        return f"{amount(self.done)} of {amount(self.total)}, {amount(rate)}/s, {left} left"


def amount(count: float) -> str:
    """Bytes in a unit that leaves few digits: 1.23 GB is 1,230,000,000."""
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB" if count < 999.5 else f"{count:.0f} GB"
