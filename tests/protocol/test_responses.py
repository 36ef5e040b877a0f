from __future__ import annotations

import json

from chatapp.protocol.responses import ModelListing, WireError


def test_an_error_event_has_the_documented_shape():
    frame = WireError("invalid_json", "not JSON", param="input").to_frame()

    assert json.loads(frame) == {
        "type": "error",
        "status": 400,
        "error": {"type": "invalid_request_error", "code": "invalid_json", "message": "not JSON", "param": "input"},
    }


def test_an_error_event_names_its_stream_and_whose_fault_it_was():
    event = json.loads(WireError("internal", "broken", status=500).to_frame("s1"))

    assert event["stream_id"] == "s1"
    assert event["error"]["type"] == "server_error"


def test_a_listing_tells_what_a_viewer_must_know():
    listing = ModelListing(
        "sim:cs3/m", label="CS-3", provider="Cerebras", model="m", kind="simulated", note="a model's"
    )

    assert listing.name == "sim:cs3/m"
    assert listing.simulated
    assert (listing.info.label, listing.info.provider, listing.info.note) == ("CS-3", "Cerebras", "a model's")


def test_a_plain_server_s_listing_is_named_by_its_id_and_owner():
    info = ModelListing("gpt-x", owned_by="someone").info

    assert (info.label, info.provider, info.simulated) == ("gpt-x", "someone", False)
