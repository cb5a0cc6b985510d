// Sorting, filtering, and opening what a link points to. The page is whole without it.
(() => {
  "use strict";

  // A link may point into evidence that is closed or filtered out: show it first.
  const reveal = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (!target) return;
    const group = target.closest("tbody[data-mode]");
    if (group && group.hidden) clearFilters();
    for (let at = target; at; at = at.parentElement) {
      if (at.tagName === "DETAILS") at.open = true;
    }
    target.scrollIntoView({ block: "start" });
    if (target.hasAttribute("tabindex")) target.focus({ preventScroll: true });
  };

  let clearFilters = () => {};
  addEventListener("hashchange", reveal);
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (link && link.hash === location.hash) reveal();
  });

  // Other tables: sorted by row, and where they are long found in by text.
  for (const table of document.querySelectorAll("table[data-sortable]")) {
    const rows = [...table.tBodies[0].rows];
    sorting(table, rows, (row) => row, table.tBodies[0]);
    if (table.hasAttribute("data-filterable") && rows.length > 8) finding(table, rows);
  }

  const table = document.getElementById("results");
  if (table) {
    const groups = [...table.tBodies];
    filters(table, groups);
    sorting(table, groups, (group) => group.rows[0], table);
  }
  if (document.documentElement.hasAttribute("data-live")) live();
  if (location.hash) reveal();

  function filters(table, groups) {
    const form = document.getElementById("controls");
    const find = document.getElementById("find");
    const shown = document.getElementById("shown");
    const selects = [...form.querySelectorAll("select")];
    const texts = groups.map((group) => group.rows[0].textContent.toLowerCase());
    const apply = () => {
      const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      groups.forEach((group, i) => {
        const passes =
          selects.every((select) => !select.value || group.dataset[select.dataset.filter] === select.value) &&
          words.every((word) => texts[i].includes(word));
        group.hidden = !passes;
        if (passes) count += 1;
      });
      shown.textContent = count === groups.length ? `${count} results` : `${count} of ${groups.length} results`;
    };
    clearFilters = () => {
      form.reset();
      apply();
    };
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.hidden = false;
    // A browser may bring back what was typed before a reload.
    apply();
  }

  function finding(table, rows) {
    const label = document.createElement("label");
    label.className = "find";
    label.append("Find");
    const input = document.createElement("input");
    input.type = "search";
    input.autocomplete = "off";
    input.spellcheck = false;
    label.append(input);
    table.parentElement.before(label);
    const texts = rows.map((row) => row.textContent.toLowerCase());
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      rows.forEach((row, i) => (row.hidden = !words.every((word) => texts[i].includes(word))));
    });
  }

  // A page of a run in progress asks whether there is a newer one, and keeps its place.
  function live() {
    const state = "kernelsmith-live";
    try {
      const { y, open } = JSON.parse(sessionStorage.getItem(state) ?? "{}");
      const all = [...document.querySelectorAll("details")];
      (open ?? []).forEach((i) => all[i] && (all[i].open = true));
      if (y && !location.hash) scrollTo(0, y);
    } catch {
      sessionStorage.removeItem(state);
    }
    const mark = document.getElementById("live");
    let version = null;
    const look = async () => {
      try {
        const now = await (await fetch("/version", { cache: "no-store" })).text();
        version ??= now;
        if (now !== version) {
          const open = [...document.querySelectorAll("details")].flatMap((d, i) => (d.open ? [i] : []));
          sessionStorage.setItem(state, JSON.stringify({ y: scrollY, open }));
          location.reload();
          return;
        }
        setTimeout(look, 2000);
      } catch {
        mark.textContent = "ended";
      }
    };
    look();
  }

  function sorting(table, groups, row, parent) {
    const order = new Map(groups.map((group, i) => [group, i]));
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if (!head.dataset.sort) return;
      const button = document.createElement("button");
      button.type = "button";
      const axis = head.querySelector(".axis");
      [...head.childNodes].filter((node) => node !== axis).forEach((node) => button.append(node));
      head.prepend(button);
      button.addEventListener("click", () => {
        // Third press: back to the order of the file.
        const before = head.getAttribute("aria-sort");
        const numeric = head.dataset.sort === "number";
        const first = numeric ? "descending" : "ascending";
        const second = numeric ? "ascending" : "descending";
        const next = before === first ? second : before === second ? null : first;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (next) head.setAttribute("aria-sort", next);
        const sign = next === "descending" ? -1 : 1;
        const keys = new Map(groups.map((group) => [group, key(row(group).cells[column], numeric)]));
        const compare = (a, b) => {
          const [x, y] = [keys.get(a), keys.get(b)];
          // What is missing comes last either way.
          if (x === null || y === null) return (x === null) - (y === null);
          return sign * (numeric ? x - y : x.localeCompare(y, "en", { numeric: true }));
        };
        const sorted = next ? [...groups].sort((a, b) => compare(a, b) || order.get(a) - order.get(b)) : groups;
        parent.append(...sorted);
      });
    });
  }

  function key(cell, numeric) {
    if (!cell) return null;
    if (numeric) return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
    return cell.classList.contains("missing") ? null : cell.textContent.trim();
  }
})();
