"use strict";
(() => {
  const FIRST = 10;    // functions of the first answer, and of every "more"
  const MOST = 100;
  const LINES = 60;    // of code that are asked for
  const FOLDED = 8;    // of them that are shown at first
  const TOKEN = "telly-token";

  const at = (id) => document.getElementById(id);
  const [form, query, results, status, problem, more] = ["search", "query", "results", "status", "problem", "more"].map(at);
  let asked = { q: "", by: "fused", top: FIRST };
  let running = null;

  // The token is kept by the tab; where it keeps nothing, by the page.
  let token = "";
  try { token = sessionStorage.getItem(TOKEN) || ""; } catch { token = ""; }
  const keep = (value) => {
    token = value;
    at("forget").hidden = !token;
    try {
      if (token) sessionStorage.setItem(TOKEN, token);
      else sessionStorage.removeItem(TOKEN);
    } catch { /* kept by the page alone */ }
  };

  // Everything from the server becomes text, never markup.
  const made = (name, className, ...children) => {
    const element = document.createElement(name);
    if (className) element.className = className;
    element.append(...children);
    return element;
  };
  const piece = ({ text, kind, match }) => {
    const inner = match ? made("mark", "", text) : text;
    return kind ? made("span", `k-${kind}`, inner) : inner;
  };
  const pieces = (list) => list.map(piece);
  const plain = (list) => list.map((one) => one.text).join("");
  const count = (number, one, many) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

  const ask = async (path, body, signal) => {
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
      keep("");
      show(at("access"), true);
      show(form, false);
      show(at("welcome"), false);
      clear();
      show(problem, wrong);
      problem.textContent = wrong ? "That is not the server's token." : "";
      at("token").focus();
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

  const location_ = (hit) => {
    const cut = hit.path.lastIndexOf("/") + 1;
    const text = `${hit.path}:${hit.line}`;
    const where = made("p", "where", made("span", "", made("span", "folder", hit.path.slice(0, cut)), made("span", "file", `${hit.path.slice(cut)}:${hit.line}`)));
    if (/[.:]/.test(hit.name)) where.append(made("span", "name", hit.name));
    if (navigator.clipboard) {
      const copy = made("button", "copy", "Copy");
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
    if (hit.cosine !== null && asked.by !== "dense") parts.push(`meaning ${hit.cosine.toFixed(3)}`);
    if (hit.bm25 !== null && asked.by !== "bm25") parts.push(`words ${hit.bm25.toFixed(2)}`);
    return made("p", "scores", `${hit.language} · ${parts.join(" · ")}`);
  };

  const code = (marked) => {
    // the heading is the signature: a first line that says just that is not said again
    const first = marked.lines.length ? plain(marked.lines[0]) : "";
    const signature = plain(marked.signature);
    const lines = first.startsWith(signature) && first.length <= signature.length + 2 ? marked.lines.slice(1) : marked.lines;
    if (!lines.length && !marked.more) return [];
    const inner = document.createElement("code");
    const block = made("pre", "", inner);
    block.tabIndex = 0;
    const fill = (shown) => inner.replaceChildren(...lines.slice(0, shown).flatMap((line, n) => n ? ["\n", ...pieces(line)] : pieces(line)));
    const rest = lines.length + marked.more - FOLDED;
    if (rest <= 2 && !marked.more) { fill(lines.length); return [block]; }
    fill(FOLDED);
    const parts = [block];
    const left = made("p", "note", marked.more ? `${count(marked.more, "more line is", "more lines are")} in the file.` : "");
    if (lines.length > FOLDED) {
      const unfold = made("button", "unfold", `Show ${count(lines.length - FOLDED, "more line", "more lines")}`);
      unfold.type = "button";
      unfold.setAttribute("aria-expanded", "false");
      unfold.addEventListener("click", () => {
        const open = unfold.getAttribute("aria-expanded") === "true";
        unfold.setAttribute("aria-expanded", String(!open));
        unfold.textContent = open ? `Show ${count(lines.length - FOLDED, "more line", "more lines")}` : "Show less";
        fill(open ? FOLDED : lines.length);
        show(left, !open && marked.more > 0);
      });
      parts.push(unfold);
      show(left, false);
    }
    return [...parts, left];
  };

  const result = (hit) => {
    const heading = made("h2", "", ...pieces(hit.marked.signature));
    const parts = [made("div", "top", location_(hit), scores(hit)), heading];
    if (hit.description) parts.push(made("p", "description", ...pieces(hit.marked.description)));
    const item = made("li", "", ...parts, ...code(hit.marked));
    item.tabIndex = -1;
    return item;
  };

  const search = async (top = FIRST) => {
    if (running) running.abort();
    running = null;
    const q = query.value.trim();
    const by = new FormData(form).get("by");
    const url = q ? `?${new URLSearchParams(by === "fused" ? { q } : { q, by })}` : location.pathname;
    const now = location.search || location.pathname;
    if (url !== now) history.pushState(null, "", url);
    document.title = q ? `${q} - telly search` : "telly search";
    show(problem, false);
    show(at("welcome"), !q);
    if (!q) { status.textContent = ""; clear(); return; }
    running = new AbortController();
    const { signal } = running;
    results.setAttribute("aria-busy", "true");
    status.textContent = "Searching …";
    const started = performance.now();
    try {
      const answer = await ask("api/search", { query: q, by, top, lines: LINES, marked: true }, signal);
      const took = performance.now() - started;
      asked = { q, by, top };
      const before = top > FIRST ? results.children.length : 0;
      results.replaceChildren(...answer.hits.map(result));
      results.removeAttribute("aria-busy");
      status.textContent = answer.hits.length
        ? `${count(answer.hits.length, "function", "functions")} in ${took < 1000 ? `${Math.round(took)} ms` : `${(took / 1000).toFixed(1)} s`}`
        : by === "bm25" ? "No function has one of these words. Try other words, or order by meaning." : "Nothing was found. Try other words.";
      show(more, answer.hits.length === top && top < MOST);
      if (before && results.children[before]) results.children[before].focus();
    } catch (error) {
      if (error.name !== "AbortError") clear();
      fail(error);
    }
  };

  // What the address says.
  const follow = () => {
    const values = new URLSearchParams(location.search);
    query.value = values.get("q") || "";
    const by = [...form.elements.by].find((one) => one.value === values.get("by"));
    (by || form.elements.by[0]).checked = true;
    return search();
  };

  const start = async () => {
    show(problem, false);
    try {
      const about = await ask("api/about");
      show(at("access"), false);
      show(form, true);
      at("forget").hidden = !token;
      at("name").textContent = ` ${about.name}`;
      const day = new Date(about.indexed).toLocaleDateString("en", { day: "numeric", month: "short", year: "numeric" });
      at("about").textContent = `${count(about.functions, "function", "functions")}, indexed on ${day} with ${about.model}`;
      if (matchMedia("(pointer: fine)").matches) query.focus();
      await follow();
    } catch (error) { fail(error); }
  };

  form.addEventListener("submit", (event) => { event.preventDefault(); search(); });
  form.addEventListener("change", (event) => { if (event.target.name === "by" && query.value.trim()) search(); });
  query.addEventListener("search", () => { if (!query.value) search(); });
  more.addEventListener("click", () => search(Math.min(MOST, asked.top + FIRST)));
  at("access").addEventListener("submit", (event) => {
    event.preventDefault();
    keep(at("token").value.trim());
    at("token").value = "";
    start();
  });
  at("forget").addEventListener("click", () => { keep(""); location.reload(); });
  for (const example of at("welcome").querySelectorAll("button")) {
    example.addEventListener("click", () => { query.value = example.textContent; search(); });
  }
  addEventListener("popstate", follow);

  // Keys: / to the box, arrows through the results, Escape back.
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
