// Dropping a file and showing progress. Without this script the form posts as any form does.
"use strict";
(() => {
  const form = document.querySelector("form[data-verify]");
  if (!form) return;
  const input = form.querySelector("input[type=file]");
  const zone = form.querySelector(".drop");
  const bar = form.querySelector("progress");
  const status = zone.querySelector("[role=status]");
  const limit = Number(form.dataset.limit);

  const say = (text) => { status.textContent = text; };
  const busy = (on) => { form.classList.toggle("busy", on); input.disabled = on; bar.hidden = !on; };
  form.classList.add("enhanced"); // choosing sends at once: one button, in the page's language

  function show(html, address) {
    const page = new DOMParser().parseFromString(html, "text/html");
    const next = page.querySelector("main");
    if (!next) { location.assign("/"); return; }
    document.querySelector("main").replaceWith(document.adoptNode(next));
    document.title = page.title;
    history.pushState({ shown: true }, "", address);
    scrollTo(0, 0);
    const head = document.querySelector("main h1");
    if (head) head.focus();
    document.dispatchEvent(new Event("xinyin:page"));
  }

  function send() {
    const file = input.files[0];
    if (!file) { say(form.dataset.choose); input.focus(); return; }
    if (file.size > limit) { say(form.dataset.tooLarge); return; }
    const request = new XMLHttpRequest();
    const body = new FormData(form);
    busy(true);
    bar.removeAttribute("value");
    say(form.dataset.sending);
    request.upload.onprogress = (event) => {
      if (!event.lengthComputable) return;
      bar.max = event.total;
      bar.value = event.loaded;
      if (event.loaded === event.total) { bar.removeAttribute("value"); say(form.dataset.checking); }
    };
    request.onload = () => { busy(false); show(request.responseText, request.responseURL); };
    request.onerror = () => { busy(false); input.value = ""; say(form.dataset.failed); };
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "text/html");
    request.send(body);
  }

  document.addEventListener("xinyin:result", (event) => show(event.detail.html, event.detail.address));
  form.addEventListener("submit", (event) => { event.preventDefault(); send(); });
  input.addEventListener("change", () => { if (input.files.length) send(); });

  let depth = 0;
  const files = (event) => event.dataTransfer && Array.from(event.dataTransfer.types).includes("Files");
  addEventListener("dragenter", (event) => { if (files(event)) { event.preventDefault(); depth += 1; zone.classList.add("over"); } });
  addEventListener("dragleave", (event) => { if (files(event) && (depth -= 1) <= 0) { depth = 0; zone.classList.remove("over"); } });
  addEventListener("dragover", (event) => { if (files(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    depth = 0;
    zone.classList.remove("over");
    if (!form.isConnected || !event.dataTransfer.files.length) return;
    const one = new DataTransfer();
    one.items.add(event.dataTransfer.files[0]);
    input.files = one.files;
    send();
  });
  addEventListener("popstate", () => location.reload());
})();
