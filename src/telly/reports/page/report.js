"use strict";
(() => {
  // Sorting: up, down, as it was. What is missing comes last either way.
  const order = (a, b, way) => {
    if (a === null || b === null) return (a === null) - (b === null);
    const [x, y] = [Number(a), Number(b)];
    const both = a.trim() !== "" && b.trim() !== "" && !Number.isNaN(x) && !Number.isNaN(y);
    return way * (both ? x - y : a.localeCompare(b, undefined, { numeric: true }));
  };
  for (const table of document.querySelectorAll("table")) {
    const body = table.tBodies[0];
    const original = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const next = { ascending: "descending", descending: "" }[head.getAttribute("aria-sort")] ?? "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (next) head.setAttribute("aria-sort", next);
      const key = (row) => row.cells[column].dataset.sort ?? null;
      const way = next === "descending" ? -1 : 1;
      const rows = next ? [...original].sort((a, b) => order(key(a), key(b), way)) : original;
      body.append(...rows);
    }));
  }

  // Filter: rows that hold every word.
  for (const input of document.querySelectorAll(".filter input")) {
    const rows = [...document.getElementById(input.getAttribute("aria-controls")).rows];
    const count = input.parentElement.querySelector("output");
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
      }
      const left = rows.filter((row) => !row.hidden).length;
      count.textContent = words.length ? `${left} of ${rows.length}` : "";
    });
  }

  // Tips: what lies under the pointer or has the focus tells its run.
  const tooltip = document.getElementById("tooltip");
  const place = (x, y) => {
    const box = tooltip.getBoundingClientRect();
    tooltip.style.left = `${Math.max(4, Math.min(x + 12, innerWidth - box.width - 4))}px`;
    tooltip.style.top = `${y + 16 + box.height > innerHeight ? Math.max(4, y - box.height - 10) : y + 16}px`;
  };
  const tell = (target, x, y) => {
    const found = target instanceof Element ? target.closest("[data-tip]") : null;
    tooltip.hidden = !found;
    if (found) {
      tooltip.textContent = found.dataset.tip;
      place(x, y);
    }
  };
  document.addEventListener("pointermove", (event) => tell(event.target, event.clientX, event.clientY));
  let focused = null; // its tip stays while the page scrolls to it
  const tellFocused = () => {
    const box = focused.getBoundingClientRect();
    tell(focused, box.left, box.bottom - 10);
  };
  document.addEventListener("focusin", (event) => {
    focused = event.target.matches(":focus-visible") ? event.target : null;
    if (focused) tellFocused();
  });
  document.addEventListener("focusout", () => { focused = null; tooltip.hidden = true; });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") tooltip.hidden = true; });
  document.addEventListener("scroll", () => {
    if (focused && !tooltip.hidden) tellFocused();
    else tooltip.hidden = true;
  }, { passive: true });
})();
