"use strict";
/* What looks.py asks of a page. */
const channels = (text) => (text.match(/[\d.]+/g) ?? []).map(Number);
const rgb = (text) => (/^color\(srgb/.test(text) ? channels(text).map((v, k) => (k < 3 ? 255 * v : v)) : channels(text));
const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
const level = (colour) => colour.slice(0, 3).reduce((sum, v, k) => sum + linear(v / 255) * [0.2126, 0.7152, 0.0722][k], 0);
const over = (top, below) => below.map((v, k) => (top[3] ?? 1) * top[k] + (1 - (top[3] ?? 1)) * v);
const behind = (node) => (node ? over(rgb(getComputedStyle(node).backgroundColor), behind(node.parentElement)) : [255, 255, 255]);

/** The texts that can be seen and that hardly stand out from what is behind them. */
function faint(least) {
  const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.textContent.trim(), node = walk.currentNode.parentElement;
    if (!text || node.closest("svg, script, style, [hidden], :disabled, .pictured") || !node.checkVisibility()) continue;
    const back = behind(node), levels = [level(back), level(over(rgb(getComputedStyle(node).color), back))];
    const ratio = (Math.max(...levels) + 0.05) / (Math.min(...levels) + 0.05);
    if (ratio < least) found.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return found;
}

/** The pairs of elements that lie over each other by more than a pixel. */
function overlapping(selector) {
  const seen = [...document.querySelectorAll(selector)].filter((node) => node.checkVisibility());
  const boxes = seen.map((node) => [node.textContent, node.getBoundingClientRect()]);
  const across = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const down = (a, b) => Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  return boxes.flatMap(([name, a], k) => boxes.slice(k + 1)
    .filter(([, b]) => across(a, b) > 1 && down(a, b) > 1).map(([other]) => `${name} / ${other}`));
}
