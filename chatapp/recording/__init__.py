"""Recordings: a run as it happened, written safely, replayed exactly."""
