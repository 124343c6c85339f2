"""Reinforcement learning: rewards, the spread inside a group, and the trainer."""

import os

# TRL warns that `rollout_func` may change; the pin and tests/test_trainer.py answer for it.
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
