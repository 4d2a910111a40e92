// The page that a provider's window returns to: a file of our JupyterLab extension, on the notebook's own server.
// labextension/static/returned.js sends its URL here, even if an earlier page cut the window off from this one.

/** The folder of our extension and the page in it. */
const RETURNED = "supabase-nb/static/returned.html";
/** How long to wait for a response of the notebook's server, in ms. */
const LONGEST_WAIT = 3_000;

/** Its URL, once we know that it is served. */
let returnPage = "";

/**
 * The page's address; empty if it isn't served, because this isn't Jupyter or the extension isn't installed.
 * @returns {Promise<string>}
 */
export async function getReturnPage() {
  return (returnPage ||= await findReturnPage().catch(() => ""));
}

async function findReturnPage() {
  const config = JSON.parse(document.getElementById("jupyter-config-data")?.textContent || "{}");
  const installed = config.federated_extensions?.some(
    (/** @type {{name: string}} */ { name }) => name === "supabase-nb",
  );
  const { local, requested } = returnAddresses(installed && config.fullLabextensionsUrl, location.href);
  if (!local || !requested) return "";
  const { ok, redirected } = await isServed(local, "same-origin");
  if (!ok || redirected) return "";
  // This is another origin, so all that we can find out is whether something responds there.
  if (new URL(requested).origin !== new URL(local).origin) await isServed(requested, "no-cors");
  return requested;
}

/**
 * @param {string} address
 * @param {RequestMode} mode
 */
function isServed(address, mode) {
  return fetch(address, { method: "HEAD", mode, cache: "no-store", signal: AbortSignal.timeout(LONGEST_WAIT) });
}

/**
 * `local`: the page's address on the notebook's origin. `requested`: the address to request from the auth server. Every
 * project allows 127.0.0.1 with any port, but not localhost. From 127.0.0.1, the page redirects to `local`.
 * @param {unknown} folder where the server has its extensions
 * @param {string} page the notebook's address
 */
export function returnAddresses(folder, page) {
  if (typeof folder !== "string" || !/^https?:/.test(page)) return { local: "", requested: "" };
  const local = new URL(`${folder.replace(/\/$/, "")}/${RETURNED}`, page);
  const requested = new URL(local);
  if (local.hostname === "localhost") {
    requested.hostname = "127.0.0.1";
    requested.searchParams.set("host", "localhost");
  }
  return { local: local.href, requested: requested.href };
}

/**
 * What to add to the project's redirect URLs; empty if the page is allowed without it.
 * @param {string} page
 */
export function redirectToAdd(page) {
  const { hostname, origin, pathname } = new URL(page);
  return ["127.0.0.1", "[::1]"].includes(hostname) ? "" : `${origin}${pathname.replace("returned.html", "**")}`;
}

/**
 * Call `callback` with the address that the window came back to.
 * @param {string} nonce the name of this sign-in's channel
 * @param {(address: string) => void} callback
 * @returns {() => void} stop
 */
export function receiveReturn(nonce, callback) {
  const channel = new BroadcastChannel(`supabase-nb ${nonce}`);
  channel.onmessage = ({ data }) => {
    if (typeof data?.address !== "string") return;
    channel.postMessage({ taken: true });
    channel.close();
    callback(data.address);
  };
  return () => channel.close();
}
