// The panel: one card for all states of a session. It sends requests to sign in, refresh and sign out to the kernel.
import { signInForm } from "./form.mjs";
import { requestSender } from "./channel.mjs";
import { secondFactor } from "./second_factor.mjs";
import { badge, expiry, facts, hintText, latestEventText, person, timeline } from "./parts.mjs";
import { h, setText, translate } from "./shared.mjs";

/** @typedef {import("./shared.mjs").Words} Words */
/** @typedef {import("./parts.mjs").Part} Part */
/** @typedef {import("./channel.mjs").Channel} Channel */
/** @typedef {import("./channel.mjs").Message} Message */

/** How long a result stays visible, in ms. */
const RESULT_SHOWN_MS = 5_000;
/** How notices look, by their names. The others aren't shown, because events and the token's line say the same. */
const TONES = /** @type {Record<string, string>} */ ({
  set_auth: "warn",
  shared: "warn",
  name_taken: "warn",
  sign_out: "warn",
  storage: "",
  no_refresh_token: "",
});

/**
 * @param {Words} words
 * @param {Channel} channel
 * @param {boolean} opensForm whether to open the form at first, unless a user is signed in
 * @returns {Part & {receive: (message: Message | null) => void, dispose: () => void}}
 */
export function panel(words, channel, opensForm) {
  const who = person(words);
  const state = badge(words);
  const token = expiry(words);
  const factList = facts(words, { error: true });
  const events = timeline(words);
  const form = signInForm(words, channel, {
    opened: () => show(),
    closed: (/** @type {boolean} */ done, /** @type {boolean} */ hadFocus) => closed(done, hadFocus),
  });
  const factor = secondFactor(words, channel, {
    changed: () => show(),
    closed: (/** @type {string} */ text, /** @type {boolean} */ hadFocus) => {
      moveFocus = hadFocus;
      showResult(text);
    },
  });

  /**
   * @param {string} key
   * @param {string} look
   * @param {(event: Event) => void} onclick
   */
  const button = (key, look, onclick) =>
    h("button", { type: "button", class: `sb-button ${look}`, onclick }, translate(words, key));
  /** The two buttons that open the form: next to "Not signed in", and below a session that has ended. */
  const formButtons = (/** @type {string} */ signIn) => [
    button("panel.paste", "", (event) => openForm("tokens", event)),
    button(signIn, "sb-main", (event) => openForm("email", event)),
  ];
  const expiredButtons = formButtons("panel.sign_in_again");
  const details = button("panel.details", "sb-quiet", () => toggle());
  const refresh = button("panel.refresh", "", () => sendRequest("refresh"));
  const signOut = button("panel.sign_out", "sb-quiet", () => sendRequest("sign_out"));
  const signedOutButtons = h("div", { class: "sb-buttons" }, ...formButtons("panel.sign_in"));
  const buttons = h("div", { class: "sb-buttons" }, details, refresh, ...expiredButtons, signOut);

  /** Buttons for notices, by their names. @type {Record<string, () => HTMLElement>} */
  const ACTIONS = {
    set_auth: () => button("panel.stop", "sb-link", () => sendRequest("stop_set_auth")),
    shared: () => button("panel.sign_in", "sb-link", (event) => openForm("email", event)),
  };

  const head = h("div", { class: "sb-head" }, who.element, signedOutButtons, state.element);
  const notices = h("ul", { class: "sb-notices" });
  const messageElement = h("span", { role: "status" });
  const countdown = h("span", { "aria-hidden": "true" }); // not announced every second
  const message = h("p", { class: "sb-message" }, messageElement, " ", countdown);
  const foot = h("div", { class: "sb-foot" }, message, buttons);
  const number = Math.random().toString(36).slice(2);
  const verifyLink = h(
    "p",
    { class: "sb-lift" },
    `${translate(words, "factor.title")}: `,
    button("factor.open", "sb-link", () => factor.open()),
  );
  const more = h(
    "div",
    { class: "sb-more", id: `sb-more-${number}` },
    h("div", {}, factList.element, verifyLink),
    events.element,
  );
  details.setAttribute("aria-controls", more.id);
  const label = translate(words, "panel.title");
  const element = h("div", { class: "sb-panel", role: "group", "aria-label": label });
  element.append(head, notices, factor.element, token.element, foot, more, form.element);

  let messageText = "";
  /** Whether the shown message is an error. */
  let isError = false;
  let expanded = false;
  /** The notices that are shown. */
  let shownNotices = "";
  /** The element that had the focus when the form was opened. @type {HTMLElement | null} */
  let opener = null;
  /** Whether to move the focus to the panel's buttons once they are visible. */
  let moveFocus = false;
  let openWhenLive = opensForm || channel.shouldOpen();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let messageTimer;

  const showMessage = (/** @type {string} */ text, failed = false) => {
    clearTimeout(messageTimer);
    messageText = text;
    isError = failed;
    show();
  };
  const request = requestSender(channel, (step, text) => {
    if (step === "busy") return showMessage(translate(words, "panel.busy"));
    if (step === "sent" || step === "taken") return showMessage(translate(words, "panel.asked"));
    // The panel itself says that the server isn't responding, and when it tries again.
    if (step === "failed" && channel.shown.view?.status === "retrying") return showMessage("");
    showResult(text || translate(words, "panel.failed"), step === "failed");
  });

  function showResult(/** @type {string} */ text, failed = false) {
    showMessage(text, failed);
    messageTimer = setTimeout(() => showMessage(""), RESULT_SHOWN_MS);
  }

  function sendRequest(/** @type {"refresh" | "sign_out" | "stop_set_auth"} */ what) {
    if (!request.busy() && (what !== "refresh" || canRefresh())) request.send(what);
  }

  function canRefresh() {
    return Boolean(channel.shown.view?.refreshable) && channel.shown.view?.status !== "refreshing";
  }

  function openForm(/** @type {string} */ method, /** @type {Event} */ event) {
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
    if (live && view && openWhenLive) {
      openWhenLive = false;
      if (!user || channel.shouldOpen()) form.open("tokens", false, channel.provider());
    }
    if (!live) {
      request.reset();
      messageText = "";
      form.reset();
      factor.reset();
    }
    form.show(shown);
    factor.show(shown);
    const open = form.isOpen();
    for (const part of [who, state, token, factList, events]) part.show(shown);

    const expired = view?.status === "expired";
    head.hidden = open;
    signedOutButtons.hidden = !live || Boolean(user);
    state.element.hidden = live && !user;
    factor.element.hidden = open || !factor.isShown();
    verifyLink.hidden = !factor.isWanted() || factor.isShown();
    token.element.hidden = open || !user;
    foot.hidden = open || !user;
    more.hidden = open || !user || !live || expired || !expanded;
    element.dataset.empty = String(!user);

    const usable = live && Boolean(user);
    details.hidden = !usable || expired;
    details.setAttribute("aria-expanded", String(expanded));
    refresh.hidden = !usable || expired || !view?.refreshable;
    signOut.hidden = !usable || expired;
    for (const each of expiredButtons) each.hidden = !usable || !expired;
    setText(refresh, translate(words, view?.status === "retrying" ? "panel.retry" : "panel.refresh"));
    refresh.setAttribute("aria-disabled", String(request.busy() || !canRefresh()));
    signOut.setAttribute("aria-disabled", String(request.busy()));

    showNotices(shown);
    // Without a user, there is no footer. Messages are below "Not signed in".
    const aside = user ? "" : hintText(words, shown) || latestEventText(words, shown);
    if (!user && aside)
      who.element
        .querySelector(".sb-about")
        ?.replaceChildren([view?.host, view?.client, aside].filter(Boolean).join(" · "));
    const tone = !live
      ? ""
      : isError || expired
        ? "bad"
        : view?.status === "retrying" || (view?.message && !messageText)
          ? "warn"
          : "";
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
    const retrying = life === "live" && view?.status === "retrying" && !messageText;
    setText(
      messageElement,
      messageText ||
        (retrying ? translate(words, "panel.retrying") : hintText(words, shown)) ||
        latestEventText(words, shown),
    );
    const left = due === null ? 0 : Math.ceil((due - now) / 1000);
    const again =
      left > 0 ? translate(words, "panel.retrying_in", { seconds: left }) : translate(words, "panel.retrying_now");
    setText(countdown, retrying ? again : "");
  }

  function showNotices(/** @type {import("./parts.mjs").Shown} */ { view, life }) {
    const items = (life === "live" && view?.notices ? view.notices : [])
      .map(({ name, text }) => ({ name, text, tone: TONES[name] ?? "calm" }))
      .filter(({ tone }) => tone);
    if (life === "live" && view?.secret_key)
      items.unshift({ name: "", text: translate(words, "panel.secret_key"), tone: "bad" });
    // Storage problems, which remain after a sign-out.
    if (life === "live" && view?.message && !view.user) items.unshift({ name: "", text: view.message, tone: "warn" });
    notices.hidden = !items.length;
    const key = JSON.stringify(items);
    if (key === shownNotices) return; // a button in it may have the focus
    shownNotices = key;
    notices.replaceChildren(
      ...items.map(({ name, text, tone }) => {
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
    receive(message) {
      request.receive(message);
      form.receive(message);
      factor.receive(message);
      if (message?.type === "open") form.open("tokens", false, channel.provider());
    },
    dispose() {
      clearTimeout(messageTimer);
      request.reset();
      form.reset();
      factor.reset();
    },
  };
}
