// Putting a licence on this phone: the phone proves a key of its own to the service, which binds the licence to it.
"use strict";

const version = new URL(import.meta.url).search;
const { base64url, fromBase64url } = await import(`../shown-code.js${version}`);
const { keep, keyOf, noted, persist, startAnew } = await import(`./store.js${version}`);

class Refused extends Error {
  constructor(problem) {
    super(document.documentElement.lang === "en" ? problem.message : problem.message_zh);
    this.code = problem.code;
  }
}

/** Ask the wallet; throws Refused with the service's own sentence. */
async function ask(path, csrf, body) {
  const answer = await fetch(`/api/v1/wallet/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf, Accept: "application/json" },
    body: JSON.stringify(body),
  });
  const found = await answer.json();
  if (!answer.ok) throw new Refused(found);
  return found;
}

const encoded = (value) => base64url(new TextEncoder().encode(JSON.stringify(value)));

// A key proof as OpenID4VCI has it: a JWT that names the public key and the service's challenge, signed by the phone's key.
async function proof(pair, challenge) {
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", pair.publicKey);
  const head = { typ: "openid4vci-proof+jwt", alg: "ES256", jwk: { kty, crv, x, y } };
  const claims = { aud: challenge.audience, iat: Math.floor((Date.now() + ((await noted("clock")) || 0)) / 1000), nonce: challenge.nonce };
  const said = `${encoded(head)}.${encoded(claims)}`;
  const how = { name: "ECDSA", hash: "SHA-256" };
  const signature = await crypto.subtle.sign(how, pair.privateKey, new TextEncoder().encode(said));
  return `${said}.${base64url(new Uint8Array(signature))}`;
}

/**
 * Download a licence, or renew the copy of it that is here; resolves to the kept copy.
 * @param {{citizen: string, csrf: string, licence: string, grant: string|null, device: string}} what
 */
export async function download({ citizen, csrf, licence, grant, device }) {
  const pair = await keyOf(citizen);
  const challenge = await ask("challenges", csrf, {});
  const wish = { licence, device_name: device, proof: await proof(pair, challenge) };
  if (grant) wish.grant = grant;
  const made = await ask("copies", csrf, wish);
  const copy = {
    ...made, citizen, device, licence: made.licence.id, shown: made.licence, grant: grant || null, key: pair.privateKey,
    credential: fromBase64url(made.credential),
    state: "in-force", usable: true, renew: false, said: null, newer: null, heard: Date.now(), saved: Date.now(),
  };
  await keep(copy);
  await persist();
  return copy;
}

function dress(form) {
  const problem = document.querySelector("[data-problem]");
  const busy = (on) => {
    form.querySelector("[data-busy]").hidden = !on;
    for (const button of form.querySelectorAll("button")) button.disabled = on;
  };
  const go = async (event) => {
    event?.preventDefault();
    const { citizen, licence, grant } = form.dataset;
    problem.hidden = true;
    busy(true);
    try {
      const fields = new FormData(form);
      const what = { citizen, licence, grant: grant || null, csrf: fields.get("csrf"), device: fields.get("device_name") };
      location.assign(`/phone/show#${(await download(what)).id}`);
    } catch (error) {
      problem.querySelector("p").textContent = error instanceof Refused ? error.message : form.dataset.failed;
      problem.querySelector("[data-anew]").hidden = error.code !== "phone-lost";
      problem.querySelector("[data-signin]").hidden = !["sign-in-here", "citizen-not-signed-in"].includes(error.code);
      problem.hidden = false;
      problem.focus();
      busy(false);
    }
  };
  form.addEventListener("submit", go);
  problem.querySelector("[data-anew]").addEventListener("click", async () => { await startAnew(form.dataset.citizen); await go(); });
  form.hidden = false;
}

const form = document.querySelector("form[data-get]");
if (form && window.crypto?.subtle && window.indexedDB) dress(form);
else if (form) document.querySelector("[data-cannot]").hidden = false;
