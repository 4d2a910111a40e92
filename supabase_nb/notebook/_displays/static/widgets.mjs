// The displays' entry point: one module for all kinds, selected by the model's `kind`.
import { openChannel } from "./channel.mjs";
import { panel } from "./panel.mjs";
import { badge, expiry, hintText, oneLine, timeline, userCard } from "./parts.mjs";
import { followTheme, h, onTick, setText, tickAll, translate, widget } from "./shared.mjs";

/** @typedef {import("./channel.mjs").Channel} Channel */
/** @typedef {import("./channel.mjs").Model} Model */
/** @typedef {import("./channel.mjs").Message} Message */

const PARTS = { badge, user_card: userCard, expiry, timeline, line: oneLine };

/**
 * One display in one place of the page.
 * @param {Model} model
 * @param {HTMLElement} el
 * @param {Channel} channel
 * @returns {() => void} stop
 */
function draw(model, el, channel) {
  const kind = model.get("kind");
  const words = model.get("words");
  const withForm = kind === "token_entry";
  const panelPart = withForm || kind === "panel" ? panel(words, channel, withForm) : null;
  const part = panelPart ?? PARTS[/** @type {keyof typeof PARTS} */ (kind)](words);
  const root = h("div", { class: "sb", "data-kind": kind }, part.element);
  // Otherwise it would flash whenever the page hides and shows it again.
  root.addEventListener("animationend", () => root.classList.remove("sb-flash"));
  // In the corner, or in the badge's text, so that the display keeps its size without a kernel.
  const note = h("p", { class: "sb-note" });
  if (["user_card", "expiry", "timeline"].includes(kind)) root.append(note);
  const { shown } = channel;
  let refreshed = shown.view?.refreshed;

  const show = (/** @type {Message | null} */ message) => {
    panelPart?.receive(message);
    const { view, life } = shown;
    const live = life === "live";
    root.classList.toggle("sb-live", live);
    // The snapshot checks this class: once the kernel has responded, it hides itself.
    if (view && !root.classList.contains("sb-shown")) {
      root.classList.add("sb-shown");
      hideSnapshot(root);
    }
    root.dataset.status = live && view ? view.status : "dead";
    part.show(shown);
    setText(note, live ? "" : translate(words, life === "closed" ? "status.closed" : "status.dead"));
    note.title = live ? "" : hintText(words, shown);
    tickAll();
    if (message?.type === "view") {
      const fresh = message.view.refreshed;
      if (refreshed !== undefined && fresh !== null && fresh !== refreshed) flash(root);
      refreshed = fresh;
    }
  };

  el.append(root);
  const stopFollowingTheme = followTheme(root);
  channel.views.add(show);
  const stopTicking = onTick((now) => {
    channel.check(now);
    part.tick?.(shown, now);
  });
  show(null);
  channel.requestView();
  return () => {
    stopTicking();
    channel.views.delete(show);
    panelPart?.dispose();
    stopFollowingTheme();
    root.remove();
  };
}
/**
 * Hide the snapshot before this widget outside Jupyter (VS Code, Colab), where its style sheet doesn't.
 * @param {HTMLElement} root
 */
function hideSnapshot(root) {
  if (root.closest(".jp-OutputArea")) return;
  const before = [...document.querySelectorAll(".sb-snap, .sb")].filter(
    (other) => other.compareDocumentPosition(root) & Node.DOCUMENT_POSITION_FOLLOWING,
  );
  const last = before.at(-1);
  if (last?.classList.contains("sb-snap")) /** @type {HTMLElement} */ (last).hidden = true;
}

/** Flash once after a refresh. @param {HTMLElement} root */
function flash(root) {
  root.classList.remove("sb-flash");
  void root.offsetWidth; // restart the animation, even while it is running
  root.classList.add("sb-flash");
}

export default widget(openChannel, draw);
