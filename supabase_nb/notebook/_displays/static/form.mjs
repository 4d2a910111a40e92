// The form in the panel: collects credentials and sends them to the kernel once.
import { requestSender } from "./channel.mjs";
import { providerSignIn } from "./providers.mjs";
import { h, secretInput, setText, translate } from "./shared.mjs";

/** @typedef {import("./shared.mjs").Words} Words */
/** @typedef {import("./channel.mjs").Channel} Channel */
/** @typedef {import("./channel.mjs").Message} Message */
/** @typedef {import("./parts.mjs").Shown} Shown */
/**
 * @typedef {import("./providers.mjs").Provider} Provider
 * One way to sign in: a tab. The keys of its words start with `form.` and its name.
 * @typedef {object} Method
 * @property {string} name
 * @property {string} request the request to the kernel (`panel_requests.py`)
 * @property {string} [first] the request while the last field is empty
 * @property {{name: string, word: string, type: string, keep?: boolean, paste?: boolean}[]} fields `keep`: keep its
 *   value after a failure; `paste`: send a paste of several tokens to the kernel at once
 * @property {"all" | "any"} needs which fields have to be filled in
 */

/** @type {Method[]} */
const METHODS = [
  {
    name: "email",
    request: "sign_in_with_password",
    fields: [
      { name: "who", word: "who", type: "text", keep: true },
      { name: "password", word: "password", type: "password" },
    ],
    needs: "all",
  },
  {
    name: "code",
    request: "verify_code",
    first: "send_code",
    fields: [
      { name: "who", word: "who", type: "text", keep: true },
      { name: "code", word: "code", type: "password" },
    ],
    needs: "all",
  },
  {
    name: "tokens",
    request: "set_session",
    fields: [
      { name: "access_token", word: "access", type: "password", paste: true },
      { name: "refresh_token", word: "refresh", type: "password", paste: true },
    ],
    needs: "any",
  },
];

/**
 * Whether a text is more than one token. A one-line input would drop the line break between two.
 * @param {string} text
 */
export function containsSeveralTokens(text) {
  return /\S\s+\S|^\s*["'“”]?\s*[[({]|:\/\/|_token["']?\s*[=:]|auth-token|base64-|%7B|%22/i.test(text);
}

/**
 * @param {Words} words
 * @param {Channel} channel
 * @param {{opened: () => void, closed: (done: boolean, hadFocus: boolean) => void}} callbacks `done`: the user has
 *   signed in
 */
export function signInForm(words, channel, callbacks) {
  // Random, because each widget has its own copy of the module and ids must be unique on the page.
  const number = Math.random().toString(36).slice(2);
  const title = h("span", { class: "sb-form-title" });
  const cancel = h("button", { type: "button", class: "sb-button sb-quiet", onclick: () => close(false) });
  setText(cancel, translate(words, "form.cancel"));
  const tabs = h("div", { class: "sb-tabs", role: "tablist", "aria-label": translate(words, "form.methods") });
  const body = h("div", { class: "sb-fields", role: "tabpanel", id: `sb-form-${number}` });
  const message = h("p", { class: "sb-message", role: "status" });
  const submit = h("button", { type: "button", class: "sb-button sb-main", onclick: send });
  const foot = h("div", { class: "sb-foot" }, message, h("div", { class: "sb-buttons" }, submit));
  const providers = providerSignIn(words, channel, {
    isBusy: () => request.busy() || done,
    setMode: (mode) => {
      if (mode === providerMode) return; // what was said stays
      providerMode = mode;
      tabs.hidden = body.hidden = submit.hidden = Boolean(mode);
      cancel.hidden = mode === "waiting";
      showMessage("");
    },
    showMessage: (text, mood) => showMessage(text, mood),
    signedIn: (text) => signedIn(text),
    enableEmail: (on) => {
      METHODS.forEach(({ name }, index) => tabs.children[index]?.toggleAttribute("hidden", !on && name !== "tokens"));
      if (!on && method.name !== "tokens" && !providerMode) selectMethod(METHODS.length - 1, hasFocus());
    },
  });
  // Not a <form>, because browsers offer to save what is sent with one.
  const element = h(
    "div",
    { class: "sb-form", hidden: true },
    h("div", { class: "sb-head" }, title, cancel),
    tabs,
    body,
    foot,
    providers.element,
  );
  tabs.append(
    ...METHODS.map(({ name }, index) =>
      h(
        "button",
        {
          type: "button",
          role: "tab",
          id: `sb-tab-${name}-${number}`,
          "aria-controls": body.id,
          onclick: () => selectMethod(index, true),
          onkeydown: (/** @type {KeyboardEvent} */ event) => {
            const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
            if (!step) return;
            event.preventDefault();
            event.stopPropagation();
            const seen = /** @type {HTMLElement[]} */ ([...tabs.querySelectorAll("button:not([hidden])")]);
            const tab = seen.at((seen.indexOf(/** @type {HTMLElement} */ (tabs.children[index])) + step) % seen.length);
            tab?.click();
            tab?.focus();
          },
        },
        translate(words, `form.${name}`),
      ),
    ),
  );

  let method = /** @type {Method} */ (METHODS[0]);
  let done = false;
  /** Whether to show only a provider's button, or that we are waiting for its window. @type {"" | "only" | "waiting"} */
  let providerMode = "";
  let first = false; // whether the request only sends a code

  const request = requestSender(channel, (step, text) => {
    if (step === "sent") return showMessage(translate(words, "form.sent"));
    if (step === "busy") return showMessage(translate(words, "form.busy"));
    if (step === "taken") return showMessage(translate(words, "form.checking"));
    if (step === "failed") {
      showMessage(text || translate(words, "form.failed"), "bad");
      if (hasFocus())
        inputs()
          .find((input) => !input.value)
          ?.focus();
      return;
    }
    if (first) {
      showMessage(text, "good");
      if (hasFocus()) inputs().at(-1)?.focus();
      return;
    }
    signedIn(text);
  });

  /** The user has signed in. The next view, which shows the user, closes the form. */
  function signedIn(/** @type {string} */ text) {
    done = true;
    showMessage(text, "good");
    channel.requestView();
  }

  function inputs() {
    return [...body.querySelectorAll("input")];
  }

  function hasFocus() {
    const { activeElement } = /** @type {Document | ShadowRoot} */ (element.getRootNode());
    return element.contains(activeElement);
  }

  function showMessage(/** @type {string} */ text, mood = "") {
    setText(message, text);
    message.dataset.mood = mood;
    foot.hidden = providerMode === "waiting" || (providerMode === "only" && !text);
    updateControls();
  }

  function updateControls() {
    const busy = request.busy() || done;
    submit.setAttribute("aria-disabled", String(busy));
    inputs().forEach((input) => (input.readOnly = busy));
    if (!busy) setText(submit, translate(words, `form.${method.name}.${sendsCode() ? "send" : "submit"}`));
  }

  function sendsCode() {
    return Boolean(method.first) && !inputs().at(-1)?.value.trim();
  }

  /** Uncontrolled, so the text is only in the field. */
  function field(/** @type {Method["fields"][number]} */ { word, type, paste }) {
    return secretInput(
      {
        id: `sb-form-${word}-${number}`,
        type,
        placeholder: words[`form.${method.name}.${word}.placeholder`],
        oninput: updateControls,
        onpaste: paste && ((/** @type {ClipboardEvent} */ event) => interceptTokens(event, event.clipboardData)),
        ondrop: paste && ((/** @type {DragEvent} */ event) => interceptTokens(event, event.dataTransfer)),
      },
      send,
    );
  }

  function labeledField(/** @type {Method["fields"][number]} */ made) {
    const key = `form.${method.name}.${made.word}`;
    const label = h("label", { for: `sb-form-${made.word}-${number}` }, translate(words, key));
    const hint = words[`${key}.hint`];
    if (hint) label.append(" ", h("span", { class: "sb-hint" }, hint));
    return h("div", { class: "sb-field" }, label, field(made));
  }

  /** Where to find tokens, and what to copy there. */
  function whereToFindTokens() {
    const place = (/** @type {string} */ name) => [
      h("dt", {}, translate(words, `form.where.${name}`)),
      h("dd", {}, translate(words, `form.where.${name}.how`)),
    ];
    return h(
      "details",
      { class: "sb-where" },
      h("summary", {}, translate(words, "form.where")),
      h("p", {}, translate(words, "form.where.open")),
      h("dl", {}, ...["storage", "cookies", "link"].flatMap(place)),
      h("p", {}, translate(words, "form.where.close")),
    );
  }

  function selectMethod(/** @type {number} */ index, /** @type {boolean} */ focus) {
    if (request.busy()) return;
    method = METHODS[index] ?? method;
    [...tabs.children].forEach((tab, place) => {
      tab.setAttribute("aria-selected", String(place === index));
      tab.setAttribute("tabindex", place === index ? "0" : "-1");
    });
    body.setAttribute("aria-labelledby", `sb-tab-${method.name}-${number}`);
    const help = h("p", { class: "sb-help" }, translate(words, "form.private"));
    body.replaceChildren(
      ...method.fields.map(labeledField),
      help,
      ...(method.name === "tokens" ? [whereToFindTokens()] : []),
    );
    showMessage("");
    if (focus) inputs()[0]?.focus();
  }

  /** Send a paste or drop that contains both tokens to the kernel at once, so that it never enters the page. */
  function interceptTokens(/** @type {Event} */ event, /** @type {DataTransfer | null} */ data) {
    const text = data?.getData("text/plain") ?? "";
    if (!containsSeveralTokens(text)) return;
    event.preventDefault();
    submitFields({ access_token: text, refresh_token: "" });
  }

  function send() {
    if (request.busy() || providers.busy() || done) return;
    const values = inputs().map((input) => input.value);
    const empty = values.map((value) => !value.trim());
    if (sendsCode()) empty.pop();
    if (method.needs === "all" ? empty.some(Boolean) : empty.every(Boolean)) {
      showMessage(translate(words, `form.${method.name}.empty`), "bad");
      inputs()[empty.indexOf(true)]?.focus();
      return;
    }
    submitFields(Object.fromEntries(method.fields.map(({ name }, index) => [name, values[index] ?? ""])));
  }

  function submitFields(/** @type {Record<string, string>} */ fields) {
    if (request.busy() || providers.busy() || done) return;
    const hadFocus = hasFocus();
    first = sendsCode();
    // Use new fields, because Ctrl-Z would restore the text of emptied ones.
    method.fields.forEach((made, index) => made.keep || inputs()[index]?.replaceWith(field(made)));
    if (hadFocus) submit.focus();
    request.send((first && method.first) || method.request, fields);
  }

  /**
   * @param {string} name
   * @param {boolean} focus
   * @param {Provider | null} [provider]
   */
  function open(name, focus, provider = null) {
    element.hidden = false;
    done = false;
    selectMethod(
      METHODS.findIndex((each) => each.name === name),
      false,
    );
    providers.open(provider);
    callbacks.opened();
    if (focus) inputs()[0]?.focus();
  }

  function close(/** @type {boolean} */ signedIn) {
    if (element.hidden) return;
    const hadFocus = hasFocus();
    done = false;
    providers.cancelAttempt();
    element.hidden = true;
    body.replaceChildren();
    callbacks.closed(signedIn, hadFocus);
  }

  selectMethod(0, false);
  return {
    element,
    open,
    isOpen: () => !element.hidden,
    show(/** @type {Shown} */ { view, life }) {
      setText(title, translate(words, "form.title", { host: [view?.host, view?.client].filter(Boolean).join(" · ") }));
      if (done && life === "live" && view?.user && view.status !== "expired") close(true);
    },
    receive(/** @type {Message | null} */ message) {
      request.receive(message);
      providers.receive(message);
    },
    /** The kernel is gone. */
    reset() {
      request.reset();
      providers.reset();
      element.hidden = true;
      body.replaceChildren();
    },
  };
}
