"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const rows = JSON.parse(at("predictions").textContent);
  const step = 5;
  let found = [], count = 0;

  const add = (parent, tag, text, name) => {
    const element = parent.appendChild(document.createElement(tag));
    element.textContent = text;
    if (name) element.className = name;
    return element;
  };
  const addText = (parent, part) => {
    add(parent, "pre", part.text).dir = "auto";
    if (part.more) add(parent, "p", `and ${part.more} more characters`, "small");
    if (!part.text) add(parent, "p", "empty", "small");
  };
  const addAnswer = (parent, who, said) => {
    const box = add(parent, "div", "");
    const mark = said.right ? "✓ exact match" : "✗ no exact match";
    add(add(box, "h4", `${who} `), "span", mark, `mark ${said.right ? "right" : "wrong"}`);
    addText(box, said);
    if (said.cut) add(box, "p", "cut at the length limit", "small");
    if (said.choice) add(box, "p", `likeliest choice: ${said.choice.text} ${said.choice.right ? "✓" : "✗"}`, "small").dir = "auto";
  };
  const sample = (row) => {
    const part = at("sample").content.cloneNode(true);
    part.querySelector(".task").textContent = row.task;
    part.querySelector(".facts").textContent =
      `${row.example}: ${row.outcome}; NLL per token of the reference: base ${row.base.nll}, tuned ${row.tuned.nll}`;
    part.querySelector(".prompt pre").textContent = row.prompt.text;
    if (row.prompt.more) add(part.querySelector(".prompt"), "p", `and ${row.prompt.more} more characters`, "small");
    const answers = part.querySelector(".answers");
    addAnswer(answers, "base", row.base);
    addAnswer(answers, "tuned", row.tuned);
    const box = add(answers, "div", "");
    add(box, "h4", "reference");
    row.references.forEach((reference) => addText(box, reference));
    return part;
  };
  const show = () => {
    const next = found.slice(count, count + step);
    next.forEach((row) => at("shown").appendChild(sample(row)));
    count += next.length;
    at("found").textContent = found.length ? `${count} of ${found.length} examples` : "No example is so.";
    at("more").hidden = count === found.length;
  };
  const filter = () => {
    const task = at("task").value, outcome = at("outcome").value;
    found = rows.filter((row) => (!task || row.task === task) && (!outcome || row.outcome === outcome));
    count = 0;
    at("shown").replaceChildren();
    show();
  };

  at("task").addEventListener("change", filter);
  at("outcome").addEventListener("change", filter);
  at("more").addEventListener("click", show);
  at("few").hidden = true;
  at("browser").hidden = false;
  filter();
})();
