"""Resolve…: findings that need nobody's attention any more."""

from django import forms
from django.utils import timezone

from sync.admin.dialogs.dialog import Dialog, Outcome, Place, Preview
from sync.admin.formats import when, wrapped
from sync.domain.remedies import COMES_BACK, FINDINGS
from sync.models import Finding
from sync.operations.resolve_finding import resolve_finding
from sync.ports import InvalidInput


class ResolveFinding(Dialog):
    """A person looked into it, and says how it ended."""

    name = "resolve"
    title = "Resolve findings"
    button = "Resolve…"
    icon = "task_alt"
    submit = "Resolve"
    permission = "sync.resolve_finding"
    places = frozenset({Place.OBJECT, Place.SELECTION})

    @classmethod
    def why_not(cls, row: Finding) -> str:
        """Only open ones are resolved."""
        return f"Finding {row.pk} is resolved already." if row.resolved_at else ""

    def description(self) -> str:
        """Say what resolving is, and what it is not."""
        return "Resolving takes it off the list; it changes nothing of what it is about."

    def preview(self) -> Preview:
        """Show the findings and what would have to be done, and say which come back."""
        sentences = []
        if any(row.kind in COMES_BACK for row in self.rows):
            sentences.append(
                "Every sync looks for this again: what is still the case comes back as a new finding."
            )
        return Preview(
            sentences=sentences,
            headers=("finding", "what", "since", "what to do"),
            rows=[
                (row.pk, wrapped(row.message), when(row.found_at), wrapped(FINDINGS[row.kind]))
                for row in self.rows
            ],
        )

    def act(self, form: forms.Form) -> Outcome:
        """Resolve each; what cannot be resolved is said."""
        now, why = timezone.now(), form.cleaned_data["why"]
        resolved: list[Finding] = []
        refused: list[str] = []
        for row in self.rows:
            try:
                resolved.append(resolve_finding(finding_id=row.pk, why=why, who=self.who, now=now))
            except InvalidInput as error:
                refused.append(f"{row.get_kind_display()}: {error}")
        if not resolved:
            raise InvalidInput(" ".join(refused))
        count = len(resolved)
        return Outcome(
            message=f"Resolved {count} {'finding' if count == 1 else 'findings'}.",
            about=resolved,
            warnings=refused,
        )
