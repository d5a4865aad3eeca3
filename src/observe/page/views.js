// The tables: queues, publishers, what was parked, hand-overs, the configuration.
const words = (title, of, more = {}) => ({ title, of, sort: of, ...more });
const numbers = (title, of, say, more = {}) => ({ title, of: (row) => say(of(row)), sort: (row) => of(row) ?? -1, n: true, ...more });
const stateOf = (row) => el("span", { class: `state ${tone(row.state)}` }, row.state);
const withNote = (text, note) => (note ? [text, el("small", {}, note)] : text);

const QUEUES = [
  words("Queue", (q) => q.name, { show: (q) => withNote(q.name, q.error), name: true }),
  words("Owner", (q) => q.owner ?? "", { show: (q) => withNote(q.owner ?? "–", q.pinned_to ? `pinned to ${q.pinned_to}` : null) }),
  words("State", (q) => q.state, { show: stateOf }),
  numbers("In/s", (q) => q.taken, rate), numbers("Out/s", (q) => q.settled, rate), numbers("Ready", (q) => q.ready, count),
  numbers("Held", (q) => q.held, count), numbers("Oldest", (q) => q.oldest_s, age),
  numbers("State log", (q) => q.log_bytes || null, bytes, { wide: true }), numbers("Epoch", (q) => q.epoch, (n) => n ?? "–", { wide: true }),
];
const PUBLISHERS = [
  words("Publisher", (p) => p.name, { show: (p) => withNote(p.name, p.why), name: true }),
  words("Sink", (p) => p.sink), words("State", (p) => p.state, { show: stateOf }),
  numbers("Out/s", (p) => p.accepted, rate), numbers("Accepted", (p) => p.accepted_in_all, short, { wide: true }), numbers("Waiting", (p) => p.waiting, count),
  numbers("For", (p) => (p.held_since ? between(p.held_since, p.at) : null), age), numbers("Retries", (p) => p.retries, count),
  numbers("Refused", (p) => p.refused, count), numbers("Overflowed", (p) => p.overflowed, count, { wide: true }),
];
const PARKED = [words("Reason", (c) => c.what, { name: true }), numbers("Parked", (c) => c.count, count)];
const COMPLAINTS = [words("Definition", (c) => c.what, { name: true }), numbers("Gave nothing", (c) => c.count, count)];
const MOVES = [
  words("When", (m) => m.at, { show: (m) => el("time", { datetime: m.at, title: m.at }, `${age(between(m.at, m.now))} ago`), back: true }),
  words("Queue", (m) => m.queue, { name: true }), words("From", (m) => m.from ?? "–"), words("To", (m) => m.to),
  words("Why", (m) => m.reason, { show: (m) => el("span", { class: `state ${m.reason}` }, m.reason) }),
];
const OPTIONS = [
  words("Option", (o) => `[${o.section}] ${o.name}`, { show: (o) => [el("code", {}, `[${o.section}] ${o.name}`), el("small", {}, o.what)], name: true }),
  words("Value", (o) => o.value, { show: (o) => (o.value === "" ? el("span", { class: "dim" }, "nothing") : el("code", {}, o.value)) }),
  words("Written in", (o) => o.place ?? "", { show: (o) => o.place ?? el("span", { class: "dim" }, "default"), wide: true }),
];

// A table that can be sorted and filtered, whose rows keep their nodes.
class Table {
  constructor(columns, key, none) {
    Object.assign(this, { columns, key, none, by: 0, back: Boolean(columns[0].back), filter: "", rows: [] });
    this.heads = columns.map((column, n) => {
      const button = el("button", { type: "button" }, column.title);
      button.addEventListener("click", () => { this.back = this.by === n ? !this.back : Boolean(column.n); this.by = n; this.draw(); });
      return el("th", { class: [column.n ? "n" : "", column.wide ? "wide" : ""].join(" ").trim() || null, scope: "col" }, button);
    });
    this.body = el("tbody");
    this.table = el("table", {}, el("thead", {}, el("tr", {}, this.heads)), this.body);
    this.empty = el("p", { class: "none" });
    this.node = el("div", { class: "scroll" }, this.table, this.empty);
  }
  show(rows) { this.rows = rows; this.draw(); }
  draw() {
    const wanted = this.filter.toLowerCase();
    const column = this.columns[this.by];
    const has = (row) => this.columns.some((one) => String(one.of(row)).toLowerCase().includes(wanted));
    const rows = this.rows.filter(has).sort((a, b) => {
      const [x, y] = [column.sort(a), column.sort(b)];
      const order = column.n ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
      return (this.back ? -order : order) || this.key(a).localeCompare(this.key(b));
    });
    this.heads.forEach((head, n) => (n === this.by ? head.setAttribute("aria-sort", this.back ? "descending" : "ascending") : head.removeAttribute("aria-sort")));
    follow(this.body, rows.slice(0, 500), this.key,
      () => el("tr", {}, this.columns.map((one) => el("td", { class: [one.n ? "n" : "", one.wide ? "wide" : "", one.name ? "name" : ""].join(" ").trim() || null }))),
      (node, row) => this.columns.forEach((one, n) => {
        const shown = one.show ? one.show(row) : one.of(row);
        const cell = node.children[n];
        if (typeof shown === "string") say(cell, shown);
        else cell.replaceChildren(...[shown].flat().map((part) => (part instanceof Node ? part : document.createTextNode(plain(part)))));
      }));
    this.table.hidden = rows.length === 0;
    this.empty.hidden = rows.length > 0 && rows.length <= 500;
    say(this.empty, rows.length > 500 ? `${many(rows.length - 500, "row")} more: filter, or use nephoscope top` : this.rows.length ? "Nothing has that." : this.none);
  }
}

function searching(table, label) {
  const input = el("input", { type: "search", placeholder: "Filter", "aria-label": label, autocomplete: "off", spellcheck: "false", maxlength: "100" });
  input.addEventListener("input", () => { table.filter = input.value; table.draw(); });
  return input;
}

const tables = {
  queues: new Table(QUEUES, (q) => q.name, "No member has a queue yet."),
  publishers: new Table(PUBLISHERS, (p) => `${p.sink} ${p.name}`, "No sink has a publisher."),
  parked: new Table(PARKED, (c) => c.what, "Nothing was parked since the members started."),
  complaints: new Table(COMPLAINTS, (c) => c.what, "No definition gave nothing."),
  moves: new Table(MOVES, (m) => `${m.at} ${m.queue}`, "No queue has moved."),
  options: new Table(OPTIONS, (o) => `[${o.section}] ${o.name}`, "The configuration has not come yet."),
};
tables.publishers.by = 1;
tables.parked.by = tables.complaints.by = 1;
tables.parked.back = tables.complaints.back = true;

const strip = el("div", { class: "strip" });
const reasons = el("p", { class: "legend" }, ["first", "again", "lost", "joined", "moved"].map((reason) => el("span", { class: `state ${reason}` }, reason)));
const files = el("p", { class: "dim" });
const all = el("input", { type: "checkbox" });
const TABS = [
  { id: "queues", title: "Queues", count: (p) => p.queues.length, body: [el("div", { class: "tools" }, searching(tables.queues, "Filter the queues")), tables.queues.node] },
  { id: "publishers", title: "Publishers", count: (p) => p.publishers.length, warn: (p) => p.publishers.some((one) => one.state !== "works"), body: [el("div", { class: "tools" }, searching(tables.publishers, "Filter the publishers")), tables.publishers.node] },
  { id: "parked", title: "Parked", count: (p) => p.now.parked, warn: (p) => p.now.parked > 0, body: [
    el("div", { class: "tools" }, el("span", {}, "Since the members started. ", el("code", {}, "nephoscope parked list"), " shows each message that is parked now.")), tables.parked.node, tables.complaints.node] },
  { id: "moves", title: "Hand-overs", count: (p) => p.moves.length, body: [el("div", { class: "tools" }, reasons), strip, tables.moves.node] },
  { id: "configuration", title: "Configuration", body: [
    el("div", { class: "tools" }, searching(tables.options, "Filter the options"), el("label", {}, all, " with defaults")), files, tables.options.node] },
];
