// Helpers for time and DOM, shared by all widgets.

/** @typedef {Record<string, string>} Words */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element with attributes and children; `on…` attributes are listeners.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  assign(element, attributes);
  element.append(...children);
  return element;
}

/**
 * The same for SVG.
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown>} [attributes]
 * @param {...Node} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  assign(element, attributes);
  element.append(...children);
  return element;
}

/**
 * An input for secrets, which browsers and password managers don't store. Enter submits it.
 * @param {Record<string, unknown>} attributes
 * @param {() => void} submit
 */
export function secretInput(attributes, submit) {
  return h("input", {
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    // Password managers that ignore `autocomplete`.
    "data-1p-ignore": true,
    "data-lpignore": "true",
    "data-bwignore": true,
    "data-form-type": "other",
    onkeydown: (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      event.stopPropagation(); // the notebook's own Enter
      submit();
    },
    ...attributes,
  });
}

/**
 * @param {Element} element
 * @param {Record<string, unknown>} attributes
 */
function assign(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    } else if (value !== undefined && value !== null && value !== false) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
}

/**
 * Set an element's text only if it differs, so that screen readers and selections aren't disturbed.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * The text for a key, with `{name}` filled in.
 * @param {Words} words
 * @param {string} key
 * @param {Record<string, unknown>} [values]
 */
export function translate(words, key, values = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/**
 * State shared by all displays of a page. Each model has its own copy of this module, so it can't be a variable.
 * @type {{ticks: Set<(now: number) => void>, moments: Map<string, number>, timer?: ReturnType<typeof setInterval>}}
 */
const page = (/** @type {any} */ (globalThis)[Symbol.for("supabase-nb")] ??= { ticks: new Set(), moments: new Map() });

/**
 * Call `tick` every second, together with all others on the page, so that countdowns agree.
 * @param {(now: number) => void} tick
 * @returns {() => void} stop
 */
export function onTick(tick) {
  if (!page.ticks.size) page.timer = setInterval(tickAll, 1000);
  page.ticks.add(tick);
  return () => {
    page.ticks.delete(tick);
    if (!page.ticks.size) clearInterval(page.timer);
  };
}

/** Call all ticks now, because something has changed. */
export function tickAll() {
  const now = Date.now();
  page.ticks.forEach((tick) => tick(now));
}

/**
 * A moment by name, in ms. It is shared, because displays receive it in separate messages.
 * @param {string} name
 * @param {number} moment
 */
export function stableMoment(name, moment) {
  page.moments.forEach((at, old) => at < Date.now() - 60_000 && page.moments.delete(old));
  const known = page.moments.get(name);
  if (known !== undefined && Math.abs(known - moment) < 2000) return known;
  page.moments.set(name, moment);
  return moment;
}

/**
 * Format a span of time: 0:07, 59:12, 1:02:33; from 48 hours on, in days.
 * @param {number} seconds
 * @param {Words} words
 */
export function formatDuration(seconds, words) {
  const whole = Math.max(0, Math.ceil(seconds));
  const hours = Math.floor(whole / 3600);
  const days = Math.floor(hours / 24);
  if (days > 999) return translate(words, "token.far");
  if (days > 9) return translate(words, "token.days", { days });
  if (days > 1) return translate(words, "token.days_hours", { days, hours: hours % 24 });
  const minutes = Math.floor(whole / 60) % 60;
  const rest = String(whole % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/**
 * Format a moment in local time, with the date if it isn't today.
 * @param {number} at Unix time in milliseconds
 * @param {{seconds?: boolean, now?: number}} [options]
 */
export function formatTime(at, { seconds = false, now = Date.now() } = {}) {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "";
  const time = date.toLocaleTimeString([], {
    hour: "numeric",
    minute: "2-digit",
    ...(seconds ? { second: "2-digit" } : {}),
  });
  if (date.toDateString() === new Date(now).toDateString()) return time;
  const sameYear = date.getFullYear() === new Date(now).getFullYear();
  const day = date.toLocaleDateString([], {
    day: "numeric",
    month: "short",
    ...(sameYear ? {} : { year: "numeric" }),
  });
  return `${day}, ${time}`;
}

/**
 * Set an element's `data-sb-theme` ("light" or "dark") from its actual background, because front ends name their
 * themes differently.
 * @param {HTMLElement} element
 * @returns {() => void} stop
 */
export function followTheme(element) {
  const follow = () => {
    element.dataset.sbTheme = isDark(element) ? "dark" : "light";
  };
  const observer = new MutationObserver(follow);
  const filter = ["class", "style", "data-theme", "data-jp-theme-name", "data-vscode-theme-kind"];
  for (const root of [document.documentElement, document.body]) {
    observer.observe(root, { attributes: true, attributeFilter: filter });
  }
  // Just before the first paint. Earlier, the element may not be attached yet, and styles would be computed twice.
  // A theme's style sheet may load after its name is set.
  const frame = requestAnimationFrame(follow);
  const onLoad = (/** @type {Event} */ event) => event.target instanceof HTMLLinkElement && follow();
  document.addEventListener("load", onLoad, true);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", follow);
  return () => {
    observer.disconnect();
    cancelAnimationFrame(frame);
    document.removeEventListener("load", onLoad, true);
    scheme.removeEventListener("change", follow);
  };
}

/** @param {HTMLElement} element */
function isDark(element) {
  /** @type {Node | null} */
  let node = element.parentNode;
  while (node) {
    if (node instanceof Element) {
      const light = lightness(getComputedStyle(node).backgroundColor);
      if (light !== null) return light < 0.5;
    }
    node = node instanceof ShadowRoot ? node.host : node.parentNode;
  }
  return /\bdark\b/.test(getComputedStyle(document.documentElement).colorScheme);
}

/**
 * The lightness of a CSS color, 0 to 1; `null` if it is transparent.
 * @param {string} color as computed: `rgb(…)` or `rgba(…)`
 */
export function lightness(color) {
  const [red, green, blue, alpha = 1] = (color.match(/[\d.]+/g) ?? []).map(Number);
  if (!color.startsWith("rgb") || blue === undefined || alpha < 0.5) return null;
  return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255;
}

/**
 * An anywidget module that follows the kernel once per model, and draws each view.
 * @template Model
 * @template {{stop: () => void}} Followed
 * @param {(model: Model) => Followed} follow
 * @param {(model: Model, el: HTMLElement, followed: Followed) => () => void} draw
 */
export function widget(follow, draw) {
  return () => {
    /** @type {Followed | undefined} */
    let followed;
    return {
      initialize(/** @type {{model: Model}} */ { model }) {
        followed = follow(model);
        return () => followed?.stop();
      },
      render(/** @type {{model: Model, el: HTMLElement}} */ { model, el }) {
        followed ??= follow(model);
        return draw(model, el, followed);
      },
    };
  };
}
