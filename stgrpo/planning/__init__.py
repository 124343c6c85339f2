"""What a run has done and what it still needs, from what lies on the disk; nothing is started and nothing changed."""
