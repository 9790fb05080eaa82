"""The OpenMeter client against peers that answer well, badly, late or not at all."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from sync.clients.openmeter import OpenMeterClient
from sync.clients.openmeter_transport import OpenMeterTransport
from sync.ports import (
    AnswerTooLarge,
    Misconfigured,
    NotFound,
    Rejected,
    SourceMeter,
    SyncError,
    TemporaryFailure,
    UsageRow,
)
from tests.integration.stub_server import HTML, Answer, running_stub, unused_url

START = datetime(2026, 3, 10, 10, tzinfo=UTC)
END = START + timedelta(hours=2)


@pytest.fixture
def peer():
    with running_stub() as stub:
        yield stub


def client(url, token="", **options: Any):
    return OpenMeterClient(OpenMeterTransport(url=url, token=token, retry_pause_seconds=0.001, **options))


def row(value="1", subject='"s1"', start="2026-03-10T10:00:00Z", group="{}"):
    return (
        f'{{"value": {value}, "subject": {subject}, "windowStart": "{start}", '
        f'"windowEnd": "2026-03-10T11:00:00Z", "groupBy": {group}}}'
    )


def answer(*rows: Any):
    return Answer(f'{{"data": [{",".join(rows)}]}}')


def ask(peer, **options: Any):
    return client(peer.url).query("m1", start=START, end=END, window="HOUR", **options)


class TestQuery:
    def test_asks_for_utc_windows_by_subject(self, peer):
        peer.will(answer())
        ask(peer)

        (asked,) = peer.asked
        assert (asked.method, asked.path) == ("GET", "/api/v1/meters/m1/query")
        assert asked.query == {
            "from": ["2026-03-10T10:00:00Z"],
            "to": ["2026-03-10T12:00:00Z"],
            "windowSize": ["HOUR"],
            "windowTimeZone": ["UTC"],
            "groupBy": ["subject"],
        }

    def test_sends_the_token(self, peer):
        peer.will(answer())
        client(peer.url, token="secret").query("m1", start=START, end=END, window=None)

        assert peer.asked[0].headers["authorization"] == "Bearer secret"
        assert "windowSize" not in peer.asked[0].query

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("0.1", "0.1"),
            ("1e-7", "0.0000001"),
            ("12345678901234567890", "12345678901234567890"),
            ("-3", "-3"),
        ],
    )
    def test_reads_numbers_exactly(self, peer, text, value):
        peer.will(answer(row(text)))

        assert ask(peer) == [UsageRow("s1", START, Decimal(value), {})]

    def test_turns_any_offset_into_utc(self, peer):
        peer.will(answer(row(start="2026-03-10T15:30:00+05:30")))

        assert ask(peer)[0].start == START
        assert ask(peer)[0].start.tzinfo is UTC

    def test_keeps_the_groups_asked_for(self, peer):
        peer.will(answer(row(group='{"model": "m", "type": null}')))

        assert ask(peer, group_by=["model", "type"])[0].group == {"model": "m", "type": ""}
        assert peer.asked[0].query["groupBy"] == ["subject", "model", "type"]

    @pytest.mark.parametrize("value", ["null", "NaN", "Infinity", '"5"', "true", "[]"])
    def test_refuses_a_value_that_is_no_number(self, peer, value):
        peer.will(answer(row(value)))

        with pytest.raises(SyncError, match="no number"):
            ask(peer)

    def test_refuses_usage_that_belongs_to_nobody(self, peer):
        peer.will(answer(row("5", subject="null")))

        with pytest.raises(SyncError, match="whose usage"):
            ask(peer)

    def test_passes_over_nobodys_zero(self, peer):
        peer.will(answer(row("0", subject="null"), row("2")))

        assert [found.value for found in ask(peer)] == [2]

    @pytest.mark.parametrize(
        "start", ["2026-03-10T12:00:00Z", "2026-03-09T10:00:00Z", "soon", "2026-03-10T10:00:00"]
    )
    def test_refuses_a_row_that_was_not_asked_for(self, peer, start):
        peer.will(answer(row(start=start)))

        with pytest.raises(SyncError, match="not asked for"):
            ask(peer)

    @pytest.mark.parametrize("body", [{}, [], {"data": None}, {"data": [1]}, "5"])
    def test_refuses_json_of_another_shape(self, peer, body):
        peer.will(body)

        with pytest.raises(SyncError, match="list of rows"):
            ask(peer)

    def test_asks_for_few_subjects_in_the_address(self, peer):
        peer.will(answer())
        ask(peer, subjects=["a b", "ü"])

        assert peer.asked[0].query["subject"] == ["a b", "ü"]

    def test_posts_many_subjects_a_hundred_at_a_time(self, peer):
        peer.will(answer(row(subject='"s0"')), answer(row(subject='"s1"')), answer())
        found = ask(peer, subjects=[f"s{number}" for number in range(201)])

        bodies = [json.loads(asked.body) for asked in peer.asked]
        assert [asked.method for asked in peer.asked] == ["POST"] * 3
        assert [len(body["subject"]) for body in bodies] == [100, 100, 1]
        assert bodies[0]["groupBy"] == ["subject"]
        assert [one.subject for one in found] == ["s0", "s1"]

    def test_posts_long_subjects(self, peer):
        peer.will(answer())
        ask(peer, subjects=["ü" * 500, "x" * 1500])

        assert peer.asked[0].method == "POST"

    def test_asks_nothing_for_no_subjects(self, peer):
        assert ask(peer, subjects=[]) == []
        assert peer.asked == []


class TestMeters:
    METER = {"id": "01H", "slug": "m1", "aggregation": "sum", "groupBy": {"model": "$.model"}}

    def test_reads_once_and_leaves_deleted_ones_out(self, peer):
        peer.will([self.METER, self.METER | {"slug": "old", "deletedAt": "2026-01-01T00:00:00Z"}])

        assert client(peer.url).meters() == [
            SourceMeter(id="01H", slug="m1", aggregation="SUM", group_by=("model",))
        ]
        assert len(peer.asked) == 1

    def test_says_when_there_may_be_more_than_the_server_lists(self, peer):
        peer.will([self.METER] * 1000)

        with pytest.raises(SyncError, match="first 1000"):
            client(peer.url).meters()

    def test_names_what_a_meter_lacks(self, peer):
        peer.will([{"id": "01H"}])

        with pytest.raises(SyncError, match="without 'slug'"):
            client(peer.url).meters()

    def test_takes_an_unknown_address_for_a_wrong_setting(self, peer):
        peer.will(Answer({"title": "Not Found", "status": 404}, status=404))

        with pytest.raises(Misconfigured, match="OPENMETER_URL"):
            client(peer.url).meters()


class TestSubjects:
    def test_returns_the_subjects_seen(self, peer):
        peer.will(["b", "a", ""])

        assert client(peer.url).subjects("m1", start=START, end=END) == {"a", "b"}
        assert peer.asked[0].path == "/api/v1/meters/m1/subjects"


class TestFailures:
    @pytest.mark.parametrize(
        ("scripted", "kind", "sentence"),
        [
            (Answer({"detail": "no"}, status=401), Misconfigured, "OPENMETER_TOKEN"),
            (Answer({}, status=403), Misconfigured, "OPENMETER_TOKEN"),
            (Answer({"detail": "meter not found"}, status=404), NotFound, "has no meter 'm1'"),
            (Answer(HTML, status=404), Misconfigured, "OPENMETER_URL"),
            (Answer({"detail": "invalid time zone"}, status=400), Rejected, "invalid time zone"),
            (Answer(HTML, kind="text/html"), SyncError, "text/html instead of JSON"),
            (Answer("", status=204), SyncError, "status 204"),
            (Answer("", status=302), SyncError, "status 302"),
            (Answer({}, status=500), TemporaryFailure, "HTTP 500"),
            (Answer({"detail": "busy"}, status=503), TemporaryFailure, "busy"),
            (Answer(cut=True), TemporaryFailure, "cannot be reached"),
            (Answer({}, delay_seconds=1), TemporaryFailure, "did not answer in time"),
        ],
    )
    def test_says_what_to_check(self, peer, scripted, kind, sentence):
        peer.will(scripted)
        asking = client(peer.url, timeout=httpx.Timeout(0.2))

        with pytest.raises(SyncError, match=sentence) as caught:
            asking.query("m1", start=START, end=END, window="HOUR")

        assert type(caught.value) is kind
        assert peer.url in str(caught.value) or kind is Rejected

    def test_names_the_address_that_nobody_answers_on(self):
        url = unused_url()

        with pytest.raises(TemporaryFailure, match=f"cannot be reached at {url}"):
            client(url).meters()

    @pytest.mark.parametrize("passing", [502, 503, 504, 408, 429])
    def test_asks_again_where_it_may_pass(self, peer, passing):
        peer.will(Answer({}, status=passing), Answer(cut=True), [])

        assert client(peer.url).meters() == []
        assert len(peer.asked) == 3

    @pytest.mark.parametrize("lasting", [400, 401, 404, 500])
    def test_asks_once_where_it_will_not(self, peer, lasting):
        peer.will(Answer({}, status=lasting))

        with pytest.raises(SyncError):
            client(peer.url).meters()
        assert len(peer.asked) == 1

    def test_stops_reading_an_answer_that_is_too_large(self, peer):
        peer.will(answer(*[row()] * 100))

        with pytest.raises(AnswerTooLarge, match="shorter stretch"):
            client(peer.url, max_response_bytes=1000).query("m1", start=START, end=END, window="HOUR")

    def test_never_shows_the_token(self, peer):
        peer.will(Answer({"detail": "no"}, status=401))

        with pytest.raises(Misconfigured) as caught:
            client(peer.url, token="om_secret").meters()
        assert "om_secret" not in str(caught.value)
