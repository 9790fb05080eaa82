// Shows every <time class="when"> in the reader's own time zone; UTC stays on hover.
"use strict";

function showLocalTimes(root) {
  const format = new Intl.DateTimeFormat(undefined, {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
  });
  for (const element of root.querySelectorAll("time.when:not([data-local])")) {
    element.textContent = format.format(new Date(element.dateTime));
    element.dataset.local = "1";
  }
}

document.addEventListener("DOMContentLoaded", () => showLocalTimes(document));
document.addEventListener("htmx:afterSwap", (event) => showLocalTimes(event.target.parentNode || document));
