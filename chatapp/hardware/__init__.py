"""The sourced performance model: facts, systems, models, prediction, calibration. Pure."""
