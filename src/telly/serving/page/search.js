"use strict";
(() => {
  const PAGE_SIZE = 10;      // functions of the first answer, and of every "more"
  const MAX_RESULTS = 100;
  const MAX_LINES = 60;      // lines of code requested per function
  const FOLDED_LINES = 8;    // lines of code shown before "Show more lines"
  const TOKEN = "telly-token";

  const byId = (id) => document.getElementById(id);
  const [form, query, results, status, problem, more] = ["search", "query", "results", "status", "problem", "more"].map(byId);
  let shown = { q: "", by: "fused", top: PAGE_SIZE };
  let running = null;

  // The token is kept by the tab or, where storage is blocked, by the page.
  let token = "";
  try { token = sessionStorage.getItem(TOKEN) || ""; } catch { token = ""; }
  const storeToken = (value) => {
    token = value;
    byId("forget").hidden = !token;
    try {
      if (token) sessionStorage.setItem(TOKEN, token);
      else sessionStorage.removeItem(TOKEN);
    } catch { /* kept by the page alone */ }
  };

  // Everything from the server becomes text, never markup.
  const create = (name, className, ...children) => {
    const element = document.createElement(name);
    if (className) element.className = className;
    element.append(...children);
    return element;
  };
  const chunkElement = ({ text, kind, match }) => {
    const inner = match ? create("mark", "", text) : text;
    return kind ? create("span", `k-${kind}`, inner) : inner;
  };
  const chunkElements = (chunks) => chunks.map(chunkElement);
  const plain = (chunks) => chunks.map((chunk) => chunk.text).join("");
  const count = (number, one, many) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

  const request = async (path, body, signal) => {
    const headers = { Accept: "application/json" };
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body) headers["Content-Type"] = "application/json";
    const answer = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal, cache: "no-store" });
    let content = null;
    try { content = await answer.json(); } catch { content = null; }
    if (answer.ok && content) return content;
    const error = new Error((content && content.error) || `The server answered with ${answer.status}.`);
    error.status = answer.status;
    throw error;
  };

  const show = (element, visible) => { element.hidden = !visible; };

  const fail = (error) => {
    if (error.name === "AbortError") return;
    status.textContent = "";
    if (error.status === 401) {
      const wrong = token !== "";
      storeToken("");
      show(byId("access"), true);
      show(form, false);
      show(byId("welcome"), false);
      clear();
      show(problem, wrong);
      problem.textContent = wrong ? "That is not the server's token." : "";
      byId("token").focus();
      return;
    }
    show(problem, true);
    problem.textContent = error instanceof TypeError ? "The server does not answer. Is it still running?" : error.message;
  };

  const clear = () => {
    results.replaceChildren();
    results.removeAttribute("aria-busy");
    show(more, false);
  };

  const locationLine = (hit) => {
    const cut = hit.path.lastIndexOf("/") + 1;
    const text = `${hit.path}:${hit.line}`;
    const where = create("p", "where", create("span", "", create("span", "folder", hit.path.slice(0, cut)), create("span", "file", `${hit.path.slice(cut)}:${hit.line}`)));
    if (/[.:]/.test(hit.name)) where.append(create("span", "name", hit.name));
    if (navigator.clipboard) {
      const copy = create("button", "copy", "Copy");
      copy.type = "button";
      copy.setAttribute("aria-label", `Copy ${text}`);
      copy.addEventListener("click", async () => {
        try { await navigator.clipboard.writeText(text); copy.textContent = "Copied"; } catch { copy.textContent = "Not copied"; }
        setTimeout(() => { copy.textContent = "Copy"; }, 1500);
      });
      where.append(copy);
    }
    return where;
  };

  const scores = (hit) => {
    const parts = [`score ${hit.score.toFixed(4)}`];
    if (hit.similarity !== null && shown.by !== "dense") parts.push(`meaning ${hit.similarity.toFixed(3)}`);
    if (hit.bm25 !== null && shown.by !== "bm25") parts.push(`words ${hit.bm25.toFixed(2)}`);
    return create("p", "scores", `${hit.language} · ${parts.join(" · ")}`);
  };

  const code = (marked) => {
    // the heading is the signature, so a first line that only repeats it is left out
    const first = marked.lines.length ? plain(marked.lines[0]) : "";
    const signature = plain(marked.signature);
    const lines = first.startsWith(signature) && first.length <= signature.length + 2 ? marked.lines.slice(1) : marked.lines;
    if (!lines.length && !marked.more) return [];
    const inner = document.createElement("code");
    const block = create("pre", "", inner);
    block.tabIndex = 0;
    const fill = (n) => inner.replaceChildren(...lines.slice(0, n).flatMap((line, i) => i ? ["\n", ...chunkElements(line)] : chunkElements(line)));
    const hidden = lines.length + marked.more - FOLDED_LINES;
    if (hidden <= 2 && !marked.more) { fill(lines.length); return [block]; }
    fill(FOLDED_LINES);
    const parts = [block];
    const remainder = create("p", "note", marked.more ? `${count(marked.more, "more line is", "more lines are")} in the file.` : "");
    if (lines.length > FOLDED_LINES) {
      const unfold = create("button", "unfold", `Show ${count(lines.length - FOLDED_LINES, "more line", "more lines")}`);
      unfold.type = "button";
      unfold.setAttribute("aria-expanded", "false");
      unfold.addEventListener("click", () => {
        const open = unfold.getAttribute("aria-expanded") === "true";
        unfold.setAttribute("aria-expanded", String(!open));
        unfold.textContent = open ? `Show ${count(lines.length - FOLDED_LINES, "more line", "more lines")}` : "Show less";
        fill(open ? FOLDED_LINES : lines.length);
        show(remainder, !open && marked.more > 0);
      });
      parts.push(unfold);
      show(remainder, false);
    }
    return [...parts, remainder];
  };

  const result = (hit) => {
    const heading = create("h2", "", ...chunkElements(hit.marked.signature));
    const parts = [create("div", "top", locationLine(hit), scores(hit)), heading];
    if (hit.description) parts.push(create("p", "description", ...chunkElements(hit.marked.description)));
    const item = create("li", "", ...parts, ...code(hit.marked));
    item.tabIndex = -1;
    return item;
  };

  const search = async (top = PAGE_SIZE) => {
    if (running) running.abort();
    running = null;
    const q = query.value.trim();
    const by = new FormData(form).get("by");
    const url = q ? `?${new URLSearchParams(by === "fused" ? { q } : { q, by })}` : location.pathname;
    const now = location.search || location.pathname;
    if (url !== now) history.pushState(null, "", url);
    document.title = q ? `${q} - telly search` : "telly search";
    show(problem, false);
    show(byId("welcome"), !q);
    if (!q) { status.textContent = ""; clear(); return; }
    running = new AbortController();
    const { signal } = running;
    results.setAttribute("aria-busy", "true");
    status.textContent = "Searching …";
    const started = performance.now();
    try {
      const answer = await request("api/search", { query: q, by, top, lines: MAX_LINES, marked: true }, signal);
      const took = performance.now() - started;
      shown = { q, by, top };
      const before = top > PAGE_SIZE ? results.children.length : 0;
      results.replaceChildren(...answer.hits.map(result));
      results.removeAttribute("aria-busy");
      status.textContent = answer.hits.length
        ? `${count(answer.hits.length, "function", "functions")} in ${took < 1000 ? `${Math.round(took)} ms` : `${(took / 1000).toFixed(1)} s`}`
        : by === "bm25" ? "No function has one of these words. Try other words, or order by meaning." : "Nothing was found. Try other words.";
      show(more, answer.hits.length === top && top < MAX_RESULTS);
      if (before && results.children[before]) results.children[before].focus();
    } catch (error) {
      if (error.name !== "AbortError") clear();
      fail(error);
    }
  };

  // Search for what the page's address says.
  const follow = () => {
    const values = new URLSearchParams(location.search);
    query.value = values.get("q") || "";
    const by = [...form.elements.by].find((input) => input.value === values.get("by"));
    (by || form.elements.by[0]).checked = true;
    return search();
  };

  const start = async () => {
    show(problem, false);
    try {
      const about = await request("api/about");
      show(byId("access"), false);
      show(form, true);
      byId("forget").hidden = !token;
      byId("name").textContent = ` ${about.name}`;
      const day = new Date(about.indexed).toLocaleDateString("en", { day: "numeric", month: "short", year: "numeric" });
      byId("about").textContent = `${count(about.functions, "function", "functions")}, indexed on ${day} with ${about.model}`;
      if (matchMedia("(pointer: fine)").matches) query.focus();
      await follow();
    } catch (error) { fail(error); }
  };

  form.addEventListener("submit", (event) => { event.preventDefault(); search(); });
  form.addEventListener("change", (event) => { if (event.target.name === "by" && query.value.trim()) search(); });
  query.addEventListener("search", () => { if (!query.value) search(); });
  more.addEventListener("click", () => search(Math.min(MAX_RESULTS, shown.top + PAGE_SIZE)));
  byId("access").addEventListener("submit", (event) => {
    event.preventDefault();
    storeToken(byId("token").value.trim());
    byId("token").value = "";
    start();
  });
  byId("forget").addEventListener("click", () => { storeToken(""); location.reload(); });
  for (const example of byId("welcome").querySelectorAll("button")) {
    example.addEventListener("click", () => { query.value = example.textContent; search(); });
  }
  addEventListener("popstate", follow);

  // Keys: / moves to the box, arrows through the results, Escape back to the box.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || form.hidden) return;
    const typing = event.target.matches("input:not([type=radio]), textarea");
    if (event.key === "/" && !typing) {
      event.preventDefault();
      query.focus();
      query.select();
      return;
    }
    const item = event.target.closest("#results > li");
    if (event.key === "Escape" && item) { query.focus(); return; }
    const down = event.key === "ArrowDown";
    if (!down && event.key !== "ArrowUp") return;
    if (event.target !== query && event.target !== item) return;
    const next = item ? (down ? item.nextElementSibling : item.previousElementSibling || query) : down && results.firstElementChild;
    if (!next) return;
    event.preventDefault();
    next.focus();
    if (next !== query) next.scrollIntoView({ block: "nearest" });
  });

  start();
})();
