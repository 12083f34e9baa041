// watchd: keeps the page fresh, draws the graphs, and tells more on request. It only reads; text never becomes markup.
(() => {
  "use strict";
  const DAY = 86400, RANGES = [["1 h", 3600], ["6 h", 6 * 3600], ["1 d", DAY], ["1 w", 7 * DAY], ["5 w", 35 * DAY], ["1 y", 365 * DAY], ["2 y", 730 * DAY]];
  const $ = id => document.getElementById(id);
  const make = (tag, attributes = {}, ...inside) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...inside);
    return element;
  };
  const say = (element, text) => { if (element.textContent !== text) element.textContent = text; };
  const wear = (element, name) => { if (element.className !== name) element.className = name; };

  // --- words: the same as the page's own
  const span = s => {
    s = Math.max(0, Math.floor(s));
    const d = Math.floor(s / DAY), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
    return d ? `${d}d ${h}h` : h ? `${h}h ${m}m` : m ? `${m}m ${s % 60}s` : `${s}s`;
  };
  const scaled = (value, base, units, digits = 1) => {
    let place = 0;
    while (Math.abs(value) >= 999.5 && place < units.length - 1) { value /= base; place++; }
    const text = value.toFixed(Math.abs(value) < 99.95 && (place || digits > 1) && value !== 0 ? digits : 0);
    return (text.includes(".") ? text.replace(/\.?0+$/, "") : text) + units[place];
  };
  const bytes = value => scaled(value, 1024, [" B", " KiB", " MiB", " GiB", " TiB", " PiB"]);
  const short = (value, unit) => value == null ? "–"
    : unit === "bytes" ? scaled(value, 1024, [value ? " B" : "", "K", "M", "G", "T", "P"])
    : unit === "percent" || unit === "share" ? `${value < 9.95 && value % 1 ? value.toFixed(1) : value.toFixed(0)} %`
    : value !== 0 && Math.abs(value) < 9.95 ? String(+value.toFixed(2)) : scaled(value, 1000, ["", "k", "M", "G", "T"]);
  const percent = (value, digits = 0) => value == null ? "" : `${value.toFixed(digits)} %`;
  const seconds = stamp => stamp ? Date.parse(stamp) / 1000 : 0;
  const clock = () => Date.now() / 1000 + skew;
  let skew = 0;

  // --- asking: at most two questions at a time, so that a page needs two connections
  const line = [];
  let busy = 0;
  const next = () => {
    while (busy < 2 && line.length) {
      const [path, done, fail, isWanted] = line.shift();
      if (!isWanted()) continue;
      busy++;
      const end = new AbortController(), timer = setTimeout(() => end.abort(), 10000);
      fetch(path, { signal: end.signal, cache: "no-cache", credentials: "omit" })
        .then(answer => answer.ok ? answer.json() : answer.text().then(text => Promise.reject(new Error(text.trim()))))
        .then(done, fail)
        .finally(() => { clearTimeout(timer); busy--; next(); });
    }
  };
  const ask = (path, isWanted = () => true) => new Promise((done, fail) => { line.push([path, done, fail, isWanted]); next(); });

  // --- rows that stay the same elements while their text changes, so that focus and what is open stay
  const keep = (body, items, key, begin, update) => {
    const old = body.rowsByKey ||= new Map();
    if (!old.size) body.replaceChildren();
    const seen = new Set();
    let before = null;
    for (const item of items) {
      const id = key(item);
      if (seen.has(id)) continue;
      seen.add(id);
      let row = old.get(id);
      if (!row) old.set(id, row = begin(item));
      update(row, item);
      const place = before ? before.nextSibling : body.firstChild;
      if (row !== place) body.insertBefore(row, place);
      before = row.more && row.more.isConnected ? row.more : row;
      if (row.more && row.more.isConnected && row.nextSibling !== row.more) row.after(row.more);
    }
    for (const [id, row] of old) if (!seen.has(id)) { row.more?.remove(); row.remove(); old.delete(id); }
  };

  const TONES = { ready: "good", stopped: "soft", paused: "warn", unknown: "warn", starting: "warn", stopping: "warn", backoff: "bad", waiting: "warn", flapping: "bad", down: "bad", unhealthy: "bad", fight: "bad" };
  const OUTCOMES = { kept: "good", repaired: "good", skipped: "soft", pending: "warn", unknown: "warn", would: "warn", failed: "bad", timeout: "bad", denied: "bad" };
  const tone = state => TONES[state] || "bad";
  const URGENT = { bad: 0, warn: 1, good: 2, soft: 3 };

  // --- what a service was like, from the events of a day
  const AFTER = { "service-ready": "good", "service-adopted": "good", "service-resumed": "good", "service-starting": "warn", "service-died": "bad", "service-failed": "bad", "service-flapping": "bad", "service-unhealthy": "bad", "service-fight": "bad", "service-stopped": "soft", "service-paused": "warn", "service-unknown": "warn" };
  const events = new Map();
  let sinceEvents = 0;
  const learnEvents = list => { for (const event of list) events.set(event.number, event); };
  const strip = service => {
    const end = clock(), begin = end - DAY, parts = [];
    const own = [...events.values()].filter(event => event.subject === service.id && AFTER[event.kind]).sort((a, b) => a.number - b.number);
    // Before the first event that is known, a death was a life and everything else cannot be told.
    let from = Math.max(begin, sinceEvents), now = own.length ? (own[0].kind === "service-died" ? "good" : null) : tone(service.state), deaths = 0, well = 0, known = 0;
    const put = (to, name) => {
      if (name && to > from) {
        parts.push([from, to, name]);
        known += to - from;
        if (name === "good") well += to - from;
      }
      from = Math.max(from, to);
    };
    for (const event of own) {
      const at = seconds(event.at);
      if (at >= begin) {
        put(at, now);
        if (event.kind === "service-died") deaths++;
      }
      now = AFTER[event.kind];
    }
    put(end, tone(service.state));
    const NS = "http://www.w3.org/2000/svg", picture = document.createElementNS(NS, "svg");
    picture.setAttribute("viewBox", "0 0 1440 10");
    picture.setAttribute("preserveAspectRatio", "none");
    picture.setAttribute("role", "img");
    const words = `${known ? (100 * well / known).toFixed(well < known ? 2 : 0) : 0} % ready in ${span(known)}, ${deaths} death${deaths === 1 ? "" : "s"}`;
    picture.setAttribute("aria-label", words);
    const title = document.createElementNS(NS, "title");
    title.textContent = words;
    picture.append(title);
    // What went wrong is never too narrow to be seen, and drawn over what went well.
    parts.sort((a, b) => (URGENT[b[2]] ?? 9) - (URGENT[a[2]] ?? 9));
    parts.sort((a, b) => (a[2] === "good" ? 0 : 1) - (b[2] === "good" ? 0 : 1));
    // The end of it is what it is now.
    const last = tone(service.state);
    parts.push([end - 540, end, last]);
    for (const [one, other, name] of parts) {
      const bar = document.createElementNS(NS, "rect"), x = (one - begin) / 60, width = Math.max((other - one) / 60, name === "good" ? 0 : 9);
      for (const [key, value] of [["x", Math.min(x, 1440 - width - (name === last ? 0 : 9))], ["y", 0], ["width", width], ["height", 10], ["class", name]]) bar.setAttribute(key, value);
      picture.append(bar);
    }
    return picture;
  };

  // --- services
  const tell = event => make("li", {}, `${new Date(seconds(event.at) * 1000).toLocaleString()}  `, make("b", { class: { warning: "warn", error: "bad" }[event.severity] || "" }, event.kind), ` ${event.text}`);
  const explain = (row, id) => {
    const button = row.cells[0].firstChild, open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", open);
    row.more?.remove();
    if (!open) return;
    const cell = make("td", { colspan: 8 }, "Asking…");
    row.more = make("tr", { class: "more" }, cell);
    row.after(row.more);
    ask(`/api/why?name=${encodeURIComponent(id)}`).then(why => {
      const service = why.service, budget = service ? `${service.budget_left} of ${service.budget_full} restarts are left in its budget` : "";
      cell.replaceChildren(make("p", {}, [service?.pid ? `Process ${service.pid}` : "", budget, why.classes.length ? `true now: ${why.classes.join(", ")}` : ""].filter(Boolean).join("; ") + "."),
        make("ul", {}, ...why.events.slice(-10).reverse().map(tell)));
      if (!why.events.length) cell.append(make("p", { class: "empty" }, "Nothing happened to it that is remembered."));
    }, fault => cell.replaceChildren(make("p", { class: "bad" }, fault.message)));
  };
  const showServices = status => {
    const body = $("services")?.querySelector("tbody");
    if (!body) { if (status.processes.length) location.reload(); return; }
    const order = [...status.processes].sort((a, b) => URGENT[tone(a.state)] - URGENT[tone(b.state)]);
    keep(body, order, service => service.id, service => {
      const row = make("tr", { "data-id": service.id });
      row.append(make("th", { scope: "row" }, make("button", { class: "name", "aria-expanded": "false", onclick: () => explain(row, service.id) }, service.id)),
        make("td", {}, make("span", { class: "pill" })), make("td", { class: "strip" }), make("td", { class: "n", "data-n": "for" }), make("td", { class: "n", "data-n": "restarts" }),
        make("td", { class: "n", "data-n": "CPU" }), make("td", { class: "n", "data-n": "memory" }), make("td", { class: "why" }));
      return row;
    }, (row, service) => {
      const [, state, past, since, restarts, cpu, rss, why] = row.cells;
      row.dataset.tone = tone(service.state);
      wear(state.firstChild, `pill ${tone(service.state)}`);
      say(state.firstChild, service.state);
      const fresh = `${service.state} ${events.size} ${Math.floor(clock() / 60)}`;
      if (row.fresh !== fresh) { row.fresh = fresh; past.replaceChildren(strip(service)); }
      say(since, service.since ? span(clock() - seconds(service.since)) : "");
      say(restarts, String(service.restarts));
      say(cpu, percent(service.cpu_pct, 1));
      say(rss, service.rss_kib == null ? "" : bytes(service.rss_kib * 1024));
      say(why, service.reason);
    });
  };

  // --- disks
  const left = new Map();
  // Where the policy asks for a forecast, the daemon's is told and no other.
  const isForeseen = disk => "full_in_s" in disk;
  const forecast = disk => {
    const seconds = isForeseen(disk) ? disk.full_in_s : left.get(disk.mountpoint);
    return seconds == null ? "" : `full in ${span(seconds)} at this rate`;
  };
  // The median slope of a day, told only when nine of ten pairs of points fall, and it is less than a month.
  const foresee = () => {
    for (const disk of (status?.disks || []).filter(disk => isFilling(disk) && !isForeseen(disk)).slice(0, 8)) {
      ask(`/api/history?metric=filesystem.avail&object=${encodeURIComponent(disk.mountpoint)}&since=1d&points=48`).then(({ points }) => {
        const slopes = [];
        points.forEach(([at, , mean], place) => { for (const [then, , later] of points.slice(place + 1)) slopes.push((later - mean) / (then - at)); });
        slopes.sort((a, b) => a - b);
        const slope = slopes[slopes.length >> 1], covered = points.length ? points.at(-1)[0] - points[0][0] : 0;
        const falls = covered >= 4 * 3600 && slopes.filter(one => one < 0).length > slopes.length * .9, seconds = disk.avail / -slope;
        if (falls && seconds < 30 * DAY) left.set(disk.mountpoint, seconds); else left.delete(disk.mountpoint);
      }, () => {});
    }
  };
  const isFilling = disk => disk.notable && !disk.read_only && disk.fstype !== "tmpfs" && disk.fstype !== "devtmpfs";
  const showDisks = status => {
    const body = $("disks")?.querySelector("tbody");
    if (!body) return;
    keep(body, status.disks.filter(disk => disk.notable), disk => disk.mountpoint, disk => {
      const meter = make("meter", { min: 0, max: 100, low: 80, high: 90, optimum: 0, "aria-label": `${disk.mountpoint} full` });
      return make("tr", {}, make("th", { scope: "row" }, make("span", {}, disk.mountpoint), " ", make("span", { class: "pill bad" }, "does not answer"), make("span", { class: "pill warn" }, "tells no space"), make("span", { class: "pill soft" }, "read-only")),
        make("td", { class: "bar" }, meter, make("span")), make("td", { class: "n", "data-n": "free" }), make("td", { class: "n", "data-n": "of" }), make("td", { class: "n", "data-n": "inodes" }), make("td", { class: "warn" }), make("td", { class: "why" }));
    }, (row, disk) => {
      const [name, bar, free, size, inodes, eta, device] = row.cells;
      name.children[1].hidden = !disk.hung;
      name.children[2].hidden = !disk.refused;
      name.children[3].hidden = !disk.read_only;
      wear(bar, disk.used_pct == null ? "bar none" : "bar");
      bar.firstChild.hidden = disk.used_pct == null;
      // What nobody can write to may be full.
      bar.firstChild.low = disk.read_only ? 100 : 80;
      bar.firstChild.high = disk.read_only ? 100 : 90;
      bar.firstChild.value = disk.used_pct ?? 0;
      say(bar.lastChild, percent(disk.used_pct));
      say(free, disk.avail == null ? "" : bytes(disk.avail));
      say(size, disk.size == null ? "" : bytes(disk.size));
      say(inodes, percent(disk.inodes_used_pct));
      say(eta, forecast(disk));
      say(device, `${disk.device} (${disk.fstype})`);
    });
  };

  // --- the rest of the tables
  const showTop = status => {
    const { host, verdict } = status;
    wear($("top"), `top ${verdict.tone}${verdict.text.length > 80 ? " long" : ""}`);
    say($("verdict"), verdict.text);
    document.title = `${verdict.tone === "good" ? "" : "● "}${host.name} · watchd`;
    const tile = (name, value, small) => value == null ? [] : [[name, value, small || ""]];
    const tiles = [
      ...tile("Load", host.load[0]?.toFixed(2), host.load.slice(1).map(value => value?.toFixed(2)).join(" ")),
      ...tile("Processors", host.cpu_pct == null ? null : percent(host.cpu_pct), host.cpus ? `of ${host.cpus}` : ""),
      ...tile("Memory", host.memory.used_pct == null ? null : percent(host.memory.used_pct), `of ${bytes(host.memory.total)}`),
      ...tile("Swap", host.swap.used_pct == null ? null : percent(host.swap.used_pct), host.swap.total ? `of ${bytes(host.swap.total)}` : ""),
      ...tile("Up", host.uptime_s == null ? null : span(host.uptime_s)),
      ...tile("Watched for", span(clock() - seconds(status.daemon.started)), status.daemon.rss_kib ? `in ${bytes((status.daemon.rss_kib + (status.daemon.door_rss_kib || 0)) * 1024)}` : ""),
    ];
    keep($("host"), tiles, tile => tile[0], ([name]) => make("div", {}, make("dt", {}, name), make("dd", {}, "", make("small"))), (row, [, value, small]) => {
      const dd = row.lastChild;
      if (dd.firstChild.nodeType !== 3) dd.prepend("");
      if (dd.firstChild.data !== `${value} `) dd.firstChild.data = `${value} `;
      say(dd.lastChild, small);
    });
  };
  const showPromises = status => {
    const body = $("promises")?.querySelector("tbody");
    if (!body) return;
    keep(body, status.promises.filter(promise => promise.type !== "process"), promise => `${promise.type} ${promise.id}`, promise => make("tr", {}, make("th", { scope: "row" }, promise.id), make("td", {}, promise.type || ""), make("td", {}, make("span", { class: "pill" })), make("td", { class: "n" })), (row, promise) => {
      const pill = row.cells[2].firstChild;
      wear(pill, `pill ${OUTCOMES[promise.outcome] || "soft"}`);
      say(pill, promise.outcome);
      say(row.cells[3], promise.at ? `${span(clock() - seconds(promise.at))} ago` : "");
    });
  };
  const showClasses = status => {
    const [main, others] = $("classes")?.querySelectorAll("ul") || [];
    if (!others) return;
    const order = ["measured", "learned", "defined", "set", "state", "outcome", "time", "hard"], place = item => order.indexOf(item.kind);
    const sorted = [...status.classes].sort((a, b) => place(a) - place(b) || (a.name < b.name ? -1 : 1));
    const list = (body, items) => keep(body, items, item => item.name, item => make("li", { class: `k-${item.kind}`, title: `${item.kind}, since ${new Date(item.since).toLocaleString()}` }, item.name), () => {});
    // What is as it should be does not stand out.
    const isTelling = item => place(item) < 4 && !item.name.endsWith("_ok");
    const telling = sorted.filter(isTelling), rest = sorted.filter(item => !isTelling(item));
    list(main, telling);
    list(others, rest);
    main.nextElementSibling.hidden = telling.length > 0;
    say(others.previousElementSibling, `${rest.length} more, of services, promises, time and host`);
  };
  const showEvents = () => {
    const body = $("events")?.querySelector("tbody");
    const newest = [...events.values()].sort((a, b) => b.number - a.number).slice(0, 20);
    keep(body, newest, event => event.number, event => make("tr", {}, make("td", { class: "n" }, make("time", { datetime: event.at, title: new Date(event.at).toLocaleString() })), make("td", {}, event.subject),
      make("td", {}, make("span", { class: { warning: "warn", error: "bad" }[event.severity] || "" }, event.kind), event.text ? `: ${event.text}` : "")), (row, event) => {
      say(row.cells[0].firstChild, `${span(clock() - seconds(event.at))} ago`);
    });
  };

  // --- one look every few seconds, and none while nobody sees the page
  let status = null, heard = 0, number = 0, timer = 0;
  const notice = text => { const place = $("notice"); place.hidden = !text; say(place, text || ""); };
  const show = () => { showTop(status); showServices(status); showDisks(status); showPromises(status); showClasses(status); showEvents(); };
  const age = () => {
    if (!status) return;
    const old = clock() - seconds(status.host.sampled);
    say($("asof"), `${old < 2 ? "Now" : `${span(old)} ago`}, sampled every ${span(status.daemon.cycle_s)}`);
    const silent = Date.now() / 1000 - heard;
    if (silent > 30) { notice(`watchd has not answered this page for ${span(silent)}. What stands here is old.`); wear($("top"), "top bad"); }
    else if (status.daemon.heartbeat_age_s >= 3 * Math.max(1, status.daemon.cycle_s)) notice(`The daemon has not turned for ${span(status.daemon.heartbeat_age_s + silent)}. What stands here is old.`);
    else notice("");
  };
  const look = () => {
    clearTimeout(timer);
    if (document.hidden) return Promise.resolve();
    return ask(`/api/status?after=${number}`).then(found => {
      status = found;
      heard = Date.now() / 1000;
      learnEvents(found.events);
      number = Math.max(number, ...found.events.map(event => event.number));
      show();
      document.documentElement.dataset.looks = 1 + Number(document.documentElement.dataset.looks || 0);
    }, () => {}).finally(() => { age(); timer = setTimeout(look, Math.min(Math.max(status?.daemon.cycle_s || 5, 2), 5) * 1000); });
  };

  // --- graphs
  const view = { from: 0, to: 0, range: 6 * 3600 };
  let chosen = 0;
  try { chosen = Number(localStorage.getItem("range")); } catch { /* no storage, no memory */ }
  let plots = [], drawn = 0;
  const name = (metric, object) => object ? `${metric} ${object}` : metric;
  const of = (list, metric) => list.filter(item => item.metric === metric).map(item => item.object);
  const proposals = list => {
    const has = metric => list.some(item => item.metric === metric), graphs = [];
    const add = (title, unit, ...series) => { const there = series.filter(([metric]) => has(metric)); if (there.length) graphs.push({ title, unit, series: there }); };
    add("Processors", "share", ["cpu.user", "", "user"], ["cpu.system", "", "system"], ["cpu.iowait", "", "waits for disk"]);
    add("Load", "count", ["load.five", "", "5 min"]);
    add("Memory available", "bytes", ["memory.available", "", ""]);
    const disks = new Map((status?.disks || []).map(disk => [disk.mountpoint, disk]));
    const isDisk = object => { const disk = disks.get(object); return disk && isFilling(disk); };
    const real = object => /^(en|eth|wl|ww|bond|br|lan|wan|sd|nvme|vd|xvd|mmc|md|dm)/.test(object) ? 0 : 1;
    const best = metric => { const all = of(list, metric), some = all.filter(object => real(object) === 0); return some.length ? some.slice(0, 2) : all.slice(0, 1); };
    for (const object of of(list, "filesystem.avail").filter(isDisk).slice(0, 4)) add(`Free on ${object}`, "bytes", ["filesystem.avail", object, ""]);
    for (const object of best("network.rx_bytes")) add(`Network ${object}`, "bytes", ["network.rx_bytes", object, "received/s"], ["network.tx_bytes", object, "sent/s"]);
    for (const object of best("disk.read_bytes")) add(`Disk ${object}`, "bytes", ["disk.read_bytes", object, "read/s"], ["disk.written_bytes", object, "written/s"]);
    add("Waiting (pressure)", "pressure", ["pressure.cpu_some_total", "", "for processors"], ["pressure.memory_some_total", "", "memory"], ["pressure.io_some_total", "", "disks"]);
    // The largest; those that do not run have none to be shown.
    const size = new Map((status?.processes || []).filter(service => service.rss_kib != null).map(service => [service.id, service.rss_kib]));
    const services = of(list, "service.rss").filter(object => size.has(object)).sort((a, b) => size.get(b) - size.get(a));
    for (const object of of(list, "measure.value").slice(0, 4)) add(object, "count", ["measure.value", object, ""]);
    if (services.length) add("Memory of services", "bytes", ...services.slice(0, 4).map(object => ["service.rss", object, object]));
    return graphs;
  };
  const colour = key => getComputedStyle(document.documentElement).getPropertyValue(key).trim();
  const span_ = () => view.from ? [view.from, view.to] : [Math.floor(Date.now() / 1000 + skew) - view.range, Math.floor(Date.now() / 1000 + skew)];
  const question = ([metric, object], [from, to], points) => `/api/history?metric=${encodeURIComponent(metric)}&object=${encodeURIComponent(object)}&from=${from}&to=${to}&points=${points}`;
  // A point in the middle of its step, the newest no later than now, or it would not be on the scale; a gap is a null.
  const columns = answer => {
    const rows = [[], [], [], []], step = answer.step;
    let last = null;
    for (const [at, min, mean, max] of answer.points) {
      if (last !== null && at - last > step * 1.5) { rows[0].push(last + step); rows[1].push(null); rows[2].push(null); rows[3].push(null); }
      rows[0].push(Math.min(at + step / 2, answer.to)); rows[1].push(min); rows[2].push(mean); rows[3].push(max);
      last = at;
    }
    return rows;
  };
  const moment = (at, length) => {
    const date = new Date(at * 1000);
    return length <= 1.5 * DAY ? date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" })
      : length <= 200 * DAY ? date.toLocaleDateString([], { month: "short", day: "numeric" }) : date.toLocaleDateString([], { year: "numeric", month: "short" });
  };
  // From 0, unless all is far from it; never so close that the steps of the history (0.1 %) are seen.
  const frame = (low, high) => {
    if (low < 0 && high > 0) return [low - (high - low) * .06, high + (high - low) * .06];
    if (low < 0) return frame(-high, -low).map(value => -value).reverse();
    return low > 0 && high - low < high * .3 ? [Math.max(0, low - (high - low) * .5 - high * .03), high + (high - low) * .2 + high * .03] : [0, high > 0 ? high * 1.08 : 1];
  };
  const draw = (plot, answers) => {
    const { graph } = plot;
    const factor = graph.unit === "share" ? 100 / (status?.host.cpus || 1) : graph.unit === "pressure" ? 100 : 1;
    const unit = graph.unit === "pressure" ? "percent" : graph.unit;
    const scale = values => factor === 1 ? values : values.map(value => value === null ? null : value * factor);
    const tables = answers.map(columns).map(([at, min, mean, max]) => [at, scale(min), scale(max), scale(mean)]);
    const series = [{}], bands = [], quiet = { stroke: "transparent", points: { show: false } };
    // What is usual at those times of the week, by what is known now: from the middle of each step to that of the next. Of several
    // lines it is shown of the one that was chosen, or of the first that was learned; least and most are shown of all.
    const learned = answers.map(({ usual }) => usual || { points: [] }), chosen = plot.chosen;
    const shown = chosen ?? Math.max(0, learned.findIndex(({ points }) => points.length)), known = learned[shown];
    const usual = known.points.map(([at, low, expected, high]) => [at, at + known.step / 2, low * factor, high * factor]);
    const usualAt = moment => usual.findLast(([at]) => at <= moment && moment < at + known.step);
    const whose = tables.length > 1 ? ` ${graph.series[shown][2]}` : "";
    graph.series.forEach((_, place) => {
      const alpha = chosen == null || chosen === place ? 1 : .25, band = chosen == null || chosen === place;
      series.push(quiet, quiet, { stroke: colour(`--g${place}`), width: 1.5, alpha, points: { size: 4, show: (u, s, i0, i1) => i1 - i0 < 3 } });
      if (band) bands.push({ series: [3 * place + 2, 3 * place + 1], fill: colour(`--b${place}`) });
    });
    const data = tables.length === 1 ? tables[0] : uPlot.join(tables);
    const lines = graph.series.map((_, place) => 3 * place + 3);
    const newest = column => { for (let at = data[column].length - 1; at >= 0; at--) if (data[column][at] != null) return data[column][at]; return null; };
    const legend = at => {
      plot.keys.forEach((key, place) => say(key, `${graph.series[place][2]} ${short(at == null ? newest(lines[place]) : data[lines[place]][at], unit)}`.trim()));
      const there = at == null ? usual.at(-1) : usualAt(data[0][at]);
      say(plot.usual, there ? `usual${whose} ${short(there[2], unit)} to ${short(there[3], unit)}` : "");
      plot.usual.hidden = !there;
    };
    plot.u?.destroy();
    plot.u = null;
    plot.box.replaceChildren();
    const [from, to] = span_();
    if (!data[0].length) { plot.box.append(make("p", { class: "none" }, "Nothing was measured in this time")); legend(null); drawn++; return; }
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--rule"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    plot.u = new uPlot({
      width: Math.max(200, plot.box.clientWidth), height: 150, legend: { show: false }, series, bands, padding: [8, 18, 0, 0],
      cursor: { sync: { key: "watchd" }, y: false, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
      scales: { x: { min: from, max: to }, y: { range: (u, low, high) => {
        if (low == null) return [0, 1];
        // What is usual is shown as far as it leaves room for what was.
        if (usual.length) {
          const room = (high - low || Math.abs(high) * .02) * .7, least = Math.min(...usual.map(one => one[2])), most = Math.max(...usual.map(one => one[3]));
          [low, high] = [Math.min(low, Math.max(least, low - room)), Math.max(high, Math.min(most, high + room))];
        }
        return frame(low, high);
      } } },
      axes: [{ ...axis, size: 24, space: 64, values: (u, ticks) => ticks.map(at => moment(at, to - from)) }, { ...axis, size: 52, space: 34, ...(unit === "bytes" ? { incrs: POWERS } : {}), values: (u, ticks) => ticks.map(tick => short(tick, unit)) }],
      hooks: {
        // What is usual stands behind everything.
        drawClear: [u => {
          const { ctx } = u, { left, top, width, height } = u.bbox;
          const run = points => {
            ctx.beginPath();
            for (const [, x, , high] of points) ctx.lineTo(u.valToPos(x, "x", true), u.valToPos(high, "y", true));
            for (const [, x, low] of points.toReversed()) ctx.lineTo(u.valToPos(x, "x", true), u.valToPos(low, "y", true));
            ctx.fill();
          };
          ctx.save();
          ctx.beginPath();
          ctx.rect(left, top, width, height);
          ctx.clip();
          ctx.fillStyle = colour("--learned");
          let first = 0;
          usual.forEach(([at], place) => { if (place === usual.length - 1 || usual[place + 1][0] - at > known.step) { run(usual.slice(first, place + 1)); first = place + 1; } });
          ctx.restore();
        }],
        draw: [u => { plot.box.dataset.scale = `${u.scales.y.min} ${u.scales.y.max}`; }],
        setCursor: [u => legend(u.cursor.idx)],
        setSelect: [u => {
          if (u.select.width < 8) return;
          const one = u.posToVal(u.select.left, "x"), other = u.posToVal(u.select.left + u.select.width, "x");
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          zoom(Math.floor(one), Math.ceil(other));
        }],
      },
    }, data, plot.box);
    plot.u.over.addEventListener("dblclick", () => choose(view.range));
    legend(null);
    const words = graph.series.map((_, place) => { const all = data[lines[place]].filter(value => value != null); return `${graph.series[place][2] ? `${graph.series[place][2]}: ` : ""}newest ${short(newest(lines[place]), unit)}, least ${short(all.reduce((a, b) => Math.min(a, b), Infinity), unit)}, most ${short(all.reduce((a, b) => Math.max(a, b), -Infinity), unit)}`; });
    if (usual.length) words.push(plot.usual.textContent);
    plot.box.setAttribute("aria-label", `${graph.title}. ${words.join("; ")}`);
    plot.box.dataset.usual = usual.length;
    plot.box.dataset.bands = bands.length;
    plot.box.dataset.newest = lines.map(newest).filter(value => value != null).join(" ");
    drawn++;
  };
  const POWERS = Array.from({ length: 52 }, (_, place) => 2 ** place);
  let round = 0;
  const redraw = () => {
    const mine = ++round, stretch = span_();
    drawn = 0;
    document.documentElement.dataset.graphs = `0/${plots.length}`;
    for (const plot of plots) {
      const points = Math.min(500, Math.max(60, Math.floor(plot.box.clientWidth / 2) || 200));
      Promise.all(plot.graph.series.map(one => ask(question(one, stretch, points), () => mine === round))).then(answers => { if (mine === round) { plot.answers = answers; draw(plot, answers); } }, fault => {
        if (mine === round) plot.box.replaceChildren(make("p", { class: "none" }, fault.message));
      }).finally(() => { if (mine === round) document.documentElement.dataset.graphs = `${drawn}/${plots.length}`; });
    }
  };
  const mark = () => document.querySelectorAll("#graphs [data-range]").forEach(button => button.setAttribute("aria-pressed", !view.from && Number(button.dataset.range) === view.range));
  const choose = range => { view.from = view.to = 0; view.range = range; try { localStorage.setItem("range", range); } catch { /* as above */ } mark(); redraw(); };
  const zoom = (from, to) => {
    const now = Math.floor(clock());
    to = Math.min(to, now);
    if (to - from < 60) { const middle = (from + to) / 2; from = Math.floor(middle - 30); to = from + 60; }
    view.from = Math.max(from, now - 730 * DAY); view.to = to;
    mark(); redraw();
  };
  // Who looks at now and wants to see it closer keeps it in sight.
  const move = (near, wide) => { const [from, to] = span_(), length = to - from, middle = wide < 1 && clock() - to < Math.max(length / 20, 60) ? to - length * wide / 2 : (from + to) / 2 + length * near; zoom(Math.floor(middle - length * wide / 2), Math.ceil(middle + length * wide / 2)); };
  const figure = (place, graph, removable) => {
    // Of several lines each can be chosen: then its own band is shown, and what is usual for it.
    const choosing = n => { plot.chosen = plot.chosen === n ? null : n; plot.keys.forEach((key, n) => key.setAttribute("aria-pressed", plot.chosen === n)); if (plot.answers) draw(plot, plot.answers); };
    const key = (_, n) => graph.series.length > 1 ? make("button", { class: `key c${n}`, "aria-pressed": "false", title: "Only this line", onclick: () => choosing(n) }) : make("span", { class: "key c0" });
    const plot = { graph, chosen: null, keys: graph.series.map(key), usual: make("span", { class: "key l", hidden: true, title: "what is usual at that hour of the week, by what is known now" }), box: make("div", { class: "plot", role: "img", "aria-label": graph.title }) };
    const caption = make("figcaption", {}, make("b", {}, graph.title), ...plot.keys, plot.usual);
    const whole = make("figure", {}, caption, plot.box);
    if (removable) caption.append(make("button", { "aria-label": `Remove ${graph.title}`, onclick: () => { whole.remove(); plots = plots.filter(other => other !== plot); } }, "×"));
    place.append(whole);
    plots.push(plot);
    return plot;
  };
  const begin = () => {
    const section = $("graphs");
    if (!section || !window.uPlot) return;
    // A young history is looked at closely.
    view.range = chosen || (status && clock() - seconds(status.daemon.started) < 3600 ? 3600 : view.range);
    ask("/api/history").then(({ series }) => {
      const grid = make("div", { class: "graphs" }), select = make("select", { "aria-label": "Add a graph" }, make("option", { value: "" }, "Add a graph…"));
      const sorted = series.map((item, place) => [name(item.metric, item.object), place]).sort();
      for (const [text, place] of sorted) select.append(make("option", { value: place }, text));
      select.addEventListener("change", () => {
        const item = series[Number(select.value)];
        if (select.value === "" || !item) return;
        select.value = "";
        figure(grid, { title: name(item.metric, item.object), unit: item.unit, series: [[item.metric, item.object, item.per_second ? "per second" : ""]] }, true);
        redraw();
      });
      const button = (text, label, work) => make("button", { "aria-label": label, title: label, onclick: work }, text);
      const ranges = make("div", { class: "group", role: "group", "aria-label": "Time shown" }, ...RANGES.map(([text, range]) => make("button", { "data-range": range, onclick: () => choose(range) }, text)));
      const steps = make("div", { class: "group", role: "group", "aria-label": "Move and zoom" }, button("‹", "Earlier", () => move(-.5, 1)), button("›", "Later", () => move(.5, 1)), button("+", "Zoom in", () => move(0, .5)), button("−", "Zoom out", () => move(0, 2)));
      section.replaceChildren(make("div", { class: "head" }, make("h2", {}, "History"), make("div", { class: "tools" }, ranges, steps, select)), grid);
      for (const graph of proposals(series)) figure(grid, graph, false);
      mark();
      redraw();
      let width = section.clientWidth;
      new ResizeObserver(() => {
        if (Math.abs(section.clientWidth - width) < 2) return;
        width = section.clientWidth;
        for (const plot of plots) plot.u?.setSize({ width: Math.max(200, plot.box.clientWidth), height: 150 });
      }).observe(section);
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots.forEach(plot => plot.answers && draw(plot, plot.answers)));
      setInterval(() => { if (!document.hidden && !view.from && view.range <= DAY) redraw(); }, 30000);
    }, fault => section.replaceChildren(make("h2", {}, "History"), make("p", { class: "empty" }, fault.message)));
  };

  document.documentElement.classList.add("live");
  ask(`/api/events?since=24h&last=300`).then(found => {
    learnEvents(found.events);
    number = found.newest;
    // Where the journal begins later than a day ago, nothing is known before.
    sinceEvents = found.events.length && (found.events.length >= 300 || found.events[0].number === 1) ? seconds(found.events[0].at) : 0;
  }, () => {}).finally(() => look().finally(() => { begin(); foresee(); setInterval(() => document.hidden || foresee(), 300000); }));
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { look(); if (!view.from) redraw(); } });
  setInterval(age, 1000);
})();
