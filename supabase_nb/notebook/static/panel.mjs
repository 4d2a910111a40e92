// The panel: all displays in one, with Refresh and Sign out, which ask the kernel.
import { badge, expiry, timeline, userCard } from "./parts.mjs";
import { h, moment, say, write } from "./shared.mjs";

/** @typedef {import("./shared.mjs").Words} Words */
/** @typedef {import("./parts.mjs").Part} Part */
/** @typedef {import("./parts.mjs").Shown} Shown */
/** @typedef {import("./line.mjs").Line} Line */
/** @typedef {import("./line.mjs").News} News */

/** When a wish that the kernel has not taken yet needs an explanation, and how long an answer stands, in ms. */
const BUSY_AFTER = 2_000;
const ANSWER_STANDS = 5_000;

/**
 * @param {Words} words
 * @param {Line} line
 * @returns {Part & {hear: (news: News | null) => void, free: () => void}}
 */
export function panel(words, line) {
  const state = badge(words);
  const user = userCard(words);
  const time = expiry(words);
  const events = timeline(words);
  const host = h("span", { class: "sb-host" });
  const count = h("span", { class: "sb-count" });
  const summary = h("summary", {}, say(words, "timeline.title"), count);
  const history = h("details", { class: "sb-history" }, summary, events.element);
  const notices = h("ul", { class: "sb-notices" });
  const message = h("p", { class: "sb-message", role: "status" });
  const refresh = h("button", { type: "button", class: "sb-button", onclick: () => ask("refresh") });
  const signOut = h(
    "button",
    { type: "button", class: "sb-button sb-quiet", onclick: () => ask("sign_out") },
    say(words, "panel.sign_out"),
  );
  const buttons = h("div", { class: "sb-buttons" }, refresh, signOut);
  const element = h(
    "div",
    { class: "sb-panel" },
    h(
      "div",
      { class: "sb-head" },
      h("span", { class: "sb-mark", "aria-hidden": "true" }),
      h("span", { class: "sb-title" }, say(words, "panel.title")),
      host,
      state.element,
    ),
    h("div", { class: "sb-body" }, user.element, time.element),
    notices,
    history,
    h("div", { class: "sb-foot" }, message, buttons),
  );

  /** The wish under way, and what is said about the last one. */
  let asked = { id: "", what: "" };
  let spoken = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let later;

  const speak = (/** @type {string} */ text) => {
    clearTimeout(later);
    spoken = text;
    showMessage();
  };
  const showMessage = () => {
    const { view, life } = line.shown;
    message.dataset.status = view && life === "live" ? view.status : "dead";
    write(message, spoken || explain(words, line.shown));
    const busy = Boolean(asked.id);
    refresh.setAttribute("aria-disabled", String(busy || !canRefresh(view)));
    signOut.setAttribute("aria-disabled", String(busy));
  };
  const ask = (/** @type {"refresh" | "sign_out"} */ what) => {
    if (asked.id || (what === "refresh" && !canRefresh(line.shown.view))) return;
    asked = { id: line.ask(what), what };
    speak(say(words, "panel.asked"));
    later = setTimeout(() => speak(say(words, "panel.busy")), BUSY_AFTER);
  };

  return {
    element,
    show(shown) {
      for (const part of [state, user, time, events]) part.show(shown);
      const { view, life } = shown;
      write(host, view?.host ?? "");
      write(count, String(view?.events.length ?? 0));
      history.hidden = !view?.events.length;
      notices.replaceChildren(...(view?.notices ?? []).map((notice) => h("li", {}, notice)));
      notices.hidden = !view?.notices.length;
      buttons.hidden = life !== "live" || !view?.user || view.status === "expired";
      write(refresh, say(words, view?.status === "retrying" ? "panel.retry" : "panel.refresh"));
      if (life !== "live") asked = { id: "", what: "" };
      if (life !== "live") speak("");
      showMessage();
    },
    tick: time.tick && ((shown, now) => time.tick?.(shown, now)),
    hear(news) {
      if (!asked.id || news === null || news.type === "view" || news.type === "closed") return;
      if (news.id !== asked.id) return;
      if (news.type === "taken") return speak(say(words, "panel.asked"));
      const done = asked.what === "refresh" ? "panel.refreshed" : "panel.signed_out";
      asked = { id: "", what: "" };
      speak(news.text || say(words, news.ok ? done : "panel.failed"));
      later = setTimeout(() => speak(""), ANSWER_STANDS);
    },
    free: () => clearTimeout(later),
  };
}

/**
 * What a person should know and do now.
 * @param {Words} words
 * @param {Shown} shown
 * @returns {string}
 */
export function explain(words, { view, at, life }) {
  if (life === "closed") return say(words, "hint.closed");
  if (!view) return say(words, life === "waiting" ? "dead.waiting" : "dead.never");
  if (life !== "live") {
    const status = say(words, `status.${view.status}`);
    return say(words, `dead.${life}`, { time: moment(at), status });
  }
  return view.message ?? words[`hint.${view.status}`] ?? "";
}

/** @param {import("./parts.mjs").View | null | undefined} view */
function canRefresh(view) {
  return Boolean(view?.refreshable) && view?.status !== "refreshing";
}
