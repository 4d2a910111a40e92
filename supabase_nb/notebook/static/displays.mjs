// The displays' entry point: one module for all kinds, selected by the model's `kind`.
import { openChannel } from "./channel.mjs";
import { panel } from "./panel.mjs";
import { badge, expiry, explain, oneLine, timeline, userCard } from "./parts.mjs";
import { followTheme, h, onTick, say, tickAll, write, widget } from "./shared.mjs";

/** @typedef {import("./channel.mjs").Channel} Channel */
/** @typedef {import("./channel.mjs").Model} Model */
/** @typedef {import("./channel.mjs").News} News */

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
  const form = kind === "token_entry";
  const whole = form || kind === "panel" ? panel(words, channel, form) : null;
  const part = whole ?? PARTS[/** @type {keyof typeof PARTS} */ (kind)](words);
  const root = h("div", { class: "sb", "data-kind": kind }, part.element);
  // Otherwise it would flash whenever the page hides and shows it again.
  root.addEventListener("animationend", () => root.classList.remove("sb-flash"));
  // In the corner, or in the badge's text, so that the display keeps its size without a kernel.
  const note = h("p", { class: "sb-note" });
  if (["user_card", "expiry", "timeline"].includes(kind)) root.append(note);
  const { shown } = channel;
  let refreshed = shown.view?.refreshed;

  const show = (/** @type {News | null} */ news) => {
    whole?.receive(news);
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
    write(note, live ? "" : say(words, life === "closed" ? "status.closed" : "status.dead"));
    note.title = live ? "" : explain(words, shown);
    tickAll();
    if (news?.type === "view") {
      const fresh = news.view.refreshed;
      if (refreshed !== undefined && fresh !== null && fresh !== refreshed) flash(root);
      refreshed = fresh;
    }
  };

  el.append(root);
  const unfollow = followTheme(root);
  channel.views.add(show);
  const still = onTick((now) => {
    channel.check(now);
    part.tick?.(shown, now);
  });
  show(null);
  channel.hello();
  return () => {
    still();
    channel.views.delete(show);
    whole?.free();
    unfollow();
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
