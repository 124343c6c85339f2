"""Frame importance (paper section 4): how well each frame of a video matches the question."""
