"""An empty console says what to do, and doing it leads to the first report."""

ADVICE = {
    "customer": "Sync with Stripe… reads them",
    "meter": "Run Stripe setup… creates a meter",
    "reportrun": "before anything is sent",
    "finding": "No obstacle and no difference",
}


class TestEmptyConsole:
    def test_leads_from_the_first_step_to_the_next(self, visit, world_alone):
        ada = visit("ada")
        ada.go("/")
        ada.sees("First steps")
        ada.button("Run Stripe setup…")
        ada.page.select_option("#id_openmeter_meter", "tokens")
        ada.page.fill("#id_event_name", "ai_tokens")
        ada.page.fill("#id_unit_amount", "0.01")
        ada.page.fill("#id_customer_name", "Northwind")
        ada.page.fill("#id_external_key", "northwind")
        ada.button("Show what it creates")
        ada.sees("Will be created: meter, product, price, customer, subscription.")
        assert ada.barriers() == []
        ada.page.fill("#id_why", "the first day")
        ada.button("Set up")
        ada.sees("Set up: meter")
        meters = world_alone.stripe("GET", "/billing/meters")["data"]
        assert [meter["event_name"] for meter in meters] == ["ai_tokens"]
        assert len(world_alone.stripe("GET", "/subscriptions")["data"]) == 1
        ada.go("/")
        ada.button("Sync with Stripe…")
        ada.page.fill("#id_why", "the first day")
        ada.button("Sync")
        ada.sees("succeeded")
        ada.go("/")
        ada.button("Report usage…")
        ada.sees("There is nothing to report")
        ada.go("/sync/customer/")
        ada.sees("northwind")

    def test_has_lists_that_say_where_rows_come_from(self, visit):
        vera = visit("vera")
        for page, advice in ADVICE.items():
            vera.go(f"/sync/{page}/")
            vera.sees(advice)
        vera.go("/sync/customer/?q=northwind")
        vera.sees("Nothing matches")
