"""What a timed answer is: events, timeline, metrics, token counts, statistics. Pure: no I/O, no clock, no screen."""
