"use strict";
/* What every page has: light or dark, as the reader's system has it until the button says otherwise. */
{
  const root = document.documentElement, button = document.getElementById("theme");
  const isDark = () => getComputedStyle(root).colorScheme === "dark";
  const told = () => document.dispatchEvent(new Event("themechange"));
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    told();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", told);
  button.hidden = false;
}
