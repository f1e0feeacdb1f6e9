// Small conveniences of every page: printing opens the details, a place for files takes what is dropped on it, and long work
// shows how far it is. Every page works without them.
"use strict";
(() => {
  function dress() {
    for (const button of document.querySelectorAll("[data-print]")) {
      button.hidden = false;
      button.onclick = () => print();
    }
    document.querySelectorAll(".filedrop").forEach(droppable);
    document.querySelectorAll(".progress[data-follow]").forEach(follow);
    document.querySelectorAll("form[data-counted]").forEach(counted);
  }

  function droppable(zone) {
    const input = zone.querySelector("input[type=file]");
    const picked = zone.querySelector(".picked");
    if (picked && !zone.classList.contains("enhanced")) {
      zone.classList.add("enhanced"); // the browser's own button speaks the browser's language, ours the page's
      zone.querySelector(".pick").hidden = false;
      input.addEventListener("change", () => { picked.textContent = Array.from(input.files, (file) => file.name).join("、"); });
    }
    const over = (on) => (event) => { event.preventDefault(); zone.classList.toggle("over", on); };
    zone.ondragenter = zone.ondragover = over(true);
    zone.ondragleave = over(false);
    zone.ondrop = (event) => {
      over(false)(event);
      const dropped = new DataTransfer();
      for (const file of event.dataTransfer.files) if (input.multiple || !dropped.files.length) dropped.items.add(file);
      if (!dropped.files.length) return;
      input.files = dropped.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
    };
  }

  // The same address again every two seconds, until the work it shows is done; then the page as it is by then.
  function follow(box) {
    box.querySelector(".no-script")?.remove();
    const bar = box.querySelector("progress");
    if (bar.value >= bar.max) return;
    setTimeout(async () => {
      try {
        const answer = await fetch(box.dataset.follow, { headers: { Accept: "text/html" } });
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const next = page.querySelector(".progress[data-follow]");
        if (!next) { location.reload(); return; }
        box.replaceWith(document.adoptNode(next));
        follow(next);
      } catch { follow(box); }
    }, 2000);
  }

  // A form whose answer takes long: while it is under way its page, asked again, says how many are done. Never sent twice.
  function counted(form) {
    form.onsubmit = (event) => {
      if (form.dataset.sent) { event.preventDefault(); return; }
      form.dataset.sent = "yes";
      form.querySelector("[data-count]").hidden = false;
      setTimeout(() => { for (const button of form.querySelectorAll("button")) button.disabled = true; }); // it is sent with the form
      setInterval(async () => {
        try {
          const page = new DOMParser().parseFromString(await (await fetch(location.pathname)).text(), "text/html");
          const next = page.querySelector("form[data-counted] [data-count] .progress");
          if (next) form.querySelector("[data-count] .progress").replaceWith(document.adoptNode(next));
        } catch { /* the answer of the form itself tells what is wrong */ }
      }, 2000);
    };
  }

  // A page that comes back from the browser's memory can be sent again.
  addEventListener("pageshow", (event) => {
    if (event.persisted && document.querySelector("form[data-sent]")) location.reload();
  });

  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll(".signature details")) details.open = true;
  });
  document.addEventListener("xinyin:page", dress);
  dress();
})();
