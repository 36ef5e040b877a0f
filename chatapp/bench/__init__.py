"""Many requests, one report. The headless half of compare and verify stands on it."""
