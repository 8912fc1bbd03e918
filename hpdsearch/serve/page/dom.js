// Make elements. Text is always set as text, never as HTML: documents may hold anything.

export const byId = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

export function svg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export const formatCount = (n) => n.toLocaleString("en");
export const formatScore = (score) => score.toFixed(score >= 10 ? 1 : 3);
export const formatMilliseconds = (ms) => (ms < 10 ? ms.toFixed(1) : Math.round(ms).toString()) + " ms";

export function showValue(value) {
  return value !== null && typeof value === "object" ? JSON.stringify(value) : String(value);
}
