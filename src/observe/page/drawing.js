// Charts of the last hour, the queues at their owners, and the time line of moves. All of it SVG or cells, drawn here.
const CHART = { width: 560, height: 172, left: 44, right: 6, top: 8, bottom: 22 };

// A round number at or above the largest value.
function ceiling(most) {
  if (!(most > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= most);
}

// A chart of series over minutes. A series: { name, of: minute → number or null, tone, area }.
class Chart {
  constructor(place, read, label, series, scale) {
    Object.assign(this, { place, read, series, scale, minutes: [], at: null });
    this.svg = svg("svg", { viewBox: `0 0 ${CHART.width} ${CHART.height}`, preserveAspectRatio: "none", role: "img", tabindex: "0", "aria-label": label });
    place.append(this.svg);
    this.label = label;
    const point = (x) => { const box = this.svg.getBoundingClientRect(); this.point((x - box.left) / box.width); };
    this.svg.addEventListener("pointermove", (event) => point(event.clientX));
    this.svg.addEventListener("pointerleave", () => { this.at = null; this.draw(); });
    this.svg.addEventListener("blur", () => { this.at = null; this.draw(); });
    this.svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step || !this.minutes.length) return;
      event.preventDefault();
      const from = this.at ?? this.minutes.length - (step < 0 ? 0 : 1);
      this.at = Math.min(this.minutes.length - 1, Math.max(0, from + step));
      this.draw();
    });
    new ResizeObserver(() => this.draw()).observe(place);
  }
  point(part) {
    const inner = CHART.width - CHART.left - CHART.right;
    const x = (part * CHART.width - CHART.left) / inner;
    const minute = this.from + x * 59;
    let best = null;
    this.minutes.forEach((m, n) => { if (best === null || Math.abs(m.minute - minute) < Math.abs(this.minutes[best].minute - minute)) best = n; });
    if (this.at !== best) { this.at = best; this.draw(); }
  }
  show(minutes) {
    this.minutes = minutes;
    if (this.at !== null && this.at >= minutes.length) this.at = null;
    this.draw();
  }
  draw() {
    // As many units as pixels: text is not stretched.
    const box = this.place.getBoundingClientRect();
    CHART.width = Math.max(240, Math.round(box.width));
    const { width, left, right, top, bottom } = CHART;
    const height = Math.max(100, Math.round(box.height));
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const last = this.minutes.length ? this.minutes[this.minutes.length - 1].minute : Math.floor(Date.now() / 60_000);
    this.from = last - 59;
    const x = (minute) => left + ((minute - this.from) / 59) * (width - left - right);
    const values = this.series.map((one) => this.minutes.map(one.of));
    const { y, ticks } = this.scale(values.flat().filter(isKnown), top, height - bottom);
    const parts = ticks.map(([value, text]) => [
      svg("line", { class: "rule", x1: left, x2: width - right, y1: Math.round(y(value)), y2: Math.round(y(value)) }),
      svg("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, text),
    ]);
    for (const back of [59, 40, 20, 0]) {
      const minute = last - back;
      const anchor = back === 0 ? "end" : back === 59 ? "start" : "middle";
      parts.push(svg("text", { x: x(minute), y: height - 5, "text-anchor": anchor }, back ? clock(new Date(minute * 60_000)) : "now"));
    }
    this.series.forEach((one, n) => {
      // A minute without a value interrupts the line.
      const runs = [];
      this.minutes.forEach((m, i) => {
        const value = values[n][i];
        if (!isKnown(value)) return void runs.push([]);
        const former = this.minutes[i - 1];
        if (!runs.length || (former && m.minute - former.minute > 1)) runs.push([]);
        runs[runs.length - 1].push([x(m.minute), y(value)]);
      });
      for (const run of runs.filter((run) => run.length)) {
        const line = run.map(([a, b]) => `${a.toFixed(1)} ${b.toFixed(1)}`).join("L");
        if (one.area) parts.push(svg("path", { class: `area ${one.tone}`, d: `M${run[0][0].toFixed(1)} ${height - bottom}L${line}L${run[run.length - 1][0].toFixed(1)} ${height - bottom}Z` }));
        if (run.length > 1) parts.push(svg("path", { class: `line ${one.tone}`, d: `M${line}` }));
      }
      const newest = runs[runs.length - 1]?.at(-1);
      if (newest) parts.push(svg("circle", { class: `dot ${one.tone}`, cx: newest[0].toFixed(1), cy: newest[1].toFixed(1), r: 3 }));
    });
    const shown = this.at === null ? this.minutes[this.minutes.length - 1] : this.minutes[this.at];
    if (this.at !== null && shown) parts.push(svg("line", { class: "at", x1: x(shown.minute), x2: x(shown.minute), y1: top, y2: height - bottom }));
    this.svg.replaceChildren(...parts.flat());
    const told = this.series.map((one) => el("span", { class: `key ${one.tone}` }, `${one.name} `, el("b", {}, shown ? one.say(one.of(shown)) : "–")));
    const when = this.at === null || !shown ? null : el("span", {}, clock(new Date(shown.minute * 60_000)));
    this.read.replaceChildren(...[when, ...told].filter(Boolean));
    this.svg.setAttribute("aria-label", `${this.label}: ${plain(this.read.innerText ?? this.read.textContent)}. Arrow keys read other minutes.`);
  }
}

function straight(say) {
  return (values, top, bottom) => {
    const most = ceiling(Math.max(0, ...values));
    return { y: (value) => bottom - (value / most) * (bottom - top), ticks: [0, most / 2, most].map((value) => [value, say(value)]) };
  };
}
// Each doubling takes the same room: 0.5 ms and 10 s are both to be seen.
function doubling(say) {
  return (values, top, bottom) => {
    const low = 500;
    const high = Math.max(16_000, ...values);
    const span = Math.log2(high / low);
    const ticks = [low, low * 2 ** Math.round(span / 2), high];
    return { y: (value) => bottom - (Math.log2(Math.max(low, value) / low) / span) * (bottom - top), ticks: ticks.map((value) => [value, say(value)]) };
  };
}

// The name of a queue in two parts: what it is for, and its number or priority.
function parts(group, name) {
  const main = /^main:(.*)\.([^.]+)$/.exec(name);
  if (main) return [main[1], main[2]];
  const own = name.startsWith(`nephoscope.${group}.`) ? name.slice(`nephoscope.${group}.`.length) : name;
  const pipeline = /^(.*)\.g\d+\.(\d+)$/.exec(own);
  if (pipeline) return [pipeline[1], pipeline[2]];
  const overflow = /^(.*)\.overflow\.(.*)$/.exec(own);
  return overflow ? [`${overflow[1]} overflow`, overflow[2]] : [own, "·"];
}

function level(queue, most) {
  if (queue.state !== "running") return tone(queue.state);
  if (!(queue.taken > 0)) return "";
  // By its order of magnitude: one busy main queue does not make all others look idle.
  return `l${Math.min(4, 1 + Math.floor((Math.log1p(queue.taken) / Math.log1p(most)) * 3.99))}`;
}

// What is said of a queue under the drawing, and to who cannot see it.
function told(queue) {
  const facts = [queue.name, queue.state, `owner ${queue.owner ?? "none"}`, `in ${rate(queue.taken)}/s`, `out ${rate(queue.settled)}/s`];
  if (isKnown(queue.ready)) facts.push(`ready ${count(queue.ready)}`);
  facts.push(`held ${count(queue.held)}`);
  if (isKnown(queue.oldest_s)) facts.push(`oldest ${age(queue.oldest_s)}`);
  if (queue.pinned_to) facts.push(`pinned to ${queue.pinned_to}`);
  if (queue.error) facts.push(queue.error);
  return facts.join(" · ");
}

function cellsOf(place, picture, queues, most) {
  const sinks = new Map();
  for (const queue of queues) {
    const [sink, number] = parts(picture.group, queue.name);
    if (!sinks.has(sink)) sinks.set(sink, []);
    sinks.get(sink).push({ queue, number });
  }
  follow(place, [...sinks].sort(([a], [b]) => a.localeCompare(b)), ([sink]) => sink,
    ([sink]) => el("div", {}, el("p", { class: "sink" }, sink), el("div", { class: "cells" })),
    (node, [, all]) => {
      all.sort((a, b) => a.number.localeCompare(b.number, "en", { numeric: true }));
      follow(node.lastChild, all, ({ queue }) => queue.name,
        ({ number }) => {
          const cell = el("button", { type: "button", class: "cell" }, number);
          const point = () => say(byId("pointed"), told(cell.queue));
          cell.addEventListener("pointerenter", point);
          cell.addEventListener("focus", point);
          return cell;
        },
        (cell, { queue }) => {
          cell.queue = queue;
          cell.className = `cell ${level(queue, most)}${queue.pinned_to ? " pinned" : ""}`;
          cell.setAttribute("aria-label", plain(told(queue)));
          if (document.activeElement === cell) say(byId("pointed"), told(queue));
        });
    });
}

// One card for each member with the queues that it owns; one more for those that nobody owns.
function drawOwners(picture) {
  const most = Math.max(1, ...picture.queues.map((queue) => queue.taken ?? 0));
  const free = picture.queues.filter((queue) => !queue.owner);
  const cards = picture.members.map((member) => ({ id: member.id, member, queues: picture.queues.filter((queue) => queue.owner === member.id) }));
  if (free.length) cards.push({ id: "", member: null, queues: free });
  follow(byId("owners"), cards, (card) => card.id,
    () => el("article", { class: "member" }, el("header", {}, el("h3"), el("span")), el("p", { class: "facts" }), el("div")),
    (node, { id, member, queues }) => {
      const [head, facts, cells] = node.children;
      const state = member ? member.state : "free";
      node.classList.toggle("away", !member || member.state === "gone" || member.state === "not heard");
      say(head.firstChild, member ? id : "Without an owner");
      head.lastChild.className = `state ${tone(state)}`;
      say(head.lastChild, member && member.state === "not heard" && isKnown(member.heard_s) ? `not heard for ${age(member.heard_s)}` : state);
      const list = !member ? [many(queues.length, "queue")] : [
        member.host === id ? null : member.host, many(queues.length, "queue"), `in ${rate(member.received)}/s`, `out ${rate(member.published)}/s`,
        isKnown(member.cpu) ? `CPU ${Math.round(member.cpu)} %` : null, isKnown(member.rss_bytes) ? bytes(member.rss_bytes) : null,
        isKnown(member.lease_margin_ms) ? `lease ${(member.lease_margin_ms / 1_000).toFixed(1)} s` : null, member.version ? `version ${member.version}` : null,
      ];
      facts.replaceChildren(...list.filter(Boolean).map((text) => el("span", {}, text)));
      cellsOf(cells, picture, queues, most);
    });
}

// The newest moves on a line from the oldest of them to now: a dot each, by their reason.
function drawMoves(place, picture) {
  const width = Math.max(240, Math.round(place.getBoundingClientRect().width || 600));
  const now = Date.parse(picture.at);
  const times = picture.moves.map((one) => Date.parse(one.at)).filter(Number.isFinite);
  const from = Math.min(now - 60_000, ...times);
  const x = (time) => 8 + ((time - from) / (now - from)) * (width - 16);
  const root = svg("svg", { viewBox: `0 0 ${width} 74`, role: "img", "aria-label": `${many(times.length, "move")} since ${new Date(from).toLocaleString()}; the list below has each` });
  root.append(svg("line", { x1: 8, x2: width - 8, y1: 46.5, y2: 46.5 }));
  const stacks = new Map();
  for (const one of picture.moves.toReversed()) {
    const time = Date.parse(one.at);
    if (!Number.isFinite(time)) continue;
    const slot = Math.round(x(time) / 9);
    const height = stacks.get(slot) ?? 0;
    stacks.set(slot, height + 1);
    root.append(svg("circle", { class: one.reason, cx: x(time).toFixed(1), cy: 46 - Math.min(height, 4) * 9, r: 5 }, svg("title", {}, `${one.at} ${one.queue}: ${one.from ?? "–"} → ${one.to} (${one.reason})`)));
  }
  root.append(svg("text", { x: 8, y: 66 }, new Date(from).toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" })), svg("text", { x: width - 8, y: 66, "text-anchor": "end" }, "now"));
  place.replaceChildren(root);
}
