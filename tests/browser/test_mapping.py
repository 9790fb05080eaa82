"""Usage under a key that nobody knows becomes a customer's, and is billed."""

from playwright.sync_api import expect

from sync.domain.timeline import HOUR
from tests.business import USED

WHY = "Northwind's second account"


class TestLinkSubject:
    def test_bills_what_was_used_under_a_key_that_belonged_to_nobody(self, visit, start_business, console):
        business = start_business(customers=1)
        (northwind,) = business.people
        business.world.use("northwind-eu", USED, business.hour + HOUR / 2)
        ada = visit("ada")
        ada.go("/sync/subject/")
        ada.button("Link…")
        ada.page.get_by_role("button", name="northwind-eu").click()
        ada.page.locator(".select2-selection").click()
        ada.page.locator(".select2-search__field").fill(northwind.customer)
        ada.page.locator(".select2-results__option", has_text=northwind.subject).click()
        ada.button("Show what it bills")
        expect(ada.page.locator(".console-table").first).to_contain_text("0.07 USD")
        assert ada.barriers() == []
        ada.page.fill("#id_why", WHY)
        ada.button("Link")
        ada.sees("Linked northwind-eu to")
        ada.page.get_by_role("link", name="Report usage").first.click()
        ada.page.fill("#id_why", WHY)
        ada.button("Report")
        ada.sees("succeeded")
        assert business.billed() == {2 * USED}

    def test_is_for_admins_only(self, visit, start_business):
        start_business(customers=1)
        otto = visit("otto")
        otto.go("/sync/subject/")
        assert otto.page.get_by_text("Link…").count() == 0
        otto.may_answer.add(403)
        assert otto.go("/sync/subject/link/").status == 403
