/* ---- the rest of the page ---- */

const POLL_MS = 1000, POLL_LONGEST_MS = 30000, ANSWER_WITHIN_MS = 5000;
const RECENT_MS = 10000;
const TOKEN = "inferonce-token", RANGE = "inferonce-range";

const tiles = TILES.map(([label, value, note]) => {
    const box = make(element("tiles"), "div");
    make(box, "dt", {}, label);
    return {value, note, valueAt: make(box, "dd", {class: "value"}, "–"), noteAt: make(box, "dd", {class: "note"})};
});

/* Answers of the last 10 s, for the tiles. */
let recent = [];

function recentMeasures(at, stats) {
    recent = recent.filter(its => its.at >= at - RECENT_MS && its.at < at && its.stats.requests <= stats.requests);
    const values = recent.length > 0 ? measure(recent[0].stats, stats, (at - recent[0].at) / 1000, peaksOf(stats)) : [];
    return Object.fromEntries(NAMES.map((name, i) => [name, values[i]]));
}

function showTiles(at, stats) {
    const measures = recentMeasures(at, stats);
    for (const tile of tiles) {
        tile.valueAt.textContent = tile.value(stats, measures);
        tile.noteAt.textContent = tile.note(stats, measures);
    }
}

/* Empties an element if what it shows has changed: otherwise it stays, so that it can be selected. */
const shown = {};
function empties(id, what) {
    const text = JSON.stringify(what);
    if (shown[id] === text)
        return false;
    shown[id] = text;
    element(id).replaceChildren();
    return true;
}

function showStates(stats) {
    const states = statesOf(stats);
    if (!empties("states", states))
        return;
    for (const [kind, name, about] of states) {
        const item = make(element("states"), "li", {class: kind});
        make(item, "strong", {}, name);
        make(item, "span", {}, about);
    }
}

function showDurations(stats) {
    const rows = DURATIONS.map(([label, name, always]) => ({label, always, its: stats.durations[name]}))
        .filter(({always, its}) => always || its.count > 0)
        .map(({label, its}) => [label, milliseconds(its.p50_ms), milliseconds(its.p95_ms), milliseconds(its.p99_ms), count(its.count)]);
    if (!empties("durations", rows))
        return;
    for (const [label, ...texts] of rows) {
        const row = make(element("durations"), "tr");
        make(row, "th", {scope: "row"}, label);
        texts.forEach(text => make(row, "td", {}, text));
    }
}

/* ---- events: marks in the charts, and a list ---- */

const EVENTS_SHOWN = 8;
const COUNTED_EVENTS = [
    ["purges", "purge"], ["worker_restarts", "worker died", "workers died"], ["reloads", "reload"],
    ["reloads_refused", "reload was refused", "reloads were refused"],
];
let seen = null; /* the last answer; null: none, or it was none */
let wasSilent = false;

function noteEvents(at, stats) {
    const note = text => events.push([at, text]);
    if (!stats && seen && !wasSilent)
        note("no figures come");
    if (stats && wasSilent && seen)
        note("figures come again");
    if (stats && seen) {
        if (stats.requests < seen.requests)
            note("the server started anew");
        for (const [name, one, more] of COUNTED_EVENTS)
            if (stats[name] > seen[name])
                note(several(stats[name] - seen[name], one, more));
        if ((stats.model_unreachable > 0) !== (seen.model_unreachable > 0))
            note(stats.model_unreachable > 0 ? "the model is lost" : "the model is back");
        for (const server of stats.backend.servers) {
            const before = seen.backend.servers.find(({name}) => name === server.name);
            if (before && before.state !== server.state)
                note(server.state === "up" ? `${server.name} is back` : `${server.name} is lost`);
        }
    }
    wasSilent = !stats;
    seen = stats || seen;
}

function showEvents() {
    const list = element("events");
    if (!empties("events", events))
        return;
    for (const [at, text] of events.slice(-EVENTS_SHOWN).reverse()) {
        const item = make(list, "li");
        make(item, "time", {datetime: new Date(at).toISOString()}, clock(at, {second: "2-digit"}));
        make(item, "span", {}, text);
    }
    if (events.length === 0)
        make(list, "li", {}, "Nothing since this page was opened.");
}

/* `stats` null: the server did not answer. */
function take(stats) {
    const at = Date.now();
    if (stats) {
        showTiles(at, stats);
        showStates(stats);
        showDurations(stats);
        recent.push({at, stats});
    }
    noteEvents(at, stats);
    remember(at, stats);
    showEvents();
    document.body.classList.toggle("old", !stats);
    drawCharts(at);
}

/* Only what changed is written, so that a screen reader is not told every second. */
function say(kind, text, about) {
    const state = element("state");
    if (state.textContent !== text)
        state.textContent = text;
    state.className = kind;
    element("about").textContent = about;
}

/* ---- the choice of the range ---- */

RANGES.forEach(({name}, i) => {
    const label = make(element("choice"), "label");
    const input = make(label, "input", {type: "radio", name: "range", value: i});
    make(label, "span", {}, name);
    input.addEventListener("change", () => choose(i));
});

function choose(i) {
    range = i;
    element("choice").querySelectorAll("input")[i].checked = true;
    drawCharts();
    try {
        localStorage.setItem(RANGE, i);
    } catch {
        /* not allowed: the next page begins with the shortest */
    }
}

function chosenRange() {
    try {
        const kept = Number(localStorage.getItem(RANGE));
        return kept in RANGES ? kept : 0;
    } catch {
        return 0;
    }
}

/* ---- asking ---- */

document.title = `${location.host} – inferonce`;

let waitMs = POLL_MS, timer = 0;
let figuresOf = ""; /* when the last ones came */

function succeeded(stats) {
    take(stats);
    const {type, state, servers} = stats.backend;
    const about = `up ${duration(stats.uptime_seconds)} · ${several(stats.workers, "worker")} · cache: ${type}, ${state}`;
    if (stats.model_unreachable > 0)
        say("bad", "the model cannot be reached: only what is stored is answered", about);
    else if (state === "ok")
        say("good", "live", about);
    else
        say("warn", (servers.length > 1 ? "a" : "the") + " cache server is lost: answers still come, but slower", about);
    element("login").hidden = true;
    waitMs = POLL_MS;
    figuresOf = "figures of " + new Date().toLocaleTimeString();
}

function askLater(text) {
    waitMs = Math.min(2 * waitMs, POLL_LONGEST_MS);
    document.body.classList.add("old");
    say("bad", `${text}; asking again in ${waitMs / 1000} s`, figuresOf);
}

function failed(text) {
    take(null);
    askLater(text);
}

/* Figures that this page does not understand, of another version for example, must not stop it. */
function show(stats) {
    try {
        succeeded(stats);
    } catch {
        failed("the server's figures cannot be shown");
    }
}

/* Does not go on by itself: the form does. */
function askForToken() {
    element("refused").hidden = sessionStorage.getItem(TOKEN) === null;
    sessionStorage.removeItem(TOKEN);
    document.body.classList.add("old");
    say("warn", "a token is needed", figuresOf);
    if (element("login").hidden) {
        element("login").hidden = false;
        element("token").focus();
    }
}

async function ask() {
    const token = sessionStorage.getItem(TOKEN);
    const headers = token === null ? {} : {Authorization: `Bearer ${token}`};
    let response, stats;
    try {
        response = await fetch("cache/stats", {headers, cache: "no-store", signal: AbortSignal.timeout(ANSWER_WITHIN_MS)});
        stats = response.ok ? await response.json() : null;
    } catch {
        failed("the server does not answer");
        return true;
    }
    if (response.status === 401) {
        askForToken();
        return false;
    }
    if (response.status === 403)
        askLater("not allowed from here: open this page on the server's own machine, or have ADMIN_TOKEN set");
    else if (stats === null)
        failed(`the server answers ${response.status}`);
    else
        show(stats);
    return true;
}

async function poll() {
    const asked = performance.now();
    if (await ask())
        timer = setTimeout(poll, Math.max(0, waitMs - (performance.now() - asked)));
}

element("login").addEventListener("submit", event => {
    event.preventDefault();
    sessionStorage.setItem(TOKEN, element("token").value);
    element("token").value = "";
    clearTimeout(timer);
    waitMs = POLL_MS;
    poll();
});

choose(chosenRange());
poll();
