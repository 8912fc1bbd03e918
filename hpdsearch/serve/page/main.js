// The page: what the user types goes out as a search, and the answer comes back as a list, a map and a line of times.

import { ServiceError, describeIndex, isAlive, listIndexes, placeOnMap, search } from "./api.js";
import { byId, element, formatCount, formatMilliseconds } from "./dom.js";
import { showFilters } from "./filters.js";
import { hideMap, markOnMap, showMap } from "./map.js";
import { closePanel, isPanelOpen, openPanel } from "./panel.js";
import { explain, makeHit } from "./results.js";
import { DEFAULTS, filterOf, makeFilters, readAddress, writeAddress } from "./state.js";

const TYPING_PAUSE = 120; // ms after the last key before a search begins
const EXPLAIN_PAUSE = 350; // ms after an answer before sentences and map are asked for
const PROGRESS_PAUSE = 200; // ms: a faster answer shows no progress
const STATE_INTERVAL = 4000; // ms between looks at an index that is being refined
const RETRY_INTERVAL = 2000; // ms between attempts while the service does not answer

let state = { ...DEFAULTS };
let description = null; // of the chosen index, as GET /indexes/NAME
let hits = [];
let running = null; // AbortController of the search at work
let typingTimer = 0;
let explainTimer = 0;
let retryTimer = 0;
let unknownIndex = ""; // that the address named
let isTyping = false; // whether the newest entry of the history was made by typing

async function start() {
  listen();
  showTheme(localStorage.getItem("theme") ?? "auto");
  state = readAddress();
  showControls();
  await loadIndexes();
  if (!state.q && !state.like) byId("query").focus();
  await run();
  if (unknownIndex) notify(`There is no index ${unknownIndex} here. This is ${indexName()}.`);
  if (state.doc) await showDocument(state.doc);
}

async function loadIndexes() {
  try {
    const { indexes } = await listIndexes();
    const names = indexes.map((each) => each.name);
    byId("index").replaceChildren(...names.map((name) => element("option", { value: name }, name)));
    byId("index-label").hidden = names.length < 2;
    if (!names.includes(state.index)) {
      unknownIndex = state.index;
      state.index = "";
    }
    byId("index").value = indexName();
    await loadDescription();
  } catch (error) {
    fail(error);
  }
}

const indexName = () => state.index || byId("index").options[0]?.value || "";

async function loadDescription() {
  const name = indexName();
  const found = await describeIndex(name);
  if (name !== indexName()) return;
  description = found;
  const documents = `${formatCount(found.n_documents)} ${found.n_documents === 1 ? "document" : "documents"}`;
  const refined = Math.floor(100 * (1 - found.n_draft / Math.max(found.n_passages, 1)));
  byId("state").textContent = found.n_draft ? `${documents} · draft, refined ${refined} %` : documents;
  byId("state").classList.toggle("draft", found.n_draft > 0);
  byId("filters-button").hidden = found.fields.length === 0;
  showFilters(found, state, toggleFilter);
  if (found.n_draft) setTimeout(() => loadDescription().catch(() => {}), STATE_INTERVAL);
}

// Search for what the state says, and show the answer. A search that is still at work is given up.
async function run() {
  clearTimeout(explainTimer);
  clearTimeout(retryTimer);
  running?.abort();
  document.title = state.q ? `${state.q} · hpdsearch` : "hpdsearch";
  showLike();
  if (!state.q.trim() && !state.like) {
    showNothingAsked();
    return;
  }
  running = new AbortController();
  const { signal } = running;
  const progress = setTimeout(() => document.body.classList.add("busy"), PROGRESS_PAUSE);
  try {
    const began = performance.now();
    const answer = await search(request(), signal);
    showAnswer(answer, performance.now() - began);
    explainTimer = setTimeout(() => complete(signal), EXPLAIN_PAUSE);
  } catch (error) {
    if (error.name !== "AbortError") fail(error);
  } finally {
    clearTimeout(progress);
    if (running?.signal === signal) document.body.classList.remove("busy");
  }
}

function request() {
  const values = { index: indexName(), k: state.k };
  if (filterOf(state)) values.where = filterOf(state);
  return state.like ? { ...values, like: state.like } : { ...values, query: state.q, mode: state.mode };
}

function showAnswer(answer, total) {
  hits = answer.hits;
  notify("");
  byId("welcome").hidden = true;
  byId("hits").replaceChildren(...hits.map(makeItem));
  hideMap();
  showNoHits();
  byId("more").hidden = hits.length < state.k;
  const times = [["search", answer.milliseconds - (answer.encode_milliseconds ?? 0)], ["total", total]];
  if (answer.encode_milliseconds !== undefined) times.unshift(["encode", answer.encode_milliseconds]);
  const found = hits.length === 1 ? "1 result" : `${hits.length} results`;
  const shown = times.map(([name, ms]) => element("span", { className: "time" }, `${name} ${formatMilliseconds(ms)}`));
  byId("status").replaceChildren(hits.length ? found : "", element("span", { className: "times", ariaHidden: "true" }, ...shown));
}

const makeItem = (hit) => makeHit(hit, { onOpen: (one) => openDocument(one.doc_id), onLike: (one) => change({ like: one.doc_id, q: "" }) });

function showNoHits() {
  byId("nothing").hidden = hits.length > 0;
  if (hits.length) return;
  const isFiltered = filterOf(state) !== null;
  const byWords = state.mode === "lexical" ? "No document holds these words. Ranking by meaning needs no common word." : "Other words may find more.";
  byId("nothing-advice").textContent = isFiltered ? "The filters leave no document for this search. Clear some of them." : byWords;
}

function showNothingAsked() {
  hits = [];
  document.body.classList.remove("busy");
  byId("hits").replaceChildren();
  byId("status").textContent = "";
  byId("more").hidden = true;
  byId("nothing").hidden = true;
  byId("welcome").hidden = false;
  notify("");
  hideMap();
}

// Ask for what takes longer than the hits themselves: nearest sentences, parts of the scores, the map.
async function complete(signal) {
  if (!hits.length) return;
  try {
    const docIds = hits.map((hit) => hit.doc_id);
    const asked = { index: indexName(), doc_ids: docIds, ...(state.q && !state.like ? { query: state.q } : {}) };
    const placing = hits.length > 2 ? placeOnMap(asked, signal) : null;
    const [places] = await Promise.all([placing, state.like ? null : explainHits(signal)]); // handles that both are aborted
    if (places && !signal.aborted) showMap(hits, places, (hit) => openDocument(hit.doc_id));
  } catch (error) {
    if (error.name !== "AbortError") console.warn(error); // the hits stand without them
  }
}

async function explainHits(signal) {
  const explained = await search({ ...request(), explain: true }, signal);
  const items = new Map([...byId("hits").children].map((item) => [item.dataset.docId, item]));
  for (const hit of explained.hits) if (items.has(hit.doc_id)) explain(items.get(hit.doc_id), hit);
}

async function showMore() {
  byId("more").disabled = true;
  try {
    const answer = await search({ ...request(), offset: hits.length }, running.signal);
    const first = byId("hits").children.length;
    hits = [...hits, ...answer.hits];
    byId("hits").append(...answer.hits.map(makeItem));
    byId("hits").children[first]?.querySelector(".open").focus();
    byId("more").hidden = answer.hits.length < state.k;
    byId("status").textContent = `${hits.length} results`;
  } catch (error) {
    if (error.name !== "AbortError") fail(error);
  } finally {
    byId("more").disabled = false;
  }
}

// Change what is asked for, write it into the address, and search.
function change(changes, { typing = false } = {}) {
  if (typing && changes.q) changes.like = "";
  state = { ...state, doc: "", ...changes };
  if (isPanelOpen()) closePanel();
  writeAddress(state, { replace: typing && isTyping });
  isTyping = typing;
  showControls();
  if (description) showFilters(description, state, toggleFilter);
  return run();
}

function toggleFilter(field, value) {
  const chosen = state.filters[field] ?? [];
  const values = chosen.includes(value) ? chosen.filter((each) => each !== value) : [...chosen, value];
  const filters = makeFilters(state.filters);
  if (values.length) filters[field] = values;
  else delete filters[field];
  change({ filters });
}

function openDocument(docId) {
  state = { ...state, doc: docId };
  writeAddress(state, { replace: isPanelOpen() });
  isTyping = false;
  return showDocument(docId);
}

async function showDocument(docId) {
  markCurrent(docId);
  await openPanel(docId, indexName(), hits.find((hit) => hit.doc_id === docId));
}

function closeDocument() {
  const docId = state.doc;
  state = { ...state, doc: "" };
  writeAddress(state, { replace: false });
  closePanel();
  markCurrent("");
  const item = [...byId("hits").children].find((each) => each.dataset.docId === docId);
  (item?.querySelector(".open") ?? byId("query")).focus();
}

function markCurrent(docId) {
  for (const item of byId("hits").children) item.classList.toggle("current", item.dataset.docId === docId);
  markOnMap(docId);
}

function showLike() {
  byId("like").hidden = !state.like;
  if (!state.like) return;
  const stop = element("button", { type: "button", className: "quiet" }, "Back to searching");
  stop.addEventListener("click", () => {
    change({ like: "" });
    byId("query").focus();
  });
  byId("like").replaceChildren("Documents like ", element("strong", {}, state.like), " ", stop);
}

function showControls() {
  if (byId("query").value !== state.q) byId("query").value = state.q;
  if (byId("where").value !== state.where) byId("where").value = state.where;
  byId("k").value = String(state.k);
  if (byId("index").options.length) byId("index").value = indexName();
  for (const radio of document.getElementsByName("mode")) radio.checked = radio.value === state.mode;
  byId("modes").disabled = Boolean(state.like);
}

function notify(message) {
  byId("notice").hidden = !message;
  byId("notice").textContent = message;
}

function fail(error) {
  if (!(error instanceof ServiceError)) throw error;
  document.body.classList.remove("busy");
  const isOffline = error.status === 0;
  notify(isOffline ? `${error.message} The page tries again by itself.` : error.message);
  byId("status").textContent = "";
  if (!isOffline) {
    hits = [];
    byId("hits").replaceChildren();
    byId("more").hidden = true;
    byId("nothing").hidden = true;
    hideMap();
    return;
  }
  clearTimeout(retryTimer);
  retryTimer = setTimeout(retry, RETRY_INTERVAL);
}

async function retry() {
  if (!(await isAlive())) {
    retryTimer = setTimeout(retry, RETRY_INTERVAL);
    return;
  }
  notify("");
  if (!description) await loadIndexes();
  await run();
}

const THEMES = { auto: "as the system", light: "light", dark: "dark" };

function showTheme(theme) {
  const known = theme in THEMES ? theme : "auto";
  document.documentElement.dataset.theme = known;
  byId("theme").ariaLabel = `Colors: ${THEMES[known]}`;
  byId("theme").title = `Colors: ${THEMES[known]}`;
  localStorage.setItem("theme", known);
}

function listen() {
  byId("query").addEventListener("input", () => {
    clearTimeout(typingTimer);
    typingTimer = setTimeout(() => change({ q: byId("query").value }, { typing: true }), TYPING_PAUSE);
  });
  byId("form").addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(typingTimer);
    change({ q: byId("query").value, ...(byId("query").value ? { like: "" } : {}) });
  });
  byId("home").addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    change({ ...DEFAULTS, index: state.index });
    byId("query").focus();
  });
  for (const radio of document.getElementsByName("mode")) radio.addEventListener("change", () => change({ mode: radio.value }));
  byId("k").addEventListener("change", () => change({ k: Number(byId("k").value) }));
  byId("index").addEventListener("change", async () => {
    state = { ...state, index: byId("index").value, filters: makeFilters(), where: "", like: "" };
    description = null;
    await loadDescription().catch(fail);
    await change({});
  });
  byId("where-form").addEventListener("submit", (event) => {
    event.preventDefault();
    change({ where: byId("where").value.trim() });
  });
  byId("clear-filters").addEventListener("click", () => change({ filters: makeFilters(), where: "" }));
  byId("filters-button").addEventListener("click", () => showFilterColumn(byId("filters").hidden));
  byId("more").addEventListener("click", showMore);
  byId("close").addEventListener("click", closeDocument);
  byId("theme").addEventListener("click", () => {
    const names = Object.keys(THEMES);
    showTheme(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
  });
  addEventListener("popstate", goTo);
  addEventListener("keydown", onKey);
}

function showFilterColumn(isShown) {
  byId("filters").hidden = !isShown;
  byId("filters-button").ariaExpanded = String(isShown);
}

async function goTo() {
  const former = state;
  state = readAddress();
  isTyping = false;
  showControls();
  if (former.index !== state.index) await loadDescription().catch(fail);
  else if (description) showFilters(description, state, toggleFilter);
  const isSameSearch = JSON.stringify({ ...former, doc: "" }) === JSON.stringify({ ...state, doc: "" });
  if (!isSameSearch) await run();
  if (state.doc) await showDocument(state.doc);
  else if (isPanelOpen()) {
    closePanel();
    markCurrent("");
  }
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const inField = event.target.matches("input:not([type=radio]), select, textarea");
  const inQuery = event.target === byId("query");
  if (event.key === "/" && !inField) {
    event.preventDefault();
    byId("query").focus();
    byId("query").select();
  } else if (event.key === "Escape" && isPanelOpen()) {
    event.preventDefault();
    closeDocument();
  } else if (event.key === "Escape" && !inField) {
    byId("query").focus();
  } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && (inQuery || event.target.matches("#hits button, #hits summary, body, main"))) {
    walk(event.key === "ArrowDown" ? 1 : -1, event);
  }
}

// Move the focus through the hits; above the first one is the search box. With an open panel, documents follow.
function walk(step, event) {
  const items = [...byId("hits").children];
  if (!items.length || (event.target === byId("query") && step < 0)) return;
  event.preventDefault();
  const focused = items.findIndex((item) => item.contains(document.activeElement));
  const current = focused >= 0 ? focused : items.findIndex((item) => item.classList.contains("current"));
  const next = current + step;
  if (next < 0) {
    byId("query").focus();
    return;
  }
  const item = items[Math.min(next, items.length - 1)];
  item.querySelector(".open").focus({ preventScroll: true });
  item.scrollIntoView({ block: "nearest" });
  if (isPanelOpen()) openDocument(item.dataset.docId).then(() => item.querySelector(".open").focus({ preventScroll: true }));
}

start();
