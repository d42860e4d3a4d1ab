"use strict";
(() => {
  // As the system says, or as chosen, before anything is drawn; a page on disk may have no storage.
  const names = { "": "as the system", light: "light", dark: "dark" };
  const root = document.documentElement;
  let chosen = "";
  try { chosen = localStorage.getItem("telly-theme") || ""; } catch { chosen = ""; }
  if (!(chosen in names)) chosen = "";
  const show = () => {
    if (chosen) root.dataset.theme = chosen;
    else delete root.dataset.theme;
    const button = document.getElementById("theme");
    if (button) button.querySelector("span").textContent = names[chosen];
  };
  show();
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    button.hidden = false;
    button.addEventListener("click", () => {
      const order = Object.keys(names);
      chosen = order[(order.indexOf(chosen) + 1) % order.length];
      try { localStorage.setItem("telly-theme", chosen); } catch { /* not kept */ }
      show();
    });
    show();
  });
})();
