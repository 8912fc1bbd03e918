// The filters: a chip for each frequent value of a metadata field, and an expression for all else.

import { byId, element, formatCount } from "./dom.js";

const MAX_CHIPS = 8; // of a field, until all are asked for
const MAX_FIELDS = 12;

export function showFilters(description, state, onToggle) {
  const isOpen = new Set([...byId("chips").querySelectorAll("fieldset.all")].map((group) => group.dataset.field));
  const focused = document.activeElement?.dataset?.chip;
  const fields = description.fields.filter((field) => isUseful(field, description)).slice(0, MAX_FIELDS);
  for (const field of Object.keys(state.filters)) if (!fields.includes(field)) fields.push(field);
  byId("chips").replaceChildren(...fields.map((field) => makeGroup(field, description, state, onToggle, isOpen.has(field))));
  if (focused) byId("chips").querySelector(`[data-chip="${CSS.escape(focused)}"]`)?.focus();
  byId("clear-filters").hidden = !Object.keys(state.filters).length && !state.where;
  const n = Object.values(state.filters).flat().length + (state.where ? 1 : 0);
  byId("filters-button").textContent = n ? `Filters (${n})` : "Filters";
}

// A field whose values are all different, such as a URL, is no filter.
function isUseful(field, description) {
  const values = valuesOf(field, description);
  return values.length > 0 && (values[0].n_documents > 1 || values.length < 5);
}

function valuesOf(field, description) {
  return Object.hasOwn(description.values, field) ? description.values[field] : [];
}

function makeGroup(field, description, state, onToggle, isOpen) {
  const chosen = state.filters[field] ?? [];
  const values = [...valuesOf(field, description)];
  for (const value of chosen) if (!values.some((each) => each.value === value)) values.unshift({ value, n_documents: null });
  const shown = values.filter(({ value }, at) => isOpen || at < MAX_CHIPS || chosen.includes(value));
  const group = element("fieldset", { className: isOpen ? "all" : "" }, element("legend", {}, field));
  group.dataset.field = field;
  group.append(...shown.map((each) => makeChip(field, each, chosen.includes(each.value), onToggle)));
  if (shown.length < values.length) {
    const all = element("button", { type: "button", className: "quiet" }, `${values.length - shown.length} more`);
    all.addEventListener("click", () => {
      group.replaceWith(makeGroup(field, description, state, onToggle, true));
      byId("chips").querySelector(`fieldset.all[data-field="${CSS.escape(field)}"] button`)?.focus();
    });
    group.append(all);
  }
  return group;
}

function makeChip(field, { value, n_documents }, isChosen, onToggle) {
  const count = n_documents === null ? null : element("span", { className: "count" }, formatCount(n_documents));
  const chip = element("button", { type: "button", className: "chip", ariaPressed: String(isChosen) }, value, count);
  chip.dataset.chip = `${field}:${value}`;
  chip.addEventListener("click", () => onToggle(field, value));
  return chip;
}
