// The TypeScript SDK's client of the legacy era (v1) as a receiver: it answers an elicitation by a task of its own, and is
// polled for it. The endpoint is the argument.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { InMemoryTaskStore } from "@modelcontextprotocol/sdk/experimental/tasks/stores/in-memory.js";
import { CallToolResultSchema, ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

const transport = new StreamableHTTPClientTransport(new URL(process.argv[2]));
const requests = { elicitation: { create: {} } };
const capabilities = { elicitation: {}, tasks: { cancel: {}, requests } };
const taskStore = new InMemoryTaskStore();
const client = new Client({ name: "typescript-sdk", version: "1" }, { capabilities, taskStore });

let asked = 0;
client.setRequestHandler(ElicitRequestSchema, async (request, extra) => {
  assert.ok(request.params.task.ttl > 0);
  asked += 1;
  const task = await extra.taskStore.createTask({ ttl: request.params.task.ttl, pollInterval: 100 });
  // The person takes a while.
  sleep(500).then(() => extra.taskStore.storeTaskResult(task.taskId, "completed", { action: "accept", content: {} }));
  return { task };
});
await client.connect(transport);

const params = { name: "summarize_orders", arguments: { confirm: true } };
const messages = [];
const stream = client.experimental.tasks.callToolStream(params, CallToolResultSchema, { task: { ttl: 60000 } });
for await (const message of stream) messages.push(message);
assert.equal(messages.at(-1).type, "result", JSON.stringify(messages.at(-1)));
assert.equal(messages.at(-1).result.isError, false);
assert.equal(asked, 1);

const plain = await client.callTool(params);
assert.equal(plain.isError, false);
assert.equal(asked, 2);

taskStore.cleanup();
await transport.terminateSession();
await client.close();
console.log("ok");
