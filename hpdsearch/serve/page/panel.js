// The side panel: one whole document, scrolled to the passage that was found.

import { getDocument } from "./api.js";
import { byId, element, showValue } from "./dom.js";
import { findSlice } from "./results.js";

let request = null;

export async function openPanel(docId, index, hit) {
  request?.abort();
  request = new AbortController();
  const { signal } = request;
  try {
    const found = await getDocument(docId, index, signal);
    byId("panel-title").textContent = found.title || found.doc_id;
    byId("panel-body").replaceChildren(makeFacts(found, hit?.location), ...makeText(found.text, hit?.passage));
    byId("panel-body").scrollTop = 0;
    show(true);
    byId("panel-body").querySelector(".found")?.scrollIntoView({ block: "center" });
  } catch (error) {
    if (error.name === "AbortError") return;
    byId("panel-title").textContent = docId;
    byId("panel-body").replaceChildren(element("p", { className: "error" }, error.message));
    show(true);
  }
}

export function closePanel() {
  request?.abort();
  show(false);
}

export const isPanelOpen = () => !byId("panel").hidden;

function show(isOpen) {
  const wasOpen = isPanelOpen();
  byId("panel").hidden = !isOpen;
  document.body.classList.toggle("with-panel", isOpen);
  if (isOpen && !wasOpen) byId("panel-body").focus({ preventScroll: true });
}

function makeFacts(found, location) {
  const rows = [["id", found.doc_id], ...(location ? [["location", location]] : []), ...(found.source ? [["source", found.source]] : []), ...Object.entries(found.metadata)];
  return element("dl", { className: "document-facts" }, ...rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, showValue(value))]));
}

function makeText(text, passage) {
  const characters = Array.from(text);
  const place = findSlice(characters, Array.from(passage ?? ""));
  if (!place || place[1] - place[0] >= characters.length) return [element("div", { className: "text", dir: "auto" }, text)];
  const [before, found, after] = [characters.slice(0, place[0]), characters.slice(...place), characters.slice(place[1])];
  return [element("div", { className: "text", dir: "auto" }, before.join(""), element("span", { className: "found" }, found.join("")), after.join(""))];
}
