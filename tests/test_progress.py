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
