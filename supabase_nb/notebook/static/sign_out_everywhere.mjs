// The button below a notice about tokens in cells. It looks like the foot of the notice's card.
import { followTheme, h, say, write, widget } from "./shared.mjs";

/** @typedef {import("./shared.mjs").Words} Words */
/** @typedef {import("@anywidget/types").AnyModel<{words: Words}>} Model */
/** @typedef {{type: "show"} | {type: "answer", ok: boolean, text: string}} SignOutNews */

/** When to explain why the kernel hasn't responded yet, in ms. */
const WAITS_AFTER = 2_000;

/**
 * The kernel's messages, kept for later views.
 * @param {Model} model
 */
function follow(model) {
  const state = { shown: false, asked: false, done: false, text: "" };
  /** @type {Set<() => void>} */
  const views = new Set();
  const words = model.get("words");
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let later;
  const change = (/** @type {Partial<typeof state>} */ news) => {
    clearTimeout(later);
    Object.assign(state, news);
    views.forEach((draw) => draw());
  };
  const receive = (/** @type {SignOutNews} */ news) => {
    if (news.type === "show") change({ shown: true });
    if (news.type === "answer") change({ shown: true, asked: false, done: news.ok, text: news.text });
  };
  const gone = () => change({ shown: false });
  model.on("msg:custom", receive);
  model.on("comm_live_update", gone); // sent by Jupyter when the kernel has restarted or died
  return {
    state,
    views,
    ask() {
      if (state.asked || state.done) return;
      model.send({ type: "sign_out" });
      change({ asked: true, text: say(words, "cells.asked") });
      later = setTimeout(() => change({ text: say(words, "cells.busy") }), WAITS_AFTER);
    },
    stop() {
      clearTimeout(later);
      model.off("msg:custom", receive);
      model.off("comm_live_update", gone);
    },
  };
}

/**
 * @param {Model} model
 * @param {HTMLElement} el
 * @param {ReturnType<typeof follow>} line
 */
function draw(model, el, line) {
  const label = say(model.get("words"), "cells.sign_out");
  const button = h("button", { type: "button", class: "sb-button", onclick: line.ask }, label);
  const message = h("p", { class: "sb-message", role: "status" });
  const root = h("div", { class: "sb sb-sign-out", role: "group", "aria-label": label }, button, message);
  const show = () => {
    const { shown, asked, done, text } = line.state;
    root.hidden = !shown;
    // The card above checks this class.
    root.classList.toggle("sb-shown", shown);
    button.setAttribute("aria-disabled", String(asked || done));
    write(message, text);
  };
  el.append(root);
  const unfollow = followTheme(root);
  line.views.add(show);
  show();
  model.send({ type: "hello" });
  return () => {
    line.views.delete(show);
    unfollow();
    root.remove();
  };
}

export default widget(follow, draw);
