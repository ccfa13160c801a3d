// Runs in Chromium before the dashboard's own script: a server whose answers a test gives, and a clock that stands until it does.
"use strict";

(() => {
    const START = Date.UTC(2026, 0, 15, 12), NOW = "test-now";
    let now = Number(sessionStorage.getItem(NOW)) || START, waiting = null, due = null;

    Date.now = () => now;
    window.setTimeout = callback => { due = callback; };
    window.fetch = () => new Promise((resolve, reject) => { waiting = {resolve, reject}; });

    // {status, stats}, or null: no answer. It comes `afterMs` after the one before.
    window.give = async (answer, afterMs) => {
        now += afterMs;
        sessionStorage.setItem(NOW, now);
        if (due)
            due();
        due = null;
        if (answer)
            waiting.resolve({status: answer.status, ok: answer.status === 200, json: async () => answer.stats});
        else
            waiting.reject(new TypeError("no answer"));
        for (let ticks = 0; !due && ticks < 50; ticks++)
            await null;
    };

    const raise = (stats, by) => Object.entries(by).forEach(([name, n]) => {
        if (Array.isArray(n))
            n.forEach((more, i) => { stats[name][i] += more; });
        else if (typeof n === "object")
            raise(stats[name], n);
        else
            stats[name] += n;
    });

    // `n` answers, each after a time; each raises the counters by `by`. Returns what the server says at the end.
    window.giveMany = async (stats, n, afterMs, by) => {
        const draw = window.drawCharts;
        window.drawCharts = () => {}; // but for the last one
        for (let i = 0; i < n; i++) {
            if (i === n - 1)
                window.drawCharts = draw;
            raise(stats, by);
            await window.give({status: 200, stats: structuredClone(stats)}, afterMs);
        }
        return stats;
    };
})();
