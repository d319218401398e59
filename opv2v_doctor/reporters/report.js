"use strict";
const checks = [...document.querySelectorAll(".check")];
const filters = document.getElementById("filters");
const buttons = [...filters.querySelectorAll("[data-status]")];
const unfold = document.getElementById("unfold");
const texts = new Map(checks.map((check) => [check, check.textContent.toLowerCase()]));

function filter() {
  const statuses = buttons.filter((b) => b.getAttribute("aria-pressed") === "true").map((b) => b.dataset.status);
  const family = filters.elements.family.value;
  const words = filters.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const check of checks) {
    const section = check.closest(".family");
    check.hidden = (statuses.length > 0 && !statuses.includes(check.dataset.status))
      || (family !== "" && section.dataset.family !== family)
      || !words.every((word) => texts.get(check).includes(word));
  }
  for (const section of document.querySelectorAll(".family")) {
    section.hidden = !section.querySelector(".check:not([hidden])");
  }
  const shown = checks.filter((check) => !check.hidden).length;
  const output = filters.querySelector("output");
  output.textContent = output.dataset.template.replace("{0}", shown).replace("{1}", checks.length);
}

function goTo() {
  const place = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const check = place && place.closest(".check");
  if (!check) return;
  if (check.hidden) filters.reset();
  check.open = true;
  place.scrollIntoView();
}

function openAll(every) {
  for (const check of checks) check.open = every;
  unfold.setAttribute("aria-pressed", String(every));
}

for (const button of buttons) {
  button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    filter();
  });
}
filters.addEventListener("input", filter);
filters.addEventListener("change", filter);
filters.addEventListener("submit", (event) => event.preventDefault());
filters.addEventListener("reset", () => {
  for (const button of buttons) button.setAttribute("aria-pressed", "false");
  setTimeout(filter);
});
unfold.addEventListener("click", () => openAll(unfold.getAttribute("aria-pressed") !== "true"));
window.addEventListener("hashchange", goTo);
let before = [];
window.addEventListener("beforeprint", () => {
  const inProblems = ":is(.failed, .warned, .blocked, .crashed) > .body .page:not([open])";
  before = [...document.querySelectorAll(`.check:not([open]), ${inProblems}`)];
  for (const one of before) one.open = true;
});
window.addEventListener("afterprint", () => {
  for (const one of before) one.open = false;
});
filters.hidden = false;
filter();
goTo();
