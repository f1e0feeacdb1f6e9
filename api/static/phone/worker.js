// Without network the phone still shows its licences: this worker keeps the shell of /phone/show and what it loads. The shell
// holds nothing about anybody; licences and their keys lie in IndexedDB. VERSION and FILES stand in a line put before this one.
"use strict";

const SHELL = "/phone/show";
const CACHE = `xinyin-${VERSION}`;
const PATIENCE = 2500; // milliseconds that a bad network gets at a counter before the kept shell is shown

self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll([SHELL, ...FILES])));
});

self.addEventListener("activate", (event) => {
  const drop = async () => {
    for (const name of await caches.keys()) if (name.startsWith("xinyin-") && name !== CACHE) await caches.delete(name);
    await self.clients.claim();
  };
  event.waitUntil(drop());
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const address = new URL(request.url);
  if (request.method !== "GET" || address.origin !== location.origin) return;
  if (address.pathname === SHELL) event.respondWith(shell(request));
  else if (address.pathname.startsWith("/static/")) event.respondWith(file(request));
  else if (request.mode === "navigate") event.respondWith(fetch(request).catch(() => kept(SHELL)));
});

async function shell(request) {
  const fresh = fetch(request).then(async (answer) => {
    if (answer.ok) await (await caches.open(CACHE)).put(SHELL, answer.clone());
    return answer;
  });
  const late = new Promise((resolve) => { setTimeout(resolve, PATIENCE); }).then(() => kept(SHELL));
  return Promise.race([fresh, late]).catch(() => kept(SHELL)).then((answer) => answer || fresh);
}

const file = async (request) => (await kept(request)) || fetch(request);
const kept = async (what) => (await caches.open(CACHE)).match(what, { ignoreVary: true });
