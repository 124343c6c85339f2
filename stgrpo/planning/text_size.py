"""How large a scale is, for people: what it fetches, what it takes of a disk and of a GPU."""

from collections.abc import Sequence

from stgrpo.planning.disk import Disk
from stgrpo.planning.downloads import Download
from stgrpo.planning.gpu import Fit
from stgrpo.planning.memory import Memory
from stgrpo.planning.text import aligned, size

_GB = 1e9  # as the Hub counts


def fetching(found: Sequence[Download]) -> list[str]:
    """A line a source: GB, how many of them are there, and how that is known."""
    if not found:
        return []
    rows = [["to fetch", "GB", "there", "known from"]]
    rows += [[one.name, _gb(one.size), _gb(one.there), one.basis] for one in found]
    rows += [["in all", _gb(_fetched(found)), _gb(sum(one.there for one in found)), ""]]
    return ["", *aligned(rows)]


def storing(found: Sequence[Download], trainings: Disk | None) -> list[str]:
    """The disk of everything at its peak: what is fetched, unpacked beside its archives, and what is trained."""
    if not found:
        return []
    fetched, unpacked = _fetched(found), sum(one.unpacked for one in found)
    parts = [f"{size(fetched)} fetched", f"{size(unpacked)} unpacked beside it"]
    if trainings:
        parts.append(f"{size(trainings.peak)} for the trainings")
    total = size(fetched + unpacked + (trainings.peak if trainings else 0))
    return [
        f"  with the downloads: {total} ({', '.join(parts)})",
        "    archives stay, and videos take as much room unpacked; answers and scores take less than 1 GiB",
    ]


def gpus(found: Sequence[Fit]) -> list[str]:
    """What a job takes of a GPU, by phase and part."""
    return [line for fit in found for line in ["", *_of(fit)]]


def _of(fit: Fit) -> list[str]:
    verdict = "" if fit.given is None else f": {'fits' if fit.fits else 'does not fit'} into {size(fit.given)}"
    load = fit.load
    return [
        f"Memory of each GPU of {fit.job}, by arithmetic: {size(fit.memory.peak)} at the peak{verdict}",
        f"  {fit.how}; prompts of up to {load.prompt:,} tokens, answers of up to {load.answer:,}",
        *_table(fit.memory),
    ]


def _table(memory: Memory) -> list[str]:
    """A line a part, a column a phase."""
    parts = dict.fromkeys(part for phase in memory.phases.values() for part in phase if part != "allowance")
    rows = [["  GiB", *memory.phases]]
    for part in (*parts, "allowance"):
        sizes = [phase.get(part) for phase in memory.phases.values()]
        rows.append([f"  {part}", *("-" if one is None else f"{one / 2**30:.1f}" for one in sizes)])
    rows.append(["  in all", *(f"{memory.total(phase) / 2**30:.1f}" for phase in memory.phases)])
    return aligned(rows)


def _fetched(found: Sequence[Download]) -> int:
    return sum(one.size or 0 for one in found)


def _gb(count: int | None) -> str:
    if count is None:
        return "unknown"
    return f"{count / _GB:,.1f}"
