import csv
import io

from chatapp.clock import VirtualClock
from chatapp.recording.export import arrivals, describe, export_json, summarize, write_csv
from chatapp.recording.reader import Recording
from chatapp.recording.writer import Recorder
from chatapp.redaction import Redactor
from chatapp.stream.events import BackendInfo, Delta, Failed, Message, Request, Sent

S = 1_000_000_000


def recorded(tmp_path):
    path = tmp_path / "a.tokcast"
    with Recorder.open(path, title="T", clock=VirtualClock(), redactor=Redactor()) as recorder:
        recorder.begin("a", Request((Message("user", "q"),)), BackendInfo("n", "L", "live", "p", "m"))
        recorder.record("a", Delta("before", 5))
        recorder.record("a", Sent(7))
        for text in ("=1+1", "+", "@x", 'a,"b"\n'):
            recorder.record("a", Delta(text, S + 7, "reasoning", 2, 11))
        recorder.record("a", Failed(2 * S, "stalled", "m"))
    return Recording.open(path)


def test_rows_are_timed_from_the_request_that_was_answered_and_not_from_one_that_failed_before(tmp_path):
    path = tmp_path / "a.tokcast"
    with Recorder.open(path, clock=VirtualClock(), redactor=Redactor()) as recorder:
        recorder.begin("a", Request((Message("user", "q"),)))
        recorder.record("a", Sent(0))
        recorder.record("a", Sent(3 * S))  # again, or of a fallback
        recorder.record("a", Delta("text", 4 * S))
    with Recording.open(path) as recording:
        (row,) = arrivals(recording)
    assert row["since_request_s"] == "1.000000000"


def test_rows_are_exact_to_the_nanosecond_even_before_the_request(tmp_path):
    with recorded(tmp_path) as recording:
        rows = list(arrivals(recording))
    assert rows[0]["since_request_s"] == "-0.000000002"
    assert rows[0]["gap_s"] is None
    assert rows[0]["tokens"] is None
    assert rows[1]["since_request_s"] == "1.000000000"
    assert rows[1]["channel"] == "reasoning"
    assert rows[1]["uncertainty_s"] == "0.000000011"
    assert rows[2]["gap_s"] == "0.000000000"


def test_no_cell_is_a_formula(tmp_path):
    table = io.StringIO()
    with recorded(tmp_path) as recording:
        write_csv(recording, table)
    table.seek(0)
    texts = [row["text"] for row in csv.DictReader(table)]
    assert texts == ["before", "'=1+1", "+", "'@x", 'a,"b"\n']


def test_documents_say_what_they_are(tmp_path):
    with recorded(tmp_path) as recording:
        about = describe(recording)
        assert (about["title"], about["seal"], about["events"]) == ("T", "sealed", 9)
        (response,) = summarize(recording)["responses"]
        assert response["backend"] == "n"
        assert response["error"] == "stalled: m"
        document = export_json(recording)
    assert document["schema"] == "chatapp.recording/1"
    assert len(document["arrivals"]) == 5
