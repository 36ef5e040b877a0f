"""The screen. Asks the gateway over the wire; knows neither backends nor keys."""
