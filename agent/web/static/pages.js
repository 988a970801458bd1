// What pages do beyond htmx: hold still while somebody types, copy, keys, and say when the daemon is silent.
(() => {
  "use strict";
  const live = () => document.getElementById("live");
  const fields = "input:not([type=hidden]), textarea, select";

  const typing = () => {
    const box = live();
    if (!box) return false;
    const touched = [...box.querySelectorAll(fields)].some((field) =>
      field === document.activeElement ||
      (field.tagName !== "SELECT" && field.value !== field.defaultValue));
    return touched || box.querySelector("form[data-sent], details[open]") !== null;
  };

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.target.id !== "live") return;
    const held = typing();
    document.body.classList.toggle("held", held);
    if (held || document.hidden) event.preventDefault();
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const answered = event.detail.xhr && event.detail.xhr.status > 0 && event.detail.xhr.status < 500;
    document.body.classList.toggle("stale", !answered);
  });
  document.addEventListener("htmx:responseError", (event) => {
    if ([401, 403, 404].includes(event.detail.xhr.status)) location.reload();
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "yes";
    form.querySelectorAll("button").forEach((button) => {
      button.dataset.label = button.textContent;
      button.textContent = "Working…";
      button.disabled = true;
    });
  });
  window.addEventListener("pageshow", () => {
    document.querySelectorAll("form[data-sent]").forEach((form) => {
      delete form.dataset.sent;
      form.querySelectorAll("button[disabled]").forEach((button) => {
        button.textContent = button.dataset.label;
        button.disabled = false;
      });
    });
  });

  const here = document.querySelector("nav.side [aria-current]");
  if (here) here.scrollIntoView({ block: "nearest", inline: "center" });  // on a phone the list is wider than the page

  const copy = async (element) => {
    if (!navigator.clipboard) return;
    try { await navigator.clipboard.writeText(element.dataset.copy); } catch { return; }
    element.classList.add("copied");
    setTimeout(() => element.classList.remove("copied"), 900);
  };
  document.addEventListener("click", (event) => {
    const element = event.target.closest("[data-copy]");
    if (element && !String(getSelection())) copy(element);
  });

  let leading = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (["Enter", " "].includes(event.key) && event.target.matches("[data-copy]")) {
      event.preventDefault();
      copy(event.target);
      return;
    }
    if (event.target.matches(fields)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.key === "/") {
      const search = document.querySelector("input[type=search]");
      if (search) { event.preventDefault(); search.focus(); search.select(); }
    } else if (event.key === "g") {
      leading = Date.now();
    } else if (Date.now() - leading < 1500) {
      leading = 0;
      const link = document.querySelector(`nav [data-key="${CSS.escape(event.key)}"]`);
      if (link) { event.preventDefault(); link.click(); }
    }
  });
})();
