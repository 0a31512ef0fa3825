// What the console does beyond plain pages: the theme, the viewer's zone, copy buttons, live parts.
// Everything else works without it.
"use strict";

(() => {
  const root = document.documentElement;
  const year = 31536000;
  const secure = location.protocol === "https:" ? "; Secure" : "";
  const keep = (name, value) => {
    document.cookie = `${name}=${value}; Path=/console; Max-Age=${year}; SameSite=Lax${secure}`;
  };

  // Bootstrap knows light and dark; what "auto" means is the system's to say.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const paint = () => {
    const theme = root.dataset.theme;
    root.dataset.bsTheme = theme === "auto" ? (dark.matches ? "dark" : "light") : theme;
  };
  paint();
  dark.addEventListener("change", paint);

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.includes(`tz=${zone}`)) keep("tz", zone);

  const choose = (button) => {
    root.dataset.theme = button.value;
    keep("theme", button.value);
    paint();
    for (const one of document.querySelectorAll("[data-themes] button")) {
      one.setAttribute("aria-pressed", String(one.value === button.value));
    }
  };

  const copy = async (button) => {
    const before = button.textContent;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select and copy it";
    }
    setTimeout(() => { button.textContent = before; }, 2000);
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.closest("[data-themes]")) {
      event.preventDefault();
      choose(button);
    } else if (button.dataset.copy !== undefined) {
      event.preventDefault();
      copy(button);
    }
  });

  // A box that is ticked is saved at once; without this script its form has a button.
  document.addEventListener("change", async (event) => {
    const box = event.target;
    const form = box.closest("form[data-ticks]");
    if (!form) return;
    box.disabled = true;
    const body = new FormData(form);
    body.set("step", box.value);
    body.set("done", box.checked ? "yes" : "no");
    try {
      const answer = await fetch(form.action, { method: "POST", body, headers: { "X-Live": "1" } });
      if (!answer.ok) throw new Error(String(answer.status));
    } catch {
      box.checked = !box.checked;
    }
    box.disabled = false;
    box.focus();
  });

  // Live parts: the same page is asked for again, and each part that changed takes the place of the old one.
  const every = 3000;
  const busy = (part) => {
    const active = document.activeElement;
    if (part.querySelector("details[data-keep][open]")) return true;
    return part.contains(active) && active.matches("input:not([type=checkbox]), textarea, select");
  };
  // Ages change with every look and say nothing new by themselves.
  const opened = (part) => [...part.querySelectorAll("details")].map((one) => one.open);
  const look = async () => {
    const parts = [...document.querySelectorAll("[data-live]")];
    if (!parts.length || document.hidden) return;
    let page;
    try {
      const answer = await fetch(location.href, { headers: { "X-Live": "1" }, redirect: "error" });
      if (!answer.ok) throw new Error(String(answer.status));
      page = new DOMParser().parseFromString(await answer.text(), "text/html");
    } catch {
      root.dataset.stale = "yes";
      return;
    }
    delete root.dataset.stale;
    const fresh = [...page.querySelectorAll("[data-live]")];
    if (fresh.length !== parts.length) {
      location.reload();
      return;
    }
    parts.forEach((part, index) => {
      if (busy(part) || part.innerHTML === fresh[index].innerHTML) return;
      const open = opened(part);
      const focused = part.contains(document.activeElement) ? [...part.querySelectorAll("a, button, input, summary")].indexOf(document.activeElement) : -1;
      part.replaceChildren(...document.adoptNode(fresh[index]).childNodes);
      part.querySelectorAll("details").forEach((one, number) => { one.open = open[number] ?? one.open; });
      if (focused >= 0) part.querySelectorAll("a, button, input, summary")[focused]?.focus();
    });
    const counts = page.querySelectorAll(".lw-nav");
    document.querySelectorAll(".lw-nav").forEach((nav, index) => {
      if (counts[index] && !nav.contains(document.activeElement) && nav.innerHTML !== counts[index].innerHTML) {
        nav.innerHTML = counts[index].innerHTML;
      }
    });
  };
  const again = () => setTimeout(async () => { await look(); again(); }, every);
  document.addEventListener("DOMContentLoaded", again);
})();
