"""What people edit beside config.yaml, through the verbs that read it: tables of sources and of the paper, locks."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support import ROOT

from malformed.harness import Case
from stgrpo.__main__ import main
from stgrpo.config import Row
from stgrpo.planning import sources
from stgrpo.report.contents import Column, TableSpec

_RESOURCES = ROOT / "workflow" / "resources"
_SOURCES, _REPORTED = ((_RESOURCES / name).read_text(encoding="utf-8") for name in ("sources.csv", "reported.csv"))


def _plan(content: str | bytes | None) -> Callable[[Path], int]:
    """`plan` of scale paper, which is fetched, with another table of sources."""

    def run(folder: Path) -> int:
        shutil.copy(ROOT / "config.yaml", folder)
        sources._rows.cache_clear()  # of what an earlier test read
        sources.SOURCES = folder / "sources.csv"
        if content is not None:
            sources.SOURCES.write_bytes(content if isinstance(content, bytes) else content.encode())
        return main(["plan", "--scale", "paper"])

    return run


def _edited(text: str, old: str, new: str) -> str:
    assert text.count(old) >= 1, old
    return text.replace(old, new, 1)


def tabulated(folder: Path, inputs: list[str]) -> int:
    """`tabulate` of a row that the paper alone has."""
    columns = [Column(name="videomme", title="VideoMME", over=["videomme"], reported="videomme")]
    spec = TableSpec(
        name="table1",
        scale="paper",
        comparable=True,
        rendered=False,
        caption="The paper's.",
        rows=[Row(label="GPT-4o")],
        columns=columns,
        omitted=[],
        specs={},
    )
    words = ["tabulate", "--spec", spec.model_dump_json(), *inputs]
    return main([*words, "--tex", str(folder / "t.tex"), "--csv", str(folder / "t.csv")])


def _table(content: str | bytes | None) -> Callable[[Path], int]:
    """`tabulate` of rows that the paper alone has, with another table of its numbers."""

    def run(folder: Path) -> int:
        path = folder / "reported.csv"
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tabulated(folder, ["--metrics", "--graded", "--reported", str(path)])

    return run


def _audit(content: str) -> Callable[[Path], int]:
    """`audit` of another table of the paper's numbers."""

    def run(folder: Path) -> int:
        (folder / "reported.csv").write_text(content)
        return main(["audit", "--reported", str(folder / "reported.csv")])

    return run


_SOURCE = {"name": "c", "repository": "o/c", "type": "dataset", "patterns": ["*.json"], "licence": "MIT"}
_LOCK: dict[str, Any] = {
    "source": "c",
    "repository": "o/c",
    "type": "dataset",
    "commit": "0" * 40,
    "patterns": ["*.json"],
    "files": [{"path": "a.json", "size": 2, "sha256": "0" * 64}],
}


def _fetch(content: str | bytes) -> Callable[[Path], int]:
    """`fetch` under a lock; where it is not refused, this asks a Hub that is not there."""

    def run(folder: Path) -> int:
        (folder / "lock.json").write_bytes(content if isinstance(content, bytes) else content.encode())
        words = ["fetch", "--source", json.dumps(_SOURCE), "--lock", str(folder / "lock.json")]
        return main([*words, "--out", str(folder / "got" / "c.json")])

    return run


def _lock(**change: Any) -> Callable[[Path], int]:
    return _fetch(json.dumps({**_LOCK, **change}))


def _nothing_written(folder: Path) -> None:
    assert not (folder / "t.tex").exists() and not (folder / "t.csv").exists()
    assert not (folder / "got" / "c.json").exists()


_LINE = "table1,GPT-4o,videomme,71.9"
_CASES = [
    ("sources: no file", _plan(None)),
    ("sources: an empty file", _plan("")),
    ("sources: no UTF-8", _plan(_SOURCES.encode() + b"\xff\n")),
    ("sources: zeros", _plan(bytes(100))),
    ("sources: a column renamed", _plan(_edited(_SOURCES, "name,repository", "name,repo"))),
    ("sources: a cell too many", _plan(_edited(_SOURCES, "Apache-2.0,no,309", "Apache-2.0,no,309,1"))),
    ("sources: a cell too few", _plan(_edited(_SOURCES, ",no,309", ",309"))),
    ("sources: a quote that is not closed", _plan(_edited(_SOURCES, "mmvu,", '"mmvu,'))),
    ("sources: a row gone", _plan(_edited(_SOURCES, "mmvu,", "mvmu,"))),
    ("sources: a word for a size", _plan(_edited(_SOURCES, ",309\n", ",many\n"))),
    ("sources: NaN for a size", _plan(_edited(_SOURCES, ",309\n", ",nan\n"))),
    ("sources: a negative size", _plan(_edited(_SOURCES, ",309\n", ",-309\n"))),
    ("reported: no file", _table(None)),
    ("reported: an empty file", _table("")),
    ("reported: no UTF-8", _table(_REPORTED.encode("utf-16"))),
    ("reported: a column gone", _table(_edited(_REPORTED, "column,value", "value"))),
    ("reported: semicolons", _table(_REPORTED.replace(",", ";"))),
    ("reported: a row gone", _table(_REPORTED.replace("table1,GPT-4o,", "table1,GPT-5,"))),
    ("reported: a number twice", _table(_edited(_REPORTED, _LINE, f"{_LINE}\n{_LINE}"))),
    ("reported: a word for a number", _table(_edited(_REPORTED, _LINE, "table1,GPT-4o,videomme,high"))),
    ("reported: NaN", _table(_edited(_REPORTED, _LINE, "table1,GPT-4o,videomme,nan"))),
    ("reported: more than 100", _table(_edited(_REPORTED, _LINE, "table1,GPT-4o,videomme,719"))),
    ("reported: a decimal comma", _table(_edited(_REPORTED, _LINE, "table1,GPT-4o,videomme,71,9"))),
    ("reported: a decimal comma in quotes", _table(_edited(_REPORTED, _LINE, 'table1,GPT-4o,videomme,"7,1"'))),
    ("reported: a word for a number, audited", _audit(_edited(_REPORTED, _LINE, "table1,GPT-4o,videomme,high"))),
    ("reported: an exponent, audited", _audit(_edited(_REPORTED, _LINE, "table1,GPT-4o,videomme,1e999"))),
    ("reported: an unknown benchmark, audited", _audit(_edited(_REPORTED, _LINE, "table1,GPT-4o,videome,71.9"))),
    ("reported: a number twice, audited", _audit(_edited(_REPORTED, _LINE, f"{_LINE}\n{_LINE}"))),
    ("reported: its columns gone, audited", _audit(_REPORTED.partition("\n")[2])),
    ("lock: cut", _fetch(json.dumps(_LOCK)[:-30])),
    ("lock: an empty file", _fetch("")),
    ("lock: a list", _fetch("[]")),
    ("lock: no UTF-8", _fetch(b"\xff\xfe{}")),
    ("lock: no commit", _fetch(json.dumps({k: v for k, v in _LOCK.items() if k != "commit"}))),
    ("lock: a word for a size", _lock(files=[{"path": "a.json", "size": "big"}])),
    ("lock: an unknown key", _lock(colour="red")),
    ("lock: of another repository", _lock(repository="o/d")),
    ("lock: a path that leads elsewhere", _lock(files=[{"path": "../../a.json", "size": 2, "sha256": "0" * 64}])),
    ("lock: a path from the root", _lock(files=[{"path": "/tmp/a.json", "size": 2, "sha256": "0" * 64}])),
    ("lock: a negative size", _lock(files=[{"path": "a.json", "size": -2, "sha256": "0" * 64}])),
    ("lock: a hash that is none", _lock(files=[{"path": "a.json", "size": 2, "sha256": "zz"}])),
    ("lock: conflict marks of git", _fetch(f"<<<<<<< HEAD\n{json.dumps(_LOCK)}\n=======\n")),
]
_SAYS = {  # each whole line or reason; "..." is what another program or a library says
    "sources: no file": "plan: FOLDER/sources.csv: no such file",
    "sources: an empty file": (
        "plan: FOLDER/sources.csv: no column files, gated, gigabytes, licence, name, repository, type; its "
        "first line names the columns"
    ),
    "sources: no UTF-8": (
        "plan: FOLDER/sources.csv: no CSV (...); mend it, or restore it (git checkout FOLDER/sources.csv)"
    ),
    "sources: zeros": (
        "plan: FOLDER/sources.csv: no column files, gated, gigabytes, licence, name, repository, type; its "
        "first line names the columns"
    ),
    "sources: a column renamed": "plan: FOLDER/sources.csv: no column repository; its first line names the columns",
    "sources: a cell too many": "plan: FOLDER/sources.csv:2: not one cell a column; each line has the same columns",
    "sources: a cell too few": "plan: FOLDER/sources.csv:2: not one cell a column; each line has the same columns",
    "sources: a quote that is not closed": (
        "plan: FOLDER/sources.csv: no CSV (...); mend it, or restore it (git checkout FOLDER/sources.csv)"
    ),
    "sources: a row gone": "plan: FOLDER/sources.csv: no source 'mmvu'; did you mean 'mvmu'?",
    "sources: a word for a size": (
        "plan: FOLDER/sources.csv:2: gigabytes 'many' is no number from 0; leave it empty if none is known"
    ),
    "sources: NaN for a size": (
        "plan: FOLDER/sources.csv:2: gigabytes 'nan' is no number from 0; leave it empty if none is known"
    ),
    "sources: a negative size": (
        "plan: FOLDER/sources.csv:2: gigabytes '-309' is no number from 0; leave it empty if none is known"
    ),
    "reported: no file": "tabulate: FOLDER/reported.csv: no such file",
    "reported: an empty file": (
        "tabulate: FOLDER/reported.csv: no column column, row, table, value; its first line names the columns"
    ),
    "reported: no UTF-8": (
        "tabulate: FOLDER/reported.csv: no CSV (...); mend it, or restore it (git checkout FOLDER/reported.csv)"
    ),
    "reported: a column gone": "tabulate: FOLDER/reported.csv: no column column; its first line names the columns",
    "reported: semicolons": (
        "tabulate: FOLDER/reported.csv: no column column, row, table, value; its first line names the columns"
    ),
    "reported: a row gone": "tabulate: FOLDER/reported.csv: table1 has no row 'GPT-4o'; did you mean 'GPT-5'?",
    "reported: a number twice": (
        "tabulate: FOLDER/reported.csv:3: table1 has row 'GPT-4o', column 'videomme' already; drop one"
    ),
    "reported: a word for a number": (
        "tabulate: FOLDER/reported.csv:2: 'high' is no number from 0 to 100; where the paper prints none, drop the line"
    ),
    "reported: NaN": (
        "tabulate: FOLDER/reported.csv:2: 'nan' is no number from 0 to 100; where the paper prints none, drop the line"
    ),
    "reported: more than 100": (
        "tabulate: FOLDER/reported.csv:2: '719' is no number from 0 to 100; where the paper prints none, drop the line"
    ),
    "reported: a decimal comma": (
        "tabulate: FOLDER/reported.csv:2: not one cell a column; each line has the same columns"
    ),
    "reported: a decimal comma in quotes": (
        "tabulate: FOLDER/reported.csv:2: '7,1' is no number from 0 to 100; where the paper prints none, drop the line"
    ),
    "reported: a word for a number, audited": (
        "audit: FOLDER/reported.csv:2: 'high' is no number from 0 to 100; where the paper prints none, drop the line"
    ),
    "reported: an exponent, audited": (
        "audit: FOLDER/reported.csv:2: '1e999' is no number from 0 to 100; where the paper prints none, drop the line"
    ),
    "reported: an unknown benchmark, audited": (
        "audit: FOLDER/reported.csv: no benchmark 'videome'; known: videomme, vsibench, perceptiontest, "
        "tempcompass, videommmu, mmvu, average"
    ),
    "reported: a number twice, audited": (
        "audit: FOLDER/reported.csv:3: table1 has row 'GPT-4o', column 'videomme' already; drop one"
    ),
    "reported: its columns gone, audited": (
        "audit: FOLDER/reported.csv: no column column, row, table, value; its first line names the columns"
    ),
    "lock: cut": "fetch: FOLDER/lock.json: not JSON (...); remove it and run again",
    "lock: an empty file": "fetch: FOLDER/lock.json: not JSON (...); remove it and run again",
    "lock: a list": (
        "fetch: FOLDER/lock.json: no lock of a source (as a whole: ...); restore it, or delete it to fetch anew"
    ),
    "lock: no UTF-8": "fetch: FOLDER/lock.json: not JSON (...); remove it and run again",
    "lock: no commit": (
        "fetch: FOLDER/lock.json: no lock of a source (commit: ...); restore it, or delete it to fetch anew"
    ),
    "lock: a word for a size": (
        "fetch: FOLDER/lock.json: no lock of a source (files.0.size: ...); restore it, or delete it to fetch anew"
    ),
    "lock: an unknown key": (
        "fetch: FOLDER/lock.json: no lock of a source (colour: ...); restore it, or delete it to fetch anew"
    ),
    "lock: of another repository": (
        "fetch: FOLDER/lock.json: locks the dataset o/d, the table of sources names the dataset o/c; "
        "delete the lock to fetch that"
    ),
    "lock: a path that leads elsewhere": (
        "fetch: FOLDER/lock.json: no lock of a source ('../../a.json' leads out of its folder, or its size "
        "or hash is none); restore it, or delete it to fetch anew"
    ),
    "lock: a path from the root": (
        "fetch: FOLDER/lock.json: no lock of a source ('/tmp/a.json' leads out of its folder, or its size "
        "or hash is none); restore it, or delete it to fetch anew"
    ),
    "lock: a negative size": (
        "fetch: FOLDER/lock.json: no lock of a source ('a.json' leads out of its folder, or its size or "
        "hash is none); restore it, or delete it to fetch anew"
    ),
    "lock: a hash that is none": (
        "fetch: FOLDER/lock.json: no lock of a source ('a.json' leads out of its folder, or its size or "
        "hash is none); restore it, or delete it to fetch anew"
    ),
    "lock: conflict marks of git": "fetch: FOLDER/lock.json: not JSON (...); remove it and run again",
}


def _says(what: str) -> str:
    return re.escape(_SAYS[what]).replace(re.escape("..."), ".*")


CASES = [Case("tables and locks", what, run, _says(what), right=_nothing_written) for what, run in _CASES]
