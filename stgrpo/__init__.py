"""SpatioTemporal-GRPO, reproduced: GRPO for video question answering over M video variants x G answers a group."""

__version__ = "0.1.0"
