// Single keys, their help, and the switch that turns them off on this device (WCAG 2.1.4).
"use strict";
(() => {
  const KEPT = "fracture-screen-keys-off";
  const dialog = document.getElementById("keys");
  const handlers = new Map();
  let on = true;
  try { on = localStorage.getItem(KEPT) !== "1"; } catch { /* no storage: they work */ }

  const writes = (element) =>
    element.closest("textarea, select, [contenteditable], input:not([type=checkbox], [type=radio], [type=range])");

  // key (or keys) → what it does; an answer of false leaves the key to the browser.
  window.onKeys = (keys, act) => { for (const key of keys) handlers.set(key, act); };

  document.addEventListener("keydown", (event) => {
    if (!on || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (writes(event.target) || document.querySelector("dialog[open]")) return;
    const arrow = event.key.startsWith("Arrow");
    if (arrow && event.target.matches("input")) return;
    const act = handlers.get(event.key) ?? handlers.get(event.key.toLowerCase());
    if (act && act(event) !== false) event.preventDefault();
  });

  for (const element of document.querySelectorAll(".needs-script")) element.hidden = false;
  const opener = document.querySelector("[data-opens-keys]");
  if (!dialog) {
    if (opener) opener.hidden = true;
    return;
  }
  const open = () => { dialog.showModal(); };
  opener?.addEventListener("click", open);
  window.onKeys(["?"], open);
  const box = document.getElementById("keys-on");
  box.checked = on;
  box.addEventListener("change", () => {
    on = box.checked;
    try { localStorage.setItem(KEPT, on ? "0" : "1"); } catch { /* for this page only */ }
  });
})();
