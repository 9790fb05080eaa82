"""What can be decided on reports, in the order in which it is offered."""

from collections.abc import Sequence

from sync.admin.dialogs.already_billed import AlreadyBilled
from sync.admin.dialogs.carry_report import CarryReport
from sync.admin.dialogs.compare_report import CompareReport
from sync.admin.dialogs.decide_reports import DecideReports
from sync.admin.dialogs.dismiss_report import DismissReport
from sync.admin.dialogs.release_report import ReleaseReport
from sync.admin.dialogs.retry_report import RetryReport

REPORT_DIALOGS: Sequence[type[DecideReports]] = (
    CompareReport,
    AlreadyBilled,
    ReleaseReport,
    RetryReport,
    CarryReport,
    DismissReport,
)
