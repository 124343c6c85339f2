"""Reinforcement learning: rewards, the spread inside a group, and the trainer."""
