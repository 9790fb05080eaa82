// A suggested value fills its field when it is chosen.
"use strict";

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-fills]");
  const field = button && button.closest("form").elements[button.dataset.fills];
  if (field) {
    field.value = button.dataset.value;
    field.focus();
  }
});
