// Every page of the phone: the offline worker, large type's reading aloud, and what is only known on this phone.
"use strict";

const version = new URL(import.meta.url).search;
const root = document.documentElement;

// The shell that shows licences without network is kept in the reader's language and size: fetched anew when either changes.
async function keepShell() {
  if (!navigator.serviceWorker) return;
  await navigator.serviceWorker.register("/phone/worker.js", { scope: "/phone", updateViaCache: "none" });
  const how = `${root.lang} ${root.className} ${version}`;
  if (sessionStorage.getItem("shell") === how) return;
  await navigator.serviceWorker.ready;
  const answer = await fetch("/phone/show", { headers: { Accept: "text/html" } });
  if (answer.ok) sessionStorage.setItem("shell", how);
}

// Reading aloud says what stands on the page, in the order in which it stands there; pressed again, it stops.
function readAloud(button) {
  const voice = window.speechSynthesis;
  if (!voice) return;
  const rest = () => button.setAttribute("aria-pressed", "false");
  button.hidden = false;
  button.addEventListener("click", () => {
    const speaking = button.getAttribute("aria-pressed") === "true";
    voice.cancel();
    if (speaking) { rest(); return; }
    button.setAttribute("aria-pressed", "true");
    const lines = document.querySelector("main").innerText.split("\n").map((line) => line.trim()).filter(Boolean);
    for (const [number, line] of lines.entries()) {
      const said = new SpeechSynthesisUtterance(line); // by lines: browsers fall silent in the middle of long ones
      said.lang = root.lang;
      said.rate = 0.9;
      if (number === lines.length - 1) said.onend = rest;
      voice.speak(said);
    }
  });
  addEventListener("pagehide", () => voice.cancel());
}

// Licences that are on this phone can be shown; the others can be put on it.
async function markHere() {
  const cards = document.querySelectorAll("[data-licence]");
  const elsewhere = document.querySelector("[data-on-phone]");
  if (!cards.length && !elsewhere) return;
  const { copies, hasKey } = await import(`./store.js${version}`);
  const here = (await copies()).filter(hasKey);
  if (elsewhere) elsewhere.hidden = !here.length;
  for (const card of cards) {
    const copy = here.find((one) => one.licence === card.dataset.licence);
    if (!copy) continue;
    const show = card.querySelector("[data-show]");
    show.href = `/phone/show#${copy.id}`;
    show.hidden = false;
    card.querySelector("[data-download]").hidden = true;
    card.querySelector("[data-here]").hidden = false;
  }
}

for (const button of document.querySelectorAll("[data-speak]")) readAloud(button);
markHere().catch(() => {});
keepShell().catch(() => {});
