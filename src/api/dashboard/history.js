/* ---- the course of the measures, for each range in steps of its own ----
 *
 * It is kept in this browser's localStorage: the simplest place that outlives a reload of the page and of the master. The
 * server would have to write and hand over a course for whoever may look some day, which Prometheus does better. */

const MINUTE_MS = 60 * 1000, HOUR_MS = 60 * MINUTE_MS;
const RANGES = [
    {name: "15 min", ms: 15 * MINUTE_MS, stepMs: 3000},
    {name: "1 h", ms: HOUR_MS, stepMs: 12000},
    {name: "6 h", ms: 6 * HOUR_MS, stepMs: 72000},
    {name: "24 h", ms: 24 * HOUR_MS, stepMs: 288000},
];
const NAMES = Object.keys(MEASURES);
const HISTORY = "inferonce-history " + location.pathname;

/* A browser asks seldom for a page that nobody sees, once a minute; longer is a gap. */
const GAP_MS = 90 * 1000;

const SHORTEST_MS = 2000;

/* Enough for every line, and short to keep. */
const DIGITS = 6;

function measure(was, now, seconds, most) {
    return NAMES.map(name => {
        const value = MEASURES[name](was, now, seconds, most);
        return known(value) ? Number(value.toPrecision(DIGITS)) : null;
    });
}

const peaksOf = stats => Object.fromEntries(PEAKS.map(name => [name, stats[name]]));

/* A range's samples, [time, a value for each of NAMES], oldest first; a time alone is a gap. `open` is the step that is
 * not over: when it began, what the server said then, and the peaks since. */
class Track {
    constructor(range) {
        this.range = range;
        this.samples = [];
        this.open = this.last = null;
    }

    /* Counters that fell are those of a new start. */
    follows(at, stats) {
        return at > this.open.at && at - (this.last || this.open).at <= GAP_MS + this.range.stepMs && stats.requests >= this.open.stats.requests;
    }

    /* `stats` null: the server did not answer. */
    add(at, stats) {
        if (this.open && (!stats || !this.follows(at, stats))) {
            this.samples.push([at]);
            this.open = this.last = null;
        }
        if (stats)
            this.step(at, stats);
        this.samples = this.samples.filter(([time]) => time > at - this.range.ms - 2 * this.range.stepMs && time <= at);
    }

    step(at, stats) {
        const peaks = peaksOf(stats), {stepMs} = this.range;
        if (this.open)
            PEAKS.forEach(name => this.open.most[name] = Math.max(this.open.most[name], peaks[name]));
        this.last = {at, stats};
        if (this.open && Math.floor(at / stepMs) > Math.floor(this.open.at / stepMs)) {
            this.samples.push(this.measured());
            this.open = null;
        }
        this.open = this.open || {at, stats, most: peaks};
    }

    /* The sample of the open step, as far as it has come. */
    measured() {
        const {open, last} = this;
        return [last.at, ...measure(open.stats, last.stats, (last.at - open.at) / 1000, open.most)];
    }

    /* With the open step, unless it has just begun: chance would then be most of it. */
    drawn() {
        const age = this.open && this.last ? this.last.at - this.open.at : 0;
        return age >= SHORTEST_MS || age > 0 && this.samples.length === 0 ? [...this.samples, this.measured()] : this.samples;
    }
}

const tracks = RANGES.map(range => new Track(range));
let events = []; /* [time, text], oldest first */

/* ---- keeping it ---- */

const SAVE_MS = 10000, EVENTS_MAX = 50;
let restored = false, savedAt = 0;

function save() {
    if (!restored)
        return;
    const kept = {names: NAMES, tracks: tracks.map(({samples, open}) => ({samples, open})), events};
    try {
        localStorage.setItem(HISTORY, JSON.stringify(kept));
    } catch {
        /* no room, or not allowed: the course then ends with the page */
    }
}

/* Nobody sees it before the server has let them see its figures. */
function restore() {
    if (restored)
        return;
    restored = true;
    try {
        const kept = JSON.parse(localStorage.getItem(HISTORY));
        if (!kept || String(kept.names) !== String(NAMES) || kept.tracks.length !== tracks.length)
            return;
        tracks.forEach((track, i) => Object.assign(track, kept.tracks[i]));
        events = kept.events;
    } catch {
        /* of another version, or spoilt: it begins anew */
    }
}

function remember(at, stats) {
    restore();
    for (const track of tracks)
        track.add(at, stats);
    events = events.filter(([time]) => time > at - RANGES.at(-1).ms).slice(-EVENTS_MAX);
    if (at - savedAt >= SAVE_MS || at < savedAt) {
        savedAt = at;
        save();
    }
}

addEventListener("pagehide", save);
document.addEventListener("visibilitychange", save);
