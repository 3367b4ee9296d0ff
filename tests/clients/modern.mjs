// The TypeScript SDK's client of the modern era (v2) with the tasks extension's own client on top: plain call, task,
// input, tool error, protocol error, cancel. The arguments are the endpoint and a folder for notes.
import assert from "node:assert/strict";

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { createTaskSessionFromClient, resultFromTaskOutcome } from "@modelcontextprotocol/ext-tasks/client";

const endpoint = process.argv[2];
const protocolVersion = "2026-07-28";
const clientInfo = { name: "ext-tasks", version: "1" };
const clientCapabilities = { elicitation: {}, extensions: { "io.modelcontextprotocol/tasks": {} } };

const options = { capabilities: clientCapabilities, versionNegotiation: { mode: { pin: protocolVersion } } };
const client = new Client(clientInfo, options);
await client.connect(new StreamableHTTPClientTransport(new URL(endpoint)));
assert.equal(client.getProtocolEra(), "modern");

const { tools } = await client.listTools();
assert.ok(tools.some((tool) => tool.name === "generate_report"));
const plain = await client.callTool({ name: "never_task", arguments: {} });
assert.equal(plain.content[0].text, "done");

// The SDK's wire codecs do not know the extension's shapes, so its client is given the wire itself.
let id = 1000;
async function rawDispatch(request, { signal } = {}) {
  const name = request.params.name ?? request.params.taskId;
  const response = await fetch(endpoint, {
    method: "POST",
    signal,
    headers: {
      "Content-Type": "application/json",
      Accept: "application/json, text/event-stream",
      "MCP-Protocol-Version": protocolVersion,
      "Mcp-Method": request.method,
      ...(name === undefined ? {} : { "Mcp-Name": name }),
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: (id += 1), ...request }),
  });
  const message = await response.json();
  return "error" in message ? { kind: "error", error: message.error } : { kind: "result", result: message.result };
}

const questions = [];
const session = createTaskSessionFromClient(client, {
  endpointId: "taskferry",
  rawDispatch,
  onInputRequest: (request) => {
    assert.equal(request.kind, "elicitation");
    questions.push(request.params.message);
    return { action: "accept", content: { confirm: true } };
  },
  v2RequestFraming: { protocolVersion, clientInfo, clientCapabilities },
});

const execution = await session.callTool("generate_report", { month: "January" });
assert.equal(execution.kind, "task");
const { outcome } = await execution.settle();
const report = resultFromTaskOutcome(outcome);
assert.equal(report.isError, false);
assert.match(report.content[0].text, /January/);

const deleting = await session.callTool("confirm_delete", { filename: "a.txt" });
assert.equal(deleting.kind, "task");
const deleted = await deleting.settle();
assert.equal(resultFromTaskOutcome(deleted.outcome).content[0].text, "Deleted a.txt");
assert.deepEqual(questions, ["Delete a.txt?"]);

const failing = await session.callTool("fail", {});
const failed = await failing.settle();
assert.equal(failed.outcome.status, "completed");
assert.equal(failed.outcome.result.isError, true);

const breaking = await session.callTool("protocol_error_job", {});
const broken = await breaking.settle();
assert.equal(broken.outcome.status, "failed");
assert.match(broken.outcome.error.message, /on purpose/);

const napping = await session.callTool("nap", { seconds: 60, folder: process.argv[3] });
assert.equal(napping.kind, "task");
await napping.cancel();
const napped = await napping.settle();
assert.equal(napped.outcome.status, "cancelled");

await session.close();
await client.close();
console.log("ok");
