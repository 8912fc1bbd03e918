// The map of the results: near points mean similar things. The list says the same, so screen readers skip the picture.

import { byId, element, svg } from "./dom.js";

const RADIUS = 100;

export function showMap(hits, places, onOpen) {
  const points = hits.map((hit, at) => makePoint(hit, places.documents[at], onOpen));
  if (places.query) points.unshift(svg("path", { class: "you", d: star(...scale(places.query)) }));
  byId("map").querySelector("svg").replaceChildren(...points);
  byId("map").hidden = false;
}

export function hideMap() {
  byId("map").hidden = true;
  byId("tip").hidden = true;
}

export function markOnMap(docId) {
  for (const point of byId("map").querySelectorAll(".point")) point.classList.toggle("current", point.dataset.docId === docId);
}

function makePoint(hit, place, onOpen) {
  const [x, y] = scale(place);
  const point = svg("g", { class: "point" }, svg("circle", { cx: x, cy: y, r: 9 }), svg("text", { x, y: y + 3.5 }));
  point.querySelector("text").textContent = String(hit.rank);
  point.dataset.docId = hit.doc_id;
  point.addEventListener("click", () => onOpen(hit));
  point.addEventListener("pointerenter", () => setHover(hit, true));
  point.addEventListener("pointerleave", () => setHover(hit, false));
  return point;
}

function setHover(hit, isOver) {
  const tip = byId("tip");
  tip.hidden = !isOver;
  if (isOver) tip.replaceChildren(element("strong", {}, hit.title || hit.doc_id), ` ${hit.passage.slice(0, 240)}`);
  for (const item of document.querySelectorAll("#hits .hit")) item.classList.toggle("hover", isOver && item.dataset.docId === hit.doc_id);
}

const scale = ([x, y]) => [RADIUS * clamp(x), -RADIUS * clamp(y)];
const clamp = (value) => Math.max(-1.05, Math.min(1.05, value)); // the query may lie outside of its hits
const star = (x, y) => `M${x - 7} ${y}H${x + 7}M${x} ${y - 7}V${y + 7}`;
