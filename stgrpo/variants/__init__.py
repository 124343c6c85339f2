"""Spatiotemporal variants of a video: scores + seed -> frames and picture transforms; same inputs, same variants."""
