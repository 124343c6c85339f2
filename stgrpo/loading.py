"""`config.yaml` checked as a whole: unknown keys, references between its parts, the arithmetic of a group.

All errors are reported at once, each with where, what and what would be right.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from stgrpo.config import BENCHMARKS, METRICS, Cell, Experiment, Scale, Table
from stgrpo.errors import UserError, suggest

_LARGEST = 1 << 20  # bytes of config.yaml; ours has twelve thousand


def load_experiment(raw: Mapping[str, Any], source: str = "config.yaml") -> Experiment:
    """Validate the parsed YAML.

    Raises:
        UserError: with one line an error, all of them.
    """
    try:
        experiment = Experiment.model_validate(dict(raw))
    except ValidationError as error:
        lines = [f"{source}: {_where(e['loc'])}: {_what(e)}" for e in error.errors()]
        raise UserError(*lines) from None
    if problems := _problems(experiment):
        raise UserError(*(f"{source}: {problem}" for problem in problems))
    return experiment


def read_experiment(scale: str | None = None) -> Experiment:
    """The working directory's config.yaml, at its own scale or at another one.

    Raises:
        UserError: there is none, or it is wrong.
    """
    import yaml

    try:
        if (size := Path("config.yaml").stat().st_size) > _LARGEST:
            raise UserError(
                f"config.yaml: {size} bytes long; take it from the repository again (git checkout config.yaml)"
            )
        with Path("config.yaml").open(encoding="utf-8") as stream:  # whose name YAML's errors say
            raw = yaml.safe_load(stream)
    except FileNotFoundError:
        raise UserError(f"{Path.cwd()}: no config.yaml here; go to the root of the clone and run again") from None
    # ValueError: no UTF-8, a date that is none, or too long a number
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"config.yaml: no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise UserError("config.yaml: holds no keys; take it from the repository again (git checkout config.yaml)")
    return load_experiment({**raw, "scale": scale} if scale else raw)


def _problems(experiment: Experiment) -> list[str]:
    """What types cannot say. Later checks need what the earlier ones have found to be right."""
    for check in (_parents, _circles, _references, _unevaluated):
        if found := list(dict.fromkeys(check(experiment))):  # a cell of several scales is wrong once
            return found
    return []


def _unknown(where: str, what: str, names: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    """One line a name that nothing is known by."""
    for name in names:
        if name not in known:
            yield f"{where}: unknown {what} '{name}'; {suggest(name, known)}"


def _parents(experiment: Experiment) -> Iterator[str]:
    yield from _unknown("scale", "scale", [experiment.scale], experiment.scales)
    for name, cell in experiment.cells.items():
        parents = [] if cell.parent is None else [cell.parent]
        yield from _unknown(f"cells.{name}.from", "cell", parents, experiment.cells)


def _circles(experiment: Experiment) -> Iterator[str]:
    for name in experiment.cells:
        seen = [name]
        while (parent := experiment.cells[seen[-1]].parent) is not None:
            if parent in seen:
                yield f"cells.{name}.from: goes round in a circle: {' -> '.join([*seen, parent])}"
                break
            seen.append(parent)


def _references(experiment: Experiment) -> Iterator[str]:
    yield from _unknown("benchmarks", "benchmark", experiment.benchmarks, BENCHMARKS)
    for name, scale in experiment.scales.items():
        yield from _in_scale(experiment, f"scales.{name}", name, scale)
    for name in experiment.cells:
        cell = experiment.cell(name)
        if cell.model and cell.train:
            yield (
                f"cells.{name}: model '{cell.model}' with a training, which starts from the scale's own policy; "
                "leave one of them out (train: null)"
            )
    for name, table in experiment.tables.items():
        where = f"tables.{name}"
        unknown = list(
            _unknown(f"{where}.rows", "cell", [row.cell for row in table.rows if row.cell], experiment.cells)
        )
        yield from unknown or _baselines(where, table)
        strange = list(_unknown(f"{where}.columns", "benchmark", table.columns, experiment.benchmarks))
        yield from strange
        if not strange:
            for average in table.averages:
                yield from _unknown(f"{where}.averages", "column", average.over, table.columns)
                yield from _twice(f"{where}.averages", average.over)
    for name, figure in experiment.figures.items():
        yield from _unknown(f"figures.{name}.metric", "metric", [figure.metric], METRICS)
        cells = [cell for panel in figure.panels for cell in panel.cells]
        yield from _unknown(f"figures.{name}.panels", "cell", cells, experiment.cells)
    yield from _unknown("report.side_by_side", "cell", experiment.report.side_by_side, experiment.cells)
    yield from _twice("report.side_by_side", experiment.report.side_by_side)


def _baselines(where: str, table: Table) -> Iterator[str]:
    """A row is compared with another row's cell, for the table shows what it differs from."""
    shown = [row.cell for row in table.rows if row.cell]
    for row in table.rows:
        if row.baseline is None:
            continue
        at = f"{where}.rows: '{row.label}'"
        if row.cell is None:
            yield f"{at}: baseline '{row.baseline}', but its numbers are the paper's alone; leave it out"
        elif row.baseline == row.cell:
            yield f"{at}: is its own baseline; name another cell of the table, or leave it out"
        elif row.baseline not in shown:
            others = [cell for cell in shown if cell != row.cell]
            yield f"{at}: its baseline '{row.baseline}' is no cell of the table; {suggest(row.baseline, others)}"


def _twice(where: str, names: Iterable[str]) -> Iterator[str]:
    """One line for all names that stand more than once."""
    if repeated := sorted(name for name, times in Counter(names).items() if times > 1):
        yield f"{where}: {', '.join(repeated)} stands twice; once is enough"


def _in_scale(experiment: Experiment, where: str, name: str, scale: Scale) -> Iterator[str]:
    yield from _unknown(f"{where}.cells", "cell", scale.cells, experiment.cells)
    yield from _unknown(f"{where}.on_request.cells", "cell", scale.on_request.cells, experiment.cells)
    yield from _twice(f"{where}.cells", scale.known_cells)
    yield from _twice(f"{where}.seeds", map(str, scale.seeds))
    for cell in scale.known_cells:
        if cell in experiment.cells and experiment.cell(cell).train:
            yield from _group(experiment, name, cell)
            yield from _idle(cell, experiment.cell(cell))
        if scale.models is None and cell in experiment.cells and (model := experiment.cell(cell).model):
            yield f"{where}.cells: '{cell}' is {model}, but nothing is fetched at this scale; leave it out"
    if scale.world is not None:
        yield from _unknown(f"{where}.questions.source", "source", scale.questions.sources, scale.world)
    examined = [benchmark for part in scale.evaluation.parts.values() for benchmark in part]
    yield from _twice(f"{where}.evaluation.parts", examined)
    for part, benchmarks in scale.evaluation.parts.items():
        yield from _unknown(f"{where}.evaluation.parts.{part}", "benchmark", benchmarks, experiment.benchmarks)
    if scale.world is not None:
        sources = [experiment.benchmarks[b].source for b in examined if b in experiment.benchmarks]
        yield from _unknown(f"{where}.world", "source", sources, scale.world)
    yield from _unknown(f"{where}.tables", "table", scale.tables, experiment.tables)
    yield from _unknown(f"{where}.on_request.tables", "table", scale.on_request.tables, experiment.tables)
    yield from _twice(f"{where}.tables", scale.known_tables)
    yield from _unknown(f"{where}.figures", "figure", scale.figures, experiment.figures)


def _group(experiment: Experiment, scale_name: str, name: str) -> Iterator[str]:
    cell, answers = experiment.cell(name), experiment.scales[scale_name].training.answers_per_step
    group = cell.variants * cell.generations
    if group < 2:
        yield f"cells.{name}: variants * generations = 1; a group needs two answers or more to compare"
    if answers % group:
        yield (
            f"cells.{name}: variants * generations = {group}, but a step of scale '{scale_name}' holds {answers} "
            f"answers; use a product that divides {answers}"
        )
    if (cell.grouping == "none") != (cell.variants == 1):
        yield (
            f"cells.{name}: grouping '{cell.grouping}' with variants = {cell.variants}; "
            "grouping 'none' goes with exactly one variant, every other grouping with two or more"
        )


def _idle(name: str, cell: Cell) -> Iterator[str]:
    """Knobs that this cell's other values leave without any effect, or without a meaning."""
    where, importance = f"cells.{name}", cell.grouping.startswith("importance")
    if cell.selection != "weighted" and not importance:
        yield (
            f"{where}: selection '{cell.selection}' with grouping '{cell.grouping}', which selects nothing; "
            "leave it out, or choose an importance grouping"
        )
    if cell.score_temperature != 1 and (cell.selection != "weighted" or not importance):
        yield (
            f"{where}: score_temperature = {cell.score_temperature} with grouping '{cell.grouping}' and selection "
            f"'{cell.selection}', which weigh no scores; leave it out, or choose an importance grouping and 'weighted'"
        )
    for knob, set_ in (("identity", cell.identity), ("condition", cell.condition == "original")):
        if set_ and cell.variants == 1:
            yield f"{where}: {knob} with variants = 1, which is the plain video already; leave it out"
    if cell.pool == "variant" and min(cell.variants, cell.generations) < 2:
        yield (
            f"{where}: pool = variant with variants = {cell.variants} and generations = {cell.generations}; "
            "it needs two or more of both"
        )
    if cell.ratio == "sequence" and cell.algorithm != "grpo":
        yield (
            f"{where}: ratio = sequence with algorithm '{cell.algorithm}', which is about the ratios of tokens; "
            "choose algorithm 'grpo'"
        )


def _unevaluated(experiment: Experiment) -> Iterator[str]:
    """What could only fail after all the training: columns without scores, tables and figures without a cell."""
    scale, trained = experiment.active, set(experiment.trainable) & set(experiment.active.cells)
    evaluated = {name for part in scale.evaluation.parts.values() for name in part}
    for name in scale.known_tables:
        table, cells = experiment.tables[name], scale.shown_in(name)
        for column in table.columns:
            if column not in evaluated:
                yield (
                    f"tables.{name}.columns: scale '{experiment.scale}' does not evaluate '{column}'; "
                    f"add it to scales.{experiment.scale}.evaluation.parts"
                )
        if not any(row.cell in cells for row in table.rows):
            yield _empty(experiment, "tables", name, [row.cell for row in table.rows if row.cell])
    for name in scale.figures:
        shown = [cell for panel in experiment.figures[name].panels for cell in panel.cells]
        if not trained & set(shown):
            yield _empty(experiment, "figures", name, shown)


def _empty(experiment: Experiment, what: str, name: str, cells: Iterable[str]) -> str:
    where = f"scales.{experiment.scale}"
    wanted = ", ".join(dict.fromkeys(cells))
    return f"{where}.{what}: '{name}' shows none of this scale's cells; add one of {wanted} to {where}.cells"


def _where(loc: tuple[str | int, ...]) -> str:
    return ".".join(str(part) for part in loc) or "top level"


def _what(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return f"unknown key; {suggest(str(error['loc'][-1]), _known_keys(error['loc'][:-1]))}"
    if error["type"] == "missing":
        return "missing"
    if error["type"] == "value_error":  # our own checks name what they found
        return error["msg"].removeprefix("Value error, ")
    return f"{error['msg']} (found {error['input']!r:.60})"


def _known_keys(loc: tuple[str | int, ...]) -> list[str]:
    """The keys that would be right at this place of the configuration."""
    annotation: Any = Experiment
    for part in loc:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            annotation = annotation.model_fields[str(part)].annotation
        else:
            annotation = get_args(annotation)[-1]  # dict[str, X] and list[X]
        if NoneType in get_args(annotation):  # X | None
            annotation = get_args(annotation)[0]
    return [field.alias or name for name, field in annotation.model_fields.items()]
