// The panel: one card for the whole life of a session. It asks the kernel to sign in, refresh and sign out.
import { signInForm } from "./form.mjs";
import { requestSender } from "./channel.mjs";
import { secondFactor } from "./second_factor.mjs";
import { badge, expiry, explain, facts, latest, person, timeline } from "./parts.mjs";
import { h, say, write } from "./shared.mjs";

/** @typedef {import("./shared.mjs").Words} Words */
/** @typedef {import("./parts.mjs").Part} Part */
/** @typedef {import("./channel.mjs").Channel} Channel */
/** @typedef {import("./channel.mjs").News} News */

/** How long an answer stays, in ms. */
const ANSWER_STAYS = 5_000;
/** What notices look like, by the names they were set under. Events and the token's line say what the others do. */
const TONES = /** @type {Record<string, string>} */ ({
  set_auth: "warn",
  shared: "warn",
  detached: "warn",
  sign_out: "warn",
  storage: "",
  no_refresh_token: "",
});

/**
 * @param {Words} words
 * @param {Channel} channel
 * @param {boolean} asks whether to open the form at first, unless a user is signed in
 * @returns {Part & {receive: (news: News | null) => void, free: () => void}}
 */
export function panel(words, channel, asks) {
  const who = person(words);
  const state = badge(words);
  const token = expiry(words);
  const known = facts(words, { error: true });
  const events = timeline(words);
  const form = signInForm(words, channel, {
    opened: () => show(),
    closed: (/** @type {boolean} */ done, /** @type {boolean} */ hadFocus) => closed(done, hadFocus),
  });
  const factor = secondFactor(words, channel, {
    changed: () => show(),
    closed: (/** @type {string} */ text, /** @type {boolean} */ hadFocus) => {
      moveFocus = hadFocus;
      answer(text);
    },
  });

  const button = (/** @type {string} */ key, /** @type {string} */ look, /** @type {(event: Event) => void} */ onclick) =>
    h("button", { type: "button", class: `sb-button ${look}`, onclick }, say(words, key));
  /** The two that open the form: beside "Not signed in", and below a session that has ended. */
  const openers = (/** @type {string} */ signIn) => [
    button("panel.paste", "", (event) => enter("tokens", event)),
    button(signIn, "sb-main", (event) => enter("email", event)),
  ];
  const again = openers("panel.sign_in_again");
  const details = button("panel.details", "sb-quiet", () => toggle());
  const refresh = button("panel.refresh", "", () => ask("refresh"));
  const signOut = button("panel.sign_out", "sb-quiet", () => ask("sign_out"));
  const entrance = h("div", { class: "sb-buttons" }, ...openers("panel.sign_in"));
  const buttons = h("div", { class: "sb-buttons" }, details, refresh, ...again, signOut);

  /** What can be done about a notice. @type {Record<string, () => HTMLElement>} */
  const ACTIONS = {
    set_auth: () => button("panel.stop", "sb-link", () => ask("stop_set_auth")),
    shared: () => button("panel.sign_in", "sb-link", (event) => enter("email", event)),
  };

  const head = h("div", { class: "sb-head" }, who.element, entrance, state.element);
  const notices = h("ul", { class: "sb-notices" });
  const said = h("span", { role: "status" });
  const seconds = h("span", { "aria-hidden": "true" }); // not announced every second
  const message = h("p", { class: "sb-message" }, said, " ", seconds);
  const foot = h("div", { class: "sb-foot" }, message, buttons);
  const number = Math.random().toString(36).slice(2);
  const lift = h("p", { class: "sb-lift" }, `${say(words, "factor.title")}: `, button("factor.open", "sb-link", () => factor.open()));
  const more = h("div", { class: "sb-more", id: `sb-more-${number}` }, h("div", {}, known.element, lift), events.element);
  details.setAttribute("aria-controls", more.id);
  const label = say(words, "panel.title");
  const element = h("div", { class: "sb-panel", role: "group", "aria-label": label });
  element.append(head, notices, factor.element, token.element, foot, more, form.element);

  let spoken = "";
  /** Whether what was spoken is a failure. */
  let bad = false;
  let expanded = false;
  /** The notices that are shown. */
  let noticed = "";
  /** What had the focus when the form was opened. @type {HTMLElement | null} */
  let opener = null;
  /** Whether the focus is to move on to the panel's buttons, once they are there. */
  let moveFocus = false;
  let wanted = asks || channel.isToOpen();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let later;

  const speak = (/** @type {string} */ text, failed = false) => {
    clearTimeout(later);
    spoken = text;
    bad = failed;
    show();
  };
  const request = requestSender(channel, (step, text) => {
    if (step === "busy") return speak(say(words, "panel.busy"));
    if (step === "sent" || step === "taken") return speak(say(words, "panel.asked"));
    // The panel itself says that the server isn't responding, and when it tries again.
    if (step === "failed" && channel.shown.view?.status === "retrying") return speak("");
    answer(text || say(words, "panel.failed"), step === "failed");
  });

  function answer(/** @type {string} */ text, failed = false) {
    speak(text, failed);
    later = setTimeout(() => speak(""), ANSWER_STAYS);
  }

  function ask(/** @type {"refresh" | "sign_out" | "stop_set_auth"} */ what) {
    if (!request.busy() && (what !== "refresh" || canRefresh())) request.ask(what);
  }

  function canRefresh() {
    return Boolean(channel.shown.view?.refreshable) && channel.shown.view?.status !== "refreshing";
  }

  function enter(/** @type {string} */ method, /** @type {Event} */ event) {
    if (form.isOpen()) return;
    opener = /** @type {HTMLElement} */ (event.currentTarget);
    form.open(method, true);
  }

  function closed(/** @type {boolean} */ done, /** @type {boolean} */ hadFocus) {
    moveFocus = done && hadFocus;
    show();
    if (!done && hadFocus) opener?.focus();
  }

  function toggle() {
    expanded = !expanded;
    show();
  }

  function show() {
    const { shown } = channel;
    const { view, life } = shown;
    const live = life === "live";
    const user = view?.user ?? null;
    if (live && view && wanted) {
      wanted = false;
      if (!user || channel.isToOpen()) form.open("tokens", false, channel.provider());
    }
    if (!live) {
      request.drop();
      spoken = "";
      form.drop();
      factor.drop();
    }
    form.show(shown);
    factor.show(shown);
    const open = form.isOpen();
    for (const part of [who, state, token, known, events]) part.show(shown);

    const over = view?.status === "expired";
    head.hidden = open;
    entrance.hidden = !live || Boolean(user);
    state.element.hidden = live && !user;
    factor.element.hidden = open || !factor.isShown();
    lift.hidden = !factor.isWanted() || factor.isShown();
    token.element.hidden = open || !user;
    foot.hidden = open || !user;
    more.hidden = open || !user || !live || over || !expanded;
    element.dataset.empty = String(!user);

    const usable = live && Boolean(user);
    details.hidden = !usable || over;
    details.setAttribute("aria-expanded", String(expanded));
    refresh.hidden = !usable || over || !view?.refreshable;
    signOut.hidden = !usable || over;
    for (const each of again) each.hidden = !usable || !over;
    write(refresh, say(words, view?.status === "retrying" ? "panel.retry" : "panel.refresh"));
    refresh.setAttribute("aria-disabled", String(request.busy() || !canRefresh()));
    signOut.setAttribute("aria-disabled", String(request.busy()));

    showNotices(shown);
    // Without a user there is no foot: what there is to say is below "Not signed in".
    const aside = user ? "" : explain(words, shown) || latest(words, shown);
    if (!user && aside) who.element.querySelector(".sb-about")?.replaceChildren([view?.host, view?.client, aside].filter(Boolean).join(" · "));
    const tone = !live ? "" : bad || over ? "bad" : view?.status === "retrying" || (view?.message && !spoken) ? "warn" : "";
    foot.dataset.tone = tone;
    tick();
    if (moveFocus && !open && usable && !details.hidden) {
      moveFocus = false;
      details.focus();
    }
  }

  function tick(now = Date.now()) {
    const { shown } = channel;
    const { view, due, life } = shown;
    const retrying = life === "live" && view?.status === "retrying" && !spoken;
    write(said, spoken || (retrying ? say(words, "panel.retrying") : explain(words, shown)) || latest(words, shown));
    const left = due === null ? 0 : Math.ceil((due - now) / 1000);
    const again = left > 0 ? say(words, "panel.retrying_in", { seconds: left }) : say(words, "panel.retrying_now");
    write(seconds, retrying ? again : "");
  }

  function showNotices(/** @type {import("./parts.mjs").Shown} */ { view, life }) {
    const told = (life === "live" && view?.notices ? view.notices : [])
      .map(({ name, text }) => ({ name, text, tone: TONES[name] ?? "calm" }))
      .filter(({ tone }) => tone);
    if (life === "live" && view?.secret_key) told.unshift({ name: "", text: say(words, "panel.secret_key"), tone: "bad" });
    // Problems of storage, which outlive a sign-out.
    if (life === "live" && view?.message && !view.user) told.unshift({ name: "", text: view.message, tone: "warn" });
    notices.hidden = !told.length;
    const key = JSON.stringify(told);
    if (key === noticed) return; // a button in it may have the focus
    noticed = key;
    notices.replaceChildren(
      ...told.map(({ name, text, tone }) => {
        const act = ACTIONS[name]?.();
        return h("li", { "data-tone": tone }, text, ...(act ? [" ", act] : []));
      }),
    );
  }

  return {
    element,
    show,
    tick(shown, now) {
      token.tick?.(shown, now);
      tick(now);
    },
    receive(news) {
      request.receive(news);
      form.receive(news);
      factor.receive(news);
      if (news?.type === "open") form.open("tokens", false, channel.provider());
    },
    free() {
      clearTimeout(later);
      request.drop();
      form.drop();
      factor.drop();
    },
  };
}
