
"use strict";
// Words and numbers. All text of others goes through plain() and becomes a text node: it is never markup.
const ACTS = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e0fff}]/gu;
const plain = (text) => String(text).replace(ACTS, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);

// A node: el("p", { class: "dim" }, "text", node, …). Attributes that are null are left out.
const SVG = "http://www.w3.org/2000/svg";
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  return fill(node, attributes, children);
}
function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}
function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) node.setAttribute(name, plain(value));
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined) node.append(child instanceof Node ? child : document.createTextNode(plain(child)));
  }
  return node;
}
const byId = (id) => document.getElementById(id);
function say(node, text) {
  const shown = plain(text);
  if (node.textContent !== shown) node.textContent = shown;
}

// The children of a node follow a list: one that stays keeps its node, and with it the focus.
function follow(parent, items, key, make, update) {
  const known = parent.known ?? (parent.known = new Map());
  const seen = new Set();
  let before = null;
  for (const item of items) {
    const name = key(item);
    if (seen.has(name)) continue;
    seen.add(name);
    let node = known.get(name);
    if (!node) known.set(name, (node = make(item)));
    update?.(node, item);
    const place = before ? before.nextSibling : parent.firstChild;
    if (place !== node) parent.insertBefore(node, place);
    before = node;
  }
  for (const [name, node] of known) {
    if (!seen.has(name)) { node.remove(); known.delete(name); }
  }
}

const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const isKnown = (n) => n !== null && n !== undefined;
const count = (n) => (isKnown(n) ? whole.format(n) : "–");
const short = (n) => (isKnown(n) ? (n < 10_000 ? whole.format(Math.round(n)) : compact.format(n)) : "–");
const rate = (n) => (!isKnown(n) ? "–" : n > 0 && n < 10 ? n.toFixed(1) : short(n));
function bytes(n) {
  if (!isKnown(n)) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; n >= 1024 && unit < units.length - 1; unit++) n /= 1024;
  return `${unit ? n.toFixed(n < 10 ? 1 : 0) : n} ${units[unit]}`;
}
function age(seconds) {
  if (!isKnown(seconds)) return "–";
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}
function ms(us) {
  if (!isKnown(us)) return "–";
  return us < 1_000 ? `${us / 1_000} ms` : us < 1_000_000 ? `${Math.round(us / 1_000)} ms` : `${Math.round(us / 1_000_000)} s`;
}
function between(since, now) {
  const seconds = Math.floor((Date.parse(now) - Date.parse(since)) / 1_000);
  return Number.isFinite(seconds) ? Math.max(0, seconds) : null;
}
const clock = (date) => date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const many = (n, what) => `${whole.format(n)} ${what}${n === 1 ? "" : "s"}`;

const GOOD = ["running", "works"];
const SOON = ["opening", "closing", "waiting", "starting", "draining", "drained", "silent", "tried"];
const tone = (state) => (GOOD.includes(state) ? "good" : SOON.includes(state) ? "warn" : "bad");
