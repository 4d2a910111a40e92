// The four displays: each builds its elements once and then only changes what differs.
import { clock, h, moment, say, svg, write } from "./shared.mjs";

/** @typedef {import("./shared.mjs").Words} Words */
/** @typedef {"signed_out" | "restoring" | "active" | "refreshing" | "retrying" | "expired" | "closed"} Status */
/**
 * What the kernel sends (`view.py`). Spans are in seconds, counted from when it came.
 * @typedef {object} View
 * @property {Status} status
 * @property {string} host
 * @property {number | null} time_left
 * @property {number | null} lifetime
 * @property {number | null} refresh_in
 * @property {boolean} refreshable
 * @property {number | null} refreshed
 * @property {{name: string | null, anonymous: boolean, id: string, role: string | null,
 *   provider: string | null, last_sign_in: number | null, session_id: string | null,
 *   aal: string | null} | null} user
 * @property {string | null} message
 * @property {string[]} notices
 * @property {{kind: string, ago: number, cause: string}[]} events
 */
/**
 * A view, when it came (`at`, in ms), and whether somebody is behind it.
 * @typedef {object} Shown
 * @property {View | null} view
 * @property {number} at
 * @property {"live" | "waiting" | "silent" | "gone" | "closed"} life
 */
/**
 * A display: its element, `show` for what the kernel said, `tick` for every second.
 * @typedef {object} Part
 * @property {HTMLElement} element
 * @property {(shown: Shown) => void} show
 * @property {(shown: Shown, now: number) => void} [tick]
 */

/** From here on a refresh that is due is not one that will come by itself, in seconds. */
const LATE = 15;

/** One shape per state, so that nobody needs colours to tell them apart. @type {Record<string, string>} */
const SHAPES = {
  signed_out: '<circle cx="8" cy="8" r="5.25" class="sb-line"/>',
  restoring: '<circle cx="8" cy="8" r="5.25" class="sb-line"/><path d="M8 2.75a5.25 5.25 0 0 1 0 10.5z"/>',
  active: '<circle cx="8" cy="8" r="6"/>',
  refreshing:
    '<path d="M13 8a5 5 0 1 1-1.6-3.7" class="sb-line"/><path d="M13.6 1.9v4.2H9.4z"/>',
  retrying: '<path d="M8 1.6 15 14H1z"/>',
  expired: '<path d="m4 4 8 8m0-8-8 8" class="sb-line sb-thick"/>',
  dead: '<circle cx="8" cy="8" r="5.25" class="sb-line" stroke-dasharray="2.2 2.1"/>',
};

/**
 * The state, as a word with a shape and a colour. Announces states, not seconds.
 * @param {Words} words
 * @returns {Part}
 */
export function badge(words) {
  const shape = svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true", class: "sb-shape" });
  const label = h("span", { class: "sb-word" });
  const element = h("span", { class: "sb-badge", role: "status" }, shape, label);
  let drawn = "";
  return {
    element,
    show({ view, life }) {
      const state = view && life === "live" ? view.status : "dead";
      if (state !== drawn) {
        // Only our own constant strings.
        shape.innerHTML = SHAPES[state] ?? SHAPES.dead;
        drawn = state;
      }
      element.dataset.status = state;
      const dead = life === "closed" ? "status.closed" : "dead.badge";
      write(label, say(words, state === "dead" ? dead : `status.${state}`));
    },
  };
}

/**
 * Who it is.
 * @param {Words} words
 * @returns {Part}
 */
export function userCard(words) {
  const letter = h("span");
  const person = svg(
    "svg",
    { viewBox: "0 0 16 16", class: "sb-shape" },
    svg("circle", { cx: 8, cy: 5.5, r: 2.6, class: "sb-line" }),
    svg("path", { d: "M2.8 14a5.3 5.3 0 0 1 10.4 0", class: "sb-line" }),
  );
  const avatar = h("span", { class: "sb-avatar", "aria-hidden": "true" }, letter, person);
  const name = h("div", { class: "sb-name" });
  const about = h("div", { class: "sb-about" });
  const copied = h("span", { class: "sb-copied", role: "status" });
  const copy = h(
    "button",
    { type: "button", class: "sb-icon", title: say(words, "user.copy"), "aria-label": say(words, "user.copy") },
    svg(
      "svg",
      { viewBox: "0 0 16 16", "aria-hidden": "true", class: "sb-shape" },
      svg("rect", { x: 5.5, y: 5.5, width: 8, height: 8, rx: 1.5, class: "sb-line" }),
      svg("path", { d: "M10.5 3.2v-.2A1.5 1.5 0 0 0 9 1.5H4A1.5 1.5 0 0 0 2.5 3v5A1.5 1.5 0 0 0 4 9.5h.2", class: "sb-line" }),
    ),
  );
  const id = h("span", { class: "sb-id" });
  const rows = {
    id: row(words, "user.id", h("span", { class: "sb-copyable" }, id, copy, copied)),
    session: row(words, "user.session", h("span", { class: "sb-id" })),
    last: row(words, "user.last_sign_in"),
    aal: row(words, "user.aal"),
  };
  const facts = h("dl", { class: "sb-facts" }, ...Object.values(rows).map(({ element }) => element));
  const bones = h("div", { class: "sb-bones", "aria-hidden": "true" }, h("i"), h("i"), h("i"));
  const element = h(
    "div",
    { class: "sb-user", role: "group", "aria-label": say(words, "user.title") },
    h("div", { class: "sb-who" }, avatar, h("div", { class: "sb-names" }, name, about)),
    facts,
    bones,
  );
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let forget;
  copy.addEventListener("click", async () => {
    if (await copyText(id.title)) {
      write(copied, say(words, "user.copied"));
      clearTimeout(forget);
      forget = setTimeout(() => write(copied, ""), 2000);
    }
  });
  return {
    element,
    show({ view }) {
      const user = view?.user ?? null;
      element.dataset.empty = String(!user);
      facts.hidden = !user;
      bones.hidden = Boolean(user);
      if (!user) {
        write(letter, "");
        write(name, view ? say(words, "user.nobody") : "");
        write(about, "");
        return;
      }
      avatar.dataset.anonymous = String(user.anonymous);
      const plain = say(words, user.anonymous ? "user.anonymous" : "user.unnamed");
      // A phone number or an anonymous user has no initial: a figure stands for them.
      write(letter, user.anonymous ? "" : initial(user.name ?? ""));
      writeName(name, user.name ?? plain);
      write(about, [user.role, user.provider].filter(Boolean).join(" · "));
      about.hidden = !about.textContent;
      id.title = user.id;
      write(id, shorten(user.id));
      const sessionId = /** @type {HTMLElement} */ (rows.session.value.firstChild);
      sessionId.title = user.session_id ?? "";
      fill(rows.session, user.session_id && shorten(user.session_id), sessionId);
      fill(rows.last, user.last_sign_in === null ? null : moment(user.last_sign_in * 1000));
      fill(rows.aal, user.aal);
    },
  };
}

/**
 * The token's life: a ring, a countdown, and when what happens. The ring's notch is the next refresh.
 * @param {Words} words
 * @returns {Part}
 */
export function expiry(words) {
  const round = { cx: 36, cy: 36, r: 31, class: "sb-ring-track" };
  // pathLength makes a dash's length a fraction of the token's life.
  const arc = svg("circle", { ...round, class: "sb-ring-arc", pathLength: 1, "stroke-dasharray": "1 1" });
  const notch = svg("line", { x1: 36, x2: 36, y1: 1, y2: 9, class: "sb-ring-notch" });
  const ring = svg(
    "svg",
    { viewBox: "0 0 72 72", class: "sb-ring", "aria-hidden": "true" },
    svg("circle", round),
    arc,
    notch,
  );
  const left = h("span", { class: "sb-left" });
  const unit = h("span", { class: "sb-unit" });
  const put = (/** @type {string} */ text) => {
    write(left, text);
    left.classList.toggle("sb-long", text.length > 5); // hours and days have to fit into the ring too
  };
  const rows = { expires: row(words, "expiry.expires"), refresh: row(words, "expiry.refresh") };
  const facts = h("dl", { class: "sb-facts" }, rows.expires.element, rows.refresh.element);
  const element = h(
    "div",
    { class: "sb-expiry", role: "group", "aria-label": say(words, "expiry.title") },
    h("div", { class: "sb-dial" }, ring, h("div", { class: "sb-time" }, left, unit)),
    facts,
  );
  return {
    element,
    show(shown) {
      const { view, life, at } = shown;
      const known = view?.time_left ?? null;
      const live = life === "live";
      element.dataset.status = live && view ? view.status : "dead";
      element.dataset.empty = String(known === null);
      if (!view || known === null) {
        put("–");
        write(unit, say(words, "expiry.none"));
        facts.hidden = true;
        arc.style.strokeDashoffset = "1";
        notch.style.display = "none";
        return;
      }
      facts.hidden = false;
      const life_ = view.lifetime || known;
      const short = life_ <= 900;
      element.dataset.short = String(life_ <= 120);
      fill(rows.expires, moment(at + known * 1000, { seconds: short }));
      const due = view.refresh_in;
      const ahead = due !== null && due < known && view.status !== "retrying";
      notch.style.display = live && ahead ? "" : "none";
      if (ahead) notch.style.transform = `rotate(${360 * Math.min(1, (known - due) / life_)}deg)`;
      this.tick?.(shown, at);
    },
    tick({ view, life, at }, now) {
      if (!view || view.time_left === null) return;
      const passed = (now - at) / 1000;
      const rest = view.time_left - passed;
      const over = rest <= 0 || view.status === "expired";
      write(rows.expires.label, say(words, over ? "expiry.expired" : "expiry.expires"));
      const live = life === "live";
      put(over ? "0:00" : live ? clock(rest, words) : "–");
      write(unit, live || over ? say(words, over ? "expiry.expired" : "expiry.left") : "");
      arc.style.strokeDashoffset = String(live && !over ? 1 - clamp(rest / (view.lifetime || view.time_left)) : 1);
      const due = view.refresh_in === null ? null : view.refresh_in - passed;
      write(rows.refresh.label, say(words, view.status === "retrying" ? "expiry.retry" : "expiry.refresh"));
      if (!live || view.status === "refreshing" || view.status === "expired") fill(rows.refresh, null);
      else if (due === null) fill(rows.refresh, say(words, "expiry.no_refresh"));
      else if (due > 0) fill(rows.refresh, say(words, "expiry.in", { span: clock(due, words) }));
      else fill(rows.refresh, say(words, due > -LATE ? "expiry.now" : "expiry.late"));
    },
  };
}

/**
 * The last events, newest first.
 * @param {Words} words
 * @returns {Part}
 */
export function timeline(words) {
  const list = h("ol", { class: "sb-events" });
  const none = h("p", { class: "sb-none" }, say(words, "timeline.none"));
  const element = h("div", { class: "sb-timeline", role: "group", "aria-label": say(words, "timeline.title") }, list, none);
  return {
    element,
    show({ view, at }) {
      const events = view?.events ?? [];
      none.hidden = events.length > 0;
      list.hidden = !events.length;
      list.replaceChildren(
        ...events.map(({ kind, ago, cause }) => {
          const time = at - ago * 1000;
          const iso = new Date(time).toISOString();
          return h(
            "li",
            { "data-kind": kind },
            h("time", { datetime: iso }, moment(time, { seconds: true })),
            h(
              "span",
              { class: "sb-what" },
              h("span", { class: "sb-event" }, words[`event.${kind}`] ?? kind),
              " ",
              h("span", { class: "sb-cause" }, cause),
            ),
          );
        }),
      );
    },
  };
}

/** @typedef {{element: HTMLElement, label: HTMLElement, value: HTMLElement}} Row */

/**
 * @param {Words} words
 * @param {string} key
 * @param {...Node} content
 * @returns {Row}
 */
function row(words, key, ...content) {
  const label = h("dt", {}, say(words, key));
  const value = h("dd", {}, ...content);
  return { element: h("div", {}, label, value), label, value };
}

/**
 * A row without a value is not shown.
 * @param {Row} row
 * @param {string | null} text
 * @param {HTMLElement} [into]
 */
function fill(row, text, into = row.value) {
  row.element.hidden = !text;
  write(into, text ?? "");
}

/** @param {number} fraction */
export function clamp(fraction) {
  return Math.min(1, Math.max(0, fraction));
}

/**
 * An address that is too long for its line breaks at the @ first.
 * @param {HTMLElement} element
 * @param {string} name
 */
function writeName(element, name) {
  if (element.textContent === name) return;
  const at = name.lastIndexOf("@");
  element.replaceChildren(...(at < 0 ? [name] : [name.slice(0, at), h("wbr"), name.slice(at)]));
}

/** @param {string} name */
function initial(name) {
  return (name.match(/\p{L}/u)?.[0] ?? "").toLocaleUpperCase();
}

/** The first eight characters of an id: enough to tell sessions apart. @param {string} id */
export function shorten(id) {
  return id.length <= 9 ? id : `${id.slice(0, 8)}…`;
}

/** @param {string} text */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // refused by the browser: the id is in the title, to be copied by hand
  }
}
