// The part of the form below its fields: sign in with a provider, in a separate window, or as an anonymous user.
import { BUSY_AFTER_MS } from "./channel.mjs";
import { getReturnPage, receiveReturn, redirectToAdd } from "./return_page.mjs";
import { h, secretInput, setText, translate } from "./shared.mjs";

/** @typedef {import("./shared.mjs").Words} Words */
/** @typedef {import("./channel.mjs").Channel} Channel */
/** @typedef {import("./channel.mjs").Message} Message */
/**
 * @typedef {{name: string, label: string}} Provider
 * A sign-in in progress, and what it keeps open.
 * @typedef {object} Attempt
 * @property {Provider} provider
 * @property {Window | null} popup
 * @property {string} id the kernel's id for it, once the kernel has started it
 * @property {string} url
 * @property {string} page the page of the notebook's server that the window returns to, if there is one
 * @property {() => void} stopListening
 * @property {ReturnType<typeof setInterval>} [watching] checks whether the window is still open
 */

/** Up to this many buttons say "Continue with …". If there are more, they only name the provider. */
const SENTENCES = 3;

/**
 * @param {Words} words
 * @param {Channel} channel
 * @param {{isBusy: () => boolean, setMode: (mode: "" | "only" | "waiting") => void,
 *   showMessage: (text: string, mood?: string) => void, signedIn: (text: string) => void, enableEmail: (on: boolean) => void}} callbacks
 *   `setMode`: how much of the form is visible; `showMessage`: below the fields; `signedIn`: the user has signed in;
 *   `enableEmail`: whether the project accepts email addresses or phone numbers
 */
export function providerSignIn(words, channel, callbacks) {
  const number = Math.random().toString(36).slice(2);
  const choices = h("div", { class: "sb-choices", hidden: true });
  const title = h("p", { class: "sb-waiting-title" });
  const state = h("p", { class: "sb-help", role: "status" });
  const again = h("button", { type: "button", class: "sb-button", onclick: openAgain });
  const stop = h(
    "button",
    { type: "button", class: "sb-button sb-quiet", onclick: cancelAndFocus },
    translate(words, "form.cancel"),
  );
  const redirect = h("p", {}, translate(words, "form.provider.redirect"), " ", h("code", {}));
  const unreachable = h("p", {}, translate(words, "form.provider.unreachable"));
  const slot = h("div", { class: "sb-field" });
  const use = h(
    "button",
    { type: "button", class: "sb-button", onclick: finishWithField },
    translate(words, "form.provider.submit"),
  );
  const problem = h("p", { class: "sb-problem", role: "status" });
  const elsewhere = h(
    "details",
    { class: "sb-elsewhere" },
    h("summary", {}, translate(words, "form.provider.elsewhere")),
    redirect,
    unreachable,
    h("div", { class: "sb-elsewhere-row" }, slot, use),
    problem,
  );
  const waiting = h(
    "div",
    { class: "sb-waiting", hidden: true },
    h(
      "div",
      { class: "sb-waiting-head" },
      h("div", { class: "sb-spinner", "aria-hidden": "true" }),
      h("div", {}, title, state),
    ),
    elsewhere,
    h("div", { class: "sb-buttons" }, stop, again),
  );
  const element = h("div", { class: "sb-providers" }, choices, waiting);

  /** @type {{providers: Provider[], anonymous: boolean}} */
  let offered = { providers: [], anonymous: false };
  /** The one provider that a magic asked for. @type {Provider | null} */
  let preselected = null;
  /** Whether a new anonymous user was requested. A second request would create a second user. */
  let requestedAnonymous = false;
  /** @type {Attempt | null} */
  let attempt = null;
  /** What to do with the kernel's answer, by the request's id. @type {Map<string, (message: Answer) => void>} */
  const pending = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let busyTimer;

  /** @typedef {Extract<Message, {type: "answer"}>} Answer */

  /**
   * @param {string} what
   * @param {Record<string, string>} fields
   * @param {(message: Answer) => void} answered
   */
  function request(what, fields, answered) {
    pending.set(channel.send(what, fields), answered);
  }

  /**
   * Like `request`, for a request that the user waits for: says when the kernel is busy.
   * @param {string} what
   * @param {Record<string, string>} fields
   * @param {(message: Answer) => void} answered
   */
  function requestNow(what, fields, answered) {
    clearTimeout(busyTimer);
    busyTimer = setTimeout(() => showMessage(translate(words, "form.provider.busy")), BUSY_AFTER_MS);
    request(what, fields, (message) => {
      clearTimeout(busyTimer);
      answered(message);
    });
  }

  function showMessage(/** @type {string} */ text) {
    if (attempt) setText(state, text);
    else callbacks.showMessage(text);
  }

  // -- choices ----------------------------------------------------------------------------------------------

  function receiveOptions(/** @type {Answer} */ message) {
    if (!message.ok || !message.providers) return; // the form works without
    const before = JSON.stringify(offered);
    offered = { providers: message.providers, anonymous: Boolean(message.anonymous) };
    callbacks.enableEmail(message.email !== false);
    if (!attempt && !preselected && before !== JSON.stringify(offered)) showChoices();
  }

  function showChoices() {
    const { providers, anonymous } = offered;
    const listed = preselected ? [preselected] : providers;
    const sentences = listed.length <= SENTENCES;
    const buttons = listed.map((provider) => {
      const sentence = translate(words, "form.provider.continue", { provider: provider.label });
      const look = `sb-button sb-provider${preselected ? " sb-main" : ""}`;
      const label = sentences ? {} : { "aria-label": sentence };
      return h(
        "button",
        { type: "button", class: look, ...label, onclick: () => start(provider) },
        sentences ? sentence : provider.label,
      );
    });
    const or = h("p", { class: "sb-or" }, translate(words, sentences ? "form.providers.or" : "form.providers.or_with"));
    const list = h("div", { class: "sb-provider-list", "data-sentences": String(sentences) }, ...buttons);
    const link = (/** @type {string} */ key, /** @type {() => void} */ onclick) =>
      h("button", { type: "button", class: "sb-button sb-link", onclick }, translate(words, key));
    choices.replaceChildren(...(preselected ? [] : [or]), ...(buttons.length ? [list] : []));
    if (preselected) choices.append(link("form.provider.others", showAll));
    else if (anonymous) choices.append(link("form.provider.anonymous", signInAnonymously));
    choices.hidden = !buttons.length && !anonymous;
    callbacks.setMode(preselected ? "only" : "");
  }

  function showAll() {
    preselected = null;
    showChoices();
    callbacks.showMessage("");
  }

  function signInAnonymously() {
    if (callbacks.isBusy() || requestedAnonymous) return;
    requestedAnonymous = true;
    callbacks.showMessage(translate(words, "form.provider.asking"));
    requestNow("sign_in_anonymously", {}, (message) => {
      requestedAnonymous = false;
      if (message.ok) callbacks.signedIn(message.text);
      else callbacks.showMessage(message.text || translate(words, "form.failed"), "bad");
    });
  }

  // -- a sign-in ----------------------------------------------------------------------------------------------------

  function start(/** @type {Provider} */ provider) {
    if (callbacks.isBusy() || requestedAnonymous) return;
    cancelAttempt();
    // Open the window now, because browsers allow that only during a click.
    /** @type {Attempt} */
    const thisAttempt = {
      provider,
      popup: openWindow(translate(words, "form.provider.busy")),
      id: "",
      url: "",
      page: "",
      stopListening: () => {},
    };
    attempt = thisAttempt;
    choices.hidden = true;
    waiting.hidden = false;
    elsewhere.open = false;
    elsewhere.hidden = true;
    again.hidden = true;
    again.classList.remove("sb-main");
    stop.hidden = false;
    setText(title, translate(words, "form.provider.waiting", { provider: provider.label }));
    setText(state, translate(words, "form.provider.asking"));
    showProblem("");
    slot.replaceChildren(...field());
    callbacks.setMode("waiting");
    callbacks.showMessage("");
    stop.focus();
    void getReturnPage().then((page) => {
      if (attempt !== thisAttempt) return;
      thisAttempt.page = page;
      requestNow("begin_with_provider", { provider: provider.name, return_page: page }, (message) =>
        handleStarted(thisAttempt, message),
      );
    });
  }

  function handleStarted(/** @type {Attempt} */ thisAttempt, /** @type {Answer} */ message) {
    if (attempt !== thisAttempt) {
      if (message.attempt) channel.send("cancel_with_provider", { attempt: message.attempt });
      return;
    }
    if (!message.ok || !message.url || !message.attempt) return showFailure(message.text);
    thisAttempt.id = message.attempt;
    thisAttempt.url = message.url;
    thisAttempt.stopListening = thisAttempt.page
      ? receiveReturn(message.nonce ?? "", (address) => handleReturn(thisAttempt, address))
      : () => {};
    const toAdd = thisAttempt.page && redirectToAdd(thisAttempt.page);
    redirect.hidden = !toAdd;
    unreachable.hidden = Boolean(thisAttempt.page);
    setText(/** @type {Element} */ (redirect.lastElementChild), toAdd);
    elsewhere.hidden = false;
    again.hidden = false;
    setText(again, translate(words, "form.provider.again"));
    if (thisAttempt.popup && !thisAttempt.popup.closed) return loadSignInPage(thisAttempt, thisAttempt.popup);
    if (thisAttempt.popup) return handleClosed(thisAttempt);
    setText(state, translate(words, "form.provider.blocked"));
    setText(again, translate(words, "form.provider.open"));
    again.classList.add("sb-main");
    again.focus();
  }

  /** Load the sign-in page in the window. */
  function loadSignInPage(/** @type {Attempt} */ thisAttempt, /** @type {Window} */ popup) {
    thisAttempt.popup = popup;
    popup.location.replace(thisAttempt.url);
    setText(state, translate(words, "form.provider.window"));
    thisAttempt.watching = setInterval(() => popup.closed && handleClosed(thisAttempt), 1_000);
  }

  /** The window was closed, or a page in it cut its connection to us, in which case it may still return. */
  function handleClosed(/** @type {Attempt} */ thisAttempt) {
    clearInterval(thisAttempt.watching);
    setText(state, translate(words, "form.provider.closed"));
    elsewhere.open = true;
  }

  /** Open the sign-in page again: in a window if possible, otherwise in a tab. */
  function openAgain() {
    if (!attempt?.url) return;
    clearInterval(attempt.watching);
    attempt.popup?.close();
    const popup = openWindow("");
    if (popup) return loadSignInPage(attempt, popup);
    attempt.popup = null;
    // A link works even where scripts can't open windows (VS Code). It exists only for the click, because its URL
    // identifies this sign-in.
    const link = h("a", { href: attempt.url, target: "_blank", rel: "noopener noreferrer" });
    element.append(link);
    link.click();
    link.remove();
    setText(state, translate(words, "form.provider.window"));
    setText(again, translate(words, "form.provider.again"));
    again.classList.remove("sb-main");
    if (!attempt.page) elsewhere.open = true;
  }

  /** The window returned with this URL. */
  function handleReturn(/** @type {Attempt} */ thisAttempt, /** @type {string} */ address) {
    if (attempt !== thisAttempt) return;
    thisAttempt.popup?.close();
    clearInterval(thisAttempt.watching);
    setText(state, translate(words, "form.checking"));
    requestNow("finish_with_provider", { attempt: thisAttempt.id, returned_address: address }, (message) => {
      if (attempt !== thisAttempt) return;
      if (message.ok) return handleSignedIn(message.text);
      channel.send("cancel_with_provider", { attempt: thisAttempt.id });
      showFailure(message.text);
    });
  }

  /** The user has signed in. The next view, which shows the user, closes the form. */
  function handleSignedIn(/** @type {string} */ text) {
    closeAttempt();
    setText(state, text);
    elsewhere.hidden = again.hidden = stop.hidden = true;
    callbacks.signedIn(text);
  }

  /** Show the choices again, and an error. The user can retry at once. */
  function showFailure(/** @type {string} */ text) {
    const provider = attempt?.provider;
    const hadFocus = containsFocus(waiting);
    endAttempt();
    callbacks.showMessage(text || translate(words, "form.failed"), "bad");
    if (hadFocus) focusChoice(provider);
  }

  function cancelAndFocus() {
    const provider = attempt?.provider;
    cancelAttempt();
    focusChoice(provider);
  }

  function focusChoice(/** @type {Provider | undefined} */ provider) {
    const buttons = /** @type {HTMLElement[]} */ ([...choices.querySelectorAll(".sb-provider")]);
    (buttons.find((button) => button.textContent?.includes(provider?.label ?? "")) ?? buttons[0])?.focus();
  }

  /** Close everything that the page has open. */
  function closeAttempt() {
    clearTimeout(busyTimer);
    clearInterval(attempt?.watching);
    attempt?.stopListening();
    attempt?.popup?.close();
    attempt = null;
    slot.replaceChildren();
  }

  /** `closeAttempt`, then show the choices again. */
  function endAttempt() {
    closeAttempt();
    waiting.hidden = true;
    showChoices();
  }

  /** `endAttempt`, and cancel the sign-in in the kernel. */
  function cancelAttempt() {
    const id = attempt?.id;
    endAttempt();
    if (id) channel.send("cancel_with_provider", { attempt: id });
  }

  // -- pasting the URL, if the window ended up on another page ------------------------------------------------------

  function field() {
    const id = `sb-form-address-${number}`;
    const input = secretInput(
      {
        id,
        type: "password",
        onpaste: (/** @type {ClipboardEvent} */ event) => {
          const text = event.clipboardData?.getData("text/plain") ?? "";
          if (!/[?&#]\w+=/.test(text)) return;
          event.preventDefault();
          finishWith(text);
        },
      },
      finishWithField,
    );
    const hint = h("span", { class: "sb-hint" }, translate(words, "form.provider.address.hint"));
    return [h("label", { for: id }, translate(words, "form.provider.address"), " ", hint), input];
  }

  function finishWithField() {
    const text = slot.querySelector("input")?.value.trim() ?? "";
    slot.replaceChildren(...field());
    finishWith(text);
  }

  function finishWith(/** @type {string} */ address) {
    const thisAttempt = attempt;
    if (!thisAttempt) return;
    slot.querySelector("input")?.focus();
    if (!address) return showProblem(translate(words, "form.provider.address.empty"));
    showProblem(translate(words, "form.checking"), "");
    request("finish_with_provider", { attempt: thisAttempt.id, returned_address: address }, (message) => {
      if (attempt !== thisAttempt) return;
      if (message.ok) handleSignedIn(message.text);
      else showProblem(message.text || translate(words, "form.failed"));
    });
  }

  function showProblem(/** @type {string} */ text, mood = "bad") {
    setText(problem, text);
    problem.dataset.mood = mood;
  }

  function containsFocus(/** @type {Element} */ part) {
    const { activeElement } = /** @type {Document | ShadowRoot} */ (part.getRootNode());
    return part.contains(activeElement);
  }

  return {
    element,
    busy: () => requestedAnonymous,
    /** The form was opened. `first`: the provider that a magic asked for. */
    open(/** @type {Provider | null} */ first) {
      if (!attempt) {
        preselected = first;
        waiting.hidden = true;
        showChoices();
      }
      void getReturnPage().then((page) => request("sign_in_options", { return_page: page }, receiveOptions));
    },
    receive(/** @type {Message | null} */ message) {
      if (message?.type === "answer") {
        const answered = pending.get(message.id);
        pending.delete(message.id);
        answered?.(message);
      }
      if (message?.type === "taken" && pending.has(message.id)) clearTimeout(busyTimer);
      if (message?.type === "returned" && attempt && message.attempt === attempt.id) {
        if (message.ok) handleSignedIn(message.text);
        else showFailure(message.text);
      }
    },
    /** The form was closed. */
    cancelAttempt,
    /** The kernel is gone, so nothing can be cancelled there. */
    reset() {
      pending.clear();
      requestedAnonymous = false;
      closeAttempt();
    },
  };
}

/**
 * Open an empty window, which loads the sign-in page once the kernel has its URL. The window keeps its opener,
 * because we couldn't close it otherwise.
 * @param {string} text the text to show until then
 */
function openWindow(text) {
  const [width, height] = [500, 700];
  const left = Math.round(window.screenX + (window.outerWidth - width) / 2);
  const top = Math.round(window.screenY + (window.outerHeight - height) / 2);
  try {
    const popup = window.open("about:blank", "", `popup,width=${width},height=${height},left=${left},top=${top}`);
    if (!popup) return null;
    popup.document.body.style.font = "14px system-ui, sans-serif";
    popup.document.body.textContent = text;
    return popup;
  } catch {
    return null; // windows aren't allowed in this frame
  }
}
