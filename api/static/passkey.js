// Passkeys: a button with data-passkey asks the service what to prove, the browser's passkey to prove it, and the service to judge it.
//   data-passkey="get" | "create"   data-options, data-finish: addresses   data-csrf: the form's token
// The fields of the form named by data-form, and data-to, are sent along. The service answers {next: where to go}.
"use strict";

const toBytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const toText = (buffer) =>
  btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(""))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const named = (list) => (list || []).map((one) => ({ ...one, id: toBytes(one.id) }));

export async function get(options) {
  const publicKey = { ...options, challenge: toBytes(options.challenge), allowCredentials: named(options.allowCredentials) };
  const made = await navigator.credentials.get({ publicKey });
  const { clientDataJSON, authenticatorData, signature, userHandle } = made.response;
  return told(made, {
    clientDataJSON: toText(clientDataJSON),
    authenticatorData: toText(authenticatorData),
    signature: toText(signature),
    userHandle: userHandle ? toText(userHandle) : undefined,
  });
}

export async function create(options) {
  const publicKey = {
    ...options,
    challenge: toBytes(options.challenge),
    user: { ...options.user, id: toBytes(options.user.id) },
    excludeCredentials: named(options.excludeCredentials),
  };
  const made = await navigator.credentials.create({ publicKey });
  const { clientDataJSON, attestationObject } = made.response;
  return told(made, {
    clientDataJSON: toText(clientDataJSON),
    attestationObject: toText(attestationObject),
    transports: made.response.getTransports ? made.response.getTransports() : [],
  });
}

function told(made, response) {
  return { id: made.id, rawId: toText(made.rawId), type: made.type, response, clientExtensionResults: {} };
}

async function ask(address, csrf, body) {
  const answer = await fetch(address, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf, Accept: "application/json" },
    body: JSON.stringify(body),
  });
  const found = await answer.json();
  if (!answer.ok) throw new Refused(document.documentElement.lang === "en" ? found.message : found.message_zh);
  return found;
}

class Refused extends Error {}

async function run(button) {
  const { passkey, options, finish, csrf, form, to } = button.dataset;
  const fields = form ? document.getElementById(form) : null;
  if (fields && !fields.reportValidity()) return;
  const problem = button.closest("section, form")?.querySelector("[data-passkey-problem]");
  if (problem) problem.hidden = true;
  button.disabled = true;
  try {
    const sent = fields ? Object.fromEntries(new FormData(fields)) : {};
    const begun = await ask(options, csrf, sent);
    const credential = await (passkey === "create" ? create : get)(begun.options);
    const done = await ask(finish, csrf, { ...sent, ticket: begun.ticket, credential, to: to || "" });
    location.assign(done.next);
  } catch (error) {
    if (problem) {
      problem.textContent = error instanceof Refused ? error.message : button.dataset.failed;
      problem.hidden = false;
    }
    button.disabled = false;
  }
}

if (window.PublicKeyCredential && !document.documentElement.dataset.passkeys) {
  document.documentElement.dataset.passkeys = "on";
  for (const none of document.querySelectorAll("[data-passkey-none]")) none.hidden = true;
  for (const button of document.querySelectorAll("[data-passkey]")) {
    button.hidden = false;
    button.addEventListener("click", () => run(button));
  }
}
