"""The sandbox's OpenMeter over real HTTP: each class is one behaviour that a client may trip over."""

import datetime as dt
import itertools
import json
import time
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.sandbox import openmeter
from sync.sandbox.openmeter import float64, json_path
from sync.sandbox.server import SandboxServer
from sync.sandbox.world import Settings
from tests.sandbox_client import NO_TLS

NOW = dt.datetime(2026, 3, 10, 12, 34, 56, 789000, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
START = dt.datetime(2026, 3, 10, tzinfo=dt.UTC)
KOLKATA, BUDAPEST, BEIRUT = "Asia/Kolkata", "Europe/Budapest", "Asia/Beirut"
numbers = itertools.count(1)


def stamp(instant):
    precision = "milliseconds" if instant.microsecond else "seconds"
    return instant.isoformat(timespec=precision).replace("+00:00", "Z")


class Client:
    """Talks to the server as a client would, numbers read as Decimal."""

    def __init__(self, http) -> None:
        self.http = http

    def meter(self, slug="tokens", aggregation="SUM", **fields: Any):
        value = {} if aggregation == "COUNT" else {"valueProperty": "$.n"}
        body = {"slug": slug, "aggregation": aggregation, "eventType": "call", **value, **fields}
        answer = self.http.post("/openmeter/api/v1/meters", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def customer(self, **body: Any):
        answer = self.http.post("/openmeter/api/v1/customers", json={"name": "Anna", **body})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def send(self, *events: Any, expect=204):
        # ASCII JSON, because httpx's own cannot write the half characters that a test sends.
        headers = {"content-type": "application/json"}
        answer = self.http.post("/openmeter/api/v1/events", content=json.dumps(events), headers=headers)
        assert answer.status_code == expect, answer.text

    def ask(self, slug="tokens", **params: Any):
        return self.http.get(f"/openmeter/api/v1/meters/{slug}/query", params=params)

    def rows(self, slug="tokens", **params: Any):
        answer = self.ask(slug, **params)
        assert answer.status_code == 200, answer.text
        return json.loads(answer.text, parse_float=Decimal, parse_int=Decimal)["data"]

    def values(self, slug="tokens", **params: Any):
        return [row["value"] for row in self.rows(slug, **params)]

    def get(self, path, **params: Any):
        return self.http.get(f"/openmeter/api/v1{path}", params=params)


def event(n=1, at=START, subject="s1", **data: Any):
    return {
        "specversion": "1.0",
        "id": f"e{next(numbers)}",
        "source": "test",
        "type": "call",
        "subject": subject,
        "time": at if isinstance(at, str) else stamp(at),
        "data": {"n": n, **data},
    }


@pytest.fixture(scope="module")
def served():
    """One sandbox for the module; `world` empties it for each test."""
    with SandboxServer() as server:
        yield server


@pytest.fixture
def world(served):
    empty(served.world)
    return served.world


@pytest.fixture
def om(served, world):
    with httpx.Client(base_url=served.base_url, timeout=30, verify=NO_TLS) as http:
        yield Client(http)


def empty(world):
    world.store.clear()
    world.settings.assign(Settings().as_dict())
    world.clock.set(NOW, running=False)


def assert_problem(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == "about:blank"
    assert problem["status"] == status
    return problem


class TestPeriod:
    def test_includes_from_and_excludes_to(self, om):
        om.meter()
        om.send(event(1, START), event(10, START + HOUR))
        assert om.values(**{"from": stamp(START), "to": stamp(START + HOUR)}) == [1]

    def test_compares_whole_seconds_only(self, om):
        om.meter()
        om.send(event(1, "2026-03-10T10:00:00.900Z"))
        assert om.values(**{"from": "2026-03-10T10:00:00.950Z", "to": "2026-03-10T10:00:01.999Z"}) == [1]
        assert om.values(**{"from": "2026-03-10T09:00:00Z", "to": "2026-03-10T10:00:00.999Z"}) == []

    @pytest.mark.parametrize(
        "to", ["2026-03-10T00:00:00Z", "2026-03-09T00:00:00Z", "2026-03-10T01:00:00+01:00"]
    )
    def test_refuses_an_empty_or_reversed_period(self, om, to):
        om.meter()
        assert_problem(om.ask(**{"from": "2026-03-10T00:00:00Z", "to": to}), 400)

    @pytest.mark.parametrize(
        "bad", ["2026-03-10", "2026-03-10T00:00:00", "yesterday", "2026-02-30T00:00:00Z", ""]
    )
    def test_refuses_a_time_that_is_not_rfc_3339(self, om, bad):
        om.meter()
        assert_problem(om.ask(**{"from": bad}), 400)

    def test_echoes_the_asked_bounds_with_their_offset(self, om):
        om.meter()
        om.send(event(1, START + HOUR))
        asked = {"from": "2026-03-10T01:00:00.500+01:00", "to": "2026-03-10T02:00:00Z"}
        answer = om.ask(**asked).json()
        assert {name: answer[name] for name in asked} == asked | {"from": "2026-03-10T01:00:00.5+01:00"}
        assert "windowSize" not in answer
        assert answer["data"][0]["windowStart"] == "2026-03-10T01:00:00.5+01:00"
        assert answer["data"][0]["windowEnd"] == "2026-03-10T02:00:00Z"

    def test_tells_the_minutes_of_the_first_and_last_event_where_no_bound_was_asked(self, om):
        om.meter()
        om.send(event(1, "2026-03-10T10:00:10Z"), event(1, "2026-03-10T10:05:00Z"))
        (row,) = om.rows()
        assert (row["windowStart"], row["windowEnd"]) == ("2026-03-10T10:00:00Z", "2026-03-10T10:06:00Z")

    def test_starts_at_the_meters_event_from_if_that_is_later(self, om):
        om.meter(eventFrom="2026-03-10T10:00:00Z")
        om.send(event(1, "2026-03-10T09:59:59Z"), event(10, "2026-03-10T10:00:00Z"))
        assert om.values(**{"from": "2026-03-10T00:00:00Z"}) == [10]


class TestWindows:
    def test_leaves_out_windows_without_events(self, om):
        om.meter()
        om.send(event(1, START), event(2, START + 3 * HOUR))
        rows = om.rows(windowSize="HOUR")
        assert [(row["windowStart"], row["value"]) for row in rows] == [
            ("2026-03-10T00:00:00Z", 1),
            ("2026-03-10T03:00:00Z", 2),
        ]

    def test_answers_a_partial_window_that_looks_whole_when_bounds_are_not_aligned(self, om):
        om.meter()
        om.send(event(1, "2026-03-10T10:10:00Z"), event(10, "2026-03-10T10:30:00Z"))
        (row,) = om.rows(
            **{"from": "2026-03-10T10:20:00Z", "to": "2026-03-10T10:50:00Z", "windowSize": "HOUR"}
        )
        assert row["value"] == 10
        assert (row["windowStart"], row["windowEnd"]) == ("2026-03-10T10:00:00Z", "2026-03-10T11:00:00Z")

    @pytest.mark.parametrize(
        ("size", "zone", "at", "window"),
        [
            ("MINUTE", "UTC", "2026-03-10T10:11:12Z", "2026-03-10T10:11:00Z/2026-03-10T10:12:00Z"),
            ("DAY", "UTC", "2026-03-10T10:11:12Z", "2026-03-10T00:00:00Z/2026-03-11T00:00:00Z"),
            ("MONTH", "UTC", "2026-12-10T10:11:12Z", "2026-12-01T00:00:00Z/2027-01-01T00:00:00Z"),
            ("HOUR", "UTC", "1969-12-31T23:59:59Z", "1969-12-31T23:00:00Z/1970-01-01T00:00:00Z"),
            ("HOUR", KOLKATA, "2026-03-10T10:11:12Z", "2026-03-10T15:00:00+05:30/2026-03-10T16:00:00+05:30"),
            # 23 and 25 hours long:
            ("DAY", BUDAPEST, "2026-03-29T10:00:00Z", "2026-03-29T00:00:00+01:00/2026-03-30T00:00:00+02:00"),
            ("DAY", BUDAPEST, "2026-10-25T10:00:00Z", "2026-10-25T00:00:00+02:00/2026-10-26T00:00:00+01:00"),
            # The second of two hours that are called two o'clock:
            ("HOUR", BUDAPEST, "2026-10-25T01:30:00Z", "2026-10-25T02:00:00+01:00/2026-10-25T03:00:00+01:00"),
            (
                "MONTH",
                BUDAPEST,
                "2026-03-01T00:30:00Z",
                "2026-03-01T00:00:00+01:00/2026-04-01T00:00:00+02:00",
            ),
            # A day without midnight begins at one o'clock:
            ("DAY", BEIRUT, "2022-03-27T10:00:00Z", "2022-03-27T01:00:00+03:00/2022-03-28T00:00:00+03:00"),
        ],
    )
    def test_follows_the_calendar_of_the_zone(self, om, size, zone, at, window):
        om.meter()
        om.send(event(1, at))
        (row,) = om.rows(windowSize=size, windowTimeZone=zone)
        assert f"{row['windowStart']}/{row['windowEnd']}" == window

    @pytest.mark.parametrize("zone", ["Mars/Olympus", "America", "../UTC", "/etc/localtime"])
    def test_refuses_an_unknown_zone(self, om, zone):
        om.meter()
        assert_problem(om.ask(windowSize="DAY", windowTimeZone=zone), 400)

    @pytest.mark.parametrize("size", ["SECOND", "hour", "WEEK"])
    def test_refuses_other_sizes(self, om, size):
        om.meter()
        assert_problem(om.ask(windowSize=size), 400)

    def test_survives_the_last_day_that_can_be_told(self, om):
        om.meter()
        om.send(event(1, "9999-12-31T23:59:59Z"), event(1, "0001-01-01T00:00:00Z"))
        assert len(om.rows(windowSize="MONTH", windowTimeZone="Pacific/Kiritimati")) == 2


class TestRows:
    def test_are_sorted_by_window_and_not_by_subject_inside_it(self, om):
        om.meter()
        names = [f"s{number:02}" for number in range(12)]
        om.send(*(event(1, START + hour * HOUR, name) for name in names for hour in (1, 0)))
        rows = om.rows(windowSize="HOUR", groupBy="subject")
        starts = [row["windowStart"] for row in rows]
        subjects = [row["subject"] for row in rows[:12]]
        assert starts == sorted(starts)
        assert sorted(subjects) == names
        assert subjects != names

    def test_always_have_a_subject_and_groups_and_no_customer_unless_grouped(self, om):
        om.meter()
        om.send(event())
        (row,) = om.rows()
        assert row["subject"] is None
        assert row["groupBy"] == {}
        assert "customerId" not in row

    def test_exist_only_for_subjects_with_events(self, om):
        om.meter()
        om.send(event(1, subject="a"), event(2, subject="b"))
        rows = om.rows(subject=["a", "nobody"])
        assert [(row["subject"], row["value"]) for row in rows] == [("a", 1)]

    def test_split_by_the_meters_own_keys(self, om):
        om.meter(groupBy={"model": "$.model", "kind": "$.deep.kind"})
        om.send(event(1, model="x"), event(2, model="x", deep={"kind": 7}), event(4, model=None))
        rows = om.rows(groupBy=["model", "kind"])
        groups = {(row["groupBy"]["model"], row["groupBy"]["kind"]): row["value"] for row in rows}
        assert groups == {("x", ""): 1, ("x", "7"): 2, ("null", ""): 4}

    def test_refuse_an_unknown_key(self, om):
        om.meter()
        assert_problem(om.ask(groupBy="colour"), 400)
        assert_problem(om.ask(groupBy="customer_id"), 400)


class TestNoData:
    @pytest.mark.parametrize("aggregation", ["SUM", "AVG", "MIN", "MAX", "LATEST"])
    def test_is_no_row(self, om, aggregation):
        om.meter(aggregation=aggregation)
        om.send(event("no number", START))
        assert om.rows() == []
        assert om.rows(windowSize="HOUR") == []

    @pytest.mark.parametrize("aggregation", ["COUNT", "UNIQUE_COUNT"])
    def test_is_one_zero_for_an_undivided_count(self, om, aggregation):
        om.meter(aggregation=aggregation)
        (row,) = om.rows(**{"from": stamp(START)})
        assert row["value"] == 0
        assert (row["windowStart"], row["windowEnd"]) == (stamp(START), "1970-01-01T00:00:00Z")
        assert om.rows(windowSize="HOUR") == []
        assert om.rows(groupBy="subject") == []


class TestAggregations:
    @pytest.mark.parametrize(
        ("aggregation", "expected"),
        [("SUM", 6), ("COUNT", 5), ("AVG", 2), ("MIN", -1), ("MAX", 4), ("LATEST", -1), ("UNIQUE_COUNT", 4)],
    )
    def test_read_what_the_real_server_reads(self, om, aggregation, expected):
        om.meter(aggregation=aggregation)
        values = [3, "4", None, {"an": "object"}, -1]
        om.send(*(event(value, START + HOUR * hour) for hour, value in enumerate(values)))
        assert om.values() == [expected]

    @pytest.mark.parametrize(
        "skipped",
        [" 5", "5 ", "1,5", "1_000", "NaN", "Infinity", "-inf", "0x10", "٣", "", True, None, [5], {"n": 5}],
    )
    def test_skip_what_is_no_number(self, om, skipped):
        om.meter()
        om.send(event(1), event(skipped))
        assert om.values() == [1]

    @pytest.mark.parametrize("skipped", ["1e400", "1e99999999999999999999"])
    def test_skip_what_float64_cannot_hold(self, om, skipped):
        om.meter()
        om.send(event(1))
        body = json.dumps(event("here")).replace('"here"', skipped)
        om.http.post("/openmeter/api/v1/events", content=body, headers={"content-type": "application/json"})
        assert om.values() == [1]

    def test_count_a_missing_value_as_one_more_distinct_value_and_null_as_none(self, om):
        om.meter(aggregation="UNIQUE_COUNT")
        missing = event()
        missing["data"] = {}
        om.send(event("a"), event("a"), event(None), missing)
        assert om.values() == [2]


class TestValues:
    @pytest.mark.parametrize(
        ("value", "written"),
        [
            ("0", "0"),
            ("3", "3"),
            ("-2.50", "-2.5"),
            ("0.1", "0.1"),
            ("1e20", "100000000000000000000"),
            ("1e21", "1e+21"),
            ("12.5e22", "1.25e+23"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1e-7"),
            ("-1.5e-10", "-1.5e-10"),
            ("1e-100", "1e-100"),
            ("9007199254740993", "9007199254740992"),
            ("123456789.123456789123", "123456789.12345679"),
        ],
    )
    def test_are_written_as_go_writes_a_float64(self, om, value, written):
        om.meter()
        om.send(event(value))
        assert f'"value":{written},' in om.ask().text

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_read_back_as_the_same_float64(self, number):
        assert float(float64.json_text(Decimal(number))) == number

    def test_are_summed_exactly_before_they_are_rounded(self, om):
        om.meter()
        om.send(event(0.1), event(0.2), event(0.3), event("1e17"), event("-1e17"))
        assert om.values() == [Decimal("0.6")]

    def test_keep_their_text_in_the_store(self, om):
        om.meter()
        digits = "12345678901234567890.12345678901234567890"
        body = json.dumps(event("here")).replace('"here"', digits)
        om.http.post("/openmeter/api/v1/events", content=body, headers={"content-type": "application/json"})
        usage = om.http.get("/sandbox/openmeter/usage", params={"meter": "tokens"}).json()
        assert usage["total"] == digits
        listed = om.get("/events", **{"from": "2026-03-09T00:00:00Z"})
        assert f'"n":{digits}' in listed.text


class TestFilters:
    @pytest.fixture(autouse=True)
    def usage(self, om):
        om.meter(groupBy={"model": "$.model"})
        om.send(
            *(event(10**power, model=name) for power, name in enumerate(["gpt-4", "gpt-5", "claude", "x_y"]))
        )

    def test_match_one_value_by_get(self, om):
        assert om.values(**{"filterGroupBy[model]": "gpt-5"}) == [10]

    @pytest.mark.parametrize(
        ("stated", "expected"),
        [
            ({"$eq": "gpt-4"}, 1),
            ({"$ne": "gpt-4"}, 1110),
            ({"$in": ["gpt-4", "claude"]}, 101),
            ({"$nin": ["gpt-4", "claude"]}, 1010),
            ({"$like": "gpt%"}, 11),
            ({"$like": "gpt-_"}, 11),
            ({"$like": r"x\_y"}, 1000),
            ({"$like": "GPT%"}, None),
            ({"$nlike": "gpt%"}, 1100),
            ({"$ilike": "GPT%"}, 11),
            ({"$nilike": "GPT%"}, 1100),
            ({"$gt": "gpt-4"}, 1010),
            ({"$gte": "gpt-4"}, 1011),
            ({"$lt": "gpt-4"}, 100),
            ({"$lte": "gpt-4"}, 101),
            ({"$and": [{"$like": "gpt%"}, {"$ne": "gpt-4"}]}, 10),
            ({"$or": [{"$eq": "claude"}, {"$and": [{"$eq": "gpt-4"}]}]}, 101),
            ({}, 1111),
        ],
    )
    def test_understand_every_operator_by_get_and_by_post(self, om, stated, expected):
        values = [] if expected is None else [expected]
        advanced = {"model": stated}
        assert om.values(advancedMeterGroupByFilters=json.dumps(advanced)) == values
        posted = om.http.post(
            "/openmeter/api/v1/meters/tokens/query", json={"advancedMeterGroupByFilters": advanced}
        )
        assert [row["value"] for row in posted.json()["data"]] == values

    def test_match_any_of_several_values_by_post(self, om):
        body = {"filterGroupBy": {"model": ["gpt-4", "claude"]}}
        answer = om.http.post("/openmeter/api/v1/meters/tokens/query", json=body)
        assert [row["value"] for row in answer.json()["data"]] == [101]

    @pytest.mark.parametrize(
        "body",
        [
            {"filterGroupBy": {"colour": ["red"]}},
            {"filterGroupBy": {"model": "gpt-4"}},
            {"advancedMeterGroupByFilters": {"colour": {"$eq": "red"}}},
            {"advancedMeterGroupByFilters": {"model": {"$eq": "a", "$ne": "b"}}},
            {"advancedMeterGroupByFilters": {"model": {"$eq": 5}}},
            {"advancedMeterGroupByFilters": {"model": {"$and": {"$eq": "a"}}}},
            {"advancedMeterGroupByFilters": {"model": {"$eq": "a"}}, "filterGroupBy": {"model": ["a"]}},
            {"subject": ["s"] * 101},
            {"groupBy": ["model"] * 101},
            {"filterCustomerId": ["01G65Z755AFWAKHE12NY0CQ9FH"] * 101},
            {"subject": "s1"},
            {"clientId": "x" * 37},
            {"windowTimeZone": 1},
            ["not an object"],
        ],
    )
    def test_are_refused_when_they_break_a_rule(self, om, body):
        assert_problem(om.http.post("/openmeter/api/v1/meters/tokens/query", json=body), 400)

    def test_are_not_limited_to_100_subjects_by_get(self, om):
        assert om.values(subject=["s1", *map(str, range(150))]) == [1111]

    def test_need_a_body_by_post(self, om):
        assert_problem(om.http.post("/openmeter/api/v1/meters/tokens/query"), 400)


class TestCustomerFilter:
    def test_counts_key_and_all_subject_keys_and_groups_by_customer(self, om):
        om.meter()
        anna = om.customer(key="anna", usageAttribution={"subjectKeys": ["a1", "a2"]})
        bert = om.customer(key="bert")
        om.send(
            event(1, subject="anna"), event(2, subject="a1"), event(4, subject="a2"), event(8, subject="bert")
        )
        om.send(event(16, subject="nobody"))
        rows = om.rows(filterCustomerId=[anna["id"], bert["id"]])
        assert {row["customerId"]: row["value"] for row in rows} == {anna["id"]: 7, bert["id"]: 8}
        assert {row["subject"] for row in rows} == {None}
        assert om.values(filterCustomerId=anna["id"], subject=["a1", "bert"]) == [2]

    def test_fails_as_a_whole_for_one_unknown_or_deleted_customer(self, om):
        om.meter()
        anna, bert = om.customer(key="anna"), om.customer(key="bert")
        om.http.delete("/openmeter/api/v1/customers/bert")
        assert_problem(om.ask(filterCustomerId=[anna["id"], bert["id"]]), 404)
        assert_problem(om.ask(filterCustomerId="01G65Z755AFWAKHE12NY0CQ9FH"), 404)

    def test_rewrites_the_past_when_subjects_move(self, om):
        om.meter()
        anna = om.customer(key="anna")
        om.send(event(5, subject="device"))
        assert om.values(filterCustomerId=anna["id"]) == []
        body = {"name": "Anna", "key": "anna", "usageAttribution": {"subjectKeys": ["device"]}}
        om.http.put(f"/openmeter/api/v1/customers/{anna['id']}", json=body)
        assert om.values(filterCustomerId=anna["id"]) == [5]


class TestCsv:
    def test_is_less_exact_than_json_and_only_for_the_exact_header(self, om):
        om.meter(groupBy={"model": "$.model"})
        om.send(event("0.123456789", model="x,y"))
        om.http.post("/openmeter/api/v1/subjects", json=[{"key": "s1", "displayName": "Subject One"}])
        params = {"groupBy": ["subject", "model"], "windowSize": "HOUR"}
        answer = om.http.get(
            "/openmeter/api/v1/meters/tokens/query", params=params, headers={"accept": "text/csv"}
        )
        assert answer.headers["content-type"].startswith("text/csv")
        assert answer.headers["content-disposition"] == 'attachment; filename="tokens.csv"'
        assert answer.text.splitlines() == [
            "window_start,window_end,subject,subject_display_name,model,value",
            '2026-03-10T00:00:00Z,2026-03-10T01:00:00Z,s1,Subject One,"x,y",0.123457',
        ]
        several = om.http.get(
            "/openmeter/api/v1/meters/tokens/query", headers={"accept": "text/csv, application/json"}
        )
        assert several.headers["content-type"] == "application/json"


class TestMeters:
    def test_are_a_plain_array_whatever_page_is_asked_for(self, om):
        for slug in ("b", "a", "c"):
            om.meter(slug)
        found = om.get("/meters", page=7, pageSize=1).json()
        assert [meter["slug"] for meter in found] == ["a", "b", "c"]
        assert [meter["slug"] for meter in om.get("/meters", order="DESC").json()] == ["c", "b", "a"]

    def test_are_at_most_1000(self, om, world):
        for number in range(1001):
            meter = {"id": str(number), "slug": f"m{number}"}
            world.store.put("openmeter_meter", str(number), meter)
        assert len(om.get("/meters").json()) == 1000

    def test_take_the_slug_as_name_and_leave_out_what_is_empty(self, om):
        meter = om.meter(groupBy={}, metadata={})
        assert meter["name"] == "tokens"
        assert meter["createdAt"] == "2026-03-10T12:34:56.789Z"
        assert not meter.keys() & {"groupBy", "metadata", "description", "deletedAt", "eventFrom"}

    def test_are_found_by_slug_while_live_and_by_id_for_ever(self, om):
        old = om.meter()
        assert om.http.delete("/openmeter/api/v1/meters/tokens").status_code == 204
        assert_problem(om.get("/meters/tokens"), 404)
        assert om.get(f"/meters/{old['id']}").json()["deletedAt"] == stamp(NOW)
        assert om.get("/meters").json() == []
        new = om.meter()
        assert om.get("/meters/tokens").json()["id"] == new["id"] != old["id"]
        assert len(om.get("/meters", includeDeleted="true").json()) == 2
        assert_problem(om.http.delete(f"/openmeter/api/v1/meters/{old['id']}"), 404)

    def test_see_old_events_when_they_are_new(self, om):
        om.send(event(3))
        om.meter()
        assert om.values() == [3]

    def test_change_only_in_name_description_metadata_and_groups(self, om):
        meter = om.meter(groupBy={"model": "$.model"}, description="old", eventFrom="2026-01-01T00:00:00Z")
        body = {
            "name": "New",
            "metadata": {"k": "v"},
            "slug": "other",
            "aggregation": "MAX",
            "eventType": "x",
        }
        changed = om.http.put("/openmeter/api/v1/meters/tokens", json=body).json()
        gone = {"groupBy", "description"}
        expected = {name: value for name, value in meter.items() if name not in gone}
        assert changed == expected | {"name": "New", "metadata": {"k": "v"}}

    @pytest.mark.parametrize(
        "wrong",
        [
            {"slug": "Upper"},
            {"slug": "a__b"},
            {"slug": "x" * 65},
            {"slug": 5},
            {"aggregation": "MEDIAN"},
            {"eventType": ""},
            {"valueProperty": None},
            {"valueProperty": "n"},
            {"valueProperty": "$.a b"},
            {"aggregation": "COUNT"},
            {"groupBy": {"subject": "$.s"}},
            {"groupBy": {"a-b": "$.s"}},
            {"groupBy": {"m": "model"}},
            {"groupBy": {"m": "$.n"}},
            {"groupBy": ["m"]},
            {"name": "x" * 257},
            {"description": "x" * 1025},
            {"metadata": {"k": 1}},
            {"eventFrom": "2026-01-01"},
        ],
    )
    def test_are_refused_when_they_break_a_rule(self, om, wrong):
        body = {"slug": "tokens", "aggregation": "SUM", "eventType": "call", "valueProperty": "$.n"} | wrong
        assert_problem(om.http.post("/openmeter/api/v1/meters", json=body), 400)
        assert om.get("/meters").json() == []

    def test_refuse_a_slug_that_is_taken(self, om):
        om.meter()
        body = {"slug": "tokens", "aggregation": "COUNT", "eventType": "call"}
        assert_problem(om.http.post("/openmeter/api/v1/meters", json=body), 409)

    def test_list_their_subjects_sorted(self, om):
        om.meter()
        om.send(*(event(1, START + hour * HOUR, name) for hour, name in enumerate(["b", "a", "b", "c"])))
        assert om.get("/meters/tokens/subjects").json() == ["a", "b", "c"]
        period = {"from": stamp(START + HOUR), "to": stamp(START + 3 * HOUR)}
        assert om.get("/meters/tokens/subjects", **period).json() == ["a", "b"]


class TestIngest:
    @pytest.mark.parametrize(
        ("content_type", "batch", "status"),
        [
            ("application/cloudevents+json", False, 204),
            ("application/cloudevents+json", True, 400),
            ("application/cloudevents-batch+json", True, 204),
            ("application/cloudevents-batch+json", False, 400),
            ("application/json", True, 204),
            ("application/json", False, 204),
            ("application/json; charset=utf-8", False, 400),
            ("text/plain", False, 400),
        ],
    )
    def test_takes_exactly_three_content_types(self, om, content_type, batch, status):
        body = json.dumps([event()] if batch else event())
        answer = om.http.post(
            "/openmeter/api/v1/events", content=body, headers={"content-type": content_type}
        )
        assert answer.status_code == status
        assert (answer.content == b"") == (status == 204)

    def test_drops_what_has_the_source_and_id_of_an_earlier_event(self, om):
        om.meter()
        first = event(1)
        om.send(first, first | {"data": {"n": 100}})
        om.send(first | {"subject": "other", "type": "other", "time": stamp(NOW)})
        assert om.values() == [1]
        om.send(first | {"source": "elsewhere"})
        assert om.values() == [2]

    def test_takes_the_clocks_time_for_an_event_without_one(self, om):
        om.meter()
        om.send(event() | {"time": None})
        (row,) = om.rows(windowSize="MINUTE")
        assert row["windowStart"] == "2026-03-10T12:34:00Z"

    def test_takes_any_past_and_future_time_in_any_order(self, om):
        om.meter()
        times = ["2030-01-01T00:00:00Z", "1999-01-01T00:00:00Z", "2026-01-01T00:00:00Z"]
        for at in times:
            om.send(event(1, at))
            assert om.values()  # sorts the index between the writes
        assert [row["windowStart"] for row in om.rows(windowSize="DAY")] == sorted(times)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"id": ""},
            {"id": None},
            {"id": 5},
            {"source": ""},
            {"type": ""},
            {"subject": ""},
            {"subject": "\ud800"},
            {"specversion": "0.3"},
            {"time": "yesterday"},
            {"data": "text"},
            {"data": [1]},
            {"datacontenttype": "text/plain"},
        ],
    )
    def test_takes_nothing_of_a_batch_with_a_wrong_event(self, om, wrong):
        om.meter()
        om.send(event(), event() | wrong, expect=400)
        assert om.rows() == []

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"5", b'{"n": NaN}', b"\xff", b"[" * 100_000, b'{"a":' * 600 + b"1" + b"}" * 600]
    )
    def test_refuses_what_is_no_event_at_all(self, om, body):
        headers = {"content-type": "application/json"}
        assert_problem(om.http.post("/openmeter/api/v1/events", content=body, headers=headers), 400)

    def test_takes_100_000_events_and_groups_them_in_a_moment(self, om):
        om.meter()
        minute = dt.timedelta(minutes=1)
        minutes = (START + number % 10_000 * minute for number in range(100_000))
        events = [event(1, at, f"s{number % 40}") for number, at in enumerate(minutes)]
        for first in range(0, len(events), 25_000):
            om.send(*events[first : first + 25_000])
        began = time.monotonic()
        rows = om.rows(windowSize="HOUR", groupBy="subject")
        assert sum(row["value"] for row in rows) == 100_000
        # Under a second here; the bound only catches a query that is quadratic.
        assert time.monotonic() - began < 10


class TestEventListing:
    def test_shows_the_last_72_hours_newest_first_with_what_is_wrong(self, om):
        om.meter()
        anna = om.customer(key="anna")
        old, bad = event(1, NOW - 73 * HOUR), event("bad", NOW - HOUR)
        good = event(1, NOW - 2 * HOUR, "anna")
        stray = event(1, NOW - 3 * HOUR) | {"type": "stray"}
        om.send(old, good, bad, stray)
        listed = om.get("/events").json()
        assert [item["event"]["id"] for item in listed] == [bad["id"], good["id"], stray["id"]]
        assert "tokens" in listed[0]["validationError"]
        assert "validationError" not in listed[1]
        assert listed[1]["customerId"] == anna["id"]
        assert "no meter" in listed[2]["validationError"]
        assert listed[0]["ingestedAt"] == stamp(NOW)
        longer = om.get("/events", **{"from": stamp(NOW - 80 * HOUR)}).json()
        assert [item["event"]["id"] for item in longer][-1] == old["id"]

    def test_filters_and_limits(self, om, world):
        anna = om.customer(key="anna")
        om.send(*(event(1, NOW - HOUR) for _ in range(150)))
        world.clock.set(NOW + HOUR, running=False)
        late = event(1, NOW - 2 * HOUR, "anna")
        om.send(late)
        assert len(om.get("/events").json()) == 100
        assert len(om.get("/events", limit=3).json()) == 3
        for params in (
            {"subject": "nn"},
            {"id": late["id"]},
            {"customerId": anna["id"]},
            {"ingestedAtFrom": stamp(NOW + HOUR)},
            {"to": stamp(NOW - 2 * HOUR)},
        ):
            assert [item["event"]["id"] for item in om.get("/events", **params).json()] == [late["id"]], (
                params
            )
        assert len(om.get("/events", ingestedAtTo=stamp(NOW)).json()) == 100

    @pytest.mark.parametrize(
        "params",
        [
            {"limit": 0},
            {"limit": 101},
            {"limit": "many"},
            {"from": stamp(NOW - 33 * 24 * HOUR)},
            {"ingestedAtFrom": stamp(NOW - 33 * 24 * HOUR)},
        ],
    )
    def test_refuses_what_is_out_of_bounds(self, om, params):
        assert_problem(om.get("/events", **params), 400)


class TestMetrics:
    def test_count_events_per_subject_since_midnight(self, om):
        om.send(event(1, NOW, "a"), event(1, NOW, "a"), event(1, NOW, 'b"'), event(1, START - HOUR, "a"))
        lines = om.get("/debug/metrics").text.splitlines()
        assert 'openmeter_events_total{subject="a"} 2' in lines
        assert 'openmeter_events_total{subject="b\\""} 1' in lines


class TestSubjects:
    def test_are_upserted_by_key(self, om):
        first = om.http.post(
            "/openmeter/api/v1/subjects", json=[{"key": "a", "metadata": {"n": 1.10}}]
        ).json()
        assert om.http.post("/openmeter/api/v1/subjects", json=[{"key": "a", "displayName": "A"}]).is_success
        (subject,) = om.get("/subjects").json()
        assert subject["id"] == first[0]["id"]
        assert (subject["displayName"], subject["metadata"]) == ("A", {"n": 1.1})

    def test_are_refused_without_a_key(self, om):
        assert_problem(om.http.post("/openmeter/api/v1/subjects", json=[{"displayName": "A"}]), 400)
        assert_problem(om.http.post("/openmeter/api/v1/subjects", json={"key": "a"}), 400)


class TestCustomers:
    def test_are_paged(self, om):
        for name in ("b", "c", "a"):
            om.customer(name=name, key=name)
        page = om.get("/customers", page=2, pageSize=2).json()
        assert [item["name"] for item in page.pop("items")] == ["c"]
        assert page == {"totalCount": 3, "page": 2, "pageSize": 2}

    def test_are_filtered_by_substrings_in_any_case(self, om):
        om.customer(
            name="Anna", key="k-ANNA", primaryEmail="a@x.org", usageAttribution={"subjectKeys": ["Dev1"]}
        )
        om.customer(name="Bert", key="bert")
        for params in ({"name": "NN"}, {"key": "anna"}, {"primaryEmail": "X.ORG"}, {"subject": "dev"}):
            assert [item["name"] for item in om.get("/customers", **params).json()["items"]] == ["Anna"]
        assert om.get("/customers", planKey="pro").json()["items"] == []

    def test_are_found_by_id_and_by_a_key_of_any_text(self, om):
        anna = om.customer(key="org/1 ü")
        assert om.get(f"/customers/{anna['id']}").json() == anna
        assert om.get("/customers/org%2F1%20%C3%BC").json() == anna
        assert_problem(om.get("/customers/nobody"), 404)

    def test_free_their_key_when_deleted_and_refuse_to_be_changed(self, om):
        old = om.customer(key="anna")
        path = f"/openmeter/api/v1/customers/{old['id']}"
        assert om.http.delete(path).status_code == 204
        assert_problem(om.http.delete(path), 412)
        assert_problem(om.http.put(path, json={"name": "A", "key": "anna"}), 412)
        assert om.get(f"/customers/{old['id']}").json()["deletedAt"] == stamp(NOW)
        assert om.get("/customers").json()["totalCount"] == 0
        assert om.get("/customers", includeDeleted="true").json()["totalCount"] == 1
        assert om.customer(key="anna")["id"] != old["id"]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"name": ""},
            {"key": None},
            {"usageAttribution": {"subjectKeys": [""]}},
            {"usageAttribution": {}},
            {"currency": "usd"},
        ],
    )
    def test_are_refused_when_they_break_a_rule(self, om, wrong):
        assert_problem(
            om.http.post("/openmeter/api/v1/customers", json={"name": "A", "key": "a"} | wrong), 400
        )

    def test_share_no_subject(self, om):
        om.customer(key="anna", usageAttribution={"subjectKeys": ["s"]})
        body = {"name": "B", "usageAttribution": {"subjectKeys": ["s"]}}
        assert_problem(om.http.post("/openmeter/api/v1/customers", json=body), 409)


class TestStripeLink:
    def test_is_a_412_until_the_customer_is_linked(self, om):
        anna = om.customer(key="anna")
        assert_problem(om.get("/customers/anna/stripe"), 412)
        body = {"stripeCustomerId": "cus_1"}
        linked = om.http.put("/openmeter/api/v1/customers/anna/stripe", json=body).json()
        assert om.get(f"/customers/{anna['id']}/stripe").json() == linked
        assert (linked["type"], linked["stripeCustomerId"]) == ("stripe", "cus_1")
        assert linked["app"]["livemode"] is False
        om.http.delete("/openmeter/api/v1/customers/anna")
        assert_problem(om.get(f"/customers/{anna['id']}/stripe"), 412)

    def test_is_a_404_for_nobody(self, om):
        assert_problem(om.get("/customers/nobody/stripe"), 404)


class TestGate:
    def test_ignores_authorization_without_a_token(self, om):
        answer = om.http.get("/openmeter/api/v1/meters", headers={"authorization": "Bearer whatever"})
        assert answer.status_code == 200

    @pytest.mark.parametrize("sent", [None, "Bearer wrong", "secret", "bearer secret", "Basic secret"])
    def test_wants_exactly_the_token(self, om, world, sent):
        world.settings.openmeter_token = "secret"
        headers = {} if sent is None else {"authorization": sent}
        assert_problem(om.http.get("/openmeter/api/v1/meters", headers=headers), 401)
        good = {"authorization": "Bearer secret"}
        assert om.http.get("/openmeter/api/v1/meters", headers=good).status_code == 200

    def test_answers_late_when_told_to(self, om, world):
        world.settings.openmeter_latency_ms = 150
        began = time.monotonic()
        assert om.get("/meters").status_code == 200
        assert time.monotonic() - began >= 0.15


class TestProblems:
    @pytest.mark.parametrize("path", ["/nothing", "/meters/", "/meters/x/y/z", "/../v2/meters"])
    def test_answer_unknown_paths(self, om, path):
        assert_problem(om.get(path), 404)

    def test_answer_a_wrong_method(self, om):
        answer = om.http.patch("/openmeter/api/v1/meters")
        assert assert_problem(answer, 405)["title"] == "Method Not Allowed"

    def test_answer_a_body_that_is_not_json(self, om):
        headers = {"content-type": "application/json"}
        assert_problem(om.http.post("/openmeter/api/v1/meters", content=b"{", headers=headers), 400)
        assert_problem(om.http.post("/openmeter/api/v1/meters", content=b"{}"), 400)


class TestControl:
    def test_forgets_events_which_may_then_come_again(self, om):
        om.meter()
        om.meter("calls", "COUNT", eventType="other")
        kept = [event(1, subject="other"), event(2, START + HOUR), event(4) | {"type": "other"}]
        lost = event(8)
        om.send(*kept, lost)
        choice = {"meter": "tokens", "subject": "s1", "from": stamp(START), "to": stamp(START + HOUR)}
        assert om.http.post("/sandbox/openmeter/forget", json=choice).json() == {"forgotten": 1}
        assert om.values() == [3]
        om.send(lost)
        assert om.values() == [11]
        assert om.http.post("/sandbox/openmeter/forget", json={}).json() == {"forgotten": 4}
        assert om.rows() == []

    def test_tells_the_exact_total(self, om):
        om.meter()
        om.meter("calls", "COUNT")
        om.meter("top", "MAX")
        om.send(event("0.1"), event("9007199254740993"), event("none", START + HOUR), event(5, subject="b"))
        usage = "/sandbox/openmeter/usage"
        asked = {"meter": "tokens", "subject": "s1", "to": stamp(START + HOUR)}
        assert om.http.get(usage, params=asked).json() == {"total": "9007199254740993.1", "events": 2}
        assert om.http.get(usage, params={"meter": "calls"}).json()["total"] == "4"
        assert_problem(om.http.get(usage, params={"meter": "top"}), 400)
        assert_problem(om.http.get(usage), 400)
        assert_problem(om.http.get(usage, params={"meter": "unknown"}), 404)

    def test_sums_up_usage_for_the_page(self, om, world):
        om.meter()
        om.meter("top", "MAX")
        om.send(event("0.1", subject="b"), event("0.2", subject="b"), event("x", subject="a"))
        assert openmeter.usage_totals(world) == [
            {"meter": "tokens", "subject": "a", "events": 1, "total": ""},
            {"meter": "tokens", "subject": "b", "events": 2, "total": "0.3"},
            {"meter": "top", "subject": "a", "events": 1, "total": ""},
            {"meter": "top", "subject": "b", "events": 2, "total": "0.2"},
        ]


class TestMemory:
    def test_is_empty_after_a_reset(self, om):
        om.meter()
        om.send(event())
        assert om.http.post("/sandbox/reset").status_code == 204
        om.meter()
        assert om.rows() == []

    def test_survives_a_restart(self, tmp_path):
        path = tmp_path / "sandbox.sqlite3"
        usage = [{"meter": "tokens", "subject": "s1", "events": 1, "total": "0.10"}]
        sent = event("0.10")
        with SandboxServer(state=path) as server, httpx.Client(base_url=server.base_url) as http:
            Client(http).meter()
            Client(http).send(sent)
        with SandboxServer(state=path) as server, httpx.Client(base_url=server.base_url) as http:
            assert openmeter.usage_totals(server.world) == usage
            Client(http).send(sent)
            assert openmeter.usage_totals(server.world) == usage


class TestInTheSandbox:
    def test_is_shown_on_the_page(self, om):
        om.meter()
        om.send(event("0.10", subject="<b>"))
        page = om.http.get("/").text
        assert "&lt;b&gt;" in page
        assert "0.10" in page

    def test_goes_wrong_when_told_to(self, om):
        om.meter()
        fault = {"route": "GET /api/v1/meters/{slug}/query", "status": 503}
        om.http.post("/sandbox/faults", json=fault)
        assert_problem(om.ask(), 503)
        assert om.ask().status_code == 200


class TestJsonPath:
    @pytest.mark.parametrize(
        ("path", "text"),
        [
            ("$.a.b", "x"),
            ("$['a']['b']", "x"),
            ('$["a"].b', "x"),
            ("$.list[1]", "y"),
            ("$.list[9]", ""),
            ("$.a", ""),
            ("$", ""),
            ("$.flag", "true"),
            ("$.a.b.c", ""),
        ],
    )
    def test_finds_what_it_names(self, path, text):
        data = {"a": {"b": "x"}, "list": ["z", "y"], "flag": True}
        assert json_path.compile_path(path).text(data) == text

    @pytest.mark.parametrize("path", ["", "a", "$a", "$.", "$..a", "$.a[", "$.a[*]", "$.a[-1]", "$.a "])
    def test_refuses_what_is_no_path(self, path):
        with pytest.raises(ValueError, match="JSONPath"):
            json_path.compile_path(path)


quantities = st.decimals(min_value=-1000, max_value=1000, places=6)
seconds = st.integers(min_value=0, max_value=4 * 86400 - 1)


class TestConservation:
    """Nothing is lost or counted twice, however the time is cut."""

    @settings(max_examples=25, deadline=None)
    @given(
        usage=st.lists(st.tuples(quantities, seconds, st.sampled_from("abc")), min_size=1, max_size=40),
        bounds=st.lists(st.integers(min_value=0, max_value=4), min_size=2, max_size=2, unique=True),
        size=st.sampled_from(["MINUTE", "HOUR", "DAY"]),
    )
    def test_windows_total_and_events_agree(self, served, usage, bounds, size):
        empty(served.world)
        first, last = sorted(bounds)
        start, end = (START + dt.timedelta(days=day) for day in (first, last))
        exact = sum(value for value, second, _ in usage if first * 86400 <= second < last * 86400)
        with httpx.Client(base_url=served.base_url) as http:
            om = Client(http)
            om.meter()
            om.send(*(event(str(value), START + dt.timedelta(seconds=at), who) for value, at, who in usage))
            period = {"from": stamp(start), "to": stamp(end)}
            windowed = om.values(windowSize=size, groupBy="subject", **period)
            total = om.values(**period)
            truth = http.get("/sandbox/openmeter/usage", params={"meter": "tokens", **period}).json()["total"]
        assert sum(windowed, Decimal(0)) == sum(total, Decimal(0)) == Decimal(truth) == exact
