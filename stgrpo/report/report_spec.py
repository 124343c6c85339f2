"""What the report page of the active scale holds: its tables and figures, its runs, and what is picked to look at."""

from stgrpo import specs
from stgrpo.config import Experiment
from stgrpo.report.contents import FigureSpec, TableSpec, eval_hashes, figure_spec, runs_of, table_spec
from stgrpo.rules import FrameRule
from stgrpo.specs import Spec


class ReportSpec(Spec):
    """The report of the active scale.

    Attributes:
        comparable: whether its numbers may stand beside the paper's.
        rendered: whether they come from rendered videos and tiny models.
        cells: in the order of the configuration.
        by_importance: those of them that draw their frames by the scores.
        benchmarks: titles by name.
        evaluated: EvalSpec hashes by "cell/seedK", of all runs.
        trained: TrainSpec hashes by "cell/seedK", of those that are trained.
        parts: of an evaluation.
        frames: of the training videos.
        examined_frames: of the benchmarks' videos.
        side_by_side: cells whose answers stand side by side.
        questions: how many are shown with these answers.
        videos: training videos that are shown with the scores of their frames.
    """

    scale: str
    comparable: bool
    rendered: bool
    tables: list[TableSpec]
    figures: list[FigureSpec]
    cells: list[str]
    by_importance: list[str]
    benchmarks: dict[str, str]
    evaluated: dict[str, str]
    trained: dict[str, str]
    parts: list[str]
    frames: FrameRule
    examined_frames: FrameRule
    side_by_side: list[str]
    questions: int
    videos: int

    @property
    def files_of_questions(self) -> list[str]:
        """`train`, if anything is trained, and the benchmarks."""
        return ["train", *self.benchmarks] if self.trained else list(self.benchmarks)

    def inputs(self, folder: str) -> dict[str, list[str]]:
        """What the page is made from, by kind, below the folder of the scale's results; nothing that it does not read.

        What Snakemake measured of the jobs is shown too, but may not be there.
        """
        evaluated, trained = ["metrics.json", "graded.jsonl"], ["train.json", "train.jsonl", "groups.jsonl"]
        forms = ["jsonl", "aside.csv", "provenance.json"]
        beside = [self.first_run(cell) for cell in self.side_by_side] if len(self.side_by_side) > 1 else []
        drawn = [self.first_run(self.drawn_cell)] if self.drawn_cell else []
        return {
            "evaluated": [f"{folder}/cells/{run}/{name}" for run in self.evaluated for name in evaluated],
            "trained": [f"{folder}/cells/{run}/{name}" for run in self.trained for name in trained],
            "answers": [f"{folder}/cells/{run}/eval/{part}.jsonl" for run in beside for part in self.parts],
            "rollouts": [f"{folder}/cells/{run}/rollouts.jsonl" for run in drawn],
            "questions": [f"{folder}/questions/{name}.{form}" for name in self.files_of_questions for form in forms],
            "scores": [f"{folder}/scores/train.parquet"] if drawn else [],
            "origins": [f"{folder}/{name}" for name in self.origins],
        }

    def first_run(self, cell: str) -> str:
        """A cell with its first seed, as "cell/seedK"."""
        return next(run for run in self.evaluated if run.startswith(f"{cell}/"))

    @property
    def drawn_cell(self) -> str | None:
        """Whose frame scores are shown: the last cell side by side that has them, else the first; None without one."""
        if not self.videos:
            return None
        beside = [cell for cell in self.side_by_side if cell in self.by_importance]
        return next(iter([*beside[-1:], *self.by_importance]), None)

    @property
    def origins(self) -> list[str]:
        """Files with the provenance of the frame scores and of the models that trainings begin with.

        Those of real weights are no results; trainings name them.
        """
        scores = ["scores/train.provenance.json"] if self.by_importance else []
        policy = ["policy/made_by.json"] if self.rendered else []
        return [*scores, *policy, *(["scorer/made_by.json"] if self.rendered and self.by_importance else [])]


def report_spec(experiment: Experiment) -> ReportSpec:
    """The report of what the active scale makes unasked; cells that it lacks are left out."""
    scale, wanted = experiment.active, experiment.report
    trained = [cell for cell in scale.cells if cell in experiment.trainable]
    return ReportSpec(
        scale=experiment.scale,
        comparable=scale.comparable,
        rendered=scale.world is not None,
        tables=[table_spec(experiment, name) for name in scale.tables],
        figures=[figure_spec(experiment, name) for name in scale.figures],
        cells=scale.cells,
        by_importance=[cell for cell in trained if specs.needs_scores(experiment.cell(cell))],
        benchmarks={
            name: experiment.benchmarks[name].title for part in scale.evaluation.parts.values() for name in part
        },
        evaluated={
            f"{cell}/seed{seed}": ",".join(eval_hashes(experiment, cell, seed))
            for cell, seed in runs_of(experiment, scale.cells)
        },
        trained={
            f"{cell}/seed{seed}": specs.train_spec(experiment, cell, seed).hash()
            for cell, seed in runs_of(experiment, trained)
        },
        parts=list(scale.evaluation.parts),
        frames=scale.training.frames,
        examined_frames=scale.evaluation.frames,
        side_by_side=[cell for cell in wanted.side_by_side if cell in scale.cells],
        questions=wanted.questions,
        videos=wanted.videos,
    )
