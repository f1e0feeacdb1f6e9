// A code on paper or a phone leads to /v#PAYLOAD. The part after # never leaves the browser by itself; this asks our own verifier about it.
"use strict";
(() => {
  const form = document.querySelector("form[data-code]");
  const payload = location.hash.slice(1);
  if (!form || !payload) return;
  form.querySelector("input[name=code]").value = payload;
  document.querySelector("[data-waiting]").hidden = false;
  document.querySelector("[data-empty]").hidden = true;
  fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), headers: { Accept: "text/html" } })
    .then((answer) => answer.text())
    .then((html) => {
      const page = new DOMParser().parseFromString(html, "text/html");
      const next = page.querySelector("main");
      document.querySelector("main").replaceWith(document.adoptNode(next));
      document.title = page.title;
      const head = document.querySelector("main h1");
      if (head) head.focus();
      document.dispatchEvent(new Event("xinyin:page"));
    })
    .catch(() => {
      document.querySelector("[data-waiting]").hidden = true;
      document.querySelector("[data-failed]").hidden = false;
    });
})();
