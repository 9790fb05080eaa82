"""Getting in."""

from tests.browser.served_console import PASSWORD


class TestLogin:
    def test_lets_staff_in_and_out(self, visit):
        someone = visit("")
        someone.go("/")
        assert "/login/" in someone.page.url
        someone.page.fill("#id_username", "nora")
        someone.page.fill("#id_password", PASSWORD)
        someone.page.press("#id_password", "Enter")
        someone.page.wait_for_url(f"{someone.address}/")
        assert someone.page.title() == "[SANDBOX] Overview | Billing console"

    def test_leads_to_the_overview_those_who_open_it_by_itself(self, visit):
        someone = visit("")
        someone.go("/login/")
        someone.page.fill("#id_username", "nora")
        someone.page.fill("#id_password", PASSWORD)
        someone.page.press("#id_password", "Enter")
        someone.page.wait_for_url(f"{someone.address}/")

    def test_says_what_is_wrong_and_lets_nobody_in(self, visit):
        someone = visit("")
        someone.go("/login/")
        someone.page.fill("#id_username", "nora")
        someone.page.fill("#id_password", "guessed")
        someone.page.press("#id_password", "Enter")
        someone.page.get_by_text("Please enter the correct username and password").wait_for()
        someone.go("/sync/usagereport/")
        assert "/login/" in someone.page.url
