// What this phone keeps: copies of licences, each beside the key that it is bound to. A person has one key on a phone, so that the
// phone can be reported lost as a whole. It is made here and no script can export it; a copy without its key shows nothing.
"use strict";

const NAME = "xinyin-phone";
const COPIES = "copies";
const KEYS = "keys";
const NOTES = "notes";

let opened = null;

function database() {
  opened ??= new Promise((resolve, reject) => {
    const asked = indexedDB.open(NAME, 1);
    asked.onupgradeneeded = () => {
      asked.result.createObjectStore(COPIES, { keyPath: "id" });
      asked.result.createObjectStore(KEYS);
      asked.result.createObjectStore(NOTES);
    };
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
  return opened;
}

async function run(store, mode, work) {
  const transaction = (await database()).transaction(store, mode);
  const request = work(transaction.objectStore(store));
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(request.result);
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

/** Every copy on this phone, the newest first. */
export async function copies() {
  const found = await run(COPIES, "readonly", (store) => store.getAll());
  return found.sort((one, other) => other.saved - one.saved);
}

/** Keep a copy: {id, licence, credential: Uint8Array, key: CryptoKey, …}. Resolves when it is on disk. */
export const keep = (copy) => run(COPIES, "readwrite", (store) => store.put(copy));

/** Forget a copy, and its key with it. */
export const forget = (id) => run(COPIES, "readwrite", (store) => store.delete(id));

/** A small thing to remember between visits, such as how far this phone's clock is off; undefined if never noted. */
export const noted = (name) => run(NOTES, "readonly", (store) => store.get(name));
export const note = (name, value) => run(NOTES, "readwrite", (store) => store.put(value, name));

/** The key pair of ``citizen`` on this phone, made at the first time: P-256, for signing only, not extractable. */
export async function keyOf(citizen) {
  const found = await run(KEYS, "readonly", (store) => store.get(citizen));
  if (found?.privateKey instanceof CryptoKey) return found;
  const made = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
  await run(KEYS, "readwrite", (store) => store.put(made, citizen));
  return made;
}

/** Begin anew with another key, after this phone was reported lost and found again: the old key and its copies go. */
export async function startAnew(citizen) {
  await run(KEYS, "readwrite", (store) => store.delete(citizen));
  for (const copy of await copies()) if (copy.citizen === citizen) await forget(copy.id);
}

/** Whether the copy still has the key that was made for it on this phone. */
export const hasKey = (copy) => copy.key instanceof CryptoKey && copy.key.type === "private" && !copy.key.extractable;

/** Ask the browser not to throw the copies away when space is short; it may refuse. */
export const persist = () => navigator.storage?.persist?.().catch(() => false);
