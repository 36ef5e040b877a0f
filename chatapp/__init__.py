"""Feel how fast an inference system is, and check what a vendor says about it."""

__version__ = "0.1.0"
