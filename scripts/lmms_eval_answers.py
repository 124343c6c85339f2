"""Answer questions by lmms-eval's Qwen2.5-VL; `evaluation_speed.py` starts it in the environment that holds lmms-eval.

Usage: PYTHON scripts/lmms_eval_answers.py FOLDER, a work folder as `evaluation_ways.py` describes it; the result is
printed as described there, too.

Nothing of the project is imported here. Three things are set that lmms-eval leaves alone or sets otherwise, and that
would make other answers: weights in float32 (it takes bfloat16), the time between frames, and no upscaling of small
frames.
"""

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def write_processor(policy: Path, pixels: int) -> None:
    """Beside the weights and the tokenizer, what turns videos into patches: frames keep their size."""
    import transformers

    size = {"shortest_edge": pixels, "longest_edge": pixels}
    tokenizer = transformers.AutoTokenizer.from_pretrained(policy)
    image, video = transformers.Qwen2VLImageProcessor(size=size), transformers.Qwen2VLVideoProcessor(size=size)
    processor = transformers.Qwen2_5_VLProcessor(image, tokenizer, video, chat_template=tokenizer.chat_template)
    processor.save_pretrained(policy)


def load(policy: Path, job: dict[str, Any]) -> Any:
    """The backend with the weights."""
    from lmms_eval.models.simple.qwen2_5_vl import Qwen2_5_VL

    pixels = job["pixels"]
    write_processor(policy, pixels)
    backend = Qwen2_5_VL(
        str(policy), "cpu", "cpu", job["rows"], min_pixels=pixels, max_pixels=pixels, attn_implementation="sdpa"
    )
    backend._model.float()
    generate = backend.model.generate

    def told(**inputs: Any) -> Any:
        inputs["second_per_grid_ts"] = [1.0] * len(inputs["video_grid_thw"])  # two frames at 2 a second
        return generate(**inputs)

    backend.model.generate = told
    backend.task_dict = {"questions": {"all": job["questions"]}}
    return backend


def main() -> None:
    """Answer all questions of a folder."""
    os.environ["FORCE_QWENVL_VIDEO_READER"] = "decord"
    folder = Path(sys.argv[1])
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    with contextlib.redirect_stdout(sys.stderr):  # lmms-eval prints
        import torch

        torch.set_num_threads(1)
        backend = load(folder / "policy", job)
        given = {"max_new_tokens": job["max_tokens"], "until": [backend.tokenizer.eos_token]}
        requests = [
            SimpleNamespace(args=(question["text"], given, lambda doc: [doc["video"]], number, "questions", "all"))
            for number, question in enumerate(job["questions"])
        ]
        before, start, began = peak(), time.process_time(), time.perf_counter()
        answers = backend.generate_until(requests)
        took = {"cpu": time.process_time() - start, "wall": time.perf_counter() - began, "before": before}
    print(json.dumps({"answers": answers, "decoding": None, "peak": peak()} | took))


def peak() -> int:
    """The most bytes that this process has had in memory."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
