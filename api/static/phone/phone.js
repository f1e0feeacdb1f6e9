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

// Licences that are on this phone can be shown; the others can be put on it. Copies whose month is nearly over are renewed on the way,
// with the same key: nobody has to do anything. Once a day is enough: what an authorisation ends in a few days does not last longer.
const DAY = 24 * 3600 * 1000;

async function markHere() {
  const cards = document.querySelectorAll("[data-licence]:not(form)");
  const elsewhere = document.querySelector("[data-on-phone]");
  if (!cards.length && !elsewhere) return;
  const { copies, hasKey } = await import(`./store.js${version}`);
  const here = (await copies()).filter(hasKey);
  if (elsewhere) elsewhere.hidden = !here.length;
  const found = [];
  for (const card of cards) {
    const { licence, grant } = card.dataset;
    const copy = here.find((one) => one.licence === licence && (one.grant || "") === grant);
    if (!copy || !(copy.usable || copy.state === "suspended")) continue;
    found.push(copy);
    const show = card.querySelector("[data-show]");
    if (!show) continue;
    show.href = `/phone/show#${copy.id}`;
    show.hidden = false;
    card.querySelector("[data-download]").hidden = true;
    card.querySelector("[data-here]").hidden = false;
  }
  const due = found.filter((copy) => copy.usable && Date.parse(copy.renew_from) <= Date.now() && copy.saved < Date.now() - DAY);
  if (due.length) await renew(due, document.querySelector("[data-citizen]").dataset);
}

async function renew(due, { citizen, csrf }) {
  const { download } = await import(`./download.js${version}`);
  for (const { licence, grant, device, citizen: whose } of due) if (whose === citizen) await download({ citizen, csrf, licence, grant, device });
}

for (const button of document.querySelectorAll("[data-speak]")) readAloud(button);
markHere().catch(() => {});
keepShell().catch(() => {});
