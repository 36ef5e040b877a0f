"""Typing as a person types: uneven, and the same every time."""

from __future__ import annotations

import random

from chatapp.demo.script import Pace

_AFTER_WORD = 1.5
_AFTER_SENTENCE = 4.0
_LEAST = 0.2


def key_delays_ns(text: str, pace: Pace, *, speed_ns: int | None = None, seed: str = "") -> list[int]:
    """Return the pause after each character.

    Args:
        text: what is typed.
        pace: the script's settings.
        speed_ns: time between two keys; None takes the script's.
        seed: tells typed texts of one script apart.
    """
    mean_ns = (pace.typing_ns if speed_ns is None else speed_ns) / pace.speed
    source = random.Random(f"{pace.seed} {seed} {text}")
    delays = []
    for character in text:
        share = max(_LEAST, source.gauss(1.0, pace.jitter))
        if character == " ":
            share *= _AFTER_WORD
        elif character in ".,;:?!\n":
            share *= _AFTER_SENTENCE
        delays.append(round(mean_ns * share))
    return delays
