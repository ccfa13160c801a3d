/* ---- drawing ---- */

const element = id => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 150, LEFT = 58, RIGHT = 10, TOP = 8, BOTTOM = 22;
const LABEL_ROOM = 40; /* for half of a time below the cursor */

function make(parent, name, attributes = {}, text = "") {
    const made = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
    for (const [attribute, value] of Object.entries(attributes))
        made.setAttribute(attribute, value);
    made.textContent = text;
    return parent.appendChild(made);
}

function yOf(part) {
    return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM);
}

/* The next of 1, 2, 4, 10, 20, 40...: half of it, where there is a mark too, is then short to write. */
function scaleFor(greatest) {
    const power = 10 ** Math.floor(Math.log10(greatest));
    return [1, 2, 4, 10].map(step => step * power).find(top => top >= greatest);
}

class Chart {
    constructor([title, write, least, lines]) {
        Object.assign(this, {title, write, least});
        const box = make(element("charts"), "section", {class: "chart"});
        make(box, "h2", {}, title);
        const legend = make(box, "ul");
        this.svg = make(box, "svg:svg", {role: "slider", tabindex: "0", "aria-label": title, "aria-valuemin": 0, height: HEIGHT});
        this.marks = [0, 0.5, 1].map(part => ({
            part, line: make(this.svg, "svg:line", {class: "grid", x1: LEFT, y1: yOf(part), y2: yOf(part)}),
            at: make(this.svg, "svg:text", {class: "axis", x: LEFT - 6, y: yOf(part) + 4, "text-anchor": "end"}),
        }));
        this.times = [0, 0.5, 1].map(part => ({part, at: make(this.svg, "svg:text", {class: "axis time", y: HEIGHT - 5})}));
        this.events = make(this.svg, "svg:g");
        this.lines = lines.map(([label, name, style]) => {
            const item = make(legend, "li");
            const key = make(item, "svg:svg", {viewBox: "0 0 26 8", "aria-hidden": "true"});
            make(key, "svg:line", {class: "series " + style, x1: 0, x2: 26, y1: 4, y2: 4});
            make(item, "span", {}, label);
            return {label, index: 1 + NAMES.indexOf(name), area: make(this.svg, "svg:path", {class: "area " + style}),
                path: make(this.svg, "svg:path", {class: "series " + style}),
                dot: make(this.svg, "svg:circle", {class: "dot " + style, r: 3.5}), value: make(item, "b")};
        });
        this.cursor = make(this.svg, "svg:line", {class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM});
        this.cursorTime = make(this.svg, "svg:text", {class: "axis cursor-time", y: HEIGHT - 5, "text-anchor": "middle"});
        this.listen();
    }

    listen() {
        const point = event => pointAt(this.timeAt(event.clientX - this.svg.getBoundingClientRect().left));
        this.svg.addEventListener("pointermove", point);
        this.svg.addEventListener("pointerdown", point);
        this.svg.addEventListener("pointerleave", () => pointAt(null));
        this.svg.addEventListener("blur", () => pointAt(null));
        this.svg.addEventListener("keydown", event => {
            if (moveCursor(event.key))
                event.preventDefault();
        });
    }

    xOf(at) {
        return LEFT + (at - view.from) / (view.to - view.from) * (this.width - LEFT - RIGHT);
    }

    timeAt(x) {
        return view.from + (x - LEFT) / (this.width - LEFT - RIGHT) * (view.to - view.from);
    }

    /* The runs of samples that have a value: the line is interrupted between them. */
    runsOf(index, top) {
        const runs = [];
        let run = null;
        for (const sample of view.samples) {
            if (known(sample[index])) {
                if (!run)
                    runs.push(run = []);
                run.push([this.xOf(sample[0]).toFixed(1), yOf(sample[index] / top).toFixed(1)]);
            } else {
                run = null;
            }
        }
        return runs;
    }

    drawScale(top) {
        for (const mark of this.marks) {
            mark.line.setAttribute("x2", this.width - RIGHT);
            mark.at.textContent = this.write(top * mark.part).replace(".0 %", " %");
        }
        const parts = view.to - view.from < RANGES[0].ms ? {second: "2-digit"} : {};
        for (const {part, at} of this.times) {
            at.setAttribute("x", LEFT + part * (this.width - LEFT - RIGHT));
            at.setAttribute("text-anchor", ["start", "middle", "end"][2 * part]);
            at.textContent = part === 1 ? "now" : clock(view.from + part * (view.to - view.from), parts);
        }
        this.events.replaceChildren();
        for (const [at, text] of events.filter(([time]) => time >= view.from)) {
            const x = this.xOf(at).toFixed(1);
            make(make(this.events, "svg:path", {class: "event", d: `M${x} ${TOP}V${HEIGHT - BOTTOM}`}), "svg:title", {}, `${clock(at)} ${text}`);
        }
    }

    draw() {
        this.width = this.svg.clientWidth;
        if (!this.width || !view)
            return;
        const values = this.lines.flatMap(line => view.samples.map(sample => sample[line.index])).filter(known);
        this.top = scaleFor(Math.max(this.least, ...values));
        this.drawScale(this.top);
        for (const line of this.lines) {
            const runs = this.runsOf(line.index, this.top);
            const paths = runs.map(run => "M" + run.map(point => point.join(" ")).join("L") + (run.length === 1 ? "h2" : ""));
            line.path.setAttribute("d", paths.join(""));
            line.area.setAttribute("d", runs.map((run, i) => `${paths[i]}V${yOf(0)}H${run[0][0]}Z`).join(""));
        }
        this.drawCursor();
    }

    /* The values of the moment that is pointed at, otherwise the newest. */
    drawCursor() {
        const sample = view.pointed || view.samples.at(-1) || [view.to];
        const x = this.xOf(sample[0]);
        this.svg.classList.toggle("pointed", view.pointed !== null);
        this.cursor.setAttribute("x1", x);
        this.cursor.setAttribute("x2", x);
        this.cursorTime.setAttribute("x", Math.min(Math.max(x, LEFT + LABEL_ROOM - 10), this.width - RIGHT - LABEL_ROOM + 10));
        this.cursorTime.textContent = clock(sample[0], {second: "2-digit"});
        for (const line of this.lines) {
            const value = sample[line.index];
            line.value.textContent = this.write(value);
            line.dot.setAttribute("visibility", known(value) ? "visible" : "hidden");
            line.dot.setAttribute("cx", x);
            line.dot.setAttribute("cy", known(value) ? yOf(value / this.top) : 0);
        }
        const when = view.pointed ? clock(sample[0], {second: "2-digit"}) : "now";
        this.svg.setAttribute("aria-valuemax", Math.max(0, view.samples.length - 1));
        this.svg.setAttribute("aria-valuenow", Math.max(0, view.samples.indexOf(sample)));
        this.svg.setAttribute("aria-valuetext", `${when}: ${this.lines.map(line => `${line.label}: ${line.value.textContent}`).join(", ")}`);
    }
}

const charts = CHARTS.map(row => new Chart(row));

/* ---- what all charts show: from when to when, which samples, and the one that is pointed at ---- */

let view = null;
let range = 0;
let pointedAt = null;

/* The shortest range grows with the course, so that there is something to see at first. */
function spanOf(samples, now) {
    if (range > 0 || samples.length === 0)
        return RANGES[range].ms;
    const age = now - samples[0][0];
    return [1, 2, 5, 15].map(minutes => minutes * MINUTE_MS).find(ms => ms >= age) || RANGES[0].ms;
}

function nearest(at) {
    const filled = view.samples.filter(sample => sample.length > 1);
    return filled.length === 0 ? null : filled.reduce((best, sample) => Math.abs(sample[0] - at) < Math.abs(best[0] - at) ? sample : best);
}

function drawCharts(now = view ? view.to : Date.now()) {
    const samples = tracks[range].drawn();
    const from = now - spanOf(samples, now);
    view = {from, to: now, samples: samples.filter(([at]) => at >= from), pointed: null};
    view.pointed = pointedAt === null ? null : nearest(pointedAt);
    for (const chart of charts)
        chart.draw();
}

function pointAt(at) {
    pointedAt = at;
    if (!view)
        return;
    view.pointed = at === null ? null : nearest(at);
    for (const chart of charts)
        chart.drawCursor();
}

/* False: not a key of this. */
function moveCursor(key) {
    const filled = view ? view.samples.filter(sample => sample.length > 1) : [];
    const last = filled.length - 1, index = view && view.pointed ? filled.indexOf(view.pointed) : last;
    const to = {ArrowLeft: index - 1, ArrowDown: index - 1, ArrowRight: index + 1, ArrowUp: index + 1, PageUp: index + 10,
        PageDown: index - 10, Home: 0, End: last}[key];
    if (key === "Escape")
        pointAt(null);
    else if (to !== undefined && last >= 0)
        pointAt(filled[Math.min(Math.max(to, 0), last)][0]);
    return key === "Escape" || to !== undefined;
}

new ResizeObserver(() => drawCharts()).observe(element("charts"));
