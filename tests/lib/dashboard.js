// Usage: node tests/lib/dashboard.js PAGE < ANSWERS
//
// Runs the dashboard's script with as much of a browser as it uses. ANSWERS is a JSON array, one element for each time the page asks:
// {"status": 200, "stats": {...}}, or null for a server that does not answer. Prints a JSON array with what the page shows after each.
"use strict";

const fs = require("fs");
const vm = require("vm");

class Element {
    constructor(name) {
        this.name = name;
        this.children = [];
        this.attributes = {};
        this.textContent = "";
        this.hidden = false;
        this.className = "";
        this.classList = {toggle: (name, on) => { this[name] = on; }};
    }
    setAttribute(name, value) { this.attributes[name] = String(value); }
    appendChild(child) { this.children.push(child); return child; }
    addEventListener() {}
    focus() {}
}

const page = fs.readFileSync(process.argv[2], "utf8");
const answers = JSON.parse(fs.readFileSync(0, "utf8"));
const elements = {};
let nowMs = 0, next = null;

const browser = {
    document: {
        getElementById: id => elements[id] ??= new Element(id),
        createElement: name => new Element(name),
        createElementNS: (space, name) => new Element(name),
    },
    location: {host: "cache.example:8080"},
    sessionStorage: {getItem: () => null, setItem: () => {}, removeItem: () => {}},
    performance: {now: () => nowMs},
    setTimeout: (callback, ms) => { next = {callback, ms}; },
    clearTimeout: () => {},
    AbortSignal: {timeout: () => undefined},
    fetch: async () => {
        const answer = answers.shift();
        if (answer === null)
            throw new TypeError("no answer");
        return {status: answer.status, ok: answer.status === 200, json: async () => answer.stats};
    },
    Intl, Date, Math, Object, JSON,
};

function shown() {
    return {
        state: elements.state.textContent,
        kind: elements.state.className,
        title: browser.document.title,
        old: elements.tiles.old,
        tiles: Object.fromEntries(elements.tiles.children.map(box => [box.children[0].textContent,
            [box.children[1].textContent, box.children[2].textContent]])),
        charts: elements.charts.children.map(box => box.children[2].attributes["aria-label"]),
    };
}

async function run() {
    const seen = [];
    const total = answers.length;
    vm.runInNewContext(page.match(/<script>([^]*)<\/script>/)[1], browser);
    for (let asked = 1; asked <= total; asked++) {
        await new Promise(resolve => setImmediate(resolve));
        seen.push(shown());
        if (asked < total) {
            if (!next)
                throw new Error(`the page has stopped asking after ${asked} answers`);
            const due = next;
            next = null;
            nowMs += due.ms;
            due.callback();
        }
    }
    console.log(JSON.stringify(seen));
}

run().catch(error => { console.error(error); process.exitCode = 1; });
