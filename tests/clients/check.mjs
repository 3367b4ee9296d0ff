// Checks MCP messages against the official JSON Schemas, which the public conformance suite carries inside its program,
// and against the tasks extension's own definitions. Each line is a check: { revision, method, message }, where method is
// that of the request which a result answers. The answer to each is a line with a JSON array of what is wrong.
import { readFileSync } from "node:fs";
import { runInNewContext } from "node:vm";

import * as tasks from "@modelcontextprotocol/ext-tasks/core/v2";
import { Ajv } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";

const MODERN = "2026-07-28";
const REVISIONS = ["2025-03-26", "2025-06-18", "2025-11-25", MODERN];
const SUITE = "../conformance/node_modules/@modelcontextprotocol/conformance/dist/index.js";

// The object literal of JavaScript source that starts at a brace.
function literal(source, start) {
  let depth = 0;
  let quote = "";
  for (let at = start; ; at += 1) {
    const character = source[at];
    if (quote) {
      if (character === "\\") at += 1;
      else if (character === quote) quote = "";
    } else if ("`'\"".includes(character)) quote = character;
    else if (character === "{") depth += 1;
    else if (character === "}" && (depth -= 1) === 0) return runInNewContext(`(${source.slice(start, at + 1)})`);
  }
}

// The schemas of the four revisions, in the order of their age.
function official() {
  const source = readFileSync(new URL(SUITE, import.meta.url), "utf8");
  const starts = source.matchAll(/=(?=\{\$schema:`[^`]*`,(?:definitions|\$defs):\{Annotations:)/g);
  const schemas = [...starts].map((match) => JSON.parse(JSON.stringify(literal(source, match.index + 1))));
  if (schemas.length !== REVISIONS.length) throw new Error(`the suite carries ${schemas.length} schemas`);
  return schemas;
}

function compile(schema) {
  const modern = "$defs" in schema;
  const group = modern ? "$defs" : "definitions";
  const types = schema[group];
  // The generated schemas of 2025 say integer where the specification's source says number.
  for (const key of ["minimum", "maximum", "default"]) {
    const found = types.NumberSchema?.properties?.[key];
    if (found?.type === "integer") found.type = "number";
  }
  const ajv = new (modern ? Ajv2020 : Ajv)({ strict: false, allErrors: true });
  formats.default(ajv);
  ajv.addFormat("byte", true);
  ajv.addSchema(schema, "mcp");
  const byMethod = new Map();
  for (const [name, type] of Object.entries(types)) {
    const method = type.properties?.method?.const;
    if (method && /(Request|Notification)$/.test(name) && !/^(Client|Server)/.test(name)) byMethod.set(method, name);
  }
  return { ajv, group, types, byMethod };
}

const compiled = new Map(official().map((schema, index) => [REVISIONS[index], compile(schema)]));

function check({ ajv, group, types }, name, value) {
  if (!(name in types)) return [`there is no type ${name}`];
  const validate = ajv.getSchema(`mcp#/${group}/${name}`);
  if (validate(value)) return [];
  return validate.errors.map((error) => `${name}${error.instancePath}: ${error.message} ${JSON.stringify(error.params)}`);
}

function extension(name, value) {
  const parsed = tasks[`${name}V2Schema`].safeParse(value);
  return parsed.success ? [] : parsed.error.issues.map((issue) => `${name}/${issue.path.join("/")}: ${issue.message}`);
}

const EXTENSION = new Map([
  ["tasks/get", "GetTask"],
  ["tasks/update", "UpdateTask"],
  ["tasks/cancel", "CancelTask"],
]);
// What a client answers us, the requests to a receiver of tasks included.
const ANSWERS = [
  "ElicitResult",
  "CreateMessageResult",
  "ListRootsResult",
  "CreateTaskResult",
  "GetTaskResult",
  "CancelTaskResult",
];
const EMPTY = new Set(["ping", "logging/setLevel"]);

function checkResult(revision, schema, method, result) {
  if (method === undefined || method === null) {
    const found = ANSWERS.filter((name) => name in schema.types).map((name) => check(schema, name, result));
    return found.some((errors) => errors.length === 0) ? [] : found.flat();
  }
  if (revision === MODERN && EXTENSION.has(method)) return extension(`${EXTENSION.get(method)}Result`, result);
  if (method === "tools/call") {
    if (revision === MODERN && result.resultType === "task") return extension("CreateTaskResult", result);
    if (result.resultType === "input_required") return check(schema, "InputRequiredResult", result);
    if ("task" in result) return check(schema, "CreateTaskResult", result);
  }
  if (method === "tasks/result") return check(schema, "CallToolResult", result);
  if (EMPTY.has(method)) return check(schema, "EmptyResult", result);
  const request = schema.byMethod.get(method);
  return request ? check(schema, request.replace(/Request$/, "Result"), result) : [`no type for results of ${method}`];
}

function checkMessage({ revision, method, message }) {
  if (Array.isArray(message)) return message.flatMap((one) => checkMessage({ revision, method, message: one }));
  const schema = compiled.get(revision);
  if (!schema) return [`no schema for ${revision}`];
  const either = (...names) => names.find((name) => name in schema.types);
  if (message.method !== undefined) {
    const envelope = check(schema, message.id === undefined ? "JSONRPCNotification" : "JSONRPCRequest", message);
    if (revision === MODERN) {
      if (message.method === "notifications/tasks") return [...envelope, ...extension("TaskStatusNotification", message)];
      const name = EXTENSION.get(message.method);
      if (name) return [...envelope, ...extension(`${name}Request`, message)];
    }
    const name = schema.byMethod.get(message.method);
    return name ? [...envelope, ...check(schema, name, message)] : [...envelope, `no type for ${message.method}`];
  }
  if (message.error !== undefined) return check(schema, either("JSONRPCErrorResponse", "JSONRPCError"), message);
  return [
    ...check(schema, either("JSONRPCResultResponse", "JSONRPCResponse"), message),
    ...checkResult(revision, schema, method, message.result ?? {}),
  ];
}

// A question a line. Readline would also break lines at U+2028, which may stand in one.
let rest = "";
process.stdin.setEncoding("utf8");
for await (const chunk of process.stdin) {
  const lines = (rest + chunk).split("\n");
  rest = lines.pop();
  for (const line of lines) console.log(JSON.stringify(checkMessage(JSON.parse(line))));
}
