// The camera of the verifier's page: at most two looks a second, by the browser's own reader where it has one, else by ours.
// Nothing is kept: a frame that shows no licence code is forgotten, one that does leads to its answer.
"use strict";
(() => {
  const box = document.querySelector("[data-scan]");
  const form = document.querySelector("form[data-verify]");
  if (!box || !form || !navigator.mediaDevices || !navigator.mediaDevices.getUserMedia) return;
  box.hidden = false;
  const video = box.querySelector("video");
  const status = box.querySelector("[role=status]");
  const start = box.querySelector("[data-start]");
  const stop = box.querySelector("[data-stop]");
  const PAUSE_MS = 500;
  const LONGEST_MS = 90_000;
  const WIDEST = 1280;
  let stream = null;
  let reader = null;

  const say = (text) => { status.textContent = text; };
  const fields = () => {
    const body = new FormData();
    for (const name of ["matter", "challenge"]) body.append(name, form.elements[name].value);
    return body;
  };

  function end(text) {
    if (stream) for (const track of stream.getTracks()) track.stop();
    stream = null;
    box.classList.remove("on");
    box.querySelector(".finder").hidden = true;
    start.hidden = false;
    stop.hidden = true;
    say(text || "");
  }

  async function begin() {
    say(box.dataset.starting);
    start.hidden = true;
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        audio: false,
        video: { facingMode: { ideal: "environment" }, width: { ideal: 1920 }, height: { ideal: 1080 } },
      });
    } catch { end(box.dataset.denied); return; }
    if (!reader && "BarcodeDetector" in window) {
      const known = await BarcodeDetector.getSupportedFormats().catch(() => []);
      if (known.includes("qr_code")) reader = new BarcodeDetector({ formats: ["qr_code"] });
    }
    box.classList.add("on");
    box.querySelector(".finder").hidden = false;
    stop.hidden = false;
    stop.focus({ preventScroll: true });
    video.srcObject = stream;
    await video.play().catch(() => {});
    say(box.dataset.looking);
    look(stream);
  }

  async function look(mine) {
    const until = Date.now() + LONGEST_MS;
    while (stream === mine) {
      const began = Date.now();
      if (began > until) { end(box.dataset.none); return; }
      try {
        const answer = await one();
        if (stream !== mine) return;
        if (answer) {
          const detail = { html: await answer.text(), address: answer.url };
          end(box.dataset.found);
          document.dispatchEvent(new CustomEvent("xinyin:result", { detail }));
          return;
        }
        say(box.dataset.looking);
      } catch { say(box.dataset.failed); }
      await new Promise((done) => setTimeout(done, Math.max(0, PAUSE_MS - (Date.now() - began))));
    }
  }

  // One look: the answer's page, or null where no licence code was seen.
  async function one() {
    if (!video.videoWidth) return null;
    if (reader) {
      const seen = await reader.detect(video).catch(() => []);
      const ours = seen.find((found) => /^https?:\/\/[^#]+\/v#/.test(found.rawValue));
      if (ours) {
        const body = fields();
        body.append("code", ours.rawValue);
        return post("/v", new URLSearchParams(body));
      }
    }
    const body = fields();
    body.append("frame", await frame(), "frame.jpg");
    return post("/verify/scan", body);
  }

  async function post(address, body) {
    const answer = await fetch(address, { method: "POST", body, headers: { Accept: "text/html" } });
    if (answer.status === 204) return null;
    if (!answer.ok) throw new Error(String(answer.status));
    return answer;
  }

  function frame() {
    const scale = Math.min(1, WIDEST / Math.max(video.videoWidth, video.videoHeight));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(video.videoWidth * scale);
    canvas.height = Math.round(video.videoHeight * scale);
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
    return new Promise((done, fail) => {
      canvas.toBlob((blob) => (blob ? done(blob) : fail(new Error("no picture"))), "image/jpeg", 0.85);
    });
  }

  start.addEventListener("click", begin);
  stop.addEventListener("click", () => { end(box.dataset.stopped); start.focus(); });
  document.addEventListener("visibilitychange", () => { if (document.hidden && stream) end(box.dataset.stopped); });
  if (location.hash === "#camera") begin();
})();
