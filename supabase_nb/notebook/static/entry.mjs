// Token entry: takes two tokens, or one paste that holds both, and hands them to the kernel once.
import { listen } from "./line.mjs";
import { followTheme, h, say, write } from "./shared.mjs";

/** @typedef {import("./line.mjs").Line} Line */
/** @typedef {import("./line.mjs").Model} Model */
/** @typedef {import("./line.mjs").News} News */
/** @typedef {import("./shared.mjs").Words} Words */

/** When tokens that the kernel has not taken yet need an explanation, in ms. */
const BUSY_AFTER = 2_000;

/**
 * Whether a text is more than one token. An input of one line would lose the line breaks between two.
 * @param {string} text
 */
export function holdsSeveral(text) {
  return /\S\s+\S|^\s*["'“”]?\s*[[({]|:\/\/|_token["']?\s*[=:]|auth-token|base64-|%7B|%22/i.test(text);
}

/**
 * The form in one place of the page.
 * @param {Model} model
 * @param {HTMLElement} el
 * @param {Line} line
 * @returns {() => void} stop
 */
function draw(model, el, line) {
  const words = /** @type {Words} */ (model.get("words"));
  // Not counted: each widget loads a module of its own, and ids have to differ on the whole page.
  const number = Math.random().toString(36).slice(2);
  const { shown } = line;
  const host = h("span", { class: "sb-host" });
  const message = h("p", { class: "sb-message", role: "status" });
  const help = h("p", { class: "sb-help", id: `sb-entry-help-${number}` }, say(words, "entry.help"));
  const slots = ["access", "refresh"].map((name) => h("div", { class: "sb-field" }, label(name), field(name)));
  const submit = h("button", { type: "button", class: "sb-button sb-main", onclick: send }, say(words, "entry.submit"));
  const cancel = h("button", { type: "button", class: "sb-button sb-quiet", onclick: () => open(false) });
  const other = h("button", { type: "button", class: "sb-button", onclick: () => open(true) });
  write(cancel, say(words, "entry.keep"));
  write(other, say(words, "entry.other"));
  const where = h(
    "details",
    { class: "sb-where" },
    h("summary", {}, say(words, "entry.where")),
    h("p", {}, say(words, "entry.where.open")),
    h("dl", {}, ...["storage", "cookies", "link"].flatMap(place)),
  );
  const fields = h("div", { class: "sb-fields" }, ...slots, help, where);
  // No <form>: browsers offer to remember what is sent with one.
  const root = h(
    "div",
    { class: "sb", "data-kind": "token_entry", role: "group", "aria-label": say(words, "entry.title") },
    h(
      "div",
      { class: "sb-head" },
      h("span", { class: "sb-mark", "aria-hidden": "true" }),
      h("span", { class: "sb-title" }, say(words, "entry.title")),
      host,
    ),
    fields,
    h("div", { class: "sb-foot" }, message, h("div", { class: "sb-buttons" }, cancel, other, submit)),
  );

  /** The submission under way; what is said about the last one; whether the person asked for the fields. */
  let asked = "";
  let spoken = "";
  let mood = "";
  let wanted = false;
  /** Whether the focus was in the fields when they closed: it goes to the button that opens them again. */
  let moveFocus = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let later;

  function label(/** @type {string} */ name) {
    return h("label", { for: `sb-entry-${name}-${number}` }, say(words, `entry.${name}`));
  }

  /** One place to find tokens in, and what to copy there. */
  function place(/** @type {string} */ name) {
    return [h("dt", {}, say(words, `entry.where.${name}`)), h("dd", {}, say(words, `entry.where.${name}.how`))];
  }

  // Uncontrolled: what is typed is in the field and nowhere else.
  function field(/** @type {string} */ name) {
    return h("input", {
      id: `sb-entry-${name}-${number}`,
      type: "password",
      placeholder: say(words, `entry.${name}.placeholder`),
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: "false",
      "aria-describedby": `sb-entry-help-${number}`,
      // Password managers that ignore `autocomplete`.
      "data-1p-ignore": true,
      "data-lpignore": "true",
      "data-bwignore": true,
      "data-form-type": "other",
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        if (event.key !== "Enter" || event.isComposing) return;
        event.preventDefault();
        event.stopPropagation(); // the notebook's own Enter
        send();
      },
      onpaste: (/** @type {ClipboardEvent} */ event) => take(event, event.clipboardData),
      ondrop: (/** @type {DragEvent} */ event) => take(event, event.dataTransfer),
    });
  }

  function inputs() {
    return slots.map((slot) => /** @type {HTMLInputElement} */ (slot.querySelector("input")));
  }

  /** A paste or drop that holds both tokens goes to the kernel at once: it never enters the page. */
  function take(/** @type {Event} */ event, /** @type {DataTransfer | null} */ data) {
    const text = data?.getData("text/plain") ?? "";
    if (!holdsSeveral(text)) return;
    event.preventDefault();
    submitTokens(text, "");
  }

  function send() {
    const [access = "", refresh = ""] = inputs().map((input) => input.value);
    if (!access.trim() && !refresh.trim()) {
      speak(say(words, "entry.empty"), "bad");
      inputs()[0]?.focus();
      return;
    }
    submitTokens(access, refresh);
  }

  function submitTokens(/** @type {string} */ access, /** @type {string} */ refresh) {
    if (asked || gone()) return;
    moveFocus = root.contains(focused());
    asked = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
    model.send({ type: "tokens", id: asked, access_token: access, refresh_token: refresh });
    empty();
    speak(say(words, "entry.sent"), "");
    later = setTimeout(() => speak(say(words, "entry.busy"), ""), BUSY_AFTER);
  }

  /** New fields: emptied ones would give their text back at Ctrl-Z. */
  function empty() {
    ["access", "refresh"].forEach((name, index) => inputs()[index]?.replaceWith(field(name)));
  }

  function focused() {
    return /** @type {Document | ShadowRoot} */ (root.getRootNode()).activeElement;
  }

  function gone() {
    return shown.life === "gone" || shown.life === "closed";
  }

  function speak(/** @type {string} */ text, /** @type {string} */ how) {
    clearTimeout(later);
    spoken = text;
    mood = how;
    show();
  }

  function open(/** @type {boolean} */ yes) {
    wanted = yes;
    empty();
    speak("", "");
    (yes ? inputs()[0] : other)?.focus();
  }

  function show() {
    const { view, life } = shown;
    const user = view?.status === "expired" ? null : view?.user;
    const closed = gone() || (Boolean(user) && !wanted && !asked);
    root.classList.toggle("sb-live", life === "live");
    if (view) root.classList.add("sb-shown");
    fields.hidden = closed;
    submit.hidden = closed;
    other.hidden = !closed || gone();
    cancel.hidden = closed || !user;
    submit.setAttribute("aria-disabled", String(Boolean(asked)));
    inputs().forEach((input) => (input.readOnly = Boolean(asked)));
    write(host, view?.host ?? "");
    const who = user?.name ?? say(words, user?.anonymous ? "user.anonymous" : "user.unnamed");
    const standing = user && closed ? say(words, "entry.in_force", { who }) : say(words, "entry.private");
    message.dataset.mood = gone() ? "" : mood || (user && closed ? "good" : "");
    const over = say(words, shown.life === "closed" ? "hint.closed" : "dead.never");
    write(message, gone() ? over : spoken || standing);
  }

  function hear(/** @type {News | null} */ news) {
    if (gone()) asked = "";
    if (asked && news && (news.type === "taken" || news.type === "answer") && news.id === asked) {
      if (news.type === "taken") return speak(say(words, "entry.checking"), "");
      asked = "";
      wanted = !news.ok;
      speak(news.text || say(words, "entry.failed"), news.ok ? "good" : "bad");
      moveFocus &&= news.ok;
      if (!news.ok) inputs()[0]?.focus();
      else follow();
      return;
    }
    show();
    follow();
  }

  /** The answer may come before the view that shows the button, which cannot have the focus until then. */
  function follow() {
    if (!moveFocus || asked || wanted || other.hidden) return;
    moveFocus = false;
    // Unless the person went elsewhere meanwhile.
    const now = focused();
    if (!now || now === document.body || root.contains(now)) other.focus();
  }

  el.append(root);
  const unfollow = followTheme(root);
  line.views.add(hear);
  show();
  line.hello();
  return () => {
    clearTimeout(later);
    line.views.delete(hear);
    unfollow();
    root.remove();
  };
}

export default () => {
  /** @type {Line | undefined} */
  let line;
  return {
    initialize(/** @type {{model: Model}} */ { model }) {
      line = listen(model);
      return () => line?.stop();
    },
    render(/** @type {{model: Model, el: HTMLElement}} */ { model, el }) {
      line ??= listen(model);
      return draw(model, el, line);
    },
  };
};
