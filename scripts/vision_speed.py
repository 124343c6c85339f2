"""The faster vision tower against the stock one, side by side: python scripts/vision_speed.py

Forward and backward of the demo's tower on a step's eight 16-frame clips, one thread, CPU seconds, interleaved.
"""

import copy
import statistics
import time

import torch

from stgrpo.demo import world
from stgrpo.demo.policy import make_policy
from stgrpo.policy.clips import make_clip
from stgrpo.policy.vision import speed_up_on_cpu

ROUNDS = 30


def main() -> None:
    """Print both medians and their ratio."""
    torch.set_num_threads(1)
    stock = make_policy(0).model.model
    fast = copy.deepcopy(make_policy(0).model)
    speed_up_on_cpu(fast)
    clips = [make_clip(world.scene(i, 1).frames) for i in range(8)]
    pixels, grids = torch.cat([c.pixels for c in clips]), torch.stack([c.grid for c in clips])
    seconds: dict[str, list[float]] = {"stock": [], "faster": []}
    for _ in range(ROUNDS):
        for name, core in (("stock", stock), ("faster", fast.model)):
            start = time.process_time()
            torch.cat(core.get_video_features(pixels, grids).pooler_output).sum().backward()
            seconds[name].append(time.process_time() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(", ".join(f"{name} {1e3 * value:.1f} ms" for name, value in medians.items()))
    print(f"ratio {medians['stock'] / medians['faster']:.2f}")


if __name__ == "__main__":
    main()
