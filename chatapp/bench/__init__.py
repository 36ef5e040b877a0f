"""Many requests, one report: workloads, schedules, the runner, its own health, and what it may cost."""
