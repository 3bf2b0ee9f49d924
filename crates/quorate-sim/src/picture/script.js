
"use strict";
(() => {
  const view = document.getElementById("view"), sheet = document.getElementById("sheet");
  const axis = document.getElementById("axis"), cursor = document.getElementById("cursor");
  const tip = document.getElementById("tip"), said = document.getElementById("said");
  const range = document.getElementById("range"), filter = document.getElementById("filter");
  const seconds = Number(view.dataset.seconds);
  const rows = [...document.querySelectorAll("#facts tbody tr")];
  const lanes = [...document.querySelectorAll("#sheet details .lane")];
  const zoomMax = Math.max(1, Math.min(20000, seconds / 0.005, 2e7 / Math.max(300, view.clientWidth)));
  let zoom = 1, here = -1;

  const plot = () => axis.getBoundingClientRect();
  const shown = () => {
    const box = plot(), port = view.getBoundingClientRect();
    const left = port.left + axis.previousElementSibling.offsetWidth;
    const at = (x) => Math.min(1, Math.max(0, (x - box.left) / box.width)) * seconds;
    return [at(left), at(port.left + view.clientWidth)];
  };
  const words = (at, step) => {
    const digits = Math.max(0, Math.min(3, Math.ceil(-Math.log10(step) - 1e-9)));
    const total = Math.round(at * 1000) / 1000;
    const hours = Math.floor(total / 3600), minutes = Math.floor(total / 60) % 60;
    const rest = (total - hours * 3600 - minutes * 60).toFixed(digits);
    const two = (text) => (text.split(".")[0].length < 2 ? "0" + text : text);
    if (seconds < 60) return rest;
    if (seconds < 3600) return minutes + ":" + two(rest);
    return hours + ":" + two(String(minutes)) + ":" + two(rest);
  };
  const ticks = () => {
    const [from, until] = shown(), wanted = (until - from) / Math.max(2, view.clientWidth / 120);
    const steps = [1, 2, 5].flatMap((n) => [-3, -2, -1, 0].map((e) => n * 10 ** e))
      .concat([10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400, 604800, 2592000])
      .sort((one, other) => one - other);
    const step = steps.find((one) => one >= wanted) || steps[steps.length - 1];
    axis.replaceChildren();
    const first = Math.max(0, Math.floor(from / step));
    for (let n = first; n * step <= Math.min(until + step, seconds) && n - first < 400; n++) {
      const tick = document.createElement("span");
      tick.style.left = (n * step / seconds) * 100 + "%";
      tick.textContent = words(n * step, step);
      axis.append(tick);
    }
    range.textContent = words(from, 0.001) + " to " + words(until, 0.001);
  };
  let planned = false;
  const plan = () => {
    if (planned) return;
    planned = true;
    requestAnimationFrame(() => { planned = false; ticks(); });
  };
  const setZoom = (wanted, x) => {
    const box = plot(), port = view.getBoundingClientRect();
    const name = axis.previousElementSibling.offsetWidth;
    const mark = cursor.hidden ? -1 : cursor.getBoundingClientRect().left;
    const sees = mark > port.left + name && mark < port.left + view.clientWidth;
    const middle = sees ? mark : port.left + name + (view.clientWidth - name) / 2;
    const anchor = x === undefined ? middle : x;
    const share = (anchor - box.left) / box.width;
    zoom = Math.min(zoomMax, Math.max(1, wanted));
    sheet.style.setProperty("--zoom", zoom);
    view.scrollLeft += plot().left + share * plot().width - anchor;
    plan();
  };
  const centre = (share) => {
    const name = axis.previousElementSibling.offsetWidth;
    view.scrollLeft = share * plot().width - (view.clientWidth - name) / 2;
  };
  const go = (row, scrolls) => {
    if (here >= 0) rows[here].classList.remove("here");
    here = row;
    const button = rows[row].querySelector("button"), share = Number(button.dataset.p) / 100;
    rows[row].classList.add("here");
    cursor.hidden = false;
    cursor.style.left = share * 100 + "%";
    said.textContent = button.textContent + "  " + rows[row].cells[1].textContent;
    centre(share);
    if (scrolls) view.scrollIntoView({ block: "nearest" });
  };
  const next = (by) => {
    for (let row = here + by; row >= 0 && row < rows.length; row += by) {
      if (!rows[row].hidden) return go(row, false);
    }
  };

  document.getElementById("in").onclick = () => setZoom(zoom * 2);
  document.getElementById("out").onclick = () => setZoom(zoom / 2);
  document.getElementById("all").onclick = () => setZoom(1);
  view.addEventListener("scroll", plan, { passive: true });
  addEventListener("resize", plan);
  view.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    setZoom(zoom * Math.exp(-event.deltaY / 300), event.clientX);
  }, { passive: false });
  view.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const page = view.clientWidth / 4;
    const keys = {
      "+": () => setZoom(zoom * 2), "=": () => setZoom(zoom * 2), "-": () => setZoom(zoom / 2), "0": () => setZoom(1),
      "ArrowLeft": () => view.scrollBy(-page, 0), "ArrowRight": () => view.scrollBy(page, 0),
      "n": () => next(1), "p": () => next(-1),
    };
    if (keys[event.key]) {
      event.preventDefault();
      keys[event.key]();
    }
  });
  let grip = null;
  view.addEventListener("pointerdown", (event) => {
    if (event.button === 0 && event.pointerType === "mouse" && event.target.closest(".plot")) {
      grip = [event.clientX, view.scrollLeft];
    }
  });
  addEventListener("pointerup", () => { grip = null; });
  addEventListener("pointermove", (event) => {
    if (grip) view.scrollLeft = grip[1] - (event.clientX - grip[0]);
    const shape = event.target.closest ? event.target.closest("[data-t]") : null;
    tip.hidden = !shape;
    if (!shape) return;
    tip.textContent = shape.dataset.t;
    const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    const below = event.clientY + 18 + tip.offsetHeight < innerHeight;
    tip.style.left = Math.max(4, left) + "px";
    tip.style.top = (below ? event.clientY + 18 : event.clientY - tip.offsetHeight - 10) + "px";
  });
  view.addEventListener("pointerleave", () => { tip.hidden = true; });
  filter.addEventListener("input", () => {
    const wanted = filter.value.trim().toLowerCase();
    const has = (text) => text.toLowerCase().includes(wanted);
    for (const lane of lanes) lane.hidden = !has(lane.firstElementChild.textContent);
    for (const row of rows) row.hidden = !has(row.textContent);
    const none = lanes.every((lane) => lane.hidden);
    if (none) for (const lane of lanes) lane.hidden = false;
    for (const part of document.querySelectorAll("#sheet details")) {
      part.hidden = !part.querySelector(".lane:not([hidden])");
    }
  });
  document.getElementById("facts").addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (event.target.closest("button") && row) go(rows.indexOf(row), true);
  });
  ticks();
})();
