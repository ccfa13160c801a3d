// Runs in Chromium behind the dashboard's own script: what a test asks about the looks of the page.
"use strict";

(() => {
    const channels = colour => (colour.match(/[\d.]+/g) || []).map(Number);
    const over = (upper, lower) => {
        const [r, g, b, a = 1] = channels(upper);
        return [r, g, b].map((value, i) => value * a + lower[i] * (1 - a));
    };

    // WCAG 2.2, relative luminance and contrast ratio.
    const luminance = rgb => {
        const [r, g, b] = rgb.map(value => value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const contrast = (one, other) => {
        const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
        return (light + 0.05) / (dark + 0.05);
    };

    const behind = node => {
        const layers = [];
        for (let at = node; at; at = at.parentElement)
            layers.push(getComputedStyle(at).backgroundColor);
        return layers.reverse().reduce((lower, upper) => over(upper, lower), [255, 255, 255]);
    };
    const isSeen = node => node.checkVisibility({visibilityProperty: true}) && node.getBoundingClientRect().width > 0;
    const texts = () => [...document.querySelectorAll("body *")].filter(node => isSeen(node) &&
        [...node.childNodes].some(child => child.nodeType === Node.TEXT_NODE && child.data.trim()));
    const inkOf = node => getComputedStyle(node)[node.closest("svg") ? "fill" : "color"];
    const name = node => `${node.tagName} ${node.id} ${node.getAttribute("class") || ""}: ${node.textContent.slice(0, 40)}`;

    window.look = {
        // Texts, and lines, with less contrast than WCAG AA wants of them.
        pale: () => {
            const pale = texts().map(node => [name(node), contrast(over(inkOf(node), behind(node)), behind(node)), 4.5]);
            const lines = [...document.querySelectorAll(".chart ul line")].map(node =>
                [name(node), contrast(over(getComputedStyle(node).stroke, behind(node.closest("section"))), behind(node.closest("section"))), 3]);
            return {judged: pale.length, pale: [...pale, ...lines].filter(([, ratio, least]) => ratio < least)};
        },
        // Labels of the charts that are cut off, small or upon each other, and boxes whose text is wider than they are.
        unreadable: () => {
            const wrong = [];
            for (const svg of document.querySelectorAll(".chart > svg")) {
                const frame = svg.getBoundingClientRect();
                const labels = [...svg.querySelectorAll("text")].filter(isSeen).map(node => ({node, box: node.getBoundingClientRect()}));
                for (const {node, box} of labels) {
                    if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.height < 11)
                        wrong.push(`cut off or small: ${name(node)}`);
                    if (labels.some(other => other.node !== node && other.box.left < box.right && box.left < other.box.right &&
                        other.box.top < box.bottom - 2 && box.top < other.box.bottom - 2))
                        wrong.push(`upon another: ${name(node)}`);
                }
            }
            for (const node of document.querySelectorAll("#tiles div, #states li, .chart, #tables section, header"))
                if (node.scrollWidth > node.clientWidth)
                    wrong.push(`wider than its box: ${name(node)}`);
            return wrong;
        },
        // Where an element is on the whole page.
        box: selector => {
            const {x, y, width, height} = document.querySelector(selector).getBoundingClientRect();
            return {x: x + scrollX, y: y + scrollY, width, height};
        },
    };
})();
