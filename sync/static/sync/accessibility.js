// Makes unfold's pages usable without a mouse and without eyes. The icon font draws words: "bolt Report usage…"
// would be read aloud. Icons beside a text are hidden from screen readers, icons that stand alone get a name,
// and what is clicked with a mouse can be reached by key.
"use strict";

const NAMES = {
  arrow_back: "Back", arrow_circle_down: "Sort the other way round", arrow_circle_up: "Sort the other way round",
  cancel: "Do not sort by this", check_small: "yes", close_small: "no", close: "Close", dark_mode: "Dark", light_mode: "Light",
  computer: "As the system", dock_to_right: "Show or hide the menu", expand_more: "Show more", filter_list: "Filters",
  manage_search: "Search", more_vert: "More", more_horiz: "More", receipt_long: "Overview", search: "Search", unfold_more: "Account",
};

function nameIcons(root) {
  for (const icon of root.querySelectorAll(".material-symbols-outlined:not([data-named])")) {
    icon.dataset.named = "1";
    const word = icon.textContent.trim();
    const owner = icon.closest("a, button, [role=button], td, th, label");
    const beside = owner ? owner.textContent.replace(word, "").trim() : "text";
    if (beside || owner.hasAttribute("aria-label") || !(word in NAMES)) {
      icon.setAttribute("aria-hidden", "true");
      continue;
    }
    icon.setAttribute("role", "img");
    icon.setAttribute("aria-label", NAMES[word]);
  }
}

function reachByKey(root) {
  for (const one of root.querySelectorAll("a:not([href])")) {
    if (![...one.attributes].some(({ name }) => name.startsWith("x-on:click") || name.startsWith("@click"))) continue;
    one.setAttribute("role", "button");
    one.tabIndex = 0;
    one.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      one.click();
    });
  }
}

function makeUsable(root) {
  nameIcons(root);
  reachByKey(root);
}

document.addEventListener("DOMContentLoaded", () => makeUsable(document));
document.addEventListener("htmx:afterSwap", (event) => makeUsable(event.target.parentNode || document));

// What Django and select2 build after the page: icons with a name but no role, boxes without their label.
function nameWidgets() {
  for (const icon of document.querySelectorAll(".help-tooltip[aria-label]")) icon.setAttribute("role", "img");
  for (const select of document.querySelectorAll("select.select2-hidden-accessible")) {
    const label = document.querySelector(`label[for="${select.id}"]`)?.textContent.trim() || select.name;
    const box = select.nextElementSibling;
    for (const part of box?.querySelectorAll("[role=combobox], [role=textbox]") ?? []) part.setAttribute("aria-label", label);
  }
}

window.addEventListener("load", () => setTimeout(nameWidgets));
