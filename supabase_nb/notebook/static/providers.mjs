// The part of the form below its fields: sign in with a provider, in a separate window, or as an anonymous user.
import { pageToReturnTo, receiveReturn, redirectToAdd } from "./return_page.mjs";
import { h, say, unrememberedInput, write } from "./shared.mjs";

/** @typedef {import("./shared.mjs").Words} Words */
/** @typedef {import("./channel.mjs").Channel} Channel */
/** @typedef {import("./channel.mjs").News} News */
/** @typedef {{name: string, label: string}} Provider */
/**
 * A sign-in in progress, and what it keeps open.
 * @typedef {object} Attempt
 * @property {Provider} provider
 * @property {Window | null} popup
 * @property {string} id the kernel's id for it, once the kernel has started it
 * @property {string} url
 * @property {string} page the page of the notebook's server that the window comes back to, if there is one
 * @property {() => void} stopListening
 * @property {ReturnType<typeof setInterval>} [watching] whether the window is still there
 */

/** When to explain why the kernel hasn't received a request yet, in ms. */
const BUSY_AFTER_MS = 2_000;
/** Up to this many buttons say "Continue with …". If there are more, they only name the provider. */
const SENTENCES = 3;

/**
 * @param {Words} words
 * @param {Channel} channel
 * @param {{busy: () => boolean, mode: (mode: "" | "only" | "waiting") => void,
 *   say: (text: string, mood?: string) => void, done: (text: string) => void, email: (on: boolean) => void}} callbacks
 *   `mode`: how much of the form is visible; `say`: shows a message below the fields; `done`: the user has signed in;
 *   `email`: whether the project accepts email addresses or phone numbers
 */
export function providerSignIn(words, channel, callbacks) {
  const number = Math.random().toString(36).slice(2);
  const choices = h("div", { class: "sb-choices", hidden: true });
  const title = h("p", { class: "sb-waiting-title" });
  const state = h("p", { class: "sb-help", role: "status" });
  const again = h("button", { type: "button", class: "sb-button", onclick: openAgain });
  const stop = h("button", { type: "button", class: "sb-button sb-quiet", onclick: giveUp }, say(words, "form.cancel"));
  const redirect = h("p", {}, say(words, "form.provider.redirect"), " ", h("code", {}));
  const unreachable = h("p", {}, say(words, "form.provider.unreachable"));
  const slot = h("div", { class: "sb-field" });
  const use = h("button", { type: "button", class: "sb-button", onclick: finishWithField }, say(words, "form.provider.submit"));
  const problem = h("p", { class: "sb-problem", role: "status" });
  const elsewhere = h(
    "details",
    { class: "sb-elsewhere" },
    h("summary", {}, say(words, "form.provider.elsewhere")),
    redirect,
    unreachable,
    h("div", { class: "sb-elsewhere-row" }, slot, use),
    problem,
  );
  const waiting = h(
    "div",
    { class: "sb-waiting", hidden: true },
    h("div", { class: "sb-waiting-head" }, h("div", { class: "sb-spinner", "aria-hidden": "true" }), h("div", {}, title, state)),
    elsewhere,
    h("div", { class: "sb-buttons" }, stop, again),
  );
  const element = h("div", { class: "sb-providers" }, choices, waiting);

  /** @type {{providers: Provider[], anonymous: boolean}} */
  let offered = { providers: [], anonymous: false };
  /** The one provider that a magic asked for. @type {Provider | null} */
  let only = null;
  /** Whether a new anonymous user was requested. A second request would create a second user. */
  let anonymously = false;
  /** @type {Attempt | null} */
  let attempt = null;
  /** What to do with the kernel's answer, by the request's id. @type {Map<string, (news: Answer) => void>} */
  const asked = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let later;

  /** @typedef {Extract<News, {type: "answer"}>} Answer */

  function ask(/** @type {string} */ what, /** @type {Record<string, string>} */ fields, /** @type {(news: Answer) => void} */ answered) {
    asked.set(channel.ask(what, fields), answered);
  }

  /** Like `ask`, for a request that the user waits for: says when the kernel is busy. */
  function askNow(/** @type {string} */ what, /** @type {Record<string, string>} */ fields, /** @type {(news: Answer) => void} */ answered) {
    clearTimeout(later);
    later = setTimeout(() => speak(say(words, "form.provider.busy")), BUSY_AFTER_MS);
    ask(what, fields, (news) => {
      clearTimeout(later);
      answered(news);
    });
  }

  function speak(/** @type {string} */ text) {
    if (attempt) write(state, text);
    else callbacks.say(text);
  }

  // -- what is offered ----------------------------------------------------------------------------------------------

  function learn(/** @type {Answer} */ news) {
    if (!news.ok || !news.providers) return; // the form works without
    const known = JSON.stringify(offered);
    offered = { providers: news.providers, anonymous: Boolean(news.anonymous) };
    callbacks.email(news.email !== false);
    if (!attempt && !only && known !== JSON.stringify(offered)) offer();
  }

  function offer() {
    const { providers, anonymous } = offered;
    const whole = only ? [only] : providers;
    const sentences = whole.length <= SENTENCES;
    const buttons = whole.map((provider) => {
      const sentence = say(words, "form.provider.continue", { provider: provider.label });
      const look = `sb-button sb-provider${only ? " sb-main" : ""}`;
      const label = sentences ? {} : { "aria-label": sentence };
      return h("button", { type: "button", class: look, ...label, onclick: () => begin(provider) }, sentences ? sentence : provider.label);
    });
    const or = h("p", { class: "sb-or" }, say(words, sentences ? "form.providers.or" : "form.providers.or_with"));
    const list = h("div", { class: "sb-provider-list", "data-sentences": String(sentences) }, ...buttons);
    const link = (/** @type {string} */ key, /** @type {() => void} */ onclick) =>
      h("button", { type: "button", class: "sb-button sb-link", onclick }, say(words, key));
    choices.replaceChildren(...(only ? [] : [or]), ...(buttons.length ? [list] : []));
    if (only) choices.append(link("form.provider.others", showAll));
    else if (anonymous) choices.append(link("form.provider.anonymous", signInAnonymously));
    choices.hidden = !buttons.length && !anonymous;
    callbacks.mode(only ? "only" : "");
  }

  function showAll() {
    only = null;
    offer();
    callbacks.say("");
  }

  function signInAnonymously() {
    if (callbacks.busy() || anonymously) return;
    anonymously = true;
    callbacks.say(say(words, "form.provider.asking"));
    askNow("sign_in_anonymously", {}, (news) => {
      anonymously = false;
      if (news.ok) callbacks.done(news.text);
      else callbacks.say(news.text || say(words, "form.failed"), "bad");
    });
  }

  // -- a sign-in ----------------------------------------------------------------------------------------------------

  function begin(/** @type {Provider} */ provider) {
    if (callbacks.busy() || anonymously) return;
    drop();
    // Open the window now, because browsers allow that only during a click.
    /** @type {Attempt} */
    const mine = { provider, popup: openWindow(say(words, "form.provider.busy")), id: "", url: "", page: "", stopListening: () => {} };
    attempt = mine;
    choices.hidden = true;
    waiting.hidden = false;
    elsewhere.open = false;
    elsewhere.hidden = true;
    again.hidden = true;
    again.classList.remove("sb-main");
    stop.hidden = false;
    write(title, say(words, "form.provider.waiting", { provider: provider.label }));
    write(state, say(words, "form.provider.asking"));
    complain("");
    slot.replaceChildren(...field());
    callbacks.mode("waiting");
    callbacks.say("");
    stop.focus();
    void pageToReturnTo().then((page) => {
      if (attempt !== mine) return;
      mine.page = page;
      askNow("begin_with_provider", { provider: provider.name, return_page: page }, (news) => begun(mine, news));
    });
  }

  function begun(/** @type {Attempt} */ mine, /** @type {Answer} */ news) {
    if (attempt !== mine) {
      if (news.attempt) channel.ask("cancel_with_provider", { attempt: news.attempt });
      return;
    }
    if (!news.ok || !news.url || !news.attempt) return fail(news.text);
    mine.id = news.attempt;
    mine.url = news.url;
    mine.stopListening = mine.page ? receiveReturn(news.nonce ?? "", (address) => came(mine, address)) : () => {};
    const toAdd = mine.page && redirectToAdd(mine.page);
    redirect.hidden = !toAdd;
    unreachable.hidden = Boolean(mine.page);
    write(/** @type {Element} */ (redirect.lastElementChild), toAdd);
    elsewhere.hidden = false;
    again.hidden = false;
    write(again, say(words, "form.provider.again"));
    if (mine.popup && !mine.popup.closed) return lead(mine, mine.popup);
    if (mine.popup) return closed(mine);
    write(state, say(words, "form.provider.blocked"));
    write(again, say(words, "form.provider.open"));
    again.classList.add("sb-main");
    again.focus();
  }

  /** Load the sign-in page in the window. */
  function lead(/** @type {Attempt} */ mine, /** @type {Window} */ popup) {
    mine.popup = popup;
    popup.location.replace(mine.url);
    write(state, say(words, "form.provider.window"));
    mine.watching = setInterval(() => popup.closed && closed(mine), 1_000);
  }

  /** The window was closed, or a page in it cut its connection to us, in which case it may still return. */
  function closed(/** @type {Attempt} */ mine) {
    clearInterval(mine.watching);
    write(state, say(words, "form.provider.closed"));
    elsewhere.open = true;
  }

  /** Open the sign-in page again: in a window if possible, otherwise in a tab. */
  function openAgain() {
    if (!attempt?.url) return;
    clearInterval(attempt.watching);
    attempt.popup?.close();
    const popup = openWindow("");
    if (popup) return lead(attempt, popup);
    attempt.popup = null;
    // A link works even where scripts can't open windows (VS Code). It exists only for the click, because its address
    // identifies this sign-in.
    const link = h("a", { href: attempt.url, target: "_blank", rel: "noopener noreferrer" });
    element.append(link);
    link.click();
    link.remove();
    write(state, say(words, "form.provider.window"));
    write(again, say(words, "form.provider.again"));
    again.classList.remove("sb-main");
    if (!attempt.page) elsewhere.open = true;
  }

  /** The window came back with this address. */
  function came(/** @type {Attempt} */ mine, /** @type {string} */ address) {
    if (attempt !== mine) return;
    mine.popup?.close();
    clearInterval(mine.watching);
    write(state, say(words, "form.checking"));
    askNow("finish_with_provider", { attempt: mine.id, returned_address: address }, (news) => {
      if (attempt !== mine) return;
      if (news.ok) return done(news.text);
      channel.ask("cancel_with_provider", { attempt: mine.id });
      fail(news.text);
    });
  }

  /** The user has signed in. The next view, which shows the user, closes the form. */
  function done(/** @type {string} */ text) {
    leave();
    write(state, text);
    elsewhere.hidden = again.hidden = stop.hidden = true;
    callbacks.done(text);
  }

  /** Show the choices again, and an error. The user can retry at once. */
  function fail(/** @type {string} */ text) {
    const provider = attempt?.provider;
    const hadFocus = focused(waiting);
    end();
    callbacks.say(text || say(words, "form.failed"), "bad");
    if (hadFocus) focus(provider);
  }

  function giveUp() {
    const provider = attempt?.provider;
    drop();
    focus(provider);
  }

  function focus(/** @type {Provider | undefined} */ provider) {
    const buttons = /** @type {HTMLElement[]} */ ([...choices.querySelectorAll(".sb-provider")]);
    (buttons.find((button) => button.textContent?.includes(provider?.label ?? "")) ?? buttons[0])?.focus();
  }

  /** Close everything that the page has open. */
  function leave() {
    clearTimeout(later);
    clearInterval(attempt?.watching);
    attempt?.stopListening();
    attempt?.popup?.close();
    attempt = null;
    slot.replaceChildren();
  }

  /** `leave`, then show the choices again. */
  function end() {
    leave();
    waiting.hidden = true;
    offer();
  }

  /** `end`, and cancel the sign-in in the kernel. */
  function drop() {
    const id = attempt?.id;
    end();
    if (id) channel.ask("cancel_with_provider", { attempt: id });
  }

  // -- where it ended on another page: its address can be pasted ------------------------------------------------------

  function field() {
    const id = `sb-form-address-${number}`;
    const input = unrememberedInput(
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
    const hint = h("span", { class: "sb-hint" }, say(words, "form.provider.address.hint"));
    return [h("label", { for: id }, say(words, "form.provider.address"), " ", hint), input];
  }

  function finishWithField() {
    const text = slot.querySelector("input")?.value.trim() ?? "";
    slot.replaceChildren(...field());
    finishWith(text);
  }

  function finishWith(/** @type {string} */ address) {
    const mine = attempt;
    if (!mine) return;
    slot.querySelector("input")?.focus();
    if (!address) return complain(say(words, "form.provider.address.empty"));
    complain(say(words, "form.checking"), "");
    ask("finish_with_provider", { attempt: mine.id, returned_address: address }, (news) => {
      if (attempt !== mine) return;
      if (news.ok) done(news.text);
      else complain(news.text || say(words, "form.failed"));
    });
  }

  function complain(/** @type {string} */ text, mood = "bad") {
    write(problem, text);
    problem.dataset.mood = mood;
  }

  function focused(/** @type {Element} */ part) {
    const { activeElement } = /** @type {Document | ShadowRoot} */ (part.getRootNode());
    return part.contains(activeElement);
  }

  return {
    element,
    busy: () => anonymously,
    /** The form was opened. `first`: the provider that a magic asked for. */
    open(/** @type {Provider | null} */ first) {
      if (!attempt) {
        only = first;
        waiting.hidden = true;
        offer();
      }
      void pageToReturnTo().then((page) => ask("sign_in_options", { return_page: page }, learn));
    },
    receive(/** @type {News | null} */ news) {
      if (news?.type === "answer") {
        const answered = asked.get(news.id);
        asked.delete(news.id);
        answered?.(news);
      }
      if (news?.type === "taken" && asked.has(news.id)) clearTimeout(later);
      if (news?.type === "returned" && attempt && news.attempt === attempt.id) {
        if (news.ok) done(news.text);
        else fail(news.text);
      }
    },
    /** The form was closed. */
    drop,
    /** The kernel is gone, so nothing can be cancelled there. */
    forget() {
      asked.clear();
      anonymously = false;
      leave();
    },
  };
}

/**
 * Open an empty window, which loads the sign-in page once the kernel has its address. The window keeps its opener,
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
