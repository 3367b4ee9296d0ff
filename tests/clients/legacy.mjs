// The TypeScript SDK's client of the legacy era (v1): plain call, task, input, tool error, protocol error, cancel.
// The arguments are the endpoint and a folder for notes.
import assert from "node:assert/strict";

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CallToolResultSchema, CreateTaskResultSchema, ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

const transport = new StreamableHTTPClientTransport(new URL(process.argv[2]));
const client = new Client({ name: "typescript-sdk", version: "1" }, { capabilities: { elicitation: {} } });
const questions = [];
client.setRequestHandler(ElicitRequestSchema, (request) => {
  questions.push(request.params.message);
  return { action: "accept", content: { confirm: true } };
});
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

// The question comes while the task runs, on the session's own stream or on the blocked tasks/result.
const deleted = await run("confirm_delete", { filename: "a.txt" });
assert.equal(deleted.at(-1).type, "result");
assert.equal(deleted.at(-1).result.content[0].text, "Deleted a.txt");
assert.deepEqual(questions, ["Delete a.txt?"]);

// The SDK's stream tells only that a task failed; what it failed with is in its result.
async function fails(name, args) {
  const messages = await run(name, args);
  assert.equal(messages.at(-1).type, "error");
  const { task } = messages.findLast((message) => message.type === "taskStatus");
  assert.equal(task.status, "failed");
  return client.experimental.tasks.getTaskResult(task.taskId, CallToolResultSchema);
}

const failed = await fails("fail", {});
assert.equal(failed.isError, true);
await assert.rejects(fails("protocol_error_job", {}), { code: -32603, message: /on purpose/ });

const created = await client.request(
  { method: "tools/call", params: { name: "nap", arguments: { seconds: 60, folder: process.argv[3] }, task: { ttl: 60000 } } },
  CreateTaskResultSchema,
);
const cancelled = await client.experimental.tasks.cancelTask(created.task.taskId);
assert.equal(cancelled.status, "cancelled");
assert.equal((await client.experimental.tasks.getTask(created.task.taskId)).status, "cancelled");
await assert.rejects(client.experimental.tasks.getTask("unknown"), { code: -32602 });

await transport.terminateSession();
await client.close();
console.log("ok");
