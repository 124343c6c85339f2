"""What `plan` says of the paper's scale before anything is fetched, against sums done by hand."""

import json
from pathlib import Path

import pytest
from support import experiment

from stgrpo.config import BENCHMARKS, Resources
from stgrpo.data.downloads import STATE
from stgrpo.errors import UserError
from stgrpo.files import write_json
from stgrpo.planning import checks, cost, downloads, sources, text, text_size
from stgrpo.planning.cost import Left, what_is_left
from stgrpo.planning.disk import disk
from stgrpo.planning.downloads import Download
from stgrpo.planning.findings import Setting
from stgrpo.planning.standing import all_runs
from stgrpo.planning.work import Work

PAPER = experiment("paper")
N = 8_292_166_656


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory, so no lock but a test's own."""
    monkeypatch.chdir(tmp_path)


def fetched() -> dict[str, Download]:
    return {one.name: one for one in downloads.downloads(PAPER)}


# GB to fetch.


def test_every_source_of_the_scale_has_its_gigabytes():
    found = fetched()
    whole = {"videomme": 96, "vsibench": 5.7, "perceptiontest": 75, "tempcompass": 0.42, "videommmu": 13.4, "mmvu": 1.6}
    models = dict.fromkeys(("qwen2.5-vl-7b", "qwen2.5-vl-7b-sft", "video-r1-7b", "arrow-rl-7b"), 16.6)
    models |= {"llava-onevision-0.5b": 1.8, "perceptiontest-rows": 0.0003}
    assert set(found) == {*whole, *models, "video-r1"}
    for name, gigabytes in {**whole, **models}.items():
        one = found[name]
        assert one.size == pytest.approx(gigabytes * 1e9)
        assert one.unpacked == (one.size if name in whole else 0)  # archives stay beside what they hold
        assert (one.there, one.basis) == (0, "the Hub's pages (sources.csv)")
    assert downloads.downloads(experiment("demo")) == []


def test_of_the_corpus_only_the_chosen_videos_are_fetched():
    """4000 questions and 200 in reserve, at 309 GB over 116,248 videos, and the records."""
    one = fetched()["video-r1"]
    assert one.size == pytest.approx(4200 * 309e9 / 116_248 + 0.176e9)
    assert one.unpacked == 0
    assert one.basis == "4,200 videos of 2.7 MB, the mean of all 309 GB, and the records"


def test_a_lock_knows_better_and_what_is_there_is_counted():
    files = [{"path": "data/a.parquet", "size": 300, "sha256": "0"}, {"path": "videos.zip", "size": 700, "sha256": "1"}]
    write_json("workflow/resources/locks/mmvu.json", {"files": files})
    folder = Path("resources/paper/mmvu")
    (folder / "data").mkdir(parents=True)
    (folder / "data/a.parquet").write_bytes(bytes(300))
    (folder / "1.mp4").write_bytes(bytes(650))  # unpacked
    one = fetched()["mmvu"]
    assert (one.size, one.there, one.unpacked, one.beside, one.basis) == (1000, 300, 1000, 650, "its lock")
    assert one.lacking == 700 + 350


def test_what_an_interrupted_fetch_left_is_there():
    """Whole files, parts of others, and half of what the archives hold."""
    assert downloads._PARTS == STATE
    sizes = {"data/a.parquet": 300, "data/b.parquet": 350, "videos.zip": 350}
    files = [{"path": name, "size": size} for name, size in sizes.items()]
    write_json("workflow/resources/locks/mmvu.json", {"files": files})
    left = {"data/a.parquet": 300, "videos.zip": 350, ".fetching/0123-b.parquet": 150, "videos/a.mp4": 340}
    for name, count in left.items():
        path = Path("resources/paper/mmvu", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(count))
    one = fetched()["mmvu"]
    assert (one.there, one.beside, one.lacking) == (800, 340, 200 + 660)
    Path("resources/paper/mmvu/videos/b.mp4").write_bytes(bytes(2000))  # videos may be larger than their archives
    assert fetched()["mmvu"].lacking == 200


def test_parts_of_what_is_no_archive_are_no_unpacked_files():
    folder = Path("resources/paper/llava-onevision-0.5b/.fetching")
    folder.mkdir(parents=True)
    (folder / "0123-model.safetensors").write_bytes(bytes(500))
    one = fetched()["llava-onevision-0.5b"]
    assert (one.there, one.beside, one.lacking) == (500, 0, 1_800_000_000 - 500)


def test_of_archives_that_stay_on_the_hub_only_the_members_count():
    """Not those that no chosen video is in, nor those of images, which the lock lists as well."""
    files = [{"path": "Video-R1-260k.json", "size": 10}]
    files += [{"path": f"{name}.zip", "size": 5000} for name in ("CLEVRER/a", "CLEVRER/b", "Chart/a")]
    members = [{"archive": "CLEVRER/a.zip", "path": f"CLEVRER/{i}.mp4", "size": 200 + i} for i in range(2)]
    write_json("workflow/resources/locks/video-r1.json", {"files": files, "members": members})
    one = fetched()["video-r1"]
    assert (one.size, one.unpacked, one.basis) == (10 + 200 + 201, 0, "its lock")


def test_a_first_fetch_that_was_interrupted_knows_no_members_yet():
    """Its lock lists all archives, 309 GB; the videos are reckoned as before it."""
    files = [{"path": "Video-R1-260k.json", "size": 170_000_000}, {"path": "CLEVRER/a.zip", "size": 309 * 10**9}]
    write_json("workflow/resources/locks/video-r1.json", {"files": files})
    one = fetched()["video-r1"]
    assert one.size == pytest.approx(4200 * 309e9 / 116_248 + 170_000_000)
    assert one.basis == "4,200 videos of 2.7 MB, the mean of all 309 GB, and the records"


def test_a_source_without_gigabytes_is_unknown(monkeypatch, tmp_path: Path):
    table = sources.SOURCES.read_text().replace(",1.6\n", ",\n")
    (tmp_path / "sources.csv").write_text(table)
    monkeypatch.setattr(sources, "SOURCES", tmp_path / "sources.csv")
    sources._rows.cache_clear()
    try:
        assert fetched()["mmvu"].size is None
        line = next(line for line in text_size.fetching(downloads.downloads(PAPER)) if line.startswith("mmvu"))
        assert line.split()[1:3] == ["unknown", "0.0"]
        (tmp_path / "sources.csv").write_text(table.replace("mmvu,", "mvu,"))
        sources._rows.cache_clear()
        with pytest.raises(UserError, match="no source 'mmvu'; did you mean 'mvu'"):
            fetched()
    finally:
        monkeypatch.undo()
        sources._rows.cache_clear()


def test_doctor_wants_room_for_what_is_fetched_and_unpacked(monkeypatch):
    setting = Setting(PAPER, "local", False, Work({}, ["mmvu", "llava-onevision-0.5b"], []))
    needed = round(2 * 1.6e9 + 1.8e9)
    for free, level in ((needed, "missing"), (needed + 1, "ok")):
        monkeypatch.setattr(checks, "free_space", lambda path, free=free: free)
        (found,) = checks.fetching(setting)
        assert (found.level, found.subject) == (level, "downloads")
        assert "2 sources to fetch need 4.66 GiB more with what they unpack to" in str(found)
    assert list(checks.fetching(Setting(PAPER, "local", False, Work({}, [], [])))) == []


def test_doctor_wants_room_only_for_what_is_still_to_come(monkeypatch):
    """MMVU was fetched and all but unpacked when it was interrupted."""
    for name, size in (("videos.zip", 1_600_000_000), ("videos/1.mp4", 1_500_000_000)):
        path = Path("resources/paper/mmvu", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            out.truncate(size)
    monkeypatch.setattr(checks, "free_space", lambda path: 100_000_001)
    (found,) = checks.fetching(Setting(PAPER, "local", False, Work({}, ["mmvu"], [])))
    assert (found.level, "1 sources to fetch need 95.4 MiB more" in str(found)) == ("ok", True)


# Hours of GPUs.


def hours(left: list[Left], kind: str) -> float:
    return sum(job.hours for job in left if job.kind.startswith(kind))


def test_hours_where_nothing_was_measured():
    """54 s a step on 4 GPUs, nine trainings of 500 steps and two that go on for 500; 2 s a question, 36,035 a cell."""
    left = what_is_left(PAPER, all_runs(PAPER))
    assert hours(left, "training") == pytest.approx(5500 * 54 * 4 / 3600)
    assert sum(job.steps or 0 for job in left) == 5500
    assert sum(run.spec.steps for run in all_runs(PAPER) if run.spec) == 6500
    assert hours(left, "evaluation") == pytest.approx(15 * (2700 + 5130 + 19140 + 7540 + 900 + 625) * 2 / 3600)
    assert all(job.assumed for job in left)
    one = next(job for job in left if job.kind == "evaluation mmvu")
    assert (one.seconds, one.limit, one.basis) == (1250.0, 720 * 60, "assumed: 625 questions, 2 s each")


def test_a_cell_s_hours_stand_in_its_line_and_the_assumptions_below():
    runs = all_runs(PAPER)
    left = what_is_left(PAPER, runs)
    lines = {line.split()[0]: line for line in text.matrix(PAPER, runs, left)}
    assert lines["cell"].endswith("GPU-h")
    assert lines["base"].endswith("~ 20")  # 36,035 questions at 2 s
    assert lines["grpo"].endswith("~ 50")  # and 500 steps
    assert lines["grpo-1000"].endswith("~ 50")  # and 500 steps, after grpo's
    assert " 500 + 500  missing" in lines["grpo-1000"]
    said = "\n".join(text.cost(PAPER, left))
    assert "in all: training ~ 330 GPU-h, evaluation ~ 300 GPU-h" in said
    assert "1,000 steps are not taken twice: grpo-1000 from grpo, st-grpo-1000 from st-grpo" in said
    # The longest: grpo's 500 steps, 500 more, then 19,140 questions.
    assert f"side by side: {(1000 * 54 + 19140 * 2) / 3600:.1f} h (grpo-1000 seed 0)" in said
    assert "15 h\n    for 1000 steps" in said
    assert "measured by nobody" in said
    assert "one job each at its limit would be training 1,056 GPU-h, evaluation 1,080 GPU-h" in said


def test_a_measured_step_wins_and_the_next_part_is_still_assumed():
    state = Path("results/paper/cells/grpo/seed0/state/train")
    state.mkdir(parents=True)
    (state / "train.jsonl").write_text("".join(json.dumps({"step": i, "seconds": 100.0}) + "\n" for i in (1, 2)))
    left = what_is_left(PAPER, all_runs(PAPER))
    trainings = [job for job in left if job.kind == "training"]
    assert {job.pace for job in trainings} == {100.0}
    assert not any(job.assumed for job in trainings)
    assert all(job.assumed for job in left if job.kind != "training")


def test_nothing_is_assumed_of_a_scale_without_gpus():
    scale = PAPER.active.model_copy(
        update={"needs": {**PAPER.active.needs, "train": Resources(), "evaluate": Resources()}}
    )
    small = PAPER.model_copy(update={"scales": {**PAPER.scales, "paper": scale}})
    left = what_is_left(small, all_runs(small))
    assert {job.pace for job in left} == {None}
    assert "measured by nobody" not in "\n".join(text.cost(small, left))


# The disk.


def test_the_disk_is_known_before_the_policy_is_there():
    """Three checkpoints of four fp32 copies a training; in turn, one of them and ten models.

    Two trainings leave their last checkpoint to a longer one; its weights are one with the model's.
    """
    found = disk(PAPER, all_runs(PAPER))
    assert found is not None
    assert (found.parameters, found.origin, found.checkpoint) == (N, "its configuration", 16 * N)
    assert found.peak == 11 * 3 * 16 * N
    assert found.in_turn == 3 * 16 * N + 10 * 4 * N + 2 * 12 * N
    said = "\n".join(text_size.storing(downloads.downloads(PAPER), found))
    packed = 96 + 5.7 + 75 + 0.42 + 13.4 + 1.6
    corpus = 4200 * 309 / 116_248 + 0.176 + 0.0003
    sums = [packed + 4 * 16.6 + 1.8 + corpus, packed, 528 * N / 1e9]
    words = [text.size(round(1e9 * gigabytes)) for gigabytes in (sum(sums), *sums)]
    assert f"with the downloads: {words[0]} ({words[1]} fetched, {words[2]} unpacked beside it, {words[3]} for" in said


def test_the_questions_of_the_benchmarks_are_known_for_every_one():
    assert set(cost.QUESTIONS) == set(BENCHMARKS)
