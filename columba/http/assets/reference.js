// The API reference: reads /v1/openapi.json and shows one operation at a time, chosen by the address after `#`.
// Builds every element itself and sets text only as text, so that nothing in the document can become markup.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];
const KEY = "columba_key";
const LONGEST = 200000; // characters of an answer that are shown

let api = null;
let operations = [];
let hooks = [];
let running = new AbortController(); // the request being tried

// -- Elements

function h(name, props, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "value") element.value = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false && child !== "") element.append(child);
  }
  return element;
}

const byId = (id) => document.getElementById(id);

// `code` within words
function words(text) {
  return String(text).split(/(`[^`]+`)/).map((part) =>
    part.length > 2 && part.startsWith("`") && part.endsWith("`") ? h("code", {}, part.slice(1, -1)) : part);
}

// Paragraphs, and indented ones as they are
function prose(text) {
  return String(text || "").split(/\n\s*\n/).filter((part) => part.trim()).map((part) =>
    /^( {4}|\t)/.test(part) ? h("pre", {}, h("code", {}, part.replace(/^( {4}|\t)/gm, ""))) : h("p", {}, words(part)));
}

function method(name) {
  return h("span", { class: `method ${name}` }, name === "delete" ? "DEL" : name.toUpperCase());
}

function status(code) {
  return h("span", { class: `status s${String(code)[0]}` }, String(code));
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { value: text }); // no clipboard without https: the old way
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1500);
}

// -- The document

function resolve(node) {
  for (let hops = 0; node && node.$ref && hops < 20; hops += 1) {
    const { $ref, ...own } = node;
    const target = $ref.replace(/^#\//, "").split("/").reduce((at, name) => at && at[name], api);
    node = { ...target, ...own };
  }
  return node || {};
}

const refName = (schema) => (schema.$ref ? schema.$ref.split("/").pop() : "");

function read(document_) {
  api = document_;
  for (const [path, item] of Object.entries(api.paths || {})) {
    for (const name of METHODS) {
      if (item[name]) operations.push(operation(name, path, item[name]));
    }
  }
  hooks = Object.entries(api.webhooks || {}).map(([name, item]) => ({ name, ...item.post }));
}

function operation(name, path, spec) {
  const parameters = (spec.parameters || []).map(resolve);
  const tag = (spec.tags || ["Other"])[0];
  const body = spec.requestBody ? Object.values(spec.requestBody.content)[0].schema : {};
  const named = [body, ...branches(resolve(body))].flatMap((each) => Object.keys(resolve(each).properties || {}));
  const fields = [...parameters.map((parameter) => parameter.name), ...named];
  const found = [name, path, spec.summary, spec.description, spec.operationId, tag, ...fields].join(" ");
  return { ...spec, method: name, path, tag, parameters, found: found.toLowerCase(), address: `#/operation/${spec.operationId}` };
}

// The branches of a schema that are not null
function branches(schema) {
  const all = schema.anyOf || schema.oneOf;
  return all ? all.filter((branch) => resolve(branch).type !== "null").flatMap((branch) => {
    const inner = resolve(branch);
    return inner.anyOf && !branch.$ref ? branches(inner) : [branch];
  }) : [];
}

function isNullable(schema) {
  return (schema.anyOf || schema.oneOf || []).some((branch) => resolve(branch).type === "null");
}

function typeName(raw) {
  const schema = resolve(raw);
  if (schema.anyOf || schema.oneOf) {
    const names = [...new Set(branches(schema).map(typeName))];
    return names.join(" or ") + (isNullable(schema) ? " or null" : "");
  }
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum && schema.enum.length === 1) return JSON.stringify(schema.enum[0]);
  if (schema.enum && !schema.type) return [...new Set(schema.enum.map((each) => typeof each))].join(" or ");
  if (schema.prefixItems) return `array of ${schema.prefixItems.length}`;
  if (schema.type === "array") return schema.items ? `array of ${typeName(schema.items)}` : "array";
  if (schema.type === "object" && schema.additionalProperties && !schema.properties) {
    return `map of ${typeName(schema.additionalProperties)}`;
  }
  if (schema.type === "object") return refName(raw) || "object";
  if (schema.type === "string" && schema.format) return schema.format;
  return schema.type || "any";
}

function span(low, high, unit) {
  const counted = (number) => `${number}${unit && ` ${unit}${number === 1 ? "" : "s"}`}`;
  if (low !== undefined && high !== undefined) return low === high ? counted(low) : `${low} to ${counted(high)}`;
  if (high !== undefined) return `at most ${counted(high)}`;
  return low ? `at least ${counted(low)}` : low === 0 && !unit ? "at least 0" : "";
}

function limits(raw) {
  const found = [];
  const show = (value) => JSON.stringify(value);
  const one = (schema) => {
    if (schema.enum && schema.enum.length > 1) found.push(`one of ${schema.enum.map(show).join(", ")}`);
    found.push(span(schema.minimum, schema.maximum, ""));
    if (schema.exclusiveMinimum !== undefined) found.push(`more than ${schema.exclusiveMinimum}`);
    if (schema.exclusiveMaximum !== undefined) found.push(`less than ${schema.exclusiveMaximum}`);
    found.push(span(schema.minLength, schema.maxLength, "character"));
    found.push(span(schema.minItems, schema.maxItems, "item"));
    found.push(span(schema.minProperties, schema.maxProperties, "name"));
    if (schema.pattern) found.push(`matches ${schema.pattern}`);
  };
  const schema = resolve(raw);
  one(schema);
  branches(schema).map(resolve).forEach(one);
  if (schema.items) one({ ...resolve(schema.items), minItems: undefined, maxItems: undefined });
  const plain = schema.default;
  const isEmpty = plain && typeof plain === "object" && !Object.keys(plain).length;
  if (plain !== undefined && plain !== null && !isEmpty) found.push(`default ${show(plain)}`);
  return found.filter(Boolean).join("; ");
}

// What there is to open below a field: the objects that it is, holds, or may be
function inner(raw) {
  const schema = resolve(raw);
  const options = branches(schema);
  if (options.length) return options.flatMap(inner);
  if (schema.type === "array" && schema.items) return inner(schema.items);
  if (schema.type === "object" && schema.properties) return [raw];
  if (schema.type === "object" && typeof schema.additionalProperties === "object") {
    return inner(schema.additionalProperties);
  }
  return [];
}

// -- Fields

// `given`: the fields are ours to give, in an answer, and so none is required
function fieldItem(name, raw, { required, given } = {}) {
  const schema = resolve(raw);
  const bounds = limits(raw);
  const about = schema.description && !(raw.$ref && !raw.description) ? prose(schema.description) : [];
  const below = inner(raw).map((each) => {
    const open = h("details", {}, h("summary", {}, `Fields of ${refName(each) || name}`));
    open.addEventListener("toggle", () => {
      if (open.open && open.children.length === 1) open.append(...fieldsOf(each, given));
    });
    return open;
  });
  return h("li", {},
    h("div", { class: "head" },
      h("span", { class: "name" }, name),
      h("span", { class: "type" }, typeName(raw)),
      required && !given && h("span", { class: "must" }, "required")),
    about,
    bounds && h("p", { class: "limits" }, bounds),
    below);
}

function fieldsOf(raw, given) {
  const schema = resolve(raw);
  const required = new Set(schema.required || []);
  const items = Object.entries(schema.properties || {})
    .map(([name, field]) => fieldItem(name, field, { required: required.has(name), given }));
  const about = schema.description ? prose(schema.description) : [];
  return [...about, items.length ? h("ul", { class: "fields" }, items) : h("p", { class: "quiet" }, "No fields.")];
}

// A schema at the top: its fields straight away, or its type and what can be opened
function shape(raw, given) {
  const schema = resolve(raw);
  if (schema.type === "object" && schema.properties) return fieldsOf(raw, given);
  return [h("ul", { class: "fields" }, fieldItem(refName(raw) || "one of", raw, { given }))];
}

// -- Examples

function sample(raw, all, depth = 0) {
  const schema = resolve(raw);
  if (schema.example !== undefined) return schema.example;
  if (schema.examples && schema.examples.length) return schema.examples[0];
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.default !== undefined ? schema.default : schema.enum[0];
  const options = branches(schema);
  if (options.length) return sample(options[0], all, depth);
  if (schema.default !== undefined) return schema.default;
  if (depth > 4) return null;
  if (schema.type === "array") return schema.items && (all || depth < 2) ? [sample(schema.items, all, depth + 1)] : [];
  if (schema.type === "object") {
    const wanted = new Set(schema.required || []);
    const names = Object.keys(schema.properties || {}).filter((name) => all || wanted.has(name));
    return Object.fromEntries(names.map((name) => [name, sample(schema.properties[name], all, depth + 1)]));
  }
  if (schema.type === "string") {
    return { "date-time": "2026-01-31T09:30:00.000Z", date: "2026-01-31", uuid: "00000000-0000-0000-0000-000000000000" }[
      schema.format] || "string";
  }
  if (schema.type === "integer" || schema.type === "number") return schema.minimum || 0;
  if (schema.type === "boolean") return false;
  return null;
}

function exampleOf(media, all) {
  if (media.example !== undefined) return media.example;
  const first = media.examples && Object.values(media.examples)[0];
  return first ? first.value : sample(media.schema || {}, all);
}

const pretty = (value) => JSON.stringify(value, null, 2);

// -- The list on the left

function showList(filter) {
  const asked = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const hits = (text) => asked.every((word) => text.includes(word));
  const described = (api.tags || []).map((tag) => tag.name);
  const tags = [...new Set([...described, ...operations.map((each) => each.tag)])];
  const group = (title, items) => items.length && h("details", { open: true },
    h("summary", {}, title), h("ul", {}, items.map(([address, badge, text]) =>
      h("li", {}, h("a", { href: address }, badge, h("span", {}, text))))));
  const groups = tags.map((tag) => group(tag, operations
    .filter((each) => each.tag === tag && hits(each.found))
    .map((each) => [each.address, method(each.method), each.summary || each.path])));
  const posted = group("Events", hooks
    .filter((hook) => hits(`event webhook ${hook.name} ${hook.summary || ""}`.toLowerCase()))
    .map((hook) => [`#/event/${hook.name}`, h("span", { class: "method hook" }, "EVENT"), hook.name]));
  const all = [...groups, posted].filter(Boolean);
  byId("list").replaceChildren(...(all.length ? all : [h("p", { class: "quiet" }, "Nothing found.")]));
  markCurrent();
}

function markCurrent() {
  for (const link of byId("list").querySelectorAll("a")) {
    const isCurrent = link.getAttribute("href") === location.hash;
    if (isCurrent) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest" });
    } else link.removeAttribute("aria-current");
  }
}

// -- Pages

function startPage() {
  const info = api.info || {};
  const described = new Map((api.tags || []).map((tag) => [tag.name, tag.description]));
  const tags = [...new Set([...described.keys(), ...operations.map((each) => each.tag)])];
  return [
    h("h1", { tabindex: -1 }, `${info.title} `, h("span", { class: "quiet" }, info.version)),
    prose(info.description),
    tags.map((tag) => [h("h2", {}, tag), prose(described.get(tag)), operationList((each) => each.tag === tag)]),
  ];
}

function operationList(wanted) {
  return h("ul", { class: "operations" }, operations.filter(wanted).map((each) =>
    h("li", {}, h("a", { href: each.address }, method(each.method),
      h("span", {}, each.summary, " ", h("span", { class: "path" }, each.path))))));
}

function parametersPart(title, parameters) {
  return parameters.length ? [h("h2", {}, title), h("ul", { class: "fields" }, parameters.map((parameter) =>
    fieldItem(parameter.name, { ...parameter.schema, description: parameter.description },
      { required: parameter.required })))] : [];
}

function answersPart(spec) {
  const entries = Object.entries(spec.responses || {}).map(([code, response]) => [code, resolve(response)]);
  const isProblem = ([, response]) => Boolean((response.content || {})["application/problem+json"]);
  const good = entries.filter((entry) => !isProblem(entry)).map(([code, response]) => {
    const [kind, media] = Object.entries(response.content || {})[0] || [];
    return [
      h("div", { class: "answer" }, status(code), h("span", {}, words(response.description || "")),
        kind && kind !== "application/json" && h("code", {}, kind)),
      media && kind === "application/json" && [shape(media.schema, true), exampleBlock(exampleOf(media, true))],
    ];
  });
  const problems = entries.filter(isProblem).flatMap(([code, response]) =>
    Object.entries(response.content["application/problem+json"].examples || {}).map(([name, example]) =>
      h("li", {}, h("span", {}, status(code)), h("span", {},
        h("a", { href: `/docs/errors#${name}` }, h("code", {}, name)), ` ${example.value.title}. `,
        h("span", { class: "quiet" }, words(example.value.detail))))));
  return [
    h("h2", {}, "Answer"), good,
    problems.length ? [h("h2", {}, "Problems"), h("ul", { class: "problems" }, problems)] : [],
  ];
}

function exampleBlock(value) {
  return h("details", { class: "note" }, h("summary", {}, "Example"), h("pre", {}, h("code", {}, pretty(value))));
}

function operationPage(spec) {
  const body = spec.requestBody && Object.entries(spec.requestBody.content)[0];
  const scopes = (spec.security || []).flatMap((each) => each.oauth2 || []);
  const isPublic = spec.security && !spec.security.length;
  const path = spec.path.split(/(\{[^}]+\})/);
  return [
    h("p", { class: "tag-line" }, spec.tag),
    h("h1", { tabindex: -1 }, spec.summary || spec.operationId),
    h("div", { class: "address" }, method(spec.method),
      h("span", { class: "path" }, path.map((part) => (part.startsWith("{") ? h("strong", {}, part) : part))),
      isPublic && h("span", { class: "note" }, "no key needed"),
      scopes.length > 0 && h("span", { class: "note" }, "scope ", h("code", {}, scopes.join(" ")))),
    h("div", { class: "columns" },
      h("div", {},
        prose(spec.description),
        parametersPart("Path", spec.parameters.filter((each) => each.in === "path")),
        parametersPart("Query", spec.parameters.filter((each) => each.in === "query")),
        parametersPart("Headers", spec.parameters.filter((each) => each.in === "header")),
        body && [h("h2", {}, "Body ", body[0] !== "application/json" && h("code", {}, body[0])), shape(body[1].schema)],
        answersPart(spec)),
      h("aside", { "aria-label": "Try it" }, tryCards(spec, body, isPublic))),
  ];
}

function eventPage(hook) {
  const media = Object.values(hook.requestBody.content)[0];
  return [
    h("p", { class: "tag-line" }, "Events"),
    h("h1", { tabindex: -1 }, hook.name),
    h("p", {}, words(hook.summary || "")),
    prose(hook.description),
    h("h2", {}, "Body"), shape(media.schema, true), exampleBlock(exampleOf(media, true)),
  ];
}

// -- Trying it

function tryCards(spec, body, isPublic) {
  const inputs = spec.parameters.map((parameter) => ({ parameter, input: parameterInput(parameter) }));
  const isForm = body && body[0] === "application/x-www-form-urlencoded";
  const first = body && exampleOf(body[1], false);
  const area = body && h("textarea", {
    spellcheck: "false", rows: 10, value: isForm ? new URLSearchParams(first).toString() : pretty(first),
  });
  const line = h("code");
  const outcome = h("div", { class: "outcome", "aria-live": "polite", hidden: true });
  const stop = h("button", { type: "button", disabled: true }, "Stop");
  const send = h("button", { type: "submit", class: "main" }, "Send");
  const request = () => requestOf(spec, inputs, body, area, isPublic);
  const refresh = () => { line.textContent = curl(request()); };
  const copier = h("button", { type: "button", onclick: (event) => copy(line.textContent, event.target) }, "Copy");

  async function run(event) {
    event.preventDefault();
    running = new AbortController();
    stop.onclick = () => running.abort();
    send.disabled = true;
    stop.disabled = false;
    outcome.hidden = false;
    await perform(request(), outcome, running.signal);
    send.disabled = false;
    stop.disabled = true;
  }

  const form = h("form", { class: "try", onsubmit: run, oninput: refresh },
    inputs.map(({ parameter, input }) =>
      h("label", {}, h("span", { class: "name" }, parameter.name, parameter.required && " *"), input)),
    area && h("label", {}, h("span", { class: "name" }, "Body"), area),
    h("div", { class: "actions" }, send, stop));
  refresh();
  return [
    h("section", { class: "card" }, h("h2", {}, "curl", copier), h("pre", { tabindex: 0 }, line)),
    h("section", { class: "card" }, h("h2", {}, "Try it"), form, outcome),
  ];
}

function parameterInput(parameter) {
  const schema = resolve(parameter.schema);
  const choices = schema.type === "boolean" ? [true, false] : schema.enum;
  if (choices) {
    return h("select", {}, h("option", { value: "" }, ""), choices.map((each) => h("option", {}, String(each))));
  }
  const hint = schema.default !== undefined ? String(schema.default) : schema.type === "array" ? "several: a, b" : "";
  return h("input", { type: "text", autocomplete: "off", spellcheck: "false", placeholder: hint,
    required: parameter.in === "path" });
}

function requestOf(spec, inputs, body, area, isPublic) {
  let path = spec.path;
  const query = new URLSearchParams();
  const headers = {};
  for (const { parameter, input } of inputs) {
    const text = input.value.trim();
    if (!text) continue;
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(text));
    else if (parameter.in === "header") headers[parameter.name] = text;
    else {
      const several = resolve(parameter.schema).type === "array" ? text.split(/\s*,\s*/) : [text];
      several.forEach((each) => query.append(parameter.name, each));
    }
  }
  if (body) headers["Content-Type"] = body[0];
  const asked = query.toString();
  return {
    method: spec.method.toUpperCase(), url: location.origin + path + (asked ? `?${asked}` : ""), headers,
    body: area ? area.value : undefined, isPublic,
  };
}

function curl(request) {
  const quote = (text) => `'${text.replace(/'/g, "'\\''")}'`;
  const parts = [`curl ${request.method === "GET" ? "" : `-X ${request.method} `}${quote(request.url)}`];
  if (!request.isPublic) parts.push('-H "Authorization: Bearer $COLUMBA_KEY"');
  for (const [name, value] of Object.entries(request.headers)) parts.push(`-H ${quote(`${name}: ${value}`)}`);
  if (request.body !== undefined) parts.push(`-d ${quote(compact(request.body))}`);
  return parts.join(" \\\n  ");
}

function compact(text) {
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return text;
  }
}

async function perform(request, outcome, signal) {
  const headers = { ...request.headers };
  const key = byId("key").value.trim();
  if (key && !request.isPublic) headers.Authorization = `Bearer ${key}`;
  outcome.replaceChildren(h("div", { class: "line quiet" }, "Sending ..."));
  const began = performance.now();
  try {
    const answer = await fetch(request.url, { method: request.method, headers, body: request.body, signal });
    const shown = h("code");
    const took = Math.round(performance.now() - began);
    const kept = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    outcome.replaceChildren(
      h("div", { class: "line" }, status(answer.status),
        h("span", { class: "quiet" }, `${answer.statusText} ${took} ms`)),
      h("details", {}, h("summary", { class: "note" }, "Headers"), h("pre", {}, h("code", {}, kept))),
      h("pre", { tabindex: 0 }, shown));
    await readInto(shown, answer, signal);
  } catch (error) {
    if (error.name !== "AbortError") {
      outcome.replaceChildren(h("div", { class: "line" }, `Nothing came back: ${error.message}`));
    }
  }
}

// Bit by bit, as an event stream never ends by itself
async function readInto(shown, answer, signal) {
  if (!answer.body) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  signal.addEventListener("abort", () => reader.cancel().catch(() => {}));
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    text += value;
    if (text.length > LONGEST) {
      text = `${text.slice(0, LONGEST)}\n... (there is more)`;
      reader.cancel();
      break;
    }
    shown.textContent = text;
  }
  try {
    shown.textContent = pretty(JSON.parse(text));
  } catch {
    shown.textContent = text;
  }
}

// -- Going round

function show() {
  running.abort();
  const [, kind, name] = location.hash.split("/");
  const wanted = decodeURIComponent(name || "");
  const spec = kind === "operation" && operations.find((each) => each.operationId === wanted);
  const hook = kind === "event" && hooks.find((each) => each.name === wanted);
  const page = spec ? operationPage(spec) : hook ? eventPage(hook) : startPage();
  const main = byId("main");
  main.replaceChildren(...h("div", {}, page).childNodes);
  const title = spec ? spec.summary : hook ? hook.name : "";
  document.title = title ? `${title} - ${api.info.title}` : api.info.title;
  openMenu(false);
  markCurrent();
  window.scrollTo(0, 0);
}

function openMenu(open) {
  byId("nav").classList.toggle("open", open);
  byId("menu").setAttribute("aria-expanded", String(open));
}

function noteKey() {
  const key = byId("key").value.trim();
  sessionStorage.setItem(KEY, key);
  byId("key-note").textContent = key.startsWith("ck_live_") ? "A live key: requests are real." : "";
}

function listen() {
  byId("key").value = sessionStorage.getItem(KEY) || "";
  noteKey();
  byId("key").addEventListener("input", noteKey);
  byId("search").addEventListener("input", (event) => showList(event.target.value));
  byId("search").addEventListener("keydown", (event) => {
    const first = byId("list").querySelector("a");
    if (event.key === "Enter" && first) location.hash = first.getAttribute("href");
    if (event.key === "ArrowDown" && first) {
      event.preventDefault();
      first.focus();
    }
  });
  byId("list").addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const links = [...byId("list").querySelectorAll("a")];
    const next = links[links.indexOf(document.activeElement) + step];
    event.preventDefault();
    (next || byId("search")).focus();
  });
  byId("menu").addEventListener("click", () => openMenu(!byId("nav").classList.contains("open")));
  document.addEventListener("keydown", (event) => {
    const isTyping = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
    if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      openMenu(true);
      byId("search").focus();
    }
  });
  window.addEventListener("hashchange", () => {
    show();
    const heading = byId("main").querySelector("h1");
    if (heading && document.activeElement !== byId("search")) heading.focus({ preventScroll: true });
  });
}

async function start() {
  try {
    const answer = await fetch("/v1/openapi.json");
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    read(await answer.json());
  } catch (error) {
    byId("main").replaceChildren(h("p", {}, `The API's description could not be read: ${error.message}`));
    return;
  }
  listen();
  showList("");
  show();
}

start();
