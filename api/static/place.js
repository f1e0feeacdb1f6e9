// Placing a seal: dragging, a click on the page, arrow keys, zoom. The form's fields are the truth; without this script they are
// filled in by hand and each button posts the form. With it the buttons exchange the page in place.

const STEP = 1;
const FAR = 10;
const FINE = 0.1;
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const CSS_PX_PER_MM = 96 / 25.4;
const ZOOMS = [0.5, 0.75, 1, 1.25, 1.5, 2, 3];

let zoom = "fit"; // or a factor of the true size; kept while pages are turned

const tenths = (mm) => Math.round(mm * 10) / 10;
const within = (value, half, length) => {
  const least = Math.min(half, length / 2);
  return Math.min(Math.max(value, least), length - least);
};
const filled = (words, values) => words.replace(/\{(\w+)\}/g, (_, key) => values[key]);

function dress() {
  for (const form of document.querySelectorAll("[data-upload]")) uploading(form);
  const form = document.querySelector("[data-placing]");
  if (!form || form.classList.contains("enhanced")) return;
  form.classList.add("enhanced");
  const sheet = form.querySelector(".sheet.full");
  zooming(form, sheet);
  const seal = form.querySelector("[data-seal]");
  if (seal) moving(form, sheet, seal);
  const wanted = sheet.querySelector(".seal:not(.away), .mark, .stamp-part");
  if (wanted) bring(form.querySelector(".desk-top"), wanted);
  const current = form.querySelector(".pages [aria-current]");
  if (current) bring(form.querySelector(".pages"), current);
  exchanging(form);
}

// Scrolls the page under its frame, and nothing else, so that a part of it is seen.
function bring(frame, part) {
  const outer = frame.getBoundingClientRect();
  const inner = part.getBoundingClientRect();
  frame.scrollTop += Math.max(0, inner.bottom - outer.bottom + 40) || Math.min(0, inner.top - outer.top - 40);
  frame.scrollLeft += Math.max(0, inner.right - outer.right + 20) || Math.min(0, inner.left - outer.left - 20);
}

// -- the seal

function moving(form, sheet, seal) {
  const fields = ["page", "x", "y"].map((name) => form.querySelector(`[data-${name}]`));
  const [page, x, y] = fields;
  const width = Number(seal.dataset.width);
  const height = Number(seal.dataset.height);
  const box = sheet.viewBox.baseVal;
  const shown = form.elements.shown.value.split("-")[1];
  const say = form.querySelector("[data-say]");
  const words = seal.dataset.label;
  let later = 0;

  seal.setAttribute("tabindex", "0");
  seal.setAttribute("role", "application");
  seal.setAttribute("aria-roledescription", seal.dataset.role);
  seal.setAttribute("aria-describedby", "place-help");
  form.querySelector("[data-help]").hidden = false;
  for (const [x1, y1, x2, y2] of [[-box.width, 0, box.width, 0], [0, -box.height, 0, box.height]]) {
    const line = document.createElementNS(sheet.namespaceURI, "line");
    for (const [name, value] of Object.entries({ x1, y1, x2, y2 })) line.setAttribute(name, value);
    line.setAttribute("class", "cross");
    seal.append(line);
  }

  function show(across, down) {
    seal.setAttribute("transform", `translate(${across} ${down})`);
    seal.setAttribute("aria-label", filled(words, { page: page.value, x: across, y: down }));
  }

  function put(across, down) { // in mm; the whole seal stays on the page
    across = tenths(within(across, width / 2, box.width));
    down = tenths(within(down, height / 2, box.height));
    page.value = shown;
    x.value = String(across);
    y.value = String(down);
    seal.classList.remove("away");
    show(across, down);
    clearTimeout(later); // said once the seal rests, not at every step
    later = setTimeout(() => { say.textContent = filled(form.dataset.moved, { page: shown, x: across, y: down }); }, 500);
  }

  const at = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(sheet.getScreenCTM().inverse());

  // touch-action on parts of an SVG does not reach every browser: a finger on the seal never scrolls the page
  seal.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });

  let grip = null; // where in the seal it is held, in mm from its centre
  seal.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const point = at(event);
    grip = { x: point.x - Number(x.value), y: point.y - Number(y.value) };
    seal.setPointerCapture(event.pointerId);
    seal.classList.add("held");
    seal.focus({ preventScroll: true });
    event.preventDefault();
  });
  seal.addEventListener("pointermove", (event) => {
    if (!grip) return;
    const point = at(event);
    put(point.x - grip.x, point.y - grip.y);
  });
  seal.addEventListener("pointerup", (event) => { // browsers merge and drop moves: where it is let go counts
    if (!grip) return;
    const point = at(event);
    put(point.x - grip.x, point.y - grip.y);
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    seal.addEventListener(end, () => { grip = null; seal.classList.remove("held"); });
  }
  sheet.addEventListener("click", (event) => {
    if (event.target.closest("[data-seal]")) return;
    const point = at(event);
    put(point.x, point.y);
    seal.focus({ preventScroll: true });
  });
  seal.addEventListener("keydown", (event) => {
    const move = MOVES[event.key];
    if (!move || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const step = event.shiftKey ? FAR : event.altKey ? FINE : STEP;
    put(Number(x.value) + step * move[0], Number(y.value) + step * move[1]);
    bring(sheet.parentElement, seal);
  });
  for (const field of [x, y]) {
    field.addEventListener("input", () => {
      const across = Number(x.value.replace(",", "."));
      const down = Number(y.value.replace(",", "."));
      if (x.value.trim() && y.value.trim() && Number.isFinite(across) && Number.isFinite(down) && page.value === shown) {
        show(Math.min(Math.max(across, 0), box.width), Math.min(Math.max(down, 0), box.height));
      }
    });
  }
}

// -- zoom

function zooming(form, sheet) {
  const tools = form.querySelector("[data-zoom]");
  const width = sheet.viewBox.baseVal.width;
  tools.hidden = false;

  function apply() {
    sheet.style.width = zoom === "fit" ? "" : `${width * CSS_PX_PER_MM * zoom}px`;
    tools.querySelector("[data-zoom-to=fit]").setAttribute("aria-pressed", String(zoom === "fit"));
    tools.querySelector("[data-zoom-to=true]").setAttribute("aria-pressed", String(zoom === 1));
    const image = sheet.querySelector("image");
    const sharp = image.getAttribute("href").replace(/&size=large$/, "");
    const wide = sheet.getBoundingClientRect().width * devicePixelRatio > 1250;
    if (wide !== image.getAttribute("href").endsWith("&size=large")) image.setAttribute("href", wide ? `${sharp}&size=large` : sharp);
  }

  tools.addEventListener("click", (event) => {
    const tool = event.target.closest("button");
    if (!tool) return;
    if (tool.dataset.zoomTo) {
      zoom = tool.dataset.zoomTo === "fit" ? "fit" : 1;
    } else {
      const now = sheet.getBoundingClientRect().width / (width * CSS_PX_PER_MM);
      const by = Number(tool.dataset.zoomBy);
      const further = ZOOMS.filter((one) => (by > 0 ? one > now + 0.01 : one < now - 0.01));
      if (further.length) zoom = by > 0 ? further[0] : further[further.length - 1];
    }
    apply();
    const seal = sheet.querySelector(".seal:not(.away)");
    if (seal) bring(sheet.parentElement, seal);
  });
  apply();
}

// -- exchange what changed

function exchanging(form) {
  const say = form.querySelector("[data-say]");
  let asked = 0;

  async function exchange(button) {
    const body = new URLSearchParams(new FormData(form, button));
    const mine = (asked += 1);
    const focused = document.activeElement;
    const mark = focused && form.contains(focused) ? { name: focused.name, value: focused.value, tag: focused.tagName, seal: focused.matches("[data-seal]") } : null;
    form.classList.add("busy");
    let answer;
    try {
      answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "text/html" } });
    } catch {
      form.classList.remove("busy");
      say.textContent = form.dataset.failed;
      return;
    }
    if (mine !== asked) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = page.querySelector("[data-placing]");
    if (answer.redirected || !next) { location.assign(answer.redirected ? answer.url : location.href); return; }
    const scrolled = form.querySelector(".pages").scrollTop;
    const typed = since(body);
    document.querySelector("main").replaceWith(document.adoptNode(page.querySelector("main")));
    document.querySelector(".pages").scrollTop = scrolled;
    for (const [name, value] of typed) if (next.elements[name]) next.elements[name].value = value;
    dress();
    refocus(mark);
    document.dispatchEvent(new Event("xinyin:page"));
  }

  // What was typed while the answer was on its way is not lost.
  function since(body) {
    const plain = [...form.elements].filter((one) => one.name && ["text", "textarea", "select-one"].includes(one.type));
    return plain.filter((one) => one.value !== body.get(one.name)).map((one) => [one.name, one.value]);
  }

  function refocus(mark) {
    const now = document.querySelector("[data-placing]");
    const alert = document.querySelector("main [role=alert]");
    if (alert) { alert.scrollIntoView({ block: "nearest" }); }
    if (!mark) return;
    const same = [...now.elements].filter((one) => one.name === mark.name && one.tagName === mark.tag && one.type !== "hidden");
    const found = mark.seal ? now.querySelector("[data-seal]") : same.find((one) => one.value === mark.value) || (mark.tag === "BUTTON" ? now.querySelector("[aria-current]") : same[0]);
    if (found) found.focus({ preventScroll: true });
  }

  form.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (button && button.name === "do" && ["submit", "discard"].includes(button.value)) return; // these leave the page
    event.preventDefault();
    exchange(button);
  });
  const look = form.querySelector("[name=do][value=save]");
  for (const choice of form.querySelectorAll("[data-how], [data-edge], [data-page], [data-keyword], [name=seal], [name=matter]")) {
    choice.addEventListener("change", () => {
      if (choice.matches("[data-keyword]") && choice.value.trim()) pick(form, "keyword");
      if (choice.matches("[data-edge]")) pick(form, "straddle");
      if (choice.matches("[data-page]")) pick(form, "point");
      exchange(look);
    });
  }
}

function pick(form, how) {
  const one = form.querySelector(`[data-how][value=${how}]`);
  if (one) one.checked = true;
}

// -- upload

function uploading(form) {
  const bar = form.querySelector("progress");
  const say = form.querySelector("[role=status]");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const request = new XMLHttpRequest();
    const button = form.querySelector("button");
    button.disabled = true;
    bar.hidden = false;
    say.textContent = form.dataset.sending;
    request.upload.onprogress = (sent) => {
      if (!sent.lengthComputable) return;
      bar.max = sent.total;
      bar.value = sent.loaded;
      if (sent.loaded === sent.total) { bar.removeAttribute("value"); say.textContent = form.dataset.looking; }
    };
    request.onload = () => {
      const next = new DOMParser().parseFromString(request.responseText, "text/html").querySelector("main");
      if (!next || /\/draft_\w+$/.test(request.responseURL)) { location.assign(request.responseURL); return; }
      document.querySelector("main").replaceWith(document.adoptNode(next));
      dress();
      scrollTo(0, 0);
      document.dispatchEvent(new Event("xinyin:page"));
    };
    request.onerror = () => { button.disabled = false; bar.hidden = true; say.textContent = form.dataset.failed; };
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "text/html");
    request.send(new FormData(form));
  });
}

dress();
