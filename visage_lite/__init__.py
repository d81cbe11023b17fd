"""visage_lite: learn and reproduce ViSAGe, silent video to first-order ambisonics."""

__version__ = "0.1.0"
