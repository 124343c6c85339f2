"""A Qwen2.5-VL policy as training and evaluation need it: prompts, generation, and the log-probabilities of answers."""
