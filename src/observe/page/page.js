// The page: hears pictures, and shows each. It sends nothing.
const tile = (title, value, unit, note, warn) => ({ title, value, unit, note, warn });

function tilesOf({ now, members }) {
  const alive = members.filter((member) => member.state !== "gone").length;
  return [
    tile("Notifications in", rate(now.received), "/s", many(alive, "member")),
    tile("Records out", rate(now.published), "/s", "samples and events"),
    tile("Latency, 99 %", ms(now.pipeline.p99_us ?? now.main.p99_us), "", `50 %: ${ms(now.pipeline.p50_us ?? now.main.p50_us)}`),
    tile("Ready at the broker", short(now.ready), "", "wait to be taken"),
    tile("Held by members", short(now.held), "", isKnown(now.oldest_s) ? `oldest ${age(now.oldest_s)}` : "taken, not settled", now.oldest_s >= 60),
    tile("Wait for publishers", short(now.waiting), "", now.waiting ? "see Publishers" : "none is away", now.waiting > 0),
    tile("Parked", short(now.parked), "", now.parked ? "see Parked" : "nothing", now.parked > 0),
  ];
}

function showTiles(picture) {
  follow(byId("tiles"), tilesOf(picture), (one) => one.title,
    (one) => el("div", { class: "tile" }, el("dt", {}, one.title), el("dd", { class: "value" }, el("span"), el("small")), el("dd", { class: "note" })),
    (node, one) => {
      node.classList.toggle("warn", Boolean(one.warn));
      say(node.children[1].firstChild, one.value);
      say(node.children[1].lastChild, one.unit);
      say(node.children[2], one.note);
    });
}

// What is wrong, the worst first.
function troublesOf(picture) {
  const bad = (text) => ({ text, tone: "bad" });
  const warn = (text) => ({ text, tone: "warn" });
  return [
    ...picture.unseen.map((why) => bad(`Not seen: ${why}`)),
    ...picture.members.filter((member) => member.state === "not heard").map((member) => bad(`${member.id} says nothing${isKnown(member.heard_s) ? `; it was heard ${age(member.heard_s)} ago` : ""}`)),
    ...picture.queues.filter((queue) => queue.error).map((queue) => bad(`${queue.name}: ${queue.error}`)),
    ...picture.members.flatMap((member) => member.waiting_for.map((why) => warn(`${member.id} waits for ${why}`))),
    ...picture.publishers.filter((one) => one.state !== "works").map((one) => warn(`${one.sink}: ${one.name} ${one.waiting ? `holds ${many(one.waiting, "record")}` : one.state}${one.held_since ? ` for ${age(between(one.held_since, picture.at))}` : ""}${one.why ? `: ${one.why}` : ""}`)),
    ...(picture.paused ? [warn("Rebalancing is paused: no queue moves until nephoscope cluster resume")] : []),
  ];
}

function showTroubles(picture) {
  const troubles = troublesOf(picture);
  const most = 6;
  const shown = troubles.slice(0, most);
  if (troubles.length > most) shown.push({ text: `and ${troubles.length - most} more: the tables have them`, tone: "warn" });
  const list = byId("troubles");
  list.hidden = shown.length === 0;
  follow(list, shown, (one) => one.text, (one) => el("li", { class: one.tone }, one.text));
  const worst = troubles.some((one) => one.tone === "bad") ? "bad" : troubles.length ? "warn" : "good";
  verdict(worst, troubles.length ? `${many(troubles.length, "thing")} to look at` : "all is well");
}

function verdict(tone, text) {
  byId("verdict").className = `verdict ${tone}`;
  say(byId("verdict"), text);
}

// The minute that has not ended is as fast as the group is now.
const minute = (of, now) => (m) => (m.now ? now(m.now) : of(m) / 60);
const perSecond = (n) => `${rate(n)}/s`;
const charts = [
  new Chart(byId("rates"), byId("rates-read"), "Notifications in, samples and events out, per second, in the last hour", [
    { name: "in", of: minute((m) => m.received, (now) => now.received), say: perSecond, tone: "in", area: true },
    { name: "out", of: minute((m) => m.published, (now) => now.published), say: perSecond, tone: "out" },
  ], straight((n) => short(n))),
  new Chart(byId("latency"), byId("latency-read"), "Time from taking a message to settling it, in the last hour", [
    { name: "50 % within", of: (m) => m.p50_us, say: ms, tone: "half" },
    { name: "99 % within", of: (m) => m.p99_us, say: ms, tone: "most" },
  ], doubling(ms)),
];

let newest = null;
function show(picture) {
  newest = picture;
  say(byId("group"), `group ${picture.group} · ${many(picture.members.length, "member")} · ${many(picture.queues.length, "queue")}${picture.shared ? "" : " · without a group in etcd"}`);
  document.title = `${plain(picture.group)} · nephoscope`;
  say(byId("clock"), new Date(picture.at).toLocaleTimeString([], { hourCycle: "h23" }));
  byId("clock").setAttribute("datetime", plain(picture.at));
  byId("live").classList.add("on");
  showTroubles(picture);
  showTiles(picture);
  const minutes = picture.minutes.map((m, n) => (n === picture.minutes.length - 1 ? { ...m, now: picture.now } : m));
  charts.forEach((chart) => chart.show(minutes));
  drawOwners(picture);
  tables.queues.show(picture.queues);
  tables.publishers.show(picture.publishers.map((one) => ({ ...one, at: picture.at })));
  tables.parked.show(picture.parked);
  tables.complaints.show(picture.complaints);
  tables.moves.show(picture.moves.map((one) => ({ ...one, now: picture.at })));
  if (!byId("panel-moves").hidden) drawMoves(strip, picture);
  for (const tab of TABS.filter((one) => one.count)) {
    const mark = byId(`tab-${tab.id}`).lastChild;
    say(mark, short(tab.count(picture)));
    mark.className = tab.warn?.(picture) ? "warn" : "";
  }
}

// Tabs: arrow keys go from one to the next, and the address remembers which.
function choose(id, focus) {
  for (const tab of TABS) {
    const chosen = tab.id === id;
    const button = byId(`tab-${tab.id}`);
    button.setAttribute("aria-selected", String(chosen));
    button.tabIndex = chosen ? 0 : -1;
    byId(`panel-${tab.id}`).hidden = !chosen;
    if (chosen && focus) button.focus();
  }
  history.replaceState(null, "", `#${id}`);
  if (id === "configuration") askConfiguration();
  if (id === "moves" && newest) drawMoves(strip, newest);
}
for (const [n, tab] of TABS.entries()) {
  const button = el("button", { type: "button", role: "tab", id: `tab-${tab.id}`, "aria-controls": `panel-${tab.id}` }, tab.title, el("span"));
  button.addEventListener("click", () => choose(tab.id, false));
  button.addEventListener("keydown", (event) => {
    const to = { ArrowRight: n + 1, ArrowLeft: n - 1, Home: 0, End: TABS.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    choose(TABS[(to + TABS.length) % TABS.length].id, true);
  });
  byId("tabs").append(button);
  byId("panels").append(el("div", { role: "tabpanel", id: `panel-${tab.id}`, "aria-labelledby": `tab-${tab.id}`, tabindex: "0" }, tab.body));
}
byId("legend").append(
  ...[["idle", "idle"], ["", "busy"], ["warn", "on its way"], ["bad", "not consumed"]].map(([tone, text]) => el("span", {}, el("i", { class: tone || null }), text)));
const chosen = TABS.find((tab) => `#${tab.id}` === location.hash) ?? TABS[0];
choose(chosen.id, false);

let configuration = null;
async function askConfiguration() {
  try {
    configuration = await (await fetch("/desk/config", { cache: "no-store" })).json();
    say(files, `Of this member, as read from ${configuration.files.join(", ") || "no file"}; secrets are hidden.`);
  } catch { say(files, "This member does not answer."); }
  showConfiguration();
}
function showConfiguration() {
  tables.options.show((configuration?.options ?? []).filter((option) => all.checked || option.place));
}
all.addEventListener("change", showConfiguration);

// A stream that ends comes again by itself; one that was refused is asked for again a little later.
function listen() {
  const events = new EventSource("/desk/events");
  events.onmessage = (event) => show(JSON.parse(event.data));
  events.onerror = () => {
    byId("live").classList.remove("on");
    verdict("bad", "this member does not answer");
    if (events.readyState === EventSource.CLOSED) { events.close(); setTimeout(listen, 5_000); }
  };
}
listen();
