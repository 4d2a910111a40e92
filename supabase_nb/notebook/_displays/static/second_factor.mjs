// The second factor in the panel: takes the six digits from an authenticator app, and sends them to the kernel once.
import { requestSender } from "./channel.mjs";
import { h, setText, translate } from "./shared.mjs";

/** @typedef {import("./shared.mjs").Words} Words */
/** @typedef {import("./channel.mjs").Channel} Channel */
/** @typedef {import("./parts.mjs").Shown} Shown */

/**
 * The six digits in what was typed or pasted; `null` if it has fewer or more.
 * @param {string} text
 */
export function sixDigits(text) {
  const digits = text.replace(/\D/g, "");
  return digits.length === 6 ? digits : null;
}

/**
 * @param {Words} words
 * @param {Channel} channel
 * @param {{changed: () => void, closed: (text: string, hadFocus: boolean) => void}} callbacks `closed`: the user
 *   has postponed or verified it; `text` is the message to show
 */
export function secondFactor(words, channel, callbacks) {
  const number = Math.random().toString(36).slice(2);
  const label = h(
    "label",
    { class: "sb-factor-title", for: `sb-factor-code-${number}` },
    translate(words, "factor.code"),
  );
  const app = h("select", { id: `sb-factor-app-${number}`, onchange: () => showMessage("") });
  const chooser = h(
    "span",
    { class: "sb-factor-app" },
    h("label", { for: app.id }, translate(words, "factor.app")),
    " ",
    app,
  );
  const verify = h(
    "button",
    { type: "button", class: "sb-button sb-main", onclick: send },
    translate(words, "factor.verify"),
  );
  const notNow = h(
    "button",
    { type: "button", class: "sb-button sb-quiet sb-later", onclick: () => close("") },
    translate(words, "factor.later"),
  );
  const slot = h("span", {}, field());
  const controls = h("div", { class: "sb-factor-entry" }, chooser, slot, verify, notNow);
  const message = h("p", { class: "sb-message", role: "status", id: `sb-factor-message-${number}` });
  const element = h(
    "div",
    { class: "sb-factor", role: "group", "aria-label": translate(words, "factor.title"), hidden: true },
    label,
    controls,
    message,
  );

  /** The session for which the user clicked "Not now". @type {string | null | undefined} */
  let postponedSession;
  /** What is asked for now. @type {import("./parts.mjs").View["second_factor"]} */
  let wanted = null;
  /** The id of the session that is shown. @type {string | null} */
  let session = null;
  let listed = "";
  let messageText = "";
  /** Whether it had the focus when the session was raised to aal2, before the answer arrived. */
  let hadFocusBefore = false;

  const request = requestSender(channel, (step, text) => {
    if (step === "sent") return showMessage(translate(words, "form.sent"));
    if (step === "busy") return showMessage(translate(words, "form.busy"));
    if (step === "taken") return showMessage(translate(words, "form.checking"));
    if (step === "done") return close(text);
    if (!wanted) return reset();
    showMessage(text || translate(words, "factor.failed"), "bad");
    if (hasFocus()) input()?.focus();
  });

  /** What is typed is kept in the field and nowhere else. */
  function field() {
    return h("input", {
      id: `sb-factor-code-${number}`,
      type: "text",
      inputmode: "numeric",
      autocomplete: "one-time-code",
      maxlength: 12, // "123 456", and what is copied along with it
      spellcheck: "false",
      "aria-describedby": `sb-factor-message-${number}`,
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        if (event.key !== "Enter" || event.isComposing) return;
        event.preventDefault();
        event.stopPropagation(); // the notebook's own Enter
        send();
      },
    });
  }

  function input() {
    return slot.querySelector("input");
  }

  function hasFocus() {
    const { activeElement } = /** @type {Document | ShadowRoot} */ (element.getRootNode());
    return element.contains(activeElement);
  }

  function showMessage(/** @type {string} */ text, mood = "") {
    messageText = text;
    message.dataset.mood = mood;
    const busy = request.busy();
    for (const button of [verify, notNow]) button.setAttribute("aria-disabled", String(busy));
    const code = input();
    if (code) code.readOnly = busy;
    app.disabled = busy;
    setText(message, messageText || (wanted?.apps.length ? translate(words, "factor.help") : ""));
  }

  function send() {
    if (request.busy()) return;
    const code = sixDigits(input()?.value ?? "");
    if (!code) {
      showMessage(translate(words, "factor.digits"), "bad");
      input()?.focus();
      return;
    }
    const hadFocus = hasFocus();
    // Replace the field, because Ctrl-Z would restore the text of a cleared one.
    slot.replaceChildren(field());
    if (hadFocus) verify.focus();
    request.send("verify_factor", { factor_id: app.value, code });
  }

  function close(/** @type {string} */ text) {
    if (request.busy()) return;
    const hadFocus = hasFocus() || hadFocusBefore;
    postponedSession = session;
    reset();
    callbacks.closed(text, hadFocus);
  }

  function reset() {
    hadFocusBefore = false;
    request.reset();
    slot.replaceChildren(field());
    showMessage("");
  }

  function updateApps() {
    const apps = wanted?.apps ?? [];
    const key = JSON.stringify(apps);
    if (key === listed) return; // the user may be choosing
    listed = key;
    const chosen = app.value;
    app.replaceChildren(
      ...apps.map(({ id, name }, index) =>
        h("option", { value: id }, name || translate(words, "factor.unnamed", { number: index + 1 })),
      ),
    );
    if (apps.some(({ id }) => id === chosen)) app.value = chosen;
    chooser.hidden = apps.length < 2;
  }

  return {
    element,
    /** Whether the session needs a second factor, shown or postponed. */
    isWanted: () => Boolean(wanted),
    isShown: () => Boolean(wanted) && postponedSession !== session,
    open() {
      postponedSession = undefined;
      callbacks.changed();
      (wanted?.other ? notNow : input())?.focus();
    },
    show(/** @type {Shown} */ { view, life }) {
      const now = view?.user?.session_id ?? null;
      wanted = (life === "live" && view?.second_factor) || null;
      if (now === session && !wanted && request.busy() && life === "live") {
        hadFocusBefore ||= hasFocus(); // it is about to be hidden; the answer is on its way
        return;
      }
      if (now !== session || !wanted) reset();
      session = now;
      updateApps();
      const kind = wanted?.other === "phone" ? "factor.phone" : "factor.other";
      setText(label, translate(words, wanted?.other ? kind : "factor.code"));
      element.dataset.other = String(Boolean(wanted?.other));
      for (const part of [slot, verify, message]) part.hidden = Boolean(wanted?.other);
      if (!messageText) showMessage("");
    },
    receive: request.receive,
    /** The kernel is gone. */
    reset,
  };
}
