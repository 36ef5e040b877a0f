"""The list of what can be chosen, as the gateway gives it."""

import dataclasses

import pytest

from chatapp.config import Settings
from chatapp.gateway.service import make_models

QUIET = dataclasses.replace(Settings(), discover=False)


@pytest.mark.parametrize(("pace", "note"), [(None, ""), ("model", ""), ("claimed", "a vendor's figure played back")])
async def test_simulated_systems_say_whose_figure_paces_them(pace, note):
    listings = await make_models(QUIET, pace=pace)()
    assert {listing.note for listing in listings if listing.kind == "simulated"} == {note}
    assert {listing.note for listing in listings if listing.kind != "simulated"} == {""}


async def test_servers_given_by_url_come_first():
    own = {"lab/m": {"base_url": "http://127.0.0.1:9/v1", "model": "m"}}
    first = (await make_models(QUIET, own=own)())[0]
    assert (first.id, first.model, first.group) == ("lab/m", "m", "Your own")
