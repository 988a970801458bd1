// The PIN step of a Circle wallet: Circle's own window in a frame, told what it may do by a session fetched for this
// moment. Speaks as Circle's Web SDK does (w3s-pw-web-sdk 1.1.11, Apache-2.0): the frame says onFrameReady, gets
// {w3s}, and answers onComplete, onError or onClose. Nothing of the session is kept.
(() => {
  "use strict";
  const box = document.querySelector("[data-pin]");
  if (!box) return;
  const { session, service, after } = box.dataset;
  const said = box.querySelector("[role=status]");
  const start = box.querySelector("button");
  const SILENCE_MS = 10000;
  let frame = null, known = null, silence = 0;

  const say = (text, bad) => { said.textContent = text; said.classList.toggle("bad", Boolean(bad)); };
  const close = () => {
    clearTimeout(silence);
    if (frame) frame.remove();
    frame = known = null;
    start.hidden = false;
  };

  const open = async () => {
    start.hidden = true;
    say("Opening Circle's window…");
    const form = new URLSearchParams({ csrf: box.dataset.csrf });
    let answer, told;
    try {
      answer = await fetch(session, { method: "POST", body: form, headers: { Accept: "application/json" } });
      told = await answer.json();
    } catch {
      say("No answer; check your connection and try again.", true);
      start.hidden = false;
      return;
    }
    if (!answer.ok) {
      say(told.error ? told.error.message : "That did not work; try again.", true);
      start.hidden = false;
      return;
    }
    known = told;
    frame = document.createElement("iframe");
    frame.title = "Circle: your PIN";
    frame.className = "pin-frame";
    frame.src = `${service}/?origin=${location.origin}`;
    box.append(frame);
    silence = setTimeout(() => { say("Circle's window does not answer; try again in a moment.", true); close(); }, SILENCE_MS);
  };

  addEventListener("message", (event) => {
    if (!frame || event.origin !== new URL(service).origin || event.source !== frame.contentWindow) return;
    const told = event.data || {};
    if (told.onFrameReady) {
      clearTimeout(silence);
      say("Enter your PIN in Circle's window.");
      frame.contentWindow.postMessage({
        w3s: {
          appSettings: { appId: known.app_id },
          auth: { userToken: known.user_token, encryptionKey: known.encryption_key },
          challenge: { challengeId: known.challenge_id },
          customizations: { securityQuestions: { requiredCount: 2 } },
          deviceInfo: { model: "Web", version: "1.1.11" },
        },
      }, new URL(service).origin);
    } else if (told.onComplete) {
      close();
      start.hidden = true;
      say("Done.");
      location.assign(after);
    } else if (told.onError) {
      say(`Circle: ${(told.error && told.error.message) || "that did not work"}`, true);
    } else if (told.onClose) {
      say("The window was closed; nothing has happened.");
      close();
    }
  });
  start.addEventListener("click", open);
  open();
})();
