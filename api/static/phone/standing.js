// How the copies on this phone stand, as far as this phone can find out: from the region's public status list, which asks nobody to
// sign in; where that says no, from the wallet, which says why if its owner is signed in. Without network the last answer counts,
// with its time.
"use strict";

const version = new URL(import.meta.url).search;
const { fromBase64url } = await import(`../shown-code.js${version}`);
const { keep, note } = await import(`./store.js${version}`);

const LISTED = ["in-force", "withdrawn", "suspended", "changed"]; // what the two bits of a status list say
const USABLE = ["in-force", "due", "not-yet-valid"];

/** Ask about ``copies`` and keep what was heard; resolves to whether everything asked was answered. */
export async function hear(copies) {
  try {
    const lists = new Map();
    for (const { status } of copies) if (!lists.has(status.uri)) lists.set(status.uri, await places(status.uri));
    let told = null;
    for (const copy of copies) {
      let state = LISTED[lists.get(copy.status.uri)(copy.status.idx)];
      let said = null;
      if (state !== "in-force") {
        told ??= await wallet();
        said = told.find((one) => one.id === copy.id);
        state = said?.state || state;
      }
      await heard(copy, state, said);
    }
    return true;
  } catch {
    return false; // no network, or none that leads to the service
  }
}

async function heard(copy, state, said) {
  const sentence = said ? { zh: said.sentence_zh, en: said.sentence } : null;
  Object.assign(copy, { state, said: sentence, usable: USABLE.includes(state), newer: said?.newer || null, heard: Date.now() });
  await keep(copy);
}

async function wallet() {
  const answer = await fetch("/api/v1/wallet/copies", { headers: { Accept: "application/json" } });
  return answer.ok ? (await answer.json()).items : [];
}

// The places of a Token Status List in its JWT form. Its signature is for verifiers to check: this phone asks its own region over
// its own connection, about itself.
async function places(uri) {
  const answer = await fetch(new URL(uri).pathname, { headers: { Accept: "application/statuslist+jwt" }, cache: "no-store" });
  if (!answer.ok) throw new Error(String(answer.status));
  await keepTime(answer);
  const list = JSON.parse(new TextDecoder().decode(fromBase64url((await answer.text()).split(".")[1]))).status_list;
  const packed = new Blob([fromBase64url(list.lst)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(packed).arrayBuffer());
  return (place) => (bytes[(place * list.bits) >> 3] >> ((place * list.bits) & 7)) & ((1 << list.bits) - 1);
}

// Codes count for a minute by the verifier's clock: how far this phone's clock is off is noted whenever the service answers.
async function keepTime(answer) {
  const at = Date.parse(answer.headers.get("Date") || "");
  if (at) await note("clock", Math.abs(at - Date.now()) > 5000 ? at - Date.now() : 0);
}
