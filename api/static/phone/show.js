// Shows a licence as a code that changes every minute. Everything it needs is on the phone: it works without network, and says how
// old what it knows is. Nothing here asks who is signed in.
"use strict";

const version = new URL(import.meta.url).search;
const { shownCode } = await import(`../shown-code.js${version}`);
const { copies, forget, hasKey, noted } = await import(`./store.js${version}`);
const { hear } = await import(`./standing.js${version}`);

const EVERY = 60; // seconds that a code is shown; verifiers take it for a little longer
const CHALLENGE_LASTS = 180; // seconds until typed digits are forgotten: the next counter has its own
const QUIET = 4; // modules of white around a code

const page = document.querySelector("[data-shell]");
const words = JSON.parse(page.dataset.words);
const english = document.documentElement.lang === "en";
const part = (name) => page.querySelector(`[data-${name}]`);
const fill = (name, text) => { part(name).textContent = text; };
const say = (key, values = {}) => words[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);

let here = [];
let chosen = null;
let left = 0;
let online = navigator.onLine;
let challenge = "";
let challengeUntil = 0;

const typeName = (copy) => (english ? copy.shown.type_name_en : copy.shown.type_name);
const roleName = (copy) => words[`role_${copy.role}`];
const moment = (at) => {
  const options = { timeZone: "Asia/Shanghai", month: english ? "short" : "long", day: "numeric", hour: "2-digit", minute: "2-digit" };
  return new Intl.DateTimeFormat(english ? "en-GB" : "zh-CN", options).format(at);
};
const day = (at) => {
  const options = { timeZone: "Asia/Shanghai", year: "numeric", month: "long", day: "numeric" };
  return new Intl.DateTimeFormat(english ? "en-GB" : "zh-CN", options).format(new Date(at));
};

/** Why a copy cannot be shown, as [title, sentence]; null if it can. */
function obstacle(copy) {
  if (!hasKey(copy)) return [words.no_key_title, words.no_key];
  if (!copy.usable) {
    const said = english ? copy.said?.en : copy.said?.zh;
    return [words[`state_${copy.state}`] || words.state_withdrawn, said || words[`why_${copy.state}`] || words.why_withdrawn];
  }
  if (Date.parse(copy.expires_at) <= Date.now()) return [words.due_title, words.due];
  return null;
}

function only(...names) {
  for (const name of ["empty", "choose", "code", "ended"]) part(name).hidden = !names.includes(name);
}

function choose() {
  const wanted = here.find((copy) => copy.id === location.hash.slice(1));
  chosen = wanted || (here.length === 1 ? here[0] : null);
  if (!here.length) { only("empty"); return; }
  part("others").hidden = here.length < 2 || !chosen;
  if (!chosen) { only("choose"); list(); fill("title", words.title); return; }
  const why = obstacle(chosen);
  fill("title", typeName(chosen));
  if (why) ended(chosen, why);
  else open(chosen);
}

function list() {
  const line = part("line");
  part("list").replaceChildren(...here.map((copy) => {
    const row = line.content.cloneNode(true);
    const why = obstacle(copy);
    row.querySelector("a").href = `#${copy.id}`;
    row.querySelector("b").textContent = typeName(copy);
    row.querySelector("i").textContent = copy.shown.holder;
    row.querySelector("small").textContent = why ? why[0] : roleName(copy);
    row.querySelector("small").className = why ? "tag bad" : "soft";
    return row;
  }));
}

function ended(copy, [title, sentence]) {
  fill("ended-title", title);
  fill("ended-why", sentence);
  const again = part("ended-again");
  again.href = `/phone/download/${copy.newer || copy.licence}`;
  again.hidden = ["ended", "withdrawn", "unauthorised", "suspended", "expired"].includes(copy.state) && hasKey(copy);
  only("ended");
}

function facts(copy) {
  const { shown } = copy;
  const matters = copy.matters.map((code) => words.matters[code]?.[english ? "en" : "zh"] || code).join(english ? ", " : "、");
  return [
    [words.holder, shown.holder],
    [english ? words.number : shown.number_label, shown.number],
    [words.bearer, say("bearer_is", { name: copy.bearer, role: roleName(copy) })],
    [words.only_for, matters],
    [words.valid_to, shown.valid_to ? day(shown.valid_to) : words.no_end],
    [words.issuer, shown.issuer],
  ].filter(([, value]) => value);
}

async function open(copy) {
  const list = facts(copy).flatMap(([label, value]) => {
    const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
    dt.textContent = label;
    dd.textContent = value;
    return [dt, dd];
  });
  part("facts").replaceChildren(...list);
  part("sample").hidden = !copy.shown.sample;
  only("code");
  knows(copy);
  await renew();
  stayAwake();
}

/** How fresh what this phone knows is. */
function knows(copy) {
  const at = moment(copy.heard);
  fill("heard", online ? say("heard_now", { at }) : say("heard_then", { at }));
  part("offline").hidden = online;
}

async function renew() {
  if (!chosen || obstacle(chosen)) { choose(); return; }
  if (challenge && Date.now() > challengeUntil) forgetChallenge();
  const at = new Date(Date.now() + ((await noted("clock")) || 0));
  const { credential, host, key } = chosen;
  try {
    await draw(await shownCode({ host, credential, key, at, challenge: challenge || null }));
    left = EVERY;
    part("failed").hidden = true;
  } catch {
    part("failed").hidden = false;
    left = 5;
  }
  tick();
}

async function draw(code) {
  const { generate } = await import(`../vendor/lean-qr.mjs${version}`);
  const drawn = generate(code);
  const canvas = part("canvas");
  const modules = drawn.size + 2 * QUIET;
  const room = canvas.parentElement.clientWidth;
  const dots = Math.max(1, Math.floor((room * devicePixelRatio) / modules)); // whole dots a module, or the edges blur
  const small = new OffscreenCanvas(1, 1);
  drawn.toCanvas(small, { pad: QUIET, on: [0, 0, 0], off: [255, 255, 255] });
  canvas.width = canvas.height = modules * dots;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  canvas.style.width = `${canvas.width / devicePixelRatio}px`;
  canvas.dataset.drawn = "";
  canvas.setAttribute("aria-label", say("code_is", { type: typeName(chosen), holder: chosen.shown.holder }));
}

function tick() {
  fill("left", say("renews", { seconds: Math.max(left, 0) }));
  part("bar").value = Math.max(left, 0);
}

function forgetChallenge() {
  challenge = "";
  part("challenge").value = "";
  fill("challenge-said", "");
}

function typed() {
  const digits = part("challenge").value.replace(/\D/g, "").slice(0, 4);
  part("challenge").value = digits;
  if (digits.length === 4 && digits !== challenge) {
    challenge = digits;
    challengeUntil = Date.now() + CHALLENGE_LASTS * 1000;
    renew();
    fill("challenge-said", words.challenge_in);
  } else if (!digits && challenge) {
    forgetChallenge();
    renew();
  }
}

let lock = null;
async function stayAwake() {
  try { lock ??= await navigator.wakeLock?.request("screen"); lock?.addEventListener("release", () => { lock = null; }); } catch { lock = null; }
}

async function ask() {
  const clock = await noted("clock");
  online = navigator.onLine && (await hear(here));
  here = await copies();
  const set = (await noted("clock")) !== clock; // the code on the screen says another time than the service's
  const now = chosen && here.find((copy) => copy.id === chosen.id);
  if (!now || obstacle(now) || part("code").hidden) choose();
  else {
    chosen = now;
    knows(now);
    if (set) await renew();
  }
  page.dataset.asked = ""; // what is on the screen is by what was heard, or by what this phone knew
}

part("again").addEventListener("click", renew);
part("challenge").addEventListener("input", typed);
part("forget").addEventListener("click", async () => { await forget(chosen.id); here = await copies(); location.hash = ""; choose(); });
addEventListener("hashchange", choose);
addEventListener("online", ask);
addEventListener("offline", () => { online = false; if (chosen) knows(chosen); });
document.addEventListener("visibilitychange", () => { if (!document.hidden && !part("code").hidden) { renew(); ask(); } });
setInterval(() => {
  if (document.hidden || part("code").hidden) return;
  left -= 1;
  if (left <= 0) renew();
  else tick();
}, 1000);

here = await copies();
choose();
await ask();
setInterval(ask, 5 * 60 * 1000);
