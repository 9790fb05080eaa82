// Shows every <time class="when"> in the reader's own time zone, as 2026-11-25 09:30 CET; UTC stays on hover.
"use strict";

const parts = new Intl.DateTimeFormat("en-GB", {
  year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
});

function localText(instant) {
  const part = Object.fromEntries(parts.formatToParts(instant).map(({ type, value }) => [type, value]));
  return `${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute} ${part.timeZoneName}`;
}

function showLocalTimes(root) {
  for (const element of root.querySelectorAll("time.when:not([data-local])")) {
    element.textContent = localText(new Date(element.dateTime));
    element.dataset.local = "1";
  }
}

document.addEventListener("DOMContentLoaded", () => showLocalTimes(document));
document.addEventListener("htmx:afterSwap", (event) => showLocalTimes(event.target.parentNode || document));
