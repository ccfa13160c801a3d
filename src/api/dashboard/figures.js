"use strict";

/* ---- numbers for people ---- */

const whole = new Intl.NumberFormat("en", {maximumFractionDigits: 0});
const short = new Intl.NumberFormat("en", {notation: "compact", maximumSignificantDigits: 3});
const known = value => value !== null && value !== undefined;
const count = value => !known(value) ? "–" : value < 100000 ? whole.format(value) : short.format(value);
const rate = value => !known(value) ? "–" : value > 0 && value < 0.1 ? value.toPrecision(1) : value < 10 && value % 1 ? value.toFixed(1) : count(value);
const percent = value => known(value) ? value.toFixed(1) + " %" : "–";
const seconds = value => known(value) ? rate(value) + " s" : "–";
const megabytes = value => !known(value) ? "memory not known" : value < 1 ? Math.ceil(value * 1024) + " KB" : value.toFixed(1) + " MB";
const several = (n, one, more = one + "s") => `${count(n)} ${n === 1 ? one : more}`;
const clock = (at, parts) => new Date(at).toLocaleTimeString([], {hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...parts});

function milliseconds(ms) {
    if (!known(ms))
        return "–";
    if (ms === 0)
        return "0";
    if (ms < 1)
        return Math.round(ms * 1000) + " µs";
    return ms < 1000 ? Number(ms.toPrecision(3)) + " ms" : Number((ms / 1000).toPrecision(3)) + " s";
}

function duration(seconds) {
    const units = [["d", 86400], ["h", 3600], ["min", 60]];
    const at = units.findIndex(([, size]) => seconds >= size);
    if (at < 0)
        return seconds < 10 ? seconds.toFixed(1) + " s" : Math.floor(seconds) + " s";
    const [name, size] = units[at], [smaller, part] = units[at + 1] || ["s", 1];
    return `${count(Math.floor(seconds / size))} ${name} ${Math.floor(seconds % size / part)} ${smaller}`;
}

/* ---- what is measured: each from what the server said at the two ends of a step ---- */

const ratioOf = (hits, misses) => hits + misses > 0 ? 100 * hits / (hits + misses) : null;
const perSecond = name => (was, now, s) => known(was[name]) && known(now[name]) ? Math.max(0, now[name] - was[name]) / s : null;
const most = name => (was, now, s, most) => most[name];

/* As the server does (base/histogram.h), for the durations between two answers. */
function percentile(what, q) {
    return (was, now) => {
        const counts = now.durations[what].buckets.map((n, i) => Math.max(0, n - was.durations[what].buckets[i]));
        const bounds = now.duration_bounds_ms, rank = q * counts.reduce((sum, n) => sum + n, 0);
        if (rank === 0)
            return null;
        for (let i = 0, below = 0; i < bounds.length; below += counts[i++]) {
            const start = i > 0 ? bounds[i - 1] : 0;
            if (counts[i] > 0 && below + counts[i] >= rank)
                return start + (bounds[i] - start) * (rank - below) / counts[i];
        }
        return bounds.at(-1);
    };
}

/* Gauges, of which a step has the greatest value that was seen. */
const PEAKS = ["in_flight", "parked", "queue"];

const MEASURES = {
    ratio: (was, now) => ratioOf(now.hits - was.hits, now.misses - was.misses),
    ratio_ever: (was, now) => ratioOf(now.hits, now.misses),
    requests: perSecond("requests"),
    fresh: (was, now, s) => Math.max(0, now.hits - now.stale_hits - was.hits + was.stale_hits) / s,
    stale: perSecond("stale_hits"),
    misses: perSecond("misses"),
    bypasses: perSecond("bypasses"),
    saved: perSecond("inference_seconds_saved"),
    answers_5xx: perSecond("responses_5xx"),
    inference_errors: perSecond("inference_errors"),
    store_errors: perSecond("store_errors"),
    in_flight: most("in_flight"),
    parked: most("parked"),
    queue: most("queue"),
    size: (was, now) => now.size,
    evictions: perSecond("evictions"),
    expired: perSecond("expired"),
    ...Object.fromEntries(["hit", "miss", "inference"].flatMap(what =>
        [50, 95, 99].map(n => [`${what}_p${n}`, percentile(what, n / 100)]))),
};

/* ---- what is shown: a row each ---- */

/* label, value, note; each from the statistics and the measures of the last 10 s */
const TILES = [
    ["Hit ratio, last 10 s", (s, now) => percent(now.ratio), s => percent(s.hit_ratio * 100) + " since the start"],
    ["Requests per second", (s, now) => rate(now.requests), s => count(s.requests) + " in all"],
    ["No inference needed", s => percent(s.answered_without_inference * 100), s => count(s.shared_answers) + " shared another one's"],
    ["Inference saved", s => duration(s.inference_seconds_saved), s => several(s.hits, "hit")],
    ["Inferences in flight", s => count(s.in_flight), s => `${count(s.queue)} queued, ${count(s.inferences)} started`],
    ["Requests parked", s => count(s.parked), s => count(s.coalesced) + " shared an inference"],
    ["Entries", s => count(s.size), s => [known(s.max_size) && "of " + count(s.max_size), megabytes(s.memory_mb)].filter(Boolean).join(", ")],
    ["Errors", s => count(s.inference_errors + s.store_errors),
        s => `${count(s.inference_errors)} model, ${count(s.store_errors)} cache; ${count(s.rejected_requests)} refused`],
];

const percentilesOf = what => [["p50", what + "_p50", "a"], ["p95", what + "_p95", "c"], ["p99", what + "_p99", "b"]];

/* title, how its numbers are written, the least top of its scale, and the lines: label, measure, class */
const CHARTS = [
    ["Hit ratio", percent, 100, [["at the time", "ratio", "a"], ["since the start", "ratio_ever", "d"]]],
    ["Requests per second", rate, 1, [["with this page's own", "requests", "a"]]],
    ["Hits per second", rate, 1, [["fresh", "fresh", "a"], ["stale", "stale", "c"]]],
    ["Misses per second", rate, 1, [["misses", "misses", "b"], ["bypasses", "bypasses", "d"]]],
    ["Time to a hit", milliseconds, 0.1, percentilesOf("hit")],
    ["Time to a miss", milliseconds, 0.1, percentilesOf("miss")],
    ["Time of an inference", milliseconds, 0.1, percentilesOf("inference")],
    ["Inference saved per second", seconds, 1, [["saved", "saved", "a"]]],
    ["Waiting for the model", count, 2, [["in flight", "in_flight", "a"], ["parked", "parked", "b"], ["queue", "queue", "d"]]],
    ["Errors per second", rate, 1, [["answers 5xx", "answers_5xx", "b"], ["inferences", "inference_errors", "d"], ["cache", "store_errors", "c"]]],
    ["Entries", count, 10, [["stored", "size", "a"]]],
    ["Removals per second", rate, 1, [["evicted", "evictions", "b"], ["expired", "expired", "c"]]],
];

/* label, member of `durations`, whether it is shown without any */
const DURATIONS = [
    ["Hits", "hit", true], ["Stale hits", "stale", false], ["Misses", "miss", true], ["Bypasses", "bypass", false],
    ["Batches in part stored", "partial", false], ["Errors", "failed", false], ["Inferences", "inference", true],
    ["First byte of the model", "first_byte", false],
];

/* The state of the model and of each place of entries: good, warn or bad; name; and a word about it. */
function statesOf(stats) {
    const {type, state, servers} = stats.backend;
    const unreached = stats.model_unreachable;
    const model = unreached > 0 ? ["bad", "model", `not reached by ${count(unreached)} of ${several(stats.workers, "worker")}`]
                                : ["good", "model", `${count(stats.inferences)} inferences, ${count(stats.inference_errors)} failed`];
    if (servers.length === 0)
        return [model, [state === "ok" ? "good" : "warn", type, state === "ok" ? `${count(stats.size)} entries, ${megabytes(stats.memory_mb)}` : "lost"]];
    return [model, ...servers.map(server => {
        const about = [known(server.size) && several(server.size, "item"), known(server.memory_bytes) && megabytes(server.memory_bytes / 2 ** 20)];
        const up = server.state === "up";
        return [up ? "good" : "warn", `${type} ${server.name}`, up ? about.filter(Boolean).join(", ") || "in use"
                                                                   : server.pending > 0 ? `lost, ${several(server.pending, "invalidation")} to tell` : "lost"];
    })];
}
