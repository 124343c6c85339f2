"""How far a long loop says it is."""

import io

import pytest

from stgrpo import progress


class Terminal(io.StringIO):
    """A terminal that remembers what it showed."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar_and_no_lines(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    terminal = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", terminal)
    with progress.Progress(40, "question", done=10) as shown:
        shown.update(30, "accuracy 0.50")
    assert "40/40" in terminal.getvalue()
    assert "accuracy 0.50" in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_a_log_holds_plain_lines(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    """One when patience is over, and one at the end."""
    now = iter([0.0, 5.0, 20.0, 21.0, 30.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    with progress.Progress(40, "question", done=10) as shown:
        for _ in range(3):
            shown.update(5)
        shown.update(15, "accuracy 0.50")
    out, err = capsys.readouterr()
    assert out == "question 20/40, 20 s\nquestion 40/40: accuracy 0.50, 30 s\n"
    assert err == ""


def test_bytes_are_told_with_their_rate_and_the_time_that_is_left(capsys, monkeypatch: pytest.MonkeyPatch):
    """0.5 GB came before; 2 GB in 20 s are 100 MB/s, at which 7.5 GB take 75 s."""
    now = iter([0.0, 20.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    with progress.Transfer(10_000_000_000, done=500_000_000) as shown:
        shown.update(2_000_000_000)
    assert capsys.readouterr().out == "2.5 GB of 10 GB, 100 MB/s, 0:01:15 left\n"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_600, "1 MB"), (309e9, "309 GB"), (1.5e12, "1500 GB")],
)
def test_amounts(count: float, text: str):
    assert progress.amount(count) == text
