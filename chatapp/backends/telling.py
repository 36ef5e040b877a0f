"""Which text a simulated backend tells, and what it says about that text. It never pretends to have answered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from chatapp.backends.library import MATCH_THRESHOLD, Library, LibraryEntry
from chatapp.stream.events import Notice, Request

GENERIC_REASONING = """\
This is bundled text, not a thought: it stands where the simulated model would think before it answers. The time until \
the first token and the time until the first word of the answer differ by such a phase, and live they differ by a lot.

What is asked? First the words that carry the question, then what the asker is likely to know already, then what would \
help. What must be right? The numbers, the names, the order of the steps. What can be left out? Everything that the \
question does not need.

A plan, then: begin with the answer itself, give the reason after it, show one example that can be checked, and name \
the limit beyond which it no longer holds. Keep it in plain words. Check it once more. Now the answer.
"""
"""Told by models that think where a library entry has no reasoning of its own."""


@dataclass(frozen=True, slots=True)
class Telling:
    """What a simulated answer will say, and why that text."""

    answer: str
    reasoning: str
    notices: tuple[Notice, ...]
    reasoning_is_bundled: bool = False
    """Whether the reasoning is the library's: then its length says nothing of how long a live model thinks."""


def tell(request: Request, library: Library, *, timing: str) -> Telling:
    """Choose the text: the one to retell, else the nearest bundled answer, else an honest word that none fits.

    Args:
        request: the conversation; `retell` holds a text to tell.
        library: the bundled answers.
        timing: what the reader is told of the timing, e.g. "simulated CS-3".
    """
    if request.retell is not None:
        notice = Notice("text_source", f"text: {request.retell.source}, timing: {timing}")
        return Telling(request.retell.text, request.retell.reasoning, (notice,))
    best = next(iter(library.search(request.prompt, limit=1)), None)
    if best is not None and best.fits:
        notice = Notice(
            "text_source",
            f"text: the bundled answer “{best.entry.title}” (match {best.score:.2f}), timing: {timing}",
        )
        return Telling(best.entry.text, best.entry.reasoning or GENERIC_REASONING, (notice,), reasoning_is_bundled=True)
    score = f"the nearest matches {best.score:.2f}" if best else "there is nothing to match"
    notice = Notice("no_match", f"no bundled answer fits this prompt ({score}, {MATCH_THRESHOLD:.2f} is needed)")
    return Telling(_no_match_text(library.starters), "", (notice,))


def _no_match_text(starters: Iterable[LibraryEntry]) -> str:
    offers = "".join(f"{entry.starter}. {_question(entry)}\n" for entry in starters)
    return (
        "This backend is simulated: only its timing is computed, and its texts come from a bundled library. "
        "No text there fits your prompt, so there is no answer to show.\n\n"
        + (f"These prompts have one:\n\n{offers}\n" if offers else "")
        + "Or ask a real backend (`local`, or a provider), and have this system retell that answer at its own pace.\n"
    )


def _question(entry: LibraryEntry) -> str:
    return entry.prompts[0] if entry.prompts else entry.title
