// A run's page: says aloud what changed, offers no cancelling of what is over, and leaves for the login page
// where the session ended.
"use strict";

document.addEventListener("htmx:afterSwap", () => {
  const shown = document.getElementById("run-progress");
  const spoken = document.getElementById("run-announcement");
  if (!shown || !spoken) return;
  if (spoken.textContent !== shown.dataset.announce) spoken.textContent = shown.dataset.announce;
  if (!shown.hasAttribute("hx-get")) document.querySelectorAll('a[href$="/cancel/"]').forEach((link) => (link.closest("li") || link).remove());
});

document.addEventListener("htmx:beforeSwap", (event) => {
  const asked = event.detail.pathInfo && event.detail.pathInfo.requestPath;
  const answered = event.detail.xhr.responseURL;
  if (event.target.id === "run-progress" && asked && answered && !answered.endsWith(asked)) {
    event.detail.shouldSwap = false;
    window.location.reload();
  }
});
