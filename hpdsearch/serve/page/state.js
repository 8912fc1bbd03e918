// What the user asks for. The address of the page holds it, so that it can be shared and the back button works.

// Filters have no prototype, so that a field may be called __proto__ or constructor.
export const makeFilters = (filters = {}) => Object.assign(Object.create(null), filters);
export const DEFAULTS = { q: "", index: "", mode: "hybrid", k: 10, filters: makeFilters(), where: "", like: "", doc: "" };
const MODES = ["hybrid", "dense", "lexical"];
const SIZES = [5, 10, 20, 50];
const RESERVED = /^(and|or|not|in|is|null|like|contains|starts|with|true|false|date)$/i;

export function readAddress() {
  const given = new URLSearchParams(location.search);
  const state = { ...DEFAULTS, filters: makeFilters() };
  for (const name of ["q", "index", "where", "like", "doc"]) state[name] = given.get(name) ?? "";
  if (MODES.includes(given.get("mode"))) state.mode = given.get("mode");
  if (SIZES.includes(Number(given.get("k")))) state.k = Number(given.get("k"));
  for (const chip of given.getAll("f")) {
    const at = chip.indexOf(":");
    if (at > 0) (state.filters[chip.slice(0, at)] ??= []).push(chip.slice(at + 1));
  }
  return state;
}

export function writeAddress(state, { replace }) {
  const given = new URLSearchParams();
  for (const name of ["q", "index", "mode", "k", "where", "like", "doc"]) {
    if (state[name] !== DEFAULTS[name]) given.set(name, state[name]);
  }
  for (const [field, values] of Object.entries(state.filters)) for (const value of values) given.append("f", `${field}:${value}`);
  const address = given.size ? `?${given}` : location.pathname;
  if (address === (location.search || location.pathname)) return;
  history[replace ? "replaceState" : "pushState"](null, "", address);
}

// The filter that the chips and the expression make together; null for none.
export function filterOf(state) {
  const parts = Object.entries(state.filters)
    .filter(([, values]) => values.length)
    .map(([field, values]) => `(${values.map((value) => comparison(field, value)).join(" or ")})`);
  if (state.where.trim()) parts.push(`(${state.where})`);
  return parts.length ? parts.join(" and ") : null;
}

function comparison(field, value) {
  const plain = /^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$/.test(field) && !field.split(".").some((part) => RESERVED.test(part));
  const name = plain ? field : "`" + field.replaceAll("`", "``") + "`";
  const quoted = `'${value.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`;
  return value === "true" || value === "false" ? `${name} = ${value} or ${name} = ${quoted}` : `${name} = ${quoted}`;
}
