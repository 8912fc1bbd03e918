// The list of hits: passages with their matching words marked and the nearest sentence underlined.

import { element, formatScore, showValue } from "./dom.js";

const MAX_FIELDS = 4;
const MAX_VALUE = 60;
// Each document that is a file has these. The id tells its name; the filters and the whole document show them.
const FILE_FIELDS = ["file", "folder", "extension", "size", "modified"];
const MAX_CHARACTERS = 640; // of a passage
const BEFORE_CHARACTERS = 160; // before the nearest sentence or the first match

export function makeHit(hit, { onOpen, onLike }) {
  const title = hit.title || hit.doc_id;
  const open = element("button", { type: "button", className: "open" }, title);
  open.addEventListener("click", () => onOpen(hit));
  const like = element("button", { type: "button", className: "quiet like", "aria-label": `More like this: ${title}` }, "More like this");
  like.addEventListener("click", () => onLike(hit));
  const item = element(
    "li",
    { className: "hit" },
    element("div", { className: "rank", "aria-hidden": "true" }, String(hit.rank)),
    element(
      "article",
      {},
      element("h2", {}, open),
      element("p", { className: "passage", dir: "auto" }, ...markPassage(hit)),
      element(
        "p",
        { className: "facts" },
        element("span", { className: "score", title: "Score: higher is better" }, formatScore(hit.score)),
        element("span", { className: "id" }, hit.doc_id),
        ...(hit.location ? [element("span", { className: "location" }, hit.location)] : []),
        ...fieldsOf(hit.metadata),
        like,
      ),
    ),
  );
  item.dataset.docId = hit.doc_id;
  return item;
}

// Add what only the explanation knows: the nearest sentence and the parts of the score.
export function explain(item, hit) {
  const about = hit.explanation;
  item.querySelector(".passage").replaceChildren(...markPassage(hit));
  item.querySelector("details.why")?.remove();
  const words = about.words.map(({ word, weight }) => `${word} ${weight.toFixed(1)}`).join(", ");
  const rows = [
    ["Meaning", `cosine ${about.cosine.toFixed(3)}, ${placeText(about.dense_rank)}`],
    ["Words", about.bm25 ? `BM25 ${about.bm25.toFixed(1)}, ${placeText(about.lexical_rank)}` : "none of the query"],
    ["Coverage", `${Math.round(100 * about.coverage)} % of the query`],
    ...(words ? [["Matched", words]] : []),
    ...(about.bonus ? [["Identifier", `+${about.bonus.toFixed(2)}`]] : []),
  ];
  const list = element("dl", {}, ...rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
  item.querySelector("article").append(element("details", { className: "why" }, element("summary", {}, "Why this hit"), list));
}

const placeText = (rank) => (rank === null ? "not among the first" : `place ${rank}`);

function fieldsOf(metadata) {
  const hidden = FILE_FIELDS.every((name) => name in metadata) ? FILE_FIELDS : [];
  const own = Object.entries(metadata).filter(([name, value]) => value !== null && !hidden.includes(name));
  const shown = own.filter(([, value]) => showValue(value).length <= MAX_VALUE);
  return shown.slice(0, MAX_FIELDS).map(([name, value]) => element("span", { className: "field" }, `${name} ${showValue(value)}`));
}

// Return the nodes of a passage, or of an excerpt of a long one. Offsets count characters, not UTF-16 units.
export function markPassage(hit) {
  const characters = Array.from(hit.passage);
  const found = findSlice(characters, Array.from(hit.explanation?.sentence ?? ""));
  const nearest = found && found[1] - found[0] < Array.from(hit.passage.trim()).length ? found : null;
  const [first, last] = findExcerpt(characters, hit.highlights, nearest);
  const cuts = new Set([first, last, ...hit.highlights.flat(), ...(nearest ?? [])]);
  const bounds = [...cuts].filter((at) => first <= at && at <= last).sort((a, b) => a - b);
  const nodes = first > 0 ? ["…"] : [];
  for (let i = 0; i + 1 < bounds.length; i++) {
    const [start, end] = [bounds[i], bounds[i + 1]];
    let node = document.createTextNode(characters.slice(start, end).join(""));
    if (isWithin(start, end, hit.highlights)) node = element("mark", {}, node);
    if (nearest && isWithin(start, end, [nearest])) node = element("span", { className: "nearest" }, node);
    nodes.push(node);
  }
  return last < characters.length ? [...nodes, "…"] : nodes;
}

const isWithin = (start, end, spans) => spans.some(([first, last]) => first <= start && end <= last);

// Return [start, end] of what is shown: a short passage in full, else the part around the nearest sentence.
function findExcerpt(characters, highlights, nearest) {
  if (characters.length <= MAX_CHARACTERS) return [0, characters.length];
  const anchor = nearest?.[0] ?? highlights[0]?.[0] ?? 0;
  let start = Math.max(0, Math.min(anchor - BEFORE_CHARACTERS, characters.length - MAX_CHARACTERS));
  while (start > 0 && start < anchor && !/\s/.test(characters[start - 1])) start++;
  return [start, Math.min(characters.length, start + MAX_CHARACTERS)];
}

// Return [start, end] of the first place where `part` stands in `characters`, or null.
export function findSlice(characters, part) {
  if (!part.length) return null;
  const at = characters.join("").indexOf(part.join(""));
  if (at < 0) return null;
  const start = Array.from(characters.join("").slice(0, at)).length;
  return [start, start + part.length];
}
