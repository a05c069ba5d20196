// The list: moving by keys, and a quiet word of newly concluded studies.
"use strict";
(() => {
  const links = [...document.querySelectorAll(".studies .patient a")];
  const move = (by) => () => {
    if (!links.length) return;
    const now = links.indexOf(document.activeElement);
    const next = now < 0 ? (by > 0 ? 0 : links.length - 1) : now + by;
    links[Math.min(Math.max(next, 0), links.length - 1)].focus();
  };
  window.onKeys(["j", "ArrowDown"], move(1));
  window.onKeys(["k", "ArrowUp"], move(-1));
  window.onKeys(["/"], () => document.getElementById("q").select());
  const follow = (rel) => () => document.querySelector(`.pages [rel=${rel}]`)?.click();
  window.onKeys(["n"], follow("next"));
  window.onKeys(["p"], follow("prev"));

  for (const row of document.querySelectorAll(".studies tbody tr")) {
    row.addEventListener("click", (event) => {
      if (event.target.closest("a") || getSelection().toString()) return;
      row.querySelector("a").click();
    });
  }
  try { sessionStorage.setItem("fracture-screen-list", location.href); } catch { /* then "/" */ }

  const news = document.getElementById("news");
  const wanted = news.dataset.outcomes.split(" ");
  let count = 0;
  const source = new EventSource(`/events?after=${news.dataset.after}`);
  source.addEventListener("concluded", (event) => {
    const told = JSON.parse(event.data);
    for (const outcome of wanted) count += told[outcome] ?? 0;
    if (!count) return;
    const link = document.createElement("a");
    const first = new URL(location.href);
    for (const name of ["before", "after"]) first.searchParams.delete(name);
    link.href = first.href;
    link.textContent = count === 1 ? "1 newly concluded study: show it" : `${count} newly concluded studies: show them`;
    news.replaceChildren(link);
    document.title = `(${count}) ${document.title.replace(/^\(\d+\) /, "")}`;
  });
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.CLOSED) return; // it tries again by itself
    const link = document.createElement("a");
    link.href = location.href;
    link.textContent = "This list hears of no new studies any more: load it again";
    news.replaceChildren(link);
  });
  addEventListener("pagehide", () => source.close());
  // Back by the browser's own store of pages: what it kept is old.
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
})();
