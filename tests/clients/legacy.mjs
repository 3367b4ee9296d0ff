// The TypeScript SDK's client of the legacy era (v1): plain call, task, tool error, cancel. The endpoint is the argument.
import assert from "node:assert/strict";

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CallToolResultSchema } from "@modelcontextprotocol/sdk/types.js";

const transport = new StreamableHTTPClientTransport(new URL(process.argv[2]));
const client = new Client({ name: "typescript-sdk", version: "1" }, { capabilities: {} });
await client.connect(transport);

const { tools } = await client.listTools();
assert.ok(tools.some((tool) => tool.name === "generate_report"));

const plain = await client.callTool({ name: "echo", arguments: { text: "hello" } });
assert.equal(plain.content[0].text, "hello");

// Runs a tool as a task and returns every message of the run.
async function run(name, args) {
  const messages = [];
  const params = { name, arguments: args };
  const stream = client.experimental.tasks.callToolStream(params, CallToolResultSchema, { task: { ttl: 60000 } });
  for await (const message of stream) messages.push(message);
  return messages;
}

const report = await run("generate_report", { month: "January" });
assert.equal(report[0].type, "taskCreated");
assert.equal(report[0].task.ttl, 60000);
assert.equal(report.at(-1).type, "result");
assert.equal(report.at(-1).result.isError, false);
assert.match(report.at(-1).result.content[0].text, /January/);

const failed = await run("fail", {});
assert.ok(failed.some((message) => message.type === "taskStatus" && message.task.status === "failed"));

const created = await client.request(
  { method: "tools/call", params: { name: "nap", arguments: { seconds: 60, folder: process.argv[3] }, task: { ttl: 60000 } } },
  (await import("@modelcontextprotocol/sdk/types.js")).CreateTaskResultSchema,
);
const cancelled = await client.experimental.tasks.cancelTask(created.task.taskId);
assert.equal(cancelled.status, "cancelled");
assert.equal((await client.experimental.tasks.getTask(created.task.taskId)).status, "cancelled");
await assert.rejects(client.experimental.tasks.getTask("unknown"), { code: -32602 });

await transport.terminateSession();
await client.close();
console.log("ok");
