// One study: pictures with heatmap, zoom, window and boxes. Everything is in pixels of the
// radiograph; without this script pictures stand side by side and boxes are typed.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const ZOOM_STEP = 1.25, LARGEST_ZOOM = 20, PAN = 60;
  const clamp = (value, least, most) => Math.min(Math.max(value, least), most);

  class Viewer {
    constructor(root, number) {
      this.root = root;
      this.stage = root.querySelector("[data-stage]");
      this.panes = [...root.querySelectorAll(".pane")];
      this.image = root.querySelector("img");
      this.pointers = new Map();
      this.drawing = null;
      this.box = null;
      this.onBox = () => {};
      this.onDrawn = () => {};
      this.filter = this.makeFilter(number);
      for (const pane of this.panes) pane.querySelector(".stack").append(this.makeBoxes());
      root.classList.add("live");
      this.setBeside(this.hasHeat && matchMedia("(min-width: 80rem)").matches);
      this.listen();
      if (this.image.complete) this.ready(); else this.image.addEventListener("load", () => this.ready());
      for (const image of root.querySelectorAll("img")) {
        if (image.complete && !image.naturalWidth) this.broken(image);
        image.addEventListener("error", () => this.broken(image));
      }
    }

    get hasHeat() { return this.panes.length > 1; }
    get columns() { return Number(this.root.dataset.columns) || this.image.naturalWidth || 1; }
    get rows() { return Number(this.root.dataset.rows) || this.image.naturalHeight || 1; }
    tool(name) { return this.root.querySelector(`[data-tool=${name}]`); }
    range(name) { return this.root.querySelector(`[data-range=${name}]`); }

    makeFilter(number) {
      const filter = document.getElementById("window").cloneNode(true);
      filter.id = `window-${number}`;
      document.getElementById("window").after(filter);
      return filter;
    }

    makeBoxes() {
      const svg = document.createElementNS(SVG, "svg");
      svg.setAttribute("class", "boxes");
      svg.setAttribute("aria-hidden", "true");
      svg.setAttribute("preserveAspectRatio", "none");
      return svg;
    }

    broken(image) {
      image.closest(".pane").classList.add("broken");
      if (this.root.querySelector(".cannot")) return;
      const words = document.createElement("p");
      words.className = "cannot";
      words.textContent = "This picture cannot be shown.";
      this.stage.after(words);
      if (this.panes.every((pane) => pane.classList.contains("broken"))) this.stage.hidden = true;
    }

    ready() {
      for (const svg of this.root.querySelectorAll(".boxes")) svg.setAttribute("viewBox", `0 0 ${this.columns} ${this.rows}`);
      this.fit();
      new ResizeObserver(() => this.fit()).observe(this.stage);
    }

    fit() {
      const pane = this.panes.find((one) => one.offsetWidth) ?? this.panes[0];
      this.scale = Math.min(pane.clientWidth / this.columns, pane.clientHeight / this.rows);
      this.zoom = 1;
      this.x = (pane.clientWidth - this.columns * this.scale) / 2;
      this.y = (pane.clientHeight - this.rows * this.scale) / 2;
      this.place();
    }

    place() {
      const scale = this.scale * this.zoom;
      for (const pane of this.panes) {
        const stack = pane.querySelector(".stack");
        stack.style.width = `${this.columns * scale}px`;
        stack.style.height = `${this.rows * scale}px`;
        stack.style.transform = `translate(${this.x}px, ${this.y}px)`;
      }
      this.stage.classList.toggle("zoomed", this.zoom > 1.01);
    }

    zoomBy(factor, at) {
      const pane = this.panes.find((one) => one.offsetWidth);
      const point = at ?? { x: pane.clientWidth / 2, y: pane.clientHeight / 2 };
      const next = clamp(this.zoom * factor, 0.5, LARGEST_ZOOM);
      const real = next / this.zoom;
      this.x = point.x - (point.x - this.x) * real;
      this.y = point.y - (point.y - this.y) * real;
      this.zoom = next;
      this.place();
    }

    pan(dx, dy) { this.x += dx; this.y += dy; this.place(); }

    setHeat(on) {
      if (!this.hasHeat) return;
      this.tool("heat").setAttribute("aria-pressed", on);
      for (const heat of this.root.querySelectorAll(".heat")) heat.hidden = !on;
    }
    toggleHeat() { if (this.hasHeat) this.setHeat(this.tool("heat").getAttribute("aria-pressed") !== "true"); }

    setBeside(on) {
      this.stage.classList.toggle("layered", this.hasHeat && !on);
      this.tool("beside")?.setAttribute("aria-pressed", on);
      if (this.scale) this.fit();
    }
    toggleBeside() { if (this.hasHeat) this.setBeside(this.stage.classList.contains("layered")); }

    setOpacity() {
      for (const heat of this.root.querySelectorAll(".heat")) heat.style.opacity = this.range("opacity").value / 100;
    }

    // Grey values in [0, 1]: what lies within level ± width/2 spreads over black to white.
    setWindow() {
      const level = this.range("level").value / 100, width = this.range("width").value / 100;
      const inverted = this.tool("invert").getAttribute("aria-pressed") === "true";
      const slope = (inverted ? -1 : 1) / width;
      const intercept = 0.5 - slope * level;
      for (const part of this.filter.querySelectorAll("feFuncR, feFuncG, feFuncB")) {
        part.setAttribute("slope", slope);
        part.setAttribute("intercept", intercept);
      }
      const plain = level === 0.5 && width === 1 && !inverted;
      for (const image of this.root.querySelectorAll("img")) image.style.filter = plain ? "" : `url(#${this.filter.id})`;
    }
    nudge(name, by) { const range = this.range(name); range.value = Number(range.value) + by; this.setWindow(); }
    toggleInvert() {
      const button = this.tool("invert");
      button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
      this.setWindow();
    }

    reset() {
      this.range("level").value = 50;
      this.range("width").value = 100;
      this.tool("invert").setAttribute("aria-pressed", false);
      this.setWindow();
      if (this.hasHeat) { this.range("opacity").value = 100; this.setOpacity(); this.setHeat(true); }
      this.fit();
    }

    setDrawing(on) { this.stage.classList.toggle("drawing", on); }
    get isDrawing() { return this.stage.classList.contains("drawing"); }

    showBox(box) {
      this.box = box;
      for (const svg of this.root.querySelectorAll(".boxes")) {
        svg.replaceChildren();
        if (!box) continue;
        for (const kind of ["halo", "drawn"]) {
          const rect = document.createElementNS(SVG, "rect");
          rect.setAttribute("class", kind);
          for (const name of ["x", "y", "width", "height"]) rect.setAttribute(name, box[name]);
          svg.append(rect);
        }
      }
    }

    // Where a pointer is, in pixels of the radiograph and of its pane.
    at(event) {
      const pane = this.panes.find((one) => one.offsetWidth && within(event, one)) ?? this.panes.find((one) => one.offsetWidth);
      const frame = pane.getBoundingClientRect();
      const x = event.clientX - frame.left, y = event.clientY - frame.top, scale = this.scale * this.zoom;
      return {
        x, y,
        column: clamp((x - this.x) / scale, 0, this.columns),
        row: clamp((y - this.y) / scale, 0, this.rows),
      };
    }

    listen() {
      const stage = this.stage;
      stage.addEventListener("pointerdown", (event) => {
        if (event.button > 0) return;
        stage.focus({ preventScroll: true });
        stage.setPointerCapture(event.pointerId);
        const at = this.at(event);
        this.pointers.set(event.pointerId, at);
        this.drawing = this.isDrawing && this.pointers.size === 1 ? at : null;
        if (this.drawing || event.pointerType === "mouse") event.preventDefault();
      });
      stage.addEventListener("pointermove", (event) => {
        const before = this.pointers.get(event.pointerId);
        if (!before) return;
        const now = this.at(event);
        if (this.drawing) this.showBox(boxBetween(this.drawing, now));
        else if (this.pointers.size === 2) this.pinch(event.pointerId, before, now);
        else if (event.pointerType === "mouse" || this.zoom > 1.01) this.pan(now.x - before.x, now.y - before.y);
        this.pointers.set(event.pointerId, now);
      });
      const end = (event) => {
        const last = this.pointers.get(event.pointerId);
        if (this.drawing && last) this.drawn(boxBetween(this.drawing, last), event.type === "pointerup");
        this.drawing = null;
        this.pointers.delete(event.pointerId);
      };
      stage.addEventListener("pointerup", end);
      stage.addEventListener("pointercancel", end);
      stage.addEventListener("wheel", (event) => {
        // Elsewhere the wheel scrolls the page: the picture takes it when it was clicked.
        if (!event.ctrlKey && document.activeElement !== stage) return;
        event.preventDefault();
        this.zoomBy(event.deltaY < 0 ? ZOOM_STEP : 1 / ZOOM_STEP, this.at(event));
      }, { passive: false });
      stage.addEventListener("dblclick", (event) => {
        if (this.zoom > 1.01) this.fit(); else this.zoomBy(2.5, this.at(event));
      });
      stage.addEventListener("keydown", (event) => {
        const by = { ArrowLeft: [PAN, 0], ArrowRight: [-PAN, 0], ArrowUp: [0, PAN], ArrowDown: [0, -PAN] }[event.key];
        if (!by || event.target !== stage || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        this.pan(...by);
      });
      const acts = {
        heat: () => this.toggleHeat(), beside: () => this.toggleBeside(), invert: () => this.toggleInvert(),
        in: () => this.zoomBy(ZOOM_STEP), out: () => this.zoomBy(1 / ZOOM_STEP), fit: () => this.fit(), reset: () => this.reset(),
      };
      for (const [name, act] of Object.entries(acts)) this.tool(name)?.addEventListener("click", act);
      this.range("opacity")?.addEventListener("input", () => this.setOpacity());
      for (const name of ["level", "width"]) this.range(name).addEventListener("input", () => this.setWindow());
    }

    pinch(moved, before, now) {
      const [other] = [...this.pointers].filter(([id]) => id !== moved).map(([, at]) => at);
      const distance = (at) => Math.hypot(at.x - other.x, at.y - other.y);
      if (distance(before) > 5) this.zoomBy(distance(now) / distance(before), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
    }

    drawn(box, whole) {
      if (whole && box.width >= 3 && box.height >= 3) { this.showBox(box); this.onBox(box); this.onDrawn(); }
      else this.onBox(this.before ?? null);
    }
  }

  const within = (event, element) => {
    const frame = element.getBoundingClientRect();
    return event.clientX >= frame.left && event.clientX <= frame.right;
  };
  const boxBetween = (one, other) => {
    const x = Math.floor(Math.min(one.column, other.column)), y = Math.floor(Math.min(one.row, other.row));
    return {
      x, y,
      width: Math.ceil(Math.max(one.column, other.column)) - x,
      height: Math.ceil(Math.max(one.row, other.row)) - y,
    };
  };

  // The answer's form beside a picture: its numbers and the drawn box are the same thing.
  class Feedback {
    constructor(form, viewer) {
      this.form = form;
      this.viewer = viewer;
      this.fields = ["left", "top", "width", "height"].map((name) => form.elements[`box_${name}`]);
      this.place = form.querySelector("[data-box]");
      this.draw = form.querySelector("[data-draw]");
      this.draw.addEventListener("click", () => this.setDrawing(this.draw.getAttribute("aria-pressed") !== "true"));
      form.querySelector("[data-clear]").addEventListener("click", () => { this.write(null); this.read(); });
      for (const field of this.fields) field.addEventListener("input", () => this.read());
      form.addEventListener("change", (event) => {
        if (event.target.name !== "outcome") return;
        this.follow();
        if (event.target.value === "ELSEWHERE" && !viewer.box) this.setDrawing(true);
      });
      viewer.onBox = (box) => { this.write(box); this.read(); };
      viewer.onDrawn = () => this.setDrawing(false);
      this.read();
      this.follow();
    }

    // A box shows a fracture: answers without one take none.
    follow() {
      const chosen = this.form.querySelector("[name=outcome]:checked");
      const takes = !chosen || chosen.hasAttribute("data-takes-box");
      this.place.disabled = !takes;
      this.place.hidden = !takes;
      if (!takes) this.setDrawing(false);
      this.viewer.showBox(takes ? this.value() : null);
    }

    setDrawing(on) {
      this.draw.setAttribute("aria-pressed", on);
      this.draw.firstChild.textContent = on ? "Drag over the picture " : "Draw a box ";
      this.viewer.setDrawing(on);
    }

    value() {
      const [x, y, width, height] = this.fields.map((field) => (field.value === "" ? NaN : Number(field.value)));
      return [x, y, width, height].every(Number.isFinite) && width > 0 && height > 0 ? { x, y, width, height } : null;
    }
    write(box) {
      const values = box ? [box.x, box.y, box.width, box.height] : ["", "", "", ""];
      this.fields.forEach((field, index) => { field.value = values[index]; });
    }
    read() { this.viewer.before = this.value(); this.viewer.showBox(this.viewer.before); }
    toggleDrawing() { if (!this.place.disabled) this.draw.click(); }
  }

  const sections = [...document.querySelectorAll("section.image")];
  let number = 0;
  const parts = sections.map((section) => {
    const viewers = [...section.querySelectorAll("[data-viewer]")].map((root) => new Viewer(root, (number += 1)));
    const form = section.querySelector("[data-feedback]");
    const feedback = form && viewers.length ? new Feedback(form, viewers[0]) : null;
    return { section, viewers, feedback };
  });

  // Keys go to the image that has the focus, else to the one in the middle of the window.
  const current = () => {
    const focused = parts.find(({ section }) => section.contains(document.activeElement));
    if (focused) return focused;
    const middle = innerHeight / 2;
    const away = ({ section }) => {
      const frame = section.getBoundingClientRect();
      return Math.max(frame.top - middle, middle - frame.bottom, 0);
    };
    return [...parts].sort((one, other) => away(one) - away(other))[0];
  };
  const onViewer = (act) => () => { const viewer = current()?.viewers[0]; if (viewer) act(viewer); };
  window.onKeys(["h"], onViewer((viewer) => viewer.toggleHeat()));
  window.onKeys(["s"], onViewer((viewer) => viewer.toggleBeside()));
  window.onKeys(["i"], onViewer((viewer) => viewer.toggleInvert()));
  window.onKeys(["r"], onViewer((viewer) => viewer.reset()));
  window.onKeys(["+", "="], onViewer((viewer) => viewer.zoomBy(ZOOM_STEP)));
  window.onKeys(["-"], onViewer((viewer) => viewer.zoomBy(1 / ZOOM_STEP)));
  window.onKeys(["0"], onViewer((viewer) => viewer.fit()));
  window.onKeys([","], onViewer((viewer) => viewer.nudge("level", 4)));
  window.onKeys(["."], onViewer((viewer) => viewer.nudge("level", -4)));
  window.onKeys(["["], onViewer((viewer) => viewer.nudge("width", 6)));
  window.onKeys(["]"], onViewer((viewer) => viewer.nudge("width", -6)));
  window.onKeys(["b"], () => current()?.feedback?.toggleDrawing());
  window.onKeys(["f"], () => current()?.section.querySelector("[name=outcome]:checked, [name=outcome]")?.focus());
  const go = (by) => () => {
    const next = parts[parts.indexOf(current()) + by];
    if (!next) return;
    next.section.scrollIntoView();
    next.section.querySelector("[data-stage]")?.focus({ preventScroll: true });
  };
  window.onKeys(["n"], go(1));
  window.onKeys(["p"], go(-1));

  const back = document.querySelector("[data-back]");
  try { back.href = sessionStorage.getItem("fracture-screen-list") ?? "/"; } catch { /* to the first page */ }
  window.onKeys(["u"], () => back.click());
})();
