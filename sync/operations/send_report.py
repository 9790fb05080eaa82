"""One call to Stripe, made in a pool thread: no database here."""

import logging
import time

from sync.domain.identifiers import idempotency_key
from sync.domain.quantities import as_text
from sync.models import UsageReport
from sync.operations.claim_enrolments import Lease
from sync.operations.settle_reports import Answer, NotSent
from sync.ports import MeterEvent, MeterEventSender, OutcomeUnknown, SyncError

logger = logging.getLogger("sync.deliver")


def send_report(sender: MeterEventSender, lease: Lease, report: UsageReport, start_at: float) -> Answer:
    """Return what came of sending a report at `start_at` (steady clock); never raises.

    Nothing is sent once the lease could run out under the call: somebody else may own the row by then.
    """
    delay = start_at - time.monotonic()
    if delay > 0:
        time.sleep(delay)
    if lease.seconds_left() <= sender.call_timeout_seconds:
        return NotSent()
    try:
        return sender.send_meter_event(_event(report))
    except SyncError as error:
        return error
    except Exception as error:
        # A fault of ours must not stop other customers; whether Stripe got it, nobody knows.
        logger.exception("report.call_failed", extra={"identifier": report.identifier})
        return OutcomeUnknown(f"The call failed inside the console: {type(error).__name__}.")


def _event(report: UsageReport) -> MeterEvent:
    meter = report.enrolment.meter
    return MeterEvent(
        event_name=meter.event_name,
        customer_key=meter.customer_key,
        customer_id=report.enrolment.customer.stripe_id,
        value_key=meter.value_key,
        value=as_text(report.value),
        identifier=report.identifier,
        timestamp=report.event_at,
        idempotency_key=idempotency_key(identifier=report.identifier, series=report.key_series),
    )
