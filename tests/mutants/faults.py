"""The faults that would bill twice, lose usage or send what nobody should believe, each with its tests."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A change of one passage that has to make one of the tests fail. `harm` says what it would cost."""

    name: str
    harm: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


DOMAIN, OPERATIONS = "sync/domain", "sync/operations"
HAZARDS, LEDGER = "tests/integration/test_hazards.py", "tests/integration/test_ledger.py"
LOOK_BACK = "tests/functional/test_look_back.py"
REPORT, CRASHES = "tests/functional/test_report_usage.py", "tests/functional/test_crashes.py"
CARRY = "tests/functional/test_carry.py"
GO_LIVE, UNKNOWN = "tests/functional/test_go_live.py", "tests/functional/test_unknown_outcomes.py"
MOVE = "tests/functional/test_move_open_period.py"
INVOICES, SLICES = "tests/functional/test_invoices.py", "tests/unit/test_slices.py"

FAULTS = [
    Fault(
        name="identifier-without-revision",
        harm="Stripe refuses every correction as a repetition, and it counts as delivered.",
        file=f"{DOMAIN}/identifiers.py",
        old='tail = f"{int(slice_start.timestamp())}:{revision}"',
        new='tail = f"{int(slice_start.timestamp())}"',
        tests=(f"{REPORT}::TestReportUsage", "tests/unit/test_quantities.py::TestIdentifiers"),
    ),
    Fault(
        name="settled-before-sent",
        harm="What a worker dies over counts as delivered and is lost.",
        file=f"{OPERATIONS}/mark_sending.py",
        old="            UsageReport.objects.filter(pk__in=ids).update(**common, **differs)",
        new="            UsageReport.objects.filter(pk__in=ids).update(\n"
        '                **common | differs | {"status": Status.DELIVERED, "delivered_at": now}\n'
        "            )",
        tests=(f"{CRASHES}::TestKilledProcess", f"{LEDGER}::TestUnknownOutcome"),
    ),
    Fault(
        name="no-lease",
        harm="Two workers send for one customer at once, and an old total may arrive last.",
        file=f"{OPERATIONS}/claim_enrolments.py",
        old="    return Q(lease_expires_at=None) | Q(lease_expires_at__lt=Now())",
        new="    return Q(pk__isnull=False)",
        tests=(f"{LEDGER}::TestLease",),
    ),
    Fault(
        name="sent-after-the-lease",
        harm="Somebody else may own the row while a call for it is still under way.",
        file=f"{OPERATIONS}/send_report.py",
        old="    if lease.seconds_left() <= sender.call_timeout_seconds:",
        new="    if lease.seconds_left() <= -3600:",
        tests=(f"{LEDGER}::TestLease",),
    ),
    Fault(
        name="answer-written-without-the-lease",
        harm="A worker that was stopped writes over what its successor did.",
        file=f"{OPERATIONS}/settle_reports.py",
        old="                status=Status.SENDING,\n                enrolment__lease_owner=owner,\n",
        new="                status=Status.SENDING,\n",
        tests=(f"{LEDGER}::TestLease",),
    ),
    Fault(
        name="sent-again-after-24-hours",
        harm="Stripe has forgotten the identifier and bills the same event twice.",
        file=f"{DOMAIN}/retries.py",
        old="    return not maybe_arrived or now - first_sent_at < RESEND_LIMIT",
        new="    return True",
        tests=(f"{LEDGER}::TestUnknownOutcome",),
    ),
    Fault(
        name="superseded-total-sent-again",
        harm="The old total goes out beside the one that took its place.",
        file=f"{OPERATIONS}/plan_slices.py",
        old="        plan.superseded.append(waiting.id)\n",
        new="",
        tests=(f"{LEDGER}::TestStorePlan", f"{HAZARDS}::TestUsageThatArrivesWhileASliceWaitsForAPerson"),
    ),
    Fault(
        name="event-a-second-too-late",
        harm="The last slice of a period falls into the next one.",
        file=f"{DOMAIN}/slices.py",
        old="event_at=cell.end - SECOND",
        new="event_at=cell.end",
        tests=(f"{SLICES}::TestCutSlices", f"{REPORT}::TestPeriods"),
    ),
    Fault(
        name="boundary-not-floored",
        harm="Minutes of usage around a renewal are asked for by seconds that OpenMeter does not window by.",
        file=f"{DOMAIN}/periods.py",
        old="            end = floor_to(end, step)",
        new="            end = floor_to(end, step) + timedelta(seconds=1)",
        tests=("tests/unit/test_periods.py", f"{REPORT}::TestPeriods"),
    ),
    Fault(
        name="negative-deltas-dropped",
        harm="What OpenMeter took back stays on the bill for good.",
        file=f"{OPERATIONS}/plan_slices.py",
        old="    if moved and not blocking and change.target != change.accounted:",
        new="    if moved and not blocking and change.target > change.accounted:",
        tests=(f"{REPORT}::TestReportUsage",),
    ),
    Fault(
        name="brake-removed",
        harm="An empty answer of OpenMeter takes everybody's usage off their bills.",
        file=f"{DOMAIN}/drift.py",
        old="    if not lowered:\n",
        new="    if True:\n",
        tests=("tests/unit/test_quantities.py::TestBrake", f"{REPORT}::TestBrake"),
    ),
    Fault(
        name="unbelievable-answer-moves-the-mark",
        harm="Hours for which OpenMeter answered with nothing are never asked for again.",
        file=f"{OPERATIONS}/plan_reports.py",
        old="    if distrusted:\n        for planned",
        new="    if False:\n        for planned",
        tests=(f"{HAZARDS}::TestAnswersThatNobodyShouldBelieve",),
    ),
    Fault(
        name="blocked-slice-planned-again",
        harm="A second report of usage whose first may have arrived.",
        file=f"{OPERATIONS}/plan_slices.py",
        old="{row.status for row in rows if row.status in UsageReport.BLOCKING and row is not waiting}",
        new="set[str]()",
        tests=(f"{LEDGER}::TestUnknownOutcome", f"{REPORT}::TestBrake", f"{HAZARDS}"),
    ),
    Fault(
        name="settling-not-waited-for",
        harm="An hour is reported while its events still come in, and corrected for ever after.",
        file=f"{OPERATIONS}/plan_reports.py",
        old="        horizon=now - timedelta(seconds=meter.settle_seconds),",
        new="        horizon=now,",
        tests=(f"{REPORT}::TestReportUsage",),
    ),
    Fault(
        name="tail-not-read-again",
        harm="Usage that OpenMeter learns of a little later is never billed.",
        file=f"{DOMAIN}/slices.py",
        old="        if row.unsettled\n        or row.span.end > reread_from\n",
        new="        if row.unsettled\n",
        tests=(f"{SLICES}::TestCutSlices", f"{REPORT}::TestReportUsage"),
    ),
    Fault(
        name="stale-plan-stored",
        harm="A plan from before a subscription was known moves the mark past its usage.",
        file=f"{OPERATIONS}/store_plan.py",
        old="    if any(now.get(one.enrolment.id) != (one.enrolment.planned_through, one.enrolment.anew)"
        " for one in batch):",
        new="    if not now and batch:",
        tests=(f"{HAZARDS}::TestAPlanMadeBeforeMoreTurnedOutToBeBillable",),
    ),
    Fault(
        name="overlapping-slices-stored",
        harm="A day and its hours are both billed.",
        file=f"{OPERATIONS}/store_plan.py",
        old="            if span.overlaps(other) and (not same or status in UsageReport.BLOCKING):",
        new="            if span.overlaps(other) and (same and status in UsageReport.BLOCKING):",
        tests=(f"{HAZARDS}::TestTwoPlannersThatCutDifferently", f"{CRASHES}::TestTwoProcesses"),
    ),
    Fault(
        name="sent-into-a-closed-period",
        harm="Stripe takes the event and puts it on no invoice, and nobody learns of it.",
        file=f"{DOMAIN}/closings.py",
        old="    return closes_at - LATE_MARGIN <= now or event_at <= now - OLDEST_EVENT",
        new="    return event_at <= now - OLDEST_EVENT",
        tests=(f"{SLICES}::TestIsLate", f"{REPORT}::TestPeriods"),
    ),
    Fault(
        name="half-closed-slice-sent",
        harm="One of two items bills usage that the other never will, and nobody decided so.",
        file=f"{DOMAIN}/closings.py",
        old="    return Outlook(closes_at=still_open[0].closes_at, is_late=False, closed=closed)",
        new="    return Outlook(closes_at=still_open[0].closes_at, is_late=False)",
        tests=(f"{INVOICES}::TestSeveralItems",),
    ),
    Fault(
        name="timeout-taken-for-a-refusal",
        harm="What may have arrived is sent again under another name.",
        file=f"{OPERATIONS}/settle_reports.py",
        old="        case Rejected() if not maybe_arrived:",
        new="        case Rejected() | DuplicateIdentifier():",
        tests=(f"{HAZARDS}::TestOutcomes", f"{LEDGER}::TestUnknownOutcome"),
    ),
    Fault(
        name="key-kept-after-a-500",
        harm="Stripe repeats its stored 500 for 24 hours, and the report is never delivered.",
        file=f"{OPERATIONS}/settle_reports.py",
        old="                new_key=(answer.http_status or 0) >= 500,",
        new="                new_key=False,",
        tests=(f"{REPORT}::TestRefusals", "tests/unit/test_settlement.py"),
    ),
    Fault(
        name="rounded-twice",
        harm="Every slice is a little dearer than its usage.",
        file=f"{DOMAIN}/quantities.py",
        old="    return _CONTEXT.quantize(_CONTEXT.multiply(measured, scale), _last_place(decimals))",
        new="    return _CONTEXT.quantize(measured, _last_place(decimals)) * scale",
        tests=("tests/unit/test_quantities.py::TestBilledUnits", f"{REPORT}::TestReportUsage"),
    ),
    Fault(
        name="moved-key-counts-for-both",
        harm="Two customers pay for the same usage.",
        file="sync/queries/planning.py",
        old="            self.valid_to is None or instant < self.valid_to",
        new="            self.valid_to is None or instant < FOR_EVER",
        tests=(f"{REPORT}::TestSubjects",),
    ),
    Fault(
        name="false-reading-taken-for-measured",
        harm="A day that a person said was read wrongly differs for ever, or lacks what it held.",
        file="sync/queries/measured_days.py",
        old=" & ~Q(status=UsageReport.Status.DISMISSED, written_off=False)",
        new="",
        tests=(f"{LOOK_BACK}::TestLookBack",),
    ),
    Fault(
        name="days-believed-without-hours",
        harm="What OpenMeter learned of later than the tail is billed to nobody.",
        file=f"{OPERATIONS}/plan_changed_days.py",
        old="            if (day.differs or may_hide_a_change) and day.is_billed and day.was_begun:",
        new="            if (day.differs or may_hide_a_change) and day.is_billed and not day.was_begun:",
        tests=(f"{LOOK_BACK}::TestLookBack",),
    ),
    Fault(
        name="empty-answer-not-asked-twice",
        harm="An answer that lacks everything once counts as hours without usage.",
        file=f"{OPERATIONS}/compare_days.py",
        old="        if any(day.differs and day.is_billed and not _may_differ(day) for day in chunk.days):",
        new="        if any(day.differs and not day.is_billed for day in chunk.days):",
        tests=(f"{LOOK_BACK}::TestQuietMeter",),
    ),
    Fault(
        name="first-delivery-unchecked",
        harm="What another tool reported before is billed twice.",
        file="sync/queries/uncompared.py",
        old="    first = Q(enrolment__checked_at=None)",
        new="    first = Q(pk=None)",
        tests=(f"{GO_LIVE}::TestFirstDelivery",),
    ),
    Fault(
        name="old-slices-unchecked",
        harm="A database that was put back sends again what Stripe forgot the names of.",
        file="sync/queries/uncompared.py",
        old="    old = Q(slice_end__lte=now - RESEND_LIMIT)",
        new="    old = Q(pk=None)",
        tests=(f"{GO_LIVE}::TestOldSlices",),
    ),
    Fault(
        name="days-of-sent-hours-unchecked",
        harm="A day is sent whose hours were sent under names of their own.",
        file="sync/queries/uncompared.py",
        old='    long = Q(slice_end__gt=F("slice_start") + HOUR)',
        new="    long = Q(pk=None)",
        tests=(f"{GO_LIVE}::TestOldSlices",),
    ),
    Fault(
        name="sent-although-not-compared",
        harm="Where Stripe's totals cannot be read, first deliveries go out unseen.",
        file=f"{OPERATIONS}/load_lanes.py",
        old="        if for_people or report.pk in uncompared or",
        new="        if for_people or",
        tests=(f"{GO_LIVE}::TestFirstDelivery",),
    ),
    Fault(
        name="unknown-sent-anew-unseen",
        harm="A report that did arrive is sent again under another name once a day has passed.",
        file=f"{OPERATIONS}/settle_unknown.py",
        old="        elif alone and all(cell.is_as_told for cell in cells):",
        new="        elif alone:",
        tests=(f"{UNKNOWN}::TestUnknownForADay",),
    ),
    Fault(
        name="totals-believed-too-early",
        harm="What arrived a minute ago is not in Stripe's totals yet, and is sent again.",
        file=f"{DOMAIN}/comparison.py",
        old="SUMMARY_LAG = timedelta(minutes=10)",
        new="SUMMARY_LAG = timedelta(0)",
        tests=("tests/integration/test_compare_with_stripe.py",),
    ),
    Fault(
        name="refused-later-and-believed",
        harm="What Stripe took and refused later counts as billed for ever.",
        file=f"{OPERATIONS}/take_back.py",
        old="        if row.status not in TAKEN:",
        new="        if row.status not in TAKEN or row.status == Status.DELIVERED:",
        tests=("tests/functional/test_refused_later.py::TestWhatStripeRefusedLater",),
    ),
    Fault(
        name="refused-later-while-being-sent",
        harm="The answer that is still to come makes it delivered again, and nobody looks any more.",
        file=f"{OPERATIONS}/take_back.py",
        old="        if found.on_their_way:",
        new="        if False and found.on_their_way:",
        tests=("tests/functional/test_refused_later.py::TestWhatStripeRefusedLater",),
    ),
    Fault(
        name="signature-of-tomorrow",
        harm="A signature that is dated ahead may be used again for as long as somebody likes.",
        file="sync/clients/stripe_notices.py",
        old="    _verify(body, signature, secret)\n    try:\n        event",
        new="    try:\n        event",
        tests=("tests/functional/test_webhooks.py::TestWhoMaySpeak",),
    ),
    Fault(
        name="carried-and-late-again",
        harm="What was carried forward is found late again, and carried a second time.",
        file="sync/models/ledger.py",
        old="        # Another slice bills it.\n        return Counts.AS_WRITTEN_OFF",
        new="        return Counts.NOT",
        tests=(f"{CARRY}::TestCarriedUsage",),
    ),
    Fault(
        name="carried-below-zero",
        harm="Stripe bills a negative period as nothing, and what was billed too much is never given back.",
        file=f"{OPERATIONS}/plan_carry.py",
        old="        carried = max(units, -left)",
        new="        carried = units",
        tests=(f"{CARRY}::TestBelowZero",),
    ),
    Fault(
        name="carried-units-forgotten",
        harm="The next measurement of the open hour takes off again what was carried into it.",
        file=f"{OPERATIONS}/plan_slices.py",
        old="    carried = newest.carried if newest else Decimal(0)",
        new="    carried = Decimal(0)",
        tests=(f"{CARRY}::TestCarriedUsage",),
    ),
    Fault(
        name="carried-units-dismissed-with-a-reading",
        harm="Whoever dismisses a wrong reading of the open hour dismisses what was carried into it.",
        file=f"{OPERATIONS}/plan_slices.py",
        old="    return unsent and not takes_along",
        new="    return unsent",
        tests=(f"{CARRY}::TestCarriedUsage",),
    ),
    Fault(
        name="old-price-open-for-ever",
        harm="What was used before an item moved to another meter is sent after it, and on no invoice.",
        file=f"{DOMAIN}/swaps.py",
        old="        if keeps_usage and old.meter == new.meter:",
        new="        if keeps_usage or old.meter:",
        tests=(
            "tests/unit/test_swaps.py",
            "tests/functional/test_swaps.py::TestAnItemThatMovesToAnotherMeter",
        ),
    ),
    Fault(
        name="both-meters-at-once",
        harm="An item that moved to another meter is billed on both for the same time.",
        file="sync/queries/billed_items.py",
        old="        unbilled += other_meters(prices, meter.pk)",
        new="        unbilled += []",
        tests=("tests/functional/test_swaps.py::TestAnItemThatMovesToAnotherMeter",),
    ),
    Fault(
        name="move-from-the-earlier-start",
        harm="A key moves to a customer with usage of a time in which they were billed for nothing.",
        file=f"{DOMAIN}/open_periods.py",
        old="    return OpenPeriods(since=max(bounds, default=None)",
        new="    return OpenPeriods(since=min(bounds, default=None)",
        tests=("tests/unit/test_open_periods.py", f"{MOVE}::TestInvoices"),
    ),
    Fault(
        name="ordered-decrease-held",
        harm="Usage that moved is billed to its new customer, and to the old one until somebody looks.",
        file=f"{DOMAIN}/drift.py",
        old="    lowered = max(exact_sum([*lowers, -ordered]), NOTHING)",
        new="    lowered = exact_sum(lowers)",
        tests=(f"{MOVE}::TestInvoices",),
    ),
]
