"""What the backends of a contest did: all that a verdict is made from, and all that evidence keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from chatapp.compare.contest import Contest
from chatapp.stream.events import BackendInfo
from chatapp.stream.figures import Figures


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What one backend did."""

    name: str
    info: BackendInfo
    figures: tuple[Figures, ...]
    """Of all its measured runs, failed ones included."""
    served: tuple[str, ...] = ()
    """What its answers themselves say that they come from; empty where they do not say."""
    failure: str = ""
    """Why it took no further part; empty where it did."""

    @property
    def good(self) -> list[Figures]:
        """Of whole answers."""
        return [figures for figures in self.figures if figures.error is None]


def samples_of(contest: Contest) -> tuple[Sample, ...]:
    """Return what a contest's backends did, the claimed one first."""
    return tuple(
        Sample(
            name=c.name,
            info=c.backend.info,
            figures=tuple(run.figures for run in c.runs),
            served=served_models(run.provenance for run in c.runs),
            failure=c.failure,
        )
        for c in contest.contestants
    )


def served_models(provenances: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """Return the names of models that answers give themselves."""
    return tuple(sorted({said["model"] for said in provenances if said.get("model")}))
