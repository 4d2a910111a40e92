// The button below a notice about tokens in cells. It looks like the foot of the notice's card.
import { followTheme, h, setText, translate, widget } from "./shared.mjs";

/** @typedef {import("./shared.mjs").Words} Words */
/** @typedef {import("@anywidget/types").AnyModel<{words: Words}>} Model */
/** @typedef {{type: "show"} | {type: "answer", ok: boolean, text: string}} SignOutMessage */

/** When to explain why the kernel hasn't responded yet, in ms. */
const WAITING_AFTER_MS = 2_000;

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
  let waitingTimer;
  const change = (/** @type {Partial<typeof state>} */ changes) => {
    clearTimeout(waitingTimer);
    Object.assign(state, changes);
    views.forEach((draw) => draw());
  };
  const receive = (/** @type {SignOutMessage} */ message) => {
    if (message.type === "show") change({ shown: true });
    if (message.type === "answer") change({ shown: true, asked: false, done: message.ok, text: message.text });
  };
  const onKernelGone = () => change({ shown: false });
  model.on("msg:custom", receive);
  model.on("comm_live_update", onKernelGone); // sent by Jupyter when the kernel has restarted or died
  return {
    state,
    views,
    signOut() {
      if (state.asked || state.done) return;
      model.send({ type: "sign_out" });
      change({ asked: true, text: translate(words, "cells.asked") });
      waitingTimer = setTimeout(() => change({ text: translate(words, "cells.busy") }), WAITING_AFTER_MS);
    },
    stop() {
      clearTimeout(waitingTimer);
      model.off("msg:custom", receive);
      model.off("comm_live_update", onKernelGone);
    },
  };
}

/**
 * @param {Model} model
 * @param {HTMLElement} el
 * @param {ReturnType<typeof follow>} followed
 */
function draw(model, el, followed) {
  const label = translate(model.get("words"), "cells.sign_out");
  const button = h("button", { type: "button", class: "sb-button", onclick: followed.signOut }, label);
  const message = h("p", { class: "sb-message", role: "status" });
  const root = h("div", { class: "sb sb-sign-out", role: "group", "aria-label": label }, button, message);
  const show = () => {
    const { shown, asked, done, text } = followed.state;
    root.hidden = !shown;
    // The card above checks this class.
    root.classList.toggle("sb-shown", shown);
    button.setAttribute("aria-disabled", String(asked || done));
    setText(message, text);
  };
  el.append(root);
  const stopFollowingTheme = followTheme(root);
  followed.views.add(show);
  show();
  model.send({ type: "hello" });
  return () => {
    followed.views.delete(show);
    stopFollowingTheme();
    root.remove();
  };
}

export default widget(follow, draw);
