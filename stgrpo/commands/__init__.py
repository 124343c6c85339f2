"""The verbs: one module each, with `register(parser)` and `run(args)`; its docstring is the help text."""

from argparse import ArgumentParser
from importlib import import_module
from types import ModuleType

VERBS = {
    "demo": "render the demo's world in the corpora's original formats",
    "warm": "make and train the demo's tiny models",
    "fetch": "bring a source's files, checked and unpacked",
    "prepare": "turn a corpus or a benchmark into questions",
    "score": "score the frames of the training questions",
    "train": "train one cell",
    "evaluate": "answer the benchmarks' questions with a cell",
    "grade": "score a cell's answers",
    "tabulate": "make a table from the cells' scores",
    "publish": "put the active scale's results at the top of results/",
    "schema": "write the JSON schema of config.yaml",
}


def load_verb(name: str) -> ModuleType:
    """The module of a verb, read only when it runs."""
    return import_module(f"stgrpo.commands.{name}")


def add_spec(parser: ArgumentParser) -> None:
    """The resolved spec, as the workflow hands it over."""
    parser.add_argument("--spec", required=True, metavar="JSON", help="the job's resolved spec (stgrpo.specs)")


def add_threads(parser: ArgumentParser) -> None:
    """The number of threads is set, never guessed."""
    parser.add_argument("--threads", type=int, default=1, help="threads of the arithmetic (default: 1)")
